from __future__ import annotations

import numpy as np

from edge_detect.archive.summary import Sighting, Tally, Trace
from edge_detect.archive.timeline import PANELS, timeline
from edge_detect.draw import colour
from edge_detect.frame import Image


def seen(begin: float, end: float, count: int = 1, class_id: int = 0) -> Sighting:
    trace = Trace()
    trace.add(begin, end, count)
    return Sighting(class_id, 1, count, begin, end, trace)


def columns(image: Image, class_id: int = 0) -> list[int]:
    """Where the bars of a class are, left of what stands beside them."""
    plot = image[:, 218:1442]
    there = (plot == colour(class_id)).all(2).sum(0) >= 5
    return (np.flatnonzero(there) + 218).tolist()


def test_bars_stand_where_something_was_seen() -> None:
    tally = Tally("a.mp4", True, 100, 100.0, {"person": seen(25.0, 50.0)})

    where = columns(timeline([tally]))

    assert abs(where[0] - (218 + 0.25 * 1224)) <= 2
    assert abs(where[-1] - (218 + 0.5 * 1224)) <= 2
    assert len(where) == where[-1] - where[0] + 1


def test_a_moment_in_a_day_can_be_seen() -> None:
    tally = Tally("a.mp4", True, 9, 86400.0, {"person": seen(40000.0, 40000.04)})

    assert columns(timeline([tally]))


def test_each_label_has_its_colour_and_row() -> None:
    tally = Tally("a.mp4", True, 9, 10.0, {"person": seen(0, 5), "car": seen(5, 10, class_id=2)})
    image = timeline([tally])

    rows = [np.flatnonzero((image[:, 218:1442] == colour(each)).all(2).any(1)) for each in (0, 2)]
    assert not set(rows[0].tolist()) & set(rows[1].tolist())


def test_more_at_once_is_higher() -> None:
    both = seen(0, 5, 1)
    both.trace.add(5, 10, 4)
    both.most = 4
    image = timeline([Tally("a.mp4", True, 9, 10.0, {"person": both})])

    heights = (image == colour(0)).all(2).sum(0)
    assert heights[218 + 900] > heights[218 + 300] > 5


def test_nothing_to_see_and_too_much_are_still_a_picture() -> None:
    blank, full = timeline([Tally("a.mp4")]), Tally("ä.mp4", True, 1, 0.04, {"person": seen(0, 0.04)})

    assert blank.shape[1] == 1600
    assert timeline([full] * (PANELS + 9)).shape == timeline([full] * PANELS).shape
