from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import FRAME, TRUTH, assert_found
from tflite_files import Output, build, build_postprocess

from edge_detect import detections
from edge_detect.decoders import postprocess
from edge_detect.decoders.signature import Signature
from edge_detect.detector import Detector
from edge_detect.tensors import Tensor

Open = Callable[..., Detector]
SIZE = (64, 48)
TF1 = {"boxes": "", "classes": ":1", "scores": ":2", "count": ":3"}
TF2 = {"scores": ":1", "boxes": ":3", "count": ":0", "classes": ":2"}


def outputs(stem: str, suffixes: dict[str, str], n: int = 10, **values: Any) -> list[Output]:
    """The outputs of an export, in the order and with the numbers of one generation."""
    found = layouts.postprocess(layouts.of_classes(0, 16), SIZE, n) | values
    return [Output(found[role], stem + suffix) for role, suffix in suffixes.items()]


def heads(columns: int = 4) -> tuple[layouts.Array, layouts.Array]:
    """Anchors and scores whose detections are `TRUTH` as the classes 0 and 2."""
    centres = layouts.centred(layouts.in_input(TRUTH.boxes, SIZE))[:, [1, 0, 3, 2]]
    anchors = np.concatenate([centres, np.full((20, 4), 0.01)]).astype(np.float32)
    scores = np.zeros((22, columns), np.float32)
    scores[0, 1], scores[1, 3] = TRUTH.scores
    return anchors, scores


@pytest.mark.parametrize(
    ("order", "stem", "suffixes", "n"),
    [("TF1", "TFLite_Detection_PostProcess", TF1, n) for n in (4, 10, 25, 100)]
    + [("TF2", "StatefulPartitionedCall", TF2, n) for n in (2, 10, 40, 100)],
)
def test_both_orders_land_on_the_frame(
    open_detector: Open, order: str, stem: str, suffixes: dict[str, str], n: int
) -> None:
    detect = open_detector(build(outputs(stem, suffixes, n), size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 16))
    assert detect.model.card.layout == f"SSD with TFLite_Detection_PostProcess, {order} order"


@pytest.mark.parametrize(
    ("suffixes", "stem"),
    [(TF1, "TFLite_Detection_PostProcess"), (TF2, "StatefulPartitionedCall")],
    ids=["TF1", "TF2"],
)
def test_names_decide_when_scores_look_like_class_numbers(
    open_detector: Open, suffixes: dict[str, str], stem: str
) -> None:
    ones = np.array([[1.0, 1.0, 0.0, 0.0, 0.0]])

    detect = open_detector(build(outputs(stem, suffixes, 5, scores=ones, classes=ones * 0), size=SIZE))

    assert_found(detect(FRAME), detections.make(TRUTH.boxes, [1, 1], [0, 0]))


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5], ids=str)
def test_values_decide_when_names_say_nothing(open_detector: Open, order: Sequence[int]) -> None:
    given = outputs("", {"boxes": "w", "classes": "x", "scores": "y", "count": "z"})

    detect = open_detector(build([given[i] for i in order], size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 16))


@pytest.mark.parametrize(
    "words",
    [
        ("detection_boxes", "detection_classes", "detection_scores", "num_detections"),
        ("box", "class", "score", "count"),
    ],
    ids=" ".join,
)
def test_names_may_be_words(open_detector: Open, words: Sequence[str]) -> None:
    ones = np.array([[1.0, 1.0, 0.0]])
    suffixes = dict(zip(("boxes", "classes", "scores", "count"), words, strict=True))

    detect = open_detector(build(outputs("", suffixes, 3, scores=ones, classes=ones * 0)[::-1], size=SIZE))

    assert_found(detect(FRAME), detections.make(TRUTH.boxes, [1, 1], [0, 0]))


@pytest.mark.parametrize(
    ("suffixes", "stem"),
    [(TF1, "TFLite_Detection_PostProcess"), (TF2, "StatefulPartitionedCall")],
    ids=["TF1", "TF2"],
)
def test_one_detection_is_told_from_its_count(
    open_detector: Open, suffixes: dict[str, str], stem: str
) -> None:
    truth = detections.make(TRUTH.boxes[:1], TRUTH.scores[:1], [7])
    found = layouts.postprocess(truth, SIZE, 1)

    detect = open_detector(build([Output(found[k], stem + v) for k, v in suffixes.items()], size=SIZE))

    assert_found(detect(FRAME), truth)


@pytest.mark.parametrize("suffixes", [TF1, TF2], ids=["TF1", "TF2"])
def test_a_model_without_count_gives_all_its_rows(open_detector: Open, suffixes: dict[str, str]) -> None:
    three = {role: suffix for role, suffix in suffixes.items() if role != "count"}

    detect = open_detector(build(outputs("StatefulPartitionedCall", three), size=SIZE))

    assert_found(detect(FRAME), layouts.of_classes(0, 16))


@pytest.mark.parametrize("turned", [1, -1], ids=["count last", "count first"])
def test_rows_behind_the_count_are_not_read(open_detector: Open, turned: int) -> None:
    detect = open_detector(build(outputs("x", TF1, count=np.array([1.0]))[::turned], size=SIZE))

    assert_found(detect(FRAME), detections.make(TRUTH.boxes[:1], TRUTH.scores[:1], [0]))


