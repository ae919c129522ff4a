"""Progress: how far the work is and how long it will take, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

log = logging.getLogger(__name__)

OFTEN, SELDOM = 0.5, 60.0  # seconds between two lines, on a terminal and in a log


class Progress:
    """One line that renews itself on a terminal, else one a minute in the log."""

    def __init__(
        self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic, *, quiet: bool = False
    ) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream.isatty() and not quiet
        self._begun = clock()
        self._told = float("-inf") if self._terminal else self._begun
        self._shown = False

    @property
    def due(self) -> bool:
        """Whether it is time to tell it; on a terminal it always is when no line stands there."""
        wait = SELDOM if not self._terminal else OFTEN * self._shown
        return self._clock() - self._told >= wait

    def show(self, done: int, shards: int, looked: float, before: float, frames: float) -> None:
        """Tells it.

        Args:
            done: Shards that are done.
            shards: All of them.
            looked: Frames in those that are done.
            before: Frames in those that were done when this began.
            frames: All frames that are expected.
        """
        self._told = now = self._clock()
        rate = (looked - before) / max(now - self._begun, 1e-9)
        line = f"{looked / max(frames, 1):.0%}, {done} of {shards} shards"
        if rate > 0:
            left = span(max(0.0, frames - looked) / rate)
            line += f", {rate:.0f} frames/s, {left} left"
        if self._terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
            self._shown = True
        else:
            log.info("%s", line)

    def clear(self) -> None:
        """Makes room for other lines."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def close(self) -> None:
        """Leaves nothing on the terminal."""
        self.clear()


def span(seconds: float) -> str:
    """A duration for people: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
