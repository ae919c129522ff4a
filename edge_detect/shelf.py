"""Shelf: the folder of the recordings: whole files or none, and the oldest go first."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edge_detect import clock, durable
from edge_detect.errors import SinkError

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{8}T\d{6})\.\d{3}Z-\d{6}\.(?:jpg|mp4)")
_DRAFT = re.compile(rf"\.{_NAME.pattern}\.part")
DAY = 86_400.0
Reason = Literal["free", "size", "age"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the recordings may take.

    Attributes:
        free: Bytes of the disk that stay free for others; a quarter of a disk that is smaller.
        size: Bytes of all recordings; 0 for any.
        days: Age of a recording; 0 for any.
    """

    free: int = 0
    size: int = 0
    days: float = 0.0


class Shelf:
    """Files that are ours by their names, in one folder, reached through that folder's descriptor alone.

    A file that its owner may not write is protected: it stays, whatever the limits say.

    Attributes:
        size: Bytes of the files.
        written: Bytes that were written.
        deleted: Files that had to go, by reason.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        gone: Callable[[str], None] = lambda name: None,
        synced: Callable[[], bool] = clock.is_synced,
    ) -> None:
        """Opens the folder, made where it was missing; drafts of a run that died are deleted.

        Args:
            folder: Of the recordings.
            limits: What they may take.
            gone: Told the name of each file that had to go.
            synced: Whether the wall clock can be trusted, although it has jumped.

        Raises:
            SinkError: It cannot be made, or another process records into it.
        """
        self.folder, self.written, self.deleted = folder, 0, Counter[Reason]()
        self._limits, self._gone, self._is_synced = limits, gone, synced
        self._sizes: dict[str, int] = {}
        self._number = 0
        self._clock = time.time() - time.monotonic()
        durable.make_folder(folder)
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(durable.locked(folder / ".lock"))
        try:
            self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._scan()
        except OSError as error:
            self._lock.close()
            raise SinkError(f"{folder}: cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Lets go of the folder; safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self._lock.close()

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(list(self._sizes.values()))

    @property
    def free(self) -> int:
        """Bytes of the disk that are free."""
        disk = os.fstatvfs(self._handle)
        return disk.f_bavail * disk.f_frsize

    def name(self, ending: str) -> str:
        """A name that no other file has: the time in UTC, so that names sort by age, and a number."""
        now = datetime.now(UTC)
        self._number = (self._number + 1) % 1_000_000
        return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{self._number:06d}{ending}"

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, whole or not at all, once there is room.

        Raises:
            SinkError: There is no room, or it cannot be written.
        """
        self.make_room(len(data))
        draft = f".{name}.part"
        try:
            handle = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666,
                dir_fd=self._handle,
            )  # fmt: skip
            try:
                _write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(draft, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=self._handle)
            raise SinkError(f"{self.folder}: cannot write: {error.strerror}") from error
        self._sizes[name] = len(data)
        self.written += len(data)

    def open(self, name: str) -> int:
        """A descriptor of a file, for reading.

        Raises:
            FileNotFoundError: It is gone, or no file of ours.
        """
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(name)
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle)
        except OSError as error:
            raise FileNotFoundError(name) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise FileNotFoundError(name)
        return handle

    def protect(self, name: str, protected: bool) -> None:
        """Keeps a file whatever the limits say, or no longer; one that is gone stays gone."""
        with contextlib.suppress(OSError):
            handle = self.open(name)
            try:
                mode = stat.S_IMODE(os.fstat(handle).st_mode)
                os.fchmod(handle, mode & ~0o222 if protected else mode | stat.S_IWUSR)
            finally:
                os.close(handle)

    def delete(self, name: str) -> bool:
        """Deletes a file of ours; whether it is gone then."""
        if not _NAME.fullmatch(name):
            return False
        try:
            os.unlink(name, dir_fd=self._handle)
        except FileNotFoundError:
            pass
        except OSError:  # a disk that is read-only now
            return False
        self._sizes.pop(name, None)
        return True

    def make_room(self, more: int = 0) -> None:
        """Deletes the oldest files that are not protected until the limits hold.

        Args:
            more: Bytes that are about to be written.

        Raises:
            SinkError: Nothing more can go, and the disk is still too full for them.
        """
        oldest = iter(sorted(self._sizes))
        while reason := self._over(more):
            if not any(self._remove(name, reason) for name in oldest):
                raise SinkError(f"{self.folder}: {_WHY[reason]}, and nothing is left to delete")
        self._expire()

    def _over(self, more: int) -> Reason | None:
        disk = os.fstatvfs(self._handle)
        floor = min(self._limits.free, disk.f_blocks * disk.f_frsize // 4)
        if disk.f_bavail * disk.f_frsize - more < floor:
            return "free"
        return "size" if self._limits.size and self.size + more > self._limits.size else None

    def _expire(self) -> None:
        """Deletes what is too old, unless the clock was set by more than a day and cannot be trusted."""
        set_by = abs(time.time() - time.monotonic() - self._clock)
        if not self._limits.days or (set_by > DAY and not self._is_synced()):
            return
        oldest = datetime.fromtimestamp(time.time() - self._limits.days * DAY, UTC)
        for name in sorted(self._sizes):
            if name >= f"{oldest:%Y%m%dT%H%M%S}":
                break
            self._remove(name, "age")

    def _remove(self, name: str, reason: Reason) -> bool:
        """Deletes a file that is not protected; whether there is less to keep."""
        try:
            found = os.stat(name, dir_fd=self._handle, follow_symlinks=False)
        except OSError:  # somebody else has deleted it
            self._sizes.pop(name, None)
            return True
        is_ours = stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IWUSR
        if not is_ours or not self.delete(name):
            return False
        self.deleted[reason] += 1
        self._gone(name)
        return True

    def _scan(self) -> None:
        with os.scandir(self._handle) as entries:
            for entry in entries:
                if _DRAFT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=self._handle)
                elif _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    self._sizes[entry.name] = entry.stat(follow_symlinks=False).st_size


_WHY: dict[Reason, str] = {
    "free": "the disk is full",
    "size": "the recordings may not be larger",
}


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