def test_a_score_just_on_the_threshold_is_told(open_detector: Open) -> None:
    assert len(open_detector(build(outputs("x", TF1), size=SIZE), 0.5)(FRAME)) == 2


def test_a_count_of_zero_is_nothing(open_detector: Open) -> None:
    detect = open_detector(build(outputs("x", TF1, count=np.array([0.0])), size=SIZE))

    assert len(detect(FRAME)) == 0


def test_boxes_outside_the_picture_are_clipped(open_detector: Open) -> None:
    boxes = np.zeros((1, 10, 4))
    boxes[0, :2] = [[-0.5, -0.25, 2.0, 0.5], [1.5, 1.5, 2.5, 2.5]]

    detect = open_detector(build(outputs("x", TF1, boxes=boxes), size=SIZE), fit="stretch")

    assert detect(FRAME).boxes.tolist() == [[0, 0, 100, 100]]


def test_quantized_outputs_land_on_the_frame(open_detector: Open) -> None:
    given = outputs("StatefulPartitionedCall", TF2)
    for output, scale in zip(given, (1 / 256, 1 / 250, 1.0, 1.0), strict=True):
        output.dtype, output.scale = "uint8", scale

    detect = open_detector(build(given, size=SIZE, dtype="uint8", scale=1 / 127.5, zero_point=127))

    assert_found(detect(FRAME), layouts.of_classes(0, 16), pixels=0.6, score=0.002)


def test_shapes_that_are_wrong_until_the_first_run_do_not_matter(open_detector: Open) -> None:
    given = outputs("StatefulPartitionedCall", TF2, 4)
    for output in given:
        output.written = (1,) * np.asarray(output.values).ndim

    detect = open_detector(build(given, size=SIZE, signature=(-1, 48, 64, 3)))

    assert_found(detect(FRAME), layouts.of_classes(0, 16))


@pytest.mark.parametrize(
    ("order", "behind"),
    [
        pytest.param((0, 1, 2, 3), "", id="bare"),
        pytest.param((2, 0, 3, 1), "", id="shuffled"),
        pytest.param((1, 3, 0, 2), "reshape", id="reshape"),
        pytest.param((3, 2, 1, 0), "quantize", id="quantize"),
        pytest.param((2, 0, 3, 1), "quantize dequantize", id="quantize, dequantize"),
        pytest.param((0, 2, 1, 3), "reshape quantize", id="reshape, quantize"),
    ],
)
def test_the_operator_itself_tells_which_output_is_which(
    open_detector: Open, order: Sequence[int], behind: str
) -> None:
    data = build_postprocess(*heads(), size=SIZE, order=order, behind=behind)

    detect = open_detector(data)

    exact = "quantize" not in behind
    assert_found(detect(FRAME), layouts.of_classes(0, 2), 0.05 if exact else 0.6, 1e-4 if exact else 0.002)
    assert detect.model.card.reason == "the graph's TFLite_Detection_PostProcess operator names its outputs"


@pytest.mark.parametrize("most", [1, 10, 25, 40, 100])
def test_the_operator_may_give_any_number(open_detector: Open, most: int) -> None:
    detect = open_detector(build_postprocess(*heads(), size=SIZE, most=most))

    assert len(detect(FRAME)) == min(most, 2)


def test_the_operator_tells_the_number_of_classes(open_detector: Open) -> None:
    detect = open_detector(build_postprocess(*heads(91), size=SIZE, labels=b"???\nperson\nbicycle\ncar\n"))

    assert detect.model.decoder.classes == 90
    assert [detect.model.labels[i] for i in detect(FRAME).classes] == ["person", "car"]


def test_the_operator_alone_is_believed_against_the_names(open_detector: Open) -> None:
    names = ("scores", "boxes", "count", "classes")

    detect = open_detector(build_postprocess(*heads(), size=SIZE, names=names))

    assert_found(detect(FRAME), layouts.of_classes(0, 2))


def signature(*shapes: tuple[int, ...]) -> Signature:
    tensors = tuple(Tensor(i, f"t{i}", shape, "float32") for i, shape in enumerate(shapes))
    return Signature(SIZE, tensors, [np.full(shape, 0.5, np.float32) for shape in shapes])


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(1, 10, 4), (1, 10)], id="two outputs"),
        pytest.param([(1, 10, 4), (1, 10), (1, 9), (1,)], id="lists of two lengths"),
        pytest.param([(1, 10, 5), (1, 10), (1, 10), (1,)], id="five values"),
        pytest.param([(1, 10, 4), (1, 10), (1, 10), (1,), (1,)], id="two counts"),
        pytest.param([(1, 10, 4), (1, 10), (1, 10), (1,)], id="two lists alike without names"),
        pytest.param([(1, 1001)], id="classifier"),
    ],
)
def test_other_outputs_are_not_taken_for_it(shapes: list[tuple[int, ...]]) -> None:
    assert postprocess.match(signature(*shapes)) is None


def test_lists_of_no_scores_are_not_taken_for_it() -> None:
    given = signature((1, 10, 4), (1, 10), (1, 10), (1,))
    given.samples[1][:] = 3  # class numbers, but the other list is beyond 1
    given.samples[2][:] = 7.5

    assert postprocess.match(given) is None
