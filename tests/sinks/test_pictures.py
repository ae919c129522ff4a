from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scenes
from scenes import LABELS, as_it_is, scene

from edge_detect.draw import Annotator
from edge_detect.errors import SinkError
from edge_detect.labels import Labels
from edge_detect.sinks.pictures import Pictures, Snapshots, save

BOX = [[0, 0, 9, 9]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_file_is_always_the_newest(tmp_path: Path) -> None:
    sink = Pictures(str(tmp_path / "last.png"), as_it_is)
    for grey in (10, 20):
        sink.write(scene(image=scenes.picture(grey)))
    sink.close()

    assert names(tmp_path) == ["last.png"]
    assert (cv2.imread(str(tmp_path / "last.png")) == 20).all()


def test_frames_of_a_video_are_numbered(tmp_path: Path) -> None:
    sink = Pictures(f"{tmp_path}/o/", as_it_is)
    for number in (0, 7):
        sink.write(scene(name="clip.mp4", number=number))

    assert names(tmp_path / "o") == ["frame-000000.jpg", "frame-000007.jpg"]


@pytest.mark.parametrize(
    "sources, written",
    [
        (["x/a.jpg"], ["a.jpg"]),
        (["x/a.JPG"], ["a.JPG"]),
        (["x/a.bmp"], ["a.bmp.png"]),
        (["x/a.tif"], ["a.tif"]),
        (["x/a.jpg", "y/a.jpg"], ["a-000001.jpg", "a.jpg"]),
        (["x/a.jpg", "x/a.png"], ["a.jpg", "a.png"]),
        (["http://cam/a.cgi?x=1.jpg&y"], ["frame-000000.jpg"]),
    ],
    ids=["its own", "capitals", "BMP is large", "TIFF", "twice the same", "two endings", "no picture"],
)
def test_pictures_keep_their_names(tmp_path: Path, sources: list[str], written: list[str]) -> None:
    sink = Pictures(str(tmp_path / "o"), as_it_is)
    for number, name in enumerate(sources):
        sink.write(scene(name=name, number=number))

    assert names(tmp_path / "o") == written
    assert all(cv2.imread(str(path)) is not None for path in (tmp_path / "o").iterdir())


@pytest.mark.parametrize("word", ["shots", "shots/", "shots.old/", "deep/er/shots", "2024.05.01"])
def test_a_folder_is_made_or_taken_as_it_is(tmp_path: Path, word: str) -> None:
    if word == "2024.05.01":
        (tmp_path / word).mkdir()

    Pictures(f"{tmp_path}/{word}", as_it_is).write(scene())

    assert names(tmp_path / word) == ["frame-000000.jpg"]


def test_the_boxes_are_drawn_and_the_frame_stays_as_it_was(tmp_path: Path) -> None:
    seen = scene([[10, 10, 60, 50]])
    Pictures(str(tmp_path / "o.png"), Annotator(LABELS)).write(seen)

    written = cv2.imread(str(tmp_path / "o.png"))
    assert (seen.frame.image == 128).all()
    assert not np.array_equal(written, seen.frame.image)
    assert (written[34:45, 20:50] == 128).all()


@pytest.mark.parametrize("output", ["", "a.jpg"], ids=["its folder", "its name"])
def test_the_picture_that_was_read_is_not_overwritten(tmp_path: Path, output: str) -> None:
    place = tmp_path / "a.jpg"
    place.write_bytes(b"dear to somebody")
    os.link(place, tmp_path / "b.jpg")
    sink = Pictures(str(tmp_path / output), as_it_is)

    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(SinkError, match=r"\.jpg: is the picture itself; choose another place"):
            sink.write(scene(name=str(tmp_path / name)))

    assert place.read_bytes() == b"dear to somebody"


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()

    with pytest.raises(SinkError) as caught:
        save(scenes.picture(), tmp_path / "a.jpg")

    assert str(caught.value) == f"{tmp_path}/a.jpg: cannot write: Is a directory"
    assert names(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(
    "name, size", [("a.xyz", (9, 9)), ("a.webp", (16400, 2))], ids=["no such form", "too wide for WebP"]
)
def test_what_cannot_be_encoded_is_told(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    with pytest.raises(SinkError, match=rf"/{name}: cannot be encoded as {Path(name).suffix}"):
        save(scenes.picture(size=size), tmp_path / name)


@pytest.fixture
def snapshots(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes scenes of a recorded source and tells the names of the snapshots."""

    def write(*seen: scenes.Scene, live: bool = False, labels: Labels = LABELS) -> list[str]:
        sink = Snapshots(str(tmp_path / "seen"), as_it_is, labels, live=live)
        for one in seen:
            sink.write(one)
        sink.close()
        return names(tmp_path / "seen")

    return write


def test_a_snapshot_is_taken_when_something_is_seen(snapshots: Callable[..., list[str]]) -> None:
    both = scene([[0, 0, 9, 9], [9, 9, 20, 20], [1, 1, 5, 5]], [1, 0, 1], time=2.5)

    assert snapshots(scene(time=0.5), both) == ["000002.500s-person-trafficlight.jpg"]


def test_a_snapshot_is_taken_at_most_once_a_second(snapshots: Callable[..., list[str]]) -> None:
    times = (0.0, 0.5, 0.99, 1.0, 1.99, 2.5)

    assert snapshots(*(scene(BOX, time=at) for at in times)) == [
        "000000.000s-person.jpg", "000001.000s-person.jpg", "000002.500s-person.jpg"
    ]  # fmt: skip


def test_a_snapshot_of_a_camera_carries_the_time_in_utc(snapshots: Callable[..., list[str]]) -> None:
    (name,) = snapshots(scene(BOX, time=time.monotonic()), live=True)

    now = time.strftime("%Y%m%dT%H", time.gmtime())
    assert re.fullmatch(rf"{now}\d{{4}}\.\d{{3}}Z-person\.jpg", name)


@pytest.mark.parametrize(
    "label, end",
    [
        ("../../etc/passwd", "etcpasswd"),
        ("Öl", "Öl"),
        ("??", ""),
        ("x" * 300, "x" * 80),
        ("猫" * 90, "猫" * 26),
    ],
    ids=["a path", "a letter of its own", "signs only", "far too long", "too long for the disk"],
)
def test_any_label_makes_a_name(snapshots: Callable[..., list[str]], label: str, end: str) -> None:
    assert snapshots(scene(BOX), labels=Labels((label,))) == [f"000000.000s-{end}.jpg"]


def test_each_picture_of_a_folder_makes_a_snapshot(tmp_path: Path) -> None:
    sink = Snapshots(str(tmp_path / "seen"), as_it_is, Labels(("cat",)), live=False)

    for number, name in enumerate(("a/one.JPG", "b/one.jpg")):
        sink.write(scene([[4, 4, 20, 20]], number=number, name=name))

    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "000000-cat.jpg",
        "000001-cat.jpg",
    ]
