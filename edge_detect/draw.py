"""Draw: boxes and labels on a copy of the picture, readable on any background."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, cast
from unicodedata import combining, normalize

import cv2
import imutils
import numpy as np

from edge_detect.frame import Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene

SHOW_WIDTH = 800
_FONT = cv2.FONT_HERSHEY_SIMPLEX
LONG = 16  # times as long as wide: scaled, it would be a line, or fill the memory
SMALLEST = 0.3  # of the letters, in OpenCV's measure; what is smaller cannot be read
Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]


@cache
def colour(class_id: int) -> Colour:
    """A bright colour (BGR) of its own for each class; neighbours differ by the golden angle."""
    hue = int(class_id * 0.618034 * 180) % 180
    pixel = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


@cache
def ink(tint: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour.

    Source: relative luminance and contrast ratio of WCAG 2.2.
    """
    blue, green, red = ((channel / 255) ** 2.2 for channel in tint)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179
    return (0, 0, 0) if light else (255, 255, 255)


def annotate(scene: Scene, labels: Labels, width: int = 0) -> Image:
    """The picture of a scene with its boxes.

    Args:
        scene: Its frame stays as it is.
        labels: Names of the classes.
        width: The picture is scaled to this width first, so that lines stay crisp; 0 keeps it, and a
            picture much longer than wide, or wider than long, is kept as well.
    """
    image, scale = scene.frame.image, 1.0
    across, down = scene.frame.size
    if width not in (0, across) and across < LONG * down and down < LONG * across:
        scale = width / across
        inter = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
        image = cast(Image, imutils.resize(image, width=width, inter=inter))
    else:
        image = image.copy()
    found = scene.detections
    tints = [colour(class_id) for class_id in found.classes.tolist()]
    boxes = [_inside(box, image) for box in (found.boxes * scale).tolist()]
    for track in scene.tracks:
        if track.misses:  # not found at the last look, and waited for
            box = _inside([side * scale for side in track.box], image)
            _draw_box(image, box, colour(track.class_id), dashed=True)
    for box, tint in reversed(list(zip(boxes, tints, strict=True))):  # the best on top
        _draw_box(image, box, tint, dashed=not scene.looked)
    numbers = scene.numbers or (0,) * len(found)
    tags: list[_Tag] = []
    rows = zip(boxes, found.scores.tolist(), found.classes.tolist(), numbers, strict=True)
    for box, score, class_id, number in rows:
        text = f"{labels[class_id]} {score:.0%}" + (f" #{number}" if number else "")
        tags.append(_Tag.at(box, text, image, tags))
    for tag, tint in reversed(list(zip(tags, tints, strict=True))):
        tag.draw(image, tint)
    return image


def _inside(box: list[float], image: Image) -> Box:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(side) for side in box)
    return x1, y1, min(x2, width - 1), min(y2, height - 1)


def _draw_box(image: Image, box: Box, tint: Colour, *, dashed: bool = False) -> None:
    line = max(2, round(image.shape[1] / 320))
    if dashed:
        _draw_dashes(image, box, tint, line)
        return
    cv2.rectangle(image, box[:2], box[2:], (0, 0, 0), line + 2)
    cv2.rectangle(image, box[:2], box[2:], tint, line)


def _draw_dashes(image: Image, box: Box, tint: Colour, line: int) -> None:
    """A box that is expected and was not seen."""
    x1, y1, x2, y2 = box
    step = 6 * line
    for x in range(x1, x2, step):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + step // 2, x2), y), tint, line)
    for y in range(y1, y2, step):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + step // 2, y2)), tint, line)


@dataclass(frozen=True, slots=True)
class _Tag:
    """A label and its rectangle in the picture."""

    text: str
    size: float
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def at(cls, box: Box, text: str, image: Image, others: list[_Tag]) -> _Tag:
        """The label of a box: above it, else where it is inside the picture and hides no other."""
        text = plain(text)
        height, width = image.shape[:2]
        size = max(0.45, width / 1700)
        pad = _pad(size)
        size *= min(1.0, (width - 2 * pad) / cv2.getTextSize(text, _FONT, size, _thick(size))[0][0])
        (wide, high), base = cv2.getTextSize(text, _FONT, size, _thick(size))
        wide, high = wide + 2 * pad, high + base + pad
        left = max(0, min(box[0], width - wide))
        inside = box[1] if box[3] - box[1] > 2 * high else box[3]  # not on top of something small
        tops = [t for t in (box[1] - high, inside, box[3], box[3] - high) if 0 <= t <= height - high]
        places = [cls(text, size, left, top, left + wide, top + high) for top in tops or [0]]
        return next((p for p in places if not any(map(p._hides, others))), places[0])

    def _hides(self, other: _Tag) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def draw(self, image: Image, tint: Colour) -> None:
        """Writes it, unless the picture is too small for letters."""
        if self.size < SMALLEST:
            return
        thick, pad = _thick(self.size), _pad(self.size)
        base = cv2.getTextSize(self.text, _FONT, self.size, thick)[1]
        corners = (self.left, self.top), (self.right - 1, self.bottom - 1)
        cv2.rectangle(image, *corners, tint, cv2.FILLED)
        cv2.rectangle(image, *corners, (0, 0, 0), 1)
        start = (self.left + pad, self.bottom - base)
        cv2.putText(image, self.text, start, _FONT, self.size, ink(tint), thick, cv2.LINE_AA)


def _thick(size: float) -> int:
    return max(1, round(size * 2))


def _pad(size: float) -> int:
    return max(3, round(size * 5))


def plain(text: str) -> str:
    """The text without accents, and ? for what OpenCV's font has no letter for."""
    if text.isascii():
        return text
    bare = "".join(sign for sign in normalize("NFKD", text) if not combining(sign))
    return bare.encode("ascii", "replace").decode()


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
