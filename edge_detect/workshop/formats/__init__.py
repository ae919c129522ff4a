"""Formats: the forms in which data sets are written; one module each."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from edge_detect.errors import ConfigError, DatasetError, InputMissing
from edge_detect.lazy import choose
from edge_detect.workshop.dataset import Dataset, merge

log = logging.getLogger(__name__)

FORMATS = {
    "coco": "edge_detect.workshop.formats.coco",
    "voc": "edge_detect.workshop.formats.voc",
    "yolo": "edge_detect.workshop.formats.yolo",
    "tfrecord": "edge_detect.workshop.formats.tfrecord",
    "drawn": "edge_detect.workshop.formats.drawn",
}
WRITABLE = ("coco", "voc", "yolo", "tfrecord")
_SHARD = re.compile(r"\.(tfrecords?|record)(-\d+-of-\d+)?$")


def read(place: str, images: Path | None = None, form: str = "") -> Dataset:
    """The data set at a place; its form is told by what is there, unless `form` names it.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no data set of a known form.
    """
    if "\0" in place:
        raise InputMissing(f"{place!r}: cannot read the data set: no such file or folder")
    form = form or form_of(place)
    module = choose({name: f"{path}:read" for name, path in FORMATS.items()}, form, "format")
    found: Dataset = module(Path(place), images)
    return found


def read_all(text: str) -> Dataset:
    """All data sets of a list `PLACE[=PICTURES],PLACE...` as one; what is left out is logged.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no data set of a known form.
    """
    data = merge(read_each(text.split(",")))
    tell_left_out(data)
    return data


def tell_left_out(data: Dataset) -> None:
    """Warns of what could not be read."""
    if data.faults:
        more = f", and {len(data.faults) - 1} more" if len(data.faults) > 1 else ""
        log.warning("left out: %s%s; edge-detect dataset check tells all", data.faults[0], more)


def read_each(words: Iterable[str], images: Path | None = None, form: str = "") -> list[Dataset]:
    """The data sets that words of the form `PLACE[=PICTURES]` name.

    Args:
        words: Empty ones are passed over.
        images: Folder of the pictures where a word names none.
        form: Of all of them; told by what is there by default.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no data set of a known form.
    """
    sets = []
    for word in filter(None, words):
        place, _, folder = (word, "", "") if Path(word).exists() else word.rpartition("=")
        place, folder = (place, folder) if place else (word, "")
        sets.append(read(place, Path(folder) if folder else images, form))
    return sets


def write(data: Dataset, place: str, form: str = "") -> None:
    """Writes a set; the form is told by the ending of the place, unless `form` names it.

    What a form has no word for is logged.

    Raises:
        ConfigError: No form is named, and the ending tells none.
        DatasetError: There is something already, or the form cannot hold a name.
        InputMissing: A picture is not there.
        SinkError: The place cannot be written.
    """
    form = form or ("coco" if place.endswith(".json") else "tfrecord" if _SHARD.search(place) else "")
    if not form:
        raise ConfigError(f"{place}: expected .json or .tfrecord, or --to {'|'.join(WRITABLE)}")
    module = choose({name: f"{FORMATS[name]}:write" for name in WRITABLE}, form, "format")
    odd = next((name for name in data.classes if form != "coco" and not _is_plain(name)), None)
    if odd is not None:
        raise DatasetError(f"{place}: {form} cannot hold the class name {odd!r}; rename it with --map")
    if form in ("voc", "yolo"):
        _tell_losses(data, place, form)
    module(data, Path(place))


def _is_plain(name: str) -> bool:
    return name.isprintable() and name == " ".join(name.split()) and name != ""


def _tell_losses(data: Dataset, place: str, form: str) -> None:
    """Warns of what readers of the written set will take for something else."""
    classes = frozenset(data.classes)
    if any(picture.labelled != classes for picture in data.pictures):
        log.warning("%s: %s cannot tell what was not looked for: it will count as background", place, form)
    if any(picture.group for picture in data.pictures):
        log.warning("%s: %s has no groups: split before it is converted", place, form)
    ignored = sum(label.ignore for picture in data.pictures for label in picture.labels)
    if ignored and form == "yolo":
        log.warning("%s: yolo has no regions to ignore: %d are left out", place, ignored)


def is_set(place: str) -> bool:
    """Whether a data set of a known form is there."""
    try:
        return bool(form_of(place))
    except (DatasetError, InputMissing):
        return False


def form_of(place: str) -> str:
    """The form of what is at a place: by its ending, or by what a folder holds."""
    path = Path(place)
    if place.startswith("pattern:"):
        return "drawn"
    if path.suffix.startswith((".yaml:", ".yml:")):
        return "yolo"
    if not path.exists():
        raise InputMissing(f"{place}: cannot read the data set: no such file or folder")
    if path.is_dir():
        return _form_of_folder(path)
    if path.suffix == ".json":
        return "coco"
    if path.suffix in (".yaml", ".yml"):
        return "yolo"
    if path.suffix == ".xml":
        return "voc"
    if _SHARD.search(place):
        return "tfrecord"
    raise _unknown(place)


def _form_of_folder(path: Path) -> str:
    if (path / "Annotations").is_dir():
        return "voc"
    if any((path / name).exists() for name in ("data.yaml", "data.yml", "classes.txt", "labels/classes.txt")):
        return "yolo"
    if next(path.rglob("*.xml"), None):
        return "voc"
    if any(path.glob("*.tfrecord*")):
        return "tfrecord"
    inner = next(iter(sorted(path.glob("*.json"))), None)
    raise _unknown(str(path), f"; is it {inner}?" if inner else "")


def _unknown(place: str, hint: str = "") -> DatasetError:
    return DatasetError(
        f"{place}: expected a COCO .json, a folder of Pascal VOC .xml, a YOLO data.yaml or a .tfrecord{hint}"
    )
