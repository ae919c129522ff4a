"""Sheet: many pictures of a data set on one, with their labels, to be looked over by eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from edge_detect.draw import colour, ink
from edge_detect.errors import ConfigError, DatasetError
from edge_detect.fit import letterbox
from edge_detect.frame import Image
from edge_detect.pixels import decode_picture
from edge_detect.workshop.dataset import Dataset, Label, Picture

CELL = (384, 288)  # of a picture, width and height
CAPTION = 22  # pixels below it
GAP = 6
LARGEST = 30_000  # pixels of a side of the sheet
_GROUND = 32
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTERS = 0.45
_DASH = 7
_Corners = tuple[int, int, int, int]


def sheet(data: Dataset, count: int = 24, columns: int = 6, seed: int = 0) -> Image:
    """Pictures of a set, drawn by lot, with boxes and names; regions to ignore are dashed.

    Args:
        data: The set.
        count: Pictures at most.
        columns: Side by side.
        seed: Of the lot.

    Raises:
        ConfigError: More pictures than fit on a sheet, or none.
        DatasetError: The set has no pictures.
    """
    if not len(data):
        raise DatasetError("expected a data set with pictures, got none")
    if count < 1 or columns < 1:
        raise ConfigError(f"expected --count and --columns of 1 or more, got {count} and {columns}")
    count = min(count, len(data))
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    wide, high = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    if max(columns * wide, rows * high) > LARGEST:
        raise ConfigError(f"a sheet of {columns}x{rows} pictures is too large; give a smaller --count")
    whole = np.full((rows * high + GAP, columns * wide + GAP, 3), _GROUND, np.uint8)
    chosen = np.random.default_rng(seed).permutation(len(data))[:count]
    seen = {label.name for picture in data.pictures for label in picture.labels}
    shown = [name for name in data.classes if name in seen]  # the fewer, the farther apart their colours
    for place, number in enumerate(sorted(chosen.tolist())):
        left, top = GAP + place % columns * wide, GAP + place // columns * high
        whole[top : top + CELL[1] + CAPTION, left : left + CELL[0]] = _cell(data.pictures[number], shown)
    return whole


def _cell(picture: Picture, classes: Sequence[str]) -> Image:
    """A picture with its labels, and its name below."""
    cell = np.full((CELL[1] + CAPTION, CELL[0], 3), _GROUND, np.uint8)
    name = _ascii(picture.path.name)
    while cv2.getTextSize(name, _FONT, _LETTERS, 1)[0][0] > CELL[0] - 8:
        name = name[:-1]
    cv2.putText(cell, name, (4, CELL[1] + 15), _FONT, _LETTERS, (220, 220, 220), 1, cv2.LINE_AA)
    image = _load(picture)
    if image is None:
        text = "cannot be read" if picture.path.exists() else "is missing"
        cv2.putText(cell, text, (12, CELL[1] // 2), _FONT, 0.7, (80, 80, 255), 2, cv2.LINE_AA)
        return cell
    fit = letterbox((image.shape[1], image.shape[0]), CELL)
    left, top = fit.left, fit.top
    inner = cell[top : top + fit.inner[1], left : left + fit.inner[0]]
    inner[:] = cv2.resize(
        image, fit.inner, interpolation=cv2.INTER_AREA if fit.inner[0] < image.shape[1] else 1
    )
    gain = np.array([fit.inner[0] / picture.size[0], fit.inner[1] / picture.size[1]] * 2)
    taken: list[_Corners] = []
    tags = []
    for label in sorted(picture.labels, key=_area, reverse=True):  # the small ones on top
        corners = _corners(label, gain, fit.inner)
        tint = colour(classes.index(label.name))
        _draw_box(inner, corners, tint, dashed=label.ignore)
        tags.append((label.name, corners, tint))
    for text, corners, tint in reversed(tags):
        taken.append(_draw_tag(inner, text, corners, tint, taken))
    return cell


def _load(picture: Picture) -> Image | None:
    try:
        return decode_picture(picture.path.read_bytes())
    except OSError:
        return None


def _area(label: Label) -> float:
    x1, y1, x2, y2 = label.box
    return (x2 - x1) * (y2 - y1)


def _corners(label: Label, gain: np.ndarray, size: tuple[int, int]) -> _Corners:
    """The box in pixels of the cell; a side outside of it is drawn at the border."""
    x1, y1, x2, y2 = (
        (np.nan_to_num(np.array(label.box)) * gain).clip(0, [*size, *size]).round().astype(int).tolist()
    )
    return min(x1, size[0] - 1), min(y1, size[1] - 1), min(x2, size[0] - 1), min(y2, size[1] - 1)


def _draw_box(image: Image, box: _Corners, tint: tuple[int, int, int], *, dashed: bool) -> None:
    if not dashed:
        cv2.rectangle(image, box[:2], box[2:], (0, 0, 0), 4)
        cv2.rectangle(image, box[:2], box[2:], tint, 2)
        return
    x1, y1, x2, y2 = box
    for shade, thick in (((0, 0, 0), 4), (tint, 2)):
        for begin in range(x1, x2, 2 * _DASH):
            for y in (y1, y2):
                cv2.line(image, (begin, y), (min(begin + _DASH, x2), y), shade, thick)
        for begin in range(y1, y2, 2 * _DASH):
            for x in (x1, x2):
                cv2.line(image, (x, begin), (x, min(begin + _DASH, y2)), shade, thick)


def _draw_tag(
    image: Image, text: str, box: _Corners, tint: tuple[int, int, int], taken: list[_Corners]
) -> _Corners:
    """Writes the name where it hides no other, if it can; returns its rectangle."""
    text = _ascii(text)
    (wide, high), base = cv2.getTextSize(text, _FONT, _LETTERS, 1)
    wide, high = wide + 6, high + base + 2
    left = max(0, min(box[0], image.shape[1] - wide))
    tops = [
        top for top in (box[1] - high, box[1], box[3], box[3] - high) if 0 <= top <= image.shape[0] - high
    ]
    places = [(left, top, left + wide, top + high) for top in tops or [0]]
    place = next((p for p in places if not any(_meet(p, other) for other in taken)), places[0])
    cv2.rectangle(image, place[:2], (place[2] - 1, place[3] - 1), tint, cv2.FILLED)
    cv2.putText(image, text, (place[0] + 3, place[3] - base), _FONT, _LETTERS, ink(tint), 1, cv2.LINE_AA)
    return place


def _meet(one: _Corners, other: _Corners) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ascii(text: str) -> str:
    """The text as far as OpenCV's font has letters for it."""
    return text.encode("ascii", "replace").decode()
