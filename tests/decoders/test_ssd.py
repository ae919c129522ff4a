from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import layouts
import numpy as np
import pytest
from layouts import FRAME, assert_found
from tflite_files import Output, build

from edge_detect import anchors, decoders
from edge_detect.boxes import iou
from edge_detect.decoders import ssd
from edge_detect.decoders.signature import Signature
from edge_detect.detector import Detector
from edge_detect.frame import Frame
from edge_detect.graph import Graph
from edge_detect.interpreter import runtime
from edge_detect.model import open_model
from edge_detect.pixels import read_picture, suppress
from edge_detect.tensors import Tensor

Open = Callable[..., Detector]
SIZE = (64, 48)
# odd boxes that no recipe makes: centre y, centre x, height, width
ODD = np.random.default_rng(3).uniform(0.1, 0.9, (60, 4)).astype(np.float32)


def heads(
    size: tuple[int, int] = SIZE,
    rows: layouts.Array = ODD,
    columns: int = 4,
    variances: tuple[float, float] = (0.1, 0.2),
    classes: tuple[int, int] = (0, 2),
    **how: bool,
) -> list[Output]:
    truth = layouts.of_classes(*classes)
    offsets, scores = layouts.ssd(truth, size, rows, columns, variances, **how)
    return [Output(offsets, "boxes"), Output(scores, "scores")]


def constant(rows: layouts.Array = ODD, **more: Any) -> Output:
    return Output(rows[None], "anchors", constant=True, **more)


@pytest.mark.parametrize(
    ("name", "make", "size", "n", "variances", "x_first"),
    [
        pytest.param("SSD MobileNet", anchors.ssd, (300, 300), 1917, (0.1, 0.2), False, id="MobileNet 300"),
        pytest.param("SSD MobileNet", anchors.ssd, (320, 320), 2034, (0.1, 0.2), False, id="MobileNet 320"),
        pytest.param("Ultra-Light face", anchors.faces, (320, 240), 4420, (0.1, 0.2), True, id="faces"),
        pytest.param("SSD FPNLite", anchors.fpnlite, (320, 320), 12804, (0.1, 0.2), False, id="FPNLite"),
        pytest.param(
            "MediaPipe Model Maker", anchors.model_maker, (256, 256), 12276, (1, 1), False, id="Model Maker"
        ),
    ],
)
def test_a_known_number_of_anchors_lands_on_the_frame(
    open_detector: Open,
    name: str,
    make: Callable[[tuple[int, int]], layouts.Array],
    size: tuple[int, int],
    n: int,
    variances: tuple[float, float],
    x_first: bool,
) -> None:
    given = heads(size, make(size), 4, variances, x_first=x_first)

    detect = open_detector(build(given, size=size, dtype="uint8", scale=1 / 128, zero_point=128))

    assert_found(detect(FRAME), layouts.of_classes(0, 2), pixels=0.3)
    assert detect.model.card.layout == f"raw SSD heads, {n} anchors ({name})"


def test_the_order_of_the_outputs_does_not_matter(open_detector: Open) -> None:
    given = heads((320, 240), anchors.faces((320, 240)), 2, classes=(0, 0), x_first=True)

    detect = open_detector(build(given[::-1], size=(320, 240)))

    assert_found(detect(FRAME), pixels=0.3)


def test_anchors_of_the_metadata_come_with_plain_offsets(open_detector: Open) -> None:
    detect = open_detector(build(heads(variances=(1.0, 1.0)), size=SIZE, anchors=ODD))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))
    assert detect.model.card.layout == "raw SSD heads, 60 anchors (metadata)"


def test_a_recipe_that_makes_the_anchors_of_the_metadata_tells_the_variances(open_detector: Open) -> None:
    rows = anchors.ssd((300, 300))

    detect = open_detector(build(heads((300, 300), rows), size=(300, 300), anchors=rows))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_anchors_may_be_a_constant_output(open_detector: Open, place: int) -> None:
    given = heads()
    given.insert(place, constant())

    detect = open_detector(build(given, size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))
    assert detect.model.card.layout == f"raw SSD heads, 60 anchors (output {place})"


