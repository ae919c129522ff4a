"""Clip: pictures become an MP4 that every browser plays, in memory until it is whole."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import cast

import cv2
import numpy as np

from edge_detect.errors import DependencyError, SinkError
from edge_detect.frame import Image

try:
    import av
    from av.video.stream import VideoStream
except ImportError as error:
    raise DependencyError("clips need PyAV: pip install 'edge_detect[record]'") from error

TICKS = 90_000  # a second, as MPEG counts
# A Pi 5 has no encoder of its own. Of 300 pictures of 1280x720 on x86-64, PyAV 18.1: ultrafast 9.4 ms each,
# 3.3 MB, 18 MB of memory; veryfast 13.5 ms, 1.1 MB, 77 MB; with this short look ahead 11.6 ms, 0.9 MB, 31 MB
_OPTIONS = {"preset": "veryfast", "crf": "27", "maxrate": "3M", "bufsize": "6M", "g": "50"}
_OPTIONS |= {"rc-lookahead": "2", "bf": "0"}


class Clip:
    """One clip: an anonymous file in memory that takes pictures and is read when it is closed.

    Nothing of it is on a disk before it is whole: the card is written once, and front to back,
    although the index of the file, which is known last, comes first in it.
    """

    def __init__(self) -> None:
        """Opens the file; the encoder follows with the first picture, which has the size.

        Raises:
            DependencyError: PyAV was built without x264.
        """
        if "libx264" not in av.codecs_available:
            raise DependencyError("clips need x264, which this PyAV lacks: pip install 'edge_detect[record]'")
        self._file = os.memfd_create("clip")
        self._output = av.open(
            f"/proc/self/fd/{self._file}", "w", format="mp4", options={"movflags": "faststart"}
        )
        self._stream: VideoStream | None = None
        self._first = 0.0
        self._ticks = -1

    def add(self, jpeg: bytes, time: float) -> None:
        """Adds a picture taken at `time`; one that cannot be read or encoded is left out."""
        image = cast(Image, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
        if image is None:
            return
        if self._stream is None:
            self._stream, self._first = self._begin(image), time
        width, height = self._stream.width, self._stream.height
        if image.shape[:2] != (height, width):
            image = (
                image[:height, :width] if _is_odd(image, width, height)
                else cast(Image, cv2.resize(image, (width, height)))
            )  # fmt: skip
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame.time_base = Fraction(1, TICKS)
        # strictly later, whatever the clock says
        frame.pts = self._ticks = max(self._ticks + 1, round((time - self._first) * TICKS))
        with contextlib.suppress(av.error.FFmpegError):
            self._output.mux(self._stream.encode(frame))

    def _begin(self, image: Image) -> VideoStream:
        height, width = image.shape[:2]
        stream = self._output.add_stream("libx264", options=_OPTIONS)
        stream.width, stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1  # the net has the other cores
        return stream

    def finish(self) -> bytes:
        """The whole file; empty where no picture came.

        Raises:
            SinkError: It cannot be finished.
        """
        try:
            if self._stream is None:
                return b""
            self._output.mux(self._stream.encode(None))
            self._output.close()
            os.lseek(self._file, 0, os.SEEK_SET)
            with open(self._file, "rb", closefd=False) as file:
                return file.read()
        except av.error.FFmpegError as error:
            raise SinkError(f"a clip cannot be finished: {error}") from error

    def close(self) -> None:
        """Gives its memory back; safe to call twice."""
        file, self._file = self._file, -1
        if file >= 0:
            self._output.close()
            os.close(file)


def _is_odd(image: Image, width: int, height: int) -> bool:
    """Whether the picture is but the odd row or column larger, which H.264 cannot have."""
    return (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2) == (width, height)
