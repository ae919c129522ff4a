from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
from layouts import TRUTH
from tflite_files import File, Output, build

from edge_detect.card import Card
from edge_detect.errors import ModelError
from edge_detect.model import open_model
from edge_detect.pixel_values import IMAGENET, RAW, SIGNED, UNIT, Normalization
from edge_detect.probe import examine

Save = Callable[..., Path]
SIZE = (96, 96)
KNOWN = "expected SSD with or without TFLite_Detection_PostProcess, YOLOv5, YOLOv8, YOLO11, YOLOX"


def yolov8(classes: int = 2) -> Output:
    return Output(layouts.yolov8(TRUTH, SIZE, classes))


def postprocess() -> list[Output]:
    return [Output(values, name) for name, values in layouts.postprocess(TRUTH, SIZE).items()]


def bare(shape: tuple[int, ...], dtype: str = "float32") -> bytes:
    """A model of one input and no operator."""
    file = File()
    given = file.tensor("given", shape, dtype)
    file.subgraph([given], [file.tensor("constant", (1, 10, 4), values=np.zeros(40))])
    return file.data()


def read(data: bytes, save: Save) -> Card:
    return examine(save(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(
            build([Output(np.zeros((1, 1001)))]),
            "outputs [1, 1001] look like a classifier, not a detector; use a detector",
            id="classifier",
        ),
        pytest.param(
            build([Output(np.zeros((1, 1, 1, 5)))]),
            "outputs [1, 1, 1, 5] look like a classifier, not a detector; use a detector",
            id="classifier of four sides",
        ),
        pytest.param(
            build([Output(np.zeros((1, 8)))]),
            "outputs [1, 8] look like a corner regressor, not a detector",
            id="regressor",
        ),
        pytest.param(
            build([Output(np.zeros((1, 16, 16, 21)))]),
            "outputs [1, 16, 16, 21] look like a map over the picture (segmentation, FOMO, YOLOv2 grid),"
            f" not boxes; {KNOWN}",
            id="segmentation",
        ),
        pytest.param(
            build([Output(np.zeros((1, 12, 12, 2)))]),
            "outputs [1, 12, 12, 2] look like a map over the picture (segmentation, FOMO, YOLOv2 grid),"
            f" not boxes; {KNOWN}",
            id="FOMO",
        ),
        pytest.param(
            build([Output(np.zeros((1, 17, 3))), Output(np.zeros((1, 5)))]),
            f"outputs [1, 17, 3], [1, 5] fit no known layout; {KNOWN}",
            id="something else",
        ),
        pytest.param(
            build([yolov8()], size=SIZE, extra_inputs=2),
            "3 inputs: a stateful model, or one that wants more than a picture;"
            " use a detector with one picture as its input",
            id="three inputs",
        ),
        pytest.param(
            build([yolov8()], size=SIZE, variable=True),
            "1 variable tensors: a stateful model, which remembers earlier pictures;"
            " use a detector without state",
            id="memory",
        ),
        pytest.param(
            build([yolov8()], shape=(1, 96, 96, 1)),
            "input [1, 96, 96, 1] has 1 channel (grey), expected [1, height, width, 3] in colour",
            id="grey",
        ),
        pytest.param(
            build([yolov8()], shape=(1, 96, 96, 4)),
            "input [1, 96, 96, 4] has 4 channels, expected [1, height, width, 3] in colour",
            id="four channels",
        ),
        pytest.param(
            bare((1, 3, 96, 96)),
            "input [1, 3, 96, 96] has channels first; convert it to channels last,"
            " expected [1, height, width, 3] in colour",
            id="channels first",
        ),
        pytest.param(
            bare((4, 96, 96, 3)),
            "input [4, 96, 96, 3] is not one picture; expected [1, height, width, 3]",
            id="four pictures",
        ),
        pytest.param(
            bare((1, 1000)), "input [1, 1000] is not one picture; expected [1, height, width, 3]", id="a list"
        ),
        pytest.param(
            bare((1, 1, 1, 3)),
            "input [1, 1, 1, 3] has no fixed size; convert it again with a fixed picture size",
            id="any size",
        ),
        pytest.param(
            bare((1, 96, 96, 3), "int32"),
            "input type int32, expected uint8, int8, int16 or float32",
            id="int32",
        ),
    ],
)
def test_what_is_no_detector_is_called_by_its_name(save: Save, data: bytes, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(save(data))

    assert str(caught.value) == f"model.tflite: {reason}"


def test_a_model_without_input_is_told(save: Save) -> None:
    file = File()
    file.subgraph([], [file.tensor("constant", (1, 10, 4), values=np.zeros(40))])

    with pytest.raises(ModelError) as caught:
        open_model(save(file.data()))

    assert str(caught.value) == (
        "model.tflite: no input: a stateful model, or one that wants more than a picture;"
        " use a detector with one picture as its input"
    )


@pytest.mark.parametrize(
    ("task", "kind"),
    [("classify", "classifier"), ("segment", "unsupported"), ("pose", "unsupported"), ("obb", "unsupported")],
)
def test_the_task_in_the_metadata_is_believed(save: Save, task: str, kind: str) -> None:
    metadata = json.dumps({"task": task, "names": {"0": "cat", "1": "dog"}}).encode()

    found = read(build([yolov8()], size=SIZE, attachments={"metadata.json": metadata}), save)

    assert (found.kind, found.reason) == (
        kind,
        f"its metadata says '{task}', not 'detect'; export a detection model",
    )


@pytest.mark.parametrize(
    ("attachments", "names", "form"),
    [
        pytest.param(
            {"labelmap.txt": b"???\ncat\ndog"},
            ("cat", "dog"),
            "one name a line, after a first line '???'",
            id="labelmap.txt",
        ),
        pytest.param({"labels.txt": b"cat\ndog\n"}, ("cat", "dog"), "one name a line", id="labels.txt"),
        pytest.param({"dict.txt": b"cat\ndog\n\n"}, ("cat", "dog"), "one name a line", id="dict.txt"),
        pytest.param(
            {"metadata.json": b'{"task": "detect", "names": {"0": "cat", "1": "dog"}}'},
            ("cat", "dog"),
            "JSON",
            id="metadata.json",
        ),
        pytest.param(
            {"temp_meta.txt": b"{'task': 'detect', 'names': {0: 'cat', 1: 'dog'}, 'imgsz': [96, 96]}"},
            ("cat", "dog"),
            "JSON",
            id="temp_meta.txt, a Python mapping",
        ),
        pytest.param({"README.md": b"cat\ndog"}, (), "", id="no label file"),
        pytest.param({"labels.txt": b"\0\1\2"}, (), "", id="binary"),
        pytest.param({"labels.txt": b""}, (), "", id="empty"),
        pytest.param({"metadata.json": b"{half"}, (), "", id="damaged JSON"),
        pytest.param({"metadata.json": b"[1, 2]"}, (), "", id="JSON list"),
        pytest.param({"temp_meta.txt": b"{[]: 1}"}, (), "", id="a mapping that cannot be"),
        pytest.param({"temp_meta.txt": b"{'names': {0: b'cat'}}"}, (), "", id="bytes for names"),
        pytest.param({"temp_meta.txt": b"{'names': {(0,): 'cat'}}"}, (), "", id="tuples for ids"),
        pytest.param({}, (), "", id="none"),
    ],
)
def test_embedded_labels_are_read(
    save: Save, attachments: dict[str, bytes], names: tuple[str, ...], form: str
) -> None:
    found = read(build([yolov8()], size=SIZE, attachments=attachments), save)

    assert (found.kind, found.labels, found.label_form) == ("detector", names, form)


@pytest.mark.parametrize(
    ("outputs", "dtype", "scale", "zero_point", "colour", "normalization", "padding"),
    [
        pytest.param(postprocess(), "float32", 0, 0, "RGB", SIGNED, 128, id="SSD float"),
        pytest.param(postprocess(), "uint8", 1 / 128, 128, "RGB", SIGNED, 128, id="SSD uint8"),
        pytest.param(postprocess(), "uint8", 1 / 255, 0, "RGB", UNIT, 128, id="SSD of a slip in calibration"),
        pytest.param([yolov8()], "float32", 0, 0, "RGB", UNIT, 114, id="YOLOv8 float"),
        pytest.param([yolov8()], "int8", 1 / 255, -128, "RGB", UNIT, 114, id="YOLOv8 int8"),
        pytest.param([yolov8()], "int8", 0.018658, -14, "RGB", IMAGENET, 114, id="ImageNet int8"),
        pytest.param([yolov8()], "int16", 1 / 32768, 0, "RGB", UNIT, 114, id="YOLOv8 int16"),
        pytest.param(
            [Output(layouts.yolov5(TRUTH, SIZE, 2, pixels=True, per_cell=1))],
            "float32",
            0,
            0,
            "BGR",
            RAW,
            114,
            id="YOLOX float",
        ),
    ],
)
def test_how_a_picture_enters_is_read_from_family_and_quantization(
    save: Save, outputs: list[Output], dtype: str, scale: float, zero_point: int, colour: str,
    normalization: Normalization, padding: int,
) -> None:  # fmt: skip
    found = read(build(outputs, size=SIZE, dtype=dtype, scale=scale, zero_point=zero_point), save).input

    assert found is not None
    assert (found.colour, found.normalization, found.padding) == (colour, normalization, padding)


def test_the_normalization_in_the_metadata_is_believed_first(save: Save) -> None:
    told: Any = ([1, 2, 3], [4, 5, 6])

    found = read(build([yolov8()], size=SIZE, normalization=told, dtype="uint8", scale=1 / 255), save).input

    assert found is not None
    assert found.normalization == Normalization((1, 2, 3), (4, 5, 6))


def test_a_card_names_the_runtime_that_ran_the_model(save: Save) -> None:
    from edge_detect.interpreter import runtime

    assert read(build([yolov8()], size=SIZE), save).runtime == runtime()[0]


@pytest.mark.parametrize(
    ("name", "kind", "layout"),
    [
        ("coco_ssd_mobilenet_v1_quant", "detector", "SSD with TFLite_Detection_PostProcess, TF1 order"),
        ("ssd_mobilenet_v1_metadata", "detector", "SSD with TFLite_Detection_PostProcess, TF1 order"),
        ("yolox_nano", "detector", "YOLOX [1, 3549, 85], boxes in pixels"),
        ("face_ulfg_rfb320", "detector", "raw SSD heads, 4420 anchors (Ultra-Light face)"),
        ("mobilenet_v2_1.0_224_quant", "classifier", ""),
        ("traffic_stateful", "unsupported", ""),
    ],
)
def test_real_files_are_known_for_what_they_are(shared: Path, name: str, kind: str, layout: str) -> None:
    found = examine(shared / f"models/{name}.tflite")

    assert (found.kind, found.layout) == (kind, layout)


def test_a_real_file_that_the_runtime_refuses_is_told_in_one_line(shared: Path) -> None:
    from edge_detect.interpreter import runtime

    with pytest.raises(ModelError) as caught:
        open_model(shared / "models/person_detect_refused.tflite")

    assert str(caught.value) == (
        f"person_detect_refused.tflite: {runtime()[0]} refuses it:"
        " quantized_dimension must be in range [0, 1);"
        " convert it again with a current TensorFlow, or use another model"
    )
