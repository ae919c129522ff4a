"""COCO: one JSON file with images, annotations and categories.

Source: cocodataset.org/#format-data. Of our own are `info.labelled_category_ids`, the categories
that were looked for, where a set did not look for all that it lists (an image may have its own
list); `info.images`, the folder of the pictures as seen from the file; and `group` of an image.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from edge_detect.errors import DatasetError
from edge_detect.workshop.dataset import Dataset, Fault, Label, Picture, numbers_of
from edge_detect.workshop.formats import files

_SPACE = " \t\n\r"
_LABELLED = "labelled_category_ids"


def _whole(text: str) -> float:
    """The number; 3 for `3.0`, as which some libraries write the columns of a table."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


class _Text:
    """JSON text that remembers where each element of a list began."""

    def __init__(self, path: Path) -> None:
        self.text = files.read_text(path, "JSON")
        self._path = path
        self._starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        self._decoder = json.JSONDecoder(parse_float=_whole)

    def where(self, at: int) -> str:
        """`file:line` of a position, and the column where more stands before it on that line."""
        line = bisect_right(self._starts, at)
        column = at - self._starts[line - 1]
        alone = not self.text[at - column : at].strip()
        return f"{self._path}:{line}" + ("" if alone else f":{column + 1}")

    def _skip(self, at: int, signs: str = _SPACE) -> int:
        while at < len(self.text) and self.text[at] in signs:
            at += 1
        return at

    def _value(self, at: int) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{self.where(error.pos)}: not JSON: {error.msg}") from error
        except RecursionError as error:
            raise DatasetError(f"{self.where(at)}: JSON nested too deeply for a data set") from error
        except ValueError as error:  # of more digits than Python converts
            raise DatasetError(f"{self.where(at)}: a number of too many digits") from error

    def members(self) -> dict[str, Any]:
        """The members of the outer object; a list becomes pairs of a place and an element."""
        at = self._skip(0)
        if self.text[at : at + 1] != "{":
            raise DatasetError(f"{self.where(at)}: expected a COCO file, a JSON object with 'images'")
        found: dict[str, Any] = {}
        at = self._skip(at + 1)
        while self.text[at : at + 1] != "}":
            begun = at
            name, at = self._value(at)
            if not isinstance(name, str):
                raise DatasetError(f"{self.where(begun)}: not JSON: expected a name in quotes")
            if name in found:
                raise DatasetError(f"{self.where(begun)}: '{name:.40}' is there twice")
            at = self._skip(at)
            if self.text[at : at + 1] != ":":
                raise DatasetError(f"{self.where(at)}: not JSON: expected ':'")
            at = self._skip(at + 1)
            if self.text[at : at + 1] == "[":
                found[name] = []
                at = self._skip(at + 1)
                while self.text[at : at + 1] != "]":
                    begun = at
                    value, at = self._value(at)
                    found[name].append((self.where(begun), value))
                    at = self._comma(at, "]")
                at += 1
            else:
                found[name], at = self._value(at)
            at = self._comma(at, "}")
        end = self._skip(at + 1)
        if end < len(self.text):
            raise DatasetError(f"{self.where(end)}: not JSON: expected the end of the file")
        return found

    def _comma(self, at: int, end: str) -> int:
        at = self._skip(at)
        sign = self.text[at : at + 1]
        if sign == ",":
            return self._skip(at + 1)
        if sign != end:
            raise DatasetError(f"{self.where(at)}: not JSON: expected ',' or '{end}'; is the file cut off?")
        return at


