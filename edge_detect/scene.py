"""Scene: a frame and everything known about it; what every output receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_detect import detections
from edge_detect.detections import Detections
from edge_detect.events import Event
from edge_detect.frame import Frame
from edge_detect.tracks import Track


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One frame, what was found in it, and what that means.

    Attributes:
        frame: The picture.
        detections: What is in it.
        events: What began, changed or ended with it.
        tracks: The things that are known, those of the detections among them; () without a tracker.
        numbers: Of each detection, the `Track.id` of its thing, 0 for none; () without a tracker.
        looked: Whether the net looked at the frame; where it rested, the detections are those
            that are expected.
    """

    frame: Frame
    detections: Detections
    events: tuple[Event, ...] = ()
    tracks: tuple[Track, ...] = ()
    numbers: tuple[int, ...] = ()
    looked: bool = True


def noted(
    name: str, number: int, time: float, size: tuple[int, int], boxes: Any, scores: Any, classes: Any
) -> Scene:
    """What was noted of a frame, and of what was found in it; of its picture only the size is there."""
    width, height = size
    nothing = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Scene(Frame(nothing, time, number, name), detections.make(boxes, scores, classes))
