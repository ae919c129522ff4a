from __future__ import annotations

import json
from collections.abc import Callable

import layouts
import numpy as np
import pytest
from layouts import FRAME, TRUTH, assert_found
from tflite_files import Output, build

from edge_detect.decoders import yolo
from edge_detect.detector import Detector

Open = Callable[..., Detector]
SIZES = [
    pytest.param((96, 96), id="square"),
    pytest.param((160, 96), id="wide"),
    pytest.param((96, 160), id="high"),
]


def names(*labels: str) -> dict[str, bytes]:
    return {"metadata.json": json.dumps({"task": "detect", "names": dict(enumerate(labels))}).encode()}


@pytest.mark.parametrize(
    ("size", "classes"),
    [((64, 64), 80), ((96, 96), 1), ((96, 96), 80), ((160, 96), 2), ((96, 160), 80), ((320, 320), 1)],
)
def test_yolov8_lands_on_the_frame(open_detector: Open, size: tuple[int, int], classes: int) -> None:
    truth = layouts.of_classes(0, classes - 1)

    detect = open_detector(build([Output(layouts.yolov8(truth, size, classes))], size=size))

    assert_found(detect(FRAME), truth)
    assert detect.model.decoder.classes == classes
    assert detect.model.card.family == "yolov8"


def test_yolov8_in_pixels_lands_on_the_frame(open_detector: Open) -> None:
    values = layouts.yolov8(TRUTH, (160, 96), 2, pixels=True)

    detect = open_detector(build([Output(values)], size=(160, 96)))

    assert_found(detect(FRAME))
    assert detect.model.card.layout == "YOLOv8 [1, 6, 315], boxes in pixels"


def test_yolov8_of_int8_lands_on_the_frame(open_detector: Open) -> None:
    values = layouts.yolov8(TRUTH, (96, 96), 80)
    output = Output(values, dtype="int8", scale=0.003906, zero_point=-128)

    detect = open_detector(build([output], dtype="int8", scale=1 / 255, zero_point=-128, size=(96, 96)))

    assert_found(detect(FRAME), pixels=0.9, score=0.002)
    assert detect.model.card.layout == "YOLOv8 [1, 84, 189], boxes in 0..1"


def test_yolov8_turned_is_told_by_the_names_of_the_file(open_detector: Open) -> None:
    truth = layouts.of_classes(2, 1)
    values = layouts.yolov8(truth, (96, 96), 3).transpose(0, 2, 1)

    detect = open_detector(build([Output(values)], size=(96, 96), attachments=names("a", "b", "c")))

    assert_found(detect(FRAME), truth)
    assert [detect.model.labels[i] for i in (2, 1)] == ["c", "b"]


@pytest.mark.parametrize(
    ("size", "classes"),
    [((64, 64), 80), ((96, 96), 1), ((160, 96), 80), ((96, 160), 1), ((320, 320), 80)],
)
def test_yolov5_lands_on_the_frame(open_detector: Open, size: tuple[int, int], classes: int) -> None:
    truth = layouts.of_classes(0, classes - 1)

    detect = open_detector(build([Output(layouts.yolov5(truth, size, classes))], size=size))

    assert_found(detect(FRAME), truth)
    assert detect.model.card.layout.startswith("YOLOv5 ")
    assert detect.model.decoder.classes == classes


def test_yolov5_of_uint8_lands_on_the_frame(open_detector: Open) -> None:
    output = Output(layouts.yolov5(TRUTH, (160, 96), 4), dtype="uint8", scale=0.00448, zero_point=3)

    detect = open_detector(build([output], size=(160, 96), dtype="uint8", scale=1 / 255))

    assert_found(detect(FRAME), pixels=1.0, score=0.006)