def read(path: Path, images: Path | None = None) -> Dataset:
    """The set that a COCO file describes.

    Args:
        path: The JSON file.
        images: Folder of the pictures; the one that `info.images` names, `images` beside the file, or
            the file's own folder, by default.

    Raises:
        InputMissing: The file is not there.
        DatasetError: It is not a COCO file.
    """
    members = _Text(path).members()
    for name in ("images", "annotations", "categories"):
        if not isinstance(members.get(name), list):
            raise DatasetError(f"{path}: expected a COCO file with a list '{name}', there is none")
    faults: list[Fault] = []
    categories = _categories(members["categories"], faults)
    info = members.get("info")
    told = info if isinstance(info, dict) else {}
    folder = images or _folder(path, told, members["images"])
    pictures = _pictures(members["images"], folder, faults)
    labels: dict[Any, list[Label]] = {number: [] for number in pictures}
    seen: dict[Any, str] = {}
    for place, row in members["annotations"]:
        found = _label(place, row, categories, pictures, seen)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            labels[found[0]].append(found[1])
    looked = _looked(told, categories, frozenset(categories.values()))
    return Dataset(
        tuple(categories.values()),
        tuple(
            Picture(
                file,
                size,
                tuple(labels[number]),
                _looked(row, categories, looked),
                _group(row),
                place,
            )
            for number, (place, file, size, row) in pictures.items()
        ),
        tuple(faults),
        {name: number for number, name in categories.items()},
    )


def _folder(path: Path, info: dict[str, Any], rows: list[tuple[str, Any]]) -> Path:
    """Where the pictures are: of the likely folders the first that has one, else the likeliest.

    `info.images` may lead anywhere, as a link in the folder `images` may; what is found there is
    opened as a picture, and nothing else.
    """
    told = info.get("images")
    own = [path.parent / told] if isinstance(told, str) and "\0" not in told else []
    beside = path.parent / "images"
    likely = [*own, *([beside] if beside.is_dir() else []), path.parent]
    names = (row["file_name"] for _, row in rows if isinstance(row, dict) and _is_name(row.get("file_name")))
    name = next(names, None)
    if name is None:
        return likely[0]
    return next(
        (folder for folder in likely if (file := files.inside(folder, name)) and file.exists()), likely[0]
    )


def _looked(row: dict[str, Any], categories: dict[Any, str], otherwise: frozenset[str]) -> frozenset[str]:
    """The classes that were looked for, as far as `row` tells."""
    ids = row.get(_LABELLED)
    if not isinstance(ids, list):
        return otherwise
    return frozenset(categories[number] for number in ids if _is_id(number) and number in categories)


def _group(row: dict[str, Any]) -> str:
    group = row.get("group")
    return str(group) if _is_id(group) else ""


