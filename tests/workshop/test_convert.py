from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
from small_nets import PLAN, converted

from edge_detect.errors import ConfigError, InputMissing, ModelError
from edge_detect.graph import Graph
from edge_detect.model import open_model
from edge_detect.pixel_values import IMAGENET, RAW, SIGNED, UNIT, Normalization
from edge_detect.workshop import convert, export, metadata
from edge_detect.workshop.calibration import BINS, IMAGE_RANGE, LEAST_LOGIT, Seen
from edge_detect.workshop.quantize import SCHEMES, Widened

pytestmark = small_nets.LIBRARIES


@cache
def classifier() -> Any:
    """A classifier of two layers."""
    image = keras.Input((16, 16, 3), name="image")
    y = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    y = keras.layers.GlobalAveragePooling2D()(y)
    return keras.Model(image, keras.layers.Dense(5, activation="softmax")(y), name="tiny")


def test_a_run_is_opened_with_all_that_it_knows() -> None:
    parent = small_nets.parent()

    assert (parent.kind, parent.bits, parent.grids) == ("detector", "", {})
    assert (parent.about.labels, parent.input.size, parent.input.normalization) == (
        small_nets.CLASSES, small_nets.SIZE, SIGNED,
    )  # fmt: skip
    assert parent.about.anchors is not None
    np.testing.assert_array_equal(parent.about.anchors, PLAN.anchors)


def test_the_float_file_answers_as_the_net_that_was_trained() -> None:
    from edge_detect.workshop.calibration import Probe

    picture = small_nets.pictures(1, seed=9)
    probe = Probe(small_nets.parent().data)

    probe.run(picture[0])

    answers = small_nets.float_net().predict_on_batch(picture)
    found = {values.shape[-1]: values for values in map(probe.value, probe.outputs)}
    np.testing.assert_allclose(found[4], answers["boxes"], atol=1e-3)
    np.testing.assert_allclose(found[2], answers["scores"], atol=1e-3)


def test_a_run_trained_for_integers_brings_its_ranges() -> None:
    parent = small_nets.parent("int8")

    assert parent.bits == "int8"
    assert parent.grids["Conv1_grid"][0] == 0
    assert 0 < parent.grids["Conv1_grid"][1] <= 6


def test_the_input_is_the_pixel_less_128() -> None:
    graph = Graph(converted("int8"), "m")

    scale = graph._tensors[graph.inputs[0]].table(4)
    assert small_nets.ranges()[graph.name(graph.inputs[0])] == IMAGE_RANGE
    assert scale is not None
    assert scale.numbers(2, "<f4").tolist() == [pytest.approx(1 / 127.5)]
    assert scale.numbers(3, "<i8").tolist() == [0]


@pytest.mark.parametrize(
    ("normalization", "expected"), [(UNIT, (0, 1)), (RAW, (0, 255)), (IMAGENET, (-2.117904, 2.64))]
)
def test_the_input_has_room_for_every_pixel_though_the_pictures_are_dark(
    normalization: Normalization, expected: tuple[float, float]
) -> None:
    parent = replace(
        small_nets.parent(), input=replace(small_nets.parent().input, normalization=normalization)
    )
    image = Graph(parent.data, "m").name(Graph(parent.data, "m").inputs[0])

    found = convert.ranges_of(parent, {image: Seen(0, 0.1, np.ones(BINS, np.int64))}, "min-max")

    assert found[image] == pytest.approx(expected)


def test_no_step_is_spent_on_logits_that_surely_mean_nothing() -> None:
    parent = small_nets.parent()
    scores = next(n for n, layer in convert.layers_of(Graph(parent.data, "m")).items() if layer == "scores")

    seen = {scores: Seen(-20, 1, np.ones(BINS, np.int64))}

    assert convert.ranges_of(parent, seen, "min-max")[scores] == (LEAST_LOGIT, 1)


def test_the_layers_of_the_net_are_known_in_the_file() -> None:
    found = set(convert.layers_of(Graph(small_nets.parent().data, "m")).values())

    assert {"image", "Conv1", "block_1_expand", "block_16_project", "boxes_0", "boxes", "scores"} <= found


def test_origin_tells_parent_and_scheme_and_no_folder_of_the_machine() -> None:
    told = metadata.origin(converted("int8", per_channel=False))

    assert (told["parent_sha256"], told["scheme"]) == (small_nets.parent().sha256, "int8")
    assert (told["calibration"], told["per_channel"]) == ("min-max", False)
    assert told["data"] == ["sets/train.json"]
    assert '"/' not in json.dumps(told)
    assert "/home" not in json.dumps(told)


@pytest.mark.parametrize("form", ["keras", "h5", "SavedModel", "tflite"])
def test_a_classifier_is_opened_in_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"tiny.{form}"
    if form == "SavedModel":
        path = tmp_path / "tiny"
        export._of_one(classifier()).export(path, verbose=False)
    elif form == "tflite":
        path.write_bytes(export.to_tflite(export._of_one(classifier())))
    else:
        classifier().save(path)

    parent = convert.open_parent(path, tuple("abcde"))

    assert (parent.kind, parent.about.name, parent.about.labels) == ("classifier", "tiny", tuple("abcde"))
    assert parent.input.size == (16, 16)


