from __future__ import annotations

import time
from functools import cache
from itertools import islice

import numpy as np
import pytest

from edge_detect.errors import ConfigError
from edge_detect.frame import Image
from edge_detect.sources import open_source
from edge_detect.sources.pattern import LABELS, Pattern, Truth

SIZES = pytest.mark.parametrize(
    "size", [(640, 480), (320, 240), (1280, 720), (127, 91), (33, 32), (480, 640)], ids=str
)


def alone(actor: int, size: tuple[int, int]) -> Pattern:
    """A street with one of its eight things in it."""
    pattern = Pattern(*size, fps=0)
    pattern._cast = pattern._cast[actor : actor + 1]
    return pattern


def drawn(pattern: Pattern, number: int) -> Image:
    """Where a frame differs from the empty street."""
    different: Image = (pattern.draw(number) != empty(pattern.width, pattern.height)).any(2)
    return different


@cache
def empty(width: int, height: int) -> Image:
    return Pattern(width, height, fps=0, actors=0).draw(0)


def inside(truth: Truth, shape: tuple[int, ...], margin: float = 0) -> Image:
    """A mask of the pixels that a box touches."""
    x1, y1, x2, y2 = truth.box
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down = (rows + 1 > y1 - margin) & (rows < y2 + margin)
    mask: Image = down & (columns + 1 > x1 - margin) & (columns < x2 + margin)
    return mask


@SIZES
@pytest.mark.parametrize("actor", range(8))
def test_truth_is_where_a_thing_was_drawn(actor: int, size: tuple[int, int]) -> None:
    pattern, seen = alone(actor, size), 0
    for number in range(0, 1000, 40):
        for truth in pattern.truth(number):
            found, seen = drawn(pattern, number), seen + 1

            assert found[inside(truth, found.shape)].mean() > 0.1
            assert not found[~inside(truth, found.shape, margin=4 + size[1] / 200)].any()
            if min(size) > 200:
                assert (found & ~inside(truth, found.shape)).sum() < 0.08 * found.sum()
    assert seen > 3


@pytest.mark.parametrize("actor", range(8))
def test_thing_without_truth_is_hardly_seen(actor: int) -> None:
    pattern = alone(actor, (320, 240))
    whole = max(drawn(pattern, number).sum() for number in range(0, 1000, 25))

    assert whole > 200
    for number in range(0, 1000, 7):
        assert pattern.truth(number) or drawn(pattern, number).sum() < 0.5 * whole


def test_empty_street_has_nothing_in_it() -> None:
    assert Pattern(actors=0).truth(0) == []


def test_boxes_lie_in_the_picture_and_have_known_labels() -> None:
    pattern = Pattern(320, 240)
    truths = [truth for number in range(0, 2000, 10) for truth in pattern.truth(number)]
    boxes = np.array([truth.box for truth in truths])

    assert {truth.label for truth in truths} == set(LABELS)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (320, 240)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_things_move() -> None:
    pattern = Pattern(320, 240, fps=0)

    assert pattern.truth(0) != pattern.truth(25)
    assert (pattern.draw(0) != pattern.draw(1)).any()


def test_same_seed_is_the_same_street_and_another_one_another() -> None:
    first, again, other = Pattern(seed=1), Pattern(seed=1), Pattern(seed=2)

    assert (first.draw(7) == again.draw(7)).all()
    assert first.truth(7) == again.truth(7)
    assert (first.draw(7) != other.draw(7)).any(2).mean() > 0.5
    assert first.truth(7) != other.truth(7)


def test_drawing_leaves_the_street_as_it_is() -> None:
    pattern = Pattern(320, 240)
    before = pattern.draw(3)
    pattern.draw(4)[:] = 0

    assert (pattern.draw(3) == before).all()


@SIZES
def test_frames_have_the_size_asked_for(size: tuple[int, int]) -> None:
    (frame,) = Pattern(*size, fps=0, frames=1)

    assert (frame.size, frame.image.dtype, frame.number, frame.name) == (size, np.uint8, 0, "pattern:")


@pytest.mark.parametrize("actors", [0, 1, 100])
def test_as_many_things_cross_as_asked_for(actors: int) -> None:
    pattern = Pattern(64, 48, actors=actors)
    labels = {truth.label for number in range(0, 3000, 20) for truth in pattern.truth(number)}

    assert labels == set(LABELS if actors == 100 else LABELS[:actors])


def test_every_frame_counts_without_a_rate() -> None:
    source = open_source("pattern:?fps=0&frames=5&width=64&height=48")
    frames = [frame for frame in source if frame]

    assert not source.live
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_frames_come_for_ever() -> None:
    assert len(list(islice(Pattern(64, 48, fps=0), 200))) == 200


def test_live_frames_come_by_the_clock() -> None:
    source = Pattern(64, 48, fps=100, frames=20)
    before = time.monotonic()
    times = [frame.time for frame in source]

    assert source.live
    assert (np.array(times) >= before + np.arange(20) / 100).all()
    assert times == sorted(times)


def test_picture_is_turned() -> None:
    (frame,) = open_source("pattern:?fps=0&frames=1&width=64&height=48&rotation=90&flip=v")

    assert frame is not None
    np.testing.assert_array_equal(frame.image, np.rot90(Pattern(64, 48, fps=0).draw(0), -1)[::-1])


@pytest.mark.parametrize(
    "query, message",
    [
        ("width=31", "width: expected 32 to 8192, got 31"),
        ("height=9999", "height: expected 32 to 8192, got 9999"),
        ("fps=-1", "fps: expected 0 to 1000, got -1.0"),
        ("fps=inf", "fps: expected float, got 'inf'"),
        ("fps=nan", "fps: expected float, got 'nan'"),
        ("frames=-1", "frames: expected 0 to 1000000000, got -1"),
        ("frames=1.5", "frames: expected int, got '1.5'"),
        ("actors=101", "actors: expected 0 to 100, got 101"),
        ("seed=-1", "seed: expected 0 to 4294967296, got -1"),
        ("rotation=90deg", "rotation: expected int, got '90deg'"),
        ("flip=w", "flip: expected h, v or hv, got 'w'"),
        ("widht=64", "unknown setting 'widht', did you mean 'width'?"),
    ],
)
def test_wrong_setting_is_named(query: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(f"pattern:?{query}")

    assert str(caught.value) == f"source 'pattern:?{query}': {message}"
