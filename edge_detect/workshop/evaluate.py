"""Evaluate: how good, how fast and how large detectors are on one data set."""

from __future__ import annotations

import logging
import math
import re
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_detect import model as models
from edge_detect.detections import Detections
from edge_detect.detector import Detector
from edge_detect.errors import DatasetError, InputMissing
from edge_detect.frame import Frame, Image
from edge_detect.model import Model
from edge_detect.pixels import read_picture
from edge_detect.workshop import average_precision
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.dataset import Dataset, Picture

log = logging.getLogger(__name__)

LEAST_SCORE = 0.01  # below it nothing changes an average precision that anybody would use
ENOUGH = 20  # boxes below which the AP of a class is mostly chance
TELL = 10.0  # seconds between two words on how far we are


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One model on one set.

    Attributes:
        model: As the running loop opens it.
        precision: Its accuracy.
        invoke_ms: Median time of the net alone.
        invoke_p95_ms: The time that one run in twenty exceeds.
        found: Its detections, picture by picture, in the pixels of the labels.
    """

    model: Model
    precision: Precision
    invoke_ms: float
    invoke_p95_ms: float
    found: tuple[Detections, ...]

    @property
    def path(self) -> Path:
        """The model file."""
        return self.model.file.path

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return len(self.model.file.data)

    @property
    def zipped_bytes(self) -> int:
        """Size after zlib at its best: what zeros among the weights buy in a download, and only there."""
        return len(zlib.compress(self.model.file.data, 9))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Models on one set.

    Attributes:
        place: Where the set is, as the user named it.
        data: The set.
        results: One for each model, in the order asked for.
    """

    place: str
    data: Dataset
    results: tuple[Result, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that were measured: the same for all models."""
        return self.results[0].precision.classes

    @property
    def boxes(self) -> int:
        """True boxes of these classes."""
        return int(self.results[0].precision.boxes.sum())

    @property
    def titles(self) -> list[str]:
        """A name for each model: of the file alone where that tells them apart, else the path."""
        names = Counter(result.path.name for result in self.results)
        return [r.path.name if names[r.path.name] == 1 else str(r.path) for r in self.results]


def open_models(paths: Sequence[Path], labels: Path | None = None, threads: int = 0) -> list[Model]:
    """Models with their own names, or those of a file where they have none.

    Args:
        paths: Model files.
        labels: Names for models without names of their own.
        threads: Of the runtime; 0 takes the fastest for each.

    Raises:
        InputMissing: A file is not there.
        ModelError: A file is not a detector that we can run.
    """
    opened = []
    for path in paths:
        named = bool(models.examine(models.read_file(path)).labels)
        opened.append(models.open_model(path, None if named else labels, threads))
    return opened


def shared_classes(model: Model, data: Dataset) -> tuple[str, ...]:
    """The names that a model finds and a set has labels of, in the set's order.

    Raises:
        DatasetError: There is none.
    """
    looked = frozenset[str]().union(*(picture.labelled for picture in data.pictures))
    names = tuple(name for name in data.classes if name in model.labels.names and name in looked)
    where = model.file.path.name
    if not names and not any(model.labels.names):
        raise DatasetError(f"{where}: has no names of its classes; give them with --labels FILE")
    if not names:
        labelled = [name for name in data.classes if name in looked]
        raise DatasetError(
            f"{where}: finds {_some(model.labels.names)}, the set labels {_some(labelled)}:"
            " no class in common; give the right --labels, or rename the set's classes"
        )
    return names


def _some(names: Sequence[str]) -> str:
    there = [name for name in names if name]
    return (", ".join(there[:3]) or "nothing") + (" ..." if len(there) > 3 else "")


def evaluate(
    paths: Sequence[Path],
    data: Dataset,
    *,
    labels: Path | None = None,
    fit: str = "letterbox",
    threads: int = 0,
) -> list[Result]:
    """Measures model files on a set; see `open_models` and `compare`."""
    return list(compare(open_models(paths, labels, threads), data, fit=fit).results)


def compare(opened: Sequence[Model], data: Dataset, *, fit: str = "letterbox", place: str = "") -> Evaluation:
    """Measures models on a set, restricted to the classes that all of them and the set share.

    Args:
        opened: Models, ready to run.
        data: Pictures with labels.
        fit: How pictures are laid into the input.
        place: Where the set is, for people; by default what its pictures say.

    Raises:
        DatasetError: The set has no pictures, or no class in common with all models.
        InputMissing: A picture is not there.
    """
    place = place or place_of(data)
    if not len(data):
        raise DatasetError(f"{place}: expected a data set with pictures, got none")
    common = [shared_classes(model, data) for model in opened]
    classes = tuple(name for name in common[0] if all(name in names for names in common))
    if not classes:
        raise DatasetError(f"{place}: no class that all models find: {' / '.join(map(_some, common))}")
    left = [name for name, boxes in data.counts().items() if boxes and name not in classes]
    if left:
        log.info("%s: not measured, as not every model finds them: %s", place, ", ".join(sorted(left)))
    results = []
    for model, heard in zip(opened, detect_all(opened, data, fit), strict=True):
        precision = average_precision.measure(data, heard.found, model.labels.names, classes)
        middle, late = np.percentile(heard.seconds, (50, 95)) * 1e3
        results.append(Result(model, precision, float(middle), float(late), tuple(heard.found)))
    return Evaluation(place, data, tuple(results))


def place_of(data: Dataset) -> str:
    """Where a set is, as far as its pictures say: the file that names them, else their folder."""
    if not len(data):
        return "data"
    first = data.pictures[0]
    return re.sub(r"(:\d+)+$", "", first.where) or str(first.path.parent)


@dataclass(slots=True, eq=False)
class Answers:
    """What one model says of picture after picture, and how long its net took for each."""

    detect: Detector
    found: list[Detections] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def detect_all(opened: Sequence[Model], data: Dataset, fit: str = "letterbox") -> list[Answers]:
    """What each model finds in each picture.

    The models take turns on every picture, in an order that turns round with each, so that whatever else
    the machine is doing slows all of them alike.

    Raises:
        InputMissing: A picture is not there.
        SourceError: A picture cannot be read.
    """
    answers = [Answers(Detector(model, LEAST_SCORE, fit=fit)) for model in opened]
    for model in opened:
        model.interpreter.run()  # the first run of a net is slower than all others
    told = time.monotonic()
    for number, picture in enumerate(data.pictures):
        image = read(picture)
        frame = Frame(image, 0.0, number, picture.path.name)
        for answer in answers if number % 2 else reversed(answers):
            found = answer.detect(frame)
            answer.seconds.append(answer.detect.timing.invoke)
            answer.found.append(scaled(found, frame.size, picture.size))
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            log.info("evaluated %d of %d pictures", number + 1, len(data))
    return answers


def read(picture: Picture) -> Image:
    """The image of a picture.

    Raises:
        InputMissing: It is not there; the message tells which line names it.
        SourceError: It cannot be read.
    """
    try:
        return read_picture(picture.path)
    except InputMissing as error:
        raise InputMissing(f"{picture.where}: {error}" if picture.where else str(error)) from error


def scaled(found: Detections, size: tuple[int, int], to: tuple[int, int]) -> Detections:
    """Detections in a picture of one (width, height) as they are in another."""
    if size == to:
        return found
    scale = np.array([to[0] / size[0], to[1] / size[1]] * 2, np.float32)
    return Detections(found.boxes * scale, found.scores, found.classes)


def thresholds(precision: Precision) -> dict[str, tuple[float, float, float]]:
    """(score, precision, recall) at which the F1 of each class is highest, at IoU .50.

    Classes of which nothing was found are left out.
    """
    rows = zip(precision.classes, precision.best.tolist(), strict=True)
    return {name: (best[0], best[1], best[2]) for name, best in rows if not math.isnan(best[0])}


def enough(precision: Precision) -> float:
    """Mean AP50 over the classes with at least `ENOUGH` boxes; nan without any."""
    values = [
        precision.mean(iou=0, of=name)
        for name, boxes in zip(precision.classes, precision.boxes, strict=True)
        if boxes >= ENOUGH
    ]
    return float(np.mean(values)) if values else float("nan")


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The results as `--json` prints them; numbers that do not exist are null."""
    return {"models": [_model_to_json(result) for result in evaluation.results]}


def _model_to_json(result: Result) -> dict[str, Any]:
    precision = result.precision
    return {
        "file": str(result.path),
        "ap": _number(precision.ap),
        "ap50": _number(precision.ap50),
        "ap75": _number(precision.mean(iou=5)),
        "ap50_enough_boxes": _number(enough(precision)),
        "ar": _number(precision.mean_recall()),
        "sizes": {size: _number(precision.mean(size=size)) for size in average_precision.SIZES[1:]},
        "classes": _classes_to_json(precision),
        "invoke_ms": round(result.invoke_ms, 3),
        "invoke_p95_ms": round(result.invoke_p95_ms, 3),
        "threads": result.model.threads,
        "bytes": result.bytes,
        "zipped_bytes": result.zipped_bytes,
        "sha256": result.model.file.sha256,
        "runtime": result.model.card.runtime,
        "pictures": len(result.found),
    }


def _classes_to_json(precision: Precision) -> dict[str, dict[str, Any]]:
    best = thresholds(precision)
    return {
        name: {
            "ap": _number(precision.mean(of=name)),
            "ap50": _number(precision.mean(iou=0, of=name)),
            "boxes": int(boxes),
            # cut, not rounded: the detection that sets it is to stay above it
            "threshold": math.floor(best[name][0] * 1e4) / 1e4 if name in best else None,
        }
        for name, boxes in zip(precision.classes, precision.boxes, strict=True)
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
