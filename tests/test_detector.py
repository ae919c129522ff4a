from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import layouts
import numpy as np
import numpy.typing as npt
import pytest
from layouts import FRAME, TRUTH, assert_found
from tflite_files import Output, build

from edge_detect import detections
from edge_detect.detector import Detector
from edge_detect.frame import Frame
from edge_detect.model import open_model
from edge_detect.pixels import read_picture

Open = Callable[..., Detector]
SIZE = (96, 96)
RED, GREEN, BLUE = (np.full((96, 96, 3), bgr, np.uint8) for bgr in ((0, 0, 255), (0, 255, 0), (255, 0, 0)))


def yolov8(size: tuple[int, int] = SIZE, truth: detections.Detections = TRUTH) -> bytes:
    return build([Output(layouts.yolov8(truth, size, 2))], size=size)


def end_to_end(boxes: npt.ArrayLike, scores: npt.ArrayLike = (), **given: Any) -> bytes:
    """A model that finds these boxes, in 0..1 of its input, and suppresses by itself."""
    values = np.zeros((1, 300, 6), np.float32)
    rows = np.array(boxes, np.float32)
    values[0, : len(rows), :4] = rows
    values[0, : len(rows), 4] = scores or np.linspace(0.9, 0.5, len(rows))
    return build([Output(values)], size=SIZE, **given)


def colour_meter(channels: str = "RGB", **given: Any) -> bytes:
    """A model that is as sure of class i as the mean of channel i of its input says."""
    values = layouts.yolov8(detections.none(), SIZE, 3)
    colours = np.zeros((*values.shape[1:], 3), np.float32)
    colours[4:, 5] = np.eye(3)
    if channels == "BGR":  # decoded YOLOX: rows, pixels, objectness
        values = layouts.yolov5(detections.none(), SIZE, 3, pixels=True, per_cell=1)
        values[0, 5, 4] = 1
        colours = np.zeros((*values.shape[1:], 3), np.float32)
        colours[5, 5:] = np.eye(3)
    return build([Output(values, colours=colours.reshape(-1, 3))], size=SIZE, **given)


@pytest.mark.parametrize(
    ("size", "into"),
    [
        ((200, 100), (96, 96)),
        ((100, 200), (96, 96)),
        ((97, 61), (96, 96)),
        ((96, 96), (96, 96)),
        ((640, 480), (160, 96)),
        ((97, 61), (160, 96)),
        ((13, 7), (160, 96)),
    ],
)
def test_boxes_land_on_frames_of_any_size(
    open_detector: Open, into: tuple[int, int], size: tuple[int, int]
) -> None:
    boxes = TRUTH.boxes / [200, 100, 200, 100] * [*size, *size]
    scale = min(into[0] / size[0], into[1] / size[1])
    truth = detections.make(boxes, TRUTH.scores, TRUTH.classes)
    values = layouts.yolov8(detections.none(), into, 2)[0].T
    values[:2, :4] = layouts.centred(layouts.in_input(boxes, into, size))
    values[:2, 4] = TRUTH.scores

    found = open_detector(build([Output(values.T[None])], size=into))(
        Frame(np.zeros((*size[::-1], 3), np.uint8), 0.0, 0)
    )

    assert_found(found, truth, pixels=max(0.05, 1 / scale))  # the bars are whole pixels of the input


def test_one_detector_takes_frames_of_different_sizes(open_detector: Open) -> None:
    detect = open_detector(yolov8())
    other = Frame(np.zeros((100, 100, 3), np.uint8), 0.0, 0)

    first, between, last = detect(FRAME), detect(other), detect(FRAME)

    assert_found(first)
    assert_found(last)
    assert between.boxes[0].tolist() == pytest.approx([20, 35, 60, 65], abs=0.01)


def test_a_stretched_picture_needs_no_bars(open_detector: Open) -> None:
    detect = open_detector(end_to_end([[0.2, 0.2, 0.6, 0.8]]), fit="stretch")

    assert detect(FRAME).boxes[0].tolist() == pytest.approx([40, 20, 120, 80], abs=0.01)
    assert detect.inner_size(FRAME.size) == SIZE


