from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_detect import boxes, fit, pixel_values, pixels
from edge_detect.errors import InputMissing, SourceError
from edge_detect.fit import Fit
from edge_detect.frame import Image
from edge_detect.pixel_values import IMAGENET, RAW, SIGNED, UNIT, Normalization
from edge_detect.tensors import Tensor

PICTURE: Image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
WHOLE, BARS_ABOVE, BARS_BESIDE = (fit.letterbox((32, 24), into) for into in ((32, 24), (32, 32), (48, 24)))
INPUTS = [
    pytest.param("uint8", 1 / 255, 0, UNIT, id="uint8 pixels"),
    pytest.param("uint8", 1 / 50, 100, UNIT, id="uint8 coarse"),
    pytest.param("int8", 1 / 255, -128, UNIT, id="int8 pixels"),
    pytest.param("int8", 0.018658, -14, IMAGENET, id="int8 ImageNet"),
    pytest.param("int16", 1 / 32768, 0, SIGNED, id="int16"),
    pytest.param("float32", 0.0, 0, UNIT, id="float 0..1"),
    pytest.param("float32", 0.0, 0, RAW, id="float 0..255"),
    pytest.param("float32", 0.0, 0, IMAGENET, id="float ImageNet"),
]


def painted(
    image: Image, how: Fit, dtype: str, table: npt.NDArray[np.generic], colour: str = "RGB"
) -> npt.NDArray[np.generic]:
    """The input of a model with `image` in it."""
    into = np.full((how.input[1], how.input[0], 3), 77, dtype)
    pixels.Painter(table, colour, 114).lay(image, how, into)
    return into


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("how", [WHOLE, BARS_ABOVE, BARS_BESIDE], ids=["whole", "bars above", "bars beside"])
@pytest.mark.parametrize("enlarged", [1, 2], ids=["as large", "twice as large"])
@pytest.mark.parametrize(("dtype", "scale", "zero_point", "normalization"), INPUTS)
def test_each_pixel_arrives_as_the_number_that_stands_for_it(
    dtype: str,
    scale: float,
    zero_point: int,
    normalization: Normalization,
    how: Fit,
    enlarged: int,
    colour: str,
) -> None:
    image = PICTURE.repeat(enlarged, 0).repeat(enlarged, 1)
    tensor = Tensor(0, "picture", (1, 1, 1, 3), dtype, scale, zero_point)
    table = np.broadcast_to(pixel_values.table(tensor, normalization), (256, 3))
    whole = np.full((how.input[1], how.input[0], 3), 114, np.uint8)
    whole[how.top : how.top + 24, how.left : how.left + 32] = (
        PICTURE[..., ::-1] if colour == "RGB" else PICTURE
    )

    found = painted(image, how, dtype, pixel_values.table(tensor, normalization), colour)

    np.testing.assert_array_equal(found, table[whole, [0, 1, 2]])


@pytest.mark.parametrize("size", [(100, 75), (33, 25), (5, 4), (1, 1), (640, 480)], ids=str)
@pytest.mark.parametrize(("dtype", "scale", "zero_point", "normalization"), INPUTS[2:5])
def test_any_size_is_scaled_to_fit(
    size: tuple[int, int], dtype: str, scale: float, zero_point: int, normalization: Normalization
) -> None:
    tensor = Tensor(0, "picture", (1, 1, 1, 3), dtype, scale, zero_point)
    table = pixel_values.table(tensor, normalization)
    image = np.full((size[1], size[0], 3), (10, 20, 30), np.uint8)
    how = fit.letterbox(size, (32, 32))

    found = painted(image, how, dtype, table)

    inner = found[how.top : how.top + how.inner[1], how.left : how.left + how.inner[0]]
    expected = np.broadcast_to(table, (256, 3))[[30, 20, 10], [0, 1, 2]]
    np.testing.assert_array_equal(inner, np.broadcast_to(expected, inner.shape))


