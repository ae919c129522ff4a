"""COCO: one JSON file with images, annotations and categories.

Source: cocodataset.org/#format-data. Of our own is `info.labelled_category_ids`: the categories
that were looked for, where a set did not look for all that it lists.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.dataset import Dataset, Fault, Label, Picture

_SPACE = " \t\n\r"


class _Text:
    """JSON text that remembers on which line each element of a list began."""

    def __init__(self, path: Path) -> None:
        try:
            self.text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path}: expected JSON in UTF-8, got binary data") from error
        except OSError as error:
            raise InputMissing(f"{path}: cannot read the data set: {error.strerror}") from error
        self._path = path
        self._ends = list(accumulate(len(line) for line in self.text.splitlines(keepends=True)))
        self._decoder = json.JSONDecoder()

    def where(self, at: int) -> str:
        """`file:line` of a position."""
        return f"{self._path}:{bisect_right(self._ends, at) + 1}"

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

    def members(self) -> dict[str, Any]:
        """The members of the outer object; a list becomes pairs of a place and an element."""
        at = self._skip(0)
        if self.text[at : at + 1] != "{":
            raise DatasetError(f"{self.where(at)}: expected a COCO file, a JSON object with 'images'")
        found: dict[str, Any] = {}
        at = self._skip(at + 1)
        while self.text[at : at + 1] != "}":
            name, at = self._value(at)
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
        images: Folder of the pictures; `images` beside the file, or the file's own folder, by default.

    Raises:
        InputMissing: The file is not there.
        DatasetError: It is not a COCO file.
    """
    members = _Text(path).members()
    for name in ("images", "annotations", "categories"):
        if not isinstance(members.get(name), list):
            raise DatasetError(f"{path}: expected a COCO file with a list '{name}', there is none")
    beside = path.parent / "images"
    folder = images or (beside if beside.is_dir() else path.parent)
    faults: list[Fault] = []
    categories = _categories(members["categories"], faults)
    pictures = _pictures(members["images"], faults)
    labels: dict[int, list[Label]] = {number: [] for number in pictures}
    seen: dict[Any, str] = {}
    for place, row in members["annotations"]:
        found = _label(place, row, categories, pictures, seen)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            labels[found[0]].append(found[1])
    told = members.get("info")
    ids = told.get("labelled_category_ids") if isinstance(told, dict) else None
    looked = frozenset(
        name for number, name in categories.items() if not isinstance(ids, list) or number in ids
    )
    return Dataset(
        tuple(categories.values()),
        tuple(
            Picture(
                folder / row["file_name"],
                (row["width"], row["height"]),
                tuple(labels[number]),
                looked,
                str(row.get("group", "")),
                place,
            )
            for number, (place, row) in pictures.items()
        ),
        tuple(faults),
        {name: number for number, name in categories.items()},
    )


def _categories(rows: list[tuple[str, Any]], faults: list[Fault]) -> dict[int, str]:
    found: dict[int, str] = {}
    for place, row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("id"), int) or not row.get("name"):
            faults.append(Fault(place, "a category without a number 'id' or a 'name'"))
        elif row["id"] in found or str(row["name"]) in found.values():
            faults.append(Fault(place, f"category {row['id']} '{row['name']}' is there twice"))
        else:
            found[row["id"]] = str(row["name"])
    return found


def _pictures(rows: list[tuple[str, Any]], faults: list[Fault]) -> dict[Any, tuple[str, dict[str, Any]]]:
    found: dict[Any, tuple[str, dict[str, Any]]] = {}
    for place, row in rows:
        if not isinstance(row, dict) or not _is_id(row.get("id")) or not isinstance(row.get("file_name"), str):
            faults.append(Fault(place, "an image without 'id' or 'file_name'"))
        elif not all(isinstance(row.get(side), int) and row[side] > 0 for side in ("width", "height")):
            faults.append(Fault(place, f"image {row['id']}: expected 'width' and 'height' in pixels"))
        elif row["id"] in found:
            faults.append(Fault(place, f"image {row['id']} is there twice"))
        else:
            found[row["id"]] = (place, row)
    return found


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
    """Writes the set; pictures are named by their file name alone, and lie where they lay."""
    numbers = numbers_of(data)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(data.pictures, 1):
        row: dict[str, Any] = {"id": number, "file_name": picture.path.name}
        row |= {"width": picture.size[0], "height": picture.size[1]}
        images.append(row | ({"group": picture.group} if picture.group else {}))
        annotations += _rows(picture, number, numbers, len(annotations))
    labelled = frozenset[str].union(*(p.labelled for p in data.pictures)) if len(data) else frozenset[str]()
    document = {
        "info": {"labelled_category_ids": sorted(numbers[name] for name in labelled)},
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "images": images,
        "annotations": annotations,
    }
    path.write_text(_lines(document), "utf-8")


def numbers_of(data: Dataset) -> dict[str, int]:
    """The number of each class: the set's own, else counted from 1."""
    if all(name in data.numbers for name in data.classes):
        return {name: data.numbers[name] for name in data.classes}
    return {name: number for number, name in enumerate(data.classes, 1)}


def _rows(
    picture: Picture, image: int, numbers: dict[str, int], before: int
) -> Iterator[dict[str, Any]]:
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
