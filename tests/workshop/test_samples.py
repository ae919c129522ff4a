from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import sets

from edge_detect import fit, pixels
from edge_detect.errors import DatasetError
from edge_detect.workshop import samples
from edge_detect.workshop.dataset import Label
from edge_detect.workshop.samples import Sample

RED = (0, 0, 255)
SEEDS = range(40)


def drawn(box: tuple[int, int, int, int] = (40, 30, 90, 70), size: tuple[int, int] = (160, 120)) -> Sample:
    """A red rectangle on black, and its box."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    cv2.rectangle(image, box[:2], (box[2] - 1, box[3] - 1), RED, -1)
    return labelled(image, box)


def labelled(image: np.ndarray, *boxes: tuple[int, int, int, int], ignore: bool = False) -> Sample:
    n = len(boxes)
    return Sample(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(n, np.int32),
        np.full(n, ignore),
        np.ones(2, np.float32),
    )


def noise(size: tuple[int, int] = (160, 120)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def red(image: np.ndarray) -> list[float]:
    """The corners of what is red."""
    there = image[..., 2].astype(int) - image[..., 0] > 127
    y, x = np.nonzero(there)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


def frames(sample: Sample) -> bool:
    return bool(np.abs(sample.boxes[0] - red(sample.image)).max() <= 1.5)


def same(a: Sample, b: Sample) -> None:
    for name in ("image", "boxes", "classes", "ignore", "known"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_picture_is_loaded_with_the_labels_of_the_classes_alone(tmp_path: Path) -> None:
    labels = Label("car", (1, 2, 30, 40)), Label("person", (0, 0, 9, 9), True), Label("dog", (0, 0, 5, 5))
    (picture,) = sets.one(tmp_path, *labels, labelled=frozenset({"car"})).pictures

    sample = samples.load(picture, ("person", "car"))

    assert (sample.size, sample.classes.tolist(), sample.ignore.tolist()) == ((64, 48), [1, 0], [False, True])
    assert (sample.boxes[0].tolist(), sample.known.tolist()) == ([1, 2, 30, 40], [0, 1])


def test_labels_follow_a_picture_that_was_resized(tmp_path: Path) -> None:
    (picture,) = sets.one(tmp_path, Label("car", (10, 10, 200, 20)), size=(128, 96)).pictures

    assert samples.load(picture, ("car",)).boxes.tolist() == [[5, 5, 64, 10]]


def bomb(path: Path) -> None:
    """Makes the file claim to be 100000 pixels wide and high."""
    head = b"IHDR" + (100_000).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    data = path.read_bytes()
    path.write_bytes(data[:12] + head + zlib.crc32(head).to_bytes(4) + data[33:])


@pytest.mark.parametrize("spoil", [Path.unlink, bomb], ids=["missing", "bomb"])
def test_a_picture_that_cannot_be_read_is_told(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    (picture,) = sets.one(tmp_path).pictures
    spoil(picture.path)

    with pytest.raises(DatasetError) as caught:
        samples.load(picture, ("car",))

    assert str(caught.value) == f"set:1: cannot read the picture {picture.path}"


def test_a_flip_twice_is_the_same() -> None:
    sample = labelled(noise(), (10, 20, 50, 60))

    same(samples.flip(samples.flip(sample)), sample)


def test_a_flipped_box_is_where_the_colour_is() -> None:
    flipped = samples.flip(drawn())

    assert flipped.boxes[0].tolist() == red(flipped.image) == [70, 30, 120, 70]


@pytest.mark.parametrize("size", [(64, 64), (128, 96), (320, 256)], ids=str)
@pytest.mark.parametrize(
    "corners", [(0, 0, 160, 120), (30, 20, 100, 90), (-50, -20, 180, 130), (33.3, 21.7, 97.2, 81.9)], ids=str
)
def test_a_window_keeps_the_box_on_its_pixels(
    corners: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    shown = samples.window(drawn(), corners, size)

    assert shown.size == size
    assert frames(shown)


def test_a_window_of_a_large_picture_keeps_the_box_on_its_pixels() -> None:
    shown = samples.window(drawn((400, 300, 900, 700), (1600, 1200)), (100, 100, 1500, 1100), (96, 96))

    assert frames(shown)


def test_a_window_of_the_whole_picture_is_the_picture() -> None:
    sample = labelled(noise(), (10, 20, 50, 60))

    same(samples.window(sample, (0, 0, 160, 120), (160, 120)), sample)


def test_a_window_beside_the_picture_is_grey_and_has_no_box() -> None:
    shown = samples.window(drawn(), (200, 200, 264, 264), (64, 64))

    assert len(shown.boxes) == 0
    assert (shown.image == samples.GREY).all()


def test_of_a_box_that_is_cut_the_rest_is_left_alone() -> None:
    # 50 pixels wide: 40 of them remain, then 10
    most, least = (samples.window(drawn(), (x, 0, x + 64, 64), (64, 64)) for x in (50, 80))

    assert most.ignore.tolist() == [False]
    assert least.ignore.tolist() == [True]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crop_shows_the_box_whole_and_on_its_pixels(seed: int) -> None:
    shown = samples.scale_and_crop(drawn(), (128, 128), np.random.default_rng(seed))

    assert shown.ignore.tolist() == [False]
    assert frames(shown)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (80, 60), (160, 120)], ids=str)
def test_the_whole_picture_is_laid_as_the_running_loop_lays_it(size: tuple[int, int]) -> None:
    sample = labelled(noise(), (10, 20, 50, 60))
    table = np.arange(256, dtype=np.uint8).reshape(256, 1)
    laid = np.zeros((size[1], size[0], 3), np.uint8)
    pixels.Painter(table, "BGR", samples.GREY).lay(sample.image, fit.letterbox(sample.size, size), laid)

    np.testing.assert_array_equal(samples.whole(sample, size).image, laid)


def test_the_box_of_the_whole_picture_frames_the_colour() -> None:
    assert frames(samples.whole(drawn(), (64, 96)))


@pytest.mark.parametrize("seed", range(8))
def test_the_tiles_of_a_mosaic_keep_their_boxes(seed: int) -> None:
    blank = labelled(np.zeros((120, 160, 3), np.uint8))

    shown = samples.mosaic([blank, drawn(), blank, blank], (128, 128), np.random.default_rng(seed))

    assert frames(shown)


def test_a_class_counts_as_looked_for_where_all_tiles_have_it() -> None:
    sample = drawn()
    parts = [Sample(sample.image, sample.boxes, sample.classes, sample.ignore, np.array(k, np.float32))
             for k in ([1, 1], [1, 0], [1, 1], [1, 1])]  # fmt: skip

    assert samples.mosaic(parts, (64, 64), np.random.default_rng(0)).known.tolist() == [1, 0]


def test_light_leaves_boxes_alone() -> None:
    sample = labelled(noise(), (10, 20, 50, 60))

    relit = samples.relight(sample, np.random.default_rng(0))

    assert relit.boxes is sample.boxes
    assert (relit.image != sample.image).any()


@pytest.mark.parametrize("mosaics", [0.0, 1.0], ids=["single", "mosaic"])
def test_the_same_chance_gives_the_same_sample(mosaics: float) -> None:
    def vary(seed: int) -> Sample:
        chance = np.random.default_rng(seed)
        return samples.vary(lambda i: drawn((40 + i, 30, 90, 70)), 1, 4, (64, 64), chance, mosaics)

    same(vary(3), vary(3))
    assert (vary(3).image != vary(4).image).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_without_labels_is_varied_too(seed: int) -> None:
    shown = samples.vary(lambda _: labelled(noise()), 0, 1, (64, 32), np.random.default_rng(seed))

    assert (shown.size, len(shown.boxes)) == ((64, 32), 0)
