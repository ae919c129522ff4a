"""Video: an annotated video file that plays as fast as the world did."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import cast

import cv2

from edge_detect.draw import Annotate
from edge_detect.errors import SinkError, SourceError
from edge_detect.frame import Image
from edge_detect.scene import Scene
from edge_detect.sources import Source
from edge_detect.sources.video import opened
from edge_detect.uri import is_text

log = logging.getLogger(__name__)

RESERVE = 8 << 20  # bytes that stay free; the index at the end of the file has to fit as well
LIVE_FPS = 15.0
LONGEST_GAP = 10.0  # seconds that a picture is held while a camera is lost


class Video:
    """Writes annotated frames as MPEG-4.

    A recorded source is written frame by frame at its own rate. A live one has gaps where frames
    were dropped: the last picture is held, or a frame left out, so that the time is right.
    """

    def __init__(self, path: str, annotate: Annotate, source: Source) -> None:
        """Nothing is opened before the first scene, which has the size.

        Args:
            path: The file; its ending chooses the container.
            annotate: Gives the picture to write.
            source: Tells whether to keep time by `Frame.time`, and the rate of a recording.
        """
        self._path, self._annotate, self._source = Path(path), annotate, source
        self._fps = LIVE_FPS
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._begun = 0.0
        self._written = 0
        self._last: Image | None = None
        self._check_space()

    def write(self, scene: Scene) -> None:
        self._check_space()
        if self._writer is None:
            self._size, self._begun = scene.frame.size, scene.frame.time
            self._fps = LIVE_FPS if self._source.live else self._source.fps or LIVE_FPS
            self._writer = self._open()
        image = self._annotate(scene, 0)
        if scene.frame.size != self._size:  # pictures of different sizes, or a camera that changed
            image = cast(Image, cv2.resize(image, self._size))
        for missing in reversed(range(self._due(scene.frame.time))):
            self._writer.write(self._last if missing and self._last is not None else image)
            self._written += 1
        self._last = image

    def _due(self, now: float) -> int:
        """How many frames to write to be in time."""
        if not self._source.live:
            return 1
        due = round((now - self._begun) * self._fps) + 1 - self._written
        if due > LONGEST_GAP * self._fps:
            skipped = due - int(LONGEST_GAP * self._fps)
            self._begun += skipped / self._fps
            due -= skipped
        return max(0, due)

    def _open(self) -> cv2.VideoWriter:
        if not is_text(name := str(self._path)):
            raise SinkError(f"{name}: expected a name in UTF-8")
        if min(self._size) < 2:
            width, height = self._size
            raise SinkError(f"{name}: expected pictures of 2x2 pixels or more, got {width}x{height}")
        code = cv2.VideoWriter.fourcc(*("MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"))
        writer = cv2.VideoWriter(name, code, self._fps, self._size)
        if not writer.isOpened():
            raise SinkError(f"{self._path}: cannot write the video: no such folder, or no permission")
        return writer

    def _check_space(self) -> None:
        """OpenCV does not tell of a full disk, so we look before it is."""
        folder = self._path.parent
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            raise SinkError(f"{self._path}: cannot write the video: {error.strerror}") from error
        if usage.free < min(RESERVE, usage.total // 4):
            raise SinkError(
                f"{self._path}: disk full ({usage.free >> 20} MB left in {folder}); the video ends here"
            )

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.release()
            self._check_index()
            log.info("%s: %d frames written", self._path, self._written)

    def _check_index(self) -> None:
        """Nor does OpenCV tell that the end could not be written, without which an MP4 is nothing."""
        try:
            with opened(str(self._path)):
                pass
        except SourceError as error:
            raise SinkError(f"{self._path}: cannot be played, its end is missing: disk full?") from error
