"""Rules: what is told of the things in the picture, and when.

Every event has one start and one end with the same id. What lasts (`appeared`, `entered`, `stayed`,
`camera_lost`) ends when it is over; what is a moment (`crossed`, `left`, `gone`, `camera_back`) ends
at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from edge_detect import config, zones
from edge_detect.config import Zone
from edge_detect.errors import ConfigError
from edge_detect.events import KINDS, Event, Kind, Type
from edge_detect.lazy import suggest
from edge_detect.moment import Moment
from edge_detect.tracks import Track
from edge_detect.visits import Open, Visit

Counts: TypeAlias = dict[tuple[str, str, str], int]
"""Name of a line, label and direction (`in` or `out`) to how many have crossed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What all events of a run have in common; as in `Event`."""

    source: str = ""
    node: str = ""
    model: str = ""
    model_sha256: str = ""


class Rules:
    """Judges the tracks of one frame after another.

    Attributes:
        counts: Who has crossed each line so far.
    """

    def __init__(
        self,
        settings: config.Events,
        places: Sequence[Zone],
        labels: Sequence[str],
        origin: Origin | None = None,
        *,
        token: str = "0",
        counts: Mapping[tuple[str, str, str], int] | None = None,
    ) -> None:
        """Knows nothing yet.

        Args:
            settings: What is told.
            places: Zones and lines.
            labels: Names of the classes.
            origin: What all events have in common.
            token: Makes the ids of this run differ from those of every other.
            counts: Of the lines, from earlier runs.

        Raises:
            ConfigError: A zone or a threshold that cannot be.
        """
        self.counts: Counts = Counter(counts or {})
        self._labels, self._origin, self._token = list(labels), origin or Origin(), token
        self._visits: dict[int, Visit] = {}
        self._last_starts: dict[tuple[Kind, str, str], float] = {}
        self._number = 0
        self._lost: Open | None = None
        self.change(settings, places)

    def change(self, settings: config.Events, places: Sequence[Zone]) -> None:
        """Takes other settings; what has begun by the old ones ends in its own time.

        Raises:
            ConfigError: One that cannot be; the old ones hold.
        """
        limits = check(settings, places, self._labels)
        self._settings, self._places, self._limits = settings, tuple(places), limits
        self._is_changed = True

    def judge(
        self, tracks: Iterable[Track], size: tuple[int, int], moment: Moment, *, looked: bool = True
    ) -> tuple[Event, ...]:
        """What begins, changes and ends with a frame.

        Args:
            tracks: All things that are known at it.
            size: (width, height) of the frame.
            moment: Now.
            looked: Whether the net looked at it.
        """
        told: list[Event] = []
        known: set[int] = set()
        if self._is_changed:
            self._is_changed = False
            for visit in self._visits.values():
                visit.forget_others(self._places)
        for track in tracks:
            known.add(track.id)
            if track.id not in self._visits:
                self._visits[track.id] = Visit(track, self._settings.among)
            visit = self._visits[track.id]
            visit.see(track, size)
            if looked:
                self._look(visit, moment)
            if visit.confirmed:
                told += self._tell(visit, moment, looked=looked)
        for number in [number for number in self._visits if number not in known]:
            told += self._close(self._visits.pop(number), moment)
        return tuple(told)

    def camera(self, moment: Moment, *, lost: bool) -> tuple[Event, ...]:
        """The camera goes, with all that was seen through it, or is back."""
        told: list[Event] = []
        if lost and self._lost is None:
            told += self.finish(moment)
            if "camera_lost" in self._settings.kinds:
                self._lost = self._open("camera_lost", None, "", moment)
                told.append(self._event("start", self._lost, None, moment))
        elif not lost and self._lost is not None:
            told.append(self._event("end", self._lost, None, moment))
            self._lost = None
            told += self._at_once("camera_back", None, "", moment)
        return tuple(told)

    def finish(self, moment: Moment) -> tuple[Event, ...]:
        """Ends all that has begun: nobody looks any more."""
        told = [event for visit in self._visits.values() for event in self._close(visit, moment)]
        self._visits = {}
        if self._lost:
            told.append(self._event("end", self._lost, None, moment))
            self._lost = None
        return tuple(told)

    @property
    def present(self) -> dict[str, int]:
        """How many things of each label are here now."""
        return dict(Counter(visit.label(self._labels) for visit in self._visits.values() if visit.confirmed))

    @property
    def inside(self) -> dict[str, dict[str, int]]:
        """The same for each zone."""
        found: dict[str, Counter[str]] = {
            place.name: Counter() for place in self._places if place.kind == "zone"
        }
        for visit in self._visits.values():
            for name in visit.zones if visit.confirmed else ():
                if name in found:
                    found[name][visit.label(self._labels)] += 1
        return {name: dict(labels) for name, labels in found.items()}

    def _look(self, visit: Visit, moment: Moment) -> None:
        """Notes what a look has shown of a thing."""
        settings, track = self._settings, visit.track
        if visit.looks.maxlen != settings.among:
            visit.looks = deque(visit.looks, settings.among)
        fits = settings.min_size <= visit.share <= settings.max_size
        least = self._limits.get(track.class_id, settings.confidence)
        visit.looks.append(not track.predicted and fits and track.score >= least)
        if sum(visit.looks) >= settings.hits and track.seen - track.since >= settings.min_duration:
            visit.confirmed = True
        if not track.predicted:
            for place in self._places:
                visit.move(place, moment.now)

    def _tell(self, visit: Visit, moment: Moment, *, looked: bool) -> Iterator[Event]:
        """What is to be told of a thing that is there for sure."""
        label = visit.label(self._labels)
        places = {place.name: place for place in self._places if self._is_for(place, visit, label)}
        visit.zones = tuple(name for name in places if visit.is_inside(name))
        yield from self._begin("appeared", visit, "", moment)
        for kind, name in list(visit.open):
            if name and name not in visit.zones:
                yield self._event("end", visit.open.pop((kind, name)), visit, moment)
                if kind == "entered":
                    yield from self._at_once("left", visit, name, moment)
        for name in visit.zones:
            yield from self._begin("entered", visit, name, moment)
            stay = places[name].stay
            if stay and visit.track.seen - visit.inside[name].since >= stay:
                yield from self._begin("stayed", visit, name, moment)
        for name, across in visit.crossed:
            if name in places:
                direction = "in" if across > 0 else "out"
                self.counts[name, label, direction] += 1
                yield from self._at_once("crossed", visit, name, moment, direction)
        visit.crossed = []
        if looked and not visit.track.predicted:
            yield from self._update(visit, moment)

    def _is_for(self, place: Zone, visit: Visit, label: str) -> bool:
        """Whether a thing is one that a zone is for."""
        return (
            (not place.classes or label in place.classes)
            and visit.track.top_score >= place.confidence
            and place.min_size <= visit.share <= place.max_size
        )

    def _begin(self, kind: Kind, visit: Visit, zone: str, moment: Moment) -> Iterator[Event]:
        """The start of what lasts, unless it has begun, or has to wait."""
        if (kind, zone) not in visit.open and self._may_start(kind, visit.label(self._labels), zone, moment):
            opened = visit.open[kind, zone] = self._open(kind, visit, zone, moment)
            yield self._event("start", opened, visit, moment)

    def _at_once(
        self, kind: Kind, visit: Visit | None, zone: str, moment: Moment, direction: str = ""
    ) -> Iterator[Event]:
        """Start and end of what is a moment."""
        if self._may_start(kind, visit.label(self._labels) if visit else "", zone, moment):
            opened = self._open(kind, visit, zone, moment, direction)
            yield self._event("start", opened, visit, moment)
            yield self._event("end", opened, visit, moment)

    def _may_start(self, kind: Kind, label: str, zone: str, moment: Moment) -> bool:
        """Whether a kind is wanted and its cool-down over."""
        if kind not in self._settings.kinds:
            return False
        if kind == "camera_back":
            return True  # what the camera does is always told
        places = {place.name: place.cooldown for place in self._places}
        own = places.get(zone, -1.0)
        least = self._settings.cooldown if own < 0 else own
        return moment.now - self._last_starts.get((kind, label, zone), float("-inf")) >= least

    def _open(self, kind: Kind, visit: Visit | None, zone: str, moment: Moment, direction: str = "") -> Open:
        label = visit.label(self._labels) if visit else ""
        self._last_starts[kind, label, zone] = moment.now
        began = moment.now
        if visit and kind == "appeared":
            began = min(visit.track.since, moment.now)
        elif visit and kind in ("entered", "stayed"):
            began = min(visit.inside[zone].since, moment.now)
        start = moment.stamp(moment.now - began)
        self._number += 1
        compact = start.replace("-", "").replace(":", "")
        return Open(f"{compact}-{self._token}-{self._number}", kind, label, zone, direction, start, began)

    def _update(self, visit: Visit, moment: Moment) -> Iterator[Event]:
        """How things are with what lasts, now and then, and when the zones have changed."""
        every = self._settings.every
        due = moment.now - visit.updated >= every or visit.zones != visit.told_zones
        if not every or not due:
            return
        is_first, visit.updated, visit.told_zones = visit.told_zones is None, moment.now, visit.zones
        for opened in () if is_first else visit.open.values():
            if self._last_starts[opened.kind, opened.label, opened.zone] < moment.now:  # not just begun
                yield self._event("update", opened, visit, moment)

    def _close(self, visit: Visit, moment: Moment) -> Iterator[Event]:
        """The ends of all that lasted while a thing was there."""
        opened, visit.open = visit.open, {}
        for (kind, zone), one in reversed(opened.items()):
            yield self._event("end", one, visit, moment)
            if kind == "entered":
                yield from self._at_once("left", visit, zone, moment)
        if visit.confirmed:
            yield from self._at_once("gone", visit, "", moment)

    def _event(self, type: Type, opened: Open, visit: Visit | None, moment: Moment) -> Event:
        until = moment.now
        if visit and type == "end":
            until = min(visit.track.seen, moment.now)  # and not until it was given up
        seen: dict[str, Any] = {"track_id": 0, "score": 0.0, "top_score": 0.0, "box": (), "zones": ()}
        if visit:
            seen = {
                "track_id": visit.track.id,
                "score": round(visit.track.score, 4),
                "top_score": round(visit.track.top_score, 4),
                "box": visit.box,
                "zones": visit.zones,
            }
        return Event(
            id=opened.id,
            type=type,
            kind=opened.kind,
            label=opened.label,
            source=self._origin.source,
            zone=opened.zone,
            direction=opened.direction,
            start_time=opened.start_time,
            time=moment.stamp(),
            duration_s=round(max(0.0, until - opened.began), 3),
            clock_synced=moment.synced,
            node=self._origin.node,
            model=self._origin.model,
            model_sha256=self._origin.model_sha256,
            **seen,
        )


def check(
    settings: config.Events, places: Sequence[Zone], labels: Sequence[str] | None = None
) -> dict[int, float]:
    """The thresholds of single classes, by number; none where the labels are not known.

    Raises:
        ConfigError: Settings that cannot be.
    """
    zones.check(places, labels)
    for kind in settings.kinds:
        if kind not in KINDS:
            raise ConfigError(f"events.kinds: unknown kind '{kind}'{suggest(kind, KINDS)}")
    if settings.hits > settings.among:
        raise ConfigError(
            f"events.hits: expected {settings.among} or less, as among says, got {settings.hits}"
        )
    if settings.min_size > settings.max_size:
        raise ConfigError(f"events.min_size: expected max_size or less, got {settings.min_size:g}")
    limits = {}
    for text in settings.thresholds:
        name, _, number = text.partition("=")
        try:
            limits[name.strip()] = float(number)
        except ValueError:
            limits[name.strip()] = -1.0
        if not 0 <= limits[name.strip()] <= 1:
            raise ConfigError(
                f"events.thresholds: expected a class and a number from 0 to 1, 'cat=0.6', got '{text}'"
            )
        if labels is not None and name.strip() not in labels:
            raise ConfigError(
                f"events.thresholds: unknown class '{name.strip()}'{suggest(name.strip(), labels)}"
            )
    return {number: limits[name] for number, name in enumerate(labels or ()) if name in limits}


def interrupted(event: Event, moment: Moment) -> Event:
    """The end of an event that a crash left open; how long it went on after its last word is not known."""
    return replace(event, type="end", time=moment.stamp(), clock_synced=moment.synced)
