"""Graph: what a TFLite file says of itself, read from its bytes without running it.

A `.tflite` file is a flatbuffer, with a zip archive of further files at its end when it carries
labels. It is untrusted: every offset is checked against the length of the file. The runtimes
do not show operators or metadata, and the generated schema classes are not in `tflite-runtime`
(and take longer to import than the model to load), hence these few readers.

Source of the field numbers: `schema.fbs` of TensorFlow Lite, `metadata_schema.fbs` of TFLite
Support, `object_detector_metadata_schema.fbs` of MediaPipe.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.errors import ModelError

TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool",
    7: "int16", 9: "int8", 10: "float64", 12: "uint64", 15: "uint32", 16: "uint16", 17: "int4",
}  # fmt: skip
CUSTOM = 32
ATTACHMENT_LIMIT = 8 << 20  # bytes of one embedded file; a zip bomb is not a label list


class Table:
    """One flatbuffer table: fields by number, offsets checked."""

    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self._data = data
        self._at = at
        vtable = at - _unpack("<i", data, at)
        size = _unpack("<H", data, vtable)
        self._fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, vtable + 4)

    def _offset(self, field: int) -> int:
        inside = self._fields[field] if field < len(self._fields) else 0
        return self._at + inside if inside else 0

    def number(self, field: int, form: str, default: Any = 0) -> Any:
        """A scalar field; `form` is a struct character."""
        at = self._offset(field)
        return _unpack("<" + form, self._data, at) if at else default

    def _follow(self, field: int) -> int:
        at = self._offset(field)
        return at + _unpack("<I", self._data, at) if at else 0

    def table(self, field: int) -> Table | None:
        """A table field."""
        at = self._follow(field)
        return Table(self._data, at) if at else None

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables."""
        at = self._follow(field)
        for i in range(_unpack("<I", self._data, at) if at else 0):
            slot = at + 4 + 4 * i
            yield Table(self._data, slot + _unpack("<I", self._data, slot))

    def numbers(self, field: int, kind: str) -> npt.NDArray[Any]:
        """A vector of scalars of the numpy type `kind`."""
        at = self._follow(field)
        if not at:
            return np.zeros(0, kind)
        return np.frombuffer(self._data, kind, _unpack("<I", self._data, at), at + 4)

    def floats(self, field: int, columns: Sequence[int]) -> npt.NDArray[np.float32]:
        """(n, columns) those fields of each of a vector of tables; all at once, there are thousands."""
        tables = self.numbers(field, "<u4").astype(np.int64)
        tables += self._follow(field) + 4 + 4 * np.arange(len(tables))
        vtables = tables - self._gather(tables, "<i4")
        sizes = self._gather(vtables, "<u2")
        found = np.zeros((len(tables), len(columns)), np.float32)
        for column, number in enumerate(columns):
            inside = np.zeros(len(tables), np.int64)
            long = sizes >= 6 + 2 * number
            inside[long] = self._gather(vtables[long] + 4 + 2 * number, "<u2")
            told = inside > 0
            found[told, column] = self._gather(tables[told] + inside[told], "<f4")
        return found

    def _gather(self, places: npt.NDArray[np.int64], kind: str) -> npt.NDArray[Any]:
        """The numbers of the numpy type `kind` that begin at these bytes."""
        data, size = np.frombuffer(self._data, np.uint8), np.dtype(kind).itemsize
        if ((places < 0) | (places > len(data) - size)).any():
            raise IndexError("outside of the file")
        numbers: npt.NDArray[Any] = data[places[:, None] + np.arange(size)].view(kind)[:, 0]
        return numbers

    def text(self, field: int) -> str:
        """A string, or a vector of bytes, as text."""
        return self.numbers(field, "u1").tobytes().decode("utf-8", "replace")


def _unpack(form: str, data: bytes | memoryview, at: int) -> Any:
    if at < 0:
        raise struct.error("negative offset")
    return struct.unpack_from(form, data, at)[0]


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of the graph: its name and the numbers of its tensors."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: bytes = b""


