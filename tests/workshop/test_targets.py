from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import anchors
from edge_detect.workshop import targets
from edge_detect.workshop.samples import Sample

SHAPES = tuple(((side, side), (side, side / 2)) for side in (0.2, 0.4, 0.6, 0.8, 0.95))
AROUND = targets.make_anchors((64, 64), SHAPES)
Box = tuple[float, float, float, float]


def sample(
    *boxes: Box, classes: tuple[int, ...] = (), ignore: bool = False, known: Box = (1, 1, 1, 1)
) -> Sample:
    n = len(boxes)
    return Sample(
        np.zeros((64, 64, 3), np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes or (0,) * n, np.int32),
        np.full(n, ignore),
        np.array(known[:2], np.float32),
    )


def test_anchors_are_those_of_every_cell_of_every_level() -> None:
    # 4x3, 2x2, 1x1 three times
    assert targets.make_anchors((64, 48), SHAPES).shape == (2 * (4 * 3 + 2 * 2 + 3), 4)


@given(st.lists(st.tuples(*[st.floats(0, 0.9)] * 2, *[st.floats(0.01, 1)] * 2), min_size=1, max_size=8))
def test_encoding_is_the_inverse_of_decoding(rows: list[Box]) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32)
    own = AROUND[: len(boxes)]

    back = anchors.decode(targets.encode(boxes, own), own, targets.VARIANCES)

    np.testing.assert_allclose(back, boxes, atol=1e-4)


@given(st.tuples(*[st.integers(0, 55)] * 2, *[st.integers(2, 64)] * 2))
def test_every_thing_has_an_anchor(row: tuple[int, int, int, int]) -> None:
    x, y, w, h = row

    wanted = targets.match(sample((x, y, min(64, x + w), min(64, y + h)), classes=(1,)), AROUND)

    assert wanted.positive.sum() >= 1
    np.testing.assert_array_equal(wanted.scores[:, 1], wanted.positive)


def test_two_things_teach_their_own_classes() -> None:
    wanted = targets.match(sample((0, 0, 20, 20), (40, 40, 64, 64), classes=(0, 1)), AROUND)

    middle = AROUND[:, 0]
    assert (wanted.scores.sum(0) > 0).all()
    assert (middle[wanted.scores[:, 0] > 0] < 0.5).all()
    assert (middle[wanted.scores[:, 1] > 0] > 0.5).all()


def test_the_offsets_of_an_anchor_mean_its_box() -> None:
    box = (10, 12, 40, 44)

    wanted = targets.match(sample(box), AROUND)

    own = wanted.positive > 0
    meant = anchors.decode(wanted.offsets[own], AROUND[own], targets.VARIANCES) * 64
    np.testing.assert_allclose(meant, np.tile(np.array(box, np.float32), (len(meant), 1)), atol=1e-3)
    assert not wanted.offsets[~own].any()


def test_a_picture_without_things_is_background() -> None:
    wanted = targets.match(sample(), AROUND)

    assert not wanted.scores.any()
    assert not wanted.positive.any()
    assert (wanted.care == 1).all()


def test_a_region_to_ignore_is_masked_for_its_class_alone() -> None:
    wanted = targets.match(sample((0, 0, 32, 64), ignore=True), AROUND)

    inside = targets.corners(AROUND)[:, 2] <= 0.5
    assert not wanted.care[inside, 0].any()
    assert (wanted.care[:, 1] == 1).all()
    assert wanted.care[~inside, 0].any()
    assert not wanted.positive.any()


def test_a_class_that_was_not_looked_for_is_masked() -> None:
    wanted = targets.match(sample((10, 10, 40, 40), known=(1, 0, 0, 0)), AROUND)

    assert not wanted.care[:, 1].any()
    assert (wanted.care[wanted.positive > 0, 0] == 1).all()


def test_a_label_is_believed_though_its_class_was_not_looked_for() -> None:
    wanted = targets.match(sample((10, 10, 40, 40), known=(0, 0, 0, 0)), AROUND)

    assert (wanted.care[:, 0] == wanted.positive).all()


def test_an_anchor_that_fits_by_half_is_asked_nothing() -> None:
    around = np.array([[0.5, 0.5, 1, 1], [0.5, 0.225, 1, 0.45], [0.5, 0.1, 1, 0.2]], np.float32)

    wanted = targets.match(sample((0, 0, 64, 64)), around)

    assert wanted.positive.tolist() == [1, 0, 0]
    assert wanted.care[:, 0].tolist() == [1, 0, 1]


def test_fitted_anchors_find_two_clusters() -> None:
    chance = np.random.default_rng(0)
    small, large = np.array([0.1, 0.2]), np.array([0.8, 0.5])
    sides = np.concatenate([c * chance.uniform(0.97, 1.03, (200, 2)) for c in (small, large)])

    ((low,), (high,)) = targets.fit_anchors(sides.astype(np.float32), 1, levels=2)

    np.testing.assert_allclose([low, high], [small, large], rtol=0.02)


def test_fitted_anchors_are_dealt_from_small_to_large() -> None:
    sides = np.random.default_rng(0).uniform(0.05, 1, (300, 2)).astype(np.float32)

    shapes = targets.fit_anchors(sides, 3)

    areas = [h * w for level in shapes for h, w in level]
    assert len(shapes) == 5
    assert areas == sorted(areas)


@pytest.mark.parametrize("count", [1, 3], ids=["one", "three"])
def test_too_few_boxes_are_varied(count: int) -> None:
    sides = np.full((count, 2), 0.3, np.float32)

    shapes = targets.fit_anchors(sides, 4)

    assert len({shape for level in shapes for shape in level}) == 20
