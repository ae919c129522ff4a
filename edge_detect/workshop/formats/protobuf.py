"""Protobuf: the few messages of a tf.train.Example, read and written without TensorFlow.

Source: protobuf.dev/programming-guides/encoding; tensorflow/core/example/example.proto and feature.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Values: TypeAlias = Sequence[bytes] | Sequence[float] | Sequence[int]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


class Damaged(ValueError):
    """Bytes that are no message."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Damaged("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise Damaged("a number of more than 10 bytes")


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, wire type, value) of each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise Damaged(f"a field of unknown kind {wire}")
        if length > len(data) - at:
            raise Damaged("a field is longer than what is left")
        yield number, wire, data[at : at + length]
        at += length


def _parts(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The messages and strings of one field number."""
    for number, _, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def read(data: bytes) -> dict[str, Values]:
    """The features of an Example, by name.

    Raises:
        Damaged: The bytes are no Example.
    """
    found: dict[str, Values] = {}
    for features in _parts(memoryview(data), 1):
        for entry in _parts(features, 1):
            name = b"".join(_parts(entry, 1)).decode("utf-8", "replace")
            found[name] = next((_feature(feature) for feature in _parts(entry, 2)), [])
    return found


def _feature(data: memoryview) -> Values:
    for kind, wire, value in _fields(data):
        if kind == _BYTES_LIST and isinstance(value, memoryview):
            return [bytes(part) for part in _parts(value, 1)]
        if kind == _FLOAT_LIST and wire == _BYTES and isinstance(value, memoryview):
            return _floats(value)
        if kind == _INT64_LIST and isinstance(value, memoryview):
            return _integers(value)
    return []


def _floats(data: memoryview) -> list[float]:
    """Numbers that are packed into one field, or have one each."""
    found: list[float] = []
    for part in _parts(data, 1):
        if len(part) % 4:
            raise Damaged("a list of floats is cut off")
        found += struct.unpack(f"<{len(part) // 4}f", part)
    return found


def _integers(data: memoryview) -> list[int]:
    found: list[int] = []
    for number, _, value in _fields(data):
        if number != 1:
            continue
        if isinstance(value, int):
            found.append(_signed(value))
            continue
        at = 0
        while at < len(value):
            one, at = _varint(value, at)
            found.append(_signed(one))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def write(features: Mapping[str, Values]) -> bytes:
    """The bytes of an Example; integers, floats and bytes each become the list of their kind.

    An empty list becomes a feature without a kind.
    """
    entries = (_field(1, name.encode()) + _field(2, _written(features[name])) for name in sorted(features))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _written(values: Values) -> bytes:
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return _field(_BYTES_LIST, b"".join(_field(1, v) for v in values if isinstance(v, bytes)))
    if isinstance(values[0], float):
        return _field(_FLOAT_LIST, _field(1, struct.pack(f"<{len(values)}f", *values)))
    packed = b"".join(_number(int(value) & 0xFFFF_FFFF_FFFF_FFFF) for value in values)
    return _field(_INT64_LIST, _field(1, packed))


def _field(number: int, data: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(data)) + data


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
