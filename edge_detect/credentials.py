"""Credentials: secrets from a file or from systemd, never from settings, arguments or variables."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from edge_detect.errors import SettingsError

log = logging.getLogger(__name__)

LONGEST = 4096  # bytes; a file that is longer is another one


def read(name: str, file: str = "") -> str | None:
    """A secret, without the end of its line; None where nobody gave one.

    Args:
        name: Of the credential in systemd's $CREDENTIALS_DIRECTORY, `web-token` say; the settings
            call its file `web.token_file`.
        file: Path from the settings; it wins over the credential.

    Raises:
        SettingsError: It cannot be read, or holds no secret; the message holds none either.
    """
    path = _place(name, file)
    if path is None:
        return None
    where = f"{name.replace('-', '.', 1)}_file: {path}"
    try:
        with path.open("rb") as opened:
            state = os.fstat(opened.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise SettingsError(f"{where}: expected a file")
            data = opened.read(LONGEST + 1)
    except OSError as error:
        raise SettingsError(f"{where}: cannot read: {error.strerror}") from error
    if state.st_mode & stat.S_IROTH:
        log.warning("%s: everybody on this machine can read it: chmod 600 %s", where, path)
    return _checked(data, where)


def _place(name: str, file: str) -> Path | None:
    if file:
        return Path(os.path.expanduser(file))  # as Path.expanduser, but for a user who is not known
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path and path.exists() else None


def _checked(data: bytes, where: str) -> str:
    if len(data) > LONGEST:
        raise SettingsError(f"{where}: expected one line with a secret, got more than {LONGEST} bytes")
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        said = f"{where}: expected one line of UTF-8 text"
        raise SettingsError(said) from None  # the cause holds the bytes
    if not text.strip():
        raise SettingsError(f"{where}: expected one line with a secret, got none")
    if not text.isprintable():
        raise SettingsError(f"{where}: expected one line with a secret, got more")
    return text
