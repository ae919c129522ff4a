from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
from ai_edge_litert.interpreter import Interpreter
from small_nets import PLAN, converted

from edge_detect import anchors, pixels
from edge_detect.boxes import iou
from edge_detect.errors import ConfigError, ModelError
from edge_detect.model import open_model
from edge_detect.workshop import convert, postprocess
from edge_detect.workshop.quantize import SCHEMES
from edge_detect.workshop.targets import VARIANCES

pytestmark = small_nets.LIBRARIES


def run(data: bytes, picture: Any) -> list[Any]:
    """The outputs of a file in a plain interpreter, as any script reads them, in real numbers."""
    interpreter: Any = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    scale, zero = given["quantization"]
    if scale:
        picture = np.clip(np.ceil(picture / scale + zero - 0.5), -128, 127)
    interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
    interpreter.invoke()
    found = []
    for detail in interpreter.get_output_details():
        values, (scale, zero) = interpreter.get_tensor(detail["index"]), detail["quantization"]
        found.append((values.astype(np.float32) - zero) * scale if scale else values)
    return found


def decoded(data: bytes, picture: Any) -> tuple[Any, Any, Any]:
    """Boxes, classes and scores of raw heads, suppressed across classes as the operator does."""
    heads = {values.shape[-1]: values[0] for values in run(data, picture)}
    chances = 1 / (1 + np.exp(-heads[2]))
    boxes = anchors.decode(heads[4], PLAN.anchors, VARIANCES)
    scores, classes = chances.max(1), chances.argmax(1)
    seen = scores >= 0.05
    boxes, scores, classes = boxes[seen], scores[seen], classes[seen]
    best = pixels.suppress(boxes, scores, np.zeros(len(boxes), np.int32), 0.5, 25)
    return boxes[best], classes[best], scores[best]


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_the_operator_finds_what_the_raw_heads_say(scheme: str) -> None:
    for picture in small_nets.pictures(4, seed=9):
        boxes, classes, scores = decoded(converted(scheme), picture)

        given = run(converted(scheme, postprocess=True), picture)

        count = int(given[3][0])
        assert count == len(boxes) > 0
        np.testing.assert_allclose(given[2][0, :count], scores, atol=1e-4)
        assert given[1][0, :count].tolist() == classes.tolist()
        overlap = np.diag(iou(given[0][0, :count][:, [1, 0, 3, 2]], boxes))
        assert overlap.min() > 0.999


def test_the_outputs_stand_in_the_order_that_scripts_expect() -> None:
    shapes = [values.shape for values in run(converted("int8", postprocess=True), small_nets.pictures(1)[0])]

    assert shapes == [(1, 25, 4), (1, 25), (1, 25), (1,)]


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_our_own_program_reads_it(save: Callable[..., Path], scheme: str) -> None:
    model = open_model(save(converted(scheme, postprocess=True)), threads=1)

    assert model.card.layout.startswith("SSD with TFLite_Detection_PostProcess")
    assert model.labels.names == small_nets.CLASSES


def test_a_model_without_anchors_is_refused() -> None:
    parent = small_nets.parent()
    bare = replace(parent, about=replace(parent.about, anchors=None))

    with pytest.raises(ConfigError) as caught:
        convert.convert(bare, convert.Options(SCHEMES["float32"], postprocess=True), None)

    assert str(caught.value) == "--postprocess: expected a model with raw SSD heads and anchors"


def test_classes_without_names_are_found_too() -> None:
    parent = small_nets.parent()
    picture = small_nets.pictures(1, seed=9)[0]

    nameless = run(postprocess.embed(parent.data, replace(parent.about, labels=())), picture)

    named = run(converted("float32", postprocess=True), picture)
    count = int(named[3][0])
    assert int(nameless[3][0]) == count > 0
    for found, expected in zip(nameless[:3], named, strict=False):  # nobody writes the rows behind
        np.testing.assert_array_equal(found[0, :count], expected[0, :count])


def test_more_names_than_classes_are_refused() -> None:
    parent = small_nets.parent()

    with pytest.raises(ModelError) as caught:
        postprocess.embed(parent.data, replace(parent.about, labels=("cat", "dog", "cow")))

    assert str(caught.value) == "small: expected names of 2 classes, got 3"


def test_anchors_of_another_number_than_the_rows_are_refused() -> None:
    parent = small_nets.parent()
    other = replace(parent.about, anchors=PLAN.anchors[1:])

    with pytest.raises(ModelError) as caught:
        postprocess.embed(parent.data, other)

    assert str(caught.value) == f"small: expected offsets and scores of {len(PLAN.anchors) - 1} anchors"
