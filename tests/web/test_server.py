from __future__ import annotations

import gc
import json
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import program
import pytest
import visitor
from visitor import Site
from waiting import wait_until

from edge_detect import config
from edge_detect.controls import Choice, Controls
from edge_detect.errors import ConfigError, SinkError
from edge_detect.facts import Facts
from edge_detect.web import server


def decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def opened(**settings: Any) -> server.Web:
    return server.Web(config.Web(**settings), Controls(Choice(0.2), visitor.LABELS), Facts())


def test_a_frame_and_its_boxes_come_in_one_message(pages: Callable[..., Site]) -> None:
    site = pages()
    link, answer = site.socket()
    with link:
        site.scene(7)
        head, jpeg = visitor.next_frame(link)

    assert answer.status == 101
    assert (head["seq"], head["w"], head["h"], head["paused"]) == (7, 96, 64, False)
    assert head["boxes"] == [[10, 10, 40, 40, 0.75, 0], [50, 20, 90, 60, 0.375, 2]]
    assert head["counts"] == {"person": 1, visitor.EVIL: 1}
    assert decoded(jpeg).shape == (64, 96, 3)


def test_two_frames_are_on_their_way_and_the_next_is_the_newest(pages: Callable[..., Site]) -> None:
    site = pages(fps=1000)
    link, _ = site.socket()
    with link:
        for number in range(9):
            site.scene(number)
            site.ask("/readyz")  # by now it has been sent, if it may be
        sent = site.web._station.sent
        first = [visitor.next_frame(link)[0]["seq"] for _ in range(2)]
        link.sendall(visitor.frame_of(b"a"))

        assert sent == 2
        assert first == [0, 1]
        assert visitor.next_frame(link)[0]["seq"] == 8


def test_a_frame_is_encoded_once_for_all_and_not_at_all_for_nobody(pages: Callable[..., Site]) -> None:
    site = pages()
    encoded = site.web._tally.stages["encode"].counts
    for number in range(5):
        site.scene(number)
    assert sum(encoded) == 0
    links = [site.socket()[0] for _ in range(3)]
    seen = [visitor.next_frame(link)[0]["seq"] for link in links]
    assert site.ask("/snapshot.jpg?overlay=0").status == 200
    for link in links:
        link.close()

    assert seen == [4, 4, 4]
    assert sum(encoded) == 1


def test_the_newest_frame_greets_who_comes(site: Site) -> None:
    site.scene(3)
    link, _ = site.socket()
    with link:
        opcode, text = visitor.receive(link)

        assert opcode == 1
        assert json.loads(text)["state"]["labels"] == list(visitor.LABELS.names)
        assert visitor.next_frame(link)[0]["seq"] == 3


def test_frames_come_no_faster_than_asked(pages: Callable[..., Site]) -> None:
    site = pages(fps=5)
    link, _ = site.socket()
    stop = threading.Event()

    def film() -> None:
        number = 0
        while not stop.wait(0.005):
            site.scene(number)
            number += 1

    camera = threading.Thread(target=film)
    camera.start()
    try:
        with link:
            first = visitor.next_frame(link)[0]["seq"]
            for _ in range(5):
                link.sendall(visitor.frame_of(b"a"))
                last = visitor.next_frame(link)[0]["seq"]
    finally:
        stop.set()
        camera.join()

    assert last - first > 60  # five times 0.2 s, in which many came


def test_a_paused_frame_is_shown_as_such(pages: Callable[..., Site]) -> None:
    site = pages()
    link, _ = site.socket()
    with link:
        site.pause(5)
        head, _ = visitor.next_frame(link)

    assert (head["seq"], head["paused"], head["boxes"]) == (5, True, [])


