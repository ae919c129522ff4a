from __future__ import annotations

import os

import pytest

from edge_detect.errors import ConfigError, SinkError
from edge_detect.web.address import Address, Names, parse, same_origin


@pytest.mark.parametrize(
    "text, address",
    [
        ("", ("127.0.0.1", 8080)), ("80", ("127.0.0.1", 80)), (":80", ("127.0.0.1", 80)),
        ("0.0.0.0", ("0.0.0.0", 8080)), ("[::1]:80", ("::1", 80)), ("pi.local:0", ("pi.local", 0)),
    ],
)  # fmt: skip
def test_an_address_may_leave_out_host_or_port(text: str, address: tuple[str, int]) -> None:
    assert parse(text) == Address(*address)


@pytest.mark.parametrize(
    "text", ["a b", "::1", "host:port", "host:65536", ":", "http://host", "[::1", "host:80:90"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected HOST:PORT, such as 127.0.0.1:8080"):
        parse(text)


@pytest.mark.parametrize(
    "host, loopback",
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)],
)  # fmt: skip
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    assert Address(host).loopback is loopback


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(SinkError, match=r"^--web no\.invalid:8080: unknown host 'no\.invalid': "):
        assert Address("no.invalid").loopback


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"


@pytest.mark.parametrize("host, url", [("pi.local", "http://pi.local:80/"), ("::1", "http://[::1]:80/")])
def test_an_address_is_where_a_browser_finds_it(host: str, url: str) -> None:
    assert Address(host, 80).url == url


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_without_a_network_is_the_name_of_the_machine(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "porch")
    monkeypatch.setattr("socket.socket.connect", lambda way, other: os.close(-1))

    assert Address(host, 80).url == "http://porch:80/"


def test_names_of_this_machine_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "porch.lan")
    names = Names(["Cam.Example."])

    known = ("porch", "porch.lan", "PORCH.local:8080", "localhost.", "cam.example", "10.0.0.1:80")
    assert all(name in names for name in known)
    assert not any(name in names for name in ("porch.evil", "local", "cam.example.evil", 7))


@pytest.mark.parametrize(
    "origin, same", [("http://pi:80", True), ("https://PI:80", True), ("http://pi", False), ("pi:80", False)]
)
def test_an_origin_is_ours_by_host_and_port(origin: str, same: bool) -> None:
    assert same_origin(origin, "pi:80") is same
