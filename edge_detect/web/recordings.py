"""Recordings: the pictures and clips of events, and what a person does with them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tornado.iostream import StreamClosedError

from edge_detect.errors import SinkError
from edge_detect.records import Records, size_of
from edge_detect.web.guard import Guarded, Refused

ID = r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})"
"""What an event is called in an address. It is looked up in the store, and is never part of a path."""
CHUNK = 64 * 1024  # bytes that are read at once
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_MISSING = "there is no such event, or it has none"
T = TypeVar("T")


class Recorded(Guarded):
    """What all of them need."""

    @property
    def records(self) -> Records:
        """The events that are kept."""
        records = self.desk.state.facts.records
        if records is None:
            raise Refused(404, "no events are kept; name a folder under [recorder], or a file under [store]")
        return records

    async def ask(self, act: Callable[[], T]) -> T:
        """What the disk gives; it may be slow, and the page goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self.desk.disk, act)


class SnapshotOf(Recorded):
    """The picture of an event; `?overlay=1` draws its box, `?small=1` is for lists."""

    challenge = "Basic"

    async def get(self, id: str) -> None:
        self.check_privacy()
        drawn = self.get_query_argument("overlay", "0") in ("1", "yes", "true")
        small = self.get_query_argument("small", "0") == "1"
        data = await self.ask(partial(self.records.snapshot, id, drawn=drawn, small=small))
        if data is None:
            raise Refused(404, _MISSING)
        self.set_header("Content-Type", "image/jpeg")
        self.finish(data)


class ClipOf(Recorded):
    """The clip of an event; a browser asks for parts of it (RFC 9110, section 14)."""

    challenge = "Basic"

    async def get(self, id: str) -> None:
        self.check_privacy()
        handle = await self.ask(partial(self.records.clip, id))
        if handle is None:
            raise Refused(404, _MISSING)
        try:
            await self._send(handle)
        except StreamClosedError:
            pass  # who has seen enough
        finally:
            os.close(handle)

    async def _send(self, handle: int) -> None:
        size = size_of(handle)
        self.set_header("Content-Type", "video/mp4")
        self.set_header("Accept-Ranges", "bytes")
        first, last = 0, size - 1
        if part := part_of(self.request.headers.get("Range", ""), size):
            first, last = part
            if first > last:
                raise Refused(416, "there is no such part", Content_Range=f"bytes */{size}")
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.set_header("Content-Length", str(last - first + 1))
        while first <= last:
            data = await self.ask(partial(os.pread, handle, min(CHUNK, last - first + 1), first))
            if not data:
                break
            first += len(data)
            self.write(data)
            await self.flush()  # until the socket's small buffer has it
        self.finish()


def part_of(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that are asked for; None for all, or for what we do not understand."""
    found = _RANGE.fullmatch(header)
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:  # so many at the end
        return (max(0, size - int(last)), size - 1) if int(last) else (size, size - 1)
    return int(first), min(int(last), size - 1) if last else size - 1


class Changed(Recorded):
    """A change of an event, which our page or a program asks for."""

    def prepare(self) -> None:
        """Lets in what a form of another page cannot send."""
        super().prepare()
        if self.request.method == "POST" and "X-Requested-With" not in self.request.headers:
            raise Refused(403, "expected a header X-Requested-With")


class Protect(Changed):
    """Keeps an event and its files whatever the limits say."""

    protected = True

    async def post(self, id: str) -> None:
        event = await self.ask(partial(self.records.protect, id, self.protected))
        if event is None:
            raise Refused(404, _MISSING)
        self.answer(event)


class Unprotect(Protect):
    """Keeps it no longer."""

    protected = False


class Delete(Changed):
    """Forgets an event, and deletes its files."""

    async def post(self, id: str) -> None:
        try:
            known = await self.ask(partial(self.records.delete, id))
        except SinkError as error:
            raise Refused(409, str(error)) from error
        if not known:
            raise Refused(404, _MISSING)
        self.answer({"deleted": id})
