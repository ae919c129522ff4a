"""Formats: the forms in which data sets are written; one module each."""

from __future__ import annotations

from pathlib import Path

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.lazy import choose
from edge_detect.workshop.dataset import Dataset

FORMATS = {
    "coco": "edge_detect.workshop.formats.coco",
    "voc": "edge_detect.workshop.formats.voc",
    "yolo": "edge_detect.workshop.formats.yolo",
    "tfrecord": "edge_detect.workshop.formats.tfrecord",
    "drawn": "edge_detect.workshop.formats.drawn",
}


def read(place: str, images: Path | None = None, form: str = "") -> Dataset:
    """The data set at a place; its form is told by what is there, unless `form` names it.

    Raises:
        InputMissing: There is nothing.
        DatasetError: It is no data set of a known form.
    """
    form = form or form_of(place)
    module = choose({name: f"{path}:read" for name, path in FORMATS.items()}, form, "format")
    found: Dataset = module(Path(place), images)
    return found


def form_of(place: str) -> str:
    """The form of what is at a place: by its ending, or by what a folder holds."""
    path = Path(place)
    if place.startswith("pattern:"):
        return "drawn"
    if not path.exists():
        raise InputMissing(f"{place}: cannot read the data set: no such file or folder")
    if path.suffix == ".json":
        return "coco"
    if path.suffix in (".yaml", ".yml"):
        return "yolo"
    if path.suffix in (".tfrecord", ".tfrecords", ".record"):
        return "tfrecord"
    if path.is_dir():
        if any((path / name).exists() for name in ("data.yaml", "data.yml", "classes.txt")):
            return "yolo"
        if (path / "Annotations").is_dir() or next(path.rglob("*.xml"), None):
            return "voc"
        if any(path.glob("*.tfrecord*")):
            return "tfrecord"
    if path.suffix == ".xml":
        return "voc"
    raise DatasetError(
        f"{place}: expected a COCO .json, a folder of Pascal VOC .xml, a YOLO data.yaml or a .tfrecord"
    )
