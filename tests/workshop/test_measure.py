from __future__ import annotations

from pathlib import Path

import program
import pytest
import sets

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import layouts
import small_nets

from edge_detect.labels import Labels
from edge_detect.workshop import measure
from edge_detect.workshop.dataset import Dataset, Label, Picture

pytestmark = small_nets.LIBRARIES


def truth(folder: Path) -> Dataset:
    """A picture in which `program.detector` finds everything."""
    sets.draw(folder / "a.png", program.SIZE)
    names = Labels(("person", "car"))
    boxes, classes = layouts.TRUTH.boxes.tolist(), (0, 1)
    labels = tuple(Label(names[c], tuple(box)) for box, c in zip(boxes, classes, strict=True))
    picture = Picture(folder / "a.png", program.SIZE, labels, frozenset(names.names))
    return Dataset(names.names, (picture,))


def test_ap50_is_that_of_the_file(tmp_path: Path) -> None:
    assert measure.ap50(program.detector(), truth(tmp_path)) == pytest.approx(1)


def test_a_file_that_misses_one_of_two_classes_has_half(tmp_path: Path) -> None:
    blind = program.detector(boxes=((0.0, 0.0, 0.1, 0.1),))

    assert measure.ap50(blind, truth(tmp_path)) == pytest.approx(0.5)


def test_a_file_agrees_with_itself(tmp_path: Path) -> None:
    for i in range(9):
        sets.draw(tmp_path / f"{i}.png", (64, 64), i)
    parent = small_nets.parent()

    assert measure.agreement(parent, parent.data, str(tmp_path), 8) == (8, 8)
