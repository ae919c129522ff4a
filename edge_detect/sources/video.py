"""Video: a file, every frame of it, or played at its own speed like a camera."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import cv2

from edge_detect import pixels
from edge_detect.errors import InputMissing, SourceError
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range
from edge_detect.uri import is_text

log = logging.getLogger(__name__)


@dataclass
class Video:
    """A video file.

    Attributes:
        address: The file.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        live: Play it by the clock, as a camera would, instead of frame by frame.
        fps: Frames a second; 0 takes the file's own when it is opened, and the times that it gives
            each frame, since a phone's rate varies.
        loop: Begin again at the end.
    """

    address: str
    rotation: int = 0
    flip: str = ""
    live: bool = False
    fps: float = 0.0
    loop: bool = False
    patience = 30.0
    freeze = 0.0
    reopens = False

    def __post_init__(self) -> None:
        pixels.check_turn(self.rotation, self.flip)
        check_range("fps", self.fps, 0, 1000)

    def __iter__(self) -> Iterator[Frame]:
        number, at, shift, begun = 0, 0.0, 0.0, time.monotonic()
        stamped = not self.fps
        while True:
            first = number
            for stamp, image in self._images(tell=not number):
                step = 1 / (self.fps or 25.0)
                if number == first or stamp + shift < at - 1:  # begins again, perhaps in the middle
                    shift = at + step * bool(number) - stamp
                if number == 1:
                    stamped = stamped and stamp + shift > at
                at = max(at, stamp + shift) if stamped else number * step
                now = at
                if self.live:
                    time.sleep(max(0.0, begun + at - time.monotonic()))
                    now = max(begun + at, time.monotonic())
                yield Frame(pixels.turn(image, self.rotation, self.flip), now, number, self.address)
                number += 1
            if number == first:
                raise SourceError(
                    f"{self.address}: no frame can be read; not a video, or damaged"
                    " (expected MP4, MKV, AVI, MJPEG ...)"
                )
            if not self.loop:
                return

    def _images(self, *, tell: bool) -> Iterator[tuple[float, Image]]:
        """Seconds in the file, as it says, and picture."""
        with opened(self.address) as capture:
            length, frames, at = Length.of(capture), 0, 0.0
            self.fps = self.fps or length.fps
            while capture.grab():
                fine, image = capture.retrieve()
                if not fine:
                    break
                frames, at = frames + 1, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                yield at, image
        if tell and frames and (problem := length.missed(frames, at)):
            log.warning("%s: %s", self.address, problem)


@dataclass(frozen=True, slots=True)
class Length:
    """What the header of a video promises; the frames may tell otherwise.

    Attributes:
        seconds: 0 when unknown.
        fps: Frames a second; 0 when unknown.
    """

    seconds: float = 0.0
    fps: float = 0.0

    @classmethod
    def of(cls, capture: Any) -> Length:
        """That of the video that OpenCV reads."""
        fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if not (isfinite(fps) and 0 < fps <= 1000):
            return cls()
        return cls(frames / fps if 0 < frames < 1e9 else 0.0, fps)

    def missed(self, frames: int, ended: float) -> str:
        """What to say of a video that held much less, by number and by time; empty for nothing."""
        if frames >= 0.9 * self.seconds * self.fps or ended >= 0.9 * self.seconds:
            return ""
        return f"ends at {ended:.1f} of {self.seconds:.1f} s: cut off or damaged"


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """OpenCV's reader of a video file, whose pictures come upright.

    One decoding thread, the others are the runtime's.

    Raises:
        InputMissing: There is no such file, or it may not be read.
        SourceError: It is not a video.
    """
    if Path(path).is_fifo():
        raise SourceError(f"{path}: is a pipe, expected a file; - reads MJPEG or raw frames from a pipe")
    try:
        with Path(path).open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the video: {error.strerror}") from error
    if empty:
        raise SourceError(f"{path}: the file is empty")
    # FFmpeg takes what stands before a colon for a protocol, unless the path begins with a slash
    whole = os.path.abspath(path)
    if not is_text(whole):
        raise SourceError(f"{path}: expected a name in UTF-8; rename the file")
    capture = cv2.VideoCapture(whole, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise SourceError(f"{path}: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # a phone films lying, and says how to turn it
        yield capture
    finally:
        capture.release()
