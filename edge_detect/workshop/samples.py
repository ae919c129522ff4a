"""Samples: labelled pictures as arrays, changed at random so that a net sees each one anew.

All chance comes from the generator that is handed in, so that a training can be repeated and
resumed picture by picture. Written here on OpenCV, because the library that all the world used
for it (albumentations) is no longer kept under a free licence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_detect import boxes as rectangles
from edge_detect import pixels
from edge_detect.boxes import Boxes
from edge_detect.errors import DatasetError, InputMissing, SourceError
from edge_detect.fit import letterbox
from edge_detect.frame import Image
from edge_detect.workshop.dataset import Picture

GREY = 128  # of the bars beside a picture; 0.0 for the net


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and its labels.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        boxes: (n, 4) float32, x1 y1 x2 y2 in its pixels.
        classes: (n,) int32 numbers.
        ignore: (n,) bool, regions to leave alone.
        known: (number of classes,) float32, 1 for those that were looked for in this picture.
    """

    image: Image
    boxes: Boxes
    classes: npt.NDArray[np.int32]
    ignore: npt.NDArray[np.bool_]
    known: npt.NDArray[np.float32]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.image.shape[1], self.image.shape[0]


def load(picture: Picture, classes: Sequence[str]) -> Sample:
    """The sample of a picture; labels of other classes than `classes` are left out.

    Raises:
        DatasetError: The image file is missing or broken.
    """
    try:
        image = pixels.read_picture(picture.path)
    except (InputMissing, SourceError) as error:
        raise DatasetError(f"{picture.where}: cannot read the picture {picture.path}") from error
    rows = [label for label in picture.labels if label.name in classes]
    corners = np.array([label.box for label in rows], np.float32).reshape(-1, 4)
    size = (image.shape[1], image.shape[0])
    if size != picture.size:  # the labels were written for the picture at another size
        corners *= np.array([size[0] / picture.size[0], size[1] / picture.size[1]] * 2, np.float32)
    return Sample(
        image,
        rectangles.clip(corners, *size),
        np.array([classes.index(label.name) for label in rows], np.int32),
        np.array([label.ignore for label in rows], np.bool_),
        np.array([name in picture.labelled for name in classes], np.float32),
    )


