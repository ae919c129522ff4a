"""Plan: zones and lines drawn on a picture, so that one sees what the settings say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_detect.config import Zone
from edge_detect.draw import Colour, colour, ink
from edge_detect.frame import Image

Points: TypeAlias = npt.NDArray[Any]
"""(n, 2) x and y in pixels."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(image: Image, zones: Iterable[Zone]) -> Image:
    """A copy of the picture with the zones on it; an arrow shows which way across a line is `in`."""
    result = image.copy()
    height, width = image.shape[:2]
    line = max(2, width // 320)
    for number, zone in enumerate(zones):
        tint = colour(number + 1)
        scaled = np.array(zone.points, np.float64) * (width - 1, height - 1)
        points: Points = scaled.round().astype(np.int32)
        if zone.kind == "line":
            cv2.polylines(result, [points], False, (0, 0, 0), line + 2)
            cv2.polylines(result, [points], False, tint, line)
            _draw_arrow(result, scaled, tint, line)
        else:
            _tint(result, points, tint)
            cv2.polylines(result, [points], True, (0, 0, 0), line + 2)
            cv2.polylines(result, [points], True, tint, line)
        _write(result, _words(zone), points, tint)
    return result


def _words(zone: Zone) -> str:
    classes = f" ({', '.join(zone.classes)})" if zone.classes else ""
    return f"{zone.name}{classes}".encode("ascii", "replace").decode()


def _tint(image: Image, points: Points, tint: Colour) -> None:
    """Colours the inside of a polygon so that the picture can still be seen."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points], (255,))
    inside = mask > 0
    image[inside] = (0.7 * image[inside] + 0.3 * np.array(tint)).astype(np.uint8)


def _draw_arrow(image: Image, points: npt.NDArray[np.float64], tint: Colour, line: int) -> None:
    """From the middle of the longest piece of a line to the right hand of who walks along it."""
    pieces = points[1:] - points[:-1]
    lengths = np.hypot(*pieces.T)
    longest = int(lengths.argmax())
    across = np.array([-pieces[longest, 1], pieces[longest, 0]]) / max(lengths[longest], 1e-9)
    start = (points[longest] + points[longest + 1]) / 2
    tip = start + across * image.shape[1] / 14
    a, b = (end.round().astype(int).tolist() for end in (start, tip))
    cv2.arrowedLine(image, a, b, (0, 0, 0), line + 2, tipLength=0.35)
    cv2.arrowedLine(image, a, b, tint, line, tipLength=0.35)
    _write(image, "in", np.array([tip], np.int32), tint)


def _write(image: Image, text: str, points: Points, tint: Colour) -> None:
    """Writes at the topmost of some points, inside the picture."""
    size = max(0.45, image.shape[1] / 1700)
    thick = max(1, round(size * 2))
    (wide, high), base = cv2.getTextSize(text, _FONT, size, thick)
    x, y = (int(side) for side in points[points[:, 1].argmin()])
    x = max(0, min(x, image.shape[1] - wide - 6))
    y = max(high + base + 4, min(y, image.shape[0] - base))
    cv2.rectangle(image, (x, y - high - base - 2), (x + wide + 6, y + base - 2), tint, cv2.FILLED)
    cv2.putText(image, text, (x + 3, y - base), _FONT, size, ink(tint), thick, cv2.LINE_AA)
