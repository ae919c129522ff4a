"""Recording: what is kept of the events, and what nobody may keep, as the settings say."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect import config
from edge_detect.config import Config
from edge_detect.errors import ConfigError
from edge_detect.outputs import wanted
from edge_detect.veil import Veil

if TYPE_CHECKING:
    from edge_detect.labels import Labels
    from edge_detect.layers import Settings
    from edge_detect.records import Records
    from edge_detect.sinks import Sink
    from edge_detect.sinks.recorder import Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a run.

    Attributes:
        sinks: Get every scene, in this order.
        records: For the page; None where nothing is kept.
        recorder: Makes pictures and clips; None without.
    """

    sinks: tuple[Sink, ...] = ()
    records: Records | None = None
    recorder: Recorder | None = None


def open_kept(settings: Settings, stack: ExitStack, *, live: bool) -> Kept:
    """Opens store and recorder, closed by `stack`; nothing of them is imported where nobody asks.

    Raises:
        SinkError: A folder or the store cannot be had.
        DependencyError: Clips are wanted, and PyAV is not installed.
    """
    chosen = settings.config
    path = store_path(chosen)
    if path is None:
        return Kept()
    from edge_detect.event_store import EventStore
    from edge_detect.records import Records

    store = stack.enter_context(closing(EventStore(path)))
    if store.closed:
        log.info("%s: %d events of a run that died have an end now", path, len(store.closed))
    if not chosen.recorder.folder:
        return Kept((store,), Records(store))
    from edge_detect.shelf import Limits, Shelf
    from edge_detect.sinks.recorder import Recorder

    limits = Limits(chosen.recorder.free << 20, chosen.recorder.size << 20, chosen.recorder.days)
    shelf = stack.enter_context(closing(Shelf(Path(chosen.recorder.folder), limits, store.lose)))
    recorder = stack.enter_context(closing(Recorder(chosen.recorder, shelf, store, live=live)))
    return Kept((store, recorder), Records(store, shelf), recorder)


def open_veil(settings: Settings, labels: Labels) -> Veil:
    """What keeps private what the settings say.

    Raises:
        ConfigError: A class that the model does not know.
    """
    with settings.blame("privacy.blur"):
        return Veil(settings.config.privacy, labels)


def store_path(chosen: Config) -> Path | None:
    """Where the events are kept; None for nowhere."""
    if chosen.store.path:
        return Path(chosen.store.path)
    return Path(chosen.recorder.folder, "events.db") if chosen.recorder.folder else None


def refuse_pictures(settings: Settings) -> None:
    """Sees to it that no output wants a picture where none may leave the memory.

    Raises:
        ConfigError: One does.
    """
    chosen = settings.config
    if not chosen.privacy.no_pictures:
        return
    kinds = {kind for kind, _ in wanted(config.Output(outputs=chosen.output.outputs))}
    asked = {
        "recorder.folder": bool(chosen.recorder.folder),
        "output.outputs": bool(kinds & {"video", "pictures"}),
        "output.snapshots": bool(chosen.output.snapshots),
        "output.display": chosen.output.display and not chosen.output.headless,
        "mqtt.snapshots": bool(chosen.mqtt.host) and chosen.mqtt.snapshots,
    }
    for key, asks in asked.items():
        if asks:
            where = settings.origin(key)
            raise ConfigError(f"{where}: {key}: wants pictures, which [privacy] no_pictures = true forbids")
