"""YOLO: one output with a row (or a column) for each place of a grid.

Which member it is, the number of rows tells together with the size of the input: YOLOv5 and v7
have three rows for each cell of the strides 8, 16 and 32, YOLOX, v8 and 11 have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect import detections
from edge_detect.boxes import from_centres
from edge_detect.decoders.signature import Arrays, Signature
from edge_detect.detections import Detections
from edge_detect.tensors import Tensor

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


@dataclass(frozen=True)
class Transposed:
    """YOLOv8 and 11, `[1, 4 + C, n]`: centre x, centre y, width, height, then C scores.

    Attributes:
        outputs: The model's one output.
        units: What one unit of a box is, in 0..1 of the input: x and y.
        turned: Whether the output is `[1, n, 4 + C]`.
    """

    outputs: tuple[Tensor, ...]
    units: tuple[float, float]
    turned: bool
    why: str
    suppressed = False

    @property
    def layout(self) -> str:
        shape = list(self.outputs[0].shape)
        return f"YOLOv8 {shape}, boxes in {_unit_name(self.units)}"

    @property
    def classes(self) -> int:
        return self.outputs[0].shape[-1 if self.turned else -2] - 4

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        tensor, raw = self.outputs[0], outputs[0][0]
        if self.turned:
            raw = raw.T
        rows = (raw[4:].max(0) >= tensor.least(threshold)).nonzero()[0]
        if not len(rows):
            return detections.none()
        picked = tensor.real(raw[:, rows])  # (4 + C, k)
        best = picked[4:].argmax(0)
        scores = picked[4:][best, np.arange(len(rows))]
        return detections.make(_scale(from_centres(picked[:4].T), self.units), scores, best)


@dataclass(frozen=True)
class Rows:
    """YOLOv5, v7 and YOLOX, `[1, n, 5 + C]`: centre, size, objectness, then C scores.

    Attributes:
        outputs: The model's one output.
        units: What one unit of a box is, in 0..1 of the input: x and y.
        grid: (width, height) of the input when boxes are still relative to their cells (a YOLOX
            that was exported without its decoding), else None.
        name: `YOLOv5` or `YOLOX`.
    """

    outputs: tuple[Tensor, ...]
    units: tuple[float, float]
    grid: tuple[int, int] | None
    name: str
    why: str
    suppressed = False

    @property
    def layout(self) -> str:
        return f"{self.name} {list(self.outputs[0].shape)}, boxes in {_unit_name(self.units)}"

    @property
    def classes(self) -> int:
        return max(1, self.outputs[0].shape[-1] - 5)

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        tensor, raw = self.outputs[0], outputs[0][0]
        rows = (raw[:, 4] >= tensor.least(threshold)).nonzero()[0]
        if not len(rows):
            return detections.none()
        picked = tensor.real(raw[rows])  # (k, 5 + C)
        if self.grid:
            picked[:, :4] = from_grid(picked[:, :4], cells(self.grid)[rows])
        if picked.shape[1] == 5:
            best, scores = np.zeros(len(rows), np.int32), picked[:, 4]
        else:
            best = picked[:, 5:].argmax(1)
            scores = picked[:, 4] * picked[:, 5:][np.arange(len(rows)), best]
        keep = scores >= threshold
        boxes = _scale(from_centres(picked[keep, :4]), self.units)
        return detections.make(boxes, scores[keep], best[keep])


@dataclass(frozen=True)
class EndToEnd:
    """YOLOv10 and others that suppress by themselves, `[1, n, 6]`: x1 y1 x2 y2 score class."""

    outputs: tuple[Tensor, ...]
    units: tuple[float, float]
    why: str
    classes: int
    suppressed = True

    @property
    def layout(self) -> str:
        return f"end-to-end {list(self.outputs[0].shape)}, boxes in {_unit_name(self.units)}"

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        raw = outputs[0][0]
        rows = (raw[:, 4] >= self.outputs[0].least(threshold)).nonzero()[0]
        if not len(rows):
            return detections.none()
        picked = self.outputs[0].real(raw[rows])
        return detections.make(_scale(picked[:, :4], self.units), picked[:, 4], np.rint(picked[:, 5]))


def match(signature: Signature) -> tuple[str, dict[str, Any]] | None:
    """Settings for one output of three sides whose length fits the grid of the input."""
    if len(signature.outputs) != 1 or len(signature.outputs[0].shape) != 3:
        return None
    _, a, b = signature.outputs[0].shape
    if b == 6 and a <= 1000 and _is_end_to_end(signature.real(0)[0]):
        return _end_to_end(signature)
    for strides in STRIDES:
        n = cell_count(signature.size, strides)
        if b == n and a >= 5:
            return _transposed(signature, turned=False)
        if a == n and b == signature.classes + 4 and signature.classes > 1:
            return _transposed(signature, turned=True)
        if a in (n, 3 * n) and b >= 5:
            return _rows(signature, per_cell=a // n)
    if b == 6 and a <= 1000:
        return _end_to_end(signature)
    if a > b >= 6:  # a length that no grid explains: the outline alone
        return _rows(signature, per_cell=0)
    if b > a >= 5:
        return _transposed(signature, turned=False)
    return None


def _transposed(signature: Signature, *, turned: bool) -> tuple[str, dict[str, Any]]:
    sample = signature.real(0)[0]
    units, told = _units(signature, sample[:, :4] if turned else sample[:4].T)
    shape = list(signature.outputs[0].shape)
    why = f"output {shape}: 4 + C values for each cell of a {signature.size} input; {told}"
    return "yolov8", {"units": units, "turned": turned, "why": why}


def _rows(signature: Signature, per_cell: int) -> tuple[str, dict[str, Any]]:
    boxes = signature.real(0)[0][:, :4]
    units, told = _units(signature, boxes)
    pixels = units != (1.0, 1.0)
    grid = None
    if per_cell == 1 and _is_relative(boxes, signature.size):
        grid, units, told = signature.size, _pixels(signature.size), "boxes are relative to their cells"
        pixels = True
    name = "YOLOX" if pixels and per_cell != 3 else "YOLOv5"
    shape = list(signature.outputs[0].shape)
    rows = {0: "an unusual number of", 1: "one row for each", 3: "three rows for each"}[per_cell]
    why = f"output {shape}: {rows} cell of a {signature.size} input; {told}"
    return "yolov5", {"units": units, "grid": grid, "name": name, "why": why}


def _end_to_end(signature: Signature) -> tuple[str, dict[str, Any]]:
    units, told = _units(signature, signature.real(0)[0][:, :4])
    why = f"output {list(signature.outputs[0].shape)}: few rows of six values; {told}"
    return "end2end", {"units": units, "classes": signature.classes, "why": why}


def _is_end_to_end(rows: npt.NDArray[np.float32]) -> bool:
    """Whether six columns are corners, score and class, and not centre, size and two scores."""
    whole = np.abs(rows[:, 5] - np.rint(rows[:, 5])) < 1e-3
    return bool(whole.all() and (rows[:, 2:4] >= rows[:, :2]).all())


def _units(signature: Signature, boxes: npt.NDArray[np.float32]) -> tuple[tuple[float, float], str]:
    """Box units by the range of a quantized output, else by the values of the sample run."""
    stored = signature.outputs[0].range
    highest = stored[1] if stored else float(boxes[np.isfinite(boxes)].max(initial=0.0))
    if highest > 3:
        return _pixels(signature.size), f"box values up to {highest:.0f} are pixels"
    return (1.0, 1.0), f"box values up to {highest:.2f} are parts of the input"


def _pixels(size: tuple[int, int]) -> tuple[float, float]:
    return 1 / size[0], 1 / size[1]


def _is_relative(boxes: npt.NDArray[np.float32], size: tuple[int, int]) -> bool:
    """Whether centres stand near 0 all over the picture instead of near their own cells."""
    places = cells(size)
    if len(places) != len(boxes) or not np.isfinite(boxes).all() or np.ptp(boxes) < 1e-3:
        return False
    centres = (places[:, :2] + 0.5) * places[:, 2:]
    off = np.abs(boxes[:, :2] - centres).mean()
    turned = np.abs((boxes[:, :2] + places[:, :2]) * places[:, 2:] - centres).mean()
    sizes_in_logs = boxes[:, 2:].min() < 0  # a decoded size is never negative
    return bool(turned < off and sizes_in_logs)


def cell_count(size: tuple[int, int], strides: tuple[int, ...] = STRIDES[0]) -> int:
    """Cells of all the grids over an input of (width, height)."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def cells(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(n, 3) column, row and stride of every cell, finest grid first, row by row."""
    parts = []
    for stride in STRIDES[0]:
        y, x = np.mgrid[: -(-size[1] // stride), : -(-size[0] // stride)]
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
    return np.concatenate(parts).astype(np.float32)


def from_grid(boxes: npt.NDArray[np.float32], places: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centres and sizes in pixels from values relative to their cells.

    Source: Ge et al., YOLOX, arXiv:2107.08430; the decoding of its reference head.
    """
    stride = places[:, 2:]
    sizes = np.exp(np.minimum(boxes[:, 2:], 12)) * stride
    return np.concatenate([(boxes[:, :2] + places[:, :2]) * stride, sizes], 1).astype(np.float32)


def _scale(boxes: npt.NDArray[np.float32], units: tuple[float, float]) -> npt.NDArray[np.float32]:
    return boxes * np.array([units[0], units[1]] * 2, np.float32)


def _unit_name(units: tuple[float, float]) -> str:
    return "0..1" if units[0] == 1 else "pixels"
