from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import anchors
from edge_detect.graph import Graph

SHAPES = [
    pytest.param(anchors.ssd, (300, 300), 1917, id="MobileNet 300"),
    pytest.param(anchors.ssd, (320, 320), 2034, id="MobileNet 320"),
    pytest.param(anchors.faces, (320, 240), 4420, id="faces 320x240"),
    pytest.param(anchors.faces, (640, 480), 17640, id="faces 640x480"),
    pytest.param(anchors.fpnlite, (320, 320), 12804, id="FPNLite 320"),
    pytest.param(anchors.fpnlite, (640, 640), 51150, id="FPNLite 640"),
    pytest.param(anchors.model_maker, (256, 256), 12276, id="Model Maker 256"),
]


def recipe(name: str) -> anchors.Recipe:
    return next(recipe for recipe in anchors.RECIPES if recipe.name == name)


@pytest.mark.parametrize(("make", "size", "n"), SHAPES)
def test_a_recipe_makes_as_many_anchors_as_the_head_has_rows(
    make: object, size: tuple[int, int], n: int
) -> None:
    made = make(size)  # type: ignore[operator]

    assert (made.shape, made.dtype) == ((n, 4), np.float32)
    assert (made[:, :2] >= 0).all()
    assert (made[:, :2] < 1).all()
    assert (made[:, 2:] > 0).all()


@pytest.mark.parametrize(
    ("size", "n", "name"),
    [
        ((300, 300), 1917, "SSD MobileNet"),
        ((320, 320), 2034, "SSD MobileNet"),
        ((320, 240), 4420, "Ultra-Light face"),
        ((320, 320), 12804, "SSD FPNLite"),
        ((256, 256), 12276, "MediaPipe Model Maker"),
    ],
)
def test_the_number_of_anchors_tells_the_recipe(size: tuple[int, int], n: int, name: str) -> None:
    assert anchors.find(size, n) == recipe(name)


def test_a_number_that_no_recipe_makes_is_unknown() -> None:
    assert anchors.find((300, 300), 1918) is None


