from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import zones
from edge_detect.config import Zone
from edge_detect.errors import ConfigError

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
DIAMOND = ((0.5, 0.1), (0.9, 0.5), (0.5, 0.9), (0.1, 0.5))
HORSESHOE = ((0.0, 0.0), (0.3, 0.0), (0.3, 0.7), (0.7, 0.7), (0.7, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
ACROSS = ((0.0, 0.5), (0.5, 0.5), (1.0, 0.5))
POINT = st.tuples(
    st.integers(0, 40).map(lambda n: n / 41 + 0.003), st.integers(0, 40).map(lambda n: n / 41 + 0.007)
)


@pytest.mark.parametrize(
    "points, point, inside",
    [
        (SQUARE, (0.5, 0.5), True),
        (SQUARE, (0.1, 0.5), False),
        (SQUARE, (0.5, 0.9), False),
        (HORSESHOE, (0.5, 0.3), False),
        (HORSESHOE, (0.15, 0.3), True),
        (DIAMOND, (0.5, 0.5), True),  # level with two corners
        (DIAMOND, (0.05, 0.5), False),
        (DIAMOND, (0.95, 0.5), False),
        (HORSESHOE, (0.5, 0.9), True),
    ],
)
def test_a_polygon_contains_what_is_inside(
    points: zones.config.Points, point: zones.Point, inside: bool
) -> None:
    assert zones.contains(points, point) == inside
    assert zones.contains(points[::-1], point) == inside


@given(POINT)
def test_a_polygon_agrees_with_opencv(point: zones.Point) -> None:
    cv2 = pytest.importorskip("cv2")
    outline = np.array(HORSESHOE, np.float32)

    assert zones.contains(HORSESHOE, point) == (cv2.pointPolygonTest(outline, point, False) > 0)


def test_downwards_across_a_line_from_left_to_right_is_in() -> None:
    assert zones.crossings(ACROSS, (0.3, 0.4), (0.3, 0.6)) == 1
    assert zones.crossings(ACROSS, (0.3, 0.6), (0.3, 0.4)) == -1
    assert zones.crossings(ACROSS[::-1], (0.3, 0.4), (0.3, 0.6)) == -1


def test_through_a_corner_is_one_crossing() -> None:
    assert zones.crossings(ACROSS, (0.5, 0.4), (0.5, 0.6)) == 1


def test_past_the_end_of_a_line_is_none() -> None:
    assert zones.crossings(((0.4, 0.5), (0.6, 0.5)), (0.7, 0.4), (0.7, 0.6)) == 0


@given(st.lists(POINT, min_size=2, max_size=12))
def test_who_walks_about_is_on_the_side_that_the_crossings_say(way: list[zones.Point]) -> None:
    total = sum(zones.crossings(ACROSS, a, b) for a, b in itertools.pairwise(way))

    assert total == (way[-1][1] > 0.5) - (way[0][1] > 0.5)


def test_a_foot_stays_in_the_picture() -> None:
    assert zones.anchor((10, 20, 30, 120), (100, 100), "foot") == (0.2, 0.995)
    assert zones.anchor((10, 20, 30, 80), (100, 100), "centre") == (0.2, 0.5)


@pytest.mark.parametrize(
    "zone, said",
    [
        (Zone(points=SQUARE), "zone 1: expected a name"),
        (Zone("a", points=SQUARE[:2]), "zone 'a': expected 3 points or more for a zone, got 2"),
        (Zone("a", "line", (SQUARE[0], SQUARE[0])), "zone 'a': expected 2 points or more for a line, got 1"),
        (Zone("a", points=SQUARE, classes=("dgo",)), "zone 'a': unknown class 'dgo', did you mean 'dog'?"),
        (Zone("a", points=SQUARE, min_size=0.5, max_size=0.1), "zone 'a': min_size: expected max_size or less, got 0.5"),
    ],
)  # fmt: skip
def test_a_zone_that_cannot_be_is_told(zone: Zone, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        zones.check([zone], ["dog", "person"])

    assert str(caught.value) == said


def test_two_zones_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="zone 'a': expected another name for each"):
        zones.check([Zone("a", points=SQUARE)] * 2)


def test_a_mask_is_read() -> None:
    assert zones.polygon("0,0 1,0 1,0.1") == ((0.0, 0.0), (1.0, 0.0), (1.0, 0.1))


@pytest.mark.parametrize("text", ["", "0,0 1,1", "0,0 1,0 2,1", "0,0 1,0 x,1", "0,0 1,0 1", "0,0 1,0 nan,1"])
def test_a_mask_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected three corners or more"):
        zones.polygon(text)
