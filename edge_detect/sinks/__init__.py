"""Sinks: what is done with each scene, one outside thing a module."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_detect.errors import ConfigError
from edge_detect.events import Event
from edge_detect.scene import Scene

TYPES = {
    "events": "edge_detect.sinks.event_lines:EventLines",
    "json": "edge_detect.sinks.json_lines:JsonLines",
    "pictures": "edge_detect.sinks.pictures:Pictures",
    "snapshots": "edge_detect.sinks.pictures:Snapshots",
    "video": "edge_detect.sinks.video:Video",
    "window": "edge_detect.sinks.window:Window",
}
_SUFFIXES = {
    "json": (".jsonl", ".ndjson", ".json"),
    "video": (".mp4", ".m4v", ".mov", ".avi", ".mkv"),
    "pictures": (".jpg", ".jpeg", ".png", ".webp", ".bmp"),
}


class Sink(Protocol):
    """Where scenes go."""

    def write(self, scene: Scene) -> None:
        """Takes one scene.

        Raises:
            SinkError: It cannot be written; the run ends.
        """

    def close(self) -> None:
        """Finishes what was begun; safe to call twice."""


@runtime_checkable
class Listener(Protocol):
    """A sink that wants to hear of events for which there is no frame, too."""

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events that no scene brings: the camera is lost or back, the run ends.

        Raises:
            SinkError: They cannot be written; the run ends.
        """


def write(sinks: Iterable[Sink], scene: Scene) -> None:
    """Hands a scene to all of the sinks, in their order.

    Raises:
        SinkError: One cannot write it; the others have got it, and the events in it.
    """
    _all_of_them(partial(sink.write, scene) for sink in sinks)


def tell(sinks: Iterable[Sink], events: tuple[Event, ...]) -> None:
    """Tells those of the sinks that listen, in their order, of events for which there is no frame.

    Raises:
        SinkError: One cannot write them; the others have got them.
    """
    if events:
        _all_of_them(partial(sink.tell, events) for sink in sinks if isinstance(sink, Listener))


def _all_of_them(acts: Iterable[Callable[[], None]]) -> None:
    with ExitStack() as stack:
        for act in reversed(list(acts)):  # the last callback comes first
            stack.callback(act)


def is_folder(output: str) -> bool:
    """Whether what follows `--output` names a folder, which may not be there yet."""
    path = Path(output)
    return output.endswith("/") or path.is_dir() or not path.suffix


def kind_of(output: str) -> str:
    """The type of sink for what follows `--output`: `-`, a file by its ending, or a folder.

    Raises:
        ConfigError: It is empty, or the ending names nothing that we write.
    """
    if output == "-":
        return "json"
    if not output:  # the working folder is written ./
        raise ConfigError("--output: expected a file or a folder/, got an empty name")
    if is_folder(output):
        return "pictures"
    suffix = Path(output).suffix.lower()
    for kind, endings in _SUFFIXES.items():
        if suffix in endings:
            return kind
    raise ConfigError(
        f"--output {output}: expected a video (.mp4), a picture (.jpg), JSON Lines (.jsonl or -),"
        " or a folder/"
    )
