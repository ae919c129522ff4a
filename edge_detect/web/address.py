"""Address: where the page listens, and the names that it may be asked for by."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from edge_detect.errors import ConfigError, SinkError

PORT = 8080
_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen at; port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = PORT

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it; a name counts by what it means here."""
        try:
            found = {str(row[4][0]) for row in socket.getaddrinfo(self.host, None)}
        except OSError as error:
            raise SinkError(f"--web {self}: unknown host '{self.host}': {error.strerror}") from error
        return all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)

    @property
    def url(self) -> str:
        """Where a browser finds it: for every address of this machine, the one that others know it by."""
        host = _outward(self.host) if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{Address(host, self.port)}/"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _outward(every: str) -> str:
    """The address that this machine sends from, or its name when there is no network yet."""
    family, other = (socket.AF_INET6, "2001:db8::1") if ":" in every else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((other, 9))  # which chooses a way, and sends nothing
            return str(way.getsockname()[0])
    except OSError:
        return socket.gethostname()


def parse(text: str) -> Address:
    """`HOST`, `HOST:PORT`, `:PORT` or `PORT`; this machine alone where no host is named.

    Raises:
        ConfigError: It is none of these.
    """
    if text.isdecimal():
        text = f":{text}"
    name, port = Address().host, str(PORT)
    if text.startswith(":"):
        port = text[1:]
    elif found := _HOST.fullmatch(text):
        name, port = found["name"].strip("[]"), found["port"] or port
    elif text:
        port = ""
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--web {text}: expected HOST:PORT, such as 127.0.0.1:{PORT} or [::1]:{PORT}")
    return Address(name, int(port))


class Names:
    """The names that a browser may have asked for: any other means that a page was rebound to us.

    A name that an attacker owns can be made to lead to any address (DNS rebinding); an address
    itself, `localhost` and the names of this machine cannot.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        names = ["localhost", own, short, f"{short}.local", *more]
        self._known = {name.lower().rstrip(".") for name in names if name}

    def __contains__(self, host: object) -> bool:
        """Whether a Host header (`name`, `name:port`) is one of ours."""
        found = _HOST.fullmatch(host) if isinstance(host, str) else None
        if found is None or int(found["port"] or 0) > 65535:
            return False
        name = found["name"].lower().rstrip(".")
        return name in self._known or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            ipaddress.IPv6Address(name.strip("[]"))
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the very host and port that were asked for."""
    scheme, mark, rest = origin.partition("://")
    return bool(mark) and scheme in ("http", "https") and rest.lower() == host.lower()
