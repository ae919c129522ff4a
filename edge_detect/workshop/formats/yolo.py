"""YOLO: a text file for each picture, one line `class cx cy width height` a box, in 0..1.

A line with more numbers is a polygon; its bounding box is taken. A picture without a label file,
or with an empty one, shows nothing of the classes. There is no word for regions to ignore: they
are left out when a set is written, as Ultralytics' own converter does.

Source: docs.ultralytics.com/datasets/detect; where labels lie is `img2label_paths` of its data/utils.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.dataset import Box, Dataset, Fault, Label, Picture
from edge_detect.workshop.formats import files

PARTS = ("train", "val", "test")
_YAML = ("data.yaml", "data.yml")
_BEYOND = 0.01  # that rounding may put a side outside 0..1


def read(path: Path, images: Path | None = None) -> Dataset:
    """The set that a `data.yaml` names, or in a folder with `classes.txt`.

    Args:
        path: `data.yaml` (all of its parts), `data.yaml:train` (one of them), or a folder.
        images: Folder of the pictures, instead of those that are named there.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no YOLO set.
    """
    part = ""
    if path.suffix.startswith((".yaml:", ".yml:")):
        name, _, part = path.name.rpartition(":")
        path = path.with_name(name)
    if not path.exists():
        raise InputMissing(f"{path}: cannot read the data set: no such file or folder")
    inner = next((path / name for name in _YAML if (path / name).is_file()), None) if path.is_dir() else path
    if inner:
        document = _document(inner)
        names = _names(inner, document)
        pictures = files.pictures_in(images) if images else _listed(inner, document, part)
    else:
        names = _classes(path)
        pictures = files.pictures_in(images or path)
    if not pictures:
        raise DatasetError(f"{images or path}: expected pictures, got none")
    faults: list[Fault] = []
    found = (_picture(image, path if path.is_dir() else path.parent, names, faults) for image in pictures)
    data = Dataset(names, tuple(filter(None, found)), tuple(faults), {n: i for i, n in enumerate(names)})
    if not len(data):
        raise DatasetError(str(faults[0]))
    return data


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(files.read_text(path, "YAML"))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DatasetError(f"{path}{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not YAML: {' '.join(str(error).split()):.100}") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: expected 'names' and 'train', got no mapping")
    return document


def _names(path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    told = document.get("names")
    rows = told
    if isinstance(told, dict):
        numbered = {str(number): row for number, row in told.items()}  # in any order, in quotes or not
        wanted = [str(number) for number in range(len(told))]
        if sorted(numbered) != sorted(wanted):
            raise DatasetError(f"{path}: names: expected the numbers 0, 1, 2 ..., got {list(told)!s:.60}")
        rows = [numbered[number] for number in wanted]
    if not isinstance(rows, list) or not rows:
        raise DatasetError(f"{path}: names: expected a list or mapping of names, got {_kind(told)}")
    wrong = next((row for row in rows if type(row) not in (str, int)), "")
    if wrong != "":  # YAML takes a bare `no` for false
        raise DatasetError(f"{path}: names: expected names, got {_kind(wrong)}; put them in quotes")
    return _distinct(str(path), [str(row).strip() for row in rows])


def _kind(value: object) -> str:
    """What a value is; the value itself may unfold without end."""
    return {type(None): "nothing", bool: "yes or no", int: "a number", dict: "a mapping", list: "a list"}.get(
        type(value), f"a {type(value).__name__}"
    )


def _distinct(where: str, names: Sequence[str]) -> tuple[str, ...]:
    twice = next((name for i, name in enumerate(names) if not name or name in names[:i]), None)
    if twice is not None:
        raise DatasetError(f"{where}: names: '{twice:.40}' {'is there twice' if twice else 'is empty'}")
    return tuple(names)


def _classes(folder: Path) -> tuple[str, ...]:
    """The names in the `classes.txt` of a folder, a line each."""
    file = next((p for p in (folder / "classes.txt", folder / "labels" / "classes.txt") if p.is_file()), None)
    if file is None:
        raise InputMissing(f"{folder}: expected data.yaml or classes.txt, there is none")
    names = [line.strip() for line in files.read_text(file, "one name a line").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DatasetError(f"{file}: expected one name a line, got an empty file")
    return _distinct(str(file), names)


def _listed(path: Path, document: dict[str, Any], part: str) -> list[Path]:
    """The pictures of one part, or of all, each once."""
    if part and part not in document:
        raise DatasetError(f"{path}: expected '{part}', there is none")
    parts = [part] if part else [name for name in PARTS if document.get(name)]
    if not parts:
        raise DatasetError(f"{path}: expected 'train', 'val' or 'test', there is none")
    found: dict[Path, None] = {}
    for name in parts:
        places = document[name] if isinstance(document[name], list) else [document[name]]
        for place in places:
            if not isinstance(place, str):
                raise DatasetError(f"{path}: {name}: expected a folder, got {_kind(place)}")
            found |= dict.fromkeys(_expand(_resolve(path, document.get("path"), name, place)))
    return list(found)


def _resolve(path: Path, root: object, part: str, place: str) -> Path:
    """Where a part lies: below `path`, else beside the YAML file, where sets that moved have it."""
    bases = [path.parent / root, path.parent] if isinstance(root, str) else [path.parent]
    bare = place.removeprefix("../")  # Roboflow counts from a folder that its archive does not have
    tries = [base / name for base in bases for name in (place, bare)]
    found = next(
        (candidate for candidate in tries if "\0" not in str(candidate) and candidate.exists()), None
    )
    if found is None:
        raise InputMissing(f"{path}: {part}: no such file or folder: {tries[0]}")
    return found


def _expand(place: Path) -> list[Path]:
    """The pictures of a folder, or of a list in a text file."""
    if place.is_dir():
        return files.pictures_in(place)
    if place.suffix != ".txt":
        return [place] if place.suffix.lower() in files.ENDINGS else []
    lines = files.read_text(place, "one picture a line").splitlines()
    named = [place.parent / line.strip() for line in lines if line.strip()]
    return [path for path in named if path.suffix.lower() in files.ENDINGS]


def _picture(image: Path, root: Path, names: Sequence[str], faults: list[Fault]) -> Picture | None:
    size = files.size_of(image)
    if size is None:
        faults.append(Fault(str(image), "cannot read the picture" if image.exists() else "no such picture"))
        return None
    file = next((path for path in _label_files(image, root) if path.is_file()), None)
    labels: list[Label] = []
    if file:
        try:
            lines = files.read_text(file, "YOLO labels").splitlines()
        except (DatasetError, InputMissing) as error:
            where, _, what = str(error).partition(": ")
            faults.append(Fault(where, what))
            return None
        for number, line in enumerate(lines, 1):
            found = _label(f"{file}:{number}", line.split(), names, size) if line.strip() else None
            if isinstance(found, Fault):
                faults.append(found)
            elif found:
                labels.append(found)
    return Picture(image, size, tuple(labels), frozenset(names), where=str(file or image))


def _label_files(image: Path, root: Path) -> Iterator[Path]:
    """Where the labels of a picture may be, the likeliest first."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        yield Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
    yield image.with_suffix(".txt")
    yield root / "labels" / f"{image.stem}.txt"


