"""Courier: delivers events from a bounded queue, so that the loop never waits for whom they are for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from edge_detect.errors import SinkError
from edge_detect.events import Event
from edge_detect.notices.filter import Filter
from edge_detect.scene import Scene

log = logging.getLogger(__name__)

GRACE = 2.0  # seconds at the end for what still waits
LIMIT = 7.0  # seconds that a delivery under way may take to notice the end

Deliver: TypeAlias = Callable[[Event, threading.Event], None]
"""Brings one event; gives up when the flag is set. Raises SinkError when it could not."""


class Courier:
    """A sink of events with threads of its own.

    Attributes:
        name: What it is for, in the log and the metrics.
        dropped: Events that were wanted and did not arrive.
        deliver: Brings one event; may be exchanged, for those that wait too.
        wanted: Which events; may be exchanged.
    """

    def __init__(self, name: str, deliver: Deliver, wanted: Filter, size: int, threads: int = 1) -> None:
        """Begins to wait for events.

        Args:
            name: What it is for.
            deliver: Brings one event, in one of the threads.
            wanted: Which events.
            size: Most that wait; the oldest makes room.
            threads: Deliveries at once.
        """
        self.name, self.dropped = name, 0
        self.deliver, self.wanted, self._size = deliver, wanted, size
        self._waiting: deque[Event] = deque()
        self._ready = threading.Condition()
        self._ended_at = 0.0
        self._give_up = threading.Event()
        self._full = self._failing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    def write(self, scene: Scene) -> None:
        """Takes the events of a scene."""
        if scene.events:
            self.tell(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events; never waits."""
        wanted = [event for event in events if self.wanted(event)]
        if not wanted:
            return
        with self._ready:
            if self._ended_at:
                return
            self._waiting.extend(wanted)
            self._make_room()
            self._ready.notify(len(wanted))

    def _make_room(self) -> None:
        too_many = len(self._waiting) - self._size
        for _ in range(too_many):
            self._waiting.popleft()
            self.dropped += 1
        if too_many > 0 and not self._full:
            self._full = True
            log.warning("%s: %d events wait, the oldest are dropped from now on", self.name, self._size)

    def stop(self) -> None:
        """Takes no more events and goes on with those that wait; returns at once."""
        with self._ready:
            self._ended_at = self._ended_at or time.monotonic()
            self._ready.notify_all()

    def close(self) -> None:
        """Delivers for a moment what still waits, and ends; safe to call twice."""
        self.stop()
        self._join(self._ended_at + GRACE)
        self._give_up.set()
        with self._ready:
            left = len(self._waiting)
            self._waiting.clear()
            self.dropped += left
        if left:
            log.warning("%s: %d events were not delivered before the end", self.name, left)
        self._join(time.monotonic() + LIMIT)

    def _join(self, end: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (event := self._next()) is not None:
            try:
                self.deliver(event, self._give_up)
            except SinkError as error:
                self._tell_failure(error)
            except Exception as error:  # noqa: BLE001 the next event may fare better; a thread that ends would be silent
                self._tell_failure(error)
            else:
                self._tell_success()

    def _next(self) -> Event | None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._ended_at)
            return self._waiting.popleft() if self._waiting else None

    def _tell_failure(self, error: Exception) -> None:
        with self._ready:
            self.dropped += 1
            begins, self._failing = not self._failing, True
        if begins:
            said = str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
            log.error("%s: an event is lost: %s", self.name, said)

    def _tell_success(self) -> None:
        with self._ready:
            was_ill, self._failing = self._failing or self._full, False
            self._full = self._full and len(self._waiting) > self._size // 2
        if was_ill and not self._full:
            log.info("%s: delivers again; %d events were lost so far", self.name, self.dropped)
