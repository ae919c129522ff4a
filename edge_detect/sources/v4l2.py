"""V4L2: a USB camera, or another Video4Linux device."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edge_detect import pixels
from edge_detect.errors import InputMissing, SourceError
from edge_detect.frame import Frame
from edge_detect.settings import check_range

# seconds that OpenCV waits for a frame of a camera that hangs; its own choice is 10
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4")
_CSI_DRIVERS = ("unicam", "bcm2835-isp", "rp1-cfe", "pispbe", "rpivid", "bcm2835-codec")


@dataclass
class V4l2:
    """A Video4Linux device.

    Attributes:
        address: Device file, or its number.
        width: Pixels asked for; the camera may give others.
        height: Pixels asked for.
        fps: Frames a second asked for.
        format: Four letters of the pixel format asked for; MJPG is what USB 2 has room for.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        patience: Seconds without a frame after which the camera counts as lost.
        freeze: Seconds of the very same picture after which it counts as lost; 0 for never.
    """

    address: str = "/dev/video0"
    width: int = 640
    height: int = 480
    fps: float = 30.0
    format: str = "MJPG"
    rotation: int = 0
    flip: str = ""
    patience: float = 5.0
    freeze: float = 5.0
    live = True
    reopens = True

    def __post_init__(self) -> None:
        if self.address.isdecimal():
            self.address = f"/dev/video{self.address}"
        pixels.check_turn(self.rotation, self.flip)
        check_range("width", self.width, 16, 8192)
        check_range("height", self.height, 16, 8192)
        check_range("fps", self.fps, 0.1, 1000)
        check_range("patience", self.patience, 0.5, 600)
        check_range("freeze", self.freeze, 0, 86400)
        if len(self.format) != 4 or not self.format.isascii():
            raise ValueError(f"format: expected four letters such as MJPG or YUYV, got '{self.format}'")

    def __iter__(self) -> Iterator[Frame]:
        name, number = f"v4l2:{self.address}", 0
        with self._opened() as capture:
            while True:
                fine, image = capture.read()
                if not fine:
                    raise SourceError(f"{name}: no frame; is the camera still plugged in?")
                now = time.monotonic()
                yield Frame(pixels.turn(image, self.rotation, self.flip), now, number, name)
                number += 1

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        self._check()
        settings = [
            cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.format),
            cv2.CAP_PROP_FRAME_WIDTH, self.width,
            cv2.CAP_PROP_FRAME_HEIGHT, self.height,
        ]  # fmt: skip
        capture = cv2.VideoCapture(self.address, cv2.CAP_V4L2, settings)
        try:
            if not capture.isOpened():
                raise SourceError(self._refusal())
            capture.set(cv2.CAP_PROP_FPS, self.fps)
            yield capture
        finally:
            capture.release()

    def _check(self) -> None:
        if not Path(self.address).exists():
            there = ", ".join(devices()) or "none"
            raise InputMissing(f"{self.address}: no such camera (found: {there}); is it plugged in?")
        if not Path(self.address).is_char_device():
            raise SourceError(f"{self.address}: not a camera device, expected /dev/videoN")
        if not os.access(self.address, os.R_OK | os.W_OK):
            raise SourceError(
                f"{self.address}: no permission: sudo usermod -aG video $USER, then log in again"
            )

    def _refusal(self) -> str:
        if driver(self.address).startswith(_CSI_DRIVERS):
            return f"{self.address}: this is a libcamera (CSI) camera, use --source csi:0"
        return f"{self.address}: cannot be opened; in use by another program, or not a capture device"


def driver(device: str, sys: Path = Path("/sys")) -> str:
    """The name that the kernel's driver gives the device; empty when unknown."""
    try:
        return (sys / "class/video4linux" / Path(device).resolve().name / "name").read_text("utf-8").strip()
    except OSError:
        return ""


def devices(dev: Path = Path("/dev"), sys: Path = Path("/sys")) -> list[str]:
    """Device files of USB cameras, in order; those of the CSI pipeline are left out."""
    found = sorted(dev.glob("video[0-9]*"), key=lambda path: int("".join(filter(str.isdigit, path.name))))
    return [str(path) for path in found if _is_camera(path, sys)]


def _is_camera(path: Path, sys: Path) -> bool:
    entry = sys / "class/video4linux" / path.name
    if driver(str(path), sys).startswith(_CSI_DRIVERS):
        return False
    try:  # a camera's second node (index 1) carries metadata, no pictures
        return int((entry / "index").read_text("utf-8")) == 0
    except (OSError, ValueError):
        return True
