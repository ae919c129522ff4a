"""Anchors: the boxes from which an SSD head measures, made again from the input's size.

A raw SSD head is useless without its anchors, and many files do not carry them. Each recipe
below makes those of one well-known family; the number of boxes of the head tells which it was.
All are (n, 4) float32, centre y, centre x, height, width in 0..1 of the model's input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Anchors: TypeAlias = npt.NDArray[np.float32]
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one family lays its anchors and writes its offsets.

    Attributes:
        name: For people.
        make: Anchors for an input of (width, height).
        variances: Factors of the centre and the size offsets.
        x_first: Whether offsets are written tx ty tw th (PyTorch) or ty tx th tw (TensorFlow).
    """

    name: str
    make: Callable[[Size], Anchors]
    variances: tuple[float, float]
    x_first: bool = False


def grid(rows: int, columns: int, sizes: Iterable[tuple[float, float]]) -> Anchors:
    """One anchor of each (height, width) in the middle of each cell, row by row."""
    shapes = np.array(list(sizes), np.float32)  # (k, 2)
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    centres = np.repeat(np.stack([y, x], -1).reshape(-1, 1, 2), len(shapes), 1)
    tiled = np.broadcast_to(shapes, centres.shape)
    return np.concatenate([centres, tiled], 2).reshape(-1, 4).astype(np.float32)


def ssd(size: Size, lowest: float = 0.2, highest: float = 0.95, layers: int = 6) -> Anchors:
    """The anchors of SSD MobileNet v1 and v2: 1917 at 300x300, 2034 at 320x320.

    Source: Liu et al., SSD, arXiv:1512.02325, section 2.2, with three boxes in the lowest layer
    and an additional box of the geometric mean of two scales, as in the TensorFlow Object
    Detection API, `ssd_anchor_generator`.
    """
    scales = [lowest + (highest - lowest) * i / (layers - 1) for i in range(layers)] + [1.0]
    # anchors are squares of the shorter side, as that API makes them
    wide, high = min(size) / size[0], min(size) / size[1]
    parts = []
    for i in range(layers):
        stride = 16 * 2**i
        if i == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            shapes = [(scales[i], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
            shapes.append((sqrt(scales[i] * scales[i + 1]), 1.0))
        parts.append(
            grid(
                ceil(size[1] / stride),
                ceil(size[0] / stride),
                [(s / sqrt(r) * high, s * sqrt(r) * wide) for s, r in shapes],
            )
        )
    return np.concatenate(parts)


def pyramid(size: Size, scale: float, shapes: Iterable[tuple[float, float]]) -> Anchors:
    """The anchors of feature-pyramid detectors on levels 3 to 7 (strides 8 to 128).

    Args:
        size: (width, height) of the input.
        scale: Anchor size in strides.
        shapes: (octave 1..2, aspect ratio) of each anchor of a cell.

    Source: Lin et al., RetinaNet, arXiv:1708.02002, section 4. Where a stride does not divide
    the input, the grid begins at 0 and not in the middle of a cell, as in the TensorFlow Object
    Detection API, `multiscale_grid_anchor_generator`.
    """
    shapes = list(shapes)
    parts = []
    for stride in (8, 16, 32, 64, 128):
        rows, columns = ceil(size[1] / stride), ceil(size[0] / stride)
        cells = grid(
            rows,
            columns,
            [
                (
                    scale * stride * octave / sqrt(ratio) / size[1],
                    scale * stride * octave * sqrt(ratio) / size[0],
                )
                for octave, ratio in shapes
            ],
        )
        for axis, (cell_count, pixels) in enumerate(((rows, size[1]), (columns, size[0]))):
            if pixels % stride:
                index = cells[:, axis] * cell_count - 0.5
                cells[:, axis] = index * stride / pixels
        parts.append(cells)
    return np.concatenate(parts)


def fpnlite(size: Size) -> Anchors:
    """The anchors of SSD MobileNet FPNLite: 12804 at 320x320; ratio by ratio, two octaves each."""
    return pyramid(size, 4.0, [(2 ** (i / 2), r) for r in (1.0, 2.0, 0.5) for i in range(2)])


def model_maker(size: Size) -> Anchors:
    """The anchors of MediaPipe Model Maker: 12276 at 256x256; octave by octave, three ratios each.

    Source: TensorFlow Model Garden, `vision/ops/anchor.py`, with anchor size 3.
    """
    return pyramid(size, 3.0, [(2 ** (i / 3), r) for i in range(3) for r in (0.5, 1.0, 2.0)])


def faces(size: Size) -> Anchors:
    """The anchors of the Ultra-Light-Fast-Generic face detector: 4420 at 320x240.

    Source: Linzaer, Ultra-Light-Fast-Generic-Face-Detector-1MB, `fd_config.py` and
    `generate_priors`: square boxes of fixed pixel sizes on strides 8, 16, 32 and 64.
    """
    sides = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
    return np.concatenate(
        [
            np.clip(
                grid(
                    ceil(size[1] / stride),
                    ceil(size[0] / stride),
                    [(side / size[1], side / size[0]) for side in squares],
                ),
                0,
                1,
            )
            for stride, squares in sides
        ]
    )


RECIPES = (
    Recipe("SSD MobileNet", ssd, (0.1, 0.2)),
    Recipe("Ultra-Light face", faces, (0.1, 0.2), x_first=True),
    Recipe("SSD FPNLite", fpnlite, (0.1, 0.2)),
    Recipe("MediaPipe Model Maker", model_maker, (1.0, 1.0)),
)


def find(size: Size, count: int) -> Recipe | None:
    """The recipe that makes `count` anchors for an input of `size`, if there is one."""
    return next((recipe for recipe in RECIPES if len(recipe.make(size)) == count), None)


def decode(
    offsets: npt.NDArray[np.float32],
    anchors: Anchors,
    variances: tuple[float, float],
    *,
    x_first: bool = False,
) -> npt.NDArray[np.float32]:
    """Boxes from the offsets that an SSD head predicts.

    Args:
        offsets: (n, 4) float32, ty tx th tw; with `x_first` tx ty tw th.
        anchors: (n, 4) float32, centre y, centre x, height, width.
        variances: Factors of the centre and the size offsets.
        x_first: Whether offsets are written in PyTorch's order.

    Returns:
        (n, 4) float32, x1 y1 x2 y2 in 0..1 of the input; not clipped.

    Source: Liu et al., SSD, arXiv:1512.02325, section 2.2 (inverse of g-hat).
    """
    if x_first:
        offsets = offsets[:, [1, 0, 3, 2]]
    centres = offsets[:, :2] * variances[0] * anchors[:, 2:] + anchors[:, :2]
    # a wild offset must not overflow: e^10 anchors are wider than any picture
    half = np.exp(np.minimum(offsets[:, 2:] * variances[1], 10)) * anchors[:, 2:] / 2
    boxes = np.empty((len(anchors), 4), np.float32)
    boxes[:, 1::-1] = centres - half  # y and x become x and y
    boxes[:, :1:-1] = centres + half
    return boxes
