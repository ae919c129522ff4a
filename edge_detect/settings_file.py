"""Settings file: TOML with the line of each key, and a good copy for the day after a power cut."""

from __future__ import annotations

import logging
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

from edge_detect import durable, places, toml_lines

log = logging.getLogger(__name__)

ENCODING = "utf-8-sig"  # with the mark that Windows puts before a text, or without
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """One settings file as it was read.

    Attributes:
        path: Of the file, or of the good copy that stands in for it.
        data: Its content.
        tables: Section to what stands in it.
        mistakes: Why it could not be read, if so.
        is_copy: Whether it is the good copy of another.
    """

    path: Path
    data: bytes = b""
    tables: dict[str, Any] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()
    is_copy: bool = False

    def where(self, *key: str | int) -> str:
        """`config.toml:3`: the line of a key."""
        return f"{self.path}:{self._lines[key]}"

    @cached_property
    def _lines(self) -> dict[toml_lines.Key, int]:
        return toml_lines.lines(self.data.decode(ENCODING))


class Damaged(ValueError):
    """A file that is not whole: empty, cut off, not text, or not TOML."""


def read(path: Path, *, strict: bool = False) -> Document:
    """The file; its last good copy, loudly, where it is damaged and there is one.

    Args:
        path: A file that is there.
        strict: The copy does not stand in.
    """
    copy = copy_of(path)
    good = _read_or_nothing(copy)
    try:
        data = path.read_bytes()
        return Document(path, data, parse(path, data, good))
    except OSError as error:
        return Document(path, mistakes=(f"{path}: cannot read: {error.strerror}",))
    except Damaged as error:
        if not good or strict:
            return Document(path, mistakes=(str(error),))
        log.error("%s; the settings of the last good start hold: %s", error, copy)
    try:
        return Document(copy, good, parse(copy, good), is_copy=True)
    except Damaged as worse:
        return Document(copy, mistakes=(str(worse),), is_copy=True)


def keep(document: Document) -> None:
    """Remembers a file whose settings are right, for a day on which it is damaged."""
    copy = copy_of(document.path)
    if document.is_copy or _read_or_nothing(copy) == document.data:
        return
    try:
        durable.make_folder(copy.parent)
        copy.parent.chmod(0o700)  # the address of a camera may hold a password
        durable.write(copy, document.data)
    except OSError as error:
        log.warning("%s: no copy kept for a power cut: %s", document.path, error)


def copy_of(path: Path) -> Path:
    """Where the good copy of a settings file is kept."""
    whole = path.absolute()
    return places.state_folder() / "good" / f"{whole.stem}-{crc32(bytes(whole)):08x}{whole.suffix}"


def parse(path: Path, data: bytes, good: bytes = b"") -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: For messages.
        data: Its content.
        good: Its last good content; it tells a file that was emptied or cut off by a power cut
            from one that its user left so.

    Raises:
        Damaged: It is not whole.
    """
    if good and not data.strip(b"\0 \t\r\n"):
        raise Damaged(f"{path}: empty, and it was not before; delete it to go back to the defaults")
    if good.startswith(data) and good[len(data) :].strip() and not data.endswith(b"\n"):
        raise Damaged(f"{path}: cut off in the middle of its last line; end that where it is meant so")
    try:
        return tomllib.loads(data.decode(ENCODING))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise Damaged(f"{path}:{line}: expected UTF-8 text, got byte 0x{byte:02x}") from error
    except RecursionError as error:
        raise Damaged(f"{path}:1: nested too deep") from error
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.fullmatch(str(error))
        what = place[1] if place else str(error)
        line = int(place[2]) if place and place[2] else data.count(b"\n") + 1
        column = f" (column {place[3]})" if place and place[3] else ""
        raise Damaged(f"{path}:{line}: {what[:1].lower()}{what[1:]}{column}") from error
    except ValueError as error:  # Python reads no number of more than 4300 digits
        raise Damaged(f"{path}: expected numbers of a sane length") from error


def _read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
