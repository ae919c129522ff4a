"""Auto: the first camera that is there, else the drawn street; a service waits for a camera instead."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_detect import logs
from edge_detect.errors import InputMissing
from edge_detect.frame import Frame
from edge_detect.settings import build
from edge_detect.sources import Source, csi, v4l2
from edge_detect.sources.pattern import Pattern

log = logging.getLogger(__name__)

_WHERE = "source 'auto'"


@dataclass
class Awaited:
    """The first camera that is there when it is opened.

    Attributes:
        query: Settings of the camera.
        patience: Seconds without a frame after which it counts as lost.
        freeze: Seconds of the very same picture after which it counts as lost; 0 for never.
    """

    query: Mapping[str, str]
    patience: float
    freeze: float
    live = True
    reopens = True
    fps = 0.0

    def __iter__(self) -> Iterator[Frame | None]:
        if (camera := _first(self.query, logging.DEBUG)) is None:
            raise InputMissing("no camera found, on ribbon cables or USB; edge-detect doctor tells more")
        yield from camera


def find(query: dict[str, str]) -> Source:
    """CSI camera, else USB camera, else `pattern:`; the query goes to the one that is found.

    What is drawn must not be told as if it were there: a service gets a camera that is missing.
    """
    if found := _first(query, logging.INFO):
        return found
    if "NOTIFY_SOCKET" in os.environ or logs.to_journal():
        limits: dict[str, str] = {name: query[name] for name in ("patience", "freeze") if name in query}
        camera = build(v4l2.V4l2, limits, _WHERE)
        return Awaited(query, camera.patience, camera.freeze)
    log.warning("no camera found, showing the drawn street (pattern:); edge-detect doctor tells more")
    return build(Pattern, query, _WHERE)


def _first(query: Mapping[str, str], level: int) -> Source | None:
    """The first camera that is there; why there is none on the ribbon is logged at `level`."""
    if ribbon := csi.cameras(level):
        log.info("source: CSI camera %s", ribbon[0])
        return build(csi.Csi, query, _WHERE)
    if found := v4l2.devices():
        log.info("source: USB camera %s", found[0])
        return build(v4l2.V4l2, {**query, "address": found[0]}, _WHERE)
    return None
