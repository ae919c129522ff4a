"""What is tried against cameras, against a real server: all of it is refused."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import visitor
from visitor import EVIL, PASSWORD, TOKEN, Site

from edge_detect.web import access

SECRET = b"root:"  # what stands in the file that they are after
ROOTS = ("/", "/static/", "/api/events/", "/snapshot.jpg/", "/stream.mjpg/")
STEPS = (
    "../etc/passwd", "../../../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%252f..%252f..%252fetc%252fpasswd", "....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd", "..%5c..%5c..%5cetc%5cpasswd", "/etc/passwd", "//etc/passwd",
    "%2fetc%2fpasswd", "..%c0%af..%c0%afetc/passwd", "..%ef%bc%8f..%ef%bc%8fetc/passwd",
    "index.html%00.jpg", "app.js/../../../__init__.py", "app.js%00", "./../server.py",
    "..;/..;/etc/passwd", "file:///etc/passwd", "C:/Windows/win.ini", "app.js::$DATA", "style.css~",
)  # fmt: skip
TRAVERSALS = [root + step for root in ROOTS for step in STEPS]
HOSTS = (
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.1.evil.example",
    "evil.example#127.0.0.1", "127.0.0.1@evil.example", "localhost:8080@evil.example", "evil.example\t",
    "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "[::1", "[::1]evil.example", "[evil.example]", "::1",
    "localhost:99999", "localhost:-1", "localhost:80:80", "localhost/", "localhost\\evil", "local host",
    "127.0.0.1:8080/evil", "xn--lcalhost-51a", "localhost%00.evil.example", "localhost..evil.example", "*", "",
    "127.0.0.256", "raspberrypi.local.evil.example", "evil.example, localhost", "fe80::1%eth0", "."
)  # fmt: skip
ORIGINS = (
    "http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1",
    "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example", "http://evil.example/127.0.0.1:{port}",
    "http://127.0.0.1:{port}@evil.example", "ftp://127.0.0.1:{port}", "127.0.0.1:{port}", "//127.0.0.1:{port}",
    "file://", "chrome-extension://abc", "http://127.0.0.1:{port}/", "http://127.0.0.1:{port} http://evil.example",
    "", "HTTP://", "javascript:127.0.0.1:{port}",
)  # fmt: skip
BROKEN = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no host, old protocol": b"GET /api/state HTTP/1.0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "a whole address": b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a proxy's request": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b: c\r\n evil\x00\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nevil\r\n\r\n",
    "a null in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "a lone CR": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rSet-Cookie: b=c\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "two lengths": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n",
    "a length with a sign": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd",
    "a bad chunk": b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an unknown coding": b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: evil\r\n\r\n",
    "a method of their own": b"EVIL / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\n\r\n",
    "no protocol": b"GET /\r\n\r\n",
    "another protocol": b"GET / HTTP/3.7\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a1") + bytes(64) + b"\r\n\r\n",
    "zeros": bytes(512) + b"\r\n\r\n",
}
HUGE = {
    "one header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 4000 + b"\r\n",
    "a path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a cookie": b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b; " * 4000 + b"\r\n\r\n",
    "a host": b"GET / HTTP/1.1\r\nHost: " + b"a" * 20_000 + b"\r\n\r\n",
    "a body": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000,
    "a body that is announced": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
    "a chunk": b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"a" * 70_000,
    "no end": b"a" * 100_000,
}  # fmt: skip
BODIES: dict[str, Any] = {
    "no JSON": b"confidence=0.5", "nothing": b"", "half": b'{"confidence":', "a list": b"[]", "a number": b"1",
    "null": b"null", "nobody": b"{}", "not text": b"\xff\xfe\x00", "deep": b"[" * 30_000,
    "another name": {"source": "exec:reboot"}, "one right, one not": {"confidence": 0.5, "model": "/etc/passwd"},
    "a command": {"classes": ["person"], "shell": "reboot"}, "dunder": {"__class__": "x"},
    "above 1": {"confidence": 1.01}, "below 0": {"confidence": -0.01}, "text": {"confidence": "0.5"},
    "true": {"confidence": True}, "a list of one": {"confidence": [0.5]}, "nothing said": {"confidence": None},
    "not a number": b'{"confidence": NaN}', "endless": b'{"confidence": Infinity}', "huge": b'{"confidence": 1e999}',
    "a huge integer": b'{"confidence": ' + b"9" * 5000 + b"}",
    "classes in text": {"classes": "person"}, "an unknown class": {"classes": ["persn"]},
    "a class of numbers": {"classes": [0]}, "an empty class": {"classes": [""]}, "classes in an object": {"classes": {}},
    "nested classes": {"classes": [["person"]]}, "pause in text": {"paused": "yes"}, "pause in numbers": {"paused": 1},
    "zones in text": {"zones": "door"}, "zones of numbers": {"zones": [1]}, "a zone without a name": {"zones": [{"points": [[0, 0], [1, 0], [1, 1]]}]},
    "a zone with an evil name": {"zones": [{"name": "a\nb", "points": [[0, 0], [1, 0], [1, 1]]}]},
    "a zone of two points": {"zones": [{"name": "a", "points": [[0, 0], [1, 1]]}]},
    "a zone outside": {"zones": [{"name": "a", "points": [[0, 0], [2, 0], [1, 1]]}]},
    "a zone nowhere": {"zones": [{"name": "a", "points": [[0, 0], [1e999, 0], [1, 1]]}]},
    "a zone of text": {"zones": [{"name": "a", "points": "0,0 1,0 1,1"}]},
    "a zone of three dimensions": {"zones": [{"name": "a", "points": [[0, 0, 0], [1, 0, 0], [1, 1, 1]]}]},
    "a zone of another kind": {"zones": [{"name": "a", "kind": "shell", "points": [[0, 0], [1, 0], [1, 1]]}]},
    "a zone of an unknown class": {"zones": [{"name": "a", "classes": ["persn"], "points": [[0, 0], [1, 0], [1, 1]]}]},
    "a zone with a command": {"zones": [{"name": "a", "exec": "reboot", "points": [[0, 0], [1, 0], [1, 1]]}]},
    "a zone of many corners": {"zones": [{"name": "a", "points": [[n / 40, n % 2] for n in range(40)]}]},
    "many zones": {"zones": [{"name": str(n), "points": [[0, 0], [1, 0], [1, 1]]} for n in range(40)]},
    "two zones of a name": {"zones": [{"name": "a", "points": [[0, 0], [1, 0], [1, 1]]}] * 2},
    "a zone with a long name": {"zones": [{"name": "a" * 41, "points": [[0, 0], [1, 0], [1, 1]]}]},
    "pause null": {"paused": None}, "a path for a class": {"classes": ["../../etc/passwd"]},
}  # fmt: skip
TYPES = (
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "", "application/jsonp",
    "text/json", None,
)  # fmt: skip
QUERIES = (
    "after=-1", "after=abc", "after=1e3", "after=" + "9" * 40, "after=%00", "after=1;drop", "limit=-5",
    "limit=1.5", "limit=0x10", "limit=%D9%A1", "after=", "limit=",
)  # fmt: skip
SPLITS = (
    "%0d%0aSet-Cookie:%20a=b",
    "%0aX-Evil:%201",
    "%0d%0a%0d%0a<script>",
    "%E5%98%8A%E5%98%8DX-Evil:1",
    "\\r\\nX-Evil: 1",
)
WRONG = (
    "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Bearer {TOKEN.upper()}",
    f"Token {TOKEN}", f"Bearer {PASSWORD}", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"admin:admin").decode(),
    "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode(),
    "Basic " + base64.b64encode(TOKEN.encode()).decode(), "Digest username=admin", "Bearer \xff\xfe",
)  # fmt: skip
COOKIES = ("", "x", "0" * 43, TOKEN, "../../etc/passwd", "a" * 4000, '"; drop', "\xff")
PRIVATE = (
    "/", "/api/state", "/api/events", "/metrics", "/healthz", "/readyz", "/snapshot.jpg", "/stream.mjpg",
    "/ws/live", "/api/settings", "/nothing", "/static/server.py", "/logout",
)  # fmt: skip


def names(corpus: Any) -> list[str]:
    return [re.sub(r"[^\w./%:-]", "_", str(one))[:60] or "empty" for one in corpus]


@pytest.mark.parametrize("path", TRAVERSALS, ids=names(TRAVERSALS))
def test_no_path_reaches_a_file(site: Site, path: str) -> None:
    answer = site.ask(path.replace(" ", "%20"))

    assert answer.status in (400, 404)
    assert SECRET not in answer.body
    assert b"import" not in answer.body


@pytest.mark.parametrize("host", HOSTS, ids=names(HOSTS))
@pytest.mark.parametrize("path", ["/", "/api/state"])
def test_a_name_that_was_rebound_to_us_gets_nothing(site: Site, host: str, path: str) -> None:
    answer = site.ask(path, Host=host)

    assert answer.status in (0, 400, 421)
    assert b"person" not in answer.body


@pytest.mark.parametrize("origin", ORIGINS, ids=names(ORIGINS))
def test_another_origin_gets_no_socket(site: Site, origin: str) -> None:
    link, answer = site.socket(Origin=origin.format(port=site.port))
    link.close()

    assert answer.status == 403


@pytest.mark.parametrize("origin", ORIGINS, ids=names(ORIGINS))
def test_another_origin_changes_nothing(site: Site, origin: str) -> None:
    before = site.controls.choice

    answer = site.change({"confidence": 0.9}, Origin=origin.format(port=site.port))

    assert answer.status == 403
    assert site.controls.choice == before


@pytest.mark.parametrize("path", ["/stream.mjpg", "/snapshot.jpg", "/api/state", "/static/app.js"])
def test_another_page_has_no_picture_of_ours_in_it(site: Site, path: str) -> None:
    answer = site.ask(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")

    assert (answer.status, answer.json) == (403, {"error": "expected a request of our own page"})


def test_another_page_may_lead_to_ours(site: Site) -> None:
    assert site.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_a_rebound_page_whose_origin_agrees_gets_no_socket(site: Site) -> None:
    link, answer = site.socket(Host="evil.example", Origin="http://evil.example")
    link.close()

    assert answer.status == 421


@pytest.mark.parametrize("left_out", ["Origin", "X_Requested_With"])
def test_a_change_without_what_our_page_sends_is_refused(site: Site, left_out: str) -> None:
    assert site.change({"confidence": 0.9}, **{left_out: None}).status == 403
    assert site.controls.choice.confidence != 0.9


@pytest.mark.parametrize("request_", BROKEN.values(), ids=BROKEN)
def test_a_broken_request_gets_nothing(site: Site, request_: bytes) -> None:
    answer = site.raw(request_.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))

    assert answer.status in (0, 400, 403, 404, 405, 421)
    assert b"<main" not in answer.body
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("request_", HUGE.values(), ids=HUGE)
def test_a_huge_request_gets_nothing(site: Site, request_: bytes) -> None:
    answer = site.raw(request_)

    assert answer.status in (0, 400, 413, 431)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_change_that_makes_no_sense_changes_nothing(site: Site, body: Any) -> None:
    before = site.controls.choice

    answer = site.change(body)

    assert answer.status == 400
    assert list(answer.json) == ["error"]
    assert site.controls.choice == before


@pytest.mark.parametrize("kind", TYPES, ids=names(TYPES))
def test_a_change_of_another_type_is_refused(site: Site, kind: str | None) -> None:
    assert site.change({"confidence": 0.9}, Content_Type=kind).status in (400, 415)


@pytest.mark.parametrize("query", QUERIES, ids=names(QUERIES))
def test_a_query_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    assert site.ask(f"/api/events?{query}").status == 400


@pytest.mark.parametrize("words", SPLITS, ids=names(SPLITS))
@pytest.mark.parametrize("path", ["/{}", "/api/events?label={}", "/login?next={}", "/static/{}"])
def test_an_answer_cannot_be_split(site: Site, path: str, words: str) -> None:
    answer = site.ask(path.format(words.replace(" ", "%20")))

    assert not {"x-evil", "set-cookie"} & set(answer.headers)
    assert b"<script>" not in answer.body


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "1e9", "abc", "%00"])
def test_a_rate_that_cannot_be_is_refused(site: Site, fps: str) -> None:
    assert site.ask(f"/stream.mjpg?fps={fps}").status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/api/state", "/metrics", "/static/app.js"])
def test_another_method_is_refused_and_no_other_page_is_invited(site: Site, method: str, path: str) -> None:
    answer = site.ask(path, method, Origin=f"http://127.0.0.1:{site.port}", Content_Length="0")

    assert answer.status == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "payload", [b"b", b"a" * 2000, b"a" * 70_000, b"", b'{"confidence":1}', b"\xff"],
    ids=["another word", "long", "very long", "nothing", "json", "no text"],
)  # fmt: skip
def test_a_viewer_who_says_what_it_should_not_is_shown_out(site: Site, payload: bytes) -> None:
    site.scene()
    link, _ = site.socket()
    with link:
        visitor.next_frame(link)
        link.sendall(visitor.frame_of(payload))

        assert farewell(link) in ((1008, 1007, 0) if len(payload) < 1024 else (1009, 0))


def test_a_viewer_who_acknowledges_what_was_not_sent_is_shown_out(pages: Callable[..., Site]) -> None:
    link, _ = pages().socket()
    with link:
        link.sendall(visitor.frame_of(b"a"))

        assert farewell(link) == 1008


def farewell(link: Any) -> int:
    """The code with which the server ends (RFC 6455, 7.4); 0 for an end without a word."""
    end = time.monotonic() + visitor.LIMIT
    while time.monotonic() < end:
        opcode, payload = visitor.receive(link)
        if opcode in (8, -1):
            return int.from_bytes(payload[:2], "big")
    raise AssertionError("the connection stays open")


@pytest.mark.parametrize("path", PRIVATE, ids=names(PRIVATE))
def test_without_a_secret_nobody_learns_even_what_there_is(guarded: Site, path: str) -> None:
    answer = guarded.ask(path)

    assert answer.status in (401, 303)
    assert (answer.status == 303) == (path == "/")
    assert b"person" not in answer.body


@pytest.mark.parametrize("path", ["/api/settings", "/logout", "/nothing"])
def test_without_a_secret_nobody_changes_anything(guarded: Site, path: str) -> None:
    assert guarded.ask(path, "POST", b'{"confidence":0.9}').status == 401
    assert guarded.controls.choice.confidence == 0.25


@pytest.mark.parametrize("header", WRONG, ids=names(WRONG))
def test_a_wrong_token_is_refused(guarded: Site, header: str) -> None:
    guarded.web._desk.attempts._failed.clear()

    answer = guarded.ask("/api/state", Authorization=header)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="edge-detect"'


@pytest.mark.parametrize("cookie", COOKIES, ids=names(COOKIES))
@pytest.mark.parametrize("name", ["edge_detect_{port}", "session"])
def test_a_cookie_that_we_did_not_make_is_refused(guarded: Site, cookie: str, name: str) -> None:
    assert guarded.ask("/api/state", Cookie=f"{name.format(port=guarded.port)}={cookie}").status == 401


@pytest.mark.parametrize(
    "path", ["/api/state?token={}", "/?token={}", "/snapshot.jpg?access_token={}", "/{}"]
)
def test_a_token_in_the_address_opens_nothing(guarded: Site, path: str) -> None:
    assert guarded.ask(path.format(TOKEN)).status in (303, 401)


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Host", "Forwarded", "X-Original-URL"]
)
def test_what_a_proxy_could_say_is_not_believed(guarded: Site, header: str) -> None:
    guarded.web._desk.attempts._failed.clear()
    answers = [
        guarded.ask("/api/state", Authorization="Bearer x", **{header: f"10.0.0.{n}"}) for n in range(6)
    ]

    assert [answer.status for answer in answers] == [401] * 5 + [429]


def test_a_password_is_not_guessed(pages: Callable[..., Site], caplog: pytest.LogCaptureFixture) -> None:
    site = pages(password=PASSWORD)
    caplog.set_level(logging.WARNING)
    guesses = [site.login(f"password{n}") for n in range(12)]
    late = site.login(PASSWORD)

    assert [answer.status for answer in guesses] == [401] * 5 + [429] * 7
    assert (late.status, "set-cookie" in late.headers) == (429, False)
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert len([row for row in caplog.records if row.name.startswith("edge_detect")]) == 1


def test_guesses_at_once_are_counted_as_many(pages: Callable[..., Site]) -> None:
    site = pages(password=PASSWORD)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: site.login(f"password{n}").status, range(12)))

    assert sorted(answers) == [401] * 5 + [429] * 7


def test_wrong_words_get_the_same_answer(pages: Callable[..., Site]) -> None:
    site = pages(password=PASSWORD)
    answers = {(one.status, one.body) for one in map(site.login, ("", "x", PASSWORD[:-1], EVIL))}

    assert len(answers) == 1
    assert EVIL.encode() not in answers.pop()[1]


@pytest.mark.parametrize("fields", ["secret={0}&secret={0}", "password={0}", "secret[]={0}", ""])
def test_a_form_of_another_shape_is_refused(pages: Callable[..., Site], fields: str) -> None:
    body = fields.format(quote(PASSWORD)).encode()

    answer = pages(password=PASSWORD).ask(
        "/login", "POST", body, Content_Type="application/x-www-form-urlencoded"
    )

    assert answer.status == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": None}, {"Origin": "null"}])
def test_another_page_cannot_log_in(pages: Callable[..., Site], headers: dict[str, str | None]) -> None:
    answer = pages(password=PASSWORD).login(PASSWORD, **headers)

    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_a_form_of_many_parts_is_not_read(pages: Callable[..., Site]) -> None:
    part = f'--a\r\nContent-Disposition: form-data; name="secret"\r\n\r\n{PASSWORD}\r\n--a--\r\n'.encode()

    answer = pages(password=PASSWORD).ask(
        "/login", "POST", part, Content_Type="multipart/form-data; boundary=a"
    )

    assert answer.status in (0, 400, 401)
    assert "set-cookie" not in answer.headers


def test_who_logged_in_comes_in_until_the_way_out(pages: Callable[..., Site]) -> None:
    site = pages(token=TOKEN, password=PASSWORD)
    answer = site.login(PASSWORD)
    cookie, *flags = answer.headers["set-cookie"].split("; ")
    inside = site.ask("/api/state", Cookie=cookie)
    out = site.ask("/logout", "POST", Cookie=cookie, X_Requested_With=None)
    after = site.ask("/api/state", Cookie=cookie)

    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
    assert [inside.status, out.status, after.status] == [200, 303, 401]


def test_the_end_of_a_session_ends_its_socket(pages: Callable[..., Site]) -> None:
    site = pages(password=PASSWORD)
    cookie = site.login(PASSWORD).headers["set-cookie"].partition(";")[0]
    link, answer = site.socket(Cookie=cookie)
    with link:
        site.ask("/logout", "POST", Cookie=cookie)

        assert answer.status == 101
        assert farewell(link) == 0


@pytest.mark.parametrize("user", ["", "admin"])
def test_the_right_token_opens_to_programs(guarded: Site, user: str) -> None:
    guarded.web._desk.attempts._failed.clear()
    basic = base64.b64encode(f"{user}:{TOKEN}".encode()).decode()

    assert guarded.ask("/healthz", Authorization=f"Basic {basic}").status == 503
    assert guarded.ask("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert guarded.change({"paused": False}, Authorization=f"Bearer {TOKEN}", Origin=None).status == 200


def test_a_secret_is_in_no_answer_and_no_log(guarded: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bearer = f"Bearer {TOKEN}"
    told = [
        guarded.ask(path, Authorization=bearer) for path in ("/", "/api/state", "/api/events", "/metrics")
    ]
    log = [row.getMessage() for row in caplog.records]

    assert all(answer.status == 200 for answer in told)
    for secret in (TOKEN, PASSWORD):
        assert not any(secret.encode() in answer.body for answer in told)
        assert not any(secret in line for line in log)


def test_a_secret_is_in_no_command_line_and_no_message(desk: Path) -> None:
    (desk / "token").write_text(TOKEN)
    (desk / "token").chmod(0o600)
    command = [
        sys.executable, "-m", "edge_detect", "pattern:?fps=15&width=64&height=64", "-m", "model.tflite", "--headless",
        "--web", "127.0.0.1:0",
    ]  # fmt: skip
    env = os.environ | {"EDGE_DETECT_WEB__TOKEN_FILE": str(desk / "token"), "XDG_DATA_HOME": str(desk)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as child:
        assert child.stderr
        line = next(line for line in child.stderr if "live page" in line)
        arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        child.terminate()
        rest = child.stderr.read()

    assert TOKEN.encode() not in arguments
    assert TOKEN not in line + rest
    assert child.returncode == 0


def test_a_label_is_text_in_every_answer(pages: Callable[..., Site]) -> None:
    site = pages()
    site.scene()

    state, metrics = site.ask("/api/state"), site.ask("/metrics")
    assert EVIL in state.json["labels"]
    assert state.headers["content-type"].startswith("application/json")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert {one.headers["x-content-type-options"] for one in (state, metrics)} == {"nosniff"}


@pytest.mark.parametrize("path", ["/", "/login", "/static/app.js", "/api/state", "/nothing", "/metrics"])
def test_every_answer_has_its_fences(site: Site, path: str) -> None:
    headers = site.ask(path).headers

    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
    assert "server" not in headers


def test_tokens_take_equally_long_whatever_is_right_of_them() -> None:
    secrets = access.Secrets(TOKEN.encode())
    times = []
    for word in (b"x" * len(TOKEN), TOKEN[:-1].encode() + b"x"):
        best = min(timed(lambda word=word: secrets.is_token(word)) for _ in range(200))
        times.append(best)

    assert max(times) < 3 * min(times)


def timed(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def test_there_are_two_hundred_of_them(request: pytest.FixtureRequest) -> None:
    cases = [item for item in request.session.items if item.path == Path(__file__)]
    if len(cases) == 1:
        pytest.skip("needs the other tests of this file")

    assert len(cases) >= 200


def test_the_corpus_is_what_it_says() -> None:
    assert len(set(TRAVERSALS)) == len(TRAVERSALS)
    assert json.loads(json.dumps(EVIL)) == EVIL