def test_one_painter_lays_pictures_of_different_sizes() -> None:
    table = pixel_values.table(Tensor(0, "picture", (1, 1, 1, 3), "float32"), RAW)
    painter, into = pixels.Painter(table, "BGR", 114), np.zeros((32, 32, 3), np.float32)

    for image in (PICTURE, np.full((32, 24, 3), 7, np.uint8), PICTURE):
        painter.lay(image, fit.letterbox(image.shape[1::-1], (32, 32)), into)

    np.testing.assert_array_equal(into[4:28], PICTURE)
    assert (into[:4] == 114).all()
    assert (into[28:] == 114).all()


def test_the_picture_itself_is_not_changed() -> None:
    before = PICTURE.copy()

    painted(PICTURE, BARS_ABOVE, "uint8", np.arange(256, dtype=np.uint8)[:, None])

    np.testing.assert_array_equal(PICTURE, before)


def test_a_picture_of_part_of_an_array_is_laid() -> None:
    found = painted(
        PICTURE[:, 8:24], fit.stretch((16, 24), (16, 24)), "uint8", np.arange(256, dtype=np.uint8)[:, None]
    )

    np.testing.assert_array_equal(found, PICTURE[:, 8:24, ::-1])


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_resizing_by_a_whole_ratio_averages(axis: int) -> None:
    image = np.zeros((6, 6, 3), np.uint8)
    image.swapaxes(0, axis)[1::3] = 210  # the middle one of three, which is all that linear sees
    into = np.empty((2, 2, 3), np.uint8)

    pixels.resize(image, (2, 2), into)

    assert set(into.ravel().tolist()) == {70}


@pytest.mark.parametrize("shape", [(6, 7, 3), (7, 6, 3)], ids=["wide", "high"])
def test_resizing_by_another_ratio_takes_what_lies_nearest(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    into = np.empty((2, 2, 3), np.uint8)

    pixels.resize(image, (2, 2), into)

    np.testing.assert_array_equal(into, cv2.resize(image, (2, 2)))


def plain_suppression(
    corners: boxes.Boxes,
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int32],
    iou: float,
    most: int,
) -> list[int]:
    """Greedy non-maximum suppression as the books have it."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [j for j in kept if classes[j] == classes[i]]
        if len(kept) < most and (boxes.iou(corners[[i]], corners[rivals]) <= iou).all():
            kept.append(int(i))
    return kept


@pytest.mark.parametrize("n", [1, 2, 10, 200])
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_that_of_the_books(n: int, iou: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 300, (n, 4)).astype(np.float32)
    corners[:, 2:] = corners[:, :2] + random.uniform(20, 200, (n, 2))
    scores = random.permutation(np.linspace(0.05, 0.95, n)).astype(np.float32)
    classes = random.integers(0, 3, n).astype(np.int32)

    found = pixels.suppress(corners, scores, classes, iou, most=n)

    assert found == plain_suppression(corners, scores, classes, iou, n)


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.integers(0, 2)), min_size=1, max_size=12))
def test_what_stays_overlaps_little_and_what_goes_overlaps_a_better_one(rows: list[tuple[int, ...]]) -> None:
    values = np.array(rows, np.float32)
    corners = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4] + 1], 1)
    scores, classes = np.linspace(0.9, 0.1, len(rows), dtype=np.float32), values[:, 4].astype(np.int32)

    kept = pixels.suppress(corners, scores, classes, 0.5)

    overlaps = boxes.iou(corners, corners) * (classes[:, None] == classes[None])
    assert kept == sorted(kept)  # best first
    assert all(overlaps[i, j] <= 0.5 + 1e-6 for i in kept for j in kept if i != j)
    gone = set(range(len(rows))) - set(kept)
    assert all(any(overlaps[i, j] >= 0.5 - 1e-6 for j in kept if j < i) for i in gone)


def test_the_same_box_of_two_classes_stays_twice() -> None:
    corners = np.array([[0, 0, 10, 10]] * 3, np.float32)

    found = pixels.suppress(corners, np.array([0.5, 0.7, 0.6], "f4"), np.array([0, 1, 0], "i4"), 0.5)

    assert found == [1, 2]


def test_no_more_than_the_most_stay() -> None:
    corners = np.arange(40, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 10, 10], np.float32)
    scores = np.linspace(0.2, 0.9, 40, dtype=np.float32)

    assert pixels.suppress(corners, scores, np.zeros(40, "i4"), 0.5, most=3) == [39, 38, 37]


def test_of_many_thousand_boxes_the_best_stay() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 2000, (5000, 4)).astype(np.float32)
    corners[:, 2:] = corners[:, :2] + 10
    scores = random.permutation(np.linspace(0.01, 0.99, 5000)).astype(np.float32)
    classes = random.integers(0, 80, 5000).astype(np.int32)

    found = pixels.suppress(corners, scores, classes, 0.5, most=50)

    assert found == plain_suppression(corners, scores, classes, 0.5, 50)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tiff", "webp"])
def test_a_picture_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"é.{ending}"
    path.write_bytes(cv2.imencode(f".{ending}", np.full((20, 30, 3), (200, 100, 50), np.uint8))[1].tobytes())

    found = pixels.read_picture(path)

    assert (found.shape, found.dtype) == ((20, 30, 3), np.uint8)
    assert np.abs(found.astype(int) - [200, 100, 50]).max() <= 4


@pytest.mark.parametrize("channels", [1, 4], ids=["grey", "transparent"])
def test_a_picture_has_three_channels(channels: int) -> None:
    data = cv2.imencode(".png", np.full((20, 30, channels), 100, np.uint8))[1]

    found = pixels.decode_picture(data.tobytes())

    assert found is not None
    assert found.shape == (20, 30, 3)


def turned_jpeg(orientation: int) -> bytes:
    """A JPEG, red on the left, whose camera was held at an angle (EXIF)."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = (0, 0, 255)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize(
    ("orientation", "shape", "red"),
    [(1, (16, 32), (8, 4)), (3, (16, 32), (8, 28)), (6, (32, 16), (4, 8)), (8, (32, 16), (28, 8))],
)
def test_a_picture_is_turned_upright(orientation: int, shape: tuple[int, int], red: tuple[int, int]) -> None:
    found = pixels.decode_picture(turned_jpeg(orientation))

    assert found is not None
    assert found.shape[:2] == shape
    assert found[red][2] > 200
    assert found[shape[0] - 1 - red[0], shape[1] - 1 - red[1]][2] < 50


