"""State: how the run is, once a second: for the page, for programs and for who watches its health."""

from __future__ import annotations

import time
from typing import Any

import psutil

from edge_detect import __version__, board
from edge_detect.controls import Choice, Controls
from edge_detect.facts import Facts
from edge_detect.state import plain_zone
from edge_detect.web.events import Events
from edge_detect.web.station import Station
from edge_detect.web.tally import Tally

RATE = 3.0  # seconds over which frames a second are counted


class State:
    """What is known of the run.

    Attributes:
        facts: What the run is made of.
        tally: What the scenes add up to.
        stats: As of the last second.
        events: What happened.
        throttled: The firmware's bits; None where there are none.
        shown: When the last picture came that was not looked at, since paused; monotonic.
    """

    def __init__(self, facts: Facts, controls: Controls, tally: Tally, station: Station) -> None:
        self.facts, self.controls, self.tally, self.events = facts, controls, tally, Events(self._kept)
        self._station = station
        self._process = psutil.Process()
        self._begun = self._paused_at = time.monotonic()
        self._cpu = (self._begun, time.process_time())
        self._lost = False
        self._choice = controls.choice
        self.throttled: int | None = None
        self.shown = float("-inf")
        self.stats: dict[str, Any] = {}
        self.sample()
        self.events.add("start", f"Watching {facts.source.partition('?')[0] or 'a source'}")

    def sample(self) -> None:
        """Brings `stats` up to date, and tells what has changed."""
        now, used = time.monotonic(), time.process_time()
        before, self._cpu = self._cpu, (now, used)
        rate, p50, p95 = self.tally.recent(RATE)
        newest, timing = self.facts.newest, self.tally.timing
        if self.controls.choice != self._choice:
            self._tell_choice(self._choice, self.controls.choice)
        if (lost := newest is not None and newest.lost) != self._lost:
            self._tell_camera(lost)
        self.stats = {
            "fps": round(rate, 2),
            "latency_ms": round(p50 * 1e3, 1),
            "latency_p95_ms": round(p95 * 1e3, 1),
            "infer_ms": round((timing.prepare + timing.invoke + timing.decode) * 1e3, 2),
            "cpu_percent": round((used - before[1]) / max(now - before[0], 1e-3) * 100, 1),
            "rss_mb": round(self._process.memory_info().rss / 1e6, 1),
            "temperature": board.temperature(),
            "throttled": list(board.flags(self.throttled)),
            "captured": newest.captured if newest else self.tally.frames,
            "dropped": newest.dropped if newest else 0,
            "processed": self.tally.frames,
            "frame_age": self._age(self.frame_age()),
            "lost": self._lost,
            "viewers": len(self._station.viewers),
            "last_event": max(self.events.last, self._kept()),
            **self.settings(),
        }

    def _kept(self) -> int:
        return self.facts.records.last if self.facts.records else 0

    def look_at_board(self) -> None:
        """Asks the firmware whether it throttles; may take seconds, so not in the loop."""
        self.throttled = board.throttled()

    def settings(self) -> dict[str, Any]:
        """What a person may change, as it is now."""
        choice = self.controls.choice
        return {
            "confidence": choice.confidence,
            "classes": list(choice.classes),
            "paused": choice.paused,
            "zones": [plain_zone(zone) for zone in choice.zones],
        }

    def whole(self) -> dict[str, Any]:
        """Everything, as `/api/state` gives it; no secret is in it."""
        facts = self.facts
        return {
            "version": __version__,
            "model": {"name": facts.model, "sha256": facts.sha256, "runtime": facts.runtime},
            "source": facts.source,
            "labels": list(self.controls.labels.names),
            "settings": self.settings(),
            "privacy": {"no_pictures": facts.privacy.no_pictures, "blur": list(facts.privacy.blur)},
            "recording": facts.recorder is not None,
            "kept": facts.records is not None,
            "stats": self.stats,
            "counts": facts.counts(),
        }

    def frame_age(self) -> float:
        """Seconds since the newest frame came; of a recorded source, since it was looked at."""
        if self.facts.newest:
            return self.facts.newest.age
        return time.monotonic() - max(self.tally.last, self.shown)

    def illness(self) -> str:
        """Why the run is not healthy; empty when it is. Nothing need be found while it is paused."""
        now, patience = time.monotonic(), self.facts.patience
        if not self.ready and now - self._begun < patience:
            return "starting: no frame has been looked at yet"
        if self._lost:
            return f"camera lost: no frame for {self.frame_age():.0f} s"
        if (age := self.frame_age()) > patience:
            return f"the newest frame is {self._age(age)} s old"
        if self.controls.choice.paused:
            self._paused_at = now
            return ""
        # what was not looked at in a pause is not missed before the patience after it is over
        if (silent := now - max(self.tally.last, self._paused_at)) > patience:
            return f"nothing was looked at for {silent:.0f} s"
        return ""

    @property
    def ready(self) -> bool:
        """Whether a frame has been looked at, or need not be."""
        return self.tally.frames > 0 or (
            self.controls.choice.paused and self.frame_age() < self.facts.patience
        )

    @staticmethod
    def _age(seconds: float) -> float | None:
        return round(seconds, 1) if seconds < 1e9 else None

    def _tell_camera(self, lost: bool) -> None:
        self._lost = lost
        if self.facts.followed:
            return
        if lost:
            self.events.add("camera_lost", "The camera is away")
        else:
            self.events.add("camera_back", "The camera is back")

    def _tell_choice(self, before: Choice, now: Choice) -> None:
        self._choice = now
        if now.paused != before.paused:
            if not now.paused:
                self._paused_at = time.monotonic()
            self.events.add(
                "paused" if now.paused else "resumed", "Paused" if now.paused else "Watching again"
            )
        if now.confidence != before.confidence:
            self.events.add("settings", f"Threshold is {now.confidence:.0%}")
        if now.classes != before.classes:
            names = ", ".join(now.classes) if len(now.classes) <= 3 else f"{len(now.classes)} classes"
            self.events.add("settings", f"Looking for {names or 'all classes'}")
        if now.zones != before.zones:
            names = ", ".join(zone.name for zone in now.zones)
            self.events.add("settings", f"Zones: {names}" if names else "No zones any more")
