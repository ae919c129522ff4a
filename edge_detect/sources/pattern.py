"""Pattern: a drawn street whose people, cars, cats and dogs are known.

A camera for those who have none: demo, self-check and tests. Every frame follows from its
number, the seed and the size alone, and `truth` tells where everything in it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np

from edge_detect import pixels
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range

LABELS = ("person", "car", "cat", "dog")
Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]
_SHIFT = 4  # OpenCV draws with this many bits below a pixel


@dataclass(frozen=True, slots=True)
class Truth:
    """One drawn thing: its label, and its box x1 y1 x2 y2 in pixels of the frame."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Actor:
    """Something that crosses the street scene again and again.

    Attributes:
        label: One of `LABELS`.
        feet: Where it stands, in parts of the picture's height from the top.
        height: In parts of the picture's height.
        speed: Picture widths a second; negative to the left.
        start: Where it is at time 0, in parts of its way.
        tint: Colour of its coat, paint or shirt.
        shade: A second colour.
    """

    label: str
    feet: float
    height: float
    speed: float
    start: float
    tint: Colour
    shade: Colour

    @property
    def shape(self) -> float:
        """Width divided by height."""
        return {"person": 0.42, "car": 2.3, "cat": 1.45, "dog": 1.35}[self.label]


@dataclass
class Pattern:
    """A drawn street.

    Attributes:
        width: Pixels.
        height: Pixels.
        fps: Frames a second; 0 draws as fast as they are taken, and every one counts.
        frames: How many; 0 for ever.
        actors: How many things cross the street.
        seed: Another number, another street.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
    """

    width: int = 640
    height: int = 480
    fps: float = 30.0
    frames: int = 0
    actors: int = 8
    seed: int = 0
    rotation: int = 0
    flip: str = ""
    patience: float = 5.0
    freeze = 0.0
    reopens = False
    _cast: tuple[Actor, ...] = field(init=False, repr=False)
    _street: Image = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pixels.check_turn(self.rotation, self.flip)
        check_range("width", self.width, 32, 8192)
        check_range("height", self.height, 32, 8192)
        check_range("fps", self.fps, 0, 1000)
        check_range("frames", self.frames, 0, 10**9)
        check_range("actors", self.actors, 0, 100)
        check_range("seed", self.seed, 0, 2**32)
        self._cast = _cast(self.seed, self.actors)
        self._street = _street(self.width, self.height, self.seed)

    @property
    def live(self) -> bool:
        """Whether frames come by the clock."""
        return self.fps > 0

    def __iter__(self) -> Iterator[Frame]:
        begun, number = time.monotonic(), 0
        while not self.frames or number < self.frames:
            at = number / (self.fps or 25.0)
            if self.live:
                time.sleep(max(0.0, begun + at - time.monotonic()))
                at = time.monotonic()
            image = pixels.turn(self.draw(number), self.rotation, self.flip)
            yield Frame(image, at, number, "pattern:")
            number += 1

    def draw(self, number: int) -> Image:
        """The picture of a frame, before it is turned."""
        image = self._street.copy()
        seconds = number / (self.fps or 25.0)
        for actor in self._cast:
            left, top, right, bottom = self._place(actor, seconds)
            if right > 0 and left < self.width:
                brush = Brush(image, left, top, right - left, bottom - top, facing_left=actor.speed < 0)
                _DRAW[actor.label](brush, actor, _stride(actor, seconds))
        return image

    def truth(self, number: int) -> list[Truth]:
        """What a frame shows, before it is turned: things of which at least a third is inside."""
        found = []
        seconds = number / (self.fps or 25.0)
        for actor in self._cast:
            left, top, right, bottom = self._place(actor, seconds)
            if actor.label == "person":
                first, last = _reach(_stride(actor, seconds), facing_left=actor.speed < 0)
                left, right = left + first * (right - left), left + last * (right - left)
            inside = min(right, self.width) - max(left, 0)
            if inside >= (right - left) / 3:
                found.append(Truth(actor.label, (max(left, 0), top, min(right, self.width), bottom)))
        return found

    def _place(self, actor: Actor, seconds: float) -> tuple[float, float, float, float]:
        tall = actor.height * self.height
        wide = tall * actor.shape
        way = self.width + 2 * wide
        along = (actor.start + seconds * actor.speed * self.width / way) % 1
        left = along * way - wide
        bottom = actor.feet * self.height
        return left, bottom - tall, left + wide, bottom


