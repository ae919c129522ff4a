"""Timeline: what was seen when, as a picture: a panel for each recording, a row for each label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_detect.archive.summary import Sighting, Tally
from edge_detect.draw import Colour, colour, plain
from edge_detect.frame import Image

PANELS, LABELS = 24, 12
"""At most, in the picture and in a panel; the table has them all."""
_WIDTH, _LEFT, _RIGHT, _EDGE = 1600, 190, 130, 28
_TITLE, _ROW, _AXIS, _GAP = 44, 38, 34, 20
_FINE = 2  # drawn larger and made smaller, since OpenCV's letters and lines are coarse
_GROUND, _CARD, _GRID = (28, 23, 20), (42, 35, 31), (66, 57, 52)
_LOUD, _QUIET = (240, 236, 232), (168, 156, 148)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def timeline(tallies: Sequence[Tally]) -> Image:
    """The picture; recordings that failed or show nothing have no panel, and a line below tells how many.

    Args:
        tallies: In the order of their panels.
    """
    seen = [tally for tally in tallies if tally.sightings]
    shown = seen[:PANELS]
    height = 2 * _EDGE + sum(_height(tally) + _GAP for tally in shown) + 24
    sheet = _Sheet(np.full((height * _FINE, _WIDTH * _FINE, 3), _GROUND, np.uint8))
    top = _EDGE
    for tally in shown:
        _panel(sheet, tally, top)
        top += _height(tally) + _GAP
    sheet.write(_foot(tallies, len(shown)), _EDGE, top + 16, 0.5, _QUIET)
    size = (_WIDTH, height)
    return np.asarray(cv2.resize(sheet.image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _foot(tallies: Sequence[Tally], shown: int) -> str:
    failed = sum(tally.failed for tally in tallies)
    blank = sum(not tally.failed and not tally.sightings for tally in tallies)
    more = len(tallies) - failed - blank - shown
    words = ["height of a bar: how many at once"] if shown else []
    words += [f"{more} more with something to see"] * (more > 0)
    words += [f"{blank} with nothing to see"] * (blank > 0) + [f"{failed} failed"] * (failed > 0)
    return " | ".join([*words, "all of them: summary.csv"] if more or blank or failed else words)


def _rows(tally: Tally) -> list[tuple[str, Sighting]]:
    return tally.ranked()[:LABELS]


def _height(tally: Tally) -> int:
    return _TITLE + len(_rows(tally)) * _ROW + _AXIS


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The picture while it is drawn; places are in pixels of the finished one."""

    image: Image

    def fill(self, left: float, top: float, right: float, bottom: float, tint: Colour) -> None:
        begin, end = (round(left * _FINE), round(top * _FINE)), (round(right * _FINE), round(bottom * _FINE))
        if end[0] > begin[0] and end[1] > begin[1]:
            cv2.rectangle(self.image, begin, (end[0] - 1, end[1] - 1), tint, cv2.FILLED)

    def write(
        self, text: str, x: float, y: float, size: float, tint: Colour, side: float = 0.0, bold: bool = False
    ) -> None:
        """Text on the base line `y`; `side` 0 begins at `x`, 0.5 has its middle there, 1 ends there."""
        scale, thick = size * _FINE, 3 if bold else 2
        wide = cv2.getTextSize(text, _FONT, scale, thick)[0][0]
        place = round(x * _FINE - side * wide), round(y * _FINE)
        cv2.putText(self.image, text, place, _FONT, scale, tint, thick, cv2.LINE_AA)


def _panel(sheet: _Sheet, tally: Tally, top: int) -> None:
    rows = _rows(tally)
    begin, end = _LEFT + _EDGE, _WIDTH - _EDGE - _RIGHT
    sheet.fill(_EDGE, top, _WIDTH - _EDGE, top + _height(tally), _CARD)
    sheet.write(_fit(tally.name), _EDGE + 16, top + 28, 0.62, _LOUD, bold=True)
    what = _duration(tally.length) if tally.video else ""
    told = f"{tally.frames} {'frames' if tally.video else 'pictures'}"
    sheet.write(f"{what}, {told}" if what else told, _WIDTH - _EDGE - 16, top + 28, 0.5, _QUIET, side=1)
    high = top + _TITLE
    low = high + len(rows) * _ROW
    for at, word in _ticks(tally):
        x = begin + (end - begin) * at / tally.length
        sheet.fill(x, high, x + 1, low, _GRID)
        sheet.write(word, x, low + 20, 0.44, _QUIET, side=0.5)
    for place, (label, seen) in enumerate(rows):
        _bars(sheet, tally, seen, (begin, end), high + (place + 1) * _ROW - 4)
        base = high + place * _ROW + 25
        sheet.write(plain(label)[:18], begin - 14, base, 0.54, _pale(colour(seen.class_id)), side=1)
        most = f"{seen.most} at once" if seen.most > 1 else "1"
        sheet.write(most, end + 14, base, 0.46, _QUIET)


def _bars(sheet: _Sheet, tally: Tally, seen: Sighting, across: tuple[int, int], base: int) -> None:
    """The trace of one label; whatever was seen is at least two pixels wide, and half as high as the row."""
    begin, end = across
    tint, scale = colour(seen.class_id), (end - begin) / tally.length
    sheet.fill(begin, base, end, base + 1, _GRID)
    for first, last, count in _runs(seen.trace.most):
        left = begin + first * seen.trace.width * scale
        right = min(float(end), max(left + 2, begin + last * seen.trace.width * scale))
        share = 0.45 + 0.55 * (count - 1) / (seen.most - 1) if seen.most > 1 else 0.7
        sheet.fill(left, base - share * (_ROW - 10), right, base, tint)


def _pale(tint: Colour) -> Colour:
    """The colour for letters, which are thin: all of them bright enough to be read."""
    blue, green, red = (round(0.6 * channel + 0.4 * 255) for channel in tint)
    return blue, green, red


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Begin, end and value of each stretch of the same value, but for zeros."""
    begin = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[begin]:
            if values[begin]:
                yield begin, place, values[begin]
            begin = place


def _ticks(tally: Tally) -> Iterator[tuple[float, str]]:
    """Six to fifteen places on the axis, and what stands there."""
    step = next((step for step in _STEPS if tally.length / step <= 15), _STEPS[-1])
    for number in range(int(tally.length / step) + 1):
        at = number * step
        yield at, _duration(at) if tally.video else str(at)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _fit(name: str) -> str:
    text = plain(name)
    return text if len(text) <= 90 else f"...{text[-87:]}"
