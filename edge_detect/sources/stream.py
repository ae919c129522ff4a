"""Stream: a camera on the network, RTSP or HTTP (MJPEG or video)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2

from edge_detect.errors import SourceError
from edge_detect.frame import Frame
from edge_detect.uri import public

# RTSP over TCP: lost UDP packets show as grey smears, which the net takes for things
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fflags;nobuffer")


@dataclass
class Stream:
    """A network camera; the query of its URI is the camera's own and is left as it is.

    Attributes:
        address: The whole URI.
        patience: Seconds that the camera may take to answer, or to send a frame.
        freeze: Seconds of the very same picture after which it counts as lost; a still scene in
            a well-compressed stream may repeat itself for a while.
    """

    address: str
    patience: float = 5.0
    freeze: float = 60.0
    live = True
    reopens = True
    fps = 0.0

    def __iter__(self) -> Iterator[Frame]:
        name, number = public(self.address), 0
        with self._opened(name) as capture:
            while True:
                fine, image = capture.read()
                if not fine:
                    raise SourceError(f"{name}: the stream broke off")
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
