"""Pixel values: what number stands in the model's input for each of the 256 values of a pixel.

Everything between a pixel and the input tensor (subtract a mean, divide by a deviation, divide
by the scale, add the zero point, round) is one table of 256 rows, whatever the input's type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Normalization:
    """The net was trained on (pixel - mean) / std; one number, or one for R, G and B."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self) -> npt.NDArray[np.float64]:
        """(256, 1 or 3) real values for the pixel values 0 to 255."""
        pixels = np.arange(256.0)[:, None]
        values: npt.NDArray[np.float64] = (pixels - np.array(self.mean)) / np.array(self.std)
        return values


SIGNED = Normalization((127.5,), (127.5,))
UNIT = Normalization((0.0,), (255.0,))
RAW = Normalization((0.0,), (1.0,))
IMAGENET = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's


def from_quantization(tensor: Tensor, usual: Normalization) -> Normalization:
    """The normalization whose values span what a quantized input can hold.

    A converter chooses scale and zero point so that the values it saw in calibration just fit;
    that range therefore tells on what values the net was trained.

    Args:
        tensor: The input, quantized or not.
        usual: What this family of models is trained on; taken for a float input.
    """
    held = tensor.range
    if held is None or tensor.dtype == "int16":  # 16 bits are symmetric: the range tells nothing
        return usual
    if held == (0.0, 0.0) or tensor.scale == 0:
        return RAW

    def distance(candidate: Normalization) -> float:
        values = candidate.apply()
        span = held[1] - held[0]
        return float(abs(values.min() - held[0]) + abs(values.max() - held[1])) / span

    return min((usual, SIGNED, UNIT, RAW, IMAGENET), key=distance)


def table(tensor: Tensor, normalization: Normalization) -> npt.NDArray[Any]:
    """(256, 1 or 3) the stored number for each pixel value, in the type of the input."""
    values = normalization.apply()
    if tensor.dtype == "float32":
        return values.astype(np.float32)
    limits = np.iinfo(tensor.dtype)
    if not tensor.scale:  # no parameters: the numbers are the pixels
        stored = np.arange(256.0)[:, None] + min(limits.min, 0) * (tensor.dtype == "int8")
    else:
        stored = values / tensor.scale + tensor.zero_point
    stored = np.clip(np.rint(stored), limits.min, limits.max)
    if tensor.dtype in ("uint8", "int8") and stored.shape[1] == 1:
        plain = np.arange(256.0)[:, None] + limits.min
        if np.abs(stored - plain).max() <= 1:  # a step apart: exporters mean the pixel itself
            stored = plain
    return stored.astype(tensor.dtype)