def test_yolov5_without_class_columns_scores_by_its_objectness(open_detector: Open) -> None:
    values = layouts.yolov5(TRUTH, (96, 96), 1)[:, :, :5]

    detect = open_detector(build([Output(values)], size=(96, 96)), 0.6)

    np.testing.assert_allclose(detect(FRAME).scores, np.sqrt(TRUTH.scores), atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_yolox_in_pixels_lands_on_the_frame(open_detector: Open, size: tuple[int, int]) -> None:
    truth = layouts.of_classes(7, 79)
    values = layouts.yolov5(truth, size, 80, pixels=True, per_cell=1)

    detect = open_detector(build([Output(values)], size=size))

    assert_found(detect(FRAME), truth)
    assert detect.model.card.layout == f"YOLOX {list(values.shape)}, boxes in pixels"


@pytest.mark.parametrize("size", SIZES)
def test_yolox_without_its_decoding_lands_on_the_frame(open_detector: Open, size: tuple[int, int]) -> None:
    truth = layouts.of_classes(7, 79)

    detect = open_detector(build([Output(layouts.yolox_grid(truth, size, 80))], size=size))

    assert_found(detect(FRAME), truth)
    assert "boxes are relative to their cells" in detect.model.card.reason


@pytest.mark.parametrize(
    "odd", [(np.nan, 5, 8, 8), (np.inf, 5, 8, 8), (50, 50, -0.01, 8)], ids=["NaN", "infinite", "just below 0"]
)
def test_one_odd_row_does_not_make_a_yolox_undecoded(open_detector: Open, odd: tuple[float, ...]) -> None:
    values = layouts.yolov5(TRUTH, (96, 96), 2, pixels=True, per_cell=1)
    values[0, -1, :4] = odd

    detect = open_detector(build([Output(values)], size=(96, 96)))

    assert_found(detect(FRAME))
    assert "relative" not in detect.model.card.reason


def test_yolox_wants_plain_pixels_in_bgr(open_detector: Open) -> None:
    values = layouts.yolov5(TRUTH, (96, 96), 80, pixels=True, per_cell=1)

    given = open_detector(build([Output(values)], size=(96, 96))).model.card.input

    assert given is not None
    assert (given.colour, given.normalization.mean, given.normalization.std) == ("BGR", (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("size", "n"),
    [
        pytest.param((96, 96), 300, id="300"),
        pytest.param((320, 320), 100, id="100"),
        pytest.param((320, 192), 300, id="as-many-as-cells"),
        pytest.param((128, 160), 300, id="three-for-each-cell"),
    ],
)
@pytest.mark.parametrize("pixels", [False, True], ids=["parts", "pixels"])
def test_end_to_end_lands_on_the_frame(
    open_detector: Open, size: tuple[int, int], n: int, pixels: bool
) -> None:
    truth = layouts.of_classes(16, 79)

    detect = open_detector(build([Output(layouts.end_to_end(truth, size, n, pixels=pixels))], size=size))

    assert_found(detect(FRAME), truth)
    assert detect.model.card.layout == f"end-to-end [1, {n}, 6], boxes in {'pixels' if pixels else '0..1'}"
    assert detect.model.decoder.suppressed


@pytest.mark.parametrize(
    ("size", "n"),
    [((640, 640), 8400), ((416, 416), 3549), ((320, 320), 2100), ((224, 224), 1029), ((192, 192), 756)],
)
def test_cells_are_counted_over_three_strides(size: tuple[int, int], n: int) -> None:
    assert yolo.cell_count(size) == n
    assert len(yolo.cells(size)) == n


def test_cells_are_laid_row_by_row() -> None:
    np.testing.assert_array_equal(yolo.cells((64, 32)), layouts.grid((64, 32)))


def test_scores_below_the_threshold_as_a_product_are_not_told(open_detector: Open) -> None:
    values = layouts.yolov5(TRUTH, (96, 96), 2)
    row = int(values[0, :, 4].argmax())
    values[0, row, 4:6] = [0.9, 0.3]

    found = open_detector(build([Output(values)], size=(96, 96)))(FRAME)

    np.testing.assert_allclose(found.scores, [0.5], atol=1e-4)


def test_values_that_are_not_finite_do_not_make_pixels_of_parts(open_detector: Open) -> None:
    values = layouts.yolov8(TRUTH, (96, 96), 2)
    values[0, :4, -1] = [np.nan, np.inf, -np.inf, np.inf]

    detect = open_detector(build([Output(values)], size=(96, 96)))

    assert_found(detect(FRAME))
    assert detect.model.card.layout == "YOLOv8 [1, 6, 189], boxes in 0..1"


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        (layouts.yolov8(TRUTH, (96, 96), 2)[:, :, :150], "YOLOv8 [1, 6, 150], boxes in 0..1"),
        (layouts.yolov5(TRUTH, (96, 96), 2, per_cell=1)[:, :150], "YOLOv5 [1, 150, 7], boxes in 0..1"),
    ],
    ids=["transposed", "rows"],
)
def test_a_number_of_rows_that_no_grid_explains_is_read_by_its_outline(
    open_detector: Open, values: layouts.Array, layout: str
) -> None:
    detect = open_detector(build([Output(values)], size=(96, 96)))

    assert_found(detect(FRAME))
    assert detect.model.card.layout == layout
