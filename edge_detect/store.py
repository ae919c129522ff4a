"""Store: the models that were installed on this machine, and which of them runs.

    FOLDER/state.json      which one runs, which ran before it, which are on trial
    FOLDER/NAME-DIGEST/    one installed model: NAME.tflite, labels.txt, manifest.json
    FOLDER/partial/        downloads that are not whole

Every file is written beside its place, synced and moved into it, so a power cut leaves the old or
the new one. The manifest is the last file of a model, and the state is changed when all of it is
there: at every moment a whole model runs. Models are not changed once they are there, and the one
before is kept.

A model that is new is on trial until it has looked at its first picture. When it began `STARTS`
times and never got there, the one before it runs again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from edge_detect import durable
from edge_detect.errors import ConfigError, EdgeDetectError, SinkError
from edge_detect.lazy import suggest
from edge_detect.places import models_folder

log = logging.getLogger(__name__)

STARTS = 2
"""Starts of a new model without one picture looked at, after which it runs no more."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(rf"({NAME.pattern})-[0-9a-f]{{12}}")


@dataclass(frozen=True, slots=True)
class Installed:
    """The manifest of an installed model.

    Attributes:
        name: What it is called; the folder is the name and a digest of the contents.
        sha256: Of the file.
        size: Of the file, in bytes.
        labels_sha256: Of the label file; empty when there is none.
        input: (width, height) of the picture that it looks at, in pixels.
        layout: How its outputs are read, in one word.
        origin: Where it came from.
        time: When it was installed, UTC.
    """

    name: str
    sha256: str
    size: int
    labels_sha256: str
    input: tuple[int, int]
    layout: str
    origin: str
    time: str

    @property
    def key(self) -> str:
        """The name of its folder."""
        return key_of(self.name, self.sha256, self.labels_sha256)

    @property
    def model(self) -> Path:
        """The model file."""
        return models_folder() / self.key / f"{self.name}.tflite"

    @property
    def labels(self) -> Path | None:
        """The label file; None when the model has its names inside."""
        return self.model.with_name("labels.txt") if self.labels_sha256 else None

    def fault(self) -> str:
        """What is wrong with its files; empty when they are what the manifest says."""
        labels = self.labels
        return _fault(self.model, self.sha256) or (_fault(labels, self.labels_sha256) if labels else "")


def _fault(path: Path, sha256: str) -> str:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return "" if found == sha256 else f"{path.name}: SHA-256 {found[:12]}..., expected {sha256[:12]}..."


def key_of(name: str, sha256: str, labels_sha256: str = "") -> str:
    """The folder of a model of this name and contents."""
    return f"{name}-{hashlib.sha256((sha256 + labels_sha256).encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class State:
    """Which model runs.

    Attributes:
        active: Key of the one that is to run; empty for the shipped one.
        previous: Of the one before it.
        trials: How often those began that never looked at a picture.
    """

    active: str = ""
    previous: str = ""
    trials: dict[str, int] = field(default_factory=dict)


def installed() -> Iterator[tuple[str, Installed | None]]:
    """Key and manifest of each installed model; None for a manifest that cannot be read."""
    if models_folder().is_dir():
        for place in sorted(models_folder().iterdir()):
            if _KEY.fullmatch(place.name) and (place / "manifest.json").exists():
                yield place.name, find(place.name)


def find(key: str) -> Installed | None:
    """The manifest of a model; None when it is not there or cannot be read."""
    try:
        data = json.loads((models_folder() / key / "manifest.json").read_bytes())
        manifest = Installed(**data | {"input": tuple(data["input"])})
        return manifest if manifest.key == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def active() -> Installed | None:
    """The model that runs; None for the shipped one.

    When the one that should run is damaged or failed its trial, the one before it does, and the
    log says so.
    """
    state = read_state()
    for key, instead in ((state.active, state.previous), (state.previous, "")):
        if not key:
            break
        manifest = find(key)
        if state.trials.get(key, 0) >= STARTS:
            problem = f"began {STARTS} times and never looked at a picture"
        else:
            problem = manifest.fault() if manifest else "its manifest is gone or damaged"
        if not problem:
            return manifest
        log.error("model %s: %s; rolled back to %s", key, problem, instead or "the shipped model")
    return None


def began(path: Path) -> bool:
    """Notes that a run begins with this model file; whether that is an installed one on trial.

    Nothing is noted for a file that is not in the store.
    """
    key = path.parent.name
    if path.parent.parent != models_folder() or key not in read_state().trials:
        return False
    _change_trials(lambda trials: trials | {key: trials.get(key, 0) + 1})
    return True


def proved(path: Path) -> None:
    """Notes that the run with this model file has looked at a picture: its trial is over."""
    _change_trials(lambda trials: _without(trials, path.parent.name))


def _without(trials: dict[str, int], key: str) -> dict[str, int]:
    return {other: starts for other, starts in trials.items() if other != key}


def _change_trials(change: Callable[[dict[str, int]], dict[str, int]]) -> None:
    try:
        with locked("state", 10.0):
            state = read_state()
            _write_state(replace(state, trials=change(state.trials)))
    except SinkError as error:  # a store that may only be read is no reason not to run
        log.warning("%s; so the trial of the new model is not kept", error)


