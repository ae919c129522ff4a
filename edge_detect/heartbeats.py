"""Heartbeats: which part of the program still moves, by a clock that nobody sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WATCHDOG = 30.0  # seconds; WatchdogSec= of the unit, from which all other limits follow
PATIENCE = WATCHDOG / 2
"""Seconds of silence that are forgiven: with a look every third of WATCHDOG a hang is seen in time."""


@dataclass(slots=True)
class _Part:
    patience: float
    last: float
    excused: bool = False


class Heartbeats:
    """When each part last said that it is alive.

    A part that waits for something known (a camera that is away) is excused until its next beat.

    Attributes:
        patience: Seconds between two beats of a part that asks for no other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE) -> None:
        self._clock, self._alone = clock, threading.Lock()
        self._parts: dict[str, _Part] = {}
        self.patience = patience

    def expect(self, part: str, patience: float = 0.0) -> Callable[[], None]:
        """From now on a beat of `part` is due every `patience` seconds; returns what it calls to beat."""
        with self._alone:
            self._parts[part] = _Part(patience or self.patience, self._clock())
        return lambda: self.beat(part)

    def beat(self, part: str) -> None:
        """The part is alive."""
        with self._alone:
            if known := self._parts.get(part):
                known.last, known.excused = self._clock(), False

    def excuse(self, part: str) -> None:
        """The part waits for something known: it is not late until it beats again."""
        with self._alone:
            if known := self._parts.get(part):
                known.excused = True

    def is_excused(self, part: str) -> bool:
        """Whether the part waits for something known."""
        with self._alone:
            known = self._parts.get(part)
            return known is not None and known.excused

    def forget(self, part: str) -> None:
        """The part has ended: no more beats are due."""
        with self._alone:
            self._parts.pop(part, None)

    def late(self) -> dict[str, float]:
        """Seconds of silence of each part that should have beaten by now."""
        now = self._clock()
        with self._alone:
            return {
                name: now - part.last
                for name, part in self._parts.items()
                if not part.excused and now - part.last > part.patience
            }

    def ages(self) -> dict[str, float]:
        """Seconds since the last beat of each part."""
        now = self._clock()
        with self._alone:
            return {name: now - part.last for name, part in self._parts.items()}
