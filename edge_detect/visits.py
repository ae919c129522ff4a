"""Visits: what is known of each thing for as long as it is there, and where it is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge_detect import zones
from edge_detect.config import Zone
from edge_detect.events import Kind
from edge_detect.tracks import Track


@dataclass(slots=True)
class Open:
    """An event that has begun; as in `Event`, and when it did so."""

    id: str
    kind: Kind
    label: str
    zone: str
    direction: str
    start_time: str
    began: float


@dataclass(slots=True)
class Inside:
    """Where a thing is as to one zone."""

    is_inside: bool = False
    doubts: int = 0  # looks in a row that say otherwise
    since: float = 0.0  # when it was first seen inside


class Visit:
    """One thing from its coming to its going.

    Attributes:
        track: As it is now.
        looks: Of the last ones, at which it was well seen.
        confirmed: Whether it is there for sure.
        open: Events that have begun, by kind and zone.
        inside: How it stands to each zone.
        zones: Names of those in which it is.
        told_zones: The same when it was last told of; None before.
        updated: When it was last told of.
        crossed: Names of lines and signs of `zones.crossings` that are not told yet.
        share: Of the picture that it fills.
        box: x1 y1 x2 y2 in 0..1 of the picture.
    """

    def __init__(self, track: Track, among: int) -> None:
        self.track = track
        self.looks: deque[bool] = deque(maxlen=among)
        self.confirmed = False
        self.open: dict[tuple[Kind, str], Open] = {}
        self.inside: dict[str, Inside] = {}
        self.zones: tuple[str, ...] = ()
        self.told_zones: tuple[str, ...] | None = None
        self.updated = 0.0
        self.crossed: list[tuple[str, int]] = []
        self.share = 0.0
        self.box: tuple[float, ...] = ()
        self._size = (1, 1)
        self._anchors: dict[str, zones.Point] = {}  # the last place before a line
        self._across: Counter[str] = Counter()  # looks in a row behind it

    def see(self, track: Track, size: tuple[int, int]) -> None:
        """Takes what is newest."""
        self.track, self._size = track, size
        width, height = size
        x1, y1, x2, y2 = track.box
        inside = max(0.0, x1), max(0.0, y1), min(x2, width), min(y2, height)
        self.share = max(0.0, inside[2] - inside[0]) * max(0.0, inside[3] - inside[1]) / (width * height)
        sides = zip(track.box, (width, height, width, height), strict=True)
        self.box = tuple(round(min(max(side / whole, 0.0), 1.0), 4) for side, whole in sides)

    def label(self, labels: Sequence[str]) -> str:
        """The name of its class."""
        number = self.track.class_id
        return labels[number] if number < len(labels) else str(number)

    def is_inside(self, name: str) -> bool:
        """Whether it is in a zone, for sure."""
        return name in self.inside and self.inside[name].is_inside

    def move(self, place: Zone, now: float) -> None:
        """Sees where it is now as to a zone or a line."""
        point = zones.anchor(self.track.box, self._size, place.anchor)
        if place.kind == "line":
            self._cross(place, point)
            return
        state = self.inside.setdefault(place.name, Inside())
        if zones.contains(place.points, point) == state.is_inside:
            state.doubts = 0
            return
        if not state.doubts and not state.is_inside:
            state.since = now
        state.doubts += 1
        if state.doubts >= place.inertia:
            state.is_inside, state.doubts = not state.is_inside, 0

    def forget_others(self, places: Sequence[Zone]) -> None:
        """Drops what is known of zones and lines that are not among these."""
        for known, kind in ((self.inside, "zone"), (self._anchors, "line")):
            for name in known.keys() - {place.name for place in places if place.kind == kind}:
                del known[name]

    def _cross(self, place: Zone, point: zones.Point) -> None:
        """Notes a crossing as soon as enough looks in a row lie behind the line."""
        before = self._anchors.setdefault(place.name, point)
        across = zones.crossings(place.points, before, point)
        if not across:
            self._anchors[place.name] = point
            self._across[place.name] = 0
            return
        self._across[place.name] += 1
        if self._across[place.name] >= place.inertia:
            self._anchors[place.name] = point
            self._across[place.name] = 0
            self.crossed.append((place.name, across))
