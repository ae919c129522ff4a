"""Visitor: a live page in the tests' own process, and bare sockets that ask it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scenes

from edge_detect import config
from edge_detect.controls import Choice, Controls
from edge_detect.frame import Frame
from edge_detect.labels import Labels
from edge_detect.scene import Scene

TOKEN = "k3yW0rd-of-the-tests-0123456789-abcdef"
PASSWORD = "correct horse battery"
EVIL = "<img src=x onerror=alert(1)>"
LABELS = Labels(("person", "car", EVIL))
HERE = "127.0.0.1"  # where visitors ask, and come from
LIMIT = 5.0  # seconds that an answer may take


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 for a connection that was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """A live page that was shown nothing yet."""

    def __init__(
        self,
        folder: Path,
        *,
        token: str = "",
        password: str = "",
        blind: bool = False,
        records: Any = None,
        **settings: Any,
    ) -> None:
        from edge_detect.facts import Facts
        from edge_detect.web.server import Web

        for name, text in (("token", token), ("password", password)):
            if text:
                path = folder / name
                path.write_text(text)
                path.chmod(0o600)
                settings[f"{name}_file"] = str(path)
        self.changes: list[Choice] = []
        self.controls = Controls(Choice(0.25), LABELS, self.changes.append)
        self.facts = Facts(
            "model.tflite", "ab" * 32, "runtime 1", "pattern:", privacy=config.Privacy(no_pictures=blind),
            records=records,
        )  # fmt: skip
        self.web = Web(config.Web(**({"listen": "127.0.0.1:0"} | settings)), self.controls, self.facts)
        self.port = int(self.web.url.rsplit(":", 1)[1].strip("/"))
        self._links: list[socket.socket] = []

    def close(self) -> None:
        """Ends the page; its visitors hang up."""
        self.web.close()
        for link in self._links:
            link.close()

    def scene(self, number: int = 0, **more: Any) -> Scene:
        """Shows a person and something with an evil name."""
        made = scenes.scene([[10, 10, 40, 40], [50, 20, 90, 60]], [0, 2], number=number, **more)
        self.web.write(made)
        return made

    def pause(self, number: int = 0) -> None:
        """Shows a frame that nobody looked at."""
        self.web.show(Frame(scenes.picture(), 0.0, number))

    def connect(self) -> socket.socket:
        link = socket.create_connection((HERE, self.port), LIMIT)
        self._links.append(link)
        return link

    def raw(self, data: bytes) -> Answer:
        """The answer to these very bytes."""
        with self.connect() as link:
            with contextlib.suppress(OSError):  # it may have closed before it had read all
                link.sendall(data)
            return read_answer(link)

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str | None) -> Answer:
        """The answer to a request; `Host`, and for a POST what our page sends, unless told otherwise."""
        host = f"127.0.0.1:{self.port}"
        given: dict[str, str | None] = {"Host": host}
        if method == "POST":
            given |= {
                "Origin": f"http://{host}", "Content_Type": "application/json",
                "X_Requested_With": "edge-detect", "Content_Length": str(len(body)),
            }  # fmt: skip
        given |= headers
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""])
        return self.raw(head.encode("latin-1") + body)

    def post(self, path: str, **headers: str | None) -> Answer:
        """The answer to a POST of nothing."""
        return self.ask(path, "POST", b"{}", **headers)

    def change(self, value: Any, **headers: str | None) -> Answer:
        """The answer to `POST /api/settings`."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("/api/settings", "POST", body, **headers)

    def login(self, word: str, **headers: str | None) -> Answer:
        """The answer to the form."""
        from urllib.parse import urlencode

        form = urlencode({"secret": word}).encode()
        return self.ask(
            "/login", "POST", form, Content_Type="application/x-www-form-urlencoded",
            X_Requested_With=None, **headers,
        )  # fmt: skip

    def socket(self, **headers: str | None) -> tuple[socket.socket, Answer]:
        """An opened WebSocket, and what the server said to it."""
        host = f"127.0.0.1:{self.port}"
        given: dict[str, str | None] = {
            "Host": host, "Origin": f"http://{host}", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
        } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
        lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
        link = self.connect()
        link.sendall("\r\n".join(["GET /ws/live HTTP/1.1", *lines, "", ""]).encode())
        return link, read_head(link)


def read_head(link: socket.socket) -> Answer:
    """Status and headers, and nothing of what follows."""
    data = b""
    try:
        while not data.endswith(b"\r\n\r\n"):
            got = link.recv(1)
            if not got:
                break
            data += got
    except (TimeoutError, ConnectionError):
        pass
    return parsed(data)


def read_answer(link: socket.socket) -> Answer:
    """Everything until the connection ends."""
    data = b""
    try:
        while got := link.recv(65536):
            data += got
    except ConnectionError:
        pass
    return parsed(data)


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.1 "):
        return Answer(0, {}, data)
    pairs = [line.partition(": ")[::2] for line in lines]
    return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)


def frame_of(payload: bytes, opcode: int = 1) -> bytes:
    """A WebSocket frame of a client, masked."""
    n, mask = len(payload), os.urandom(4)
    if n < 126:
        size = bytes([0x80 | n])
    else:
        size = (
            bytes([0x80 | 126]) + n.to_bytes(2, "big") if n < 65536 else bytes([0xFF]) + n.to_bytes(8, "big")
        )
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + size + mask + masked


def receive(link: socket.socket) -> tuple[int, bytes]:
    """The opcode and payload of the next frame of the server; opcode -1 at the end."""
    try:
        head = exactly(link, 2)
        n = head[1] & 127
        if n == 126:
            n = int.from_bytes(exactly(link, 2), "big")
        elif n == 127:
            n = int.from_bytes(exactly(link, 8), "big")
        return head[0] & 15, exactly(link, n)
    except (EOFError, ConnectionError):
        return -1, b""


def exactly(link: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        got = link.recv(n - len(data))
        if not got:
            raise EOFError
        data += got
    return data


def next_frame(link: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Header and JPEG of the next picture; what is told besides is left out."""
    while True:
        opcode, payload = receive(link)
        assert opcode in (1, 2), "the connection ended"
        if opcode == 2:
            size = int.from_bytes(payload[:4], "big")
            return json.loads(payload[4 : 4 + size]), payload[4 + size :]


def read_head_of_part(link: socket.socket) -> int:
    """The length of the next picture of an MJPEG stream."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += exactly(link, 1)
    return int(data.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
