"""Pictures: annotated pictures in a folder, of every frame or of those that show something."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import cv2

from edge_detect.draw import Annotate
from edge_detect.errors import SinkError
from edge_detect.frame import Frame, Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene
from edge_detect.sinks import is_folder
from edge_detect.sources import PICTURE_ENDINGS


def save(image: Image, path: Path) -> None:
    """Writes a picture, whole or not at all.

    Raises:
        SinkError: It cannot be written.
    """
    try:
        fine, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise SinkError(f"{path}: cannot be encoded as {path.suffix}: {error.err}") from error
    if not fine:
        raise SinkError(f"{path}: cannot be encoded as {path.suffix}")
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(data.tobytes())
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error


def make_folder(path: str) -> Path:
    """The folder, made where it was missing.

    Raises:
        SinkError: It cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{path}: cannot make the folder: {error.strerror}") from error
    return folder


class Pictures:
    """One annotated picture for each scene; a path with an ending is one file, always the newest."""

    def __init__(self, path: str, annotate: Annotate) -> None:
        self._annotate = annotate
        self._single = None if is_folder(path) else Path(path)
        self._folder = make_folder(path if self._single is None else str(Path(path).parent))
        self._used: set[str] = set()

    def write(self, scene: Scene) -> None:
        path = self._single or self._folder / self._name(scene.frame)
        if path.exists() and os.path.exists(scene.frame.name) and path.samefile(scene.frame.name):
            raise SinkError(f"{path}: is the picture itself; choose another place for the annotated one")
        save(self._annotate(scene, 0), path)

    def _name(self, frame: Frame) -> str:
        """The picture's own name where it has one, numbered where two are the same."""
        path = Path(frame.name)
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"):
            return f"frame-{frame.number:06d}.jpg"
        name = path.name if path.suffix.lower() != ".bmp" else f"{path.name}.png"
        if name in self._used:
            name = f"{Path(name).stem}-{frame.number:06d}{Path(name).suffix}"
        self._used.add(name)
        return name

    def close(self) -> None:
        """Nothing is open between two scenes."""


class Snapshots:
    """An annotated picture when something is seen; an SD card is not for ever.

    Of a camera or a video at most one a second, of a folder of pictures each.
    """

    def __init__(self, path: str, annotate: Annotate, labels: Labels, *, live: bool) -> None:
        self._folder = make_folder(path)
        self._annotate, self._labels, self._live = annotate, labels, live
        self._last = float("-inf")

    def write(self, scene: Scene) -> None:
        frame = scene.frame
        if not len(scene.detections) or 0 < frame.time - self._last < 1:
            return
        self._last = frame.time
        seen = sorted({self._labels[int(class_id)] for class_id in scene.detections.classes})
        words = "-".join("".join(c for c in word if c.isalnum()) for word in seen)
        words = words.encode()[:80].decode(errors="ignore")  # a name may have 255 bytes
        save(self._annotate(scene, 0), self._folder / f"{self._stamp(frame)}-{words}.jpg")

    def _stamp(self, frame: Frame) -> str:
        if frame.name.lower().endswith(PICTURE_ENDINGS):  # has no time, and would have the next one's name
            return f"{frame.number:06d}"
        if not self._live:
            return f"{frame.time:010.3f}s"
        taken = datetime.fromtimestamp(time.time() - time.monotonic() + frame.time, UTC)
        return taken.strftime("%Y%m%dT%H%M%S.") + f"{taken.microsecond // 1000:03d}Z"

    def close(self) -> None:
        """Nothing is open between two scenes."""