def install(name: str, data: bytes, labels: bytes, origin: str) -> Installed:
    """Keeps a model and makes it the one that runs. Call it with `locked("work")`.

    Args:
        name: What to call it.
        data: The file.
        labels: The label file; empty for a model with its names inside.
        origin: Where both came from.

    Raises:
        ConfigError: The name cannot be one, or the labels are none.
        ModelError: It is not a detector that we can run; it was tried in a child process.
        SinkError: The store cannot be written.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"model name '{name}': expected letters, digits, '.', '_', '-', at most 64")
    sha256, labels_sha256 = digest(data), digest(labels)
    place = models_folder() / key_of(name, sha256, labels_sha256)
    manifest = find(place.name)
    if manifest is None or manifest.fault():
        try:
            durable.make_folder(place)
            durable.write(model := place / f"{name}.tflite", data)
            if labels:
                durable.write(place / "labels.txt", labels)
            input, layout = _try_out(model, place / "labels.txt" if labels else None)
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            manifest = Installed(name, sha256, len(data), labels_sha256, input, layout, origin, now)
            durable.write(place / "manifest.json", json.dumps(asdict(manifest), indent=2).encode())
        except EdgeDetectError:
            durable.remove_folder(place, "manifest.json")
            raise
    activate(manifest)
    _sweep()
    return manifest


def _try_out(path: Path, labels: Path | None) -> tuple[tuple[int, int], str]:
    """Input size and layout of a detector; run in a child process before it is opened here."""
    from edge_detect import model

    card = model.open_model(path, labels, threads=1).card
    assert card.input is not None  # every detector's card has one
    return card.input.size, card.word


def activate(manifest: Installed) -> None:
    """Makes an installed model the one that runs, on trial; the one that ran is kept as the one before."""
    with locked("state", 10.0):
        state, running, key = read_state(), active(), manifest.key
        before = running.key if running else ""
        previous = state.previous if before == key else before
        _write_state(State(key, previous, state.trials | {key: 0}))


def _sweep() -> None:
    """Removes what came of downloads, and what installations that were killed have left."""
    for place in models_folder().iterdir():
        if place.name == "partial" or (_KEY.fullmatch(place.name) and not (place / "manifest.json").exists()):
            durable.remove_folder(place)


def rollback() -> Installed | None:
    """Makes the model before the active one run again; None when that is the shipped one.

    Raises:
        ConfigError: There is none, or it is damaged.
    """
    with locked("state", 10.0):
        state = read_state()
        if not state.active and not state.previous:
            raise ConfigError("nothing to roll back to: no model is installed, the shipped one runs")
        manifest = find(state.previous) if state.previous else None
        if state.previous and (manifest is None or manifest.fault()):
            raise ConfigError(f"model {state.previous}: damaged, cannot be rolled back to; install it again")
        trials = {key: 0 if key == state.previous else starts for key, starts in state.trials.items()}
        _write_state(State(state.previous, state.active, trials))
    return manifest


def remove(name: str) -> str:
    """Deletes an installed model that does not run; returns its key. Call it with `locked("work")`.

    Args:
        name: Its name, or its key where several have that name.

    Raises:
        ConfigError: There is no such model, there are several, or it is the one that runs.
    """
    with locked("state", 10.0):
        state, keys = read_state(), [key for key, _ in installed()]
        named = [key for key in keys if name in (key, key.rpartition("-")[0])]
        if not named:
            raise ConfigError(f"no installed model '{name}'{suggest(name, keys) if keys else ''}")
        if len(named) > 1:
            raise ConfigError(f"several models are called '{name}', expected one of: {', '.join(named)}")
        (key,) = named
        if key == state.active:
            raise ConfigError(f"model {key} is the active one: edge-detect models rollback, then remove it")
        if (running := active()) and key == running.key:  # since the active one failed
            raise ConfigError(f"model {key} is the one that runs: install another one, then remove it")
        previous = "" if key == state.previous else state.previous
        _write_state(State(state.active, previous, _without(state.trials, key)))
        durable.remove_folder(models_folder() / key, "manifest.json")
    return key


def partial() -> Path:
    """The folder of downloads that are not whole."""
    place = models_folder() / "partial"
    durable.make_folder(place)
    return place


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal; empty for nothing."""
    return hashlib.sha256(data).hexdigest() if data else ""


@contextmanager
def locked(name: str, wait: float = 0.0) -> Iterator[None]:
    """Holds a lock of the store: `work` while one is installed, `state` while the state is changed.

    Raises:
        SinkError: Another process has it for longer than `wait` seconds, or the store cannot be written.
    """
    durable.make_folder(models_folder())
    with durable.locked(models_folder() / f"{name}.lock", wait):
        yield


def read_state() -> State:
    """The state; of a damaged one what can be told from the manifests."""
    path = models_folder() / "state.json"
    try:
        data = json.loads(path.read_bytes())
        trials = {str(key): int(starts) for key, starts in data["trials"].items()}
        state = State(str(data["active"]), str(data["previous"]), trials)
        if all(not key or _KEY.fullmatch(key) for key in (state.active, state.previous)):
            return state
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.debug("%s: %s", path, error)
    whole = [manifest for _, manifest in installed() if manifest]
    newest = max(whole, key=lambda manifest: manifest.time, default=None)
    log.error("%s: cannot be read; the model installed last is taken", path)
    return State(newest.key, "", {newest.key: 0}) if newest else State()


def _write_state(state: State) -> None:
    durable.write(models_folder() / "state.json", json.dumps(asdict(state)).encode())
