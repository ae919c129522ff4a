"""Sources: cameras, streams and files, chosen by the scheme of their URI.

A source is a dataclass; its fields are its settings and can be given in the query of the URI:
`csi:0?width=1280&height=720&rotation=180`. To iterate over it is to open it: a camera that was
lost is opened again by iterating again, and whatever was opened is closed when the iterator is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Protocol, TypeGuard, cast

from edge_detect import settings, uri
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.frame import Frame
from edge_detect.lazy import load, suggest

SCHEMES = {
    "auto": "edge_detect.sources.auto:find",
    "csi": "edge_detect.sources.csi:Csi",
    "rpicam": "edge_detect.sources.rpicam:Rpicam",
    "v4l2": "edge_detect.sources.v4l2:V4l2",
    "rtsp": "edge_detect.sources.stream:Stream",
    "rtsps": "edge_detect.sources.stream:Stream",
    "http": "edge_detect.sources.stream:Stream",
    "https": "edge_detect.sources.stream:Stream",
    "file": "edge_detect.sources.video:Video",
    "pictures": "edge_detect.sources.pictures:Pictures",
    "stdin": "edge_detect.sources.stdin:Stdin",
    "pattern": "edge_detect.sources.pattern:Pattern",
}
_REMOTE = frozenset({"rtsp", "rtsps", "http", "https"})
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class Source(Protocol):
    """Where frames come from.

    Attributes:
        live: Whether frames come by the clock, so that the newest is the only one that counts.
        fps: Frames a second as far as known before the first one; 0 when unknown.
        patience: Seconds without a frame after which a live source counts as lost.
        freeze: Seconds of the very same picture after which it counts as lost; 0 for never.
        reopens: Whether a live source that ended can be opened again.
    """

    @property
    def live(self) -> bool: ...
    @property
    def fps(self) -> float: ...
    @property
    def patience(self) -> float: ...
    @property
    def freeze(self) -> float: ...
    @property
    def reopens(self) -> bool: ...
    def __iter__(self) -> Iterator[Frame | None]:
        """Opens the source and yields its frames; closing the iterator closes the source.

        A source that can wait yields None when no frame came for a moment, so that whoever
        reads it can stop.

        Raises:
            InputMissing: There is no such device, file or folder.
            SourceError: It cannot be opened, or was lost.
        """


class SmallStream(Source, Protocol):
    """A camera whose hardware makes a second, small picture for the detector."""

    width: int
    height: int
    rotation: int
    small_width: int
    small_height: int


def wants_small(source: Source) -> TypeGuard[SmallStream]:
    """Whether the source can give a small picture and nobody has chosen its size."""
    return getattr(source, "small_width", None) == 0


def open_source(text: str) -> Source:
    """The source that a URI, a path or a glob names; nothing is opened yet.

    Raises:
        ConfigError: An unknown scheme or a wrong setting.
        InputMissing: A path that leads nowhere.
    """
    scheme, address, query = _place(text)
    if scheme not in SCHEMES:
        raise ConfigError(f"unknown source '{scheme}'{suggest(scheme, SCHEMES)}")
    made = load(SCHEMES[scheme])
    values = {**query, "address": address} if address else query
    if not isinstance(made, type):
        return cast(Source, made(query))
    return cast(Source, settings.build(cast("type[Any]", made), values, f"source '{uri.public(text)}'"))


def _place(text: str) -> tuple[str, str, dict[str, str]]:
    """Scheme, address and settings of what the user wrote."""
    if text == "-" or text.startswith("-?"):
        text = f"stdin:{text[1:]}"
    if text.startswith(("/dev/video", "/dev/v4l/")):
        text = f"v4l2:{text}"
    if (head := text.partition("://")[0].lower()) in _REMOTE:
        text = head + text[len(head) :]  # a phone writes Rtsp://
    # os.path asks without complaint: a name may be too long, or lie where we may not look
    word, mark, query = text.partition("?")
    if word in SCHEMES and not os.path.exists(text):
        text = f"{word}:{mark}{query}"
    parts = uri.parse(text)
    if parts.scheme in _REMOTE:
        whole, _, ours = text.partition("#")
        if "@" in ours:
            raise ConfigError(f"source '{uri.public(text)}': a # in user or password is written %23")
        return parts.scheme, whole, uri.settings(ours)
    if parts.scheme and not os.path.exists(text):
        if parts.scheme == "file":
            return _place_path(parts.address.removeprefix("//"), parts.query)
        return parts.scheme, parts.address.removeprefix("//"), parts.query
    if "=" in query and os.path.exists(word) and not os.path.exists(text):
        return _place_path(word, uri.settings(query))
    return _place_path(text, {})


def _place_path(text: str, query: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    path = os.path.expanduser(text) if text.startswith("~/") else text
    if os.path.isdir(path) or (any(sign in text for sign in "*?[") and not os.path.exists(path)):
        return "pictures", path, query
    if not os.path.exists(path):
        raise InputMissing(f"source '{uri.public(text)}': no such file or folder")
    kind = "pictures" if path.lower().endswith(PICTURE_ENDINGS) else "file"
    return kind, path, query
