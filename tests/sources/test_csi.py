"""Csi, on the real picamera2 where there is one with a camera, and on narrow fakes for what a camera
in order never does."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from waiting import wait_until

from edge_detect.errors import ConfigError, DependencyError, InputMissing, SourceError, SourceHangs
from edge_detect.frame import Frame
from edge_detect.settings import build
from edge_detect.sources import csi
from edge_detect.sources.csi import Csi

# picamera2 starts its thread in the old way
pytestmark = pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning")


def first(source: Csi, n: int = 1) -> list[Frame]:
    with closing(iter(source)) as frames:  # type: ignore[type-var]
        return list(itertools.islice(frames, n))


def handles() -> int:
    """Open files, once the objects of picamera2 that hold each other are gone."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module")
def model() -> str:
    """Model of the camera that is there."""
    found = csi.cameras()
    if not found:
        pytest.skip("no picamera2, or no camera on a ribbon cable")
    return found[0]


@pytest.fixture
def stall(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that, while it exists, stops the frames of libcamera's virtual camera."""
    if "virtual" not in sys.modules["picamera2"].Picamera2.global_camera_info()[0]["Id"]:
        pytest.skip("not libcamera's virtual camera: nobody is here to pull the cable")
    monkeypatch.setenv("LIBCAMERA_VIRTUAL_STALL", str(tmp_path / "stall"))
    return tmp_path / "stall"


def test_frames_are_numbered_and_of_the_size_asked_for(model: str) -> None:
    frames = first(Csi(width=320, height=240), 3)

    assert [frame.number for frame in frames] == [0, 1, 2]
    assert {frame.size for frame in frames} == {(320, 240)}
    assert {frame.name for frame in frames} == {"csi:0"}
    assert [frame.small for frame in frames] == [None, None, None]


def test_colours_arrive_as_blue_green_red(stall: Path) -> None:
    frame = first(Csi(small_width=300, small_height=224))[0]
    for image in (frame.image, frame.small):  # bars: ... magenta, red, blue, black
        assert image is not None
        row, bar = image[10].astype(int), image.shape[1] // 8
        red = [x for x in range(len(row)) if np.abs(row[x] - [0, 0, 255]).max() < 8]

        assert bar * 0.8 < len(red) < bar * 1.2
        assert np.allclose(row[(red[bar // 2] + bar) % len(row)], [255, 0, 0], atol=8)


@pytest.mark.parametrize("size", [(300, 224), (300, 226), (320, 240), (640, 480)])
def test_small_picture_shows_the_same_as_the_large_one(model: str, size: tuple[int, int]) -> None:
    frame = first(Csi(small_width=size[0], small_height=size[1]))[0]
    assert frame.small is not None
    same = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)

    assert frame.small.shape == (size[1], size[0], 3)
    assert np.mean(np.abs(frame.small.astype(int) - same).max(2) > 24) < 0.1


@pytest.mark.parametrize("width", [600, 642, 1000])
def test_padding_of_rows_is_no_part_of_the_picture(stall: Path, width: int) -> None:
    image = first(Csi(width=width, height=400))[0].image
    bars = image[10, width // 16 :: width // 8][:8].tolist()

    assert image.shape == (400, width, 3)
    assert bars[-3:] == [[0, 0, 255], [255, 0, 0], [0, 0, 0]]


def test_no_small_picture_that_is_larger_than_the_large_one(model: str) -> None:
    source = Csi(width=320, height=240)
    source.small_width, source.small_height = 640, 480  # as the detector may ask for

    assert first(source)[0].small is None


def test_quarter_turn_turns_both_pictures(stall: Path) -> None:
    frame = first(Csi(width=640, height=400, small_width=300, small_height=188, rotation=90))[0]
    assert frame.small is not None

    assert frame.size == (400, 640)
    assert frame.small.shape == (300, 188, 3)
    assert np.ptp(frame.image[100].astype(int), 0).max() == 0  # bars lie across now
    assert np.ptp(frame.small[:, 50].astype(int), 0).min() > 200


def test_times_are_those_of_the_capture(model: str) -> None:
    before = time.monotonic()
    times = [frame.time for frame in first(Csi(fps=20), 5)]
    periods = np.diff(times) * 20  # 1, or more where a frame was left out

    assert before < times[0] < times[-1] < time.monotonic()
    assert np.allclose(periods, periods.round(), atol=0.1)


def test_frame_keeps_its_picture_when_the_next_ones_come(model: str) -> None:
    with closing(iter(Csi(small_width=300, small_height=224))) as frames:  # type: ignore[type-var]
        kept = next(frames)
        before = kept.image.copy()
        later = list(itertools.islice(frames, 2 * csi.BUFFERS))

    assert np.array_equal(kept.image, before)
    assert not any(np.shares_memory(kept.image, frame.image) for frame in later)


def test_slow_reader_gets_a_fresh_frame(model: str) -> None:
    with closing(iter(Csi())) as frames:  # type: ignore[type-var]
        next(frames)
        threading.Event().wait(0.5)  # the reader is busy, the camera goes on
        age = time.monotonic() - next(frames).time

    assert age < 0.2


def test_stalled_camera_is_lost_after_its_patience_and_opens_again(stall: Path) -> None:
    source, frames = Csi(patience=0.5), iter(Csi(patience=0.5))
    next(frames)
    stall.touch()
    begun = time.monotonic()
    with pytest.raises(SourceError) as caught:
        list(frames)
    lost = time.monotonic() - begun
    stall.unlink()

    assert str(caught.value) == "camera 0: no frame for 0.5 s: check the ribbon cable"
    assert 0.4 < lost < 3
    assert len(first(source, 3)) == 3


def test_twenty_openings_leave_nothing_behind(model: str) -> None:
    first(Csi())
    before = threading.active_count(), handles()
    for _ in range(20):
        first(Csi(width=320, height=240, small_width=160, small_height=120))

    assert (threading.active_count(), handles()) == before


def test_camera_in_use_is_said_so_and_leaves_nothing_behind(model: str) -> None:
    with closing(iter(Csi())) as frames:  # type: ignore[type-var]
        next(frames)
        before = handles()
        messages = set()
        for _ in range(5):
            with pytest.raises(SourceError) as caught:
                first(Csi())
            messages.add(str(caught.value))

        assert messages == {"camera 0 is in use by another program"}
        assert handles() == before
        assert next(frames).number == 1


def test_camera_number_that_is_not_there_lists_those_that_are(model: str) -> None:
    with pytest.raises(InputMissing) as caught:
        first(Csi(address="7"))

    assert str(caught.value).startswith(f"no camera 7 (found: 0 {model}")
    assert str(caught.value).endswith("): check the ribbon cable, then rpicam-hello --list-cameras")


class Transform:
    def __init__(self, hflip: bool = False, vflip: bool = False) -> None:
        self.hflip, self.vflip = hflip, vflip


class Job:
    """picamera2's job before its release 0.3.19: its result knows no limit."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def get_result(self) -> Any:
        return self._result


class Request:
    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        camera.held += 1

    def make_array(self, name: str) -> Any:
        if self.camera.broken:
            raise RuntimeError("failed to find buffer")
        width, height = self.camera.config[name]["size"]
        if name == "lores":  # rows of 64, as the hardware has them
            return np.full((height * 3 // 2, width + -width % 64), 128, np.uint8)
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2, : width // 2] = 255  # top left
        return image

    def get_metadata(self) -> dict[str, Any]:
        return self.camera.metadata

    def release(self) -> None:
        self.camera.held -= 1


class Camera:
    """picamera2.Picamera2 as it was before release 0.3.19: no wait=seconds, no cancel_all_and_flush."""

    found: ClassVar[list[dict[str, Any]]] = [{"Model": "imx708", "Id": "/base/i2c/imx708@1a", "Num": 0}]
    refusal: ClassVar[Exception | None] = None
    late_refusal: ClassVar[Exception | None] = None
    camera_controls: ClassVar[dict[str, Any]] = {"FrameDurationLimits": (1, 2, 1), "AfMode": (0, 2, 0)}
    can_mirror: ClassVar[bool] = True
    silent: ClassVar[bool] = False
    broken: ClassVar[bool] = False
    metadata: ClassVar[dict[str, Any]] = {}
    on_close: ClassVar[list[Callable[[], object]]] = []
    sensor_resolution = (4608, 2592)
    made: ClassVar[list[Camera]] = []

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Camera.found

    def __init__(
        self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None, allocator: Any = None
    ) -> None:
        Camera.made.append(self)
        self.is_open, self.held, self.closed = False, 0, 0
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        try:
            if self.refusal:
                raise self.refusal
        except Exception as error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.is_open = True
        if self.late_refusal:
            raise self.late_refusal
        self.allocator = object()

    def create_video_configuration(
        self,
        main: Any,
        lores: Any,
        raw: Any,
        transform: Any,
        colour_space: Any,
        buffer_count: int,
        controls: Any,
    ) -> dict[str, Any]:
        return {
            "main": main,
            "lores": lores,
            "raw": raw,
            "transform": transform,
            "colour_space": colour_space,
            "buffer_count": buffer_count,
            "controls": controls,
        }

    def configure(self, config: dict[str, Any]) -> None:
        self.asked = config
        self.config = {**config, "transform": config["transform"] if self.can_mirror else Transform()}

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        pass

    def capture_request(self, wait: bool | None = None, signal_function: Any = None) -> Any:
        assert wait is False  # else it would wait for ever
        if self.silent:
            return Job(None)
        job = Job(Request(self))
        threading.Timer(0.001, signal_function, [job]).start()
        return job

    def close(self) -> None:
        self.closed += 1
        if not self.is_open:
            return
        self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)
        for act in self.on_close:
            act()
        del self.allocator


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    """The fake in the place of picamera2; its class attributes are put back afterwards."""
    kinds = SimpleNamespace(Continuous=2)
    libcamera = SimpleNamespace(
        Transform=Transform,
        ColorSpace=SimpleNamespace(Smpte170m=lambda: "SMPTE170M"),
        controls=SimpleNamespace(AfModeEnum=kinds),
    )
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Camera))
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setattr(csi, "_DEVICES", ())
    monkeypatch.setattr(Camera, "made", [])
    return Camera


def asked(source: Csi) -> dict[str, Any]:
    """What the camera was configured with."""
    first(source)
    return Camera.made[-1].asked


def test_old_picamera2_is_waited_for_with_a_limit(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "silent", True)
    with pytest.raises(SourceError) as caught:
        first(Csi(patience=0.5))

    assert str(caught.value) == "camera 0: no frame for 0.5 s: check the ribbon cable"
    assert camera.made[0].closed == 1


def test_every_request_is_given_back(camera: type[Camera]) -> None:
    first(Csi(small_width=300, small_height=224), 5)

    assert camera.made[0].held == 0


def test_request_is_given_back_when_its_picture_cannot_be_read(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "broken", True)
    with pytest.raises(SourceError) as caught:
        first(Csi())

    assert str(caught.value) == "camera 0: failed to find buffer"
    assert (camera.made[0].held, camera.made[0].closed) == (0, 1)


def test_padding_of_the_small_picture_is_cut_off(camera: type[Camera]) -> None:
    small = first(Csi(small_width=300, small_height=224))[0].small

    assert small is not None
    assert small.shape == (224, 300, 3)


def test_camera_is_asked_for_blue_green_red_and_exact_colours(camera: type[Camera]) -> None:
    config = asked(Csi(width=1280, height=720, small_width=320, small_height=180))

    assert config["main"] == {"format": "RGB888", "size": (1280, 720)}
    assert config["lores"] == {"format": "YUV420", "size": (320, 180)}
    assert (config["colour_space"], config["buffer_count"]) == ("SMPTE170M", 4)


def test_camera_is_asked_for_its_pace_and_to_stay_in_focus(camera: type[Camera]) -> None:
    assert asked(Csi(fps=25))["controls"] == {"FrameDurationLimits": (40000, 40000), "AfMode": 2}


def test_camera_is_not_asked_for_what_it_does_not_know(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "camera_controls", {})

    assert asked(Csi())["controls"] == {}


@pytest.mark.parametrize(
    ("source", "raw"),
    [
        (Csi(), {"size": (2304, 1296)}),
        (Csi(wide=False), {}),
        (Csi(width=2560, height=1440), {}),
    ],
    ids=["wide", "fast", "larger than half"],
)
def test_whole_view_is_the_sensor_mode_of_half_size(
    camera: type[Camera], source: Csi, raw: dict[str, Any]
) -> None:
    assert asked(source)["raw"] == raw


TURNS = [
    (0, "", (False, False), [1, 0, 0, 0]),
    (0, "h", (True, False), [0, 1, 0, 0]),
    (0, "v", (False, True), [0, 0, 1, 0]),
    (0, "hv", (True, True), [0, 0, 0, 1]),
    (180, "", (True, True), [0, 0, 0, 1]),
    (180, "h", (False, True), [0, 0, 1, 0]),
    (180, "hv", (False, False), [1, 0, 0, 0]),
    (90, "", (False, False), [0, 1, 0, 0]),
    (90, "v", (False, False), [0, 0, 0, 1]),
    (270, "", (False, False), [0, 0, 1, 0]),
]
"""Rotation, flip, what the camera mirrors (across, down), and which quarter the top left one becomes."""


@pytest.mark.parametrize(("rotation", "flip", "mirrored", "_"), TURNS)
def test_camera_mirrors_what_it_can(
    camera: type[Camera], rotation: int, flip: str, mirrored: tuple[bool, bool], _: object
) -> None:
    transform = asked(Csi(rotation=rotation, flip=flip))["transform"]

    assert (transform.hflip, transform.vflip) == mirrored


@pytest.mark.parametrize(("rotation", "flip", "_", "quarters"), TURNS)
def test_what_the_camera_cannot_mirror_is_done_here(
    camera: type[Camera],
    monkeypatch: pytest.MonkeyPatch,
    rotation: int,
    flip: str,
    _: object,
    quarters: list[int],
) -> None:
    monkeypatch.setattr(camera, "can_mirror", False)
    frame = first(Csi(width=64, height=64, rotation=rotation, flip=flip))[0]

    assert (frame.image[[16, 16, 48, 48], [16, 48, 16, 48], 0] // 255).tolist() == quarters


def test_what_the_camera_has_mirrored_is_not_mirrored_again(camera: type[Camera]) -> None:
    image = first(Csi(width=64, height=64, rotation=180))[0].image  # the fake does not really mirror

    assert image[16, 16, 0] == 255


@pytest.mark.parametrize(
    ("stamp", "age"),
    [
        (lambda: time.clock_gettime(time.CLOCK_MONOTONIC) - 0.1, 0.1),
        (lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - 0.1, 0.1),
        (lambda: time.clock_gettime(time.CLOCK_MONOTONIC) + 1e6, 0.0),
        (lambda: 0.0, 0.0),
    ],
    ids=["monotonic", "since boot", "in the future", "long ago"],
)
def test_time_stamp_of_the_sensor_counts_where_it_can_be_true(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch, stamp: Callable[[], float], age: float
) -> None:
    clock, slept = time.clock_gettime, {time.CLOCK_BOOTTIME: 1e5}
    monkeypatch.setattr(time, "clock_gettime", lambda kind: clock(kind) + slept.get(kind, 0.0))
    monkeypatch.setattr(camera, "metadata", {"SensorTimestamp": int(stamp() * 1e9)})

    assert time.monotonic() - first(Csi())[0].time == pytest.approx(age, abs=0.08)


def test_no_camera_says_what_to_check(camera: type[Camera], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "found", [])
    with pytest.raises(InputMissing) as caught:
        first(Csi())

    assert str(caught.value) == (
        "no camera 0 (found: none): check the ribbon cable, then rpicam-hello --list-cameras"
    )


@pytest.mark.parametrize(
    ("cause", "kind", "message"),
    [
        (
            RuntimeError("Failed to acquire camera: Device or resource busy"),
            SourceError,
            "camera 0 is in use by another program",
        ),
        (
            IndexError("list index out of range"),
            InputMissing,
            "no camera 0 (found: none): check the ribbon cable, then rpicam-hello --list-cameras",
        ),
        (
            PermissionError(13, "Permission denied"),
            SourceError,
            "camera 0: no permission: sudo usermod -aG video $USER, then log in again",
        ),
        (RuntimeError("Could not find a tuning"), SourceError, "camera 0: Could not find a tuning"),
        (RuntimeError(), SourceError, "camera 0: RuntimeError"),
    ],
    ids=["busy", "gone", "permission", "other", "silent"],
)
def test_cause_of_a_failed_opening_is_told(
    camera: type[Camera],
    monkeypatch: pytest.MonkeyPatch,
    cause: Exception,
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(camera, "refusal", cause)
    before = handles()
    with pytest.raises(kind) as caught:
        first(Csi())

    assert str(caught.value) == message
    assert handles() == before  # picamera2 itself leaves one behind


@pytest.mark.parametrize(
    "cause",
    [PermissionError(13, "Permission denied"), RuntimeError("Could not open any dmaHeap device")],
    ids=["heap not for us", "no heap"],
)
def test_camera_without_permission_for_memory_is_given_back(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    monkeypatch.setattr(camera, "late_refusal", cause)
    with pytest.raises(SourceError) as caught:
        first(Csi())

    assert str(caught.value) == "camera 0: no permission: sudo usermod -aG video $USER, then log in again"
    assert (camera.made[0].is_open, camera.made[0].closed) == (False, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_device_without_permission_is_named_before_the_camera_is_touched(
    camera: type[Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "media0"
    device.touch(0o000)
    monkeypatch.setattr(csi, "_DEVICES", (str(device),))
    with pytest.raises(SourceError) as caught:
        first(Csi())

    assert str(caught.value) == f"{device}: no permission: sudo usermod -aG video $USER, then log in again"
    assert camera.made == []


def test_camera_that_never_closes_is_left_behind(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(csi, "CLOSING", 0.05)
    monkeypatch.setattr(camera, "on_close", [lambda: released.wait(5)])
    first(Csi())
    released.set()

    assert caplog.messages == ["camera 0: does not close, left behind"]


def test_camera_that_still_does_not_close_is_not_opened_again(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(csi, "CLOSING", 0.05)
    monkeypatch.setattr(camera, "on_close", [lambda: released.wait(5)])
    source = Csi()
    first(source)
    with pytest.raises(SourceHangs, match="camera 0: still does not close"):
        first(source)
    released.set()
    wait_until(lambda: not any(thread.name == "close csi:0" for thread in threading.enumerate()))

    assert len(first(source)) == 1
    assert len(camera.made) == 2


def test_error_while_closing_is_told_and_goes_no_further(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to stop preview.")

    monkeypatch.setattr(camera, "on_close", [fail])

    assert len(first(Csi())) == 1
    assert caplog.messages == ["camera 0: while closing: Unable to stop preview."]


@pytest.fixture
def broken_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes `import picamera2` run a statement."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "picamera2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    def write(statement: str) -> None:
        (tmp_path / "picamera2.py").write_text(statement, "utf-8")

    yield write
    sys.modules.pop("picamera2", None)


MISSING = (
    "source 'csi' needs picamera2: sudo apt install python3-picamera2 and a venv with --system-site-packages"
)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility."
            " Expected 96 from C header, got 88 from PyObject')",
            "picamera2 was built for numpy 1: pip install 'numpy<2'",
        ),
        (
            "raise ImportError('numpy.core.multiarray failed to import')",
            "picamera2 was built for numpy 1: pip install 'numpy<2'",
        ),
        (
            "raise ModuleNotFoundError(\"No module named 'libcamera'\")",
            f"{MISSING} (No module named 'libcamera')",
        ),
    ],
    ids=["numpy 2", "numpy 2 again", "other Python"],
)
def test_picamera2_that_cannot_be_imported_says_why(
    broken_import: Callable[[str], None], statement: str, message: str
) -> None:
    broken_import(statement)
    with pytest.raises(DependencyError) as caught:
        first(Csi())

    assert str(caught.value) == message


def test_no_cameras_without_picamera2(
    broken_import: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    broken_import("raise ModuleNotFoundError(\"No module named 'picamera2'\")")
    with caplog.at_level(logging.INFO):
        assert csi.cameras() == []

    assert caplog.messages == [f"no CSI camera: {MISSING} (No module named 'picamera2')"]


def test_cameras_are_those_on_ribbon_cables(camera: type[Camera], monkeypatch: pytest.MonkeyPatch) -> None:
    usb = {"Model": "C270", "Id": "/base/usb@1/046d:0825", "Num": 0}
    monkeypatch.setattr(camera, "found", [*camera.found, usb])

    assert csi.cameras() == ["imx708"]


def test_cameras_are_none_when_libcamera_cannot_start(
    camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("Failed to start CameraManager: No such device")

    monkeypatch.setattr(camera, "global_camera_info", staticmethod(fail))

    assert csi.cameras() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"address": "front"}, "csi: address: expected the number of a camera, got 'front'"),
        ({"width": "641"}, "csi: width: expected an even number, got 641"),
        ({"height": "8"}, "csi: height: expected 16 to 8192, got 8"),
        ({"small_width": "800", "small_height": "2"}, "csi: small_width: expected 0 to 640, got 800"),
        ({"small_width": "300"}, "csi: small_width and small_height: expected both or none"),
        ({"small_height": "301"}, "csi: small_height: expected an even number, got 301"),
        ({"rotation": "45"}, "csi: rotation: expected 0, 90, 180 or 270, got 45"),
        ({"flip": "x"}, "csi: flip: expected h, v or hv, got 'x'"),
        ({"fps": "0"}, "csi: fps: expected 0.1 to 1000, got 0.0"),
        ({"patience": "0"}, "csi: patience: expected 0.5 to 600, got 0.0"),
    ],
)
def test_wrong_setting_is_named(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Csi, values, "csi")

    assert str(caught.value) == message
