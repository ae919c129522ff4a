"""Stdin: MJPEG or raw frames that another program writes into a pipe."""

from __future__ import annotations

import logging
import os
import re
import select
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from edge_detect import pixels
from edge_detect.errors import SourceError, words
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range

log = logging.getLogger(__name__)

CHUNK = 1 << 16
LONGEST = 64 << 20  # bytes without a whole picture: this is no MJPEG
_RAW = {"bgr": 3.0, "rgb": 3.0, "gray": 1.0, "i420": 1.5}  # bytes of a pixel


@dataclass
class Stdin:
    """Standard input: JPEG pictures one after another, or raw frames of a known size.

    Attributes:
        format: `mjpeg`, or for raw frames `bgr`, `rgb`, `gray` or `i420`.
        width: Of raw frames, in pixels.
        height: Of raw frames, in pixels.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        live: Newest frame wins; off, each frame counts and the writer waits.
        fps: Frames a second, for the time of frames that are not live.
        patience: Seconds of silence after which the camera counts as lost.
    """

    format: str = "mjpeg"
    width: int = 0
    height: int = 0
    rotation: int = 0
    flip: str = ""
    live: bool = True
    fps: float = 25.0
    patience: float = 5.0
    freeze = 0.0
    reopens = False

    def __post_init__(self) -> None:
        pixels.check_turn(self.rotation, self.flip)
        check_range("fps", self.fps, 0.1, 1000)
        check_range("patience", self.patience, 0.5, 600)
        if self.format != "mjpeg" and self.format not in _RAW:
            raise ValueError(f"format: expected mjpeg, {', '.join(_RAW)}, got '{self.format}'")
        if self.format != "mjpeg":
            check_range("width", self.width, 1, 16384)
            check_range("height", self.height, 1, 16384)
        if self.format == "i420" and (self.width % 2 or self.height % 2):
            raise ValueError(f"i420 wants even sides, got {self.width}x{self.height}")

    def __iter__(self) -> Iterator[Frame | None]:
        number = 0
        for image in self._mjpeg() if self.format == "mjpeg" else self._raw():
            if image is None:
                yield None
                continue
            at = time.monotonic() if self.live else number / self.fps
            yield Frame(pixels.turn(image, self.rotation, self.flip), at, number, "stdin")
            number += 1
        if not number:
            raise SourceError(f"stdin: ended before the first whole frame; expected {self.format}")

    def _mjpeg(self) -> Iterator[Image | None]:
        return map(pixels.decode_picture, pictures(_chunks()))

    def _raw(self) -> Iterator[Image | None]:
        size = int(self.width * self.height * _RAW[self.format])
        rest = bytearray()
        for chunk in _chunks():
            if not chunk:
                yield None
            rest += chunk
            while len(rest) >= size:
                frame = np.frombuffer(bytes(rest[:size]), np.uint8)
                del rest[:size]
                yield self._image(frame)
        if rest:
            given = f"{self.width}x{self.height} {self.format}"
            log.warning("stdin: ended within a frame; was it cut off, or is it not %s?", given)

    def _image(self, data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Image:
        if self.format == "i420":
            return pixels.bgr_from_i420(data.reshape(self.height * 3 // 2, self.width))
        if self.format == "gray":
            return np.repeat(data.reshape(self.height, self.width, 1), 3, 2)
        image = data.reshape(self.height, self.width, 3)
        return image if self.format == "bgr" else np.ascontiguousarray(image[..., ::-1])


def _chunks() -> Iterator[bytes]:
    """What arrives on standard input, until its end; b"" when nothing came for a moment."""
    if sys.stdin is None:
        raise SourceError("stdin: closed; expected pictures there")
    try:
        handle = sys.stdin.fileno()
        while True:
            ready, _, _ = select.select([handle], [], [], 0.2)
            chunk = os.read(handle, CHUNK) if ready else b""
            if ready and not chunk:
                return
            yield chunk
    except (OSError, ValueError) as error:  # a folder, or no file at all
        raise SourceError(f"stdin: cannot be read: {words(error)}") from error


def pictures(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The JPEG files in a stream; what stands between them (multipart headers, rubbish) is passed over.

    Args:
        chunks: The stream, however it is cut; for an empty chunk b"" is given back.

    Raises:
        SourceError: So much data without one picture that it cannot be MJPEG.
    """
    buffer = bytearray()
    found = _pictures(buffer)
    for chunk in chunks:
        if not chunk:
            yield chunk
        buffer += chunk
        while picture := next(found):
            yield picture
        if len(buffer) > LONGEST:
            raise SourceError("stdin: no end of a picture in 64 MiB; expected MJPEG")


def _pictures(buffer: bytearray) -> Iterator[bytes]:
    """The JPEG files in a buffer, which are taken out of it; b"" when more of it is needed."""
    while True:
        while (start := buffer.find(b"\xff\xd8\xff")) < 0:
            del buffer[:-2]
            yield b""
        del buffer[:start]
        end, whole = yield from _end(buffer)
        if whole:
            yield bytes(buffer[:end])
        del buffer[:end]


def _end(data: bytearray) -> Generator[bytes, None, tuple[int, bool]]:
    """Up to where the JPEG at the start of `data` goes, and whether it is whole.

    Walks the segments, so that a thumbnail inside one does not end the picture, and looks at
    each byte once, however small the chunks. Source: ITU-T T.81, annex B.
    """
    at = segment = 2
    while True:
        while len(data) < at + 2:
            yield b""
        marker = data[at + 1]
        if data[at] != 0xFF or marker < 0xC0 or marker == 0xD8:
            return segment, False  # cut off: the length of the last segment led astray
        if marker == 0xD9:
            return at + 2, True
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        while len(data) < at + 4:
            yield b""
        segment, at = at, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            while not (found := _MARKER.search(data, at)):
                at = max(at, len(data) - 1)
                yield b""
            at = found.start()


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # behind entropy-coded data
