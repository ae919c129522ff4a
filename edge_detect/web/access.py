"""Access: who may come in: a token, a password, sessions, and how often one may guess."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from edge_detect import credentials
from edge_detect.errors import SettingsError
from edge_detect.logs import Minutely

log = logging.getLogger(__name__)

TOKEN, PASSWORD = 32, 12  # fewest characters of each
EACH, ALL, WINDOW = 5, 30, 60.0  # failed attempts from one address and from all, in so many seconds
SESSION = 30 * 24 * 3600.0  # seconds
SESSIONS = 64
MAKE_TOKEN = "(umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > web-token)"


def read_secret(name: str, file: str, least: int) -> bytes:
    """The secret in a file, or in the service's credential of that name; empty without either.

    Args:
        name: `web-token` or `web-password`.
        file: May be empty.
        least: Characters that it must have.

    Raises:
        SettingsError: It cannot be read, holds none, or is short enough to be guessed.
    """
    secret = (credentials.read(name, file) or "").strip()
    if secret and len(secret) < least:
        where = name.replace("-", ".", 1)
        raise SettingsError(
            f"{where}_file: expected {least} characters or more, got {len(secret)}; make one: {MAKE_TOKEN}"
        )
    return secret.encode()


class Secrets:
    """The token and the password, of which only digests are kept."""

    def __init__(self, token: bytes = b"", password: bytes = b"") -> None:
        self._token = hashlib.sha256(token).digest() if token else b""
        self._salt = secrets.token_bytes(16)
        self._password = self._slow(password) if password else b""

    def __bool__(self) -> bool:
        return bool(self._token or self._password)

    def is_token(self, word: bytes) -> bool:
        """Whether it is the token; takes equally long for every word of a length."""
        # nothing has a digest of zeros
        return hmac.compare_digest(hashlib.sha256(word).digest(), self._token or bytes(32))

    def opens(self, word: bytes) -> bool:
        """Whether it is the token or the password; takes long, so not in a loop that others wait for."""
        token = self.is_token(word)
        password = bool(self._password) and hmac.compare_digest(self._slow(word), self._password)
        return token or password

    def _slow(self, word: bytes) -> bytes:
        return hashlib.scrypt(word, salt=self._salt, n=2**14, r=8, p=1, dklen=32)


class Attempts:
    """How often somebody guessed of late; all addresses of an IPv6 network count as one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque(maxlen=1000)
        self._complain = Minutely(log.warning, clock)

    def wait(self, address: str, *, alone: bool = False) -> float:
        """Seconds until this address may try again; 0 for now.

        Args:
            address: Of who asks.
            alone: Whether what all others did is left out.
        """
        now, who = self._clock(), _network(address)
        while self._failed and self._failed[0][0] <= now - WINDOW:
            self._failed.popleft()
        own = [at for at, name in self._failed if name == who]
        due = 0.0
        if len(own) >= EACH:
            due = own[-EACH] + WINDOW - now
        if len(self._failed) >= ALL and not alone:
            due = max(due, self._failed[-ALL][0] + WINDOW - now)
        if due:
            self._complain("web: too many wrong tokens or passwords, the last from %s", address)
        return due

    def begin(self, address: str) -> None:
        """Counts an attempt as failed until `forgive`, so that many at once are many."""
        self._failed.append((self._clock(), _network(address)))

    def forgive(self, address: str) -> None:
        """The attempt was right: what was mistyped before is forgotten."""
        who = _network(address)
        self._failed = deque((row for row in self._failed if row[1] != who), maxlen=self._failed.maxlen)


def _network(address: str) -> str:
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, IPv6Address) and not known.ipv4_mapped:
        return str(IPv6Address(int(known) >> 64 << 64))
    return str(known)


class Sessions:
    """Those who have logged in, by what their cookie holds; forgotten when the program ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def begin(self) -> str:
        """A new session's cookie; the oldest of too many sessions ends."""
        if len(self._until) >= SESSIONS:
            del self._until[next(iter(self._until))]
        cookie = secrets.token_urlsafe(32)
        self._until[_digest(cookie)] = self._clock() + SESSION
        return cookie

    def __contains__(self, cookie: object) -> bool:
        """Whether a session has this cookie and has not ended."""
        return isinstance(cookie, str) and self._until.get(_digest(cookie), 0.0) > self._clock()

    def end(self, cookie: str) -> None:
        """Ends the session, if there is one."""
        self._until.pop(_digest(cookie), None)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()


def bearer(header: str) -> bytes:
    """The token in an Authorization header: `Bearer TOKEN`, or Basic with it as the password."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode("utf-8", "replace")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
