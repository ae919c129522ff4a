"""Orders: what other clients of a broker may change, and in which words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge_detect.controls import Controls
from edge_detect.errors import ConfigError

log = logging.getLogger(__name__)

LONGEST = 32  # bytes
_SWITCH = {"ON": True, "OFF": False}
_READERS: dict[str, Callable[[str], Any]] = {"confidence": float, "paused": _SWITCH.__getitem__}
NAMES = tuple(_READERS)
"""Controls that can be changed."""


def obey(controls: Controls, name: str, payload: bytes, *, is_kept: bool) -> None:
    """Changes a control; what is no order is written into the log, and that is all.

    Args:
        controls: To change.
        name: One of `NAMES`.
        payload: `0.5`, `ON` or `OFF`; from anybody.
        is_kept: Whether the broker had kept it: it would come again with each connection.
    """
    if is_kept:
        log.warning("mqtt: %s/set: not taken, since it was sent as retained", name)
        return
    try:
        if len(payload) > LONGEST:
            raise ValueError("too long")
        value = _READERS[name](payload.decode())
        controls.change(**{name: value})
    except (ValueError, KeyError, ConfigError):
        log.warning("mqtt: %s/set: not taken: %r", name, payload[:LONGEST])
    else:
        log.info("mqtt: %s = %s", name, value)
