"""Health: what the loop did in an interval, as a line for people and a row for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from edge_detect import board
from edge_detect.errors import SinkError


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


def bottleneck(capture: float, inference: float, output: float, flags: tuple[str, ...] = ()) -> str:
    """What to improve first: the stage that takes longest, or the heat that slows all of them."""
    if board.HEAT & set(flags):
        return "heat"
    stages = {"inference": inference, "camera": capture, "output": output}
    return max(stages, key=lambda stage: stages[stage])


class Table:
    """Health lines as rows of a CSV file."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._telling(), ExitStack() as undo:
            self._file = undo.enter_context(Path(path).open("w", buffering=1, newline="", encoding="utf-8"))
            self._rows = csv.DictWriter(self._file, [field.name for field in fields(Health)])
            self._rows.writeheader()
            undo.pop_all()

    def write(self, health: Health) -> None:
        """Adds a row.

        Raises:
            SinkError: It cannot be written.
        """
        with self._telling():
            self._rows.writerow(asdict(health))

    def close(self) -> None:
        """Ends the file; safe to call twice."""
        with self._telling():
            self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(f"{self._path}: cannot write: {error.strerror}") from error