def _stride(actor: Actor, seconds: float) -> float:
    """How far the legs are apart, -1 to 1."""
    return math.sin(seconds * 9 * max(0.6, abs(actor.speed) * 8) + actor.start * 9)


def _reach(stride: float, *, facing_left: bool) -> tuple[float, float]:
    """From where to where a walking person is drawn, in parts of the widest step."""
    thick = 0.025 / 0.42  # half a limb: parts of the height are wider than parts of the width
    feet = [0.5 + 0.3 * side for side in (stride, -stride)]
    tips = [0.28, 0.72, *feet, *(foot + 0.14 for foot in feet), 0.58 - 0.38 * stride, 0.6 + 0.34 * stride]
    first, last = max(0.0, min(tips) - thick), min(1.0, max(tips) + thick)
    return (1 - last, 1 - first) if facing_left else (first, last)


def _cast(seed: int, count: int) -> tuple[Actor, ...]:
    """The things of a scene, those at the back first."""
    dice = np.random.default_rng(seed)
    made = []
    for i in range(count):
        label = ("person", "car", "dog", "person", "car", "cat", "person", "dog")[i % 8]
        heights = {"person": (0.3, 0.42), "car": (0.17, 0.24), "cat": (0.13, 0.17), "dog": (0.16, 0.22)}
        feet = {"person": (0.88, 0.97), "car": (0.68, 0.8), "cat": (0.86, 0.97), "dog": (0.86, 0.98)}
        pace = {"person": (0.04, 0.08), "car": (0.12, 0.25), "cat": (0.04, 0.1), "dog": (0.06, 0.12)}
        tints = _TINTS[label]
        first, second = dice.integers(len(tints)), dice.integers(len(_TINTS["person"]))
        speed = dice.uniform(*pace[label]) * dice.choice([-1, 1])
        made.append(
            Actor(
                label,
                dice.uniform(*feet[label]),
                dice.uniform(*heights[label]),
                float(speed),
                float(dice.uniform()),
                tints[first],
                _TINTS["person"][second],
            )
        )
    return tuple(sorted(made, key=lambda actor: actor.feet))


_TINTS: dict[str, tuple[Colour, ...]] = {
    "person": ((60, 60, 200), (180, 90, 40), (70, 140, 60), (40, 40, 40), (60, 180, 220), (150, 60, 140)),
    "car": ((40, 40, 190), (160, 90, 30), (200, 200, 205), (60, 60, 62), (70, 130, 50), (30, 160, 220)),
    "cat": ((70, 130, 200), (110, 110, 115), (45, 45, 48), (190, 205, 215)),
    "dog": ((60, 95, 140), (35, 45, 60), (140, 180, 210), (90, 115, 150)),
}
_SKIN = (150, 185, 225)


