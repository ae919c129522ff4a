"""Models: list, download, install, check and roll back detectors.

What is pulled or installed is tried in a process of its own, kept with its SHA-256, and runs from
the next start on where no --model is named. The model before it is kept: `rollback` brings it back,
and so does a new one that begins twice without looking at one picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, InputMissing, ModelError

if TYPE_CHECKING:
    from edge_detect.catalogue import Entry
    from edge_detect.store import Installed

LARGEST = 1 << 28  # bytes; a detector for this kind of machine has a few million


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect models`."""
    add = arguments.acts_of(parser)
    sub = add("list", "what the catalogue knows and what is installed", _list)
    sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
    _add_catalogue(sub)
    sub = add("pull", "download a model of the catalogue, and install it", _pull)
    sub.add_argument("name", metavar="NAME", help="as `list` tells it")
    _add_catalogue(sub)
    sub.add_argument(
        "--patience", type=arguments.seconds, default=20.0, metavar="S", help="silence that is too long (20)"
    )
    sub.add_argument(
        "--tries", type=arguments.count, default=4, metavar="N", help="for each URL, each goes on (4)"
    )
    sub = add("install", "install a file", _install)
    sub.add_argument("file", metavar="FILE", help="a .tflite detector")
    sub.add_argument("-l", "--labels", metavar="FILE", help="names of its classes (default: those inside)")
    sub.add_argument("--name", metavar="NAME", help="what to call it (default: as the file)")
    add("verify", "compare every installed file with its SHA-256", _verify)
    add("rollback", "run the model before the active one again", _rollback)
    sub = add("remove", "delete an installed model", _remove)
    sub.add_argument("name", metavar="NAME", help="as `list` tells it")


def _add_catalogue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalogue",
        metavar="FILE",
        help="another catalogue; its URLs may be http (default: the shipped one)",
    )


def main(options: argparse.Namespace) -> int:
    """Does what was asked for."""
    return int(options.do(options))


def _entries(options: argparse.Namespace) -> tuple[Path, dict[str, Entry]]:
    """The folder of the catalogue and what is in it."""
    from edge_detect import catalogue

    path = Path(options.catalogue) if options.catalogue else arguments.MODELS / "catalogue.toml"
    return path.parent, catalogue.read(path, plain_http=bool(options.catalogue))


def _list(options: argparse.Namespace) -> int:
    """Every model, the active one marked."""
    from edge_detect.places import models_folder

    rows = list(_rows(*_entries(options)))
    if options.json:
        print(json.dumps({"folder": str(models_folder()), "models": rows}))
        return 0
    wide = max((len(row["name"]) for row in rows), default=4)
    print(f"  {'name':<{wide}} {'MB':>5} {'input':>9} {'AP50':>6}  {'layout':<19} {'licence':<10} state")
    for row in rows:
        mark, size = "*" if row["active"] else " ", "x".join(map(str, row["input"]))
        ap50 = f"{row['ap50']:.3f}" if row["measured"] else ""
        line = f"{mark} {row['name']:<{wide}} {row['bytes'] / 1e6:>5.1f} {size:>9} {ap50:>6}"
        print(f"{line}  {row['layout']:<19} {row['licence']:<10} {row['state']}".rstrip())
    print(f"\n* runs where no --model is named; what is installed is in {models_folder()}")
    return 0


def _rows(folder: Path, entries: dict[str, Entry]) -> Iterator[dict[str, Any]]:
    """The models of the catalogue, then those that were installed from elsewhere."""
    from edge_detect import store

    running, there = store.active(), dict(store.installed())
    for entry in entries.values():
        key = store.key_of(entry.name, entry.sha256, store.digest(_labels_of(folder, entry)))
        if key in there:
            word, active = _word(key, there.pop(key)), running is not None and running.key == key
        else:
            word = "shipped" if entry.file else ""
            active = running is None and folder / entry.file == arguments.SHIPPED
        yield asdict(entry) | {"active": active, "state": word}
    for key, manifest in there.items():
        active = running is not None and running.key == key
        yield _installed_row(key, manifest) | {"active": active, "state": _word(key, manifest)}


def _installed_row(key: str, manifest: Installed | None) -> dict[str, Any]:
    """A model that the catalogue does not know, in the words of the catalogue."""
    none = {"name": key, "about": "", "licence": "", "layout": "", "input": (), "bytes": 0, "sha256": ""}
    none |= {"measured": "", "ap": 0.0, "ap50": 0.0}
    return none | asdict(manifest) | {"bytes": manifest.size} if manifest else none


