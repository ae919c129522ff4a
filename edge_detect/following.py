"""Following: from the boxes of single frames to things and events; the part of the loop between both."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import numpy.typing as npt

from edge_detect import clock, config, detections, logs, places, rules, uri, zones
from edge_detect.boxes import clip
from edge_detect.config import Config, Zone
from edge_detect.controls import Controls
from edge_detect.detections import Detections
from edge_detect.errors import SinkError
from edge_detect.events import Event
from edge_detect.frame import Frame
from edge_detect.moment import Moment
from edge_detect.motion import Gate
from edge_detect.rules import Origin, Rules
from edge_detect.scene import Scene
from edge_detect.tracker import Tracker
from edge_detect.tracks import Track

if TYPE_CHECKING:
    from edge_detect.detector import Detector
    from edge_detect.journal import Journal
    from edge_detect.layers import Settings
    from edge_detect.newest import Newest
    from edge_detect.sinks import Sink
    from edge_detect.sources import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a run, handed in so that tests have their own.

    Attributes:
        live: Whether frames carry the monotonic clock, or their position in a recording.
        monotonic: Seconds that nobody sets.
        wall: Unix time.
        synced: Whether `wall` can be trusted.
    """

    live: bool
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    synced: Callable[[], bool] = clock.is_synced


FOOTAGE = Clocks(live=False, wall=lambda: 0.0, synced=lambda: False)
"""When it was recorded nobody knows: the times of its events count from 1970."""


