"""Sets: small data sets with real pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st

from edge_detect.workshop.dataset import Dataset, Label, Picture

CLASSES = ("person", "car")


def draw(path: Path, size: tuple[int, int] = (64, 48), seed: int = 0) -> Path:
    """A picture file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


def one(folder: Path, *labels: Label, name: str = "a.png", **more: object) -> Dataset:
    """A set of one picture of 64x48."""
    path = draw(folder / name)
    picture = Picture(path, (64, 48), labels, frozenset(CLASSES), where="set:1")
    for field, value in more.items():
        object.__setattr__(picture, field, value)
    return Dataset(CLASSES, (picture,))


def bare(data: Dataset, digits: int = 1) -> list[tuple[object, ...]]:
    """What every form keeps of a set: sizes, names, boxes, ignore regions; sorted."""
    return sorted(
        (
            p.size,
            sorted((la.name, tuple(round(s, digits) + 0.0 for s in la.box), la.ignore) for la in p.labels),
        )
        for p in data.pictures
    )


@st.composite
def labels(draw_: st.DrawFn, names: tuple[str, ...] = CLASSES) -> Label:
    """A label in a picture of 64x48."""
    x = draw_(st.integers(0, 60))
    y = draw_(st.integers(0, 44))
    box = (x, y, x + draw_(st.integers(1, 64 - x)), y + draw_(st.integers(1, 48 - y)))
    return Label(draw_(st.sampled_from(names)), tuple(map(float, box)), draw_(st.booleans()))  # type: ignore[arg-type]
