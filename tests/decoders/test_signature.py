from __future__ import annotations

import numpy as np
import pytest

from edge_detect.decoders.signature import Signature, rows_of
from edge_detect.tensors import Tensor


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1917, 4), (1917, 4)),
        ((1917, 4), (1917, 4)),
        ((1, 1917, 1, 4), (1917, 4)),
        ((1, 1, 4), (1, 4)),
        ((4,), None),
        ((1, 19, 19, 12), None),
        ((), None),
    ],
    ids=str,
)
def test_a_list_of_rows_is_known_by_its_one_long_side(
    shape: tuple[int, ...], expected: tuple[int, int] | None
) -> None:
    assert rows_of(shape) == expected


def test_the_bounds_of_a_quantized_output_are_those_of_its_type() -> None:
    tensor = Tensor(0, "scores", (1, 2), "int8", 1 / 256, -128)

    assert Signature((8, 8), (tensor,), [np.zeros((1, 2), np.int8)]).bounds(0) == (0, 255 / 256)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [([[0.25, 3.0]], (0.25, 3)), ([[np.nan, -2.0, np.inf]], (-2, -2)), ([[np.nan]], (0, 0)), ([[]], (0, 0))],
    ids=["finite", "partly", "none finite", "empty"],
)
def test_the_bounds_of_a_float_output_are_those_of_its_sample(
    sample: list[list[float]], expected: tuple[float, float]
) -> None:
    tensor = Tensor(0, "scores", (1, 2), "float32")

    assert Signature((8, 8), (tensor,), [np.array(sample, np.float32)]).bounds(0) == expected


def test_a_sample_is_read_in_real_values() -> None:
    tensor = Tensor(0, "boxes", (1, 2), "uint8", 0.5, 2)

    assert Signature((8, 8), (tensor,), [np.array([[0, 4]], np.uint8)]).real(0).tolist() == [[-1, 1]]
