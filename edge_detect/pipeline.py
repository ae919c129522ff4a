"""Pipeline: the one loop, from frames to sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import cast

from edge_detect.controls import Controls
from edge_detect.detections import Detections
from edge_detect.detector import Detector, Timing
from edge_detect.following import Following
from edge_detect.frame import Frame
from edge_detect.heartbeats import Heartbeats
from edge_detect.meter import Meter
from edge_detect.newest import Newest
from edge_detect.scene import Scene
from edge_detect.sinks import Sink, tell, write
from edge_detect.sources import Source
from edge_detect.veil import Veil


@contextmanager
def frames_of(
    source: Source,
    name: str,
    *,
    shrink: Callable[[Frame], Frame] = lambda frame: frame,
    give_up: float = 0.0,
    heartbeats: Heartbeats | None = None,
    replaceable: bool = False,
) -> Iterator[Iterable[Frame | None]]:
    """The frames of a source: the newest ones of a live source, all of a recorded one.

    Args:
        source: Opened here, closed on leaving.
        name: For messages; without a password.
        shrink: Gives each frame of a live source its small picture, in the capture thread.
        give_up: Seconds that a live source may stay away; 0 for ever.
        heartbeats: Learn that a live source is being read.
        replaceable: Whether a camera that hangs ends the run, since somebody starts it afresh.
    """
    if source.live:
        newest = Newest(
            source, name, shrink=shrink, give_up=give_up, heartbeats=heartbeats, replaceable=replaceable
        )
        with closing(newest):
            yield newest
    else:
        with closing(cast("Generator[Frame | None]", iter(source))) as frames:
            yield frames


def watch(
    frames: Iterable[Frame | None],
    detect: Detector,
    sinks: Iterable[Sink],
    meter: Meter,
    *,
    stop: threading.Event,
    limit: int = 0,
    idle: Callable[[], None] = lambda: None,
    controls: Controls | None = None,
    unseen: Callable[[Frame], None] = lambda frame: None,
    heartbeats: Heartbeats | None = None,
    following: Following | None = None,
    veil: Veil | None = None,
) -> int:
    """Looks at one frame after another and hands each scene to every sink.

    Args:
        frames: None among them means that no frame came for a moment.
        detect: Finds what is in a frame.
        sinks: Each receives every scene.
        meter: Learns how long everything took.
        stop: Ends the loop when it is set.
        limit: Ends the loop after so many frames; 0 for never.
        idle: Called when no frame came.
        controls: Choose what is detected, and whether; all that the detector finds without any.
        unseen: Gets each frame that is not looked at, while the controls say pause.
        heartbeats: Learn that inference and outputs move; who hangs is silent for longest.
        following: Makes things and events of what is found, and may let the net rest.
        veil: Takes from each scene what no sink may have.

    Returns:
        How many frames were looked at.
    """
    sinks = tuple(sinks)
    with ExitStack() as end:
        if following:
            tell(sinks, following.begin())
            end.callback(lambda: tell(sinks, following.close()))
        return _watch(
            frames, detect, sinks, meter, stop, limit, idle, controls, unseen, heartbeats or Heartbeats(),
            following, veil or Veil(),
        )  # fmt: skip


def _watch(
    frames: Iterable[Frame | None],
    detect: Detector,
    sinks: tuple[Sink, ...],
    meter: Meter,
    stop: threading.Event,
    limit: int,
    idle: Callable[[], None],
    controls: Controls | None,
    unseen: Callable[[Frame], None],
    heartbeats: Heartbeats,
    following: Following | None,
    veil: Veil,
) -> int:
    clock, count = time.perf_counter, 0
    inferred, put_out = heartbeats.expect("inference"), heartbeats.expect("outputs")
    asked = clock()
    for frame in frames:
        if stop.is_set():
            break
        if frame is None or (controls and controls.choice.paused):
            if following:
                tell(sinks, following.wait(paused=frame is not None))
            if frame is None:
                idle()
            else:
                unseen(veil.unseen(frame))
                asked = clock()
            meter.tick()
            inferred()
            put_out()
            continue
        got = clock()
        scene = _scene(frame, detect, controls, following, veil)
        found = clock()
        inferred()
        scene = veil(scene)
        write(sinks, scene)
        done = clock()
        put_out()
        meter.add(frame, detect.timing, got - asked, done - found)
        count += 1
        if count == limit:
            break
        asked = done
    return count


def _scene(
    frame: Frame, detect: Detector, controls: Controls | None, following: Following | None, veil: Veil
) -> Scene:
    least = controls.choice.confidence if controls else detect.confidence
    if following is None:
        found = _look(frame, detect, least, veil)
        return Scene(frame, controls(found) if controls else found)
    if not following.wants(frame):
        detect.timing = Timing()
        return following.scene(frame, None, controls)
    return following.scene(frame, _look(frame, detect, min(least, following.least), veil), controls)


def _look(frame: Frame, detect: Detector, least: float, veil: Veil) -> Detections:
    detect.confidence = min(least, veil.least)  # what is below it is not even decoded
    found = detect(frame)
    veil.see(found)  # all of it, also what a person does not want to be told of
    return found if detect.confidence == least else found.pick(found.scores >= least)
