"""Server: the page's own thread, and what it grants the network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from itertools import count
from typing import Any

from edge_detect import config, detections
from edge_detect.controls import Controls
from edge_detect.detector import Timing
from edge_detect.errors import ConfigError, DependencyError, SinkError
from edge_detect.events import Event
from edge_detect.facts import Facts
from edge_detect.frame import Frame
from edge_detect.scene import Scene
from edge_detect.web import access, address
from edge_detect.web.tally import Tally

try:
    from tornado import httputil
    from tornado.httpserver import HTTPServer
    from tornado.iostream import IOStream
    from tornado.web import Application
except ImportError as error:
    raise DependencyError("the live page needs tornado: pip install 'edge_detect[web]'") from error

from edge_detect.web import api, guard, pages, recordings, streams
from edge_detect.web.state import State
from edge_detect.web.station import Shot, Station, View

log = logging.getLogger(__name__)

CONNECTIONS, EACH = 64, 16  # at once, over all and from one address that is not this machine's
HEADERS, BODY = 16 * 1024, 64 * 1024  # bytes of a request
PATIENCE = 10.0  # seconds for the headers, and for the body, of a request
SEND_BUFFER = 128 * 1024  # bytes that wait in the system: more would be seconds of old pictures
BOARD = 5  # seconds between two looks at the firmware

ROUTES: list[tuple[str, type[guard.Guarded]]] = [
    ("/", pages.Page),
    ("/login", pages.Login),
    ("/logout", pages.Logout),
    (r"/static/(app\.js|events\.js|zones\.js|style\.css|favicon\.svg)", pages.Static),
    ("/ws/live", streams.LiveSocket),
    (r"/stream\.mjpg", streams.Mjpeg),
    (r"/snapshot\.jpg", streams.Snapshot),
    ("/api/state", api.StateOf),
    ("/api/events", api.EventsOf),
    (rf"/api/events/{recordings.ID}/snapshot\.jpg", recordings.SnapshotOf),
    (rf"/api/events/{recordings.ID}/clip\.mp4", recordings.ClipOf),
    (rf"/api/events/{recordings.ID}/protect", recordings.Protect),
    (rf"/api/events/{recordings.ID}/unprotect", recordings.Unprotect),
    (rf"/api/events/{recordings.ID}/delete", recordings.Delete),
    ("/api/settings", api.Settings),
    ("/metrics", api.Metrics),
    ("/healthz", api.Healthy),
    ("/readyz", api.Ready),
]


def application(desk: guard.Desk) -> Application:
    """All that can be asked for; the rest is `guard.Missing`."""
    with_desk = {"desk": desk}
    return Application(
        [(path, handler, with_desk) for path, handler in ROUTES],
        default_handler_class=guard.Missing,
        default_handler_args=with_desk,
        log_function=lambda handler: None,  # nobody may fill the log by asking
        websocket_max_message_size=1024,
        websocket_ping_interval=20,
        websocket_ping_timeout=10,
    )


class Door(HTTPServer):
    """Tornado's server, which lets so many connections in and no more."""

    def initialize(self, *words: Any, **more: Any) -> None:
        """Tornado's constructor."""
        super().initialize(*words, **more)
        self._peers: Counter[str] = Counter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Takes a connection, or closes it when there are too many."""
        peer = str(address[0])
        local = ip_address(peer.partition("%")[0]).is_loopback
        if self._peers.total() >= CONNECTIONS or (self._peers[peer] >= EACH and not local):
            stream.close()
            return
        self._peers[peer] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """A connection has ended, or became a WebSocket, which the viewers' limit counts."""
        super().on_close(server_conn)
        self._peers -= Counter([server_conn.context.remote_ip])


