"""Summary: what was seen in each recording, counted while the lines go by."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("file", "label", "frames", "frames_with", "most_at_once", "first_s", "last_s", "problem")
BINS = 2048
"""A trace is folded when it gets longer."""


@dataclass(slots=True)
class Trace:
    """How many were seen at once, over time, in bins that grow with the recording.

    Attributes:
        width: Seconds of a bin.
        most: The most at once in each bin, as far as something was seen.
    """

    width: float = 1 / 32
    most: list[int] = field(default_factory=list)

    def add(self, begin: float, end: float, count: int) -> None:
        """Something was seen from one time to another."""
        while end / self.width >= BINS:
            pairs = [*self.most, 0]
            self.most = [max(pairs[i : i + 2]) for i in range(0, len(self.most), 2)]
            self.width *= 2
        first, last = int(begin / self.width), int(end / self.width)
        self.most += [0] * (last + 1 - len(self.most))
        for place in range(first, max(first + 1, last)):
            self.most[place] = max(self.most[place], count)


@dataclass(slots=True)
class Sighting:
    """All of one label in a recording.

    Attributes:
        class_id: Its number in the model.
        frames: Frames in which there was one.
        most: At once.
        first: Seconds.
        last: Seconds.
        trace: Over time.
    """

    class_id: int
    frames: int = 0
    most: int = 0
    first: float = 0.0
    last: float = 0.0
    trace: Trace = field(default_factory=Trace)


@dataclass(slots=True)
class Tally:
    """What was seen in one recording.

    Attributes:
        name: Of the recording.
        video: Whether it has times; pictures are counted instead.
        frames: Looked at.
        length: Seconds to the end of the last frame, or pictures.
        sightings: By label.
        problems: Why it is not, or not all, in the results; a line each.
        failed: Nothing of it is.
    """

    name: str
    video: bool = True
    frames: int = 0
    length: float = 0.0
    sightings: dict[str, Sighting] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    failed: bool = False
    _before: tuple[float, Counter[str]] | None = None

    def add(self, row: dict[str, Any]) -> None:
        """Counts one line of the results."""
        at = float(row["time"]) if self.video else float(self.frames)
        self._trace(at)
        self.frames += 1
        counts: Counter[str] = Counter()
        for found in row["detections"]:
            counts[found["label"]] += 1
            self.sightings.setdefault(found["label"], Sighting(found["class_id"], first=at))
        for label, count in counts.items():
            sighting = self.sightings[label]
            sighting.frames += 1
            sighting.most = max(sighting.most, count)
            sighting.last = at
        self._before = at, counts

    def finish(self, step: float) -> None:
        """Counts the last frame, which lasts `step` seconds, or the last picture."""
        if self._before:
            self._trace(self._before[0] + (step if self.video else 1.0))
            self._before = None

    def _trace(self, at: float) -> None:
        """What was seen in a frame lasts until the next."""
        self.length = at
        if self._before:
            begin, counts = self._before
            for label, count in counts.items():
                self.sightings[label].trace.add(begin, at, count)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each label, the most frequent first; one without a label where nothing was seen."""
        problem = "; ".join(self.problems)
        if self.failed or not self.sightings:
            yield (
                self.name,
                "",
                "" if self.failed else str(self.frames),
                "" if self.failed else "0",
                "",
                "",
                "",
                problem,
            )
        for label, seen in self.ranked():
            times = (f"{seen.first:.3f}", f"{seen.last:.3f}") if self.video else ("", "")
            yield self.name, label, str(self.frames), str(seen.frames), str(seen.most), *times, problem

    def ranked(self) -> list[tuple[str, Sighting]]:
        """The labels, the most frequent first."""
        return sorted(self.sightings.items(), key=lambda item: (-item[1].frames, item[0]))


def to_csv(tallies: Iterable[Tally]) -> bytes:
    """The table for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for tally in tallies:
        writer.writerows(tally.rows())
    return text.getvalue().encode(errors="backslashreplace")  # names of files may be any bytes


def to_text(tallies: Sequence[Tally], most: int = 60) -> str:
    """The table for people; the file is told once, and no more than `most` rows.

    Args:
        tallies: The recordings.
        most: Rows.
    """
    head = ("file", "label", "frames", "with it", "at once", "first", "last")
    table: list[tuple[str, ...]] = [head]
    for tally in tallies:
        for number, row in enumerate(tally.rows()):
            name = _end_of(row[0]) if not number else ""
            word = row[1] or ("failed" if tally.failed else "nothing")
            table.append((name, word, *row[2:5], *(_clock(each) for each in row[5:7])))
    left_out = len(table) - 1 - most
    table = table[: most + 1]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:<{wide}}" if place < 2 else f"{cell:>{wide}}" for place, (cell, wide) in
                  enumerate(zip(row, widths, strict=True))).rstrip()
        for row in table
    ]  # fmt: skip
    if left_out > 0:
        lines.append(f"... and {left_out} more rows, in summary.csv")
    return "\n".join(lines)


def _end_of(name: str, most: int = 48) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"


def _clock(text: str) -> str:
    """Seconds as `1:02:03.4`."""
    if not text:
        return ""
    tenths = round(float(text) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"
