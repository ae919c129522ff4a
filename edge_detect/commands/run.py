"""Run: watch a source until told to stop.

Watches a camera, a stream, a file or pictures, finds what the model knows, and shows, writes or
prints it.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, cast

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, DependencyError, SinkError

if TYPE_CHECKING:
    from edge_detect.detector import Detector
    from edge_detect.draw import Annotator
    from edge_detect.frame import Image
    from edge_detect.labels import Labels
    from edge_detect.scene import Scene
    from edge_detect.sinks import Sink
    from edge_detect.sinks.window import Window
    from edge_detect.sources import Source

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect run`."""
    parser.add_argument("place", nargs="?", metavar="SOURCE", help="the same as --source SOURCE")
    arguments.add_model(parser)
    group = parser.add_argument_group("source")
    group.add_argument(
        "-s",
        "--source",
        metavar="URI",
        help="csi:0, rpicam:, v4l2:/dev/video0, rtsp://, http://, a file, a folder, a glob, - for standard"
        " input, pattern: for a drawn street; settings such as ?width=1280&height=720&fps=30&rotation=180"
        "&flip=h behind it (default: auto, the first camera that is there)",
    )
    group.add_argument("--frames", type=arguments.count, default=0, metavar="N", help="stop after N frames")
    group.add_argument(
        "--give-up", type=arguments.seconds, default=0.0, metavar="S",
        help="stop when the camera stays away for S seconds (default: wait for ever)",
    )  # fmt: skip
    group = parser.add_argument_group("output")
    group.add_argument("--display", action="store_true", help="show a window; q or Esc ends, f: full screen")
    group.add_argument("--headless", action="store_true", help="never open a window")
    group.add_argument(
        "-o", "--output", action="append", default=[], metavar="WHERE",
        help="annotated video (out.mp4), annotated pictures (folder/ or one.jpg), JSON Lines (out.jsonl, -);"
        " may be given again",
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="one JSON object a frame on standard output")
    group.add_argument("--snapshots", metavar="DIR", help="a picture there when something is seen")
    group = parser.add_argument_group("log")
    group.add_argument(
        "--log-every",
        type=arguments.seconds,
        default=10.0,
        metavar="S",
        help="seconds between health lines (10)",
    )
    group.add_argument("--stats", metavar="FILE.csv", default="", help="health lines for a spreadsheet")


def main(options: argparse.Namespace) -> int:
    """Runs until the source ends, the limit is reached or somebody stops it."""
    from edge_detect import store, uri
    from edge_detect.detector import Detector
    from edge_detect.meter import Meter
    from edge_detect.model import open_model
    from edge_detect.newest import Newest
    from edge_detect.pipeline import frames_of, watch
    from edge_detect.sources import open_source

    place = arguments.source_of(options)
    path, names = arguments.model_files(
        options.model, options.labels
    )  # a missing model is told before cameras are looked for
    source = open_source(place)
    on_trial = store.began(path)
    model = open_model(path, names, options.threads)
    detect = Detector(model, options.confidence, fit=options.fit)
    if on_trial:  # before the camera, so that one which is away is not held against the model
        detect.try_out()
        store.proved(path)
    drawing = Drawing(model.labels)
    name = uri.public(place)
    runtime = model.interpreter.runtime
    log.info("%s: %s, %s, %d threads", model.file.path.name, model.card.layout, runtime, model.threads)
    with ExitStack() as stack, stopping() as stop:
        sinks, idle = _open_sinks(options, stack, drawing, source, stop)
        fit_small_stream(source, detect)
        frames = stack.enter_context(frames_of(source, name, shrink=detect.shrink, give_up=options.give_up))
        newest = frames if isinstance(frames, Newest) else None
        meter = stack.enter_context(
            closing(
                Meter(options.log_every, newest=newest, drawing=lambda: drawing.seconds, stats=options.stats)
            )
        )
        watch(frames, detect, sinks, meter, stop=stop.event, limit=options.frames, idle=idle)
    return 130 if stop.signal == signal.SIGINT else 0


def _open_sinks(
    options: argparse.Namespace,
    stack: ExitStack,
    drawing: Drawing,
    source: Source,
    stop: Stop,
) -> tuple[list[Sink], Callable[[], None]]:
    """The outputs that the options ask for, closed by `stack`; and what to do while no frame comes."""
    from edge_detect.lazy import load
    from edge_detect.sinks import TYPES, kind_of

    outputs = list(dict.fromkeys(["-"] * options.json + options.output))
    sinks: list[Sink] = []

    def add(kind: str, *values: object, **settings: object) -> Sink:
        sink = cast("Sink", stack.enter_context(closing(load(TYPES[kind])(*values, **settings))))
        sinks.append(sink)
        return sink

    for output in outputs:
        kind = kind_of(output)
        if _same_file(output, getattr(source, "address", "")):
            raise ConfigError(f"--output {output}: is the source itself; choose another file")
        if kind == "json":
            add(kind, output, drawing.labels, live=source.live)
        elif kind == "video":
            add(kind, output, drawing, source)
        else:
            add(kind, output, drawing)
    if options.snapshots:
        add("snapshots", options.snapshots, drawing, drawing.labels, live=source.live)
    if options.display and not options.headless:
        screen = Screen(lambda: load(TYPES["window"])("edge-detect", drawing, stop.event.set))
        sinks.append(stack.enter_context(closing(screen)))
        return sinks, screen.poll
    return sinks, lambda: None


class Screen:
    """A window that the work does not depend on: without a display it goes on without one."""

    def __init__(self, opened: Callable[[], Window]) -> None:
        self._window: Window | None = None
        with self._optional():
            self._window = opened()

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


def _same_file(one: str, other: str) -> bool:
    return os.path.isfile(one) and os.path.isfile(other) and os.path.samefile(one, other)


def fit_small_stream(source: Source, detect: Detector) -> None:
    """Asks a camera that can for a small picture of just the size that the model looks at."""
    from edge_detect.sources import wants_small

    if wants_small(source):
        size = (source.width, source.height)
        if source.rotation % 180:  # the camera makes both pictures before they are turned
            height, width = detect.inner_size(size[::-1])
        else:
            width, height = detect.inner_size(size)
        source.small_width, source.small_height = width // 2 * 2, height // 2 * 2


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


class Stop:
    """Whether and why to stop.

    Attributes:
        event: Set when it is time.
        signal: The signal that asked for it; 0 for none.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal = 0


@contextmanager
def stopping() -> Iterator[Stop]:
    """SIGINT, SIGTERM and SIGHUP end the loop cleanly; a second SIGINT ends at once."""
    stop = Stop()

    def ask(number: int, _: object) -> None:
        stop.signal = stop.signal or number
        stop.event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup had us ignore it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
