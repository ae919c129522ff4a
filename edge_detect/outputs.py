"""Outputs: the sinks that the settings ask for, exchanged while the loop runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, TypeAlias, cast

from edge_detect import config
from edge_detect.errors import ConfigError, DependencyError, SinkError
from edge_detect.events import Event
from edge_detect.lazy import load
from edge_detect.sinks import TYPES, Sink, kind_of, tell, write

if TYPE_CHECKING:
    from edge_detect.draw import Annotator
    from edge_detect.frame import Image
    from edge_detect.labels import Labels
    from edge_detect.scene import Scene
    from edge_detect.sinks.window import Window
    from edge_detect.sources import Source

log = logging.getLogger(__name__)

Wanted: TypeAlias = tuple[str, str]
"""A key of `sinks.TYPES` and a place."""


def wanted(settings: config.Output) -> list[Wanted]:
    """The outputs that the settings ask for, each once; the window is not among them.

    Raises:
        ConfigError: An ending that names nothing that we write.
    """
    places = dict.fromkeys(["-"] * settings.json + list(settings.outputs))
    snapshots = [("snapshots", settings.snapshots)] if settings.snapshots else []
    return [(kind_of(place), place) for place in places] + snapshots


class Outputs:
    """One sink that hands each scene to all of those that are wanted now."""

    def __init__(self, settings: config.Output, drawing: Drawing, source: Source) -> None:
        """Opens them.

        Args:
            settings: Which ones.
            drawing: Gives them the annotated picture.
            source: Where the scenes come from.

        Raises:
            ConfigError: One that makes no sense.
            SinkError: One that cannot be opened; none is open then.
        """
        self._drawing, self._source = drawing, source
        self._sinks: dict[Wanted, Sink] = {}
        self.prepare(settings)()

    def prepare(self, settings: config.Output) -> Callable[[], None]:
        """Opens what is wanted and not open yet; returns what exchanges the old ones for them.

        Raises:
            ConfigError: One that makes no sense.
            SinkError: One that cannot be opened; all stay as they are.
        """
        keys = wanted(settings)
        new: dict[Wanted, Sink] = {}
        with ExitStack() as undo:
            for kind, place in keys:
                if (kind, place) not in self._sinks:
                    new[kind, place] = undo.enter_context(closing(self._open(kind, place)))
            undo.pop_all()

        def exchange() -> None:
            known = self._sinks | new
            self._sinks = {key: known.pop(key) for key in keys}
            _close_all(known.values())

        return exchange

    def _open(self, kind: str, place: str) -> Sink:
        make, drawing, live = load(TYPES[kind]), self._drawing, self._source.live
        if _same_file(place, getattr(self._source, "address", "")):
            raise ConfigError(f"--output {place}: is the source itself; choose another file")
        if kind == "json":
            return cast(Sink, make(place, drawing.labels, live=live))
        if kind == "video":
            return cast(Sink, make(place, drawing, self._source))
        if kind == "snapshots":
            return cast(Sink, make(place, drawing, drawing.labels, live=live))
        return cast(Sink, make(place, drawing))

    def write(self, scene: Scene) -> None:
        """Hands a scene to each of them.

        Raises:
            SinkError: One cannot be written; the others have got it.
        """
        write(self._sinks.values(), scene)

    def tell(self, events: tuple[Event, ...]) -> None:
        """Hands events for which there is no frame to those that listen.

        Raises:
            SinkError: One cannot write them.
        """
        tell(self._sinks.values(), events)

    def close(self) -> None:
        """Closes all of them, the last that fails speaks; safe to call twice."""
        sinks, self._sinks = self._sinks, {}
        _close_all(sinks.values())


def _close_all(sinks: Iterable[Sink]) -> None:
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)


def _same_file(one: str, other: str) -> bool:
    return os.path.isfile(one) and os.path.isfile(other) and os.path.samefile(one, other)


def open_window(drawing: Drawing, quit: Callable[[], None]) -> Window:
    """The window of the program.

    Raises:
        SinkError: There is no display.
        DependencyError: pygame is not installed.
    """
    return cast("Window", load(TYPES["window"])("edge-detect", drawing, quit))


class Screen:
    """A window that the work does not depend on: without a display it goes on without one."""

    def __init__(self, opened: Callable[[], Window] | None) -> None:
        self._window: Window | None = None
        with self._optional():
            self._window = opened() if opened else None

    def write(self, scene: Scene) -> None:
        with self._optional():
            if self._window:
                self._window.write(scene)

    def poll(self) -> None:
        """Answers keys while no frame comes."""
        with self._optional():
            if self._window:
                self._window.poll()

    @contextmanager
    def _optional(self) -> Iterator[None]:
        try:
            yield
        except (SinkError, DependencyError) as error:
            log.warning("%s", error)
            self.close()

    def close(self) -> None:
        window, self._window = self._window, None
        if window:
            window.close()


class Drawing:
    """The shared annotator; its module is imported when the first picture is drawn.

    Attributes:
        labels: Names of the classes.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._annotator: Annotator | None = None

    @property
    def seconds(self) -> float:
        """Spent on drawing so far."""
        return self._annotator.seconds if self._annotator else 0.0

    def __call__(self, scene: Scene, width: int = 0) -> Image:
        """The annotated picture."""
        if self._annotator is None:
            from edge_detect.draw import Annotator

            self._annotator = Annotator(self.labels)
        return self._annotator(scene, width)