def bitmap(header: int, bits: int, masks: tuple[int, ...], row: bytes) -> bytes:
    """A BMP of 4 x 2 pixels, with a header of any length and masks for red, green and blue."""
    info = struct.pack("<IiiHHIIiiII", header, 4, 2, 1, bits, 3, len(row) * 2, 0, 0, 0, 0)
    body = info + struct.pack("<III", *masks) + bytes(max(0, header - 52))
    return b"BM" + struct.pack("<IHHI", 14 + len(body) + len(row) * 2, 0, 0, 14 + len(body)) + body + row * 2


@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
def test_a_bitmap_of_16_bits_is_read_whatever_its_header(header: int) -> None:
    pixel = struct.pack("<H", 30 >> 3 << 11 | 20 >> 2 << 5 | 10 >> 3)

    found = pixels.decode_picture(bitmap(header, 16, (0xF800, 0x07E0, 0x001F), pixel * 4))

    assert found is not None
    np.testing.assert_array_equal(found, np.full((2, 4, 3), (8, 20, 24)))


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize(
    ("masks", "pixel"),
    [((0xFF0000, 0xFF00, 0xFF), (10, 20, 30, 0)), ((0xFF, 0xFF00, 0xFF0000), (30, 20, 10, 0))],
    ids=["BGR", "RGB"],
)
def test_a_bitmap_of_32_bits_keeps_its_colours(
    header: int, masks: tuple[int, ...], pixel: tuple[int, ...]
) -> None:
    found = pixels.decode_picture(bitmap(header, 32, masks, bytes(pixel) * 4))

    assert found is not None
    np.testing.assert_array_equal(found, np.full((2, 4, 3), (10, 20, 30)))


