"""Scene: a frame and everything known about it; what every output receives."""

from __future__ import annotations

from dataclasses import dataclass

from edge_detect.detections import Detections
from edge_detect.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One frame and what was found in it."""

    frame: Frame
    detections: Detections
