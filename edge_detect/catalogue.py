"""Catalogue: the detectors that are known by name, where each is to be had and what it must be."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_detect.errors import ConfigError, InputMissing
from edge_detect.lazy import suggest
from edge_detect.store import NAME

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Entry:
    """One detector.

    Attributes:
        name: What it is called here.
        about: One line for people.
        licence: SPDX name, or words.
        layout: How its outputs are read, as `edge-detect inspect --json` says.
        input: (width, height) of the picture that it looks at, in pixels.
        bytes: Of the file.
        sha256: Of the file.
        file: Name of the file beside the catalogue; empty for one that is downloaded.
        urls: Where it is to be had, tried in this order; `archive.zip#member` for one in a zip.
        labels: Name of its label file beside the catalogue; empty when the names are inside.
        measured: The set on which the next two were measured; empty when nothing was.
        ap: COCO AP, 0..1.
        ap50: AP at an intersection over union of 0.5, 0..1.
    """

    name: str
    about: str
    licence: str
    layout: str
    input: tuple[int, int]
    bytes: int
    sha256: str
    file: str = ""
    urls: tuple[str, ...] = ()
    labels: str = ""
    measured: str = ""
    ap: float = 0.0
    ap50: float = 0.0


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(NAME.fullmatch(value))


_TEXT = ("text on one line", _is_text)
_FILE = ("the name of a file beside the catalogue", _is_name)
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("letters, digits, '.', '_' and '-', at most 64", _is_name),
    "about": _TEXT,
    "licence": _TEXT,
    "layout": _TEXT,
    "input": (
        "[width, height]",
        lambda value: isinstance(value, list) and [type(side) for side in value] == [int, int],
    ),
    "bytes": ("a number of bytes up to 256 MB", lambda value: type(value) is int and 0 < value <= 1 << 28),
    "sha256": (
        "64 hexadecimal digits",
        lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)),
    ),
    "file": _FILE,
    "urls": ("a list of URLs", lambda value: isinstance(value, list) and all(map(_is_text, value))),
    "labels": _FILE,
    "measured": _TEXT,
    "ap": ("a number from 0.0 to 1.0", _is_share),
    "ap50": ("a number from 0.0 to 1.0", _is_share),
}


def read(path: Path, *, plain_http: bool = False) -> dict[str, Entry]:
    """The entries of a catalogue, by name.

    Args:
        path: A TOML file with one table for each detector; `models/catalogue.toml` is an example.
        plain_http: Whether its URLs may be http; those of this very machine always may.

    Raises:
        InputMissing: There is no such file.
        ConfigError: It is not a catalogue.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the catalogue: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from error
    return {name: _entry(f"{path}: {name}", name, table, plain_http) for name, table in tables.items()}


def _entry(where: str, name: str, table: Any, plain_http: bool) -> Entry:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table for each detector, got '{table}'")
    values = {**table, "name": name}
    for key, value in values.items():
        if key not in _CHECKS:
            raise ConfigError(f"{where}: unknown key '{key}'{suggest(key, _CHECKS)}")
        expected, holds = _CHECKS[key]
        if not holds(value):
            raise ConfigError(f"{where}: {key}: expected {expected}, got {value!r}")
    for field in fields(Entry):
        if field.default is MISSING and field.name not in values:
            raise ConfigError(f"{where}: {field.name}: expected {_CHECKS[field.name][0]}, got none")
    for url in values.get("urls", ()):
        _check_url(f"{where}: urls", url, plain_http)
    if not values.get("file") and not values.get("urls"):
        raise ConfigError(f"{where}: expected a file or urls, got neither")
    lists: dict[str, Any] = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Entry(**{**values, **lists})


def _check_url(where: str, url: str, plain_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise ConfigError(f"{where}: expected a URL, got '{url}'") from error
    allowed = ("https", "http") if plain_http or host in LOOPBACK else ("https",)
    if parts.scheme not in allowed or not host:
        raise ConfigError(f"{where}: expected {' or '.join(allowed)}://, got '{url}'")
