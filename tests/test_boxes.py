from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import boxes

NONE = np.zeros((0, 4), np.float32)


def box(*corners: float) -> boxes.Boxes:
    return np.array([corners], np.float32)


@st.composite
def small(draw: st.DrawFn) -> boxes.Boxes:
    """Up to five boxes with corners on the pixels of a picture of 12 x 12."""
    corner, side = st.integers(0, 8), st.integers(0, 4)
    rows = draw(st.lists(st.tuples(corner, corner, side, side), max_size=5))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)


def painted(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """The pixels that a box covers."""
    picture = np.zeros((12, 12), bool)
    x1, y1, x2, y2 = corners.astype(int)
    picture[y1:y2, x1:x2] = True
    return picture


@given(small(), small())
def test_iou_is_the_share_of_pixels_that_both_cover(a: boxes.Boxes, b: boxes.Boxes) -> None:
    found = boxes.iou(a, b)

    assert found.shape == (len(a), len(b))
    for i, j in np.ndindex(found.shape):
        both, one = painted(a[i]) & painted(b[j]), painted(a[i]) | painted(b[j])
        assert found[i, j] == pytest.approx(both.sum() / max(1, one.sum()))


@given(small())
def test_iou_of_a_box_with_itself_is_one(a: boxes.Boxes) -> None:
    assert np.diag(boxes.iou(a, a)).tolist() == (boxes.areas(a) > 0).tolist()


def test_iou_of_boxes_apart_on_both_axes_is_zero() -> None:
    assert boxes.iou(box(0, 0, 10, 10), box(20, 20, 30, 30)).tolist() == [[0.0]]


def test_iou_of_boxes_that_touch_is_zero() -> None:
    assert boxes.iou(box(0, 0, 10, 10), box(10, 0, 20, 10)).tolist() == [[0.0]]


@pytest.mark.parametrize("other", [box(5, 5, 5, 5), box(9, 9, 1, 1)], ids=["empty", "turned inside out"])
def test_iou_with_a_box_without_area_is_zero(other: boxes.Boxes) -> None:
    assert boxes.iou(box(0, 0, 10, 10), other).tolist() == [[0.0]]
    assert boxes.iou(other, other).tolist() == [[0.0]]


def test_areas_of_boxes_turned_inside_out_are_zero() -> None:
    both_ways = np.array([[0, 0, 2, 3], [2, 0, 0, 3], [2, 3, 0, 0]], np.float32)

    assert boxes.areas(both_ways).tolist() == [6, 0, 0]


def test_clip_leaves_the_part_inside() -> None:
    wild = np.array([[-5, -5, 300, 200], [10, 20, 30, 40], [-9, 5, -3, 6]], np.float32)

    assert boxes.clip(wild, 100, 50).tolist() == [[0, 0, 100, 50], [10, 20, 30, 40], [0, 5, 0, 6]]


def test_swapping_axes_twice_changes_nothing() -> None:
    assert boxes.swap_axes(box(1, 2, 3, 4)).tolist() == [[2, 1, 4, 3]]
    assert boxes.swap_axes(boxes.swap_axes(box(1, 2, 3, 4))).tolist() == [[1, 2, 3, 4]]


def test_corners_lie_half_a_side_from_the_centre() -> None:
    assert boxes.from_centres(box(10, 20, 4, 6)).tolist() == [[8, 17, 12, 23]]


def test_corners_are_float32_whatever_the_centres_are() -> None:
    assert boxes.from_centres(np.array([[1, 1, 1, 1]])).tolist() == [[0.5, 0.5, 1.5, 1.5]]
    assert boxes.from_centres(np.ones((1, 4))).dtype == np.float32


def test_no_boxes_are_no_trouble() -> None:
    assert boxes.iou(NONE, box(0, 0, 1, 1)).shape == (0, 1)
    assert boxes.iou(box(0, 0, 1, 1), NONE).shape == (1, 0)
    assert boxes.areas(NONE).shape == (0,)
    for made in (boxes.clip(NONE, 1, 1), boxes.swap_axes(NONE), boxes.from_centres(NONE)):
        assert made.shape == (0, 4)
