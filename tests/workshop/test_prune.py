from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_quantizer")

import small_nets

from edge_detect.errors import ConfigError
from edge_detect.workshop import export, net, prune

pytestmark = small_nets.LIBRARIES

IMAGE = small_nets.pictures(2)


@pytest.fixture(scope="module")
def half() -> tuple[Any, net.Architecture]:
    """The small net without half of its inner channels."""
    return prune.channels(small_nets.float_net(), small_nets.PLAN, 0.5)


def test_a_net_of_which_nothing_is_removed_says_the_same() -> None:
    model, plan = prune.channels(small_nets.float_net(), small_nets.PLAN, 1e-9)

    assert plan == small_nets.PLAN
    np.testing.assert_array_equal(model(IMAGE)["scores"], small_nets.float_net()(IMAGE)["scores"])


def test_channels_without_any_weight_can_go_unseen() -> None:
    given = net.build(small_nets.PLAN)
    given.set_weights(small_nets.float_net().get_weights())
    for i in range(1, len(net.BLOCKS)):
        for name in (f"block_{i}_expand_BN", f"block_{i}_depthwise_BN"):
            layer = given.get_layer(name)
            layer.set_weights([np.where(np.arange(24) < 8, 0, v) if k < 2 else v
                               for k, v in enumerate(layer.get_weights())])  # fmt: skip
    for name in ("boxes_0_depthwise", "scores_0_depthwise"):
        assert given.get_layer(name).get_weights()[0].shape[2] == 24

    total = 16 * 24 + small_nets.PLAN.last + sum(small_nets.PLAN.extras)
    model, plan = prune.channels(given, small_nets.PLAN, 16 * 8 / total)

    assert (plan.hidden, plan.last, plan.extras) == ((16,) * 16, 32, (32, 32, 32))
    before = keras.Model(given.input, given.get_layer("Conv_1_relu").output)
    after = keras.Model(model.input, model.get_layer("Conv_1_relu").output)
    np.testing.assert_allclose(after(IMAGE), before(IMAGE), atol=1e-4)


def test_what_stays_is_a_multiple_of_eight(half: tuple[Any, net.Architecture]) -> None:
    assert {*half[1].hidden} <= {8, 16, 24}
    assert sum(half[1].hidden) < sum(small_nets.PLAN.hidden)


def test_a_pruned_net_answers_for_every_anchor(half: tuple[Any, net.Architecture]) -> None:
    model, plan = half

    said = model(IMAGE)

    assert plan.anchors.shape == small_nets.PLAN.anchors.shape
    assert said["boxes"].shape == (2, len(plan.anchors), 4)
    assert np.isfinite(said["scores"]).all()


def test_the_last_layers_are_thinned_out_too() -> None:
    wide = replace(small_nets.PLAN, last=64, extras=(64, 96, 64))
    given = small_nets.awake(net.build(wide))

    model, plan = prune.channels(given, wide, 0.6)

    assert plan.last < 64
    assert all(
        32 <= now < before and now % 16 == 0 for now, before in zip(plan.extras, wide.extras, strict=True)
    )
    assert model.get_layer("extra_1_depthwise").kernel.shape[2] == net.squeezed(plan.extras[1])


def test_the_most_goes_down_to_eight_channels() -> None:
    _, plan = prune.channels(small_nets.float_net(), small_nets.PLAN, 0.9)

    assert min(plan.hidden) == 8


def test_a_pruned_net_has_a_smaller_file(half: tuple[Any, net.Architecture]) -> None:
    sizes = [
        len(export.to_tflite(export.folded(plan, export.fold(model))))
        for model, plan in (half, (small_nets.float_net(), small_nets.PLAN))
    ]

    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("share", [0, 0.95, -1])
def test_a_share_that_cannot_be_is_told(share: float) -> None:
    with pytest.raises(ConfigError) as caught:
        prune.channels(small_nets.float_net(), small_nets.PLAN, share)

    assert str(caught.value) == f"--prune-channels: expected more than 0 and up to 0.9, got {share:g}"


def test_the_share_of_zeros_rises_and_then_stays() -> None:
    shares = [prune.wanted_share(step, 100, 0.8) for step in range(101)]

    assert shares[:11] == [0.0] * 11
    assert shares[75:] == pytest.approx([0.8] * 26)
    assert shares == sorted(shares)


def copy() -> Any:
    model = net.build(small_nets.PLAN)
    model.set_weights(small_nets.float_net().get_weights())
    return model


def zeros(model: Any, name: str) -> float:
    return float((model.get_layer(name).get_weights()[0] == 0).mean())


def test_the_smallest_weights_of_each_full_convolution_become_zero() -> None:
    model = copy()
    before = model.get_layer("Conv_1").get_weights()[0]

    prune.hold_zeros(model, 0.75)

    after = model.get_layer("Conv_1").get_weights()[0]
    assert zeros(model, "Conv_1") == pytest.approx(0.75, abs=0.01)
    assert np.abs(before[after == 0]).max() < np.abs(before[after != 0]).min()
    assert (zeros(model, "Conv1"), zeros(model, "block_3_depthwise")) == (0, 0)
    assert prune.sparsity(model) == pytest.approx(0.75, abs=0.05)


def test_a_frozen_layer_is_left_alone() -> None:
    model = copy()
    model.get_layer("Conv_1").trainable = False

    prune.hold_zeros(model, 0.75)

    assert zeros(model, "Conv_1") == 0


def test_no_share_removes_nothing() -> None:
    model = copy()

    prune.hold_zeros(model, 0)

    assert prune.sparsity(model) == 0