class Following:
    """The gate, the tracker and the rules of one run."""

    def __init__(
        self,
        settings: Config,
        labels: Sequence[str],
        origin: Origin,
        clocks: Clocks,
        *,
        token: str = "0",
        lost: Callable[[], bool] = lambda: False,
        journal: Journal | None = None,
        zones_now: Callable[[], tuple[Zone, ...]] | None = None,
    ) -> None:
        """Knows nothing yet.

        Args:
            settings: `motion`, `tracker`, `events` and `zones` of them.
            labels: Names of the classes.
            origin: What all events have in common.
            clocks: Of the run.
            token: Makes the ids of this run differ from those of every other.
            lost: Tells whether the camera is away.
            journal: Keeps counts and open events; None keeps nothing.
            zones_now: The zones that hold now, asked at each frame; None for those of the settings.

        Raises:
            ConfigError: A zone, a mask or a threshold that cannot be.
        """
        self._clocks, self._is_lost, self._journal = clocks, lost, journal
        self._settings, self._places = settings.events, settings.zones
        self._zones = zones_now
        counts = journal.counts if journal else {}
        self._rules = Rules(settings.events, settings.zones, labels, origin, token=token, counts=counts)
        self._tracker = Tracker(settings.tracker)
        wanted = settings.motion.gate
        self._gate = Gate(settings.motion) if wanted == "on" or (wanted == "auto" and clocks.live) else None
        self._begun = clocks.wall()
        self._time: float | None = None  # of the last frame
        self._now = 0.0

    def change(self, settings: Config) -> None:
        """Takes what can be changed in a run.

        Raises:
            ConfigError: One that cannot be; then nothing has changed.
        """
        Gate(settings.motion)
        self._rules.change(settings.events, settings.zones)
        self._settings, self._places = settings.events, settings.zones
        self._tracker.settings = settings.tracker
        if self._gate:
            self._gate.change(settings.motion)

    @property
    def least(self) -> float:
        """Least score of the boxes that are to be found."""
        return self._tracker.settings.low

    def counts(self) -> dict[str, object]:
        """Who is here, in which zone, and who has crossed which line, as JSON has it."""
        lines: dict[str, dict[str, dict[str, int]]] = {}
        for (name, label, direction), number in self._rules.counts.items():
            lines.setdefault(name, {}).setdefault(label, {"in": 0, "out": 0})[direction] = number
        return {"present": self._rules.present, "zones": self._rules.inside, "lines": lines}

    def begin(self) -> tuple[Event, ...]:
        """The ends of what a crash has left open."""
        if not self._journal:
            return ()
        moment = self._moment_without_frame()
        ends = tuple(rules.interrupted(event, moment) for event in self._journal.open.values())
        return self._noted(ends)

    def wants(self, frame: Frame) -> bool:
        """Whether the net is to look at a frame."""
        self._advance(frame.time)
        return self._gate is None or self._gate(frame, self._now, settled=self._tracker.settled)

    def scene(self, frame: Frame, found: Detections | None, controls: Controls | None = None) -> Scene:
        """What is known at a frame.

        Args:
            frame: The last one that `wants` was asked about.
            found: All boxes in it from `least` on; None where nobody looked.
            controls: Choose what is shown and followed.
        """
        if found is None:
            tracks = self._tracker.predict(self._now)
            shown, numbers = _expected(tracks, frame.size, controls)
        else:
            wanted = found if controls is None else found.pick(controls.of_class(found))
            tracks = self._tracker.update(wanted, self._now)
            shown, numbers = wanted, self._tracker.numbers
            if controls is not None:
                keep = wanted.scores >= controls.choice.confidence
                shown, numbers = wanted.pick(keep), numbers[keep]
        if self._zones and (zones_now := self._zones()) is not self._places:
            self._rules.change(self._settings, zones_now)
            self._places = zones_now
        moment = self._moment(frame.time)
        events = self._rules.camera(moment, lost=False)
        events += self._rules.judge(tracks, frame.size, moment, looked=found is not None)
        return Scene(
            frame, shown, self._noted(events), tracks, tuple(numbers.tolist()), looked=found is not None
        )

    def wait(self, *, paused: bool = False) -> tuple[Event, ...]:
        """What is to be told while no frame is looked at: the camera is away, or the run paused."""
        lost = self._is_lost()
        if not paused and not lost:
            return ()
        moment = self._moment_without_frame()
        events = self._rules.camera(moment, lost=lost and not paused)
        if paused:
            events += self._rules.finish(moment)
        self._tracker.clear()
        return self._noted(events)

    def close(self) -> tuple[Event, ...]:
        """Ends all that has begun; safe to call twice."""
        events = self._noted(self._rules.finish(self._moment_without_frame()))
        if self._journal:
            self._journal.close()
        return events

    def _noted(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if self._journal:
            self._journal.note(events, self._rules.counts)
        return events

    def _advance(self, time: float) -> None:
        """A recording that is played again starts from 0: our clock goes on all the same."""
        if self._time is None:
            self._now = time
        else:
            self._now += max(0.0, time - self._time)
        self._time = time

    def _moment(self, time: float) -> Moment:
        if not self._clocks.live:
            return Moment(self._now, self._begun + time)
        # the clocks are compared each time: a Pi's wall clock may jump after the start
        wall = self._clocks.wall() - self._clocks.monotonic() + time
        return Moment(self._now, wall, self._clocks.synced())

    def _moment_without_frame(self) -> Moment:
        if self._clocks.live:
            self._advance(self._clocks.monotonic())
        return self._moment(self._time or 0.0)


def _expected(
    tracks: Sequence[Track], size: tuple[int, int], controls: Controls | None
) -> tuple[Detections, npt.NDArray[np.int64]]:
    """Where the things are expected that were found at the last look, as detections."""
    least = 0.0 if controls is None else controls.choice.confidence
    shown = [track for track in tracks if not track.misses and track.score >= least]
    found = detections.make(
        [track.box for track in shown], [track.score for track in shown], [track.class_id for track in shown]
    )
    numbers = np.array([track.id for track in shown], np.int64)
    return Detections(clip(found.boxes, *size), found.scores, found.classes), numbers


class Spoken:
    """Logs what begins; the camera's own events are in the log already."""

    def write(self, scene: Scene) -> None:
        self.tell(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.type == "start" and event.label:
                words = (event.label, event.kind, event.zone, event.direction)
                log.info("%s", " ".join(filter(None, words)))

    def close(self) -> None:
        """Nothing to close."""


def open_lines(chosen: Config, stack: ExitStack) -> list[Sink]:
    """The file of events, where the settings name one; the log, where they name nobody to tell.

    Raises:
        SinkError: It cannot be opened.
    """
    if chosen.events.file:
        from edge_detect.sinks.event_lines import EventLines

        return [stack.enter_context(closing(EventLines(chosen.events.file)))]
    output = chosen.output
    shown = output.outputs or output.json or output.snapshots or (output.display and not output.headless)
    kept = chosen.recorder.folder or chosen.store.path
    told = shown or kept or chosen.web.listen or config.notices(chosen)
    return [] if told or logs.to_journal() else [Spoken()]  # the journal is for trouble


def follow(
    settings: Settings,
    detect: Detector,
    source: Source,
    newest: Newest | None,
    controls: Controls,
    stack: ExitStack,
) -> Following | None:
    """What makes things and events of boxes in a run; pictures without a time are looked at one by one.

    Raises:
        ConfigError: A zone, a mask or a threshold that cannot be.
    """
    from edge_detect.sources.pictures import Pictures

    chosen, file = settings.config, detect.model.file
    if not chosen.tracker.enabled or isinstance(source, Pictures):
        return None
    labels = detect.model.labels.names
    with settings.blame("zones"):
        zones.check(chosen.zones, labels)
    with settings.blame("motion.masks"):
        Gate(chosen.motion)
    origin = Origin(uri.public(chosen.source.uri), os.uname().nodename, file.path.name, file.sha256[:12])
    return Following(
        chosen,
        labels,
        origin,
        Clocks(source.live),
        token=os.urandom(3).hex(),
        lost=lambda: newest is not None and newest.lost,
        journal=_journal(chosen, stack) if source.live else None,
        zones_now=lambda: controls.choice.zones,
    )


def _journal(chosen: Config, stack: ExitStack) -> Journal | None:
    """What keeps counts and open events, where somebody is told of them; one for each camera."""
    told = chosen.events.file or chosen.web.listen or config.notices(chosen)
    if not (told or chosen.zones or chosen.recorder.folder or chosen.store.path):
        return None
    from edge_detect import durable
    from edge_detect.journal import Journal

    path = places.state_folder() / f"events-{crc32(chosen.source.uri.encode()):08x}.journal"
    try:
        durable.make_folder(path.parent)
        stack.enter_context(durable.locked(path.with_suffix(".lock")))
    except SinkError as error:
        log.warning("counts and open events are not kept for the next start: %s", error)
        return None
    return Journal(path)
