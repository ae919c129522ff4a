"""Targets: what a net should say at each of its anchors for a labelled picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_detect import boxes as rectangles
from edge_detect.anchors import Anchors, grid
from edge_detect.boxes import Boxes
from edge_detect.workshop.samples import Sample

VARIANCES = (0.1, 0.2)
STRIDES = (16, 32, 64, 128, 256)
Shapes = tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """For n anchors and c classes.

    Attributes:
        offsets: (n, 4) float32, ty tx th tw of the box of each anchor; 0 without one.
        scores: (n, c) float32, 0..1: how much of each class is there.
        care: (n, c) float32, 0 where nobody knows: classes that were not looked for, regions to
            leave alone, anchors that fit a box by half.
        positive: (n,) float32, 1 for anchors that have a box.
    """

    offsets: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    care: npt.NDArray[np.float32]
    positive: npt.NDArray[np.float32]


def make_anchors(size: tuple[int, int], shapes: Shapes) -> Anchors:
    """(n, 4) centre y, centre x, height, width of all levels: row by row, shape by shape.

    Args:
        size: (width, height) of the input.
        shapes: (height, width) in 0..1 of the input, for each level.
    """
    levels = zip(STRIDES, shapes, strict=True)
    return np.concatenate([grid(-(-size[1] // s), -(-size[0] // s), level) for s, level in levels])


def fit_anchors(
    sides: npt.NDArray[np.float32], count: int, seed: int = 0, levels: int = len(STRIDES)
) -> Shapes:
    """Anchor shapes that fit the boxes of a data set.

    k-means with 1 - IoU as distance; the shapes, sorted by area, are dealt to the levels, small
    ones to the fine levels.

    Args:
        sides: (n, 2) height, width of the boxes in 0..1 of the input.
        count: Anchors of each cell.
        seed: Of the first centres.
        levels: Feature maps.

    Source: Redmon and Farhadi, YOLO9000, arXiv:1612.08242, section 2 (dimension clusters).
    """
    chance = np.random.default_rng(seed)
    total = count * levels
    if len(np.unique(sides, axis=0)) < total:  # too few boxes to cluster: vary those there are
        sides = np.concatenate([sides * factor for factor in np.geomspace(0.25, 2, 4 * total)])
    # centres spread over the sizes from the start
    order = np.argsort(sides.prod(1))
    centres = sides[order[np.linspace(0, len(sides) - 1, total).astype(int)]].copy()
    centres = centres * chance.uniform(0.9, 1.1, centres.shape).astype(np.float32)
    for _ in range(50):
        shared = np.minimum(sides[:, None], centres[None]).prod(2)
        overlap = shared / (sides.prod(1)[:, None] + centres.prod(1)[None] - shared)
        nearest = overlap.argmax(1)
        moved = np.array(
            [np.median(sides[nearest == i], 0) if (nearest == i).any() else centres[i] for i in range(total)],
            np.float32,
        )
        if np.allclose(moved, centres, atol=1e-4):
            break
        centres = moved
    centres = centres[np.argsort(centres.prod(1))]
    return tuple(
        tuple((round(float(h), 4), round(float(w), 4)) for h, w in centres[i * count : (i + 1) * count])
        for i in range(levels)
    )


def corners(anchors: Anchors) -> Boxes:
    """Anchors as x1 y1 x2 y2."""
    return rectangles.from_centres(anchors[:, [1, 0, 3, 2]])


def encode(boxes: Boxes, anchors: Anchors) -> npt.NDArray[np.float32]:
    """(n, 4) ty tx th tw that a head should give; the inverse of `anchors.decode`.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in 0..1.
        anchors: (n, 4) centre y, centre x, height, width.

    Source: Liu et al., SSD, arXiv:1512.02325, section 2.2.
    """
    sides = np.maximum((boxes[:, 2:] - boxes[:, :2])[:, ::-1], 1e-4)
    centres = (boxes[:, :2] + boxes[:, 2:])[:, ::-1] / 2
    centre = (centres - anchors[:, :2]) / anchors[:, 2:] / VARIANCES[0]
    return np.concatenate([centre, np.log(sides / anchors[:, 2:]) / VARIANCES[1]], 1).astype(np.float32)


def match(sample: Sample, anchors: Anchors, *, least: float = 0.5, doubtful: float = 0.4) -> Targets:
    """What a net with these anchors should say to a sample.

    An anchor takes the box that it overlaps most, if by `least`. A box that few anchors fit so well
    lowers its own demand to the mean plus the deviation of its best candidates, so that small and
    odd boxes teach too. Between `doubtful` and `least` nothing is asked.

    Source: Liu et al., SSD, section 2.2 (matching strategy); Zhang et al., ATSS, arXiv:1912.02424,
    section 3.2 (a demand for each box); the doubtful ones: Ren et al., Faster R-CNN,
    arXiv:1506.01497, section 3.1.2.
    """
    n, c = len(anchors), len(sample.known)
    offsets = np.zeros((n, 4), np.float32)
    scores = np.zeros((n, c), np.float32)
    care = np.broadcast_to(sample.known, (n, c)).copy()
    positive = np.zeros(n, np.float32)
    around = corners(anchors)
    scale = np.array(sample.size * 2, np.float32)
    regions = sample.boxes[sample.ignore] / scale
    if len(regions):
        low = np.maximum(around[:, None, :2], regions[None, :, :2])
        high = np.minimum(around[:, None, 2:], regions[None, :, 2:])
        inside = np.maximum(high - low, 0).prod(2) / rectangles.areas(around)[:, None]  # (n, regions)
        fits = rectangles.iou(around, regions)
        for j, which in enumerate(sample.classes[sample.ignore]):
            care[(inside[:, j] > 0.5) | (fits[:, j] > doubtful), which] = 0
    things = sample.boxes[~sample.ignore] / scale
    if len(things):
        classes = sample.classes[~sample.ignore]
        overlap = rectangles.iou(around, things)  # (n, things)
        wanted = overlap >= _demands(overlap, least)
        best = np.where(wanted, overlap, -1).argmax(1)
        own = wanted.any(1)
        care[(overlap.max(1) >= doubtful) & ~own] = 0
        chosen = best[own]
        offsets[own] = encode(things[chosen], anchors[own])
        scores[own, classes[chosen]] = 1
        care[own] = np.maximum(care[own], scores[own])
        positive[own] = 1
    return Targets(offsets, scores, care, positive)


CANDIDATES = 27  # nine for each of three levels, ATSS's choice


def _demands(overlap: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.float32]:
    """(things,) the overlap from which an anchor is a thing's own; its best anchor always is."""
    count = min(CANDIDATES, len(overlap))
    candidates = np.partition(overlap, len(overlap) - count, axis=0)[-count:]
    usual = candidates.mean(0) + candidates.std(0)
    demands: npt.NDArray[np.float32] = np.minimum(np.minimum(usual, least), candidates.max(0))
    return np.maximum(demands, np.float32(1e-6))