def window(sample: Sample, corners: tuple[float, float, float, float], size: tuple[int, int]) -> Sample:
    """What a rectangle of the picture shows, letterboxed into `size`; grey where it reaches outside.

    A box of which less than a third remains becomes a region to leave alone.

    Args:
        sample: The picture.
        corners: x1 y1 x2 y2 of the rectangle in its pixels.
        size: (width, height) of the result.
    """
    x1, y1, x2, y2 = corners
    fit = letterbox((max(1, round(x2 - x1)), max(1, round(y2 - y1))), size)
    gain_x, gain_y = fit.inner[0] / (x2 - x1), fit.inner[1] / (y2 - y1)
    matrix = np.array([[gain_x, 0, fit.left - x1 * gain_x], [0, gain_y, fit.top - y1 * gain_y]], np.float64)
    # pixel centres, not corners, are what warpAffine maps
    matrix[:, 2] += (matrix[:, :2].sum(1) - 1) / 2
    shrinking = min(gain_x, gain_y) < 0.7
    source = sample.image
    if shrinking:  # bilinear steps over pixels; make the picture small by areas first
        half = max(0.05, min(gain_x, gain_y))
        source = cv2.resize(source, None, fx=half, fy=half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        scale = np.array([source.shape[1] / sample.size[0], source.shape[0] / sample.size[1]])
        matrix[:, 2] -= (matrix[:, :2].sum(1) - 1) / 2
        matrix[:, :2] /= scale
        matrix[:, 2] += (matrix[:, :2].sum(1) - 1) / 2
    image = cv2.warpAffine(
        source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3
    )
    left, top = fit.left, fit.top
    image[:top], image[top + fit.inner[1] :] = GREY, GREY
    image[:, :left], image[:, left + fit.inner[0] :] = GREY, GREY
    moved = sample.boxes * np.array([gain_x, gain_y] * 2, np.float32)
    moved = moved + np.array([left - x1 * gain_x, top - y1 * gain_y] * 2, np.float32)
    low = np.array([left, top] * 2, np.float32)
    high = np.array([left + fit.inner[0], top + fit.inner[1]] * 2, np.float32)
    inside = np.clip(moved, low, high).astype(np.float32)
    share = rectangles.areas(inside) / np.maximum(rectangles.areas(moved), 1e-6)
    there = (inside[:, 2] - inside[:, 0] >= 2) & (inside[:, 3] - inside[:, 1] >= 2)
    return Sample(
        np.asarray(image, np.uint8),
        inside[there],
        sample.classes[there],
        (sample.ignore | (share < 1 / 3))[there],
        sample.known,
    )


def whole(sample: Sample, size: tuple[int, int]) -> Sample:
    """The whole picture, letterboxed into `size` by the same resize as the running loop's."""
    fit = letterbox(sample.size, size)
    canvas = np.full((size[1], size[0], 3), GREY, np.uint8)
    inner = np.empty((fit.inner[1], fit.inner[0], 3), np.uint8)
    pixels.resize(sample.image, fit.inner, inner)
    canvas[fit.top : fit.top + fit.inner[1], fit.left : fit.left + fit.inner[0]] = inner
    scaled = fit.to_input(sample.boxes, sample.size) * np.array(size * 2, np.float32)
    return replace(sample, image=canvas, boxes=scaled.astype(np.float32))


def scale_and_crop(
    sample: Sample, size: tuple[int, int], chance: np.random.Generator, smallest: float = 0.4
) -> Sample:
    """A rectangle of random place, size and shape that shows a box whole, or more than the picture.

    Args:
        sample: The picture.
        size: (width, height) of the result.
        chance: Source of randomness.
        smallest: Least side of the rectangle, in sides of the picture.

    Source: Liu et al., SSD, arXiv:1512.02325, section 2.2 (data augmentation) and 3.6 (zoom out).
    """
    width, height = sample.size
    zoom = chance.uniform(smallest, 1.0) if chance.random() < 0.7 else chance.uniform(1.0, 1.5)
    stretch = np.exp(chance.uniform(-0.25, 0.25))
    wide, high = width * zoom * stretch, height * zoom / stretch
    usable = np.nonzero(~sample.ignore)[0]
    low, high_ = (
        np.array([min(0.0, width - wide), min(0.0, height - high)]),
        np.maximum([width - wide, height - high], 0),
    )
    if len(usable):  # one box, at least, is seen whole
        x1, y1, x2, y2 = map(float, sample.boxes[chance.choice(usable)])
        wide, high = max(wide, (x2 - x1) * 1.02), max(high, (y2 - y1) * 1.02)
        low = np.maximum([min(0.0, width - wide), min(0.0, height - high)], [x2 - wide, y2 - high])
        high_ = np.minimum(np.maximum([width - wide, height - high], 0), [x1, y1])
        high_ = np.maximum(high_, low)
    left, top = chance.uniform(low, high_)
    return window(sample, (left, top, left + wide, top + high), size)


def flip(sample: Sample) -> Sample:
    """Left and right exchanged."""
    flipped = sample.boxes.copy()
    flipped[:, [0, 2]] = sample.size[0] - sample.boxes[:, [2, 0]]
    return replace(sample, image=np.ascontiguousarray(sample.image[:, ::-1]), boxes=flipped)


def relight(sample: Sample, chance: np.random.Generator) -> Sample:
    """Another light, another camera: brightness, contrast, colour, and at times blur, noise or grey."""
    contrast, brightness = chance.uniform(0.7, 1.3), chance.uniform(-30, 30)
    balance = chance.uniform(0.9, 1.1, 3)
    colourful = 0.0 if chance.random() < 0.04 else chance.uniform(0.6, 1.4)
    # all of it is one 3 x 4 matrix: colour' = towards grey (balance * (contrast * colour + brightness))
    grey = colourful * np.eye(3) + (1 - colourful) * np.array([0.114, 0.587, 0.299])
    gains, offset = grey * balance * contrast, grey @ balance * (128 * (1 - contrast) + brightness)
    result = cv2.transform(sample.image, np.column_stack([gains, offset]))
    if chance.random() < 0.15:
        noise = chance.standard_normal(result.shape, np.float32) * np.float32(chance.uniform(2, 10))
        result = np.clip(result + noise, 0, 255).astype(np.uint8)
    if chance.random() < 0.1:
        result = cv2.GaussianBlur(result, (0, 0), chance.uniform(0.4, 1.2))
    return replace(sample, image=np.asarray(result, np.uint8))


def mosaic(parts: Sequence[Sample], size: tuple[int, int], chance: np.random.Generator) -> Sample:
    """Four pictures in one, parted at a random point.

    A class counts as looked for where it was in all four.

    Source: Bochkovskiy et al., YOLOv4, arXiv:2004.10934, section 3.3.
    """
    width, height = size
    x, y = round(width * chance.uniform(0.35, 0.65)), round(height * chance.uniform(0.35, 0.65))
    canvas = np.full((height, width, 3), GREY, np.uint8)
    places = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    laid = []
    for part, (x1, y1, x2, y2) in zip(parts, places, strict=True):
        tile = scale_and_crop(part, (x2 - x1, y2 - y1), chance, 0.6)
        canvas[y1:y2, x1:x2] = tile.image
        laid.append(replace(tile, boxes=tile.boxes + np.array([x1, y1] * 2, np.float32)))
    return Sample(
        canvas,
        np.concatenate([tile.boxes for tile in laid]),
        np.concatenate([tile.classes for tile in laid]),
        np.concatenate([tile.ignore for tile in laid]),
        np.minimum.reduce([tile.known for tile in laid]),
    )


def vary(
    take: Callable[[int], Sample], number: int, total: int, size: tuple[int, int],
    chance: np.random.Generator, mosaics: float = 0.0,
) -> Sample:  # fmt: skip
    """Picture `number` as a net in training sees it.

    Args:
        take: Loads one of the pictures by number.
        number: Which one.
        total: How many there are, for the partners in a mosaic.
        size: (width, height) of the result.
        chance: Source of all randomness.
        mosaics: Share of mosaics, 0..1.
    """
    if chance.random() < mosaics:
        numbers: list[Any] = [number, *chance.integers(total, size=3)]
        sample = mosaic([take(int(i)) for i in numbers], size, chance)
    elif chance.random() < 0.35:
        sample = whole(take(number), size)
    else:
        sample = scale_and_crop(take(number), size, chance)
    if chance.random() < 0.5:
        sample = flip(sample)
    return relight(sample, chance) if chance.random() < 0.8 else sample
