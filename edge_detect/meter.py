"""Meter: how fast the loop runs, what the machine feels, and what holds it back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

import numpy as np

from edge_detect import board
from edge_detect.detector import Timing
from edge_detect.errors import SinkError
from edge_detect.frame import Frame
from edge_detect.newest import Newest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What the loop did in one interval; times in ms are means for a frame.

    Attributes:
        time: When it was taken, UTC.
        seconds: Length of the interval.
        frames: Different frames that were looked at.
        fps: `frames` a second.
        age_p50_ms: From capture to the result, half of the frames; 0 for recorded sources.
        age_p95_ms: The same, 95 of 100 frames.
        capture_ms: Waiting for the next frame, or reading it from a file.
        prepare_ms: Resize into the model's input.
        invoke_ms: The net.
        decode_ms: From its outputs to boxes.
        draw_ms: Boxes on pictures.
        output_ms: Everything that the sinks do besides.
        dropped: Frames that the camera gave and nobody looked at.
        reopened: Times that the camera came back, since the start.
        cpu_percent: 100 is one whole core.
        rss_mb: Memory of the process.
        temperature: Of the processor, degrees Celsius; empty when unknown.
        flags: Throttling and under-voltage, as the firmware tells.
        limited_by: `camera`, `inference`, `output` or `heat`.
    """

    time: str
    seconds: float
    frames: int
    fps: float
    age_p50_ms: float
    age_p95_ms: float
    capture_ms: float
    prepare_ms: float
    invoke_ms: float
    decode_ms: float
    draw_ms: float
    output_ms: float
    dropped: int
    reopened: int
    cpu_percent: float
    rss_mb: float
    temperature: float | None
    flags: str
    limited_by: str

    def __str__(self) -> str:
        """The health line."""
        age = f"age p50 {self.age_p50_ms:.0f} p95 {self.age_p95_ms:.0f} ms | " if self.age_p95_ms else ""
        heat = f" | {self.temperature:.1f} C" if self.temperature is not None else ""
        flags = f" | {self.flags}" if self.flags else ""
        return (
            f"{self.fps:.1f} fps | {age}"
            f"ms: capture {self.capture_ms:.1f} prepare {self.prepare_ms:.1f} invoke {self.invoke_ms:.1f}"
            f" decode {self.decode_ms:.1f} draw {self.draw_ms:.1f} output {self.output_ms:.1f} | "
            f"{self.dropped} dropped | cpu {self.cpu_percent:.0f} % | {self.rss_mb:.0f} MB{heat}{flags}"
            f" | limited by: {self.limited_by}"
        )


class Meter:
    """Collects what the loop tells and logs a health line now and then."""

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
        self._every, self._newest, self._drawing = every, newest, drawing
        self._table = _Table(stats) if stats else None
        self._begin()

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._cpu = time.process_time()
        self._frames = 0
        self._sums = [0.0] * 5  # capture, prepare, invoke, decode, output
        self._ages: list[float] = []
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
        if self._every and now - self._since >= self._every:
            self.report()

    def tick(self) -> None:
        """To be called while no frame comes, so that the line comes all the same."""
        if self._every and time.monotonic() - self._since >= self._every:
            self.report()

    def report(self) -> Health:
        """Logs the interval so far and begins another."""
        health = self._health()
        log.info("%s", health)
        if self._table:
            self._table.write(health)
        self._begin()
        return health

    def close(self) -> None:
        """The last interval, if anything happened in it; safe to call twice."""
        if self._frames:
            self.report()
        if self._table:
            self._table.close()

    def _health(self) -> Health:
        from datetime import UTC, datetime  # not needed before the first line: starting is a feature

        import psutil

        seconds = max(time.monotonic() - self._since, 1e-9)
        n = max(self._frames, 1)
        draw = self._drawing() - self._drawn
        capture, prepare, invoke, decode, output = (total / n * 1e3 for total in self._sums)
        p50, p95 = np.percentile(self._ages, [50, 95]) * 1e3 if self._ages else (0.0, 0.0)
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


def bottleneck(capture: float, inference: float, output: float, flags: tuple[str, ...] = ()) -> str:
    """What to improve first: the stage that takes longest, or the heat that slows all of them."""
    if board.HEAT & set(flags):
        return "heat"
    stages = {"inference": inference, "camera": capture, "output": output}
    return max(stages, key=lambda stage: stages[stage])


class _Table:
    """Health lines as rows of a CSV file."""

    def __init__(self, path: str) -> None:
        import csv

        self._path = path
        self._file: TextIO | None = None
        try:
            self._file = Path(path).open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise SinkError(f"{path}: cannot write: {error.strerror}") from error
        self._rows = csv.DictWriter(self._file, [field.name for field in fields(Health)])
        self._guarded(self._rows.writeheader)

    def write(self, health: Health) -> None:
        if self._file:
            self._guarded(lambda: self._rows.writerow(asdict(health)))

    def _guarded(self, act: Callable[[], object]) -> None:
        assert self._file is not None
        try:
            act()
            self._file.flush()
        except OSError as error:
            raise SinkError(f"{self._path}: cannot write: {error.strerror}") from error

    def close(self) -> None:
        file, self._file = self._file, None
        if file:
            file.close()
