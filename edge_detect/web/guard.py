"""Guard: every request passes here first, and nothing is answered that was not let in."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tornado.web import HTTPError, RequestHandler

from edge_detect.config import Web
from edge_detect.web import access
from edge_detect.web.access import Attempts, Secrets, Sessions
from edge_detect.web.address import Address, Names, same_origin
from edge_detect.web.state import State
from edge_detect.web.station import Station

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none';"
        " frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make the login form's Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What all handlers work with.

    Attributes:
        settings: Of the page.
        address: Where it listens.
        secrets: Without any, everybody on this machine may come in.
        names: That it may be asked for by.
        state: How the run is.
        station: Sends the pictures.
        local: Whether only this machine can reach us.
        attempts: To guess a secret.
        sessions: Of those who have logged in.
        disk: Reads recordings, so that a slow card stops nothing else.
    """

    settings: Web
    address: Address
    secrets: Secrets
    names: Names
    state: State
    station: Station
    local: bool
    attempts: Attempts = field(default_factory=Attempts)
    sessions: Sessions = field(default_factory=Sessions)
    disk: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "page's disk"))


class Refused(HTTPError):
    """A request that is not let in.

    Attributes:
        headers: Of the answer.
    """

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(status)
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guarded(RequestHandler):
    """What all handlers are: a request comes in by the right name, from our own page, from who may.

    Attributes:
        public: Whether it is for everybody: the way in, and what that looks like.
        probe: Whether it is for everybody on this machine, where nobody else can reach us.
        challenge: What a program is asked for when it brings nothing.
    """

    public = False
    probe = False
    challenge = "Bearer"

    def initialize(self, desk: Desk) -> None:
        """Tornado's constructor."""
        self.desk = desk
        self.session = ""  # the cookie that it came in by, if it was one

    def set_default_headers(self) -> None:
        """Those of every answer."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Lets the request in, or raises.

        Raises:
            Refused: It is not let in.
        """
        self._check_address()
        self._check_origin()
        self._check_caller()

    @property
    def peer(self) -> str:
        """Address of who asks; what a proxy says about it is not believed."""
        return str(self.request.remote_ip)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie; a browser keeps one jar for all ports of a host."""
        return f"edge_detect_{self.desk.address.port}"

    def _check_address(self) -> None:
        hosts = self.request.headers.get_list("Host")
        if len(hosts) != 1 or hosts[0] not in self.desk.names:
            raise Refused(421, "unknown host name; ask by the address, or name it under [web] names")
        if not (self.request.uri or "").startswith("/"):
            raise Refused(400, "expected a path")

    def _check_origin(self) -> None:
        """A page of somebody else may neither change anything nor open a socket, only lead here."""
        headers = self.request.headers
        leads_here = headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        # our pictures in it would take all the viewers' room
        if headers.get("Sec-Fetch-Site") == "cross-site" and not leads_here:
            raise Refused(403, "expected a request of our own page")
        socket = headers.get("Upgrade", "").lower() == "websocket"
        if self.request.method in ("GET", "HEAD") and not socket:
            return
        origins = headers.get_list("Origin") or headers.get_list("Sec-WebSocket-Origin")
        if not origins and "Authorization" in headers:
            return  # a program; a browser always tells where it is
        if len(origins) != 1 or not same_origin(origins[0], headers["Host"]):
            raise Refused(403, "expected a request of our own page")

    def _check_caller(self) -> None:
        desk = self.desk
        if self.public or not desk.secrets or (self.probe and desk.local):
            return
        header = self.request.headers.get("Authorization", "")
        if header:
            self.count_attempt(alone=True)  # a token of 32 characters is not guessed from many addresses
            if not desk.secrets.is_token(access.bearer(header)):
                raise Refused(401, "wrong token", WWW_Authenticate=self._challenge())
            desk.attempts.forgive(self.peer)
            return
        self.session = self.get_cookie(self.cookie) or ""
        if self.session not in desk.sessions:
            self.ask_in()

    def ask_in(self) -> None:
        """What who has brought nothing is answered."""
        raise Refused(401, "expected a token", WWW_Authenticate=self._challenge())

    def _challenge(self) -> str:
        return f'{self.challenge} realm="edge-detect"'

    def count_attempt(self, *, alone: bool = False) -> None:
        """Counts an attempt to guess.

        Args:
            alone: Whether only those of this address limit it.

        Raises:
            Refused: There were too many.
        """
        if wait := self.desk.attempts.wait(self.peer, alone=alone):
            raise Refused(429, "too many attempts", Retry_After=str(int(wait) + 1))
        self.desk.attempts.begin(self.peer)

    def check_privacy(self) -> None:
        """Refuses where no picture may be seen.

        Raises:
            Refused: None may.
        """
        if self.desk.state.facts.privacy.no_pictures:
            raise Refused(403, "no pictures: [privacy] no_pictures is on")

    def answer(self, value: Any, status: int = 200) -> None:
        """Ends with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(value, separators=(",", ":")))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Ends with one sentence; never with anything of the inside."""
        error = kwargs.get("exc_info", (None, None))[1]
        message = self._reason
        if isinstance(error, Refused):
            message = error.message
            for name, value in error.headers.items():
                self.set_header(name, value)
        self.answer({"error": message}, status_code)

    def log_exception(self, kind: Any, value: Any, traceback: Any) -> None:
        """A refusal is no news, and whoever is refused may not fill the log."""
        if not isinstance(value, HTTPError):
            super().log_exception(kind, value, traceback)


class Missing(Guarded):
    """What is asked for everything that is not there."""

    def prepare(self) -> None:
        """Only who was let in learns that there is nothing."""
        super().prepare()
        raise Refused(404, "there is nothing here")
