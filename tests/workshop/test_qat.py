from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_quantizer")

import small_nets

from edge_detect.errors import ConfigError
from edge_detect.workshop import qat

pytestmark = small_nets.LIBRARIES

KERNEL = np.random.default_rng(0).normal(0, 1, (3, 3, 5, 4)).astype(np.float32)
AXES = (0, 1, 2)
MOST = {"int8": 255, "int4": 15, "ternary": 3, "binary": 2}


def rounded(kind: str, kernel: Any = KERNEL) -> Any:
    return np.asarray(qat.rounded_weights(kernel, kind, AXES))


@pytest.mark.parametrize("kind", MOST)
def test_weights_have_the_levels_of_their_kind(kind: str) -> None:
    levels = [len(np.unique(rounded(kind)[..., i].round(5))) for i in range(4)]

    assert 2 <= min(levels) <= max(levels) <= MOST[kind]


@pytest.mark.parametrize("kind, steps", [("int8", 127), ("int4", 7)])
def test_whole_numbers_are_off_by_half_a_step_at_most(kind: str, steps: int) -> None:
    step = np.abs(KERNEL).max(AXES) / steps

    got = rounded(kind)

    assert (np.abs(got - KERNEL) <= step * 0.5001).all()
    np.testing.assert_allclose(got / step, (got / step).round(), atol=1e-3)


def test_binary_weights_are_signs_of_the_mean_size() -> None:
    np.testing.assert_allclose(rounded("binary"), np.sign(KERNEL) * np.abs(KERNEL).mean(AXES), rtol=1e-5)


def test_ternary_weights_are_worked_by_hand() -> None:
    kernel = np.array([4, -2, 0.1, 0.1, -0.1], np.float32).reshape(1, 1, 5, 1)  # threshold .7 x 1.26

    assert rounded("ternary", kernel).ravel().tolist() == [3, -3, 0, 0, 0]


@pytest.mark.parametrize("kind", MOST)
def test_a_kernel_of_zeros_stays_finite(kind: str) -> None:
    assert not rounded(kind, KERNEL * 0).any()


def test_each_channel_has_a_scale_of_its_own() -> None:
    np.testing.assert_allclose(
        rounded("int4", KERNEL * np.float32([1, 10, 100, 1000])),
        rounded("int4") * [1, 10, 100, 1000],
        rtol=1e-4,
    )


def slope(of: Any, at: Any) -> Any:
    given = tf.constant(at, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = of(given)
    return tape.gradient(value, given).numpy()


@pytest.mark.parametrize("kind", MOST)
def test_the_slope_of_rounded_weights_is_one(kind: str) -> None:
    got = slope(lambda x: qat.through(x, qat.rounded_weights(x, kind, AXES)), KERNEL)

    assert (got == 1).all()


def test_the_slope_is_one_inside_the_range_and_nothing_outside() -> None:
    got = slope(lambda x: qat.fake_quantized(x, -1.0, 3.0), [-2, -0.5, 0, 2.9, 3.5])

    assert got.tolist() == [0, 1, 1, 1, 0]


def test_a_rounded_tensor_is_on_a_grid_with_zero() -> None:
    x = np.linspace(-2, 4, 999, dtype=np.float32)

    got = np.asarray(qat.fake_quantized(x, np.float32(-1), np.float32(3)))

    assert len(np.unique(got)) == 256
    assert (got == 0).any()
    assert (got.min(), got.max()) == (pytest.approx(-1, abs=0.01), pytest.approx(3, abs=0.01))


def test_the_first_batch_sets_the_range_and_the_next_move_it() -> None:
    layer = qat.Rounded(memory=0.9)
    ends = []
    for x in ([-1, 3], [-2, 5], [1, 2]):
        layer(np.float32(x), training=True)
        ends.append((float(layer.low), float(layer.high)))

    # 0 is always inside
    assert ends[0] == (-1, 3)
    assert ends[1] == pytest.approx((-1.1, 3.2))
    assert ends[2] == pytest.approx((-0.99, 3.08))


@pytest.mark.parametrize("frozen, training", [(True, True), (False, False)], ids=["frozen", "used"])
def test_a_range_follows_in_training_only(frozen: bool, training: bool) -> None:
    layer = qat.Rounded()
    layer(np.float32([-1, 3]), training=True)
    layer.trainable = not frozen

    layer(np.float32([-9, 9]), training=training)

    assert (float(layer.low), float(layer.high)) == (-1, 3)


def test_logits_that_mean_nothing_do_not_widen_the_range() -> None:
    layer = qat.Rounded(least=-8.0)

    layer(np.float32([-100, 3]), training=True)

    assert (float(layer.low), float(layer.high)) == (-8, 3)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_baked_weights_are_on_the_grid(kind: str) -> None:
    model = small_nets.rounded_net(kind)

    weights = qat.baked(model, kind)

    for name, axes, steps in (
        ("block_3_expand", AXES, 127 if kind == "int8" else 7),
        ("Conv1", AXES, 127),
        ("scores_0", AXES, 127),
        ("block_3_depthwise", (0, 1), 127),
    ):
        kernel = weights[name][0]
        whole = kernel / (np.abs(kernel).max(axes, keepdims=True) / steps)
        np.testing.assert_allclose(whole, whole.round(), atol=2e-3)
        assert np.abs(kernel - model.get_layer(name).get_weights()[0]).max() > 0


def test_every_convolution_is_baked() -> None:
    weights = qat.baked(small_nets.rounded_net(), "int8")

    assert set(weights) == {
        layer.name for layer in small_nets.float_net().layers if "Conv2D" in type(layer).__name__
    }


def test_the_pixels_of_a_picture_are_on_their_grid() -> None:
    pixels = np.arange(256, dtype=np.float32) / 127.5 - 1

    got = np.asarray(qat.Pixels()(pixels))

    assert len(np.unique(got)) == 256
    np.testing.assert_allclose(got, pixels, atol=0.5 / 127)


def test_grids_are_named_and_have_ends() -> None:
    grids = qat.grids(small_nets.rounded_net())

    assert {"image_grid", "Conv1_grid", "block_2_add_grid", "boxes", "scores"} <= set(grids)
    assert all(low <= 0 < high for low, high in grids.values())


def test_ranges_of_training_go_before_those_of_calibration() -> None:
    ends = qat.ranges(
        {"a_grid": (0, 6), "b": (-1, 1)}, {"t1": "a", "t2": "b", "t3": "c"}, {"t1": (0, 1), "t3": (0, 2)}
    )

    assert ends == {"t1": (0, 6), "t2": (-1, 1), "t3": (0, 2)}


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        qat.build(small_nets.PLAN, "int2")

    assert str(caught.value) == "--quantize: expected one of int8, int4, ternary, binary, got 'int2'"
