"""Csi: a camera on the ribbon cable of a Raspberry Pi, read through picamera2."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from edge_detect import pixels
from edge_detect.errors import DependencyError, EdgeDetectError, InputMissing, SourceError, SourceHangs
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range

log = logging.getLogger(__name__)

BUFFERS = 4  # one is painted, one is read, one is kept as the newest, one to spare
CLOSING = 2.0  # seconds; a camera whose driver hangs never closes
OLDEST = 10.0  # seconds; a time stamp further back is of another clock
_DEVICES = ("/dev/media0", "/dev/dma_heap/vidbuf_cached")
_MISSING = (
    "source 'csi' needs picamera2: sudo apt install python3-picamera2 and a venv with --system-site-packages"
)
_OLD_NUMPY = "picamera2 was built for numpy 1: pip install 'numpy<2'"
NO_PERMISSION = "no permission: sudo usermod -aG video $USER, then log in again"


@dataclass
class Csi:
    """A camera module, with pictures scaled, turned and made small by the camera's own hardware.

    Attributes:
        address: Number of the camera, as `rpicam-hello --list-cameras` counts them.
        width: Pixels of the camera's picture, before it is turned by 90 or 270 degrees; even.
        height: Pixels of the camera's picture; even.
        fps: Frames a second asked for; the sensor may have less to give.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        wide: The whole view of the lens; off, a sensor's fastest mode for this size, which often
            shows the middle only (of a Camera Module 2 at 640x480, less than half).
        small_width: Pixels of a second picture, for the detector; even; 0 for none.
        small_height: Pixels of it, before it is turned; even.
        patience: Seconds without a frame after which the camera counts as lost.
        freeze: Seconds of the very same picture after which it counts as lost; 0 for never.
    """

    address: str = "0"
    width: int = 640
    height: int = 480
    fps: float = 30.0
    rotation: int = 0
    flip: str = ""
    wide: bool = True
    small_width: int = 0
    small_height: int = 0
    patience: float = 5.0
    freeze: float = 5.0
    live = True
    reopens = True
    _closing: threading.Thread | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.address.isdecimal():
            raise ValueError(f"address: expected the number of a camera, got '{self.address}'")
        pixels.check_turn(self.rotation, self.flip)
        _check_side("width", self.width, 16, 8192)
        _check_side("height", self.height, 16, 8192)
        _check_side("small_width", self.small_width, 0, self.width)
        _check_side("small_height", self.small_height, 0, self.height)
        check_range("fps", self.fps, 0.1, 1000)
        check_range("patience", self.patience, 0.5, 600)
        check_range("freeze", self.freeze, 0, 86400)
        if bool(self.small_width) != bool(self.small_height):
            raise ValueError("small_width and small_height: expected both or none")

    def __iter__(self) -> Iterator[Frame]:
        if self._closing and self._closing.is_alive():
            raise SourceHangs(f"camera {self.address}: still does not close")
        picamera2, libcamera = _library()
        with _explained(self.address):
            camera = _open(picamera2.Picamera2, int(self.address))
        try:
            with _explained(self.address):
                camera.configure(self._configuration(camera, libcamera))
                camera.start()
            for number in count():
                yield self._read(camera, number)
        finally:
            self._closing = _close(camera, self.address)

    def _configuration(self, camera: Any, libcamera: Any) -> Any:
        across, down = mirrors(self.rotation, self.flip)
        return camera.create_video_configuration(
            main={"format": "RGB888", "size": (self.width, self.height)},  # B, G, R in memory
            lores=self._lores(),
            raw=self._raw(camera.sensor_resolution),
            transform=libcamera.Transform(hflip=across, vflip=down),
            colour_space=libcamera.ColorSpace.Smpte170m(),  # what OpenCV takes I420 for
            buffer_count=BUFFERS,
            controls=self._controls(camera.camera_controls, libcamera),
        )

    def _lores(self) -> dict[str, Any] | None:
        size = (self.small_width, self.small_height)
        if not all(size) or size[0] > self.width or size[1] > self.height:
            return None  # the hardware makes no picture larger than the main one
        return {"format": "YUV420", "size": size}

    def _raw(self, sensor: tuple[int, int]) -> dict[str, Any]:
        """The sensor mode: of nearly all sensors, the one of half the size bins and crops nothing.

        Source: rpicam-apps, core/rpicam_app.cpp, ConfigureViewfinder.
        """
        half = (sensor[0] // 2, sensor[1] // 2)
        fits = self.width <= half[0] and self.height <= half[1]
        return {"size": half} if self.wide and fits else {}

    def _controls(self, known: dict[str, Any], libcamera: Any) -> dict[str, Any]:
        """How fast, and in focus: left alone, a lens that can move stays where it is."""
        controls: dict[str, Any] = {}
        if "FrameDurationLimits" in known:
            period = round(1e6 / self.fps)  # microseconds
            controls["FrameDurationLimits"] = (period, period)
        if "AfMode" in known:
            controls["AfMode"] = libcamera.controls.AfModeEnum.Continuous
        return controls

    def _read(self, camera: Any, number: int) -> Frame:
        with _explained(self.address):
            made = camera.camera_configuration()
            request = self._request(camera)
            try:
                image = request.make_array("main")
                planes = request.make_array("lores") if made["lores"] else None
                stamp = request.get_metadata().get("SensorTimestamp")
            finally:
                request.release()
        image = self._turned(image, made["transform"])
        small = None
        if planes is not None:  # its rows, those of the colours too, come with their padding
            small = pixels.bgr_from_i420(planes)[:, : made["lores"]["size"][0]]
            small = self._turned(small, made["transform"])
        return Frame(image, _moment(stamp), number, f"csi:{self.address}", small)

    def _request(self, camera: Any) -> Any:
        """The next picture: the camera's own buffer, to be given back at once."""
        done = threading.Event()
        # as a job: releases before 0.3.19 would wait without a limit
        job = camera.capture_request(wait=False, signal_function=lambda _: done.set())
        if not done.wait(self.patience):
            if hasattr(camera, "cancel_all_and_flush"):
                camera.cancel_all_and_flush()
            silence = f"no frame for {self.patience:g} s"
            raise SourceError(f"camera {self.address}: {silence}: check the ribbon cable")
        return job.get_result()

    def _turned(self, image: Image, done: Any) -> Image:
        """The picture turned by what the camera has not done; some sensors cannot mirror."""
        if self.rotation % 180:
            return pixels.turn(image, self.rotation, self.flip)
        across, down = mirrors(self.rotation, self.flip)
        flip = "h" * (across != bool(done.hflip)) + "v" * (down != bool(done.vflip))
        return pixels.turn(image, 0, flip)