def test_mjpeg_has_the_boxes_drawn(pages: Callable[..., Site]) -> None:
    site = pages()
    site.scene()
    pictures = []
    for overlay in (0, 1):
        with site.connect() as link:
            link.sendall(f"GET /stream.mjpg?overlay={overlay} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = visitor.read_head(link)
            part = visitor.read_head_of_part(link)
            pictures.append(decoded(visitor.exactly(link, part)))

    assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
    assert pictures[0].std() < 2
    assert pictures[1].std() > 10


def test_a_snapshot_is_the_newest_frame(pages: Callable[..., Site]) -> None:
    site = pages()
    early = site.ask("/snapshot.jpg")
    site.scene()
    plain, drawn = site.ask("/snapshot.jpg?overlay=0"), site.ask("/snapshot.jpg")

    assert (early.status, early.headers["retry-after"]) == (503, "1")
    assert decoded(plain.body).std() < 2 < 10 < decoded(drawn.body).std()


def test_one_viewer_more_than_there_is_room_for_is_told_when_to_come_again(
    pages: Callable[..., Site],
) -> None:
    site = pages(viewers=2)
    links = [site.socket() for _ in range(3)]
    mjpeg = site.ask("/stream.mjpg")
    for link, _ in links:
        link.close()

    assert [answer.status for _, answer in links] == [101, 101, 503]
    assert links[2][1].headers["retry-after"] == "5"
    assert mjpeg.status == 503
    wait_until(lambda: not site.web._station.viewers)
    assert site.socket()[1].status == 101


def test_a_stalled_viewer_is_dropped_and_others_are_not(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = pages()
    monkeypatch.setattr("edge_detect.web.streams.STALL", 0.2)
    stalled, fair = site.socket()[0], site.socket()[0]
    with stalled, fair:
        site.scene()
        visitor.next_frame(fair)
        fair.sendall(visitor.frame_of(b"a"))
        wait_until(lambda: len(site.web._station.viewers) == 1)
        while visitor.receive(stalled)[0] != -1:
            pass  # what had been sent, and then the end
        site.scene(1)

        assert visitor.next_frame(fair)[0]["seq"] == 1


def test_more_connections_than_there_is_room_for_are_closed(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    site = pages()
    assert site.ask("/readyz").status == 503
    wait_until(lambda: site.web._door._peers.total() == 0)
    links = [site.connect() for _ in range(3)]
    wait_until(lambda: site.web._door._peers.total() == 3)
    refused = site.ask("/healthz")
    for link in links:
        link.close()
    wait_until(lambda: site.web._door._peers.total() == 0)

    assert refused.status == 0
    assert site.ask("/readyz").status == 503


@pytest.mark.slow
def test_who_is_slow_to_ask_is_closed_after_ten_seconds(site: Site) -> None:
    post = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
    begun = time.monotonic()
    links = [site.connect() for _ in range(3)]
    for link, data in zip(links, (b"", b"GET / HTTP/1.1\r\nHost: loc", post), strict=True):
        link.settimeout(14)
        link.sendall(data)
    for link in links:
        visitor.read_answer(link)  # TimeoutError when it stays open

    assert 9 < time.monotonic() - begun < 14


def test_the_socket_holds_little_back(site: Site) -> None:
    size = site.web._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    assert size == 2 * server.SEND_BUFFER  # Linux doubles it, for its own book-keeping


def test_closing_ends_all_and_may_be_repeated(pages: Callable[..., Site]) -> None:
    site = pages()
    site.socket()
    site.close()
    site.close()

    assert not site.web._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        site.connect()
    site.scene()  # goes nowhere, and is no error


def test_a_thread_that_breaks_is_told_by_the_loop(pages: Callable[..., Site]) -> None:
    def beat() -> None:
        raise OSError("the card is gone")

    web = server.Web(config.Web(listen="127.0.0.1:0"), Controls(Choice(0.2), visitor.LABELS), Facts(), beat)
    web._thread.join(5)

    with pytest.raises(SinkError, match=r"^live page: the card is gone$"):
        web.write(pages().scene())


def test_the_thread_beats(pages: Callable[..., Site]) -> None:
    beaten = threading.Event()
    web = server.Web(
        config.Web(listen="127.0.0.1:0"), Controls(Choice(0.2), visitor.LABELS), Facts(), beaten.set
    )

    assert beaten.wait(5)
    web.close()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "0.0.0.0"])
def test_an_open_address_needs_a_token_and_the_message_makes_one(listen: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="expected a token, since others can reach this address") as told:
        opened(listen=listen)

    subprocess.run(str(told.value).rpartition(": ")[2], shell=True, cwd=tmp_path, check=True)
    opened(listen="0.0.0.0:0", token_file=str(tmp_path / "web-token")).close()


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    with pytest.raises(SinkError, match=r"^--web 127.0.0.1:\d+: cannot listen: .*; name another port$"):
        opened(listen=f"127.0.0.1:{site.port}")


def test_a_secret_of_the_service_needs_no_setting(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web-token").write_text(visitor.TOKEN)
    (tmp_path / "web-token").chmod(0o440)  # as systemd's access list makes it look
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    web = opened(listen="127.0.0.1:0")
    web.close()

    assert web._desk.secrets.is_token(visitor.TOKEN.encode())


@pytest.mark.parametrize(
    "text, message",
    [
        ("x" * 31, "web.token_file: expected 32 characters or more, got 31; make one: "),
        (None, "web.token_file: .*: cannot read: No such file or directory"),
    ],
    ids=["short", "missing"],
)
def test_a_bad_secret_is_told_without_its_text(
    secret: Callable[..., Any], tmp_path: Any, text: str | None, message: str
) -> None:
    path = secret(text) if text else tmp_path / "none"

    with pytest.raises(ConfigError, match=f"^{message}") as told:
        opened(listen="127.0.0.1:0", token_file=str(path))

    assert not text or text not in str(told.value)


def test_nothing_is_logged_of_who_asks(pages: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = pages()
    site.ask("/nothing?token=abc")
    site.raw(b"nonsense\r\n\r\n")

    assert [row.message for row in caplog.records if row.name.startswith("edge_detect")] == [
        f"live page: http://127.0.0.1:{site.port}/"
    ]
    assert not any("abc" in row.getMessage() for row in caplog.records)


def test_a_header_is_as_long_as_its_prefix_says(pages: Callable[..., Site]) -> None:
    site = pages()
    shot_scene = site.scene()
    message = site.web._station.newest.message  # type: ignore[union-attr]

    (size,) = struct.unpack(">I", message[:4])
    assert json.loads(message[4 : 4 + size])["w"] == shot_scene.frame.size[0]
    assert message[4 + size : 6 + size] == b"\xff\xd8"


def noise() -> Any:
    """A picture that needs many bytes."""
    return np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)


def test_a_stalled_mjpeg_viewer_is_dropped(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_detect.web.streams.STALL", 0.2)
    site, image = pages(fps=60), noise()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", site.port))
        link.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: site.web.viewers == 1)
        number = 0

        def dropped() -> bool:
            nonlocal number
            number += 1
            site.scene(number, image=image)
            return site.web.viewers == 0

        wait_until(dropped)


def test_an_mjpeg_viewer_who_leaves_while_nothing_comes_is_noticed(pages: Callable[..., Site]) -> None:
    site = pages()
    with site.connect() as link:
        link.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: site.web.viewers == 1)

    wait_until(lambda: site.web.viewers == 0)


def own_address() -> str:
    """An address of this machine that is not loopback."""
    import psutil

    for rows in psutil.net_if_addrs().values():
        for row in rows:
            if row.family == socket.AF_INET and not row.address.startswith("127."):
                return str(row.address)
    pytest.skip("needs a network")


def test_a_page_that_is_open_to_all_is_told_by_an_address_that_opens(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    own_address()
    site = pages(listen="0.0.0.0:0", token=visitor.TOKEN)
    told = urlsplit(caplog.messages[-1].removeprefix("live page: "))
    monkeypatch.setattr("visitor.HERE", told.hostname)

    assert (told.scheme, told.port) == ("http", site.port)
    assert told.hostname != "0.0.0.0"
    assert site.ask("/login").status == 200


def test_one_address_does_not_take_all_the_room(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visitor.HERE", own_address())
    site = pages(listen="0.0.0.0:0", token=visitor.TOKEN)
    links = [site.socket(Authorization=f"Bearer {visitor.TOKEN}") for _ in range(5)]

    assert [answer.status for _, answer in links] == [101] * 4 + [503]
    for link, _ in links:
        link.close()


def test_one_address_does_not_take_all_connections(
    pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visitor.HERE", own_address())
    monkeypatch.setattr(server, "EACH", 2)
    site = pages(listen="0.0.0.0:0", token=visitor.TOKEN)
    assert site.ask("/login").status == 200
    wait_until(lambda: site.web._door._peers.total() == 0)
    for _ in range(2):
        site.connect()
    wait_until(lambda: site.web._door._peers.total() == 2)

    assert site.ask("/login").status == 0


def test_the_cookie_is_for_tls_alone_where_a_proxy_brings_it(pages: Callable[..., Site]) -> None:
    site = pages(password=visitor.PASSWORD)
    plain = site.login(visitor.PASSWORD).headers["set-cookie"]
    behind = site.login(visitor.PASSWORD, Origin=f"https://127.0.0.1:{site.port}").headers["set-cookie"]

    assert "Secure" not in plain
    assert "Secure" in behind


def test_without_tornado_the_message_names_the_extra(desk: Path) -> None:
    (desk / "hidden").mkdir()
    (desk / "hidden" / "tornado.py").write_text("raise ImportError('no tornado')\n")

    end = program.run(
        "pattern:",
        "-m",
        "model.tflite",
        "--web",
        "127.0.0.1:0",
        "-q",
        env=program.before_all(desk / "hidden"),
    )

    assert end.returncode == 1
    assert end.stderr == ("edge-detect: error: the live page needs tornado: pip install 'edge_detect[web]'\n")


def test_without_a_page_nothing_of_it_is_imported(desk: Path) -> None:
    script = (
        "import sys; from edge_detect.cli import main;"
        "code = main(['pattern:?fps=0&frames=2', '-m', 'model.tflite', '--headless', '-q']);"
        "print(code, [name for name in sys.modules if name.startswith(('tornado', 'edge_detect.web'))])"
    )
    end = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert end.stdout == "0 []\n"


def test_an_open_run_needs_a_token(desk: Path) -> None:
    end = program.run("pattern:", "-m", "model.tflite", "--web", "0.0.0.0:0", "-q")

    assert end.returncode == 2
    assert "expected a token, since others can reach this address; make one and name it" in end.stderr
    assert end.stderr.count("\n") == 1


def test_a_viewer_who_breaks_off_leaves_no_line_in_the_log(
    pages: Callable[..., Site], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_detect.web.streams.STALL", 0.2)
    site = pages(fps=60)
    link, _ = site.socket()
    for number in range(8):
        site.scene(number, image=noise())  # more than the system holds back
        site.ask("/readyz")
    wait_until(lambda: site.web.viewers == 0)
    link.close()
    gc.collect()
    site.close()

    assert [row.getMessage() for row in caplog.records] == []
