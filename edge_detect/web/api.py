"""API: what programs ask, and the settings that the page changes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from edge_detect.config import Zone
from edge_detect.errors import ConfigError
from edge_detect.state import zone_of
from edge_detect.web import events, metrics
from edge_detect.web.guard import Guarded, Refused

MOST = 32  # zones, and points of each, that a page may draw
LONGEST = 40  # letters of their names
_WHOLE = re.compile(r"\d{1,15}")


class StateOf(Guarded):
    """Everything about the run."""

    def get(self) -> None:
        self.answer(self.desk.state.whole())


class EventsOf(Guarded):
    """What happened, the newest change first: `?after=SEQ&label=NAME&limit=N`."""

    async def get(self) -> None:
        after = self._whole("after", 0)
        limit = min(self._whole("limit", events.KEPT), events.KEPT)
        label = self.get_query_argument("label", "")
        state, rows = self.desk.state, []
        if records := state.facts.records:
            find = partial(records.find, after=after, label=label, limit=limit)
            rows = await asyncio.get_running_loop().run_in_executor(self.desk.disk, find)
        # asked last: their `seq` is beyond that of all that is kept
        rows += state.events.find(after=after, label=label, limit=limit)
        self.answer({"events": sorted(rows, key=lambda row: int(row["seq"]), reverse=True)[:limit]})

    def _whole(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not _WHOLE.fullmatch(text) or not text.isascii():
            raise Refused(400, f"{name}: expected a whole number")
        return int(text)


class Settings(Guarded):
    """Changes what a person may change: confidence, classes, paused, zones."""

    async def post(self) -> None:
        headers = self.request.headers
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "expected application/json")
        if "X-Requested-With" not in headers:  # a form of another page cannot send it
            raise Refused(403, "expected a header X-Requested-With")
        wanted = wanted_of(self.request.body)
        controls = self.desk.state.controls
        try:
            if "zones" in wanted:
                wanted["zones"] = zones_of(wanted["zones"], controls.choice.zones)
            change = partial(controls.change, **wanted)
            # who is told of the change may write it to a slow card
            await asyncio.get_running_loop().run_in_executor(None, change)
        except ConfigError as error:
            raise Refused(400, str(error)) from error
        self.desk.state.sample()
        self.answer(self.desk.state.settings())


def _share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # which NaN is not


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def zones_of(values: list[dict[str, Any]], known: tuple[Zone, ...]) -> tuple[Zone, ...]:
    """The zones of a request; what it does not say of one stays as it is in the known one of the name.

    Raises:
        Refused: One is none, or there are too many.
    """
    if len(values) > MOST:
        raise Refused(400, f"zones: expected at most {MOST}")
    by_name = {zone.name: zone for zone in known}
    try:
        if any(value.keys() - {"name", "kind", "points", "classes"} for value in values):
            raise TypeError("zones")
        zones = tuple(zone_of(value, by_name.get(str(value.get("name")))) for value in values)
    except TypeError as error:
        raise Refused(
            400, "zones: expected objects with name, kind, points [[x, y], ...] from 0 to 1 and classes"
        ) from error
    for zone in zones:
        if not (zone.name.strip() and zone.name.isprintable() and len(zone.name) <= LONGEST):
            raise Refused(400, f"zones: expected names of 1 to {LONGEST} letters")
        if len(zone.points) > MOST:
            raise Refused(400, f"zones: expected at most {MOST} points")
    return zones


_SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "confidence": (_share, "a number from 0 to 1"),
    "classes": (_names, "a list of names"),
    "zones": (_tables, "a list of zones"),
    "paused": (lambda value: isinstance(value, bool), "true or false"),
}


def wanted_of(body: bytes) -> dict[str, Any]:
    """The settings in the body of a request.

    Raises:
        Refused: It is not a JSON object of settings that may be changed.
    """
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "expected JSON") from error
    if not isinstance(wanted, dict) or not wanted:
        raise Refused(400, f"expected an object with some of {', '.join(_SETTINGS)}")
    for name, value in wanted.items():
        fits, what = _SETTINGS.get(name, (None, ""))
        if fits is None:
            raise Refused(400, f"expected some of {', '.join(_SETTINGS)}, got another name")
        if not fits(value):
            raise Refused(400, f"{name}: expected {what}")
    return wanted


class Metrics(Guarded):
    """For Prometheus."""

    probe = True

    def get(self) -> None:
        self.set_header("Content-Type", metrics.TYPE)
        self.finish(metrics.text(self.desk.state, self.desk.station))


class Healthy(Guarded):
    """200 while frames and results come, else 503 and why not."""

    probe = True

    def get(self) -> None:
        illness = self.desk.state.illness()
        answer = {"healthy": not illness, "paused": self.desk.state.controls.choice.paused}
        self.answer(answer | ({"reason": illness} if illness else {}), 503 if illness else 200)


class Ready(Guarded):
    """200 as soon as a frame has been looked at."""

    probe = True

    def get(self) -> None:
        ready = self.desk.state.ready
        self.answer({"ready": ready}, 200 if ready else 503)