def _word(key: str, manifest: Installed | None) -> str:
    """How an installed model stands."""
    from edge_detect import store

    state = store.read_state()
    words = ["installed" if manifest else "manifest damaged"]
    words += ["to run"] * (key == state.active) + ["ran before"] * (key == state.previous)
    if key in state.trials:
        starts = state.trials[key]
        words.append("on trial" if starts < store.STARTS else f"failed {starts} starts")
    return ", ".join(words)


def _labels_of(folder: Path, entry: Entry) -> bytes:
    """The label file of an entry; empty when it needs none."""
    return _read(folder / entry.labels, "labels") if entry.labels else b""


def _pull(options: argparse.Namespace) -> int:
    """Downloads, installs and tells what runs next."""
    from edge_detect import store
    from edge_detect.lazy import suggest

    folder, entries = _entries(options)
    entry = entries.get(options.name)
    if entry is None:
        raise ConfigError(f"no model '{options.name}' in the catalogue{suggest(options.name, entries)}")
    labels = _labels_of(folder, entry)
    with store.locked("work"):
        kept = store.find(store.key_of(entry.name, entry.sha256, store.digest(labels)))
        if kept and not kept.fault():
            store.activate(kept)
            return _tell(kept)
        origin, data = _shipped(folder, entry) if entry.file else _download(entry, options)
        return _tell(store.install(entry.name, data, labels, origin))


def _shipped(folder: Path, entry: Entry) -> tuple[str, bytes]:
    """Place and bytes of the file beside the catalogue, when it is the one that the catalogue means."""
    from edge_detect import store

    data = _read(folder / entry.file, "model")
    if store.digest(data) != entry.sha256:
        raise ModelError(f"{folder / entry.file}: SHA-256 differs from the catalogue's; copy it again")
    return str(folder / entry.file), data


def _download(entry: Entry, options: argparse.Namespace) -> tuple[str, bytes]:
    """Where a file came from, and its bytes."""
    from edge_detect import store
    from edge_detect.download import Downloader

    with Progress(entry.name) as progress:
        downloader = Downloader(options.patience, options.tries, tell=progress.tell)
        return downloader.obtain(entry.urls, store.partial(), entry.bytes, entry.sha256)


def _install(options: argparse.Namespace) -> int:
    """Installs a file that is here already."""
    from edge_detect import store

    path = Path(options.file)
    data = _read(path, "model")
    labels = _read(Path(options.labels), "labels") if options.labels else b""
    with store.locked("work"):
        return _tell(store.install(options.name or path.stem, data, labels, str(path.resolve())))


def _read(path: Path, what: str) -> bytes:
    """A file of a size that can be.

    Raises:
        InputMissing: It cannot be read.
        ModelError: It is larger than any.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{path}: more than {LARGEST >> 20} MB, expected a model for a small machine")
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the {what}: {error.strerror}") from error


def _tell(manifest: Installed) -> int:
    width, height = manifest.input
    print(f"{manifest.key}: {manifest.layout}, {width}x{height}, runs from the next start on")
    return 0


def _verify(options: argparse.Namespace) -> int:
    """A line for each model; 1 when one is not what it was."""
    from edge_detect import store

    bad = 0
    for key, manifest in store.installed():
        fault = manifest.fault() if manifest else "manifest.json: damaged"
        print(f"{key}: {f'BAD: {fault}; install it again' if fault else 'ok'}")
        bad += bool(fault)
    return int(bad > 0)


def _rollback(options: argparse.Namespace) -> int:
    from edge_detect import store

    manifest = store.rollback()
    if manifest:
        return _tell(manifest)
    print(f"{arguments.SHIPPED}: the shipped model runs from the next start on")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from edge_detect import store

    with store.locked("work"):
        print(f"{store.remove(options.name)}: removed")
    return 0


class Progress:
    """How far a download is, on a terminal: bytes, rate and time that is left."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = name, sys.stderr.isatty()
        self._first: tuple[float, int] | None = None
        self._last = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown and self._first:
            sys.stderr.write("\n")

    def tell(self, have: int, total: int) -> None:
        """Shows it, at most ten times a second."""
        now = time.monotonic()
        if not self._shown or (now - self._last < 0.1 and have != total):
            return
        self._first, self._last = self._first or (now, have), now
        start, before = self._first
        rate = (have - before) / (now - start) if now > start else 0.0
        sys.stderr.write(f"\r{progress_line(self._name, have, total, rate):<76}")
        sys.stderr.flush()


def progress_line(name: str, have: int, total: int, rate: float) -> str:
    """`detector  1.2 of 3.5 MB  34 %  0.6 MB/s  0:04 left`, as far as it is known."""
    line = f"{name}  {have / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB  {have / total:.0%}" if total else " MB")
    if rate:
        line += f"  {rate / 1e6:.1f} MB/s"
        if total:
            minutes, seconds = divmod(round((total - have) / rate), 60)
            line += f"  {minutes}:{seconds:02} left"
    return line