def test_a_float_file_of_ours_is_opened_with_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "street.tflite"
    path.write_bytes(converted("float32"))

    parent = convert.open_parent(path)

    assert parent.about.labels == small_nets.CLASSES
    assert (parent.about.variances, parent.about.sigmoid) == ((0.1, 0.2), True)
    np.testing.assert_allclose(parent.about.anchors, PLAN.anchors, atol=1e-6)


def test_labels_and_normalization_that_are_given_win(tmp_path: Path) -> None:
    path = tmp_path / "street.tflite"
    path.write_bytes(converted("float32"))

    parent = convert.open_parent(path, ("cat", "dog"), UNIT)

    assert (parent.about.labels, parent.input.normalization) == (("cat", "dog"), UNIT)
    assert parent.about.mean == UNIT.mean


def test_a_quantized_file_can_only_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "street.tflite"
    path.write_bytes(converted("int8"))

    with pytest.raises(ModelError) as caught:
        convert.open_parent(path)

    assert str(caught.value) == (
        "street.tflite: input type int8: expected a float model; convert the original"
    )
    kept = convert.described(convert.open_parent(path, ("cat", "dog"), real=False))
    path.write_bytes(kept)
    assert open_model(path, threads=1).labels.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("scheme", "kind"), [("float16", "float16"), ("dynamic", "int8"), ("dynamic-int4", "int4")]
)
def test_a_file_whose_weights_alone_are_quantized_can_only_be_kept(
    tmp_path: Path, scheme: str, kind: str
) -> None:
    path = tmp_path / "street.tflite"
    path.write_bytes(converted(scheme))

    with pytest.raises(ModelError) as caught:
        convert.open_parent(path)

    assert str(caught.value) == (
        f"street.tflite: {kind} inside: expected a model of float32 alone; convert the original"
    )
    assert convert.open_parent(path, real=False).about.labels == small_nets.CLASSES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("a.keras", b"PK", "{}: expected a Keras model: ", id="damaged Keras"),
        pytest.param("a.h5", b"HDF", "{}: expected a Keras model: ", id="damaged HDF5"),
        pytest.param("a.tflite", b"", "a.tflite: the file is empty; ", id="empty"),
        pytest.param("folder", None, "{}: expected a SavedModel: ", id="empty folder"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)

    with pytest.raises(ModelError) as caught:
        convert.open_parent(path)

    assert str(caught.value).startswith(message.format(path))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_that_was_never_built_is_told(tmp_path: Path) -> None:
    keras.Sequential([keras.layers.Conv2D(4, 3)], name="loose").save(tmp_path / "loose.keras")

    with pytest.raises(ModelError) as caught:
        convert.open_parent(tmp_path / "loose.keras")

    assert str(caught.value) == "loose: expected one input (batch, height, width, 3), got None"


def test_weights_of_another_net_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.weights.h5"
    classifier().save_weights(path)

    with pytest.raises(ModelError) as caught:  # and no warning, which would fail here
        convert.open_parent(path, size=32)

    assert str(caught.value) == (
        f"{path}: expected the weights of a MobileNetV2 classifier, with one dense layer at its end"
    )


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        convert.open_parent(tmp_path / "none")

    assert str(caught.value) == f"{tmp_path}/none: cannot read the model: no such file or folder"


def test_a_run_without_weights_is_told(tmp_path: Path) -> None:
    run = small_nets.run(tmp_path / "run", small_nets.float_net())
    (run / "best.weights.h5").unlink()

    with pytest.raises(InputMissing) as caught:
        convert.open_parent(run)

    assert str(caught.value) == f"{run}: the run has no weights yet; let it validate once"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("heads", Widened(convert.KINDS["heads"], 32)),
        ("heads=16", Widened(convert.KINDS["heads"], 16)),
        ("first=32", Widened(convert.KINDS["first"], 32)),
        ("block_3_.*", Widened("block_3_.*", 32)),
        ("a=b", Widened("a=b", 32)),
    ],
)
def test_words_become_wider_layers(word: str, expected: Widened) -> None:
    assert convert.widened([word]) == (expected,)


def test_other_widths_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        convert.widened(["heads=8"])

    assert str(caught.value) == "--wider heads=8: expected =16 or =32, got =8"


def test_the_great_comparison_names_every_file_once() -> None:
    names = [name for name, _, _ in convert.every(small_nets.parent(), convert.Options())]

    assert len(names) == len(set(names)) == len(SCHEMES) + 9
    assert [n for n, _, _ in convert.every(small_nets.parent("int8"), convert.Options())] == ["qat-int8"]


def test_coarser_weights_would_need_fewer_bytes() -> None:
    data = small_nets.parent().data

    sizes = [convert.theoretical_bytes(data, kind) for kind in ("int8", "int4", "ternary", "binary")]

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < len(data) / 3