def _categories(rows: list[tuple[str, Any]], faults: list[Fault]) -> dict[int, str]:
    found: dict[int, str] = {}
    for place, row in rows:
        number = row.get("id") if isinstance(row, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or not _is_name(row.get("name")):
            faults.append(Fault(place, "a category without a number 'id' or a 'name'"))
        elif number in found or row["name"].strip() in found.values():
            faults.append(Fault(place, f"category {number} '{row['name'].strip()}' is there twice"))
        else:
            found[number] = row["name"].strip()
    return found


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _pictures(
    rows: list[tuple[str, Any]], folder: Path, faults: list[Fault]
) -> dict[Any, tuple[str, Path, tuple[int, int], dict[str, Any]]]:
    """Place, file, size and entry of each image, by its id."""
    found: dict[Any, tuple[str, Path, tuple[int, int], dict[str, Any]]] = {}
    for place, row in rows:
        if not isinstance(row, dict) or not _is_id(row.get("id")) or not _is_name(row.get("file_name")):
            faults.append(Fault(place, "an image without 'id' or 'file_name'"))
            continue
        file = files.inside(folder, row["file_name"])
        if file is None:
            what = f"file_name '{row['file_name']:.60}' leads out of {folder}"
            faults.append(Fault(place, f"image {row['id']}: {what}"))
        elif row["id"] in found:
            faults.append(Fault(place, f"image {row['id']} is there twice"))
        elif size := _size(row, file):
            found[row["id"]] = (place, file, size, row)
        else:
            faults.append(Fault(place, f"image {row['id']}: expected 'width' and 'height' in pixels"))
    return found


def _size(row: dict[str, Any], file: Path) -> tuple[int, int] | None:
    """(width, height) as the entry says, else of the picture."""
    width, height = row.get("width"), row.get("height")
    return (width, height) if _is_side(width) and _is_side(height) else files.size_of(file)


def _is_side(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= files.LONGEST_SIDE


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _label(
    place: str, row: Any, categories: dict[int, str], pictures: dict[Any, Any], seen: dict[Any, str]
) -> Fault | tuple[Any, Label]:
    if not isinstance(row, dict):
        return Fault(place, f"expected an annotation, got {row!r:.40}")
    name = f"annotation {row.get('id')}"
    if not _is_id(row.get("image_id")) or row["image_id"] not in pictures:
        return Fault(place, f"{name}: no image {row.get('image_id')!r}")
    if not _is_id(row.get("category_id")) or row["category_id"] not in categories:
        return Fault(place, f"{name}: unknown category {row.get('category_id')!r}")
    if _is_id(row.get("id")):
        if row["id"] in seen:
            return Fault(place, f"{name} is there twice, first at {seen[row['id']]}")
        seen[row["id"]] = place
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(side) for side in box):
        return Fault(place, f"{name}: expected 'bbox' with 4 numbers, got {box!r:.60}")
    x, y, width, height = map(float, box)
    return row["image_id"], Label(
        categories[row["category_id"]], (x, y, x + width, y + height), bool(row.get("iscrowd")), place
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e7


def write(data: Dataset, path: Path) -> None:
    """Writes the set; pictures lie where they lay, and `info.images` tells where that is.

    Raises:
        SinkError: The file cannot be written.
    """
    numbers = numbers_of(data)
    folder = _common(data, path)
    shared = data.pictures[0].labelled if data.pictures else frozenset(data.classes)
    for picture in data.pictures:
        shared &= picture.labelled
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(data.pictures, 1):
        row: dict[str, Any] = {
            "id": number,
            "file_name": _absolute(picture.path).relative_to(folder).as_posix(),
        }
        row |= {"width": picture.size[0], "height": picture.size[1]}
        row |= {"group": picture.group} if picture.group else {}
        row |= {_LABELLED: _ids(picture.labelled, numbers)} if picture.labelled != shared else {}
        images.append(row)
        annotations += _rows(picture, number, numbers, len(annotations))
    home = Path(os.path.relpath(folder, _absolute(path).parent)).as_posix()
    document = {
        "info": {_LABELLED: _ids(shared, numbers), "images": home},
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "images": images,
        "annotations": annotations,
    }
    with files.new_file(path) as draft:
        draft.write_text(_lines(document), "utf-8")


def _absolute(path: Path) -> Path:
    """The path from the root, without `..`; a link stays one."""
    return Path(os.path.abspath(path))


def _common(data: Dataset, path: Path) -> Path:
    """The folder that all pictures lie in or below: `images` beside the file where it can be."""
    beside = _absolute(path).parent / "images"
    folders = {_absolute(picture.path).parent for picture in data.pictures} or {beside}
    if all(folder.is_relative_to(beside) for folder in folders):
        return beside
    return Path(os.path.commonpath(folders))


def _ids(names: frozenset[str], numbers: dict[str, int]) -> list[int]:
    return sorted(numbers[name] for name in names if name in numbers)


def _rows(picture: Picture, image: int, numbers: dict[str, int], before: int) -> Iterator[dict[str, Any]]:
    for number, label in enumerate(picture.labels, before + 1):
        x1, y1, x2, y2 = (round(side, 2) for side in label.box)
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        yield {
            "id": number,
            "image_id": image,
            "category_id": numbers[label.name],
            "bbox": [x1, y1, width, height],
            "area": round(width * height, 2),
            "iscrowd": int(label.ignore),
        }


def _lines(document: dict[str, Any]) -> str:
    """JSON with one image or annotation on a line, so that a fault can be found by its line."""
    parts = []
    for name, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join(json.dumps(row) for row in value)
            parts.append(f'"{name}": [\n{rows}\n]')
        else:
            parts.append(f'"{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