def test_constant_anchors_may_be_quantized(open_detector: Open) -> None:
    rows = np.round(ODD * 128) / 128
    output = Output((rows * 128)[None], "anchors", "uint8", 1 / 128, constant=True)

    detect = open_detector(build([*heads(rows=rows), output], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


def test_constant_anchors_may_be_corners() -> None:
    corners = np.array([[[0.1, 0.2, 0.3, 0.6], [0, 0, 1, 1]]], np.float32)

    made = ssd.constant_anchors(corners)

    np.testing.assert_allclose(made, [[0.2, 0.4, 0.2, 0.4], [0.5, 0.5, 1, 1]], atol=1e-6)


def test_constant_anchors_may_be_higher_and_narrower_than_their_places() -> None:
    centres = np.array([[0.1, 0.5, 0.3, 0.2], [0.2, 0.9, 0.4, 0.3]], np.float32)

    np.testing.assert_array_equal(ssd.constant_anchors(centres), centres)


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 179), ("int8", 51)])
def test_quantized_heads_land_on_the_frame(open_detector: Open, dtype: str, zero_point: int) -> None:
    boxes, scores = heads(variances=(1.0, 1.0))
    boxes.dtype, boxes.scale, boxes.zero_point = dtype, 0.02436, zero_point
    scores.dtype, scores.scale, scores.zero_point = dtype, 1 / 256, 0 if dtype == "uint8" else -128

    detect = open_detector(
        build(
            [boxes, scores], size=SIZE, anchors=ODD, dtype=dtype, scale=1 / 127.5, zero_point=zero_point % 128
        )
    )

    assert_found(detect(FRAME), layouts.of_classes(0, 2), pixels=2, score=0.002)


