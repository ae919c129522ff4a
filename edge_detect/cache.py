"""Cache: small facts that were expensive to find, kept between starts."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def folder() -> Path:
    """Where facts are kept: systemd's CacheDirectory=, else XDG_CACHE_HOME, else ~/.cache."""
    service = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "edge-detect"


def load(name: str) -> str | None:
    """The text kept under `name`; None when there is none or it cannot be read."""
    try:
        return (folder() / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def store(name: str, text: str) -> None:
    """Keeps `text` under `name`, whole or not at all; a full or read-only disk is not an error."""
    import tempfile  # for the first start only

    place = folder() / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent, prefix=".draft-")
    except OSError as error:
        log.debug("%s: not kept: %s", place, error)
        return
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, place)
    except OSError as error:
        log.debug("%s: not kept: %s", place, error)
        with contextlib.suppress(OSError):
            os.unlink(draft)