class Brush:
    """Draws into a rectangle of the picture in parts of its width and height, smooth at any size."""

    def __init__(
        self, image: Image, left: float, top: float, width: float, height: float, *, facing_left: bool
    ) -> None:
        self._image, self._left, self._top = image, left, top
        self._width, self._height, self._flipped = width, height, facing_left

    def _at(self, x: float, y: float) -> tuple[int, int]:
        x = 1 - x if self._flipped else x
        across, down = self._left + x * self._width, self._top + y * self._height
        return round(across * (1 << _SHIFT)), round(down * (1 << _SHIFT))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        corners = np.array([self._at(x, y) for x, y in points], np.int32)
        cv2.fillPoly(self._image, [corners], colour, cv2.LINE_AA, _SHIFT)

    def oval(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        """A filled ellipse around x, y; the half axes are parts of width and height."""
        axes = (round(wide * self._width * (1 << _SHIFT)), round(high * self._height * (1 << _SHIFT)))
        cv2.ellipse(self._image, self._at(x, y), axes, 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def line(self, points: Sequence[Point], thick: float, colour: Colour) -> None:
        """A line through points; thickness in parts of the height."""
        corners = np.array([self._at(x, y) for x, y in points], np.int32)
        width = max(1, round(thick * self._height))
        cv2.polylines(self._image, [corners], False, colour, width, cv2.LINE_AA, _SHIFT)


def _person(brush: Brush, actor: Actor, stride: float) -> None:
    trousers, shoes = actor.shade, (35, 35, 40)
    for side in (stride, -stride):
        foot = 0.5 + 0.3 * side
        brush.line([(0.5, 0.55), (0.5 + 0.18 * side, 0.76), (foot, 0.95)], 0.065, trousers)
        brush.line([(foot, 0.965), (foot + 0.14, 0.97)], 0.045, shoes)
    brush.line([(0.48, 0.24), (0.5 - 0.26 * stride, 0.4), (0.58 - 0.38 * stride, 0.52)], 0.05, _SKIN)
    brush.polygon([(0.28, 0.2), (0.72, 0.2), (0.68, 0.58), (0.32, 0.58)], actor.tint)
    brush.oval(0.5, 0.22, 0.22, 0.04, actor.tint)
    brush.line([(0.5, 0.24), (0.5 + 0.24 * stride, 0.4), (0.6 + 0.34 * stride, 0.5)], 0.05, actor.tint)
    brush.line([(0.5, 0.14), (0.5, 0.2)], 0.05, _SKIN)
    brush.oval(0.52, 0.085, 0.17, 0.08, _SKIN)
    brush.oval(0.48, 0.055, 0.18, 0.055, (30, 45, 70))


def _car(brush: Brush, actor: Actor, stride: float) -> None:
    paint = actor.tint
    body = [(0.01, 0.55), (0.12, 0.46), (0.27, 0.42), (0.38, 0.06), (0.7, 0.02), (0.86, 0.42),
            (0.98, 0.5), (1.0, 0.8), (0.97, 0.86), (0.02, 0.86), (0.0, 0.72)]  # fmt: skip
    brush.polygon([(1 - x, y) for x, y in body], paint)
    glass = (95, 80, 60)
    brush.polygon([(0.18, 0.42), (0.31, 0.1), (0.46, 0.1), (0.46, 0.42)], glass)
    brush.polygon([(0.5, 0.42), (0.5, 0.1), (0.6, 0.12), (0.69, 0.42)], glass)
    brush.polygon([(0.0, 0.76), (1.0, 0.76), (0.98, 0.86), (0.02, 0.86)], (50, 50, 52))
    brush.oval(0.975, 0.58, 0.02, 0.06, (190, 240, 250))
    brush.oval(0.02, 0.58, 0.015, 0.06, (40, 40, 220))
    for x in (0.2, 0.79):
        brush.oval(x, 0.83, 0.075, 0.17, (28, 28, 30))
        brush.oval(x, 0.83, 0.04, 0.09, (170, 170, 172))


def _cat(brush: Brush, actor: Actor, stride: float) -> None:
    coat, dark = actor.tint, _darker(actor.tint)
    for x, side in ((0.24, stride), (0.34, -stride), (0.6, stride), (0.7, -stride)):
        brush.line([(x, 0.65), (x + 0.07 * side, 0.97)], 0.09, dark if side is stride else coat)
    brush.line([(0.18, 0.55), (0.06, 0.4), (0.03, 0.2), (0.1, 0.05)], 0.08, coat)
    brush.oval(0.46, 0.56, 0.32, 0.19, coat)
    brush.oval(0.83, 0.36, 0.14, 0.2, coat)
    for x in (0.75, 0.89):
        brush.polygon([(x - 0.055, 0.26), (x + 0.01, 0.02), (x + 0.065, 0.26)], coat)
    for x in (0.82, 0.91):
        brush.oval(x, 0.34, 0.018, 0.03, (60, 220, 190))
    brush.oval(0.93, 0.43, 0.02, 0.02, (120, 120, 210))


def _dog(brush: Brush, actor: Actor, stride: float) -> None:
    coat, dark = actor.tint, _darker(actor.tint)
    for x, side in ((0.22, stride), (0.31, -stride), (0.56, -stride), (0.65, stride)):
        brush.line([(x, 0.6), (x + 0.09 * side, 0.97)], 0.1, dark if side is stride else coat)
    brush.line([(0.17, 0.45), (0.05, 0.3), (0.02, 0.14)], 0.07, coat)
    brush.oval(0.43, 0.5, 0.29, 0.18, coat)
    brush.polygon([(0.58, 0.38), (0.7, 0.14), (0.82, 0.26), (0.7, 0.62)], coat)
    brush.oval(0.77, 0.22, 0.12, 0.15, coat)
    brush.polygon([(0.8, 0.14), (0.98, 0.24), (0.98, 0.33), (0.8, 0.36)], coat)
    brush.oval(0.975, 0.26, 0.025, 0.035, (25, 25, 28))
    brush.polygon([(0.66, 0.1), (0.76, 0.09), (0.73, 0.4), (0.65, 0.34)], dark)
    brush.oval(0.83, 0.19, 0.016, 0.022, (20, 20, 20))
    brush.line([(0.69, 0.36), (0.68, 0.5)], 0.05, actor.shade)


_DRAW: dict[str, Callable[[Brush, Actor, float], None]] = {
    "person": _person,
    "car": _car,
    "cat": _cat,
    "dog": _dog,
}


def _darker(colour: Colour) -> Colour:
    return colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3


def _street(width: int, height: int, seed: int) -> Image:
    """Sky, houses, road and pavement; nothing in it moves."""
    dice = np.random.default_rng(seed + 1)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = (1 - ramp) * np.array([235, 190, 140], np.float32) + ramp * np.array([225, 225, 220], np.float32)
    image: Image = np.ascontiguousarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))
    brush = Brush(image, 0, 0, width, height, facing_left=False)
    x = -0.02
    while x < 1:
        wide, top = dice.uniform(0.1, 0.2), dice.uniform(0.12, 0.34)
        wall = tuple(int(v) for v in dice.integers(110, 200, 3))
        colour = (wall[0], wall[1], wall[2])
        brush.polygon([(x, top), (x + wide, top), (x + wide, 0.6), (x, 0.6)], colour)
        _windows(brush, x, top, wide, _darker(colour))
        x += wide + 0.004
    brush.polygon([(0, 0.56), (1, 0.56), (1, 0.62), (0, 0.62)], (150, 155, 160))
    brush.polygon([(0, 0.62), (1, 0.62), (1, 0.84), (0, 0.84)], (85, 85, 88))
    for mark in np.arange(0.02, 1, 0.14):
        brush.polygon(
            [(mark, 0.715), (mark + 0.07, 0.715), (mark + 0.07, 0.725), (mark, 0.725)], (210, 215, 215)
        )
    brush.polygon([(0, 0.84), (1, 0.84), (1, 1), (0, 1)], (165, 168, 172))
    brush.polygon([(0, 0.835), (1, 0.835), (1, 0.85), (0, 0.85)], (120, 122, 125))
    grain = dice.integers(-6, 7, image.shape, np.int16)  # flat colours are unlike any camera
    grainy: Image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return grainy


def _windows(brush: Brush, x: float, top: float, wide: float, colour: Colour) -> None:
    for row in np.arange(top + 0.04, 0.5, 0.09):
        for column in np.arange(x + 0.018, x + wide - 0.03, 0.042):
            brush.polygon(
                [(column, row), (column + 0.024, row), (column + 0.024, row + 0.05), (column, row + 0.05)],
                colour,
            )
