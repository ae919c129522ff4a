from __future__ import annotations

import base64
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from happenings import event
from waiting import wait_until

from edge_detect import recipients
from edge_detect.errors import ConfigError, SinkError
from edge_detect.events import to_json
from edge_detect.notices import webhook
from edge_detect.notices.filter import Filter
from edge_detect.notices.webhook import Post, checked, open_webhook

NEVER = threading.Event()


class Server(ThreadingHTTPServer):
    """Answers with its codes one after the other; the last one stays.

    Attributes:
        asked: Path, headers and body of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.codes = [204]
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.over = threading.Event()

    def url(self, path: str = "/hook?of=porch", user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_address[1]}{path}"


class Request(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        codes = self.server.codes
        code = codes[min(len(self.server.asked), len(codes)) - 1]
        if code == 0:
            return  # closes without a word
        if code < 0:
            self.server.over.wait(10)  # hangs
            return
        self.send_response(code)
        if code in (301, 302, 307):
            self.send_header("Location", self.server.url("/elsewhere"))
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *words: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as up:
        thread = threading.Thread(target=up.serve_forever, args=(0.01,))
        thread.start()
        yield up
        up.over.set()
        up.shutdown()
        thread.join(5)


def post(server: Server, user: str = "", **settings: Any) -> Post:
    return Post(recipients.Webhook(url=server.url(user=user), **settings), back_off=(0.01, 0.02))


def test_an_event_is_posted_as_one_flat_object(server: Server) -> None:
    with closing(open_webhook(recipients.Webhook(url=server.url()), Filter())) as sink:
        sink.tell((event(1),))

    path, headers, body = server.asked[0]
    assert (path, len(server.asked), sink.dropped) == ("/hook?of=porch", 1, 0)
    assert json.loads(body) == json.loads(json.dumps(to_json(event(1))))
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Edge-Detect-Delivery"] == "event-1 start"
    assert "X-Edge-Detect-Signature" not in headers


def test_a_secret_signs_the_time_and_the_body(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    (tmp_path / "secret").chmod(0o600)
    post(server, secret_file=str(tmp_path / "secret"))(event(1), NEVER)

    _, headers, body = server.asked[0]
    stamp = headers["X-Edge-Detect-Timestamp"]
    signed = hmac.new(b"correct horse", f"{stamp}.".encode() + body, "sha256").hexdigest()
    assert headers["X-Edge-Detect-Signature"] == f"sha256={signed}"
    assert abs(int(stamp) - time.time()) < 10


def test_the_credential_of_systemd_signs_too(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "webhook-secret").write_text("correct horse\n")
    (tmp_path / "webhook-secret").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    post(server)(event(1), NEVER)

    assert "X-Edge-Detect-Signature" in server.asked[0][1]


def test_a_password_goes_to_the_server_and_nowhere_else(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.codes = [403]
    with pytest.raises(SinkError) as caught:
        post(server, user="me:hunter%40@")(event(1), NEVER)

    assert server.asked[0][1]["Authorization"] == f"Basic {base64.b64encode(b'me:hunter@').decode()}"
    assert str(caught.value) == f"{server.url(user='me:***@')}: answers 403"
    assert "hunter" not in caplog.text


@pytest.mark.parametrize("bad", [500, 503, 429, 0], ids=["500", "503", "429", "closed"])
def test_what_may_pass_is_tried_again(server: Server, bad: int) -> None:
    server.codes = [bad, bad, 200]
    post(server)(event(1), NEVER)

    assert len(server.asked) == 3


def test_after_three_tries_it_is_over(server: Server) -> None:
    server.codes = [500]
    with pytest.raises(SinkError, match=r": answers 500$"):
        post(server)(event(1), NEVER)

    assert len(server.asked) == 3


@pytest.mark.parametrize("code", [400, 404, 410])
def test_what_will_not_pass_is_not_tried_again(server: Server, code: int) -> None:
    server.codes = [code]
    with pytest.raises(SinkError, match=rf": answers {code}$"):
        post(server)(event(1), NEVER)

    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [301, 302, 307])
def test_redirects_are_not_followed(server: Server, code: int) -> None:
    server.codes = [code]
    with pytest.raises(SinkError, match=rf": answers {code}, and redirects are not followed$"):
        post(server)(event(1), NEVER)

    assert [path for path, _, _ in server.asked] == ["/hook?of=porch"]


def test_a_server_that_hangs_is_left_in_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.1)
    server.codes = [-1]
    began = time.monotonic()
    with pytest.raises(SinkError, match="timed out"):
        post(server)(event(1), NEVER)

    assert 0.3 < time.monotonic() - began < 2


def test_a_server_that_trickles_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    over = threading.Event()

    def trickle(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            while not over.wait(0.02):
                try:
                    connection.send(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(SinkError, match="timed out"):
            Post(recipients.Webhook(url=url), back_off=())(event(1), NEVER)
        took = time.monotonic() - began
        over.set()
        thread.join(5)

    assert took < 1


def test_what_is_no_web_server_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with listening.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(SinkError, match="does not speak HTTP"):
            Post(recipients.Webhook(url=f"http://127.0.0.1:{listening.getsockname()[1]}"), back_off=())(
                event(1), NEVER
            )
        thread.join(5)


@pytest.mark.parametrize(
    "url, said", [("http://127.0.0.1:1/", "Connection refused"), ("https", "wrong version number")]
)
def test_what_goes_wrong_on_the_way_is_told_in_words(server: Server, url: str, said: str) -> None:
    url = server.url().replace("http", url) if url == "https" else url
    with pytest.raises(SinkError) as caught:
        Post(recipients.Webhook(url=url), back_off=())(event(1), NEVER)

    assert str(caught.value) == f"{url}: {said}"


def test_the_end_of_the_run_is_not_waited_for(server: Server) -> None:
    server.codes = [500]
    over = threading.Event()
    waiting = Post(recipients.Webhook(url=server.url()), back_off=(60.0,))
    caught: list[SinkError] = []

    def deliver() -> None:
        try:
            waiting(event(1), over)
        except SinkError as error:
            caught.append(error)

    thread = threading.Thread(target=deliver)
    thread.start()
    wait_until(lambda: server.asked)
    over.set()
    thread.join(5)

    assert str(caught[0]).endswith("answers 500")


def test_text_of_a_model_makes_no_header(server: Server) -> None:
    post(server)(event(id="a\r\nX-Evil: 1", label="x\r\n\r\nPOST /"), NEVER)

    _, headers, body = server.asked[0]
    assert headers["X-Edge-Detect-Delivery"] == "a__X-Evil: 1 start"
    assert "X-Evil" not in headers
    assert json.loads(body)["label"] == "x\r\n\r\nPOST /"


@pytest.mark.parametrize(
    "url",
    ["https://home.example/hook", "http://127.0.0.1:8123/", "http://localhost/x", "http://[::1]:80/x"],
)
def test_addresses_that_nobody_can_listen_to_are_taken(url: str) -> None:
    assert checked(url, allow_http=False).geturl() == url


def test_another_machine_without_encryption_has_to_be_asked_for() -> None:
    with pytest.raises(
        ConfigError, match=r"^http:// is readable by everybody on the way; use https://, or say"
    ):
        checked("http://home.example/hook", allow_http=False)

    assert checked("http://home.example/hook", allow_http=True).hostname == "home.example"


@pytest.mark.parametrize(
    "url",
    ["", "home.example", "ftp://home/x", "file:///etc/passwd", "https://", "https:///x", "http://h:99999/",
     "https://me:hunter2@[/", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nHost: x", "http://127.0.0.1/ü",
     "http://127.0.0.1:0/", "https://home..example/", f"https://{'x' * 64}.example/"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^expected https://HOST/PATH$"):
        checked(url, allow_http=True)
