from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_litert")

import small_nets

from edge_detect.errors import ConfigError, InputMissing, ModelError
from edge_detect.workshop import net

pytestmark = small_nets.LIBRARIES

SHAPES = (((0.3, 0.2), (0.2, 0.4)), *[((0.6, 0.6),)] * 4)
PLAN = net.design((64, 64), ("person", "car"), 0.35, SHAPES)


def backbone(alpha: float = 0.35) -> Any:
    """The public net, with weights that say something."""
    keras.utils.set_random_seed(1)
    given = keras.applications.MobileNetV2((64, 64, 3), alpha=alpha, include_top=False, weights=None)
    return small_nets.awake(given)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The public backbone, and a file of its weights."""
    place = tmp_path_factory.mktemp("weights") / "b.weights.h5"
    model = backbone()
    model.save_weights(place)
    return model, place


@pytest.fixture(scope="module")
def loaded(given: tuple[Any, Path]) -> Any:
    """Our net with these weights."""
    model = net.build(PLAN)
    net.load_backbone(model, PLAN, given[1])
    return model


def test_layers_have_the_names_and_weights_of_the_public_net(given: tuple[Any, Path], loaded: Any) -> None:
    for layer in given[0].layers:
        if layer.weights:
            ours = loaded.get_layer(layer.name).get_weights()
            assert all(map(np.array_equal, ours, layer.get_weights()))


def test_the_backbone_says_what_the_public_net_says(given: tuple[Any, Path], loaded: Any) -> None:
    image = small_nets.pictures(2)
    ours = keras.Model(loaded.input, loaded.get_layer("Conv_1_relu").output)

    np.testing.assert_allclose(ours(image), given[0](image), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (32, 160)], ids=str)
def test_there_is_a_row_for_each_anchor(size: tuple[int, int]) -> None:
    plan = replace(small_nets.PLAN, size=size)

    answers = net.build(plan).output

    n = len(plan.anchors)
    assert (answers["boxes"].shape, answers["scores"].shape) == ((None, n, 4), (None, n, 2))


def test_rows_are_in_the_order_of_the_anchors() -> None:
    model = net.build(replace(small_nets.PLAN, size=(96, 64)))
    rows = [model.get_layer(f"scores_{i}_rows").output.shape[1] for i in range(5)]

    assert rows == [6 * 4 * 2, 3 * 2, 2, 1, 1]


def test_every_class_begins_rare() -> None:
    scores = np.asarray(net.build(small_nets.PLAN)(np.zeros((1, 64, 64, 3), np.float32))["scores"])

    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), 0.01, atol=0.002)


@pytest.mark.parametrize("size", [(100, 64), (64, 48), (0, 32)], ids=str)
def test_a_size_that_32_does_not_divide_is_told(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        net.design(size, ("a",), 0.35, SHAPES)

    assert str(caught.value) == f"--size: expected multiples of 32, got {size[0]}x{size[1]}"


def test_an_alpha_too_small_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        net.design((64, 64), ("a",), 0.2, SHAPES)

    assert str(caught.value) == "--alpha: expected 0.35 to 1.0, got 0.2"


@pytest.mark.parametrize(
    "filters, alpha, width", [(32, 1.0, 32), (32, 0.35, 16), (24, 0.35, 8), (96, 0.75, 72)]
)
def test_widths_are_multiples_of_eight(filters: int, alpha: float, width: int) -> None:
    assert net.width_of(filters, alpha) == width


def test_an_architecture_is_the_same_after_json() -> None:
    assert net.from_json(json.loads(json.dumps(net.to_json(PLAN)))) == PLAN


def test_missing_weights_are_told(tmp_path: Path) -> None:
    place = tmp_path / "no.weights.h5"

    with pytest.raises(InputMissing) as caught:
        net.load_backbone(net.build(small_nets.PLAN), PLAN, place)

    assert str(caught.value) == f"{place}: cannot read the weights: no such file"


@pytest.mark.parametrize("what", ["junk", "empty", "other width"])
def test_weights_of_something_else_are_told(tmp_path: Path, given: tuple[Any, Path], what: str) -> None:
    place = tmp_path / "b.weights.h5"
    other = given[1].read_bytes()
    place.write_bytes({"junk": b"junk" * 99, "empty": b"", "other width": other}[what])
    alpha = 0.5 if what == "other width" else 0.35

    with pytest.raises(ModelError) as caught:
        net.load_backbone(net.build(small_nets.PLAN), replace(PLAN, alpha=alpha), place)

    assert str(caught.value) == f"{place}: expected weights of a MobileNetV2 with alpha {alpha:g} without top"


def trainable(blocks: int, *, norms: bool = False) -> set[str]:
    model = net.build(small_nets.PLAN)
    net.freeze(model, blocks, norms=norms)
    return {layer.name for layer in model.layers if layer.trainable and layer.weights}


def test_everything_before_a_block_is_frozen() -> None:
    free = trainable(5)

    assert {"block_5_expand", "block_5_expand_BN", "Conv_1", "extra_0_squeeze", "boxes_0"} <= free
    assert not {"Conv1", "bn_Conv1", "expanded_conv_project", "block_4_project_BN"} & free


def test_nothing_is_frozen_by_nought() -> None:
    assert "Conv1" in trainable(0)


def test_the_statistics_of_the_backbone_alone_are_kept() -> None:
    free = trainable(0, norms=True)

    assert not {name for name in free if name.startswith("block_") and name.endswith("_BN")}
    assert {"Conv1", "block_3_expand", "extra_0_squeeze_BN", "boxes_0_depthwise_BN"} <= free


@pytest.mark.parametrize("block", [3, 8, 13])
def test_front_and_back_together_are_the_net(block: int) -> None:
    model = small_nets.float_net()
    image = small_nets.pictures(1)[0]

    between = net.front(model, small_nets.PLAN, block)(image)

    answer = net.back(model, block)(between[None])
    np.testing.assert_allclose(answer["scores"], model(image[None])["scores"], atol=2e-3)


def test_pixels_are_normalized_to_rgb() -> None:
    image = np.array([[[0, 255, 51]]], np.uint8)

    np.testing.assert_allclose(net.normalized(image), [[[-0.6, 1, -1]]], atol=1e-6)
