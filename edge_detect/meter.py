"""Meter: how fast the loop runs, what the machine feels, and what holds it back."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edge_detect import board
from edge_detect.detector import Timing
from edge_detect.frame import Frame
from edge_detect.newest import Newest

if TYPE_CHECKING:
    from edge_detect.health import Health, Table

log = logging.getLogger(__name__)

AGES = 10_000  # of the last frames are kept: an interval may be without end


class Meter:
    """Collects what the loop tells and logs a health line now and then.

    Attributes:
        every: Seconds between two lines; 0 for none.
    """

    def __init__(
        self,
        every: float = 10.0,
        *,
        newest: Newest | None = None,
        drawing: Callable[[], float] = lambda: 0.0,
        stats: str = "",
    ) -> None:
        """Begins to count.

        Args:
            every: Seconds between two lines; 0 for none.
            newest: Of a live source, which knows what was dropped.
            drawing: Seconds spent on drawing so far.
            stats: A CSV file that gets every line as a row; empty for none.
        """
        self.every, self._newest, self._drawing = every, newest, drawing
        self._table = _open_table(stats) if stats else None
        self._begin()

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._cpu = time.process_time()
        self._frames = 0
        self._sums = [0.0] * 5  # capture, prepare, invoke, decode, output
        self._ages: deque[float] = deque(maxlen=AGES)
        self._dropped = self._newest.dropped if self._newest else 0
        self._drawn = self._drawing()

    def add(self, frame: Frame, timing: Timing, capture: float, output: float) -> None:
        """Counts one frame; all times in seconds."""
        now = time.monotonic()
        sums = self._sums
        sums[0] += capture
        sums[1] += timing.prepare
        sums[2] += timing.invoke
        sums[3] += timing.decode
        sums[4] += output
        self._frames += 1
        if self._newest:
            self._ages.append(now - output - frame.time)
        if self.every and now - self._since >= self.every:
            self.report()

    def tick(self) -> None:
        """To be called while no frame comes, so that the line comes all the same."""
        if self.every and time.monotonic() - self._since >= self.every:
            self.report()

    def report(self) -> Health:
        """Logs the interval so far and begins another."""
        health = self._health()
        log.info("%s", health)
        self._begin()
        if self._table:
            self._table.write(health)
        return health

    def close(self) -> None:
        """The last interval, if anything happened in it; safe to call twice."""
        try:
            if self._frames:
                self.report()
        finally:
            if self._table:
                self._table.close()

    def _health(self) -> Health:
        # not needed before the first line, and starting quickly is a feature
        from datetime import UTC, datetime

        import psutil

        from edge_detect.health import Health, bottleneck

        seconds = max(time.monotonic() - self._since, 1e-9)
        n = max(self._frames, 1)
        draw = self._drawing() - self._drawn
        capture, prepare, invoke, decode, output = (total / n * 1e3 for total in self._sums)
        p50, p95 = np.percentile(list(self._ages), [50, 95]) * 1e3 if self._ages else (0.0, 0.0)
        flags = board.flags(board.throttled())
        return Health(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            frames=self._frames,
            fps=round(self._frames / seconds, 2),
            age_p50_ms=round(float(p50), 2),
            age_p95_ms=round(float(p95), 2),
            capture_ms=round(capture, 3),
            prepare_ms=round(prepare, 3),
            invoke_ms=round(invoke, 3),
            decode_ms=round(decode, 3),
            draw_ms=round(draw / n * 1e3, 3),
            output_ms=round(output - draw / n * 1e3, 3),
            dropped=(self._newest.dropped if self._newest else 0) - self._dropped,
            reopened=self._newest.reopened if self._newest else 0,
            cpu_percent=round((time.process_time() - self._cpu) / seconds * 100, 1),
            rss_mb=round(psutil.Process().memory_info().rss / 1e6, 1),
            temperature=board.temperature(),
            flags=", ".join(flags),
            limited_by=bottleneck(capture, prepare + invoke + decode, output, flags),
        )


def _open_table(path: str) -> Table:
    from edge_detect.health import Table

    return Table(path)
