"""Tensors: the ends of a model, and the numbers that stand in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model.

    Attributes:
        index: Its number in the runtime.
        name: Its name in the file.
        shape: As it is after a run.
        dtype: numpy's word for the type.
        scale: Real value of one step; 0 when the numbers are real already.
        zero_point: The number that stands for 0.0.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    @property
    def range(self) -> tuple[float, float] | None:
        """The smallest and largest real value that fits; None for a float tensor."""
        if not self.scale or not np.issubdtype(self.dtype, np.integer):
            return None
        limits = np.iinfo(self.dtype)
        low, high = int(limits.min), int(limits.max)
        return (low - self.zero_point) * self.scale, (high - self.zero_point) * self.scale

    def real(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The real values of stored numbers."""
        values = numbers.astype(np.float32)
        return (values - np.float32(self.zero_point)) * np.float32(self.scale) if self.scale else values

    def least(self, value: float) -> float:
        """The smallest stored number whose real value is at least `value`.

        With it a threshold is applied to the integers, before anything is made real.
        """
        if not self.scale:
            return float(np.float32(value))  # as the numbers that it is compared with
        # a hair is taken off so that a value which lies on the step is not lost to rounding
        return ceil(value / self.scale + self.zero_point - 1e-4)


def to_json(tensor: Tensor) -> dict[str, Any]:
    """The tensor as JSON holds it."""
    return asdict(tensor)


def from_json(data: dict[str, Any]) -> Tensor:
    """The tensor that `to_json` wrote."""
    return Tensor(**{**data, "shape": tuple(data["shape"])})
