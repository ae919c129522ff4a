from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from edge_detect.errors import SettingsError
from edge_detect.web import access
from edge_detect.web.access import Attempts, Secrets, Sessions, bearer

TOKEN = b"t" * 40


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "word, right", [(TOKEN, True), (b"", False), (TOKEN[1:], False), (b"a password!!", False)]
)
def test_only_the_token_is_the_token(word: bytes, right: bool) -> None:
    assert Secrets(TOKEN, b"a password!!").is_token(word) is right


@pytest.mark.parametrize(
    "word, right", [(TOKEN, True), (b"a password!!", True), (b"", False), (b"a password!", False)]
)
def test_token_and_password_open_the_form(word: bytes, right: bool) -> None:
    assert Secrets(TOKEN, b"a password!!").opens(word) is right


@pytest.mark.parametrize("word", [b"", b"x", bytes(32)])
def test_without_a_secret_nothing_opens(word: bytes) -> None:
    none = Secrets()

    assert not none
    assert not none.is_token(word)
    assert not none.opens(word)


def test_a_secret_is_not_kept_as_it_is() -> None:
    kept = b"".join(value for value in vars(Secrets(TOKEN, b"a password!!")).values())

    assert TOKEN not in kept
    assert b"password" not in kept


def test_five_guesses_a_minute_from_one_address() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(access.EACH):
        assert attempts.wait("10.0.0.1") == 0
        attempts.begin("10.0.0.1")

    assert attempts.wait("10.0.0.1") == access.WINDOW
    assert attempts.wait("10.0.0.2") == 0
    clock.now += access.WINDOW
    assert attempts.wait("10.0.0.1") == 0


def test_many_addresses_together_may_not_guess_more() -> None:
    attempts = Attempts(Clock())
    for n in range(access.ALL):
        attempts.begin(f"10.0.{n}.1")

    assert attempts.wait("10.9.9.9") == access.WINDOW
    assert attempts.wait("10.9.9.9", alone=True) == 0


def test_who_guesses_on_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts(Clock())
    for _ in range(access.EACH):
        attempts.begin("10.0.0.1")
    for _ in range(3):
        attempts.wait("10.0.0.1")
        attempts.wait("10.0.0.2")  # somebody else, who may come in

    assert caplog.messages == ["web: too many wrong tokens or passwords, the last from 10.0.0.1"]


def test_an_ipv6_network_is_one_address() -> None:
    attempts = Attempts(Clock())
    for n in range(access.EACH):
        attempts.begin(f"2001:db8::{n}")

    assert attempts.wait("2001:db8::ffff") > 0
    assert attempts.wait("2001:db8:0:1::1") == 0
    assert access._network("fe80::1%eth0") == "fe80::"


def test_a_right_word_forgets_the_mistyped_ones() -> None:
    attempts = Attempts(Clock())
    for _ in range(access.EACH):
        attempts.begin("10.0.0.1")
    attempts.forgive("10.0.0.1")

    assert attempts.wait("10.0.0.1") == 0


def test_a_session_ends_by_time_and_by_choice() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    one, other = sessions.begin(), sessions.begin()
    sessions.end(other)

    assert (one in sessions, other in sessions, "" in sessions, None in sessions) == (
        True,
        False,
        False,
        False,
    )
    clock.now += access.SESSION
    assert one not in sessions


def test_the_oldest_of_too_many_sessions_ends() -> None:
    sessions = Sessions(Clock())
    cookies = [sessions.begin() for _ in range(access.SESSIONS + 1)]

    assert [cookie in sessions for cookie in cookies] == [False] + [True] * access.SESSIONS


@pytest.mark.parametrize(
    "header, token",
    [
        ("Bearer abc", b"abc"), ("bearer  abc ", b"abc"), ("abc", b""), ("", b""), ("Basic ?", b""),
        ("Basic " + base64.b64encode(b"user:a:b").decode(), b"a:b"), ("Negotiate abc", b""),
    ],
)  # fmt: skip
def test_a_header_brings_a_token(header: str, token: bytes) -> None:
    assert bearer(header) == token


def test_a_secret_is_read_without_the_end_of_its_line(secret: Callable[..., Any]) -> None:
    assert access.read_secret("web-token", str(secret("t" * 32 + "\n")), 32) == b"t" * 32


def test_a_short_secret_is_refused_with_a_way_to_make_one(secret: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match=r"expected 12 characters or more, got 5; make one: \(umask 077"):
        access.read_secret("web-password", str(secret("short")), 12)


def test_no_file_and_no_credential_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    assert access.read_secret("web-token", "", 32) == b""
