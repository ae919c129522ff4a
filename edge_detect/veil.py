"""Veil: what nobody may see is gone from a frame before any output gets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import cast

import cv2
import numpy as np

from edge_detect import config
from edge_detect.boxes import Boxes
from edge_detect.detections import Detections
from edge_detect.errors import ConfigError
from edge_detect.frame import Frame, Image
from edge_detect.labels import Labels
from edge_detect.lazy import suggest
from edge_detect.scene import Scene

FLOOR = 0.15  # least score of what is blurred; a person who was barely found is one
HOLD = 1.0  # seconds that a place stays blurred after the net has missed what was there
MARGIN = 0.1  # of a box, on each side: hair and hands stand out of it
BLOCKS = 6  # across what is blurred: nobody is known by so few
COARSE = 16  # across a whole picture that nobody has looked at


class Veil:
    """Takes from each scene what the settings keep private.

    With `no_pictures` every frame is black, so that no output, whichever it is, has a picture to
    give away. With `blur` the places of some classes are blocks. Both happen here, once, in front
    of all outputs.

    Attributes:
        least: Score from which on the detector has to tell of a thing for us to hide it.
    """

    def __init__(
        self,
        settings: config.Privacy | None = None,
        labels: Labels | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hides what the settings say; nothing without.

        Raises:
            ConfigError: A class that the model does not know.
        """
        settings, names = settings or config.Privacy(), list(labels.names if labels else ())
        for name in settings.blur:
            if name not in names:
                raise ConfigError(f"blur: unknown class '{name}'{suggest(name, names)}")
        self._blind = settings.no_pictures
        self._classes = [number for number, name in enumerate(names) if name in settings.blur]
        self._clock = clock
        self._newest: Boxes = np.zeros((0, 4), np.float32)
        self._before: list[tuple[float, Boxes]] = []  # until when, and where
        self.least = FLOOR if self._classes else 1.0

    def see(self, found: Detections) -> None:
        """Learns all that the net has found, also what a person has chosen not to be told of."""
        if self._classes:
            now = self._clock()
            self._before = [row for row in self._before if row[0] > now]
            self._before.append((now + HOLD, self._newest))
            self._newest = found.boxes[np.isin(found.classes, self._classes)]

    def __call__(self, scene: Scene) -> Scene:
        """The scene as outputs may have it."""
        if self._blind:
            return replace(scene, frame=_black(scene.frame))
        if not self._classes:
            return scene
        now = self._clock()
        known = scene.detections.boxes[np.isin(scene.detections.classes, self._classes)]
        held = [boxes for until, boxes in self._before if until > now]
        boxes = np.concatenate([known, self._newest, *held])
        return replace(scene, frame=_blurred(scene.frame, boxes)) if len(boxes) else scene

    def unseen(self, frame: Frame) -> Frame:
        """A frame that nobody has looked at, so that nobody knows what is in it."""
        if self._blind:
            return _black(frame)
        if not self._classes:
            return frame
        image = frame.image.copy()
        _pixelate(image, COARSE)
        return replace(frame, image=image, small=None)


def _black(frame: Frame) -> Frame:
    return replace(frame, image=_nothing(frame.image.shape), small=None)


@lru_cache(maxsize=2)
def _nothing(shape: tuple[int, int, int]) -> Image:
    image = np.zeros(shape, np.uint8)
    image.flags.writeable = False
    return image


def _blurred(frame: Frame, boxes: Boxes) -> Frame:
    """The frame with blocks in place of what is in the boxes, on a picture of its own."""
    image = frame.image.copy()
    height, width = image.shape[:2]
    margin = (boxes[:, 2:] - boxes[:, :2]) * MARGIN
    corners = np.concatenate([np.floor(boxes[:, :2] - margin), np.ceil(boxes[:, 2:] + margin)], axis=1)
    corners = corners.clip(0, (width, height, width, height)).astype(int)
    for x1, y1, x2, y2 in corners.tolist():
        if x2 > x1 and y2 > y1:
            _pixelate(image[y1:y2, x1:x2], BLOCKS)
    return replace(frame, image=image, small=None)


def _pixelate(part: Image, across: int) -> None:
    """Makes a part of a picture into so many blocks across, in place."""
    height, width = part.shape[:2]
    small = min(across, width), min(max(1, round(across * height / width)), across * 3, height)
    blocks = cast(Image, cv2.resize(part, small, interpolation=cv2.INTER_AREA))
    part[:] = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
