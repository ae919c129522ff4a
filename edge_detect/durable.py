"""Durable: files that a power cut leaves whole, the new one or the old one; locks between processes.

What root writes into the folder of a service belongs to the user of that service.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_detect.errors import EdgeDetectError, SinkError


def write(path: Path, data: bytes) -> None:
    """Replaces a file at once and for good; its permissions are kept.

    On return the data is on the disk. After a power cut in between, the file is the old one.

    Raises:
        SinkError: It cannot be written; the old file is untouched.
    """
    with replaced(path) as file:
        file.write(data)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A new file to write, which takes the place of the old one on leaving, as with `write`.

    Raises:
        SinkError: It cannot be written; the old file is untouched, as it is after any other exception.
    """
    draft = path.with_name(f".{path.name}.part")  # one name: what a killed writer left is overwritten
    with told(path):
        draft.unlink(missing_ok=True)
        try:
            with open(draft, "xb") as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
                _hand_over(file.fileno(), path.parent)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it.

    Raises:
        SinkError: It cannot be made.
    """
    with told(path):
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not path.is_dir():
                raise
            return
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            _hand_over(handle, path.parent)
        finally:
            os.close(handle)
        _sync(path.parent)


def remove_folder(path: Path, first: str = "") -> None:
    """Deletes a folder of files, if it is there; one of them before the others.

    Raises:
        SinkError: Something in it cannot be deleted.
    """
    with told(path), contextlib.suppress(FileNotFoundError):
        if first:
            (path / first).unlink(missing_ok=True)
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds a lock file; the system lets go of it when the process ends, however it does.

    Args:
        path: Made when it is missing; its folder is there.
        wait: Seconds to wait for another process.

    Raises:
        SinkError: Another process holds it, or it cannot be made.
    """
    with told(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with told(path):
            _hand_over(handle, path.parent)
        end = time.monotonic() + wait
        while not _lock(handle):
            if time.monotonic() >= end:
                raise SinkError(f"{path}: another edge-detect holds it; try again when that is done")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _hand_over(handle: int, folder: Path) -> None:
    """Gives an open file that root made to the owner of a folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What cannot be written to `path` meanwhile is a SinkError."""
    try:
        yield
    except EdgeDetectError:
        raise  # came from within
    except OSError as error:
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error


def _sync(folder: Path) -> None:
    """Makes the name of a file as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