class Web:
    """The live page as a sink: takes every scene by reference, and never makes the loop wait.

    Attributes:
        url: Where it can be seen.
        facts: What it tells of the run.
    """

    def __init__(
        self,
        settings: config.Web,
        controls: Controls,
        facts: Facts,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens the port and starts the thread.

        Args:
            settings: Where to listen, and who may come in.
            controls: What the page may change.
            facts: What it tells of the run.
            beat: Called every second while the thread is well.

        Raises:
            ConfigError: The address or a secret cannot be, or it would be open to all.
            SinkError: The port cannot be had.
        """
        wanted = address.parse(settings.listen)
        secrets = access.Secrets(
            access.read_secret("web-token", settings.token_file, access.TOKEN),
            access.read_secret("web-password", settings.password_file, access.PASSWORD),
        )
        local = wanted.loopback
        if not local and not secrets:
            raise ConfigError(
                f"--web {wanted}: expected a token, since others can reach this address; make one and name it"
                f" under [web] token_file: {access.MAKE_TOKEN}"
            )
        self._socket = _listen(wanted)
        at = address.Address(wanted.host, self._socket.getsockname()[1])
        self.url = at.url
        self._beat, self.facts = beat, facts
        self._tally = Tally()
        self._view = View(
            controls.labels, settings.quality, self._tally.stages["encode"], not facts.privacy.no_pictures
        )
        self._station = Station(settings.fps)
        self._state = State(facts, controls, self._tally, self._station)
        names = address.Names([*settings.names, wanted.host])
        self._desk = guard.Desk(settings, at, secrets, names, self._state, self._station, local)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        log.info("live page: %s", self.url)

    @property
    def viewers(self) -> int:
        """How many look now."""
        return len(self._station.viewers)

    @property
    def thread_id(self) -> int:
        """Of the page's thread, for who asks what it costs."""
        return self._thread.ident or 0

    def write(self, scene: Scene) -> None:
        if self._error:
            raise SinkError(f"live page: {self._error}") from self._error
        self.tell(scene.events)
        timing, live = self.facts.timing(), self.facts.newest is not None
        self._tally.add(scene, timing, live=live)
        self._station.publish(Shot(scene, timing, self._view, live=live, paused=False))

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events; those that are kept elsewhere are asked for there."""
        if events and self.facts.records is None:
            with contextlib.suppress(RuntimeError):  # the page is closing
                self._loop.call_soon_threadsafe(self._state.events.take, events)

    def show(self, frame: Frame) -> None:
        """Takes a frame that nobody looked at, since the run is paused."""
        self._state.shown = time.monotonic()
        scene, live = Scene(frame, detections.none()), self.facts.newest is not None
        self._station.publish(Shot(scene, Timing(), self._view, live=live, paused=True))

    def close(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)
        self._desk.disk.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001 carried to the loop, which raises it
            self._error = error
        finally:
            self._socket.close()

    async def _serve(self) -> None:
        # forms of many parts are never wanted here, and reading them has a history of flaws
        parts = httputil.ParseMultipartConfig(enabled=False)
        httputil.set_parse_body_config(httputil.ParseBodyConfig(multipart=parts))
        door = Door(
            application(self._desk),
            max_header_size=HEADERS,
            max_body_size=BODY,
            max_buffer_size=BODY + HEADERS,
            idle_connection_timeout=PATIENCE,
            body_timeout=PATIENCE,
        )
        self._station.attach(self._loop)
        self._door = door
        door.add_socket(self._socket)
        look: asyncio.Future[None] = self._loop.create_future()
        look.set_result(None)
        for second in count():
            if second % BOARD == 0 and look.done():
                look = self._loop.run_in_executor(None, self._state.look_at_board)
            self._state.sample()
            self._station.sweep()
            self._station.tell(self._state.stats)
            self._beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1)
                break
        door.stop()
        self._station.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(door.close_all_connections(), 2)


def _listen(wanted: address.Address) -> socket.socket:
    """A listening socket whose connections hold little back, so that what arrives is fresh."""
    try:
        family = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((wanted.host, wanted.port), family=family, backlog=64)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SinkError(f"--web {wanted}: cannot listen: {reason}; name another port") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listening.setblocking(False)
    return listening
