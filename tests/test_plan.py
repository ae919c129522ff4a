from __future__ import annotations

import numpy as np
import scenes

from edge_detect import plan
from edge_detect.config import Zone
from edge_detect.draw import colour

SIZE = (640, 360)


def changed(*zones: Zone) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(height, width) what the zones change in a grey picture."""
    picture = scenes.picture(90, SIZE)
    drawn = plan.draw(picture, zones)
    assert (picture == 90).all()
    return (drawn != 90).any(2)


def test_a_zone_is_tinted_inside() -> None:
    touched = changed(Zone("a", points=((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))))

    assert touched[200:340, 340:620].all()
    assert not touched[:150].any()


def test_the_arrow_of_a_line_shows_the_way_in() -> None:
    down = changed(Zone("a", "line", ((0.3, 0.5), (0.7, 0.5))))
    up = changed(Zone("a", "line", ((0.7, 0.5), (0.3, 0.5))))

    assert down[190:240, 300:340].any()
    assert not up[190:240].any()
    assert up[120:170, 300:340].any()


def test_each_zone_has_its_colour() -> None:
    zones = [
        Zone(str(n), points=((x, 0.4), (x + 0.2, 0.4), (x + 0.2, 0.9), (x, 0.9)))
        for n, x in enumerate((0.1, 0.6))
    ]
    drawn = plan.draw(scenes.picture(90, SIZE), zones)

    assert all((drawn == colour(number)).all(2).any() for number in (1, 2))


def test_a_name_stays_in_the_picture() -> None:
    touched = changed(Zone("a very long name of a zone " * 2, "line", ((0.99, 0.0), (0.99, 0.2))))

    assert touched[:30, 100:600].any()
