"""Evaluate: how good, how fast and how large detectors are on one data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.detections import Detections
from edge_detect.detector import Detector
from edge_detect.errors import DatasetError, InputMissing
from edge_detect.frame import Frame
from edge_detect.model import Model, open_model
from edge_detect.pixels import read_picture
from edge_detect.workshop import average_precision
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.dataset import Dataset

LEAST_SCORE = 0.01  # below it nothing changes an average precision that anybody would use
ENOUGH = 20  # boxes below which the AP of a class is mostly chance


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One model on one set.

    Attributes:
        path: The model file.
        model: As the running loop opens it.
        precision: Its accuracy.
        invoke_ms: Median time of the net alone.
        found: Its detections, picture by picture.
    """

    path: Path
    model: Model
    precision: Precision
    invoke_ms: float
    found: tuple[Detections, ...]

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return len(self.model.file.data)


def shared_classes(model: Model, data: Dataset) -> tuple[str, ...]:
    """The names that a model finds and a set has labels of, in the set's order.

    Raises:
        DatasetError: There is none.
    """
    looked = frozenset[str]().union(*(picture.labelled for picture in data.pictures))
    names = tuple(name for name in data.classes if name in model.labels.names and name in looked)
    if not names:
        raise DatasetError(
            f"{model.file.path.name}: finds {_some(model.labels.names)}, the set labels {_some(data.classes)}:"
            " no class in common; give the right --labels, or rename the set's classes"
        )
    return names


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def evaluate(
    paths: Sequence[Path], data: Dataset, *, labels: Path | None = None, fit: str = "letterbox", threads: int = 0
) -> list[Result]:
    """Measures models on a set, restricted to the classes that all of them and the set share.

    Args:
        paths: Model files.
        data: Pictures with labels.
        labels: Names for models without names of their own.
        fit: How pictures are laid into the input.
        threads: Of the runtime; 0 takes the fastest.

    Raises:
        DatasetError: The set has no pictures, or no class in common with a model.
        InputMissing: A picture or a model is not there.
    """
    if not len(data):
        raise DatasetError("expected a data set with pictures, got none")
    models = [open_one(path, labels, threads) for path in paths]
    common = [shared_classes(model, data) for model in models]
    classes = tuple(name for name in common[0] if all(name in names for names in common))
    if not classes:
        raise DatasetError(f"the models share no class with each other: {' / '.join(map(_some, common))}")
    results = []
    for path, model in zip(paths, models, strict=True):
        found, invoke = detect_all(model, data, fit)
        precision = average_precision.measure(data, found, model.labels.names, classes)
        results.append(Result(path, model, precision, invoke, tuple(found)))
    return results


def open_one(path: Path, labels: Path | None, threads: int) -> Model:
    """A model with its own names, or those of a file where it has none."""
    model = open_model(path, None, threads)
    return model if model.card.labels or labels is None else open_model(path, labels, threads)


def detect_all(model: Model, data: Dataset, fit: str = "letterbox") -> tuple[list[Detections], float]:
    """What a model finds in each picture, and the median milliseconds of the net."""
    detect = Detector(model, LEAST_SCORE, fit=fit)
    found, seconds = [], []
    for picture in data.pictures:
        try:
            image = read_picture(picture.path)
        except InputMissing as error:
            raise InputMissing(f"{picture.where}: {error}") from error
        answer = detect(Frame(image, time.monotonic(), 0, picture.path.name))
        seconds.append(detect.timing.invoke)
        found.append(_as_labelled(answer, image.shape, picture.size))
    return found, float(np.median(seconds)) * 1e3


def _as_labelled(found: Detections, shape: tuple[int, ...], size: tuple[int, int]) -> Detections:
    """Detections in the pixels in which the labels are written."""
    if (shape[1], shape[0]) == size:
        return found
    scale = np.array([size[0] / shape[1], size[1] / shape[0]] * 2, np.float32)
    return Detections(found.boxes * scale, found.scores, found.classes)


def thresholds(precision: Precision) -> dict[str, tuple[float, float, float]]:
    """(score, precision, recall) at which the F1 of each class is highest, at IoU .50."""
    recalls = np.linspace(0, 1, precision.table.shape[1])
    best = {}
    for i, name in enumerate(precision.classes):
        p, scores = precision.table[0, :, i, 0], precision.scores[0, :, i, 0]
        if p.max() < 0:
            continue
        f1: npt.NDArray[np.float64] = 2 * p * recalls / np.maximum(p + recalls, 1e-9)
        at = int(f1.argmax())
        best[name] = (float(scores[at]), float(p[at]), float(recalls[at]))
    return best


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """The results as `--json` prints them; numbers that do not exist are null."""
    return {
        "models": [
            {
                "file": str(result.path),
                "ap": _number(result.precision.ap),
                "ap50": _number(result.precision.ap50),
                "ap50_enough_boxes": _number(enough(result.precision)),
                "sizes": {size: _number(result.precision.mean(size=size)) for size in average_precision.SIZES[1:]},
                "classes": {
                    name: {
                        "ap": _number(result.precision.mean(of=name)),
                        "ap50": _number(result.precision.mean(iou=0, of=name)),
                        "boxes": int(result.precision.boxes[i]),
                        "threshold": _number(thresholds(result.precision).get(name, (float("nan"),))[0]),
                    }
                    for i, name in enumerate(result.precision.classes)
                },
                "invoke_ms": round(result.invoke_ms, 3),
                "bytes": result.bytes,
                "sha256": result.model.file.sha256,
                "runtime": result.model.card.runtime,
            }
            for result in results
        ]
    }


def enough(precision: Precision) -> float:
    """Mean AP50 over the classes with at least `ENOUGH` boxes."""
    values = [
        precision.mean(iou=0, of=name)
        for name, boxes in zip(precision.classes, precision.boxes, strict=True)
        if boxes >= ENOUGH
    ]
    return float(np.mean(values)) if values else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
