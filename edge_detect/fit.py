"""Fit: how a picture is laid into the input of a model, and boxes are brought back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge_detect.boxes import Boxes


@dataclass(frozen=True, slots=True)
class Fit:
    """The rectangle of the model's input that the picture fills.

    Attributes:
        input: (width, height) of the model's input in pixels.
        left: First column of the picture.
        top: First row of the picture.
        inner: (width, height) of the picture inside the input.
    """

    input: tuple[int, int]
    left: int
    top: int
    inner: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the picture fills the input to its edges."""
        return self.inner == self.input

    def to_picture(self, boxes: Boxes, size: tuple[int, int]) -> Boxes:
        """Boxes of the model's input (0..1) in pixels of a picture of `size`; not clipped."""
        gain, shift = _to_picture(self, size)
        return boxes * gain - shift

    def to_input(self, boxes: Boxes, size: tuple[int, int]) -> Boxes:
        """Boxes in pixels of a picture of `size` in 0..1 of the model's input."""
        gain, shift = _to_picture(self, size)
        return (boxes + shift) / gain


@lru_cache(maxsize=64)
def _to_picture(fit: Fit, size: tuple[int, int]) -> tuple[Boxes, Boxes]:
    """Factor and offset of each side of a box; the same for frame after frame."""
    scale = np.array([size[0] / fit.inner[0], size[1] / fit.inner[1]] * 2, np.float32)
    whole = np.array(fit.input * 2, np.float32)
    corner = np.array((fit.left, fit.top) * 2, np.float32)
    return whole * scale, corner * scale


def stretch(size: tuple[int, int], into: tuple[int, int]) -> Fit:
    """The whole input, whatever the shape of the picture."""
    return Fit(into, 0, 0, into)


def letterbox(size: tuple[int, int], into: tuple[int, int]) -> Fit:
    """The largest centred rectangle of the picture's own shape; nothing gets thinner or fatter.

    Args:
        size: (width, height) of the picture.
        into: (width, height) of the model's input.
    """
    scale = min(into[0] / size[0], into[1] / size[1])
    width = min(into[0], max(1, round(size[0] * scale)))
    height = min(into[1], max(1, round(size[1] * scale)))
    return Fit(into, (into[0] - width) // 2, (into[1] - height) // 2, (width, height))


FITS = {"letterbox": letterbox, "stretch": stretch}
