from __future__ import annotations

import itertools
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt, from the extra mqtt")

from broker import Broker, ear
from waiting import wait_until

from edge_detect import recipients
from edge_detect.errors import ConfigError
from edge_detect.notices import link
from edge_detect.notices.link import Link, context, port


class Client:
    """A link with a thread that turns it."""

    def __init__(self, **settings: Any) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.arrived: list[int] = []
        self.greeted = 0
        chosen = recipients.Mqtt(host=settings.pop("host", "127.0.0.1"), **settings)
        self.link = Link(
            chosen,
            "tester",
            "tester/availability",
            self._greet,
            lambda *words: self.heard.append(words),
            self.arrived.append,
        )

        self.wanted: SimpleQueue[tuple[str, str, Future[int | None]]] = SimpleQueue()

    def publish(self, topic: str, text: str) -> int | None:
        """Lets the thread publish, which alone may use the link."""
        told = Future[int | None]()
        self.wanted.put((topic, text, told))
        return told.result(5)

    def _greet(self) -> None:
        self.greeted += 1
        self.link.subscribe("tester/+/set")


@contextmanager
def turning(client: Client) -> Iterator[None]:
    over = threading.Event()
    reader, writer = os.pipe()

    def turn() -> None:
        while not over.is_set():
            if client.link.is_due:
                client.link.connect()
            while not client.wanted.empty():
                topic, text, told = client.wanted.get()
                told.set_result(client.link.publish(topic, text, qos=1))
            client.link.turn(0.05, reader)
        client.link.close()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        os.write(writer, b"!")
        thread.join(5)
        os.close(reader)
        os.close(writer)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, `server.pem`, `server.key` for localhost, and the same of a stranger in `other`."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for where in (folder, folder / "other"):
        where.mkdir(exist_ok=True)
        ca = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:true"]
        subprocess.run(
            ["openssl", "req", *ca, "-keyout", where / "server.key", "-out", where / "server.pem", "-subj", "/CN=localhost", *names],
            check=True, capture_output=True,
        )  # fmt: skip
        (where / "ca.pem").write_bytes((where / "server.pem").read_bytes())
        (where / "server.key").chmod(0o644)
    return folder


def test_the_port_is_the_usual_one_unless_said_otherwise() -> None:
    assert port(recipients.Mqtt()) == 1883
    assert port(recipients.Mqtt(tls=True)) == 8883
    assert port(recipients.Mqtt(tls=True, port=77)) == 77


def test_messages_go_and_come(broker: Broker) -> None:
    client = Client(port=broker.port)
    with ear(broker.port) as heard, turning(client):
        wait_until(lambda: client.greeted)
        number = client.publish("tester/word", "hello")
        wait_until(lambda: number in client.arrived)
        heard.say("tester/lamp/set", "ON")
        wait_until(lambda: client.heard == [("tester/lamp/set", b"ON", False)])

        assert heard.last("tester/word") == b"hello"


def test_without_a_connection_nothing_is_on_its_way(broker: Broker) -> None:
    assert Client(port=broker.port).link.publish("tester/word", "hello", qos=1) is None


def test_tries_become_rarer_until_one_works(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SHORTEST", 0.02)
    monkeypatch.setattr(Link, "longest", 0.1)
    broker.kill()
    client = Client(port=broker.port)
    tries: list[float] = []
    connect = client.link.connect
    monkeypatch.setattr(client.link, "connect", lambda: (tries.append(time.monotonic()), connect()))
    with turning(client):
        wait_until(lambda: len(tries) >= 6)
        waits = [after - before for before, after in itertools.pairwise(tries)]
        broker.start()
        wait_until(lambda: client.link.connected)

    assert waits[4] > 0.09
    assert waits[4] > waits[0]


def test_a_name_that_does_not_exist_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(host="no-such-host.invalid")
    with turning(client):
        wait_until(lambda: caplog.messages)

    assert caplog.messages[0].startswith("mqtt: no-such-host.invalid:1883: ")


# paho-mqtt forgets to close a socket whose handshake failed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_encrypted_connection_works_and_is_checked(
    certificates: Path, tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    files = {"certfile": certificates / "server.pem", "keyfile": certificates / "server.key"}
    with Broker(folder, **files) as secure:
        usual = {"host": "localhost", "port": secure.port, "tls": True}
        good = Client(ca_file=str(certificates / "ca.pem"), **usual)
        with turning(good):
            wait_until(lambda: good.link.connected)
            number = good.publish("tester/word", "x" * 100_000)
            wait_until(lambda: number in good.arrived)
        for wrong in ({"ca_file": str(certificates / "other" / "ca.pem")}, {}):
            caplog.clear()
            bad = Client(**(usual | wrong))
            with turning(bad):
                wait_until(lambda: "certificate verify failed: " in caplog.text)
            assert not bad.greeted
        caplog.clear()
        other_name = Client(ca_file=str(certificates / "ca.pem"), **(usual | {"host": "127.0.0.1"}))
        with turning(other_name):
            wait_until(lambda: "certificate verify failed: " in caplog.text)
        assert not other_name.greeted


def test_messages_that_come_in_one_record_of_tls_are_all_heard(certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    message = b"\x30\x06\x00\x03a/bx"  # PUBLISH, QoS 0, topic a/b
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.recv(1024)
            connection.sendall(b"\x20\x02\x00\x00" + 20 * message)  # CONNACK before
            over.wait(5)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        client = Client(
            host="localhost",
            port=listening.getsockname()[1],
            tls=True,
            ca_file=str(certificates / "ca.pem"),
        )
        with turning(client):
            wait_until(lambda: len(client.heard) == 20)
            over.set()
        thread.join(5)

    assert client.heard == [("a/b", b"x", False)] * 20


@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
def test_certificates_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for file in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=r"^certificates: [A-Za-z509 ]+$"):
            context(recipients.Mqtt(host="x", tls=True, **{name: str(file)}))


def test_a_broker_that_takes_us_and_says_nothing_is_not_stormed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "SHORTEST", 0.2)
    monkeypatch.setattr(Link, "longest", 0.2)
    came = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0.7)

        def close_all() -> None:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    listening.accept()[0].close()
                except TimeoutError:
                    return
                came.append(time.monotonic())

        thread = threading.Thread(target=close_all)
        thread.start()
        client = Client(port=listening.getsockname()[1])
        client.link._trouble = "something else, before"
        with turning(client):
            thread.join(5)

    assert 3 <= len(came) <= 7
    assert caplog.messages[0].rpartition(": ")[2] == "no answer; events wait"


def test_the_broker_of_another_protocol_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        client = Client(port=listening.getsockname()[1])
        with turning(client):
            wait_until(lambda: caplog.messages)
        thread.join(5)

    assert not client.greeted