def mirrors(rotation: int, flip: str) -> tuple[bool, bool]:
    """Whether a camera is to mirror across and down: all that its hardware can do of a turn."""
    if rotation % 180:
        return False, False
    upside_down = rotation == 180
    return upside_down != ("h" in flip), upside_down != ("v" in flip)


def cameras(level: int = logging.INFO) -> list[str]:
    """Models of the cameras on ribbon cables, in the order of their numbers; none without picamera2.

    Args:
        level: At which the log is told why there are none.
    """
    try:
        found = _library()[0].Picamera2.global_camera_info()
    except (DependencyError, RuntimeError, OSError) as error:
        log.log(level, "no CSI camera: %s", error)
        return []
    return [str(camera["Model"]) for camera in found if "/usb" not in camera["Id"]]


def _library() -> tuple[Any, Any]:
    """The modules picamera2 and libcamera; they come with the system, not with pip."""
    try:
        return import_module("picamera2"), import_module("libcamera")
    except (ImportError, ValueError, AttributeError) as error:
        if "numpy" in str(error) or "_ARRAY_API" in str(error):
            raise DependencyError(_OLD_NUMPY) from error
        raise DependencyError(f"{_MISSING} ({error})") from error


def _open(kind: Any, number: int) -> Any:
    """picamera2's camera, not yet running.

    A constructor that fails keeps a pipe, and perhaps the camera, for ever; hence in two steps.
    """
    _check_permission()
    found = [f"{i} {camera['Model']}" for i, camera in enumerate(kind.global_camera_info())]
    if number >= len(found):
        raise InputMissing(_no_camera(number, ", ".join(found) or "none"))
    camera = kind.__new__(kind)
    with ExitStack() as undo:
        undo.callback(_abandon, camera)
        camera.__init__(number)
        undo.pop_all()
    return camera


def _check_side(name: str, value: int, least: int, most: int) -> None:
    check_range(name, value, least, most)
    if value % 2:
        raise ValueError(f"{name}: expected an even number, got {value}")


def _no_camera(number: int | str, found: str) -> str:
    return f"no camera {number} (found: {found}): check the ribbon cable, then rpicam-hello --list-cameras"


def _check_permission() -> None:
    """SourceError when a device that libcamera needs is there but not for us."""
    for device in _DEVICES:
        if Path(device).exists() and not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(f"{device}: {NO_PERMISSION}")


def _abandon(camera: Any) -> None:
    if getattr(camera, "is_open", False):
        with suppress(AttributeError, RuntimeError, OSError):  # it lacks what it failed to get
            camera.close()
    elif hasattr(camera, "notifymeread"):
        camera.notifymeread.close()
        os.close(camera.notifyme_w)


def _close(camera: Any, address: str) -> threading.Thread:
    """Closes the camera, but waits for it only so long; returns the thread that closes it."""
    thread = threading.Thread(target=_shut, args=(camera, address), name=f"close csi:{address}", daemon=True)
    thread.start()
    thread.join(CLOSING)
    if thread.is_alive():
        log.warning("camera %s: does not close, left behind", address)
    return thread


def _shut(camera: Any, address: str) -> None:
    try:
        camera.close()
    except Exception as error:  # noqa: BLE001 the top of a thread
        log.warning("camera %s: while closing: %s", address, error)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turns what picamera2 and libcamera raise into what a person can mend."""
    try:
        yield
    except EdgeDetectError:
        raise
    except (RuntimeError, OSError, LookupError, ValueError) as error:
        raise _explain(error, address) from error


def _explain(error: BaseException, address: str) -> EdgeDetectError:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(cause)
    if isinstance(cause, PermissionError) or "dmaHeap" in text:
        return SourceError(f"camera {address}: {NO_PERMISSION}")
    if "busy" in text:
        return SourceError(f"camera {address} is in use by another program")
    if isinstance(cause, IndexError) or "No camera number" in text or "Camera(s) not found" in text:
        return InputMissing(_no_camera(address, "none"))
    return SourceError(f"camera {address}: {text or type(cause).__name__}")


def _moment(stamp: int | None) -> float:
    """Monotonic time of a capture.

    Args:
        stamp: Nanoseconds since boot, with sleep (as libcamera has it) or without (as some
            drivers have it); None when unknown.
    """
    now = time.monotonic()
    if stamp is None:
        return now
    ages = (time.clock_gettime(clock) - stamp / 1e9 for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME))
    return now - next((age for age in ages if 0 <= age < OLDEST), 0.0)
