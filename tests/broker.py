"""Broker: a real Mosquitto on this machine, and a client that hears everything."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from waiting import wait_until


def program() -> str | None:
    """Where Mosquitto is; Debian has it where only root looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    """A Mosquitto that can be killed and come back.

    Attributes:
        port: On 127.0.0.1.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        """Nothing is started yet.

        Args:
            folder: For its files.
            settings: Lines of its configuration, `allow_anonymous="false"`.
        """
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port: int = free.getsockname()[1]
        self._log = folder / "mosquitto.log"
        lines = {"allow_anonymous": "true", "log_dest": f"file {self._log}", "user": "root"} | settings
        self._file = folder / "mosquitto.conf"
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        self._file.write_text(f"listener {self.port} 127.0.0.1\n{text}")
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """It answers on return."""
        found = program()
        assert found
        self._child = subprocess.Popen([found, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        """At once, as a power cut would."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait(5)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Ear:
    """A client of the broker.

    Attributes:
        heard: Topic, payload, and whether the broker had kept it; in order.
    """

    def __init__(self, port: int, topic: str = "#") -> None:
        from paho.mqtt import client as paho

        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        versions = getattr(paho, "CallbackAPIVersion", None)
        self._client = paho.Client(versions.VERSION2) if versions else paho.Client()
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, message.payload, bool(message.retain))
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(5)

    def wait_again(self, limit: float = 10.0) -> None:
        """Until it has subscribed once more, after the broker was away."""
        assert self._ready.wait(limit)

    def miss(self) -> None:
        """The broker is about to go."""
        self._ready.clear()

    def last(self, topic: str) -> bytes | None:
        """What was heard last."""
        return next((payload for where, payload, _ in reversed(self.heard) if where == topic), None)

    def events(self, topic: str) -> list[dict[str, Any]]:
        """What was heard, from JSON."""
        return [json.loads(payload) for where, payload, _ in list(self.heard) if where == topic]

    def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """The broker has it on return."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(5)

    def close(self) -> None:
        """Leaves."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def ear(port: int, topic: str = "#") -> Iterator[Ear]:
    """A client that hears a topic."""
    with closing(Ear(port, topic)) as opened:
        yield opened
