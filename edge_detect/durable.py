"""Durable: files that a power cut leaves whole, the new one or the old one, and where they are kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def folder() -> Path:
    """Where state is kept: systemd's StateDirectory=, else in XDG_STATE_HOME, else in ~/.local/state."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home, "edge-detect")


def write(path: Path, data: bytes) -> None:
    """Replaces a file at once and for good; its folder is made, its permissions are kept.

    On return the data is on the disk. After a power cut in between, the file is the old one.

    Raises:
        OSError: It cannot be written; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, _mode(path))
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int:
    """The permissions of the file, or those that a new one gets."""
    try:
        return path.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(path: Path) -> None:
    """Makes the name of a file as durable as its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
