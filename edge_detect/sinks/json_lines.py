"""JSON Lines: one object a frame."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Literal, TextIO

from edge_detect.errors import SinkError
from edge_detect.frame import Frame
from edge_detect.labels import Labels
from edge_detect.scene import Scene


def record(scene: Scene, labels: Labels, at: float) -> dict[str, Any]:
    """What is told of a frame; boxes are x1 y1 x2 y2 in its pixels.

    Args:
        scene: The frame and what was found.
        labels: Names of the classes.
        at: What to write under `time`.
    """
    frame, found = scene.frame, scene.detections
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    told = [
        {
            "label": labels[class_id],
            "class_id": class_id,
            "score": round(score, 4),
            "box": [round(side, 1) for side in box],
        }
        for class_id, score, box in rows
    ]
    for detection, number in zip(told, scene.numbers, strict=False):
        detection["track_id"] = number or None
    return {
        "source": frame.name,
        "frame": frame.number,
        "time": round(at, 3),
        "width": frame.image.shape[1],
        "height": frame.image.shape[0],
        **({} if scene.looked else {"predicted": True}),
        "detections": told,
    }


class Lines:
    """Writes lines of JSON at once, so that a reader behind a pipe is never behind."""

    def __init__(self, path: str, mode: Literal["w", "a"] = "w") -> None:
        """Opens it.

        Args:
            path: A file, or `-` for standard output.
            mode: Whether a file that is there begins anew or goes on.

        Raises:
            SinkError: It cannot be opened.
        """
        self._name = "stdout" if path == "-" else path
        self._encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
        try:
            self._file: TextIO | None = (
                sys.stdout if path == "-" else Path(path).open(mode, encoding="utf-8")  # noqa: SIM115
            )
        except OSError as error:
            raise SinkError(f"{path}: cannot write: {error.strerror}") from error

    def put(self, record: dict[str, Any]) -> None:
        """Writes one line; nothing after `close`.

        Raises:
            SinkError: It cannot be written.
        """
        if self._file is None:
            return
        try:
            self._file.write(self._encode(record) + "\n")
            self._file.flush()
        except BrokenPipeError:
            raise  # who read our output has gone: a clean end, for the command line to tell
        except OSError as error:
            raise SinkError(f"{self._name}: cannot write: {error.strerror}") from error

    def close(self) -> None:
        """Closes a file; safe to call twice."""
        file, self._file = self._file, None
        if file is not None and file is not sys.stdout:
            try:
                file.close()
            except OSError as error:
                raise SinkError(f"{self._name}: cannot write: {error.strerror}") from error


class JsonLines(Lines):
    """Writes a line for each scene."""

    def __init__(self, path: str, labels: Labels, *, live: bool) -> None:
        """Opens the output.

        Args:
            path: A file, or `-` for standard output.
            labels: Names of the classes.
            live: Whether frames carry the monotonic clock; `time` is Unix time then, and the
                position in the file or stream otherwise.

        Raises:
            SinkError: It cannot be opened.
        """
        super().__init__(path)
        self._labels, self._live = labels, live

    def write(self, scene: Scene) -> None:
        self.put(record(scene, self._labels, self._time(scene.frame)))

    def _time(self, frame: Frame) -> float:
        # the clocks are compared each time: a Pi's wall clock may jump after the start
        return time.time() - time.monotonic() + frame.time if self._live else frame.time
