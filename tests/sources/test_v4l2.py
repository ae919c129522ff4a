"""V4l2, with real device files that are no cameras, and a stand-in for OpenCV's capture."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from waiting import wait_until

from edge_detect.errors import ConfigError, InputMissing, SourceError
from edge_detect.frame import Image
from edge_detect.newest import Newest
from edge_detect.sources import open_source, v4l2
from edge_detect.sources.v4l2 import V4l2, devices, driver

NODE = "/dev/null"  # a character device, like a camera's


class Capture:
    """cv2.VideoCapture of a camera that gives its pictures and is then unplugged.

    Attributes:
        made: All of them.
        pictures: What each gives.
        opens: Whether they open.
    """

    made: list[Capture]
    pictures: tuple[Image, ...]
    opens: bool

    def __init__(self, filename: str, apiPreference: int, params: list[int]) -> None:
        assert isinstance(filename, str)
        assert isinstance(apiPreference, int)
        assert all(isinstance(value, int) for value in params)
        assert len(params) % 2 == 0
        self.address, self.api = filename, apiPreference
        self.asked: dict[int, float] = dict(zip(params[::2], params[1::2], strict=True))
        self.left, self.released = list(self.pictures), 0
        self.made.append(self)

    def isOpened(self) -> bool:
        return self.opens

    def set(self, propId: int, value: float) -> bool:
        assert self.opens
        self.asked[propId] = value
        return True

    def read(self) -> tuple[bool, Image | None]:
        assert not self.released
        return (True, self.left.pop(0)) if self.left else (False, None)

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0, 0] = 255
    members = {"made": [], "pictures": (picture, picture + 1), "opens": True}
    fake = type("VideoCapture", (Capture,), members)
    monkeypatch.setattr(cv2, "VideoCapture", fake)
    return fake


def add(root: Path, number: int, name: str | None, index: str | None = "0") -> None:
    """A device in a /dev and a /sys of the test."""
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()
    entry = root / f"sys/class/video4linux/video{number}"
    entry.mkdir(parents=True)
    for file, text in (("name", name), ("index", index)):
        if text is not None:
            (entry / file).write_text(text + "\n")


def test_devices_are_usb_cameras_in_order(tmp_path: Path) -> None:
    add(tmp_path, 10, "HD Webcam"), add(tmp_path, 9, "C920")
    add(tmp_path, 0, "unicam-image"), add(tmp_path, 1, "rp1-cfe-csi2_ch0"), add(tmp_path, 2, "pispbe-input")
    (
        add(tmp_path, 13, "bcm2835-isp-output0"),
        add(tmp_path, 19, "rpivid"),
        add(tmp_path, 3, "bcm2835-codec-decode"),
    )
    (tmp_path / "dev/video").touch(), (tmp_path / "dev/vbi0").touch()

    assert devices(tmp_path / "dev", tmp_path / "sys") == [
        f"{tmp_path}/dev/video9",
        f"{tmp_path}/dev/video10",
    ]


@pytest.mark.parametrize(
    "index, found", [("0", True), ("1", False), (None, True), ("?", True)], ids=["0", "1", "unknown", "odd"]
)
def test_second_node_of_a_camera_is_none(tmp_path: Path, index: str | None, found: bool) -> None:
    add(tmp_path, 0, "C920", index)

    assert bool(devices(tmp_path / "dev", tmp_path / "sys")) is found


def test_device_that_nobody_knows_may_be_a_camera(tmp_path: Path) -> None:
    add(tmp_path, 0, None)

    assert devices(tmp_path / "dev", tmp_path / "sys") == [f"{tmp_path}/dev/video0"]


def test_no_device_is_no_camera(tmp_path: Path) -> None:
    assert devices(tmp_path, tmp_path) == devices(tmp_path / "no", tmp_path / "no") == []


def test_driver_is_the_one_of_the_kernel(tmp_path: Path) -> None:
    add(tmp_path, 3, "C920")
    (tmp_path / "dev/by-id").symlink_to("video3")

    assert driver("/dev/video3", tmp_path / "sys") == "C920"
    assert driver(str(tmp_path / "dev/by-id"), tmp_path / "sys") == "C920"
    assert driver("/dev/video4", tmp_path / "sys") == ""


def test_missing_device_is_told_with_those_that_are_there() -> None:
    with pytest.raises(InputMissing) as caught:
        next(iter(open_source("/dev/video63")))

    there = ", ".join(devices()) or "none"
    assert str(caught.value) == f"/dev/video63: no such camera (found: {there}); is it plugged in?"


def test_file_is_no_camera(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(SourceError) as caught:
        next(iter(V4l2(str(tmp_path / "a"))))

    assert str(caught.value) == f"{tmp_path}/a: not a camera device, expected /dev/videoN"


def test_device_that_is_no_camera_is_told() -> None:
    with pytest.raises(SourceError) as caught:
        next(iter(open_source(f"v4l2:{NODE}")))

    assert (
        str(caught.value) == f"{NODE}: cannot be opened; in use by another program, or not a capture device"
    )


def test_device_without_permission_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK | os.W_OK)

    with pytest.raises(SourceError) as caught:
        next(iter(V4l2(NODE)))

    assert str(caught.value) == f"{NODE}: no permission: sudo usermod -aG video $USER, then log in again"


def test_csi_camera_is_not_for_us(monkeypatch: pytest.MonkeyPatch, capture: type[Capture]) -> None:
    monkeypatch.setattr(v4l2, "driver", lambda device: "unicam-image")
    capture.opens = False

    with pytest.raises(SourceError) as caught:
        next(iter(V4l2(NODE)))

    assert str(caught.value) == f"{NODE}: this is a libcamera (CSI) camera, use --source csi:0"
    assert [each.released for each in capture.made] == [1]


def test_camera_is_asked_for_what_was_chosen(capture: type[Capture]) -> None:
    next(iter(open_source(f"v4l2:{NODE}?width=1280&height=720&fps=15&format=YUYV")))
    (made,) = capture.made

    assert (made.address, made.api) == (NODE, cv2.CAP_V4L2)
    assert made.asked == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 15,
    }


def test_frames_come_with_name_number_and_time(capture: type[Capture]) -> None:
    before = time.monotonic()
    with closing(cast(Any, iter(V4l2(NODE)))) as opened:
        frames = [next(opened), next(opened)]

    assert [(frame.number, frame.name, frame.size) for frame in frames] == [
        (0, f"v4l2:{NODE}", (6, 4)), (1, f"v4l2:{NODE}", (6, 4)),
    ]  # fmt: skip
    assert before < frames[0].time <= frames[1].time < time.monotonic()


@pytest.mark.parametrize(
    "query, corner", [("", (0, 0)), ("rotation=90", (0, -1)), ("rotation=180", (-1, -1)), ("flip=v", (-1, 0))]
)
def test_frames_are_turned(capture: type[Capture], query: str, corner: tuple[int, int]) -> None:
    frame = next(iter(open_source(f"v4l2:{NODE}?{query}")))

    assert frame is not None
    assert frame.image[corner].tolist() == [255, 255, 255]


def test_unplugged_camera_is_told_and_released(capture: type[Capture]) -> None:
    frames = iter(V4l2(NODE))
    next(frames), next(frames)

    with pytest.raises(SourceError) as caught:
        next(frames)

    assert str(caught.value) == f"v4l2:{NODE}: no frame; is the camera still plugged in?"
    assert capture.made[0].released == 1


def test_camera_is_released_with_the_iterator(capture: type[Capture]) -> None:
    frames = cast(Iterator[Any], iter(V4l2(NODE)))
    next(frames)
    assert capture.made[0].released == 0
    frames.close()  # type: ignore[attr-defined]

    assert capture.made[0].released == 1


def test_unplugged_camera_is_opened_again_and_again(capture: type[Capture]) -> None:
    with closing(Newest(V4l2(NODE), NODE, back_off=(0.01, 0.01))) as newest:
        wait_until(lambda: newest.reopened == 5)

    assert all(each.released == 1 for each in capture.made)
    assert newest.captured >= 6


@pytest.mark.parametrize("address", ["1", "v4l2:1", "v4l2:/dev/video1", "/dev/video1"])
def test_number_is_a_device(address: str) -> None:
    source = V4l2(address) if address == "1" else open_source(address)

    assert isinstance(source, V4l2)
    assert source.address == "/dev/video1"


@pytest.mark.parametrize(
    "query, message",
    [
        ("width=15", "width: expected 16 to 8192, got 15"),
        ("height=x", "height: expected int, got 'x'"),
        ("fps=0", "fps: expected 0.1 to 1000, got 0.0"),
        ("patience=0", "patience: expected 0.5 to 600, got 0.0"),
        ("freeze=-1", "freeze: expected 0 to 86400, got -1.0"),
        ("rotation=-90", "rotation: expected 0, 90, 180 or 270, got -90"),
        ("format=JPEG2", "format: expected four letters such as MJPG or YUYV, got 'JPEG2'"),
        ("format=猫猫猫猫", "format: expected four letters such as MJPG or YUYV, got '猫猫猫猫'"),
    ],
)
def test_wrong_setting_is_named(query: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(f"/dev/video0?{query}")

    assert str(caught.value) == f"source '/dev/video0?{query}': {message}"
