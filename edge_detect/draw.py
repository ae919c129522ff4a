"""Draw: boxes and labels on a copy of the picture, readable on any background."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import cast

import cv2
import imutils
import numpy as np

from edge_detect.frame import Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene

SHOW_WIDTH = 800
_FONT = cv2.FONT_HERSHEY_SIMPLEX
Colour = tuple[int, int, int]


@cache
def colour(class_id: int) -> Colour:
    """A bright colour (BGR) of its own for each class; neighbours differ by the golden angle."""
    hue = int(class_id * 0.618034 * 180) % 180
    pixel = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def annotate(scene: Scene, labels: Labels, width: int = 0) -> Image:
    """The picture of a scene with its boxes.

    Args:
        scene: Its frame stays as it is.
        labels: Names of the classes.
        width: The picture is scaled to this width first, so that lines stay crisp; 0 keeps it.
    """
    image, scale = scene.frame.image, 1.0
    if width and width != image.shape[1]:
        scale = width / image.shape[1]
        inter = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
        image = cast(Image, imutils.resize(image, width=width, inter=inter))
    else:
        image = image.copy()
    found = scene.detections
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True)
    for box, score, class_id in reversed(list(rows)):  # the best on top
        x1, y1, x2, y2 = (round(side * scale) for side in box)
        _draw_box(image, (x1, y1, x2, y2), f"{labels[class_id]} {score:.0%}", colour(class_id))
    return image


def _draw_box(image: Image, box: tuple[int, int, int, int], text: str, tint: Colour) -> None:
    height, width = image.shape[:2]
    line = max(2, round(width / 320))
    size = max(0.45, width / 1280)
    x1, y1, x2, y2 = box
    cv2.rectangle(image, (x1, y1), (x2, y2), (0, 0, 0), line + 2)
    cv2.rectangle(image, (x1, y1), (x2, y2), tint, line)
    text = text.encode("ascii", "replace").decode()  # all that OpenCV's font has
    (wide, high), base = cv2.getTextSize(text, _FONT, size, 1)
    left = max(0, min(x1, width - wide - 6))
    bottom = y1 if y1 >= high + base + 4 else min(height, y1 + high + base + 4)
    cv2.rectangle(image, (left, bottom - high - base - 4), (left + wide + 6, bottom), tint, cv2.FILLED)
    cv2.putText(image, text, (left + 3, bottom - base), _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)


class Annotator:
    """Annotated pictures, each drawn once however many outputs ask for it.

    Attributes:
        seconds: Spent on drawing so far.
    """

    def __init__(self, labels: Labels) -> None:
        self.seconds = 0.0
        self._labels = labels
        self._scene: Scene | None = None
        self._pictures: dict[int, Image] = {}

    def __call__(self, scene: Scene, width: int = 0) -> Image:
        """The annotated picture; it is shared, so it is only to be looked at."""
        if scene is not self._scene:
            self._scene, self._pictures = scene, {}
        if width not in self._pictures:
            start = time.perf_counter()
            self._pictures[width] = annotate(scene, self._labels, width)
            self.seconds += time.perf_counter() - start
        return self._pictures[width]


Annotate = Callable[[Scene, int], Image]
