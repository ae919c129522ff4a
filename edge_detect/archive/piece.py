"""Piece: a part of a video, cut exactly between two frames wherever the key frames are."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2

from edge_detect.frame import Image
from edge_detect.sources.video import Length, opened

_MARGINS = (1.0, 4.0, 16.0, 64.0)
"""Seconds before the cut to which we go, until the frame there is one before the cut."""


def measure(path: str) -> Length:
    """The length of a video by its header.

    Raises:
        InputMissing: It is not there, or may not be read.
        SourceError: It is not a video.
    """
    with opened(path) as capture:
        return Length.of(capture)


@dataclass(eq=False)
class Piece:
    """The frames of a video from one time to another, each exactly once.

    A frame belongs where its own time stamp is, so that files whose rate varies are cut as well as
    others. A decoder that is sent to a time lands on a key frame somewhere before it, and in some
    files somewhere else: we go on only from a frame that is before the cut. What tells whether the cut was
    exact are the marks: `after` of a piece is `first` of the next one, or else the file cannot be cut.

    Attributes:
        path: The video.
        start: Seconds; frames at this time are inside.
        end: Seconds; frames at this time are outside.
        every: Seconds; of the frames in each such interval the first is given. 0 gives all.
        frames: Read so far, given or not.
        first: Mark of the first frame inside: its time and a checksum of its pixels; empty without.
        after: Mark of the first frame after the end; empty where the file ends.
        ordered: Whether each frame was later than the one before it.
    """

    path: str
    start: float = 0.0
    end: float = math.inf
    every: float = 0.0
    frames: int = field(default=0, init=False)
    first: str = field(default="", init=False)
    after: str = field(default="", init=False)
    ordered: bool = field(default=True, init=False)

    @property
    def whole(self) -> bool:
        """Whether it is the whole file: then the order of its frames counts, whatever their stamps say."""
        return self.start == 0 and math.isinf(self.end)

    def __iter__(self) -> Iterator[tuple[int, float, Image]]:
        """Number in this piece, seconds in the file, and picture.

        Raises:
            InputMissing: The video is not there, or may not be read.
            SourceError: It is not a video.
        """
        with _opened_before(self.path, self.start) as (capture, last):
            rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
            stamped = True
            while capture.grab():
                at = _time(capture)
                if self.whole and last is not None:
                    stamped = stamped and (self.frames > 1 or at > last)
                    at = max(at, last) if stamped else self.frames / rate
                elif last is not None and at <= last:
                    self.ordered = False  # what was found is of no use
                    return
                if at >= self.start:
                    chosen = last is None or not self.every or self._slot(at) != self._slot(last)
                    border = not self.frames or at >= self.end
                    if chosen or border:
                        fine, image = capture.retrieve()
                        if not fine:
                            return
                    if border:
                        mark = f"{at:.6f} {zlib.crc32(image.data):08x}"
                        if at >= self.end:
                            self.after = mark
                            return
                        self.first = mark
                    self.frames += 1
                    if chosen:
                        yield self.frames - 1, at, image
                last = at

    def _slot(self, at: float) -> int:
        return math.floor(at / self.every + 1e-6)


@contextmanager
def _opened_before(path: str, start: float) -> Iterator[tuple[Any, float | None]]:
    """A reader, and the time of the frame before `start` that it has just read; None at the beginning."""
    if start > _MARGINS[0]:
        with opened(path) as capture:
            for margin in _MARGINS:
                if start <= margin:
                    break
                capture.set(cv2.CAP_PROP_POS_MSEC, (start - margin) * 1000)
                if capture.grab() and 0 < _time(capture) < start:
                    yield capture, _time(capture)
                    return
    with opened(path) as capture:
        yield capture, None


def _time(capture: Any) -> float:
    return float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
