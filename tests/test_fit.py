from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import fit
from edge_detect.fit import Fit

Lay = Callable[[tuple[int, int], tuple[int, int]], Fit]
sides = st.integers(1, 5000)
sizes = st.tuples(sides, sides)
inputs = st.tuples(st.integers(8, 700), st.integers(8, 700))
corners = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=5)


@pytest.mark.parametrize(
    ("size", "into", "expected"),
    [
        pytest.param((640, 480), (320, 320), Fit((320, 320), 0, 40, (320, 240)), id="wide into square"),
        pytest.param((480, 640), (320, 320), Fit((320, 320), 40, 0, (240, 320)), id="high into square"),
        pytest.param((640, 480), (320, 240), Fit((320, 240), 0, 0, (320, 240)), id="same shape"),
        pytest.param((30, 20), (300, 300), Fit((300, 300), 0, 50, (300, 200)), id="made larger"),
        pytest.param((5000, 1), (64, 64), Fit((64, 64), 0, 31, (64, 1)), id="one row"),
        pytest.param((1, 5000), (64, 64), Fit((64, 64), 31, 0, (1, 64)), id="one column"),
        pytest.param((1, 1), (64, 48), Fit((64, 48), 8, 0, (48, 48)), id="one pixel"),
    ],
)
def test_letterbox_is_the_largest_centred_rectangle(
    size: tuple[int, int], into: tuple[int, int], expected: Fit
) -> None:
    assert fit.letterbox(size, into) == expected


@given(sizes, inputs)
def test_letterbox_touches_two_edges_and_leaves_equal_bars(
    size: tuple[int, int], into: tuple[int, int]
) -> None:
    found = fit.letterbox(size, into)

    right, bottom = into[0] - found.left - found.inner[0], into[1] - found.top - found.inner[1]
    assert 0 <= right - found.left <= 1
    assert 0 <= bottom - found.top <= 1
    assert found.inner[0] == into[0] or found.inner[1] == into[1]


@given(sizes, inputs)
def test_letterbox_keeps_the_shape_to_a_pixel(size: tuple[int, int], into: tuple[int, int]) -> None:
    found = fit.letterbox(size, into)

    scale = min(into[0] / size[0], into[1] / size[1])
    assert abs(found.inner[0] - max(1, size[0] * scale)) <= 0.5
    assert abs(found.inner[1] - max(1, size[1] * scale)) <= 0.5


@given(sizes, inputs)
def test_stretch_fills_the_input(size: tuple[int, int], into: tuple[int, int]) -> None:
    found = fit.stretch(size, into)

    assert (found.is_whole, found.inner, found.left, found.top) == (True, into, 0, 0)


@pytest.mark.parametrize("lay", fit.FITS.values(), ids=fit.FITS)
@given(size=sizes, into=inputs, rows=corners)
def test_boxes_come_back_to_the_picture(
    lay: Lay, size: tuple[int, int], into: tuple[int, int], rows: list[tuple[float, ...]]
) -> None:
    boxes = np.array(rows, np.float32).reshape(-1, 4) * np.array([*size, *size], np.float32)
    found = lay(size, into)

    back = found.to_picture(found.to_input(boxes, size), size)

    finest = max(size[0] / found.inner[0], size[1] / found.inner[1])  # pixels of one pixel of the input
    np.testing.assert_allclose(back, boxes, atol=1e-3 * finest, rtol=1e-4)


@pytest.mark.parametrize("lay", fit.FITS.values(), ids=fit.FITS)
@given(size=sizes, into=inputs)
def test_the_whole_picture_is_the_inner_rectangle(
    lay: Lay, size: tuple[int, int], into: tuple[int, int]
) -> None:
    found = lay(size, into)

    (x1, y1, x2, y2), *_ = found.to_input(np.array([[0, 0, *size]], np.float32), size) * [*into, *into]

    assert (x1, y1) == pytest.approx((found.left, found.top), abs=0.01)
    assert (x2 - x1, y2 - y1) == pytest.approx(found.inner, abs=0.01)


def test_boxes_in_the_bars_lie_outside_the_picture() -> None:
    found = fit.letterbox((640, 480), (320, 320))

    boxes = found.to_picture(np.array([[0, 0, 1, 0.125], [0, 0, 1, 1]], np.float32), (640, 480))

    assert boxes.tolist() == [[0, -80, 640, 0], [0, -80, 640, 560]]


def test_a_small_picture_gives_boxes_of_the_large_one() -> None:
    found = fit.letterbox((320, 240), (320, 320))

    boxes = found.to_picture(np.array([[0.5, 0.125, 1, 0.5]], np.float32), (1280, 960))

    assert boxes.tolist() == [[640, 0, 1280, 480]]


def test_a_picture_with_bars_is_not_whole() -> None:
    assert not fit.letterbox((640, 480), (320, 320)).is_whole