class Graph:
    """The tensors, operators and metadata of a file.

    Raises:
        ModelError: From the constructor: not a TFLite file, or cut off.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if not data:
            raise ModelError(f"{name}: the file is empty; copy or download it again")
        if data[4:8] != b"TFL3":
            raise ModelError(f"{name}: {_what_is(data)}, not a TFLite model; expected a .tflite file")
        self._data = data
        self._name = name
        try:
            self._root = Table(data, _unpack("<I", data, 0))
            self._main = next(self._root.tables(2))
            self.inputs = tuple(self._main.numbers(1, "<i4").tolist())
            self.outputs = tuple(self._main.numbers(2, "<i4").tolist())
            self._tensors = list(self._main.tables(0))
            self.operators = tuple(self._operators())
        except (struct.error, ValueError, StopIteration, IndexError) as error:
            raise ModelError(
                f"{name}: a damaged or truncated TFLite file; copy or download it again"
            ) from error

    def _operators(self) -> Iterator[Operator]:
        codes = list(self._root.tables(1))
        for row in self._main.tables(3):
            code = codes[row.number(0, "I")]
            number = max(code.number(0, "b"), code.number(3, "i"))
            yield Operator(
                code.text(1) if number == CUSTOM else f"builtin {number}",
                tuple(row.numbers(1, "<i4").tolist()),
                tuple(row.numbers(2, "<i4").tolist()),
                row.numbers(5, "u1").tobytes(),
            )

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The written shape of a tensor; wrong for some files until the first run."""
        return tuple(self._tensors[tensor].numbers(0, "<i4").tolist())

    def dtype(self, tensor: int) -> str:
        """The type of a tensor; `type 18` for one that has no name here."""
        number = int(self._tensors[tensor].number(1, "b"))
        return TYPES.get(number, f"type {number}")

    def name(self, tensor: int) -> str:
        """The name of a tensor."""
        return self._tensors[tensor].text(3)

    def constant(self, tensor: int) -> npt.NDArray[Any] | None:
        """The values of a tensor that is written in the file, in real numbers; None for others."""
        row = self._tensors[tensor]
        kind = TYPES.get(row.number(1, "b"), "")
        raw = list(self._root.tables(4))[row.number(2, "I")].numbers(0, "u1")
        shape = self.shape(tensor)
        if kind not in ("float32", "uint8", "int8", "int16", "int32", "float16") or not len(raw):
            return None
        values = np.frombuffer(raw.tobytes(), kind)
        if values.size != np.prod(shape):
            return None
        quantization = row.table(4)
        values = values.astype(np.float64).reshape(shape)
        if quantization is not None and len(scale := quantization.numbers(2, "<f4")):
            zero = quantization.numbers(3, "<i8")
            axis = quantization.number(6, "i")
            if len(scale) > 1:  # one for each channel
                if (
                    not 0 <= axis < len(shape)
                    or shape[axis] != len(scale)
                    or len(zero) not in (0, len(scale))
                ):
                    return None
                wide = [len(scale) if i == axis else 1 for i in range(len(shape))]
                scale, zero = scale.reshape(wide), zero.reshape(wide) if len(zero) else zero
            values = (values - (zero if np.size(zero) else 0)) * scale
        return values.astype(np.float32)

    def maker(self, tensor: int) -> Operator | None:
        """The operator that writes a tensor."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    @cached_property
    def states(self) -> int:
        """Variable tensors: memory from one run to the next."""
        return sum(bool(row.number(5, "b")) for row in self._tensors)

    @cached_property
    def _metadata(self) -> Table | None:
        for row in self._root.tables(6):
            if row.text(0) == "TFLITE_METADATA":
                data = list(self._root.tables(4))[row.number(1, "I")].numbers(0, "u1").tobytes()
                return Table(data, _unpack("<I", data, 0)) if data[4:8] == b"M001" else None
        return None

    def _subgraph_metadata(self) -> Table | None:
        return next(self._metadata.tables(3), None) if self._metadata else None

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """(mean, std) of the input, from the metadata: the net wants (pixel - mean) / std."""
        try:
            main = self._subgraph_metadata()
            inputs = list(main.tables(2)) if main else []
            for unit in inputs[0].tables(4) if inputs else ():
                options = unit.table(1)
                if unit.number(0, "B") == 1 and options is not None:
                    mean, std = options.numbers(0, "<f4"), options.numbers(1, "<f4")
                    if len(mean) and len(mean) == len(std) and (std != 0).all():
                        return tuple(mean.tolist()), tuple(std.tolist())
        except (struct.error, ValueError, IndexError):
            return None
        return None

    def _detector_options(self) -> Table | None:
        """MediaPipe's ObjectDetectorOptions."""
        main = self._subgraph_metadata()
        for custom in main.tables(9) if main else ():
            if custom.text(0) == "DETECTOR_METADATA":
                data = custom.numbers(1, "u1").tobytes()
                return Table(data, _unpack("<I", data, 0))
        return None

    def anchors(self) -> npt.NDArray[np.float32] | None:
        """(n, 4) centre y, centre x, height, width from MediaPipe's metadata; None without it."""
        try:
            options = self._detector_options()
            fixed = options.table(1) if options else None
            schema = fixed.table(0) if fixed else None
            rows = schema.floats(0, (1, 0, 3, 2)) if schema else None  # written x, y, width, height
            return rows if rows is not None and len(rows) else None
        except (struct.error, ValueError, IndexError):
            return None

    def decoding(self) -> tuple[tuple[float, float], bool] | None:
        """(variances of centre and size, whether scores are logits) from MediaPipe's metadata."""
        try:
            options = self._detector_options()
            told = options.table(2) if options else None
            if told is None:
                return None
            centre, side = float(told.number(6, "f")), float(told.number(8, "f"))
            if not (0 < centre < 1e4 and 0 < side < 1e4):
                return None
            return (round(1 / centre, 6), round(1 / side, 6)), bool(told.number(11, "B"))
        except (struct.error, ValueError, IndexError):
            return None

    def attachments(self) -> dict[str, bytes]:
        """The files in the zip archive at the end of the file, by name."""
        import io
        import zipfile
        import zlib

        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                return {
                    entry.filename: archive.read(entry)
                    for entry in archive.infolist()
                    if not entry.is_dir()
                    and entry.file_size <= ATTACHMENT_LIMIT
                    and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                }
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            RuntimeError,
            EOFError,
            zlib.error,
        ):
            return {}


def _what_is(data: bytes) -> str:
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    return "the file does not begin like a TFLite file"


_MAGICS = (
    (b"PK\x03\x04", "this is a zip archive (a Keras file, an Android app or a download to unpack)"),
    (b"\x89HDF", "this is an HDF5 file (Keras weights)"),
    (b"\x1f\x8b", "this is a gzip archive; unpack it first"),
    (b"version https://git-lfs", "this is a Git LFS pointer, the model itself was not fetched"),
    (b"<!DOCTYPE", "this is a web page (the download gave an error page)"),
    (b"<html", "this is a web page (the download gave an error page)"),
    (b"\x08\x08\x12", "this looks like an ONNX file"),
    (b"\xff\xd8\xff", "this is a JPEG picture"),
    (b"\x89PNG", "this is a PNG picture"),
)
