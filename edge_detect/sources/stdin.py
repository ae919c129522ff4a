"""Stdin: MJPEG or raw frames that another program writes into a pipe."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_detect import pixels
from edge_detect.errors import SourceError
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range

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
        if self.format != "mjpeg" and self.format not in _RAW:
            raise ValueError(f"format: expected mjpeg, {', '.join(_RAW)}, got '{self.format}'")
        if self.format != "mjpeg":
            check_range("width", self.width, 1, 16384)
            check_range("height", self.height, 1, 16384)
        if self.format == "i420" and (self.width % 2 or self.height % 2):
            raise ValueError(f"i420 wants even sides, got {self.width}x{self.height}")

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        for image in self._mjpeg() if self.format == "mjpeg" else self._raw():
            at = time.monotonic() if self.live else number / self.fps
            yield Frame(pixels.turn(image, self.rotation, self.flip), at, number, "stdin")
            number += 1
        if not number:
            raise SourceError(f"stdin: ended before the first whole frame; expected {self.format}")

    def _mjpeg(self) -> Iterator[Image]:
        for data in pictures(_chunks()):
            image = pixels.decode_picture(data)
            if image is not None:
                yield image

    def _raw(self) -> Iterator[Image]:
        size = int(self.width * self.height * _RAW[self.format])
        rest = bytearray()
        for chunk in _chunks():
            rest += chunk
            while len(rest) >= size:
                frame = np.frombuffer(bytes(rest[:size]), np.uint8)
                del rest[:size]
                yield self._image(frame)

    def _image(self, data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Image:
        if self.format == "i420":
            return pixels.bgr_from_i420(data.reshape(self.height * 3 // 2, self.width))
        if self.format == "gray":
            return np.repeat(data.reshape(self.height, self.width, 1), 3, 2)
        image = data.reshape(self.height, self.width, 3)
        return image if self.format == "bgr" else np.ascontiguousarray(image[..., ::-1])


def _chunks() -> Iterator[bytes]:
    """What arrives on standard input, until its end."""
    handle = sys.stdin.fileno()
    while True:
        # in slices, so that the thread notices when its reader has gone
        ready, _, _ = select.select([handle], [], [], 0.5)
        if ready:
            chunk = os.read(handle, CHUNK)
            if not chunk:
                return
            yield chunk


def pictures(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The JPEG files in a stream; what stands between them (multipart headers, rubbish) is passed over.

    Raises:
        SourceError: So much data without one picture that it cannot be MJPEG.
    """
    buffer, found = bytearray(), 0
    for chunk in chunks:
        buffer += chunk
        while True:
            start = buffer.find(b"\xff\xd8\xff")
            if start < 0:
                del buffer[:-2]
                break
            end = _end(buffer, start)
            if end < 0:  # not a JPEG after all
                del buffer[: start + 2]
                continue
            if end == 0:
                if start:
                    del buffer[:start]
                break
            yield bytes(buffer[start:end])
            found += 1
            del buffer[:end]
        if len(buffer) > LONGEST:
            raise SourceError("stdin: no end of a picture in 64 MiB; expected MJPEG")


def _end(data: bytearray, start: int) -> int:
    """Where the JPEG at `start` ends: 0 when more data is needed, -1 when it is none.

    Walks the segments, so that a thumbnail inside one does not end the picture.
    Source: ITU-T T.81, annex B.
    """
    at = start + 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return -1
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xD9:
            return at + 2
        elif marker == 0xD8 or marker == 0:
            return -1
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                at = _after_scan(data, at)
                if at < 0:
                    return 0
    if at + 2 <= len(data) and data[at] == 0xFF and data[at + 1] == 0xD9:
        return at + 2
    return 0


def _after_scan(data: bytearray, at: int) -> int:
    """The first marker behind entropy-coded data; -1 when it is not there yet."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return -1
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2
