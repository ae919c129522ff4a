"""Stream: a camera on the network, RTSP or HTTP (MJPEG or video)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2

from edge_detect import pixels
from edge_detect.errors import SourceError
from edge_detect.frame import Frame
from edge_detect.settings import check_range
from edge_detect.uri import is_text, public

# RTSP over TCP: lost UDP packets show as grey smears, which the net takes for things
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fflags;nobuffer")


@dataclass
class Stream:
    """A network camera.

    The query of its URI is the camera's own and is left as it is; settings of ours stand behind a
    `#`, which is never sent: `rtsp://camera/stream?channel=1#rotation=180`.

    Attributes:
        address: The whole URI.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        patience: Seconds that the camera may take to answer, or to send a frame.
        freeze: Seconds of the very same picture after which it counts as lost; a still scene in
            a well-compressed stream may repeat itself for a while.
    """

    address: str
    rotation: int = 0
    flip: str = ""
    patience: float = 5.0
    freeze: float = 60.0
    live = True
    reopens = True
    fps = 0.0

    def __post_init__(self) -> None:
        pixels.check_turn(self.rotation, self.flip)
        check_range("patience", self.patience, 0.5, 600)
        check_range("freeze", self.freeze, 0, 86400)
        if not is_text(self.address):
            raise ValueError("expected an address in UTF-8; write other letters as %C3%A9")

    def __iter__(self) -> Iterator[Frame]:
        name, number = public(self.address), 0
        with self._opened(name) as capture:
            while True:
                asked = time.monotonic()
                fine, image = capture.read()
                if time.monotonic() - asked > self.patience:  # RTSP: what comes now lay in a buffer
                    raise SourceError(f"{name}: no frame for {self.patience:g} s")
                if not fine:
                    single = " after one picture; is that the address of single pictures?" * (number == 1)
                    raise SourceError(f"{name}: the stream broke off{single}")
                image = pixels.turn(image, self.rotation, self.flip)
                yield Frame(image, time.monotonic(), number, name)
                number += 1

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        limit = int(self.patience * 1000)
        capture = cv2.VideoCapture(
            self.address,
            cv2.CAP_FFMPEG,
            [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit,
             cv2.CAP_PROP_N_THREADS, 1],
        )  # fmt: skip
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{name}: no stream; is the camera on, and are address, user and password right?"
                )
            yield capture
        finally:
            capture.release()
