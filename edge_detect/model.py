"""Model: a detector file, known, labelled and ready to run."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect import board, cache, card, decoders, labels
from edge_detect.card import Card
from edge_detect.decoders import Decoder
from edge_detect.errors import InputMissing, ModelError
from edge_detect.interpreter import Interpreter, runtime
from edge_detect.labels import Labels
from edge_detect.uri import is_text

if TYPE_CHECKING:
    from edge_detect.anchors import Anchors

log = logging.getLogger(__name__)

CARD_FORMAT = 2  # raised whenever files are read in another way


@dataclass(frozen=True, slots=True)
class File:
    """A model file as it is on disk."""

    path: Path
    data: bytes
    sha256: str


@dataclass(frozen=True, eq=False)
class Model:
    """What the detector needs of a model.

    Attributes:
        file: The file.
        card: What the file is and how it is read.
        labels: Names of its classes.
        interpreter: The runtime with the model in it.
        decoder: From its outputs to boxes.
        threads: Threads of the runtime.
    """

    file: File
    card: Card
    labels: Labels
    interpreter: Interpreter
    decoder: Decoder
    threads: int


def read_file(path: Path) -> File:
    """The bytes of a model file and their SHA-256.

    Raises:
        InputMissing: There is no such file, or it may not be read.
        ModelError: It is a directory, or the runtime cannot be told its name.
    """
    if not is_text(str(path)):
        raise ModelError(f"{path}: expected a name in UTF-8; rename the file")
    try:
        data = path.read_bytes()
    except IsADirectoryError as error:
        saved = (path / "saved_model.pb").exists()
        what = "a TensorFlow SavedModel directory" if saved else "a directory"
        raise ModelError(f"{path}: {what}, expected a .tflite file") from error
    except OSError as error:
        raise InputMissing(
            f"{path}: cannot read the model: {error.strerror}; give a .tflite file with --model"
        ) from error
    return File(path, data, hashlib.sha256(data).hexdigest())


def examine(file: File) -> Card:
    """The card of a file: remembered, or found by a run in a child process.

    Raises:
        ModelError: The file is no model, or no runtime can run it.
    """
    name, _ = runtime()
    key = f"cards/{file.sha256}-{name.replace(' ', '-')}-{CARD_FORMAT}.json"
    kept = cache.load(key)
    if kept:
        try:
            return card.from_json(kept)
        except (ValueError, KeyError, TypeError):
            log.debug("%s: not a card, examined anew", key)
    from edge_detect import probe  # a model that is known starts without these
    from edge_detect.graph import Graph

    Graph(file.data, file.path.name)
    found = probe.examine_apart(file.path)
    if found.kind == "detector":
        cache.store(key, card.to_json(found))
    return found


def open_model(path: Path, label_path: Path | None = None, threads: int = 0) -> Model:
    """A detector that is ready to run.

    Args:
        path: A `.tflite` file.
        label_path: A label file; without it the embedded names are used.
        threads: Threads of the runtime; 0 finds the best number by a short measurement.

    Raises:
        InputMissing: A file is not there.
        ConfigError: The label file is not one.
        ModelError: The model is not a detector that we can run.
    """
    given = read_labels(label_path) if label_path else None
    file = read_file(path)
    known = examine(file)
    if known.kind != "detector":
        raise ModelError(f"{path.name}: {known.reason}")
    threads = threads or best_threads(file)
    interpreter = Interpreter(str(path), threads)
    decoder = decoders.build(known.family, known.settings, known.outputs, _anchors(file, known))
    fitted, mismatch = labels.fit(given or known.embedded, decoder.classes)
    if mismatch:
        log.warning("%s: %s", label_path or path.name, mismatch)
    return Model(file, known, fitted, interpreter, decoder, threads)


def _anchors(file: File, known: Card) -> Anchors | None:
    """The anchors of a raw SSD; None for the families that need none."""
    if known.family != "ssd" or known.input is None:
        return None
    from edge_detect import reading
    from edge_detect.graph import Graph

    graph = Graph(file.data, file.path.name)
    return reading.find_anchors(graph, known.settings, known.input.size, known.outputs)


def read_labels(path: Path) -> Labels:
    """Labels from a file.

    Raises:
        InputMissing: There is no such file, or it may not be read.
        ConfigError: It is not a label file.
    """
    try:
        return labels.parse(path.read_text("utf-8", "replace"), str(path))
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the labels: {error.strerror}") from error


def best_threads(file: File) -> int:
    """The number of threads that runs this model fastest here; one core is left to the rest.

    Measured once for each board, runtime and model, then remembered.
    """
    most = max(1, board.cores() - 1)
    if most == 1:
        return 1
    name, _ = runtime()
    board_key = hashlib.sha256(f"{board.name()} {board.cores()} {name}".encode()).hexdigest()[:12]
    key = f"threads/{file.sha256}-{board_key}"
    kept = cache.load(key)
    if kept and kept.isdecimal() and 1 <= int(kept) <= most:
        return int(kept)
    times = dict(_measure(str(file.path), min(most, 4)))
    fastest = min(times.values())
    chosen = next(n for n, seconds in times.items() if seconds <= fastest * 1.05)
    log.info(
        "threads: %d (%s ms for an inference)",
        chosen,
        ", ".join(f"{n}: {seconds * 1e3:.1f}" for n, seconds in times.items()),
    )
    cache.store(key, str(chosen))
    return chosen


def _measure(path: str, most: int) -> Iterator[tuple[int, float]]:
    for threads in range(1, most + 1):
        interpreter = Interpreter(path, threads)
        interpreter.run()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            interpreter.run()
            seconds.append(time.perf_counter() - start)
        yield threads, sorted(seconds)[2]
