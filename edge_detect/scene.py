"""Scene: a frame and everything known about it; what every output receives."""

from __future__ import annotations

from dataclasses import dataclass

from edge_detect.detections import Detections
from edge_detect.events import Event
from edge_detect.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One frame, what was found in it, and what that means.

    Attributes:
        frame: The picture.
        detections: What is in it.
        events: What began, changed or ended with it.
    """

    frame: Frame
    detections: Detections
    events: tuple[Event, ...] = ()
