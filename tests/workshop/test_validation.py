from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("pycocotools")

import sets
import small_nets

from edge_detect.workshop import targets, validation
from edge_detect.workshop.dataset import Dataset, Label, merge

pytestmark = small_nets.LIBRARIES

PLAN = small_nets.PLAN
SCENE = (200, 100)  # letterboxed into 64x32, 16 rows of grey above


def answer(*rows: tuple[int, tuple[float, ...], int, float]) -> tuple[Any, Any]:
    """Offsets and logits in which anchors say: a box in 0..1 of the input, its class, its logit."""
    n = len(PLAN.anchors)
    offsets, logits = np.zeros((n, 4), np.float32), np.full((n, 2), -9, np.float32)
    for anchor, box, which, logit in rows:
        part = PLAN.anchors[anchor : anchor + 1]
        offsets[anchor] = targets.encode(np.array([box], np.float32), part)[0]
        logits[anchor, which] = logit
    return offsets, logits


def test_boxes_are_those_of_the_picture() -> None:
    found = validation.decode(*answer((3, (0.25, 0.375, 0.5, 0.625), 1, 0.0)), PLAN, SCENE)

    np.testing.assert_allclose(found.boxes, [[50, 25, 100, 75]], atol=1e-3)
    assert (found.classes.tolist(), found.scores.tolist()) == ([1], [0.5])


def test_boxes_are_clipped_to_the_picture() -> None:
    found = validation.decode(*answer((3, (0, 0, 1, 1), 0, 2.0)), PLAN, SCENE)

    assert found.boxes.tolist() == [[0, 0, 200, 100]]


def test_the_weaker_of_two_that_overlap_goes() -> None:
    box = (0.25, 0.375, 0.5, 0.625)

    found = validation.decode(*answer((3, box, 1, 0.0), (4, box, 1, 1.0), (5, box, 0, 0.5)), PLAN, SCENE)

    assert found.classes.tolist() == [1, 0]


def test_nothing_is_found_where_nothing_is_said() -> None:
    assert len(validation.decode(*answer(), PLAN, SCENE)) == 0


class Seer:
    """A net that always gives the same answer."""

    def __init__(self, box: tuple[float, ...]) -> None:
        self._answer = answer((3, box, 1, 3.0))
        self.sizes: list[int] = []

    def predict_on_batch(self, images: Any) -> dict[str, Any]:
        self.sizes.append(len(images))
        offsets, logits = (np.stack([part] * len(images)) for part in self._answer)
        return {"boxes": offsets, "scores": logits}


def held(tmp_path: Path, count: int = 5) -> Dataset:
    """Pictures of 64x48 with a car."""
    return merge([sets.one(tmp_path, Label("car", (16, 8, 32, 24)), name=f"{i}.png") for i in range(count)])


@pytest.mark.parametrize(
    "box, ap", [((0.25, 0.25, 0.5, 0.5), 1), ((0.7, 0.7, 0.9, 0.9), 0)], ids=["right", "wrong"]
)
def test_a_net_is_measured_on_all_pictures(tmp_path: Path, box: tuple[float, ...], ap: float) -> None:
    seer = Seer(box)

    found = validation.validate(seer, PLAN, held(tmp_path), batch=2)

    assert found.ap50 == pytest.approx(ap)
    assert seer.sizes == [2, 2, 2]  # always the same shape, which is compiled once


def test_labels_may_be_written_for_another_size(tmp_path: Path) -> None:
    data = sets.one(tmp_path, Label("car", (160, 80, 320, 240)), size=(640, 480))

    assert validation.validate(Seer((0.25, 0.25, 0.5, 0.5)), PLAN, data).ap50 == pytest.approx(1)
