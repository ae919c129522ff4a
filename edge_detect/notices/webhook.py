"""Webhook: posts events to one address, signed, and never anywhere else."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import logging
import re
import socket
import ssl
import threading
import time
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from edge_detect import __version__, credentials, recipients, uri
from edge_detect.errors import ConfigError, SinkError, words
from edge_detect.events import Event, to_json
from edge_detect.notices.courier import Courier
from edge_detect.notices.filter import Filter

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds for one try, whatever the server does
BACK_OFF = (1.0, 4.0)  # seconds before the second and the third try
AGAIN = (408, 425, 429)  # answers below 500 after which it is worth trying again
LONGEST_ANSWER = 4096  # bytes in which the status has to stand


def open_webhook(settings: recipients.Webhook, wanted: Filter) -> Courier:
    """The sink that posts events.

    Raises:
        ConfigError: An address to which nothing may be sent.
    """
    return Courier("webhook", Post(settings), wanted, settings.queue)


class Post:
    """Posts an event as one JSON object.

    Of each request `X-Edge-Detect-Signature: sha256=HEX` is the HMAC-SHA256 of
    `TIMESTAMP.BODY` with the secret, where TIMESTAMP is `X-Edge-Detect-Timestamp` (Unix seconds):
    a receiver refuses old ones. `X-Edge-Detect-Delivery` is the same for all tries of one event.
    Redirects are not followed, proxies not asked, answers not read beyond their status.
    """

    def __init__(self, settings: recipients.Webhook, back_off: tuple[float, ...] = BACK_OFF) -> None:
        """Nothing is sent yet.

        Args:
            settings: Where to.
            back_off: Seconds before each further try.

        Raises:
            ConfigError: An address to which nothing may be sent.
            SettingsError: The secret cannot be read.
        """
        self._url = checked(settings.url, allow_http=settings.allow_http)
        self._name = uri.public(settings.url)
        self._back_off = back_off
        self._secret = (credentials.read("webhook-secret", settings.secret_file) or "").encode()
        self._context = ssl.create_default_context() if self._url.scheme == "https" else None

    def __call__(self, event: Event, give_up: threading.Event) -> None:
        """Posts it; tries again where that may help.

        Raises:
            SinkError: It was not taken.
        """
        body = json.dumps(to_json(event), separators=(",", ":")).encode()
        said = "the run ends"
        for wait in (0.0, *self._back_off):
            if give_up.wait(wait):
                break
            try:
                status = self._send(body, f"{event.id} {event.type}")
            except OSError as error:
                said = words(error)
                continue
            if 200 <= status < 300:
                return
            said = f"answers {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")
            if status < 500 and status not in AGAIN:
                break
        raise SinkError(f"{self._name}: {said}")

    def _send(self, body: bytes, delivery: str) -> int:
        """The status that is answered."""
        end = time.monotonic() + TIMEOUT
        connection = self._connection()
        try:
            connection.request("POST", self._target(), body, self._headers(body, delivery))
            return _status(connection.sock, end)
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._context:
            return HTTPSConnection(host, port, timeout=TIMEOUT, context=self._context)
        return HTTPConnection(host, port, timeout=TIMEOUT)

    def _target(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path or "/") + query

    def _headers(self, body: bytes, delivery: str) -> dict[str, str]:
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"edge_detect/{__version__}",
            "Connection": "close",
            "X-Edge-Detect-Delivery": re.sub(r"[^\w .:+-]", "_", delivery, flags=re.ASCII),
            "X-Edge-Detect-Timestamp": stamp,
        }
        if self._secret:
            digest = hmac.new(self._secret, stamp.encode() + b"." + body, "sha256").hexdigest()
            headers["X-Edge-Detect-Signature"] = f"sha256={digest}"
        if self._url.username is not None:
            user = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        return headers


def checked(url: str, *, allow_http: bool) -> SplitResult:
    """The parts of an address to which events may be sent.

    Raises:
        ConfigError: It is none; the message holds no password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as it is asked for, each of its labels up to 63 long
    except ValueError:
        raise ConfigError("expected https://HOST/PATH") from None  # the cause holds the password
    fine = url.isascii() and url.isprintable() and " " not in url and port != 0
    if not fine or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("expected https://HOST/PATH")
    if parts.scheme == "http" and not (allow_http or _is_this_machine(parts.hostname)):
        raise ConfigError(
            "http:// is readable by everybody on the way; use https://, or say webhook.allow_http = true"
        )
    return parts


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _status(connection: socket.socket, end: float) -> int:
    """The code in the first line of the answer.

    A server that sends a byte now and then would keep `http.client` for ever: its time limit
    is for each byte, ours is for all.
    """
    data = b""
    while b"\n" not in data and len(data) < LONGEST_ANSWER:
        connection.settimeout(max(end - time.monotonic(), 1e-3))
        got = connection.recv(LONGEST_ANSWER - len(data))
        if not got:
            raise ConnectionError("closed without an answer")
        data += got
    match = re.match(rb"HTTP/1\.[01] (\d{3})\b", data)
    if not match:
        raise ConnectionError("does not speak HTTP")
    return int(match[1])
