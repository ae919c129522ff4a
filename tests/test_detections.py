from __future__ import annotations

import numpy as np
import pytest

from edge_detect import detections
from edge_detect.detections import Detections

THREE = detections.make([[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]], [0.9, 0.8, 0.7], [1, 2, 3])


@pytest.mark.parametrize("found", [detections.none(), detections.make([], [], [])], ids=["none", "make"])
def test_nothing_is_three_empty_arrays(found: Detections) -> None:
    assert (len(found), found.boxes.shape, found.scores.shape, found.classes.shape) == (0, (0, 4), (0,), (0,))


def test_make_gives_the_right_types() -> None:
    found = detections.make([0, 1, 2, 3], [1], [7.0])

    assert [array.dtype for array in (found.boxes, found.scores, found.classes)] == ["f4", "f4", "i4"]
    assert found.boxes.shape == (1, 4)


@pytest.mark.parametrize("rows", [[2, 0], np.array([2, 0])], ids=["list", "array"])
def test_pick_keeps_the_order_asked_for(rows: list[int]) -> None:
    assert THREE.pick(rows).classes.tolist() == [3, 1]


def test_pick_takes_a_mask() -> None:
    picked = THREE.pick(THREE.scores > 0.75)

    assert (picked.classes.tolist(), picked.boxes[:, 0].tolist()) == ([1, 2], [0, 2])


def test_pick_of_nothing_is_nothing() -> None:
    assert len(THREE.pick([])) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "classes", "got"),
    [
        ((2, 4), (1,), (2,), "(2, 4), (1,), (2,)"),
        ((2, 4), (2,), (3,), "(2, 4), (2,), (3,)"),
        ((2, 5), (2,), (2,), "(2, 5), (2,), (2,)"),
        ((2, 4), (2, 1), (2,), "(2, 4), (2, 1), (2,)"),
    ],
)
def test_arrays_of_unequal_length_do_not_travel_together(
    boxes: tuple[int, ...], scores: tuple[int, ...], classes: tuple[int, ...], got: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the message follows
        Detections(np.zeros(boxes, "f4"), np.zeros(scores, "f4"), np.zeros(classes, "i4"))

    assert str(caught.value) == f"detections: expected (n, 4), (n,), (n,), got {got}"
