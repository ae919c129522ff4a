"""Streams: the live picture: over a WebSocket for the page, as MJPEG and single pictures for programs."""

from __future__ import annotations

import asyncio
import json
import math
import time
from ipaddress import ip_address
from typing import Any, cast

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from edge_detect.web.guard import Guarded, Refused
from edge_detect.web.station import STALL, Shot

CREDIT = 2  # frames on their way to a viewer
EACH = 4  # viewers from one address that is not this machine's
_BOUNDARY = "frame"


class Looking(Guarded):
    """One who looks at the live picture, while there is room."""

    def prepare(self) -> None:
        """Lets in as many as there is room for."""
        super().prepare()
        station, most = self.desk.station, self.desk.settings.viewers
        if len(station.viewers) >= most:
            raise Refused(503, f"{most} others are looking", Retry_After="5")
        same = sum(viewer.peer == self.peer for viewer in station.viewers)
        if same >= EACH and not ip_address(self.peer.partition("%")[0]).is_loopback:
            raise Refused(503, f"{same} others of your address are looking", Retry_After="5")

    @property
    def welcome(self) -> bool:
        """Whether the session that it came in by still lasts."""
        return not self.session or self.session in self.desk.sessions


class LiveSocket(Looking, WebSocketHandler):
    """Sends a frame and its boxes in one message; the page answers `a` as soon as it has drawn it.

    Not more than `CREDIT` frames are on their way, so that a slow viewer sees fewer frames, and
    not older ones. Besides there is a text message with the state, once a second.
    """

    async def get(self, *words: Any, **more: Any) -> None:
        self._sent: list[float] = []  # when the frames on their way were sent
        self._up = False
        self.desk.station.join(self)
        try:
            await super().get(*words, **more)  # returns when the connection has ended
        finally:
            self.desk.station.leave(self)

    def check_origin(self, origin: str) -> bool:
        """Checked in `prepare`, as for every handler."""
        return True

    def open(self, *words: str, **more: str) -> None:
        """Greets with everything that the page needs to begin."""
        self.set_nodelay(True)
        self._up = True
        whole = self.desk.state.whole() | {"guarded": bool(self.session)}
        self._write(json.dumps({"state": whole}), binary=False)
        self.desk.station.wake()

    @property
    def ready(self) -> bool:
        """Whether a frame may be sent now."""
        return self._up and len(self._sent) < CREDIT

    def take(self, shot: Shot) -> None:
        """Sends a frame."""
        self._sent.append(time.monotonic())
        self._write(shot.message, binary=True)

    def tell(self, stats: dict[str, Any]) -> None:
        """Sends how the run is."""
        if self._up:
            self._write(json.dumps({"stats": stats}, separators=(",", ":")), binary=False)

    def _write(self, message: str | bytes, *, binary: bool) -> None:
        try:
            sent = self.write_message(message, binary=binary)
        except WebSocketClosedError:
            self._up = False  # gone: `get` ends by itself
        else:
            sent.add_done_callback(_forgive)

    def on_message(self, message: str | bytes) -> None:
        """A frame was drawn; whoever says anything else, or that too often, is shown out."""
        if message != "a" or not self._sent:
            self.close(1008)
            return
        self._sent.pop(0)
        self.desk.station.wake()

    def stalled(self, now: float) -> bool:
        """Whether the last frame has been on its way for too long."""
        return bool(self._sent) and now - self._sent[0] > STALL

    def drop(self) -> None:
        """Ends the connection at once: one that does not read would not answer a farewell."""
        self._up = False
        if self.ws_connection and self.ws_connection.stream:
            self.ws_connection.stream.close()


def _forgive(sent: asyncio.Future[None]) -> None:
    """Takes note that a viewer went while something was on its way; asyncio would log it."""
    if not sent.cancelled():
        sent.exception()


class Mjpeg(Looking):
    """`/stream.mjpg?fps=&overlay=`: for what shows pictures and knows no JavaScript."""

    challenge = "Basic"

    async def get(self) -> None:
        self.check_privacy()
        fps = self._number("fps", self.desk.settings.fps)
        drawn = self.get_query_argument("overlay", "1") not in ("0", "no", "false")
        self._waiting: asyncio.Future[Shot | None] | None = None
        self._since, self._due = 0.0, 0.0
        self.set_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.desk.station.join(self)
        try:
            while shot := await self._next():
                self._due = time.monotonic() + 1 / fps - 0.01  # a little early rather than one late
                await self._send(shot.drawn if drawn else shot.picture)
        except StreamClosedError:
            pass
        finally:
            self.desk.station.leave(self)

    async def _next(self) -> Shot | None:
        self._waiting = asyncio.get_running_loop().create_future()
        self.desk.station.wake()
        return await self._waiting

    async def _send(self, picture: bytes) -> None:
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        self._since = time.monotonic()
        self.write(head.encode() + picture + b"\r\n")
        await self.flush()  # until the socket's small buffer has it; `sweep` ends one that never does
        self._since = 0.0

    @property
    def ready(self) -> bool:
        """Whether a frame may be sent now."""
        waits = self._waiting is not None and not self._waiting.done()
        return waits and time.monotonic() >= self._due

    def take(self, shot: Shot) -> None:
        """Sends a frame."""
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(shot)

    def tell(self, stats: dict[str, Any]) -> None:
        """Only pictures are understood."""

    def stalled(self, now: float) -> bool:
        """Whether the last frame has been on its way for too long."""
        return bool(self._since) and now - self._since > STALL

    def drop(self) -> None:
        """Ends the connection at once."""
        cast(HTTP1Connection, self.request.connection).close()

    def on_connection_close(self) -> None:
        """The viewer has gone while it waited for a frame."""
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def _number(self, name: str, most: float) -> float:
        text = self.get_query_argument(name, str(most))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0.01 <= value <= 1000:
            raise Refused(400, f"{name}: expected a number from 0.01 to 1000")
        return min(value, most)


class Snapshot(Guarded):
    """`/snapshot.jpg?overlay=`: the newest frame."""

    challenge = "Basic"

    def get(self) -> None:
        self.check_privacy()
        shot = self.desk.station.newest
        if shot is None:
            raise Refused(503, "no frame yet", Retry_After="1")
        self.set_header("Content-Type", "image/jpeg")
        drawn = self.get_query_argument("overlay", "1") not in ("0", "no", "false")
        self.finish(shot.drawn if drawn else shot.picture)