def _label(where: str, words: list[str], names: Sequence[str], size: tuple[int, int]) -> Fault | Label:
    try:
        number, *values = map(float, words)
    except ValueError:
        return Fault(where, f"expected numbers, got '{' '.join(words):.40}'")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        return Fault(where, f"expected class x y width height, or a polygon, got {len(words)} numbers")
    if number not in range(len(names)):
        return Fault(where, f"expected a class from 0 to {len(names) - 1}, got {words[0]:.20}")
    wrong = next((word for word, v in zip(words[1:], values, strict=True) if not _is_share(v)), None)
    if wrong is not None:
        return Fault(where, f"expected numbers from 0 to 1, got {wrong:.20}")
    return Label(names[int(number)], _box(values, size), where=where)


def _is_share(value: float) -> bool:
    return math.isfinite(value) and -_BEYOND <= value <= 1 + _BEYOND


def _box(values: list[float], size: tuple[int, int]) -> Box:
    if len(values) == 4:
        x, y, width, height = values
        sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        sides = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    return sides[0] * size[0], sides[1] * size[1], sides[2] * size[0], sides[3] * size[1]


def write(data: Dataset, path: Path) -> None:
    """Writes a folder with `data.yaml`, the pictures in `images/train` and `labels/train`.

    Raises:
        DatasetError: The folder is not empty.
        InputMissing: A picture is not there.
        SinkError: The folder cannot be written.
    """
    numbers = {name: number for number, name in enumerate(data.classes)}
    document = {
        "path": ".",
        "train": "images/train",
        "val": "images/train",
        "names": {number: name for name, number in numbers.items()},
    }
    with files.new_folder(path) as draft:
        images, labels = draft / "images" / "train", draft / "labels" / "train"
        for folder in (images, labels):
            folder.mkdir(parents=True)
        for picture, name in zip(data.pictures, files.names_for(data.pictures), strict=True):
            files.copy(picture, images / name)
            lines = [_line(label, numbers, picture.size) for label in picture.labels if not label.ignore]
            (labels / f"{Path(name).stem}.txt").write_text("".join(lines), "utf-8")
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        (draft / "data.yaml").write_text(text, "utf-8")


def _line(label: Label, numbers: dict[str, int], size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = label.box
    x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    shares = (x / size[0], y / size[1], width / size[0], height / size[1])
    return f"{numbers[label.name]} {' '.join(f'{share:.8g}' for share in shares)}\n"
