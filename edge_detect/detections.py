"""Detections: what was found in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.boxes import Boxes


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes with their scores and classes, row by row.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2; in pixels of the frame, unless said otherwise.
        scores: (n,) float32, 0..1.
        classes: (n,) int32, the model's class numbers, background not counted.
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.classes.shape != (n,):
            raise ValueError(
                "detections: expected (n, 4), (n,), (n,),"
                f" got {self.boxes.shape}, {self.scores.shape}, {self.classes.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def pick(self, rows: npt.NDArray[Any] | list[int]) -> Detections:
        """The rows that a mask or a list of indices names."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows])


def make(boxes: Any, scores: Any, classes: Any) -> Detections:
    """Detections from anything that numpy reads as such, in the right types."""
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32),
        np.asarray(classes, np.int32),
    )


def none() -> Detections:
    """Nothing found."""
    return _NONE


_NONE = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
