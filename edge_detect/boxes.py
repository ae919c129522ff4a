"""Boxes: arrays of rectangles, (n, 4) float32, x1 y1 x2 y2."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Boxes: TypeAlias = npt.NDArray[np.float32]


def from_centres(centres: npt.NDArray[Any]) -> Boxes:
    """x1 y1 x2 y2 from (n, 4) centre x, centre y, width, height."""
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], 1).astype(np.float32)


def swap_axes(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """y1 x1 y2 x2 as x1 y1 x2 y2, and the other way round."""
    return boxes[:, [1, 0, 3, 2]]


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """The part of each box that lies inside 0, 0, `width`, `height`."""
    limits = np.array([width, height, width, height], np.float32)
    return np.minimum(np.maximum(boxes, 0), limits)


def areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    """(n,) areas; 0 where a box is turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    result: npt.NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return result


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """(n, m) intersection over union: 1 where two boxes are the same, 0 where they are apart."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(sides, 0)  # (n, m, 2)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(a)[:, None] + areas(b)[None, :] - shared
    ratio: npt.NDArray[np.float32] = np.zeros_like(shared)
    np.divide(shared, union, out=ratio, where=union > 0)
    return ratio
