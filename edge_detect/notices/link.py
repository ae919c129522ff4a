"""Link: a connection to an MQTT broker that comes back by itself."""

from __future__ import annotations

import logging
import os
import select
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt import client as paho

from edge_detect import credentials, recipients
from edge_detect.errors import ConfigError, words

log = logging.getLogger(__name__)

KEEP_ALIVE = 20  # seconds; a Pi whose power is cut is offline after half as much again
SHORTEST, LONGEST = 1.0, 30.0  # seconds between two tries to connect
GOODBYE = 2.0  # seconds for the last message


class Link:
    """One client of a broker, used by one thread at a time, which calls `turn` again and again.

    Source of the loop: paho-mqtt's interface for external event loops, which 1.6 and 2 share.

    Attributes:
        connected: Whether the broker has taken us.
        longest: Seconds between two tries, at most.
    """

    longest = LONGEST

    def __init__(
        self,
        settings: recipients.Mqtt,
        name: str,
        will: str,
        greet: Callable[[], None],
        heard: Callable[[str, bytes, bool], None],
        arrived: Callable[[int], None],
    ) -> None:
        """Nothing is connected yet.

        Args:
            settings: Of the broker.
            name: Of this client, the only one of its name.
            will: Topic that the broker sets to `offline` when we are gone without a word.
            greet: Called after each connection.
            heard: Called with topic, payload, and whether the broker had kept it.
            arrived: Called with the number of a message (QoS 1) that the broker has.

        Raises:
            ConfigError: Certificates that cannot be.
            SettingsError: The password cannot be read.
        """
        self.connected = False
        self._where = f"{settings.host}:{port(settings)}"
        self._will, self._greet, self._heard, self._arrived = will, greet, heard, arrived
        self._trouble, self._due, self._delay = "", 0.0, SHORTEST
        self._client = _client(name)
        _introduce(self._client, settings)
        self._client.will_set(will, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.connect_async(settings.host, port(settings), KEEP_ALIVE)

    @property
    def is_due(self) -> bool:
        """Whether it is time to `connect`."""
        return self._client.socket() is None and time.monotonic() >= self._due

    def connect(self) -> None:
        """Tries to reach the broker, which may take a while: a name server is asked."""
        try:
            self._client.reconnect()
        except Exception as error:  # noqa: BLE001 the top of a thread; the next try may fare better
            self._lose(words(error))

    def turn(self, wait: float, wake: int) -> None:
        """Answers the broker, and waits for its word.

        Args:
            wait: Seconds, at most.
            wake: File that ends the waiting when it can be read.
        """
        files = select.poll()
        files.register(wake, select.POLLIN)
        socket: Any = self._client.socket()
        if socket is None:
            files.poll(max(0.0, min(wait, self._due - time.monotonic())) * 1000)
            return
        files.register(socket, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        is_buffered = hasattr(socket, "pending") and socket.pending()  # TLS has read more than it gave
        ready = dict(files.poll(0 if is_buffered else wait * 1000))
        state = ready.get(socket.fileno(), 0)
        if is_buffered or state & ~select.POLLOUT:
            self._client.loop_read()
        if state & select.POLLOUT and self._client.socket() is not None:
            self._client.loop_write()
        self._client.loop_misc()

    def publish(self, topic: str, payload: str | bytes, *, qos: int = 0, retain: bool = False) -> int | None:
        """The number of a message that is on its way; None where it is not.

        With QoS 1 it is sent again after a connection broke, until it arrives.
        """
        if not self.connected:
            return None
        told = self._client.publish(topic, payload, qos, retain)
        return int(told.mid) if told.rc == paho.MQTT_ERR_SUCCESS else None

    def subscribe(self, topic: str) -> None:
        """Hears of a topic from now on, in this connection."""
        self._client.subscribe(topic, 1)

    def close(self) -> None:
        """Says goodbye: a clean end sends no will."""
        self._due = float("inf")
        if self.connected:
            last = self.publish(self._will, "offline", qos=1, retain=True)
            end, arrived = time.monotonic() + GOODBYE, set[int]()
            self._arrived = arrived.add
            with suppress(OSError):
                while self.connected and last not in arrived and (left := end - time.monotonic()) > 0:
                    self._read(left)
                self.connected = False
                self._client.disconnect()

    def _read(self, wait: float) -> None:
        socket: Any = self._client.socket()
        files = select.poll()
        files.register(socket, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        files.poll(wait * 1000)
        self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()

    def _lose(self, why: str) -> None:
        was_connected, self.connected = self.connected, False
        self._due = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, self.longest)
        if was_connected or why != self._trouble:
            log.warning("mqtt: %s: %s; events wait", self._where, why)
        self._trouble = why

    def _on_connect(self, client: Any, data: Any, flags: Any, code: Any, properties: Any = None) -> None:
        if code != 0:
            self._lose(_refusal(code))
            return
        self.connected, self._trouble, self._delay = True, "", SHORTEST
        log.info("mqtt: connected to %s", self._where)
        self._greet()

    def _on_disconnect(self, *_: Any) -> None:
        if time.monotonic() >= self._due:  # else we leave, or know that it refuses us
            self._lose("the connection is lost" if self.connected else "no answer")
        self.connected = False

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self._heard(message.topic, message.payload, bool(message.retain))

    def _on_publish(self, client: Any, data: Any, number: int, *_: Any) -> None:
        self._arrived(number)


def knock(settings: recipients.Mqtt, limit: float = 5.0) -> str:
    """Why a broker does not take us; empty when it does.

    Args:
        settings: Of the broker.
        limit: Seconds that it may take.

    Raises:
        ConfigError: Certificates that cannot be.
        SettingsError: The password cannot be read.
    """
    answers: list[Any] = []
    client = _client(f"edge_detect_{os.getpid()}")  # the name of the run would throw it out
    _introduce(client, settings)
    client.on_connect = lambda client, data, flags, code, properties=None: answers.append(code)
    end = time.monotonic() + limit
    try:
        client.connect(settings.host, port(settings), KEEP_ALIVE)
        while not answers and time.monotonic() < end and client.socket() is not None:
            client.loop(0.1)
        client.disconnect()
    except (OSError, ValueError) as error:
        return words(error)
    if not answers:
        return "no answer"
    return "" if answers[0] == 0 else _refusal(answers[0])


def _introduce(client: paho.Client, settings: recipients.Mqtt) -> None:
    """Tells a client who it is, and whom it may trust."""
    password = credentials.read("mqtt-password", settings.password_file)
    if settings.username:
        client.username_pw_set(settings.username, password)
    if settings.tls:
        client.tls_set_context(context(settings))


def _refusal(code: Any) -> str:
    return f"refuses us: {paho.connack_string(code) if isinstance(code, int) else code}"


def _client(name: str) -> paho.Client:
    versions = getattr(paho, "CallbackAPIVersion", None)  # paho-mqtt 1.6 has none
    if versions is None:
        return paho.Client(client_id=name)
    return paho.Client(versions.VERSION2, client_id=name)


def port(settings: recipients.Mqtt) -> int:
    """Of the broker."""
    return settings.port or (8883 if settings.tls else 1883)


def context(settings: recipients.Mqtt) -> ssl.SSLContext:
    """How the broker's certificate is checked, and what we show; the check cannot be left out.

    Raises:
        ConfigError: A file that is not there, or holds something else.
    """
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.certificate_file:
            made.load_cert_chain(settings.certificate_file, settings.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificates: {words(error)}") from error
    return made