def test_a_missing_picture_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no.jpg"

    with pytest.raises(InputMissing) as caught:
        pixels.read_picture(path)

    assert str(caught.value) == f"{path}: cannot read the picture: No such file or directory"


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\xff\xd8\xff\xe0", b"BM" + bytes(100)], ids=["empty", "text", "JPEG", "BMP"]
)
def test_what_is_no_picture_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)

    with pytest.raises(SourceError) as caught:
        pixels.read_picture(path)

    assert str(caught.value) == (
        f"{path}: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)"
    )


@settings(max_examples=60)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"BM", b"RIFF"]))
def test_damaged_bytes_are_no_picture_or_one(data: bytes, start: bytes) -> None:
    found = pixels.decode_picture(start + data)

    assert found is None or found.shape[2] == 3


def test_a_header_of_too_many_pixels_is_no_picture() -> None:
    size = struct.pack(">II", 1 << 20, 1 << 20)
    chunk = b"IHDR" + size + b"\x08\x02\0\0\0"
    import zlib

    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))

    assert pixels.decode_picture(data) is None


@pytest.mark.parametrize(
    ("yuv", "bgr"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (0, 0, 255))],
    ids=["black", "white", "red"],
)
def test_limited_range_planes_become_bgr(yuv: tuple[int, int, int], bgr: tuple[int, int, int]) -> None:
    planes = np.concatenate([np.full(64, yuv[0]), np.full(16, yuv[1]), np.full(16, yuv[2])]).reshape(12, 8)

    found = pixels.bgr_from_i420(planes.astype(np.uint8))

    assert found.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - bgr).max() <= 3


@pytest.mark.parametrize(
    ("yuv", "bgr"),
    [((0, 128, 128), (0, 0, 0)), ((255, 128, 128), (255, 255, 255)), ((76, 85, 255), (0, 0, 255))],
    ids=["black", "white", "red"],
)
def test_full_range_planes_become_bgr(yuv: tuple[int, int, int], bgr: tuple[int, int, int]) -> None:
    planes = np.concatenate([np.full(64, yuv[0]), np.full(16, yuv[1]), np.full(16, yuv[2])]).reshape(12, 8)

    found = pixels.bgr_from_full_range_i420(planes.astype(np.uint8))

    assert found.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - bgr).max() <= 3


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (0, "", [[1, 2, 3], [4, 5, 6]]),
        (90, "", [[4, 1], [5, 2], [6, 3]]),
        (180, "", [[6, 5, 4], [3, 2, 1]]),
        (270, "", [[3, 6], [2, 5], [1, 4]]),
        (0, "h", [[3, 2, 1], [6, 5, 4]]),
        (0, "v", [[4, 5, 6], [1, 2, 3]]),
        (0, "hv", [[6, 5, 4], [3, 2, 1]]),
        (0, "vh", [[6, 5, 4], [3, 2, 1]]),
        (90, "h", [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_a_picture_is_turned_clockwise_then_mirrored(
    rotation: int, flip: str, expected: list[list[int]]
) -> None:
    image = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None].repeat(3, 2)

    assert pixels.turn(image, rotation, flip)[..., 0].tolist() == expected


@pytest.mark.parametrize(
    ("rotation", "flip", "said"),
    [
        (45, "", "rotation: expected 0, 90, 180 or 270, got 45"),
        (-90, "", "rotation: expected 0, 90, 180 or 270, got -90"),
        (0, "x", "flip: expected h, v or hv, got 'x'"),
    ],
)
def test_a_turn_that_cannot_be_is_told(rotation: int, flip: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the message follows
        pixels.check_turn(rotation, flip)

    assert str(caught.value) == said


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["", "h", "v", "hv", "vh"])
def test_a_turn_that_can_be_is_made(rotation: int, flip: str) -> None:
    pixels.check_turn(rotation, flip)

    assert pixels.turn(PICTURE, rotation, flip).size == PICTURE.size
