from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_detect.errors import ConfigError, InputMissing, SourceError
from edge_detect.frame import Image
from edge_detect.sources import open_source, pictures
from edge_detect.sources.pictures import Pictures

COLOUR = (200, 100, 50)
Save = Callable[..., Path]


def plain(shade: int = 90) -> Image:
    return np.full((24, 32, 3), shade, np.uint8)


def encoded(image: npt.NDArray[np.generic], ending: str) -> bytes:
    return bytes(cv2.imencode(f".{ending}", image)[1])


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a picture, or bytes, into a file under the folder of the test."""

    def write(name: str, content: Image | bytes | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ending = "jpg" if path.suffix.lower() not in (".png", ".bmp", ".webp", ".tiff") else path.suffix[1:]
        content = plain() if content is None else content
        path.write_bytes(content if isinstance(content, bytes) else encoded(content, ending))
        return path

    return write


def names(address: object, root: Path) -> list[str]:
    return [os.path.relpath(frame.name, root) for frame in open_source(str(address)) if frame]


def test_one_picture_is_one_frame(save: Save) -> None:
    path = save("a.jpg", plain(40))
    (frame,) = open_source(str(path))

    assert frame is not None
    assert (frame.number, frame.time, frame.name, frame.size) == (0, 0.0, str(path), (32, 24))
    assert frame.image.mean() == pytest.approx(40, abs=2)


def test_folder_gives_all_that_lies_below_it_in_order(save: Save, tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "z/a.bmp", "C.JPG", "c/d/e.JPEG", "d.webp", "e.tiff"):
        save(name)
    save("notes.txt", b"hello")
    save("clip.mp4", b"hello")
    frames = list(open_source(str(tmp_path)))

    assert names(tmp_path, tmp_path) == [
        "C.JPG",
        "a.png",
        "b.jpg",
        "c/d/e.JPEG",
        "d.webp",
        "e.tiff",
        "z/a.bmp",
    ]
    assert [frame.number for frame in frames if frame] == list(range(7))


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("?.jpg", ["a.jpg", "b.jpg"]),
        ("[b-z].jpg", ["b.jpg"]),
        ("*/*.jpg", ["c/d.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "c/d.jpg"]),
        ("*", ["a.jpg", "b.jpg"]),
    ],
)
def test_glob_gives_the_files_that_match(save: Save, tmp_path: Path, pattern: str, found: list[str]) -> None:
    for name in ("b.jpg", "a.jpg", "c/d.jpg"):
        save(name)

    assert names(tmp_path / pattern, tmp_path) == found


@pytest.mark.parametrize(
    "name", ["what?.jpg", "[1].jpg", "a*b.jpg", "a b.jpg", "ä 猫.jpg", "a:b.jpg", "UP.JPG", "100%.jpg"]
)
@pytest.mark.parametrize("where", ["the file", "its folder"])
def test_odd_names_are_read(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    save(name)
    save("1.jpg")
    monkeypatch.chdir(tmp_path)

    assert names(name, tmp_path) == [name] if where == "the file" else name in names(tmp_path, tmp_path)


def test_folder_with_an_odd_name_is_read(save: Save, tmp_path: Path) -> None:
    save("[old]?/a.jpg")

    assert names(tmp_path / "[old]?", tmp_path) == ["[old]?/a.jpg"]


def test_home_is_where_the_tilde_leads(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("shots/a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert names("~/shots", tmp_path) == names("~/shots/*.jpg", tmp_path) == ["shots/a.jpg"]


def test_unreadable_pictures_are_named_counted_and_skipped(
    save: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save("a.jpg"), save("b.jpg", b"rubbish"), save("c.png", b""), save("d.jpg")
    (tmp_path / "e.jpg").symlink_to("nowhere")
    caplog.set_level(logging.INFO)
    numbers = [frame.number for frame in open_source(str(tmp_path)) if frame]

    expected = "not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)"
    assert numbers == [0, 3]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"skipped: {tmp_path}/b.jpg: {expected}"),
        ("WARNING", f"skipped: {tmp_path}/c.png: {expected}"),
        ("WARNING", f"skipped: {tmp_path}/e.jpg: cannot read the picture: No such file or directory"),
        ("WARNING", "3 of 5 pictures skipped"),
    ]


def test_pictures_of_which_none_can_be_read_are_told(save: Save, tmp_path: Path) -> None:
    save("a.jpg", b"rubbish"), save("b.jpg", b"rubbish")

    with pytest.raises(SourceError) as caught:
        list(open_source(str(tmp_path)))

    assert str(caught.value) == "none of 2 pictures can be read"


def test_only_picture_that_cannot_be_read_is_told(save: Save) -> None:
    path = save("a.jpg", b"rubbish")

    with pytest.raises(SourceError) as caught:
        list(open_source(str(path)))

    assert str(caught.value).startswith(f"{path}: not a picture that can be read")


@pytest.mark.parametrize("address", [".", "*.jpg", "nothing/**"])
def test_no_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputMissing) as caught:
        list(open_source(address))

    assert (
        str(caught.value) == f"source '{address}': no picture there (expected JPEG, PNG, BMP, TIFF or WebP)"
    )


def test_picture_that_went_away_is_told(save: Save) -> None:
    source = open_source(str(path := save("a.jpg")))
    path.unlink()

    with pytest.raises(InputMissing):
        list(source)


@pytest.mark.parametrize("name", ["a*" * 3000, "\0", "*\0", "x" * 300, "~nobody/*", "\udcff*"])
def test_name_that_no_file_can_have_is_no_picture(name: str) -> None:
    assert pictures.find(name) == []


@pytest.mark.parametrize(
    "kind, image",
    [
        ("jpg", plain()),
        ("png", np.dstack([plain(), plain()[..., :1]])),
        ("png", plain()[..., :1]),
        ("png", plain().astype(np.uint16) * 257),
        ("tiff", plain()[..., 0].astype(np.uint16) * 257),
        ("bmp", plain()[..., 0]),
    ],
    ids=["colour", "transparent", "grey", "16 bits", "grey of 16 bits", "grey bitmap"],
)
def test_any_kind_of_picture_becomes_blue_green_red(
    tmp_path: Path, kind: str, image: npt.NDArray[np.generic]
) -> None:
    (tmp_path / f"a.{kind}").write_bytes(encoded(image, kind))
    (frame,) = Pictures(str(tmp_path))

    assert (frame.image.shape, frame.image.dtype) == ((24, 32, 3), np.uint8)
    assert np.abs(frame.image.astype(int) - 90).max() <= 2


def test_colours_arrive_as_blue_green_red(save: Save) -> None:
    red = plain()
    red[:] = (0, 0, 255)
    (frame,) = Pictures(str(save("red.png", red)))

    assert frame.image.tolist() == red.tolist()


def test_real_bitmap_with_a_later_header_has_its_colours(shared: Path) -> None:
    (frame,) = Pictures(str(shared / "pictures/openmv_person.bmp"))
    wall, shirt = frame.image[20:60, 20:60].mean((0, 1)), frame.image[320:340, 60:90].mean((0, 1))

    assert frame.size == (400, 400)
    assert wall.min() > 220  # white
    assert shirt.argmax() == 1  # green


@pytest.mark.parametrize(
    "name", ["bird.bmp", "cat_720p.jpg", "grace_hopper.bmp", "kite_and_cold.jpg", "parrot.jpg"]
)
def test_real_pictures_are_read(shared: Path, name: str) -> None:
    (frame,) = Pictures(str(shared / "pictures" / name))

    assert frame.image.std() > 20


def test_picture_of_a_camera_held_upright_stands_upright(save: Save) -> None:
    image = plain(0)
    image[:, :8] = (0, 0, 255)  # red on the left
    data = encoded(image, "jpg")
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    path = save("a.jpg", data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    (frame,) = Pictures(str(path))

    assert frame.size == (24, 32)
    assert frame.image[:6, ..., 2].min() > 200  # and now at the top


def test_picture_is_turned(save: Save) -> None:
    image = plain(0)
    image[:12, :16] = 255
    (frame,) = open_source(f"file:{save('a.png', image)}?rotation=90&flip=h")

    assert frame is not None
    np.testing.assert_array_equal(frame.image, np.rot90(image, -1)[:, ::-1])


@pytest.mark.parametrize(
    "query, message",
    [
        ("rotation=1", "rotation: expected 0, 90, 180 or 270, got 1"),
        ("flip=x", "flip: expected h, v or hv, got 'x'"),
        ("live=yes", "unknown setting 'live', did you mean 'flip'?"),
    ],
)
def test_wrong_setting_is_named(save: Save, query: str, message: str) -> None:
    text = f"file:{save('a.jpg')}?{query}"

    with pytest.raises(ConfigError) as caught:
        open_source(text)

    assert str(caught.value).startswith(f"source '{text}': {message.partition(', did')[0]}")
