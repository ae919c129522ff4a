"""Hanging: `edge-detect` with a part that hangs from the moment on when a file is there.

`python -m hanging PART FILE WORDS...` is `edge-detect WORDS...` whose PART is `capture`, `inference`,
`outputs` or `web`, or `unplugged` for a camera that is away; `hanging:` is the name of that camera.
With `missing` it is the machine's only camera, on USB, and not there while the file is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from edge_detect import cli
from edge_detect.detector import Detector
from edge_detect.errors import SourceError
from edge_detect.frame import Frame
from edge_detect.scene import Scene
from edge_detect.sinks import TYPES
from edge_detect.sinks.video import Video
from edge_detect.sources import SCHEMES, csi, v4l2
from edge_detect.sources.pattern import Pattern

PART, FILE = "", ""


def hang(part: str) -> None:
    """In native code, where no exception of Python's reaches it."""
    while part == PART and os.path.exists(FILE):
        ctypes.CDLL(None).sleep(1000)


@dataclass
class Camera(Pattern):
    """The drawn street, until its driver hangs."""

    patience: float = 0.5
    reopens: ClassVar[bool] = True  # type: ignore[misc]

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            hang("capture")
            if PART == "unplugged" and os.path.exists(FILE):
                raise SourceError("hanging: unplugged")
            yield frame


@dataclass
class Usb(Camera):
    """The same as `auto` finds it."""

    address: str = ""


class SlowVideo(Video):
    """A video, until its disk hangs."""

    def write(self, scene: Scene) -> None:
        hang("outputs")
        super().write(scene)


class SlowDetector(Detector):
    """A detector, until its runtime hangs."""

    def __call__(self, frame: Frame) -> object:  # type: ignore[override]
        hang("inference")
        return super().__call__(frame)


def slow(web: Callable[..., Any], *rest: Any) -> Any:
    """The live page, until its thread hangs."""
    *values, beat = rest

    def hanging() -> None:
        hang("web")
        beat()

    return web(*values, hanging)


if __name__ == "__main__":
    PART, FILE = sys.argv[1:3]
    sys.modules["hanging"] = sys.modules["__main__"]
    SCHEMES["hanging"] = "hanging:Camera"
    TYPES["video"] = "hanging:SlowVideo"
    sys.modules["edge_detect.detector"].Detector = SlowDetector  # type: ignore[attr-defined]
    if PART == "missing":
        csi.cameras = lambda level: []
        v4l2.devices = lambda: [] if os.path.exists(FILE) else ["/dev/video0"]  # type: ignore[assignment]
        v4l2.V4l2 = Usb  # type: ignore[assignment, misc]
    if PART == "web":
        from edge_detect.web import server

        server.Web = partial(slow, server.Web)  # type: ignore[misc, assignment]
    sys.exit(cli.main(sys.argv[3:]))
