"""Drawn: scenes of the `pattern:` source as a data set; their truth is known exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_detect.errors import ConfigError, SinkError
from edge_detect.sources.pattern import Pattern
from edge_detect.workshop.dataset import Dataset, Label, Picture
from edge_detect.workshop.formats import files

# what is surely not in a drawn scene, unless it is drawn: the net is to learn that too
CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "cat", "dog", "horse", "sheep", "cow")
SIZES = ((320, 240), (320, 180), (240, 320), (320, 320))


def read(place: Path, images: Path | None = None) -> Dataset:
    """Draws the scenes of `pattern:COUNT` into the folder `images`.

    Raises:
        ConfigError: COUNT is no number from 1 to 100000, or no folder is given.
        SinkError: The folder cannot be written.
    """
    count = str(place).partition(":")[2]
    if not (count.isascii() and count.isdecimal() and len(count) < 7 and 1 <= int(count) <= 100_000):
        raise ConfigError(f"{place}: expected pattern:COUNT, a number of pictures from 1 to 100000")
    if images is None:
        raise ConfigError(f"{place}: expected a folder for the pictures, got none; write {place}=FOLDER")
    try:
        images.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{images}: cannot write the drawn pictures: {error.strerror}") from error
    return Dataset(CLASSES, tuple(_draw(i, images) for i in range(int(count))))


def _draw(number: int, folder: Path) -> Picture:
    """One scene: a street, things and a moment of its own for every number."""
    chance = np.random.default_rng(number)
    size = SIZES[number % len(SIZES)]
    # the street is drawn large, as a camera would give it, and made small
    scale = 640 / max(size)
    wide, high = round(size[0] * scale), round(size[1] * scale)
    pattern = Pattern(wide, high, fps=0, actors=int(chance.integers(1, 10)), seed=number)
    moment = int(chance.integers(0, 5000))
    path = folder / f"drawn_{number:06}.jpg"
    image = cv2.resize(pattern.draw(moment), size, interpolation=cv2.INTER_AREA)
    _save(image, path)
    labels = []
    for truth in pattern.truth(moment):
        x1, y1, x2, y2 = (side / scale for side in truth.box)
        labels.append(Label(truth.label, (x1, y1, x2, y2), where=f"pattern:{number}"))
    return Picture(path, size, tuple(labels), frozenset(CLASSES), where=f"pattern:{number}")


def _save(image: cv2.typing.MatLike, path: Path) -> None:
    """Writes the picture, whole or not at all."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    with files.new_file(path) as draft:
        draft.write_bytes(data)
