"""The models in `models/`: what they promise, checked on the files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_detect import boxes, model
from edge_detect.detector import Detector
from edge_detect.frame import Frame
from edge_detect.graph import Graph
from edge_detect.sources.pattern import Pattern

MODELS = Path(__file__).resolve().parents[1] / "models"
FILES = {"detector.tflite": 5_000_000, "detector-fast.tflite": 1_500_000}
NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "cat", "dog", "horse", "sheep", "cow")


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_names_its_classes_and_stays_small(name: str) -> None:
    opened = model.open_model(MODELS / name, threads=1)

    assert opened.labels.names == NAMES
    assert len(opened.file.data) <= FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_is_integer_throughout(name: str) -> None:
    graph = Graph((MODELS / name).read_bytes(), name)

    kinds = {graph.dtype(t) for op in graph.operators for t in (*op.inputs, *op.outputs) if t >= 0}
    assert kinds <= {"int8", "int32"}
    assert graph.dtype(graph.inputs[0]) == "int8"


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_has_its_labels_and_card_beside_it(name: str) -> None:
    stem = (MODELS / name).with_suffix("")

    assert tuple(stem.with_suffix(".txt").read_text().split()) == NAMES
    assert f"# {name}" in stem.with_suffix(".md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_most_of_the_drawn_street_is_found(name: str) -> None:
    detect = Detector(model.open_model(MODELS / name, threads=1), 0.3)
    street = Pattern(fps=0, seed=1000)
    found = total = 0
    for number in range(0, 1000, 50):
        answer = detect(Frame(street.draw(number), 0.0, number, "pattern:"))
        for truth in street.truth(number):
            same = answer.pick(answer.classes == NAMES.index(truth.label))
            overlap = boxes.iou(np.array([truth.box], np.float32), same.boxes)
            found += bool(len(same) and overlap.max() >= 0.5)
            total += 1

    assert found / total >= 0.5