def test_a_small_picture_gives_boxes_of_the_full_one(open_detector: Open) -> None:
    detect = open_detector(yolov8())
    full = np.zeros((1000, 2000, 3), np.uint8)

    found = detect(Frame(full, 0.0, 0, small=FRAME.image))

    assert_found(found, detections.make(TRUTH.boxes * 10, TRUTH.scores, TRUTH.classes), pixels=0.5)


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(200, 100), (97, 61), (640, 480), (96, 48)], ids=str)
def test_a_frame_made_small_before_is_seen_just_the_same(
    open_detector: Open, size: tuple[int, int], fit: str
) -> None:
    detect = open_detector(yolov8(), fit=fit)
    image = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    frame = Frame(image, 0.0, 0)

    detect.prepare(frame)
    expected = detect.model.interpreter.input().copy()
    found = detect(detect.shrink(frame))
    detect.prepare(detect.shrink(frame))

    np.testing.assert_array_equal(detect.model.interpreter.input(), expected)
    assert_found(found, detect(frame))


def test_a_frame_is_made_small_once(open_detector: Open) -> None:
    detect = open_detector(yolov8())

    small = detect.shrink(FRAME)

    assert small.small is not None
    assert small.small.shape == (48, 96, 3)
    assert detect.inner_size(FRAME.size) == (96, 48)
    assert detect.shrink(small) is small


def test_boxes_are_clipped_to_the_frame(open_detector: Open) -> None:
    detect = open_detector(end_to_end([[-1, -1, 2, 2], [0.5, 0.5, 1.5, 0.6]]))

    assert detect(FRAME).boxes.tolist() == [[0, 0, 200, 100], [100, 50, 200, pytest.approx(70, abs=0.01)]]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("high", [False, True], ids=["bars above", "bars beside"])
def test_what_lies_in_the_bars_alone_is_nothing(open_detector: Open, high: bool, n: int) -> None:
    boxes = np.array([[0.1, 0.0, 0.9, 0.2], [0.1, 0.8, 0.9, 1.0]])[:n]
    image = FRAME.image.swapaxes(0, 1) if high else FRAME.image
    detect = open_detector(end_to_end(boxes[:, [1, 0, 3, 2]] if high else boxes))

    found = detect(Frame(np.ascontiguousarray(image), 0.0, 0))

    assert (len(found), found.boxes.shape) == (0, (0, 4))


def test_what_lies_in_the_bars_alone_is_nothing_for_suppression_either(open_detector: Open) -> None:
    truth = detections.make([[40, -50, 120, -10]], [0.9], [0])

    assert len(open_detector(yolov8(truth=truth))(FRAME)) == 0


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_boxes_that_are_not_finite_leave_the_others_alone(open_detector: Open, wild: float) -> None:
    good = [0.2, 0.35, 0.6, 0.65]

    found = open_detector(end_to_end([[wild, 0.2, 0.3, 0.3], [0.2, 0.3, 0.4, wild], good]))(FRAME)

    assert found.boxes[-1].tolist() == pytest.approx([40, 20, 120, 80], abs=0.01)
    assert np.isfinite(found.boxes).all()


def test_a_score_is_never_above_one(open_detector: Open) -> None:
    values = end_to_end([[0.2, 0.35, 0.6, 0.65]] * 3, (np.inf, 1.004, 0.5))

    assert open_detector(values)(FRAME).scores.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("confidence", "n"), [(0.0, 2), (0.3, 2), (0.5, 2), (0.5001, 1), (0.75, 1), (0.76, 0), (1.0, 0)]
)
def test_what_is_less_sure_than_the_confidence_is_not_told(
    open_detector: Open, confidence: float, n: int
) -> None:
    values = layouts.end_to_end(TRUTH, SIZE)

    found = open_detector(build([Output(values)], size=SIZE), confidence)(FRAME)

    assert len(found) == n
    assert found.scores.tolist() == [0.75, 0.5][:n]


def test_the_confidence_may_change_while_it_runs(open_detector: Open) -> None:
    detect = open_detector(yolov8(), 0.9)
    before = len(detect(FRAME))

    detect.confidence = 0.3

    assert (before, len(detect(FRAME))) == (0, 2)


def test_a_model_that_suppresses_by_itself_is_believed_and_sorted(open_detector: Open) -> None:
    same = [0.2, 0.3, 0.6, 0.7]

    found = open_detector(end_to_end([same, same, same], [0.5, 0.9, 0.7]))(FRAME)

    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.5])


