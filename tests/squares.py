"""Squares: a data set that a net can learn in seconds, red persons and blue cars on grey."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from sets import CLASSES

from edge_detect.workshop import formats
from edge_detect.workshop.dataset import Dataset, Label, Picture

COLOURS = ((0, 0, 255), (255, 0, 0))


def write(folder: Path, count: int, name: str = "set.json", *, labels: bool = True) -> str:
    """The place of a COCO file of `count` pictures of 64x64 with a square each."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    pictures = []
    for i in range(count):
        image = np.full((64, 64, 3), 60, np.uint8)
        side = int(chance.integers(24, 40))
        x, y = map(int, chance.integers(0, 64 - side, 2))
        cv2.rectangle(image, (x, y), (x + side - 1, y + side - 1), COLOURS[i % 2], -1)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        drawn = (Label(CLASSES[i % 2], (x, y, x + side, y + side)),) if labels else ()
        pictures.append(Picture(folder / f"{i}.png", (64, 64), drawn, frozenset(CLASSES)))
    formats.write(Dataset(CLASSES, tuple(pictures)), str(folder / name))
    return str(folder / name)
