"""Measure: files that were just made, against a data set or against their float parent."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_detect.workshop import calibration, evaluate
from edge_detect.workshop.calibration import Probe
from edge_detect.workshop.convert import Parent
from edge_detect.workshop.dataset import Dataset


def ap50(data: bytes, truth: Dataset) -> float:
    """AP at IoU .50 of a file's bytes, 0..1."""
    with tempfile.TemporaryDirectory(prefix="edge-detect-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        return evaluate.evaluate([path], truth)[0].precision.ap50


def agreement(parent: Parent, data: bytes, place: str, count: int) -> tuple[int, int]:
    """(pictures on which a classifier's file names the same class as its float parent, pictures).

    The pictures are others than those of the calibration where the data set has enough.
    """
    batch = calibration.pictures(place, parent.input, count, last=True)
    real, coarse = Probe(parent.data), Probe(data)
    same = 0
    for picture in batch:
        real.run(picture)
        coarse.run(picture)
        answers = [int(np.argmax(probe.value(probe.outputs[0]))) for probe in (real, coarse)]
        same += answers[0] == answers[1]
    return same, len(batch)


def report(paths: Sequence[Path], truth: Dataset, place: Path) -> None:
    """Measures all files and writes one report of them."""
    from edge_detect.workshop import report as page

    page.write(evaluate.evaluate(paths, truth), truth, place)
