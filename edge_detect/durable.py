"""Durable: files that are whole whenever the power fails, and locks between processes.

What root writes into the folder of a service belongs to the user of that service, and root follows
no link that this user may have laid there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_detect.errors import SinkError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: Path, data: bytes) -> None:
    """Puts a file in its place, whole or not at all. Writers of one file hold a lock.

    Raises:
        SinkError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}")  # one name: what a killed writer left is overwritten
    with told(path):
        draft.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(draft, _NEW), "wb") as file:
                _hand_over(file.fileno(), path.parent, 0o644)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, that others may enter whatever the umask.

    Raises:
        SinkError: It cannot be made.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise
            return
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _hand_over(handle, path.parent, 0o755)
        finally:
            os.close(handle)
        _sync(path.parent)


def remove_folder(path: Path, first: str = "") -> None:
    """Deletes a folder of files, one of them before the others.

    Raises:
        SinkError: Something in it cannot be deleted.
    """
    with told(path):
        (path / first).unlink(missing_ok=True) if first else None
        for file in path.iterdir() if path.is_dir() else ():
            file.unlink()
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path`; the system lets go of it when the process ends, however it does.

    Args:
        path: Made when it is missing; its folder is there.
        wait: Seconds to wait for another process.

    Raises:
        SinkError: Another process has it, or it cannot be made.
    """
    with told(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with told(path):
            _hand_over(handle, path.parent, 0o644)
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


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tells an error of the disk in one line.

    Raises:
        SinkError: In its place.
    """
    try:
        yield
    except OSError as error:
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error


def _hand_over(handle: int, folder: Path, mode: int) -> None:
    """Gives an open file to the owner of a folder, which matters when root made it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
    if os.fstat(handle).st_uid == os.geteuid() or os.geteuid() == 0:
        os.fchmod(handle, mode)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