@pytest.mark.parametrize("name", ["coco_ssd_mobilenet_v1_quant", "ssd_mobilenet_v1_metadata"])
def test_ssd_anchors_are_those_in_a_real_file(shared: Path, name: str) -> None:
    graph = Graph((shared / f"models/{name}.tflite").read_bytes(), name)
    kept = graph.constant(graph.operators[-1].inputs[2])

    np.testing.assert_allclose(anchors.ssd((300, 300)), kept, atol=0.0035)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(0, (0.5 / 19, 0.5 / 19, 0.1, 0.1), id="first"),
        pytest.param(1, (0.5 / 19, 0.5 / 19, 0.2 / 2**0.5, 0.2 * 2**0.5), id="wide"),
        pytest.param(2, (0.5 / 19, 0.5 / 19, 0.2 * 2**0.5, 0.2 / 2**0.5), id="high"),
        pytest.param(3, (0.5 / 19, 1.5 / 19, 0.1, 0.1), id="second cell of the row"),
        pytest.param(57, (1.5 / 19, 0.5 / 19, 0.1, 0.1), id="second row"),
        pytest.param(1083, (0.05, 0.05, 0.35, 0.35), id="second layer"),
        pytest.param(1088, (0.05, 0.05, (0.35 * 0.5) ** 0.5, (0.35 * 0.5) ** 0.5), id="between two scales"),
        pytest.param(1916, (0.5, 0.5, 0.95**0.5, 0.95**0.5), id="last"),
    ],
)
def test_ssd_anchors_follow_the_paper(row: int, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(anchors.ssd((300, 300))[row], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(640, 320), (320, 640)], ids=["wide", "high"])
def test_ssd_anchors_are_squares_of_the_shorter_side(size: tuple[int, int]) -> None:
    _, _, height, width = anchors.ssd(size)[0]

    assert (width * size[0], height * size[1]) == pytest.approx((32, 32))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(0, (4 / 240, 4 / 320, 10 / 240, 10 / 320), id="first"),
        pytest.param(2, (4 / 240, 4 / 320, 24 / 240, 24 / 320), id="largest of a cell"),
        pytest.param(3, (4 / 240, 12 / 320, 10 / 240, 10 / 320), id="second cell"),
        pytest.param(3600, (8 / 240, 8 / 320, 32 / 240, 32 / 320), id="second stride"),
        pytest.param(4360, (0.5 / 4, 0.5 / 5, 128 / 240, 128 / 320), id="coarsest stride"),
        pytest.param(4419, (3.5 / 4, 4.5 / 5, 1, 0.8), id="last, clipped to the picture"),
    ],
)
def test_face_anchors_are_squares_of_fixed_pixels(row: int, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(anchors.faces((320, 240))[row], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(0, (4, 4, 32, 32), id="first"),
        pytest.param(1, (4, 4, 32 * 2**0.5, 32 * 2**0.5), id="octave before ratio"),
        pytest.param(2, (4, 4, 32 / 2**0.5, 32 * 2**0.5), id="wide"),
        pytest.param(4, (4, 4, 32 * 2**0.5, 32 / 2**0.5), id="high"),
        pytest.param(6, (4, 12, 32, 32), id="second cell"),
        # 320 is no multiple of 128: three cells, which begin at 0
        pytest.param(12804 - 54, (0, 0, 512, 512), id="coarsest level"),
        pytest.param(12804 - 6, (256, 256, 512, 512), id="last cell"),
    ],
)
def test_fpnlite_anchors_count_in_strides(row: int, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(anchors.fpnlite((320, 320))[row] * 320, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(0, (4, 4, 24 * 2**0.5, 24 / 2**0.5), id="first"),
        pytest.param(1, (4, 4, 24, 24), id="ratio before octave"),
        pytest.param(2, (4, 4, 24 / 2**0.5, 24 * 2**0.5), id="wide"),
        pytest.param(4, (4, 4, 24 * 2 ** (1 / 3), 24 * 2 ** (1 / 3)), id="second octave"),
        pytest.param(9, (4, 12, 24 * 2**0.5, 24 / 2**0.5), id="second cell"),
        pytest.param(12276 - 8, (192, 192, 384, 384), id="last cell"),
    ],
)
def test_model_maker_anchors_go_octave_by_octave(row: int, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(anchors.model_maker((256, 256))[row] * 256, expected, atol=1e-3)


def test_offsets_of_zero_give_the_anchors_as_corners() -> None:
    rows = np.array([[0.5, 0.4, 0.2, 0.6]], np.float32)

    made = anchors.decode(np.zeros((1, 4), np.float32), rows, (0.1, 0.2))

    np.testing.assert_allclose(made, [[0.1, 0.4, 0.7, 0.6]], atol=1e-6)


unit = st.floats(0.0625, 1, width=32)
places = st.lists(st.tuples(unit, unit, unit, unit, unit, unit, unit, unit), min_size=1, max_size=8)


@pytest.mark.parametrize("variances", [(0.1, 0.2), (1.0, 1.0)])
@pytest.mark.parametrize("x_first", [False, True])
@given(rows=places)
def test_decoding_undoes_the_encoding_of_the_paper(
    rows: list[tuple[float, ...]], x_first: bool, variances: tuple[float, float]
) -> None:
    values = np.array(rows, np.float32)
    (y, x, h, w), (ay, ax, ah, aw) = values[:, :4].T, values[:, 4:].T
    ty, tx = (y - ay) / ah / variances[0], (x - ax) / aw / variances[0]
    th, tw = np.log(h / ah) / variances[1], np.log(w / aw) / variances[1]
    offsets = np.stack([tx, ty, tw, th] if x_first else [ty, tx, th, tw], 1).astype(np.float32)

    made = anchors.decode(offsets, values[:, 4:], variances, x_first=x_first)

    np.testing.assert_allclose(made, np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1), atol=1e-4)


def test_a_wild_offset_gives_a_wide_box_without_overflow() -> None:
    with np.errstate(all="raise"):
        made = anchors.decode(np.full((1, 4), 1e6, np.float32), np.ones((1, 4), np.float32), (1.0, 1.0))

    assert np.isfinite(made).all()


def test_no_offsets_give_no_boxes() -> None:
    none = np.zeros((0, 4), np.float32)

    assert anchors.decode(none, none, (0.1, 0.2)).shape == (0, 4)
