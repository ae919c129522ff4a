"""Durable: files that a power cut leaves whole, the new one or the old one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_detect.errors import SinkError


def write(path: Path, data: bytes) -> None:
    """Replaces a file at once and for good; its permissions are kept.

    On return the data is on the disk. After a power cut in between, the file is the old one.

    Raises:
        SinkError: It cannot be written; the old file is untouched.
    """
    draft = path.with_name(f".{path.name}.part")  # one name: what a killed writer left is overwritten
    with _told(path):
        draft.unlink(missing_ok=True)
        try:
            with open(draft, "xb") as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it.

    Raises:
        SinkError: It cannot be made.
    """
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error


def _sync(folder: Path) -> None:
    """Makes the name of a file as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