@pytest.mark.parametrize(
    ("options", "rows"), [({}, [0, 2]), ({"overlap": 0.7}, [0, 1, 2])], ids=["as usual", "0.7"]
)
def test_overlapping_boxes_of_a_class_are_suppressed_above_the_limit(
    open_detector: Open, options: dict[str, float], rows: list[int]
) -> None:
    boxes = [[40, 20, 120, 80], [60, 20, 140, 80], [60, 20, 140, 80]]  # IoU .6, and another class
    truth = detections.make(boxes, [0.9, 0.8, 0.7], [0, 0, 1])
    values = layouts.yolov8(detections.none(), SIZE, 2)[0].T
    values[:3, :4] = layouts.centred(layouts.in_input(truth.boxes, SIZE))
    values[[0, 1, 2], [4, 4, 5]] = truth.scores

    found = open_detector(build([Output(values.T[None])], size=SIZE), **options)(FRAME)

    assert_found(found, truth.pick(rows))


def test_what_is_less_sure_than_a_fifth_is_not_told_unless_asked(save: Callable[..., Path]) -> None:
    boxes = [[0.1, 0.4, 0.3, 0.6], [0.5, 0.4, 0.7, 0.6]]

    detect = Detector(open_model(save(end_to_end(boxes, [0.21, 0.19])), threads=1))

    assert detect(FRAME).scores.tolist() == [pytest.approx(0.21)]


def test_each_stage_is_timed(open_detector: Open) -> None:
    detect = open_detector(yolov8())
    start = time.perf_counter()
    detect(FRAME)
    taken = time.perf_counter() - start

    timing = detect.timing
    assert min(timing.prepare, timing.invoke, timing.decode) > 0
    assert timing.prepare + timing.invoke + timing.decode <= taken


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("image", "colour"), [(RED, "R"), (GREEN, "G"), (BLUE, "B")], ids=["red", "green", "blue"]
)
def test_colours_reach_the_net_in_its_own_order(
    open_detector: Open, image: npt.NDArray[np.uint8], colour: str, channels: str
) -> None:
    found = open_detector(colour_meter(channels))(Frame(image, 0.0, 0))

    assert found.classes.tolist() == [channels.index(colour)]


NUMBERS = [
    pytest.param("uint8", 1 / 255, 0, (0, 0, 0), (255, 255, 255), id="uint8 0..1"),
    pytest.param("uint8", 1 / 127.5, 127, (127.5,) * 3, (127.5,) * 3, id="uint8 -1..1"),
    pytest.param("int8", 1 / 255, -128, (0, 0, 0), (255, 255, 255), id="int8 0..1"),
    pytest.param(
        "int8", 0.018658, -14, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), id="int8 ImageNet"
    ),
    pytest.param("int16", 1 / 32768, 0, (0, 0, 0), (255, 255, 255), id="int16 0..1"),
    pytest.param("float32", 0.0, 0, (0, 0, 0), (255, 255, 255), id="float32 0..1"),
]


