"""URI: how a source or an output is named on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SCHEME = re.compile(r"([a-z][a-z0-9+]+):", re.ASCII)
_CREDENTIALS = re.compile(r"(:/{1,2}[^/@\s:]*):\S*@")  # up to the last @: passwords hold @ and /
_SECRET_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|pwd|token|key|secret)[^=&\s]*=)[^&\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Uri:
    """A name taken apart.

    Attributes:
        scheme: `csi`, `rtsp`, ...; empty for a bare path.
        address: What follows the scheme, without the query.
        query: Settings, text to text.
    """

    scheme: str
    address: str
    query: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Uri:
    """The parts of `csi:0?width=640`, or of a bare path, in which a `?` is a sign like another."""
    match = _SCHEME.match(text)
    scheme, rest = (match[1], text[match.end() :]) if match else ("", text)
    if not scheme:
        return Uri(scheme, rest)
    address, _, query = rest.partition("?")
    return Uri(scheme, address, settings(query))


def settings(query: str) -> dict[str, str]:
    """The names and values of `width=640&height=480`."""
    if not query:
        return {}
    from urllib.parse import parse_qsl  # a slow import, for few

    return dict(parse_qsl(query, keep_blank_values=True))


def is_text(name: str) -> bool:
    """Whether a name is UTF-8, which not all bytes are: at others OpenCV would end the process."""
    return name.encode(errors="replace").decode() == name


def public(text: str) -> str:
    """`text` with passwords, tokens and keys replaced by `***`."""
    return _SECRET_QUERY.sub(r"\1***", _CREDENTIALS.sub(r"\1:***@", text))
