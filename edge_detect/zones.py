"""Zones: parts of the picture, and lines across it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TypeAlias

from edge_detect import config
from edge_detect.errors import ConfigError
from edge_detect.lazy import suggest

Point: TypeAlias = tuple[float, float]
"""The x and y in 0..1 of the picture, y down."""


def anchor(box: tuple[float, ...], size: tuple[int, int], where: str) -> Point:
    """The point of a box, in pixels of a picture of `size`, that tells where the thing is.

    Args:
        box: x1 y1 x2 y2.
        size: (width, height).
        where: `foot`, where it stands on the ground, or `centre`. The foot of what the picture
            cuts off is in its lowest row, and so in a zone that reaches to the edge.
    """
    x1, y1, x2, y2 = box
    y = min(y2, size[1] - 0.5) if where == "foot" else (y1 + y2) / 2
    return (x1 + x2) / 2 / size[0], y / size[1]


def contains(points: config.Points, point: Point) -> bool:
    """Whether a point lies in a polygon, which may be concave; by the even-odd rule."""
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            inside = not inside
    return inside


def crossings(points: config.Points, start: Point, end: Point) -> int:
    """How often the way from `start` to `end` crosses a line of straight pieces.

    Returns:
        Positive when it comes out at the right hand of who walks along the line from its first
        point, negative at the left; 0 when it ends on the side where it began.
    """
    count = 0
    for a, b in itertools.pairwise(points):
        side_a, side_b = _side(start, end, a) > 0, _side(start, end, b) > 0
        from_right, to_right = _side(a, b, start) > 0, _side(a, b, end) > 0
        if side_a != side_b and from_right != to_right:  # half-open: a corner belongs to one piece
            count += 1 if to_right else -1
    return count


def _side(a: Point, b: Point, point: Point) -> float:
    """Positive for a point at the right hand of who walks from a to b, since y points down."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def check(zones: Iterable[config.Zone], labels: Iterable[str] | None = None) -> None:
    """Checks what a single setting does not show.

    Args:
        zones: All of them.
        labels: Names that classes may have; any without.

    Raises:
        ConfigError: The first zone that cannot be.
    """
    names: set[str] = set()
    known = None if labels is None else list(labels)
    for number, zone in enumerate(zones, 1):
        where = f"zone '{zone.name}'" if zone.name else f"zone {number}"
        least = 2 if zone.kind == "line" else 3
        if not zone.name:
            raise ConfigError(f"{where}: expected a name")
        if zone.name in names:
            raise ConfigError(f"{where}: expected another name for each, got it twice")
        if len(set(zone.points)) < least:
            raise ConfigError(
                f"{where}: expected {least} points or more for a {zone.kind}, got {len(set(zone.points))}"
            )
        if zone.min_size > zone.max_size:
            raise ConfigError(f"{where}: min_size: expected max_size or less, got {zone.min_size:g}")
        for name in zone.classes:
            if known is not None and name not in known:
                raise ConfigError(f"{where}: unknown class '{name}'{suggest(name, known)}")
        names.add(zone.name)


def polygon(text: str) -> config.Points:
    """The corners in a text such as `0,0 1,0 1,0.1`.

    Raises:
        ConfigError: It is none.
    """
    try:
        points = tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in text.split()))
    except ValueError:
        points = ()
    if len(points) < 3 or not all(0 <= side <= 1 for point in points for side in point):
        raise ConfigError(f"'{text}': expected three corners or more, such as '0,0 1,0 1,0.1', from 0 to 1")
    return points
