"""Work: what a worker does with a shard, in whatever process or machine it lives.

A worker needs this package in the same version, and the files at the same paths. The model is known by
its hash: the file that the work names is taken when it is that one, or else one that was sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from edge_detect import __version__
from edge_detect.archive.piece import Piece
from edge_detect.archive.shards import Account, Shard
from edge_detect.detections import Detections
from edge_detect.detector import Detector
from edge_detect.errors import ConfigError, EdgeDetectError, InputMissing, ModelError, SourceError
from edge_detect.frame import Frame
from edge_detect.model import open_model
from edge_detect.sources import pictures

SENT: dict[str, Path] = {}
"""Models that this machine was sent, by SHA-256."""
_mine = threading.local()  # a runtime is for one thread


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with every shard, everywhere the same.

    Attributes:
        version: Of the package.
        model: The model's file on the machine that gives out the work.
        sha256: Of that file.
        least: Least score of what is noted; which of it is told is decided when all is put together.
        fit: How a picture is laid into the model's input.
        every: Seconds of video of which one frame is looked at; 0 for every frame.
    """

    version: str
    model: str
    sha256: str
    least: float
    fit: str = "letterbox"
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a shard.

    Attributes:
        account: Of its frames.
        lines: JSON, a `note` for each frame that was looked at.
        error: Why it cannot be done, today or ever; empty when it was.
    """

    account: Account = field(default_factory=Account)
    lines: bytes = b""
    error: str = ""


def look(work: Work, shard: Shard) -> Result:
    """Looks at all frames of a shard; what a person can mend is told in the result, not raised."""
    skipped: list[str] = []
    try:
        _check(work, shard)
        detect = _detector(work)
        piece = Piece(shard.files[0].path, shard.start, shard.end, work.every) if shard.video else None
        frames = _video(piece, shard) if piece else _pictures(shard, skipped)
        lines = [note(frame, detect(frame)) for frame in frames]
        if piece and piece.whole and not piece.frames:
            raise SourceError(f"{shard.recording}: no frame can be read; not a video, or damaged")
    except (EdgeDetectError, cv2.error) as error:
        return Result(error=" ".join(str(error).split()))
    if piece:
        account = Account(piece.frames, piece.first, piece.after, piece.ordered)
    else:
        account = Account(len(shard.files), skipped=tuple(skipped))
    return Result(account, "".join(f"{line}\n" for line in lines).encode())


def _check(work: Work, shard: Shard) -> None:
    """That this worker is fit for it.

    Raises:
        ConfigError: Another version of the package.
        InputMissing: A file is not here, or is another one.
    """
    if work.version != __version__:
        raise ConfigError(
            f"worker {os.uname().nodename}: expected edge_detect {work.version}, got {__version__}"
        )
    if shard.video:  # a picture that has gone is one of many
        file = shard.files[0]
        try:
            size = os.stat(file.path).st_size
        except OSError as error:
            raise InputMissing(f"{file.path}: {error.strerror} (on {os.uname().nodename})") from error
        if size != file.size:
            raise InputMissing(
                f"{file.path}: expected {file.size} bytes, got {size} (on {os.uname().nodename})"
            )


def note(frame: Frame, found: Detections) -> str:
    """All that is known of a frame, every figure to the last bit; `scene.noted` reads it.

    Its number counts from the beginning of the shard, or of the folder of pictures.
    """
    whole = {
        "name": frame.name,
        "number": frame.number,
        "time": frame.time,
        "size": frame.size,
        "boxes": [[_short(side) for side in box] for box in found.boxes.tolist()],
        "scores": [_short(score) for score in found.scores.tolist()],
        "classes": found.classes.tolist(),
    }
    return json.dumps(whole, separators=(",", ":"))


def _short(value: float) -> float:
    return float(f"{value:.9g}")  # nine digits tell every float32 from every other


def _detector(work: Work) -> Detector:
    """The detector of this thread."""
    if getattr(_mine, "work", None) != work:
        cv2.setNumThreads(1)
        path = SENT.get(work.sha256, Path(work.model))
        model = open_model(path, None, 1)
        if model.file.sha256 != work.sha256:
            raise ModelError(f"{path}: is not the model with which this was begun; begin again")
        _mine.detect = Detector(model, work.least, fit=work.fit)
        _mine.work = work
    detect: Detector = _mine.detect
    return detect


def _video(piece: Piece, shard: Shard) -> Iterator[Frame]:
    for number, at, image in piece:
        yield Frame(image, at, number, shard.recording)


def _pictures(shard: Shard, skipped: list[str]) -> Iterator[Frame]:
    """Those that can be read; the others are told in `skipped`."""
    for number, file in enumerate(shard.files, shard.number):
        frame = None
        try:
            frame = pictures.load(file.path, number)
        except EdgeDetectError as error:
            skipped.append(" ".join(str(error).replace(file.path, file.name).split()))
        if frame:
            yield Frame(frame.image, 0.0, number, file.name)


def prepare() -> None:
    """Makes a process a worker: it leaves signals to its parent, and ends when that ends, however it does."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()


def _end_with(parent: object) -> None:
    with contextlib.suppress(OSError):
        parent.join()  # type: ignore[attr-defined]
    os._exit(1)
