from __future__ import annotations

import numpy as np
import pytest

from edge_detect import pixel_values
from edge_detect.pixel_values import IMAGENET, RAW, SIGNED, UNIT, Normalization
from edge_detect.tensors import Tensor

PIXELS = np.arange(256)


def tensor(dtype: str, scale: float = 0.0, zero_point: int = 0) -> Tensor:
    return Tensor(0, "picture", (1, 8, 8, 3), dtype, scale, zero_point)


@pytest.mark.parametrize(
    ("normalization", "low", "high"),
    [(SIGNED, -1, 1), (UNIT, 0, 1), (RAW, 0, 255)],
    ids=["-1..1", "0..1", "0..255"],
)
def test_a_normalization_spans_its_range(normalization: Normalization, low: float, high: float) -> None:
    values = normalization.apply()

    np.testing.assert_allclose(values[[0, 255], 0], [low, high])
    np.testing.assert_allclose(values[:, 0], np.linspace(low, high, 256), atol=1e-9)


def test_imagenet_is_that_of_torchvision() -> None:
    np.testing.assert_allclose(np.array(IMAGENET.mean) / 255, [0.485, 0.456, 0.406])
    np.testing.assert_allclose(np.array(IMAGENET.std) / 255, [0.229, 0.224, 0.225])


# scale and zero point of real files
@pytest.mark.parametrize(
    "usual", [SIGNED, UNIT, RAW], ids=["usually -1..1", "usually 0..1", "usually 0..255"]
)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (tensor("uint8", 1 / 128, 128), SIGNED),
        (tensor("uint8", 1 / 127.5, 127), SIGNED),
        (tensor("uint8", 1 / 127.5, 128), SIGNED),
        (tensor("int8", 1 / 127.5, -1), SIGNED),
        (tensor("uint8", 1 / 255, 0), UNIT),
        (tensor("int8", 1 / 255, -128), UNIT),
        (tensor("int8", 0.003921568859368563, -128), UNIT),
        (tensor("uint8", 1.0, 0), RAW),
        (tensor("int8", 1.0, -128), RAW),
        (tensor("int8", 0.018658, -14), IMAGENET),
    ],
    ids=lambda value: (
        f"{value.dtype} {value.scale:.4f} {value.zero_point}" if isinstance(value, Tensor) else ""
    ),
)
def test_the_range_of_an_input_tells_what_the_net_was_trained_on(
    given: Tensor, expected: Normalization, usual: Normalization
) -> None:
    assert pixel_values.from_quantization(given, usual) == expected


@pytest.mark.parametrize(
    "given",
    [tensor("float32"), tensor("int16", 1 / 32768), tensor("uint8")],
    ids=["float32", "int16", "no scale"],
)
@pytest.mark.parametrize("usual", [SIGNED, UNIT, RAW], ids=["-1..1", "0..1", "0..255"])
def test_an_input_that_tells_nothing_gets_what_is_usual(given: Tensor, usual: Normalization) -> None:
    assert pixel_values.from_quantization(given, usual) == usual


@pytest.mark.parametrize(
    ("given", "normalization", "expected"),
    [
        pytest.param(tensor("uint8", 1 / 255), UNIT, PIXELS, id="uint8 0..1"),
        pytest.param(tensor("uint8", 1 / 128, 128), SIGNED, PIXELS, id="uint8 -1..1 in 128ths"),
        pytest.param(tensor("uint8", 1 / 127.5, 127), SIGNED, PIXELS, id="uint8 -1..1 from 127"),
        pytest.param(tensor("int8", 1 / 255, -128), UNIT, PIXELS - 128, id="int8 0..1"),
        pytest.param(tensor("int8", 1 / 127.5, -1), SIGNED, PIXELS - 128, id="int8 -1..1"),
        pytest.param(tensor("uint8", 1.0, 0), RAW, PIXELS, id="uint8 0..255"),
        pytest.param(tensor("uint8"), SIGNED, PIXELS, id="uint8 without scale"),
        pytest.param(tensor("int8"), SIGNED, PIXELS - 128, id="int8 without scale"),
    ],
)
def test_pixels_stay_as_they_are_where_the_input_means_pixels(
    given: Tensor, normalization: Normalization, expected: np.ndarray
) -> None:
    made = pixel_values.table(given, normalization)

    assert (made[:, 0].tolist(), made.dtype) == (expected.tolist(), given.dtype)


@pytest.mark.parametrize(
    ("given", "normalization"),
    [
        pytest.param(tensor("int8", 0.018658, -14), IMAGENET, id="int8 ImageNet"),
        pytest.param(tensor("uint8", 0.018658, 114), IMAGENET, id="uint8 ImageNet"),
        pytest.param(tensor("int8", 1 / 255, -128), SIGNED, id="int8 too narrow"),
        pytest.param(tensor("uint8", 1 / 50, 100), UNIT, id="uint8 coarse"),
        pytest.param(tensor("uint8", 1 / 126, 127), SIGNED, id="uint8 two steps from the pixel"),
        pytest.param(tensor("int16", 1 / 32768), UNIT, id="int16 0..1"),
        pytest.param(tensor("int16", 2 / 32768), SIGNED, id="int16 -1..1"),
    ],
)
def test_numbers_are_rounded_and_clipped(given: Tensor, normalization: Normalization) -> None:
    real = (PIXELS[:, None] - np.array(normalization.mean)) / np.array(normalization.std)
    limits = np.iinfo(given.dtype)

    made = pixel_values.table(given, normalization)

    off = (made.astype(float) - given.zero_point) * given.scale - real
    inside = (made > limits.min) & (made < limits.max)
    assert np.abs(off[inside]).max() <= given.scale * 0.5 + 1e-9
    beyond = real / given.scale + given.zero_point
    assert (made[beyond > limits.max] == limits.max).all()
    assert (made[beyond < limits.min] == limits.min).all()


def test_a_float_input_gets_real_values() -> None:
    made = pixel_values.table(tensor("float32"), SIGNED)

    assert made.dtype == np.float32
    np.testing.assert_allclose(made[[0, 255], 0], [-1, 1], atol=1e-7)
    np.testing.assert_allclose(np.diff(made[:, 0]), 2 / 255, atol=1e-6)


def test_a_normalization_of_each_channel_has_a_column_for_each() -> None:
    made = pixel_values.table(tensor("float32"), Normalization((0, 1, 2), (1, 2, 4)))

    assert made[10].tolist() == [10, 4.5, 2]