@pytest.mark.parametrize(("dtype", "scale", "zero_point", "mean", "std"), NUMBERS)
def test_the_input_holds_the_nearest_number_to_each_pixel(
    open_detector: Open,
    dtype: str,
    scale: float,
    zero_point: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    image = np.arange(96 * 96 * 3).reshape(96, 96, 3).astype(np.uint8)  # every value in every channel
    detect = open_detector(colour_meter(dtype=dtype, scale=scale, zero_point=zero_point))

    detect.prepare(Frame(image, 0.0, 0))

    wanted = (image[..., ::-1] - np.array(mean)) / np.array(std)
    real = detect.model.card.input.tensor.real(detect.model.interpreter.input()[0])  # type: ignore[union-attr]
    step = scale * (0.5 if dtype != "uint8" or mean[0] == 0 else 1)  # exporters mean the pixel itself
    held = detect.model.card.input.tensor.range or (-9, 9)  # type: ignore[union-attr]
    assert np.abs(real - np.clip(wanted, *held)).max() <= step + 1e-5


@pytest.mark.parametrize(("dtype", "scale", "zero_point", "mean", "std"), NUMBERS)
def test_the_net_computes_with_the_values_that_it_was_trained_on(
    open_detector: Open,
    dtype: str,
    scale: float,
    zero_point: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    data = colour_meter(dtype=dtype, scale=scale, zero_point=zero_point)
    image = np.full((96, 96, 3), (100, 130, 170), np.uint8)

    found = open_detector(data, 0.05)(Frame(image, 0.0, 0))

    assert found.classes.tolist() == [0]
    assert found.scores[0] == pytest.approx((170 - mean[0]) / std[0], abs=max(scale, 2e-4))  # a float mean


def test_the_bars_are_of_the_grey_that_the_family_is_trained_with(open_detector: Open) -> None:
    detect = open_detector(yolov8())
    detect.prepare(FRAME)

    held = detect.model.interpreter.input()[0]

    grey = np.isclose(held, 114 / 255, atol=1e-6).all((1, 2))
    assert grey.tolist() == [True] * 24 + [False] * 48 + [True] * 24


TOLERANCE = 0.07  # runtimes differ by .02 and ways to shrink a picture by .05
SEEN = {
    "cat_720p.jpg": {"cat": 0.72},
    "grace_hopper.bmp": {"person": 0.71, "tie": 0.64},
    "kite_and_cold.jpg": {"person": 0.75, "kite": 0.64},
    "parrot.jpg": {"bird": 0.81},
    "bird.bmp": {"bird": 0.75, "carrot": 0.45},
    "openmv_person.bmp": {"person": 0.70},
    "traffic0001.bmp": {"car": 0.69, "train": 0.45},
    "linzaer_faces.jpg": {"person": 0.71},
}


@pytest.fixture(scope="module")
def coco(shared: Path, cache_home: Path) -> Detector:
    """The base case, as stretched as its expected results are."""
    labels = shared / "models/coco_labelmap_placeholder_first.txt"
    model = open_model(shared / "models/coco_ssd_mobilenet_v1_quant.tflite", labels, threads=1)
    return Detector(model, 0.4, fit="stretch")


def seen(detect: Detector, picture: Path) -> dict[str, float]:
    """The best score of each label in a picture."""
    found = detect(Frame(read_picture(picture), 0.0, 0))
    pairs = zip(found.classes[::-1], found.scores[::-1], strict=True)
    return {detect.model.labels[klass]: float(score) for klass, score in pairs}


@pytest.mark.parametrize("name", SEEN)
def test_a_real_model_sees_in_real_pictures_what_is_known_to_be_there(
    coco: Detector, shared: Path, name: str
) -> None:
    assert seen(coco, shared / "pictures" / name) == pytest.approx(SEEN[name], abs=TOLERANCE)


def test_a_real_model_sees_what_a_plain_script_shows_it(coco: Detector, shared: Path) -> None:
    image = read_picture(shared / "pictures/kite_and_cold.jpg")
    interpreter = coco.model.interpreter
    interpreter.set(cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (300, 300))[None])
    interpreter.run()
    boxes, classes, scores, _ = (view[0].copy() for view in interpreter.results())

    found = coco(Frame(image, 0.0, 0))

    kept = scores >= 0.4
    expected = boxes[kept][:, [1, 0, 3, 2]] * [1352, 900, 1352, 900]
    np.testing.assert_allclose(found.scores, scores[kept])
    assert found.classes.tolist() == classes[kept].tolist()
    np.testing.assert_allclose(found.boxes, expected.clip(0, [1352, 900, 1352, 900]), atol=0.01)


def test_metadata_changes_nothing_but_the_labels(coco: Detector, shared: Path) -> None:
    model = open_model(shared / "models/ssd_mobilenet_v1_metadata.tflite", threads=1)
    frame = Frame(read_picture(shared / "pictures/grace_hopper.bmp"), 0.0, 0)

    one, other = coco(frame), Detector(model, 0.4, fit="stretch")(frame)

    assert_found(other, one)
    assert [model.labels[i] for i in range(90)] == [coco.model.labels[i] for i in range(90)]


def test_a_letterboxed_picture_is_seen_too(shared: Path) -> None:
    model = open_model(shared / "models/ssd_mobilenet_v1_metadata.tflite", threads=1)

    assert set(seen(Detector(model, 0.5), shared / "pictures/cat_720p.jpg")) == {"cat"}


def test_a_yolox_sees_too(shared: Path) -> None:
    labels = shared / "models/coco_labels_90.txt"
    detect = Detector(open_model(shared / "models/yolox_nano.tflite", labels, threads=1), 0.6)

    assert [
        set(seen(detect, shared / "pictures" / name)) for name in ("cat_720p.jpg", "grace_hopper.bmp")
    ] == [
        {"cat"},
        {"person", "tie"},
    ]


def test_boxes_of_both_ways_to_fit_are_the_same_things(coco: Detector, shared: Path) -> None:
    from edge_detect.boxes import iou

    frame = Frame(read_picture(shared / "pictures/cat_720p.jpg"), 0.0, 0)

    boxed, stretched = Detector(coco.model, 0.5)(frame), coco(frame)

    assert iou(boxed.boxes[:1], stretched.boxes[:1]).item() > 0.85
