from __future__ import annotations

import logging
import resource
import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import scenes
from scenes import as_it_is, scene

from edge_detect.draw import Annotator
from edge_detect.errors import SinkError
from edge_detect.sinks.video import Video

LIVE = SimpleNamespace(live=True, fps=0.0)


def recorded(fps: float) -> Any:
    return SimpleNamespace(live=False, fps=fps)


def write(path: Path, source: Any, *seen: scenes.Scene) -> None:
    with closing(Video(str(path), as_it_is, source)) as sink:
        for one in seen:
            sink.write(one)


def greys(path: Path) -> list[int]:
    """The brightness of each frame, to tens."""
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        fine, image = capture.read()
        if not fine:
            capture.release()
            return found
        found.append(round(image.mean() / 10) * 10)


def shown(*steps: tuple[float, int]) -> list[scenes.Scene]:
    """Scenes of (time, brightness)."""
    return [scene(time=at, image=scenes.picture(grey)) for at, grey in steps]


def test_a_recording_is_written_frame_by_frame(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", recorded(12.5), *shown((0, 50), (9, 100), (9, 150)))

    assert greys(tmp_path / "o.mp4") == [50, 100, 150]


@pytest.mark.parametrize("fps, told", [(12.5, 12.5), (29.97, 29.97), (0.5, 0.5), (1000, 1000), (0, 15)])
def test_the_rate_is_that_of_the_recording(tmp_path: Path, fps: float, told: float) -> None:
    write(tmp_path / "o.mp4", recorded(fps), *shown((0, 50), (1, 100)))

    capture = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(told, rel=1e-3)


def test_a_gap_of_a_camera_is_filled_with_the_picture_before_it(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", LIVE, *shown((100, 50), (100.4, 150), (100.4 + 1 / 15, 200)))

    assert greys(tmp_path / "o.mp4") == [50] * 6 + [150, 200]


def test_frames_that_come_too_soon_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", LIVE, *shown((0, 50), (0.01, 100), (0.02, 150), (1 / 15, 200)))

    assert greys(tmp_path / "o.mp4") == [50, 200]


def test_an_hour_without_a_camera_is_cut_to_ten_seconds(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", LIVE, *shown((0, 50), (3600, 150), (3600 + 1 / 15, 200), (3600 + 0.2, 100)))

    assert greys(tmp_path / "o.mp4") == [50] * 150 + [150, 200, 200, 100]


@pytest.mark.parametrize("name", ["o.mp4", "o.m4v", "o.mov", "o.mkv", "o.avi", "O.MP4"])
def test_each_ending_makes_a_video_that_can_be_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, recorded(25), *shown((0, 50), (1, 100), (2, 150)))

    assert greys(tmp_path / name) == [50, 100, 150]


@pytest.mark.parametrize("size", [(201, 101), (2, 2), (1921, 33)], ids=["odd", "tiny", "flat"])
def test_a_picture_of_any_size_can_be_written(tmp_path: Path, size: tuple[int, int]) -> None:
    write(tmp_path / "o.mp4", recorded(25), scene(image=scenes.picture(100, size)))

    assert greys(tmp_path / "o.mp4") == [100]


def test_a_picture_of_another_size_is_fitted(tmp_path: Path) -> None:
    pictures = [scene(image=scenes.picture(grey, size)) for grey, size in ((50, (96, 64)), (150, (64, 96)))]

    write(tmp_path / "o.mp4", recorded(25), *pictures)

    assert greys(tmp_path / "o.mp4") == [50, 150]


def test_the_boxes_are_in_the_video_and_not_in_the_frame(tmp_path: Path) -> None:
    seen = scene([[0, 0, 96, 64]])
    with closing(Video(str(tmp_path / "o.mp4"), Annotator(scenes.LABELS), recorded(25))) as sink:
        sink.write(seen)

    assert greys(tmp_path / "o.mp4") != [130]
    assert (seen.frame.image == 128).all()


def test_a_run_without_frames_makes_no_file(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", LIVE)

    assert list(tmp_path.iterdir()) == []


def test_closing_twice_is_safe_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Video(str(tmp_path / "o.mp4"), as_it_is, recorded(25))
    sink.write(scene())
    with caplog.at_level(logging.INFO):
        sink.close()
        sink.close()

    assert caplog.messages == [f"{tmp_path}/o.mp4: 1 frames written"]


@pytest.mark.parametrize("fps", [5, 7.5, 30])
def test_another_program_that_fills_the_disk_ends_the_video_of_a_camera_of_any_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with closing(Video(str(tmp_path / "o.mp4"), as_it_is, LIVE)) as sink:
        for number in range(60):
            sink.write(scene(time=number / fps))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=(8 << 20) - 1))
        with pytest.raises(SinkError) as caught:
            sink.write(scene(time=60 / fps))

    message = f"disk full (7 MB left in {tmp_path}); the video ends here"
    assert str(caught.value) == f"{tmp_path}/o.mp4: {message}"
    assert len(greys(tmp_path / "o.mp4")) == round(59 / fps * 15) + 1


def test_a_video_that_lost_its_end_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    sink = Video(str(tmp_path / "o.mp4"), as_it_is, recorded(25))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # as if the disk were full
    try:
        for _ in range(20):
            sink.write(scene(image=noise))
        with pytest.raises(SinkError) as caught:
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert str(caught.value) == f"{tmp_path}/o.mp4: cannot be played, its end is missing: disk full?"
    assert (tmp_path / "o.mp4").stat().st_size == 100_000


@pytest.mark.parametrize("size", [(1, 1), (6000, 1)])
def test_a_picture_that_is_too_small_for_a_video_is_told(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(SinkError) as caught:
        write(tmp_path / "o.mp4", recorded(25), scene(image=scenes.picture(100, size)))

    expected = f"expected pictures of 2x2 pixels or more, got {size[0]}x{size[1]}"
    assert str(caught.value) == f"{tmp_path}/o.mp4: {expected}"


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as caught:
        write(tmp_path / "caf\udce9.mp4", recorded(25), scene())

    assert str(caught.value) == f"{tmp_path}/caf\udce9.mp4: expected a name in UTF-8"


@pytest.mark.parametrize(
    "name, message",
    [("no/o.mp4", "No such file or directory"), ("o.mp4", "no such folder, or no permission")],
    ids=["no folder", "a folder of that name"],
)
def test_what_cannot_be_opened_is_told(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "o.mp4").mkdir()

    with pytest.raises(SinkError) as caught:
        write(tmp_path / name, recorded(25), scene())

    assert str(caught.value) == f"{tmp_path}/{name}: cannot write the video: {message}"
