"""Video: a file, every frame of it, or played at its own speed like a camera."""

from __future__ import annotations

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
from edge_detect.frame import Frame
from edge_detect.settings import check_range
from edge_detect.uri import is_text


@dataclass
class Video:
    """A video file.

    Attributes:
        address: The file.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        live: Play it by the clock, as a camera would, instead of frame by frame.
        fps: Frames a second; 0 takes the file's own when it is opened.
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
        number, begun = 0, time.monotonic()
        while True:
            first = number
            for image in self._images():
                at = number / (self.fps or 25.0)
                if self.live:
                    time.sleep(max(0.0, begun + at - time.monotonic()))
                    at = max(begun + at, time.monotonic())
                yield Frame(pixels.turn(image, self.rotation, self.flip), at, number, self.address)
                number += 1
            if number == first:
                raise SourceError(
                    f"{self.address}: no frame can be read; not a video, or damaged"
                    " (expected MP4, MKV, AVI, MJPEG ...)"
                )
            if not self.loop:
                return

    def _images(self) -> Iterator[Any]:
        with opened(self.address) as capture:
            self.fps = self.fps or _rate(capture)
            while True:
                if self.live and not capture.grab():
                    return
                fine, image = capture.retrieve() if self.live else capture.read()
                if not fine:
                    return
                yield image


def _rate(capture: Any) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if isfinite(rate) and 0 < rate <= 1000 else 0.0


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """OpenCV's reader of a video file, whose pictures come upright.

    One decoding thread, the others are the runtime's.

    Raises:
        InputMissing: There is no such file, or it may not be read.
        SourceError: It is not a video.
    """
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
