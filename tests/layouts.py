"""Layouts: the outputs of each family of detectors, for boxes that a test has chosen.

Written from the papers and file formats, not from the decoders, so that the two can disagree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_detect import detections
from edge_detect.detections import Detections
from edge_detect.frame import Frame

Array = npt.NDArray[np.float32]

FRAME = Frame(np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8), 0.0, 0)
TRUTH = detections.make([[40, 20, 120, 80], [130, 10, 190, 60]], [0.75, 0.5], [0, 0])
"""Two things in `FRAME`, best first."""


def of_classes(*classes: int) -> Detections:
    """`TRUTH` with other classes."""
    return detections.make(TRUTH.boxes, TRUTH.scores, classes)


def assert_found(
    found: Detections, truth: Detections = TRUTH, pixels: float = 0.05, score: float = 1e-4
) -> None:
    """The same things in the same places, best first."""
    assert found.classes.tolist() == truth.classes.tolist()
    np.testing.assert_allclose(found.scores, truth.scores, atol=score)
    np.testing.assert_allclose(found.boxes, truth.boxes, atol=pixels)


def in_input(boxes: Array, size: tuple[int, int], frame: tuple[int, int] = FRAME.size) -> Array:
    """Boxes of the frame in 0..1 of a letterboxed input of (width, height)."""
    scale = min(size[0] / frame[0], size[1] / frame[1])
    left, top = (size[0] - frame[0] * scale) / 2, (size[1] - frame[1] * scale) / 2
    corners = (boxes * scale + [left, top, left, top]) / [*size, *size]
    return corners.astype(np.float32)


def centred(corners: Array) -> Array:
    """Centre x, centre y, width, height."""
    x1, y1, x2, y2 = corners.T
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)


def postprocess(truth: Detections, size: tuple[int, int], n: int = 10) -> dict[str, Array]:
    """What TFLite_Detection_PostProcess writes: y1 x1 y2 x2 in 0..1, class, score, count."""
    found = len(truth)
    boxes, classes, scores = np.zeros((1, n, 4)), np.zeros((1, n)), np.zeros((1, n))
    boxes[0, :found] = in_input(truth.boxes, size)[:, [1, 0, 3, 2]]
    classes[0, :found], scores[0, :found] = truth.classes, truth.scores
    return {"boxes": boxes, "classes": classes, "scores": scores, "count": np.array([float(found)])}


def ssd(
    truth: Detections,
    size: tuple[int, int],
    anchors: Array,
    columns: int,
    variances: tuple[float, float] = (0.1, 0.2),
    *,
    x_first: bool = False,
    background: bool = True,
) -> tuple[Array, Array]:
    """Offsets (1, n, 4) and probabilities (1, n, columns) of a raw SSD head.

    Source: Liu et al., SSD, arXiv:1512.02325, the equations of g-hat.
    """
    offsets = np.random.default_rng(1).normal(0, 1, (len(anchors), 4)).astype(np.float32)
    scores = np.zeros((len(anchors), columns), np.float32)
    if background:
        scores[:, 0] = 1
    for corners, score, klass in zip(in_input(truth.boxes, size), truth.scores, truth.classes, strict=True):
        x, y, w, h = centred(corners[None])[0]
        near = np.abs(anchors - [y, x, h, w]).sum(1).argmin()
        ay, ax, ah, aw = anchors[near]
        tx, ty = (x - ax) / aw / variances[0], (y - ay) / ah / variances[0]
        tw, th = np.log(w / aw) / variances[1], np.log(h / ah) / variances[1]
        offsets[near] = (tx, ty, tw, th) if x_first else (ty, tx, th, tw)
        scores[near, klass + background] = score
        if background:
            scores[near, 0] = 1 - score
    return offsets[None], scores[None]


def logits(probabilities: Array) -> Array:
    """What a sigmoid turns into these probabilities."""
    p = np.clip(probabilities, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


def grid(size: tuple[int, int]) -> Array:
    """(n, 3) column, row and stride of the cells of strides 8, 16 and 32."""
    return np.array(
        [
            (column, row, stride)
            for stride in (8, 16, 32)
            for row in range(size[1] // stride)
            for column in range(size[0] // stride)
        ],
        np.float32,
    )


def _rows(truth: Detections, size: tuple[int, int]) -> tuple[Array, list[int]]:
    """Boxes in pixels, one for each cell: its own square, and the truth in the cells of its centres."""
    cells = grid(size)
    boxes = np.concatenate([(cells[:, :2] + 0.5) * cells[:, 2:], cells[:, [2, 2]]], 1)
    places = centred(in_input(truth.boxes, size)) * [*size, *size]
    rows = [int(y // 8) * (size[0] // 8) + int(x // 8) for x, y, _, _ in places]
    boxes[rows] = places
    return boxes, rows


def yolov8(truth: Detections, size: tuple[int, int], classes: int, *, pixels: bool = False) -> Array:
    """(1, 4 + C, n): centre, size, scores."""
    boxes, rows = _rows(truth, size)
    scores = np.zeros((len(boxes), classes))
    scores[rows, truth.classes] = truth.scores
    units = 1 if pixels else [*size, *size]
    return np.concatenate([boxes / units, scores], 1).T[None].astype(np.float32)


def yolov5(
    truth: Detections, size: tuple[int, int], classes: int, *, pixels: bool = False, per_cell: int = 3
) -> Array:
    """(1, n, 5 + C): centre, size, objectness, scores; the score is the product of two."""
    boxes, rows = _rows(truth, size)
    values = np.zeros((len(boxes), 5 + classes), np.float32)
    values[:, :4] = boxes / (1 if pixels else [*size, *size])
    values[rows, 4] = np.sqrt(truth.scores)
    values[rows, 5 + truth.classes] = np.sqrt(truth.scores)
    others = values.copy()
    others[:, 4:] = 0
    return np.concatenate([values, *[others] * (per_cell - 1)])[None]


def yolox_grid(truth: Detections, size: tuple[int, int], classes: int) -> Array:
    """(1, n, 5 + C) of a YOLOX without its decoding: centres from the cell, sizes in logarithms."""
    values = yolov5(truth, size, classes, pixels=True, per_cell=1)
    cells = grid(size)
    values[0, :, :2] = values[0, :, :2] / cells[:, 2:] - cells[:, :2]
    values[0, :, 2:4] = np.log(values[0, :, 2:4] / cells[:, 2:])
    rows = np.flatnonzero(values[0, :, 4] == 0)
    values[0, rows, :4] += np.random.default_rng(2).normal(0, 0.3, (len(rows), 4))
    return values


def end_to_end(truth: Detections, size: tuple[int, int], n: int = 300, *, pixels: bool = False) -> Array:
    """(1, n, 6): x1 y1 x2 y2 score class."""
    values = np.zeros((n, 6), np.float32)
    values[: len(truth), :4] = in_input(truth.boxes, size) * ([*size, *size] if pixels else 1)
    values[: len(truth), 4], values[: len(truth), 5] = truth.scores, truth.classes
    return values[None]
