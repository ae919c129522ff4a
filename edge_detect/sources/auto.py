"""Auto: the first camera that is there, else the drawn street."""

from __future__ import annotations

import logging

from edge_detect.settings import build
from edge_detect.sources import Source, csi, v4l2
from edge_detect.sources.pattern import Pattern

log = logging.getLogger(__name__)


def find(query: dict[str, str]) -> Source:
    """CSI camera, else USB camera, else `pattern:`; the query goes to the one that is found."""
    ribbon = csi.cameras()
    if ribbon:
        log.info("source: CSI camera %s", ribbon[0])
        return build(csi.Csi, query, "source 'auto'")
    found = v4l2.devices()
    if found:
        log.info("source: USB camera %s", found[0])
        return build(v4l2.V4l2, {**query, "address": found[0]}, "source 'auto'")
    log.warning("no camera found, showing the drawn street (pattern:); edge-detect doctor tells more")
    return build(Pattern, query, "source 'auto'")
