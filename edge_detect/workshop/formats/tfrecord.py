"""TFRecord: files of tf.train.Example with the keys of the TensorFlow Object Detection API.

Read and written without TensorFlow. The pictures are inside; reading puts them into a folder. Of
our own are `image/group` and `image/labelled` (what was looked for), which other readers pass
over, and a label map `NAME.pbtxt` beside the file, which theirs want.

Source: tensorflow.org/tutorials/load_data/tfrecord (framing); models/research/object_detection,
core/standard_fields.py and g3doc/preparing_inputs.md (keys); is_crowd and difficult both mean ignore.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import google_crc32c

from edge_detect.errors import DatasetError, InputMissing, SinkError
from edge_detect.workshop.dataset import Dataset, Fault, Label, Picture, numbers_of
from edge_detect.workshop.formats import files, protobuf
from edge_detect.workshop.formats.protobuf import Values

_ENDINGS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"RIFF": ".webp", b"II*\0": ".tif"}
_MASK = 0xA282EAD8
_ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)
_ID = re.compile(r"\bid\s*:\s*(\d{1,9})\b")
_NAME = re.compile(r"""\bname\s*:\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path, images: Path | None = None) -> Dataset:
    """The set in a TFRecord file, or in all of a folder.

    Args:
        path: The file, or a folder of `*.tfrecord*`.
        images: Folder that the pictures are put into; `NAME_images` beside the file by default. No
            file there is overwritten.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no TFRecord, or damaged.
        SinkError: The pictures cannot be written.
    """
    paths = sorted(p for p in path.glob("*.tfrecord*") if p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise DatasetError(f"{path}: expected .tfrecord files, got none")
    pictures: list[Picture] = []
    faults: list[Fault] = []
    numbers: dict[str, int] = {}
    for file in paths:
        known = _label_map(_map_of(file))
        numbers |= known
        folder = images or file.with_name(f"{file.name.split('.')[0]}_images")
        names = {number: name for name, number in known.items()}
        for number, data in enumerate(_records(file), 1):
            found = _Example(f"{file}: record {number}", names, faults).picture(data, folder, numbers)
            if found:
                pictures.append(found)
    if not pictures:
        raise DatasetError(str(faults[0]) if faults else f"{path}: expected records, got an empty file")
    classes = tuple(sorted(numbers, key=lambda name: (numbers[name], name)))
    told = frozenset(classes)
    whole = tuple(replace(p, labelled=p.labelled & told if p.labelled else told) for p in pictures)
    unique = len(set(numbers.values())) == len(numbers) and all(n > 0 for n in numbers.values())
    return Dataset(classes, whole, tuple(faults), numbers if unique else {})


def _map_of(path: Path) -> Path:
    return path.with_name(f"{path.name.split('.')[0]}.pbtxt")


def _label_map(path: Path) -> dict[str, int]:
    """Numbers by name of a `StringIntLabelMap` in text form; empty where there is no such file."""
    if not path.is_file():
        return {}
    found: dict[str, int] = {}
    for item in _ITEM.findall(files.read_text(path, "a label map")):
        number, name = _ID.search(item), _NAME.search(item)
        if number and name:
            found[re.sub(r"\\(.)", r"\1", name[1][1:-1])] = int(number[1])
    return found


def _records(path: Path) -> Iterator[bytes]:
    """The data of each record, when both of its checksums are right."""
    try:
        left = path.stat().st_size
        with path.open("rb") as stream:
            number = 0
            while left:
                number += 1
                where = f"{path}: record {number}"
                head = stream.read(12)
                if len(head) < 12:
                    raise DatasetError(f"{where}: ends after {len(head)} bytes; is the file cut off?")
                length, crc = struct.unpack("<QI", head)
                if crc != _masked_crc(head[:8]):
                    what = "is damaged: the checksum of its length is wrong" if number > 1 else (
                        "expected a TFRecord, got something else (the checksum of its length is wrong)"
                    )  # fmt: skip
                    raise DatasetError(f"{where}: {what}")
                left -= 12 + length + 4
                if left < 0:
                    raise DatasetError(f"{where}: {-left} bytes are missing; is the file cut off?")
                data, tail = stream.read(length), stream.read(4)
                if tail != struct.pack("<I", _masked_crc(data)):
                    raise DatasetError(f"{where}: is damaged: the checksum of its data is wrong")
                yield data
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the data set: {error.strerror}") from error


def _masked_crc(data: bytes) -> int:
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFF_FFFF


class _Example:
    """One record that becomes a picture."""

    def __init__(self, where: str, names: Mapping[int, str], faults: list[Fault]) -> None:
        self.where = where
        self._names = names
        self._faults = faults
        self._features: dict[str, Values] = {}

    def picture(self, data: bytes, folder: Path, numbers: dict[str, int]) -> Picture | None:
        """The picture, put into the folder; new classes are entered into `numbers`."""
        try:
            self._features = protobuf.read(data)
        except protobuf.Damaged as error:
            self._faults.append(Fault(self.where, f"not a tf.train.Example: {error}"))
            return None
        encoded = next(iter(self._bytes("image/encoded")), b"")
        ending = next((end for begin, end in _ENDINGS.items() if encoded.startswith(begin)), "")
        if not ending:
            what = "bytes that are no JPEG, PNG, BMP, WebP or TIFF" if encoded else "nothing"
            self._faults.append(Fault(self.where, f"image/encoded: expected a picture, got {what}"))
            return None
        path = _extract(encoded, folder, self._stem(), ending)
        size = self._size() or files.size_of(path)
        if size is None:
            self._faults.append(Fault(self.where, "image/encoded: the picture cannot be read"))
            return None
        group = next(iter(self._texts("image/group")), "")
        labels = tuple(self._labels(size, numbers))
        return Picture(path, size, labels, frozenset(self._texts("image/labelled")), group, self.where)

    def _bytes(self, name: str) -> list[bytes]:
        return [value for value in self._features.get(name, ()) if isinstance(value, bytes)]

    def _texts(self, name: str) -> list[str]:
        return [value.decode("utf-8", "replace") for value in self._bytes(name)]

    def _numbers(self, name: str) -> list[float]:
        return [value for value in self._features.get(name, ()) if isinstance(value, int | float)]

    def _stem(self) -> str:
        """A harmless file name without ending, as near to the one told as may be."""
        told = next(iter(self._texts("image/filename")), "") or "picture"
        stem = PurePosixPath(told.replace("\\", "/")).stem
        return re.sub(r"[^\w .()+@-]", "_", stem).strip(" .")[:100] or "picture"

    def _size(self) -> tuple[int, int] | None:
        sides = [next(iter(self._numbers(f"image/{side}")), 0) for side in ("width", "height")]
        fine = all(isinstance(side, int) and 1 <= side <= files.LONGEST_SIDE for side in sides)
        return (int(sides[0]), int(sides[1])) if fine else None

    def _labels(self, size: tuple[int, int], numbers: dict[str, int]) -> Iterator[Label]:
        texts, numbered = self._texts("image/object/class/text"), self._numbers("image/object/class/label")
        codes = [code for code in numbered if isinstance(code, int)]
        sides = [self._numbers(f"image/object/bbox/{side}") for side in _SIDES]
        count = len(sides[0])
        if any(len(side) != count for side in sides) or count not in (len(texts), len(codes)):
            lengths = ", ".join(str(len(side)) for side in sides)
            what = f"boxes with {lengths} sides for {len(texts)} names and {len(codes)} numbers of classes"
            self._faults.append(Fault(self.where, what))
            return
        ignored = [self._numbers(f"image/object/{name}") for name in ("is_crowd", "difficult")]
        for i, box in enumerate(zip(*sides, strict=True)):
            code = codes[i] if len(codes) == count else 0
            name = texts[i] if len(texts) == count else self._names.get(code, f"class {code}")
            if not name or not all(math.isfinite(side) and abs(side) < 1e4 for side in box):
                told = " ".join(f"{side:g}" for side in box)
                self._faults.append(
                    Fault(self.where, f"box {i + 1}: expected a name and 0..1, got '{name}' {told}")
                )
                continue
            numbers.setdefault(name, code)
            x1, y1, x2, y2 = (side * size[axis % 2] for axis, side in enumerate(box))
            ignore = any(len(flags) == count and flags[i] for flags in ignored)
            yield Label(name, (x1, y1, x2, y2), bool(ignore), self.where)


def _extract(data: bytes, folder: Path, stem: str, ending: str) -> Path:
    """The file in the folder that holds the data; one of other content is left alone."""
    number = 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{stem}{f'_{number}' * (number > 1)}{ending}"
            if not path.exists():
                with files.new_file(path) as draft:
                    draft.write_bytes(data)
                return path
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return path
            number += 1
    except OSError as error:
        if isinstance(error, SinkError):
            raise
        raise SinkError(f"{folder}: cannot write the pictures: {error.strerror}") from error


def write(data: Dataset, path: Path) -> None:
    """Writes one file with the pictures inside, and its label map beside it.

    Raises:
        InputMissing: A picture is not there.
        SinkError: The file cannot be written.
    """
    numbers = numbers_of(data)
    with files.new_file(_map_of(path)) as label_map:
        items = (
            f"item {{\n  id: {number}\n  name: {_quoted(name)}\n}}\n" for name, number in numbers.items()
        )
        label_map.write_text("".join(items), "utf-8")
        names = files.names_for(data.pictures)
        with files.new_file(path) as draft, draft.open("wb") as stream:
            for picture, name in zip(data.pictures, names, strict=True):
                record = protobuf.write(_features(picture, name, numbers))
                head = struct.pack("<Q", len(record))
                stream.write(head + struct.pack("<I", _masked_crc(head)))
                stream.write(record + struct.pack("<I", _masked_crc(record)))


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _features(picture: Picture, name: str, numbers: dict[str, int]) -> dict[str, Values]:
    encoded = files.read_picture(picture)
    ending = next((end for begin, end in _ENDINGS.items() if encoded.startswith(begin)), ".jpg")
    labels, size = picture.labels, picture.size
    features: dict[str, Values] = {
        "image/encoded": [encoded],
        "image/filename": [name.encode()],
        "image/source_id": [name.encode()],
        "image/format": [{".jpg": b"jpeg"}.get(ending, ending[1:].encode())],
        "image/width": [size[0]],
        "image/height": [size[1]],
        "image/object/class/text": [label.name.encode() for label in labels],
        "image/object/class/label": [numbers[label.name] for label in labels],
        "image/object/is_crowd": [int(label.ignore) for label in labels],
        "image/object/difficult": [int(label.ignore) for label in labels],
    }
    for axis, side in enumerate(_SIDES):
        features[f"image/object/bbox/{side}"] = [float(label.box[axis]) / size[axis % 2] for label in labels]
    if picture.group:
        features["image/group"] = [picture.group.encode()]
    if picture.labelled != frozenset(numbers):
        features["image/labelled"] = [name.encode() for name in sorted(picture.labelled) or [""]]
    return features
