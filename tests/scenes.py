"""Scenes: what sinks receive, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_detect import detections
from edge_detect.frame import Frame, Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene

LABELS = Labels(("person", "traffic light"))
SIZE = (96, 64)


def picture(grey: int = 128, size: tuple[int, int] = SIZE) -> Image:
    """An even picture of (width, height)."""
    return np.full((size[1], size[0], 3), grey, np.uint8)


def scene(
    boxes: Any = (), classes: Any = (), time: float = 0.0, number: int = 0, name: str = "", image: Any = None
) -> Scene:
    """A frame with these boxes, each less sure than the one before."""
    scores = [0.75 / (row + 1) for row in range(len(boxes))]
    frame = Frame(picture() if image is None else image, time, number, name)
    return Scene(frame, detections.make(boxes, scores, classes or [0] * len(boxes)))


def as_it_is(scene: Scene, width: int = 0) -> Image:
    """In place of an annotator: the picture without boxes."""
    return scene.frame.image
