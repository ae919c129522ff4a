"""Notify: what systemd is told about this process, a datagram a message, as sd_notify(3) has it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
HANGS = "WATCHDOG=trigger"  # as if no sign of life had come in time; systemd 243 and later
LIMIT = 1.0  # seconds that a message may take; systemd reads them at once unless it is in trouble itself


class Notify:
    """The socket on which systemd listens to this service."""

    def __init__(self, address: str) -> None:
        """Opens nothing: there is no connection to lose.

        Args:
            address: As in `NOTIFY_SOCKET`: a path, or `@` and a name in the abstract namespace.

        Raises:
            ValueError: It is neither.
        """
        if address[:1] not in ("/", "@"):
            raise ValueError(f"NOTIFY_SOCKET: expected a path or @name, got '{address}'")
        self._address = os.fsencode("\0" + address[1:] if address[0] == "@" else address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(LIMIT)

    def __call__(self, *assignments: str) -> bool:
        """Sends `NAME=value` lines in one message; returns whether it went out.

        One that does not is no error: systemd draws its own conclusions.
        """
        text = "\n".join(" ".join(line.splitlines()) for line in assignments)
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            log.debug("NOTIFY_SOCKET: %s", error)
            return False
        return True

    def close(self) -> None:
        """Safe to call twice."""
        self._socket.close()


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return f"STATUS={text}"


def more_time(seconds: float) -> str:
    """Asks for `seconds` from now before a start or a stop counts as failed."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"


def reloading() -> tuple[str, str]:
    """The settings are read anew, as of now; `READY` ends it."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds within which systemd expects a sign of life of this process; 0 for none."""
    limit, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not limit.isdecimal() or whose not in ("", str(os.getpid())):
        return 0.0
    return int(limit) / 1e6