def test_logits_are_turned_into_scores(open_detector: Open) -> None:
    boxes, scores = heads()
    scores.values = layouts.logits(np.asarray(scores.values))

    detect = open_detector(build([boxes, scores, constant()], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


def test_quantized_logits_are_turned_into_scores(open_detector: Open) -> None:
    boxes, scores = heads()
    scores.values = layouts.logits(np.asarray(scores.values))
    scores.dtype, scores.scale, scores.zero_point = "int8", 1 / 16, 0

    detect = open_detector(build([boxes, scores, constant()], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2), score=0.01)


def test_logits_of_a_pytorch_head_go_through_a_softmax(open_detector: Open) -> None:
    boxes, scores = heads((320, 240), anchors.faces((320, 240)), 2, classes=(0, 0), x_first=True)
    scores.values = np.log(np.clip(np.asarray(scores.values), 1e-3, 1)) + 5

    detect = open_detector(build([boxes, scores], size=(320, 240)))

    assert_found(detect(FRAME), pixels=0.3, score=2e-3)


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_a_score_just_on_the_threshold_is_told(open_detector: Open, activation: str) -> None:
    boxes, scores = heads()
    if activation == "sigmoid":
        scores.values = layouts.logits(scores.values)

    found = open_detector(build([boxes, scores, constant()], size=SIZE), 0.5)(FRAME)

    np.testing.assert_allclose(found.scores, [0.75, 0.5], atol=1e-4)


@pytest.mark.parametrize("columns", [1, 4], ids=["one column", "as many columns as labels"])
def test_heads_may_lack_a_background(open_detector: Open, columns: int) -> None:
    last = columns - 1
    given = heads(columns=columns, classes=(0, last), background=False)
    names = "\n".join("abcd"[:columns])

    detect = open_detector(build([*given, constant()], size=SIZE, attachments={"labels.txt": names.encode()}))

    assert_found(detect(FRAME), layouts.of_classes(0, last))
    assert detect.model.labels[last] == "abcd"[last]


def test_background_is_neither_a_class_nor_a_label(open_detector: Open) -> None:
    names = b"background\ncat\ncow\ndog\n"

    detect = open_detector(build([*heads(), constant()], size=SIZE, attachments={"labels.txt": names}))

    assert [detect.model.labels[i] for i in detect(FRAME).classes] == ["cat", "dog"]
    assert detect.model.decoder.classes == 3


def test_a_head_of_four_columns_is_told_from_its_offsets_by_its_name(open_detector: Open) -> None:
    boxes, scores = heads(columns=4)
    boxes.name, scores.name = "regressors", "classificators"

    detect = open_detector(build([scores, boxes, constant()], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


def test_a_head_of_four_columns_is_told_from_its_offsets_by_its_values(open_detector: Open) -> None:
    boxes, scores = heads(columns=4)
    boxes.name, scores.name = "Identity", "Identity_1"
    boxes.values[0, -1] = -2 * boxes.values.max()  # offsets lie on both sides of 0

    detect = open_detector(build([scores, boxes, constant()], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


def test_overlapping_boxes_of_a_class_are_suppressed(open_detector: Open) -> None:
    boxes, scores = heads(rows=np.repeat(ODD[:1], 60, 0))
    scores.values[0] = [0.1, 0, 0.5, 0]  # every anchor sees the same thing
    scores.values[0, 7] = [0.1, 0, 0.8, 0]
    boxes.values[0] = 0

    found = open_detector(build([boxes, scores, constant(np.repeat(ODD[:1], 60, 0))], size=SIZE))(FRAME)

    assert (found.classes.tolist(), found.scores.tolist()) == ([1], [pytest.approx(0.8)])


@pytest.mark.parametrize(
    ("decoding", "variances", "activation"),
    [
        pytest.param(None, (1.0, 1.0), "sigmoid", id="nothing told"),
        pytest.param(((0.1, 0.2), True), (0.1, 0.2), "sigmoid", id="logits"),
        pytest.param(((0.3, 0.4), False), (0.3, 0.4), "none", id="scores"),
    ],
)
def test_what_the_file_says_of_decoding_is_believed(
    decoding: Any, variances: tuple[float, float], activation: str
) -> None:
    boxes, scores = (np.zeros((1, 60, n), np.float32) for n in (4, 3))
    scores[0, 0] = 5  # looks like logits
    tensors = tuple(Tensor(i, f"t{i}", a.shape, "float32") for i, a in enumerate((boxes, scores)))

    found = ssd.match(Signature(SIZE, tensors, [boxes, scores], anchors={"metadata": ODD}, decoding=decoding))

    assert found is not None
    assert (found[1]["variances"], found[1]["activation"]) == (variances, activation)


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(1, 77, 4), (1, 77, 3)], id="anchors of no recipe"),
        pytest.param([(1, 1917, 4), (1, 1916, 91)], id="heads of two lengths"),
        pytest.param([(1, 1917, 91), (1, 1917, 5)], id="no four columns"),
        pytest.param([(1, 512, 16), (1, 512, 1), (1, 384, 1), (1, 384, 16)], id="BlazeFace"),
        pytest.param([(1, 1917, 4)], id="offsets alone"),
        pytest.param([(1, 19, 19, 4), (1, 19, 19, 4)], id="maps"),
    ],
)
def test_other_outputs_are_not_taken_for_it(shapes: list[tuple[int, ...]]) -> None:
    tensors = tuple(Tensor(i, f"t{i}", shape, "float32") for i, shape in enumerate(shapes))
    samples = [np.zeros(shape, np.float32) for shape in shapes]

    assert ssd.match(Signature((300, 300), tensors, samples)) is None


def test_a_score_that_is_not_a_number_is_nothing(open_detector: Open) -> None:
    boxes, scores = heads()
    scores.values[0, :, 1:] = np.nan

    found = open_detector(build([boxes, scores, constant()], size=SIZE))(FRAME)

    assert len(found) == 0


def test_offsets_that_are_not_finite_leave_the_others_alone(open_detector: Open) -> None:
    boxes, scores = heads(rows=ODD)
    scores.values[0, -1] = [0.1, 0.9, 0, 0]
    boxes.values[0, -1] = [np.nan, np.inf, -np.inf, np.inf]

    found = open_detector(build([boxes, scores, constant()], size=SIZE))(FRAME)

    assert_found(found, layouts.of_classes(0, 2))


def test_the_face_detector_finds_the_faces(shared: Path) -> None:
    detect = Detector(open_model(shared / "models/face_ulfg_rfb320.tflite", threads=1), 0.7, fit="stretch")
    found = detect(Frame(read_picture(shared / "pictures/linzaer_faces.jpg"), 0.0, 0))

    assert detect.model.card.layout == "raw SSD heads, 4420 anchors (Ultra-Light face)"
    assert detect.model.decoder.classes == 1
    assert abs(len(found) - 38) <= 3
    assert set(found.classes.tolist()) == {0}


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
def test_the_heads_of_a_real_model_give_what_its_own_post_processing_gives(shared: Path) -> None:
    path = shared / "models/coco_ssd_mobilenet_v1_quant.tflite"
    graph = Graph(path.read_bytes(), path.name)
    kept = graph.constant(graph.operators[-1].inputs[2])
    interpreter = runtime()[1].Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    image = cv2.resize(read_picture(shared / "pictures/kite_and_cold.jpg"), (300, 300))[None, ..., ::-1]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    rows = [
        next(d for d in interpreter.get_tensor_details() if d["name"] == n)
        for n in ("Squeeze", "convert_scores")
    ]
    tensors = tuple(
        Tensor(d["index"], d["name"], tuple(d["shape"]), "uint8", *d["quantization"]) for d in rows
    )
    arrays = [interpreter.get_tensor(d["index"]) for d in rows]

    family, settings = decoders.match(Signature((300, 300), tensors, arrays)) or ("", {})
    found = decoders.build(family, settings, tensors, kept).decode(arrays, 0.4)
    best = found.pick(suppress(found.boxes, found.scores, found.classes, 0.6, 10))

    boxes, classes, scores, _ = (
        interpreter.get_tensor(d["index"])[0] for d in interpreter.get_output_details()
    )
    np.testing.assert_allclose(best.scores, scores, atol=1e-4)
    assert np.diag(iou(best.boxes, boxes[:, [1, 0, 3, 2]])).min() > 0.97
    assert best.classes.tolist() == classes.astype(int).tolist()
