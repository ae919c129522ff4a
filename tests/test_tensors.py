from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import tensors
from edge_detect.tensors import Tensor


def tensor(dtype: str, scale: float = 0.0, zero_point: int = 0) -> Tensor:
    return Tensor(0, "t", (1, 2), dtype, scale, zero_point)


@pytest.mark.parametrize(
    ("given_tensor", "expected"),
    [
        (tensor("uint8", 1 / 256), (0, 255 / 256)),
        (tensor("int8", 0.5, -128), (0, 127.5)),
        (tensor("int8", 2.0, -14), (-228, 282)),
        (tensor("int16", 1 / 32768), (-1, 32767 / 32768)),
        (tensor("uint8"), None),
        (tensor("float32"), None),
        (tensor("float32", 0.5), None),
    ],
    ids=str,
)
def test_range_is_what_the_type_can_hold(given_tensor: Tensor, expected: tuple[float, float] | None) -> None:
    assert given_tensor.range == expected


def test_real_values_are_counted_from_the_zero_point() -> None:
    stored = np.array([0, 3, 255], np.uint8)

    assert tensor("uint8", 0.5, 3).real(stored).tolist() == [-1.5, 0, 126]


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_real_values_without_a_scale_are_the_numbers_themselves(dtype: str) -> None:
    found = tensor(dtype).real(np.array([1, 2], dtype))

    assert (found.tolist(), found.dtype) == ([1, 2], np.float32)


def test_real_values_are_a_copy() -> None:
    stored = np.ones(3, np.float32)

    tensor("float32").real(stored)[:] = 7

    assert stored.tolist() == [1, 1, 1]


@given(
    st.sampled_from(["uint8", "int8"]),
    st.floats(1e-4, 10),
    st.integers(-128, 255),
    st.floats(-3, 3, allow_nan=False),
)
def test_the_least_number_parts_the_numbers_as_the_threshold_parts_their_values(
    dtype: str, scale: float, zero_point: int, threshold: float
) -> None:
    given_tensor = tensor(dtype, scale, zero_point)
    stored = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    exact = (stored.astype(float) - zero_point) * scale

    kept = stored >= given_tensor.least(threshold)

    # on the step itself rounding may go either way, by a hair of a step
    sure = np.abs(exact - threshold) > 2e-4 * scale
    assert (kept == (exact >= threshold))[sure].all()


@pytest.mark.parametrize("step", [1, 64, 128, 200])
def test_a_value_just_on_the_threshold_is_kept(step: int) -> None:
    given_tensor = tensor("int8", 1 / 256, -128)

    assert given_tensor.least(step / 256) == step - 128


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_the_least_number_of_a_float_tensor_is_the_threshold(threshold: float) -> None:
    assert tensor("float32").least(threshold) == float(np.float32(threshold))


def test_a_tensor_comes_back_from_json() -> None:
    given_tensor = Tensor(7, "boxes:0", (1, 10, 4), "uint8", 0.02436, 179)

    assert tensors.from_json(json.loads(json.dumps(tensors.to_json(given_tensor)))) == given_tensor
