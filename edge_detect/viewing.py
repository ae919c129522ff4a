"""Viewing: what the live page costs the loop, measured with real viewers in another process.

Rounds with and without viewers take turns, so that the ratio holds on a machine that does other
things as well.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import psutil

from edge_detect import board, config
from edge_detect.controls import Choice, Controls
from edge_detect.detector import Detector
from edge_detect.facts import Facts
from edge_detect.frame import Frame
from edge_detect.meter import Meter
from edge_detect.model import Model
from edge_detect.newest import Newest
from edge_detect.pipeline import watch
from edge_detect.sources.pattern import Pattern
from edge_detect.web.server import Web

SECONDS = 14.0  # of a round: a stalled viewer has been closed by then
FPS = 15.0  # that each viewer gets at most
WARM = 30  # frames before anything is measured


class Film:
    """The drawn street as a live source that costs next to nothing: it was drawn before."""

    live, patience, freeze, reopens = True, 5.0, 0.0, False

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._frames = list(Pattern(fps=0, frames=64))

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        for number in count():
            time.sleep(max(0.0, begun + number / self.fps - time.monotonic()))
            frame = self._frames[number % len(self._frames)]
            yield Frame(frame.image, time.monotonic(), number, frame.name)


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, at 640x480.

    Attributes:
        rate_ratio: Inferences a second with viewers divided by those without; the median over the
            rounds. The camera gives more frames than the net can take.
        slow_p50_ms: From the capture of a frame to its last byte at a viewer whose link carries a
            third of what comes.
        rss_growth_mb: Of this process, from before the first viewer to after the last.
        stalled_closed_s: After how many seconds those who never read were closed; None for not at all.
        viewer_cpu_percent: Of one core, by the page's thread for one fast viewer at `FPS`.
    """

    viewers: int
    slow: int
    stalled: int
    rounds: int
    rate_ratio: float
    rate: float
    rate_alone: float
    fast_p50_ms: float
    fast_fps: float
    slow_p50_ms: float
    slow_p95_ms: float
    slow_fps: float
    rss_growth_mb: float
    stalled_closed_s: list[float | None]
    viewer_cpu_percent: float
    model: str
    model_sha256: str
    board: str


def measure(model: Model, *, viewers: int, rounds: int, seconds: float = SECONDS) -> Report:
    """All figures for so many viewers, of whom two never read and one has a slow link.

    Args:
        model: Ready to run.
        viewers: Four or more.
        rounds: Pairs of a round without and one with viewers.
        seconds: Of each round.
    """
    kinds = ["stalled", "stalled", "slow", *["fast"] * (viewers - 3)]
    with closing(_Loop(model, viewers)) as loop:
        cpu = loop.cpu_of_one_viewer(seconds)
        film = Film(loop.fastest() * 1.25)  # the camera gives more than the net can take
        loop.turn(film, 2.0)
        seen: list[dict[str, Any]] = []
        pairs, before = [], psutil.Process().memory_info().rss
        for number in range(rounds):
            order = (True, False) if number % 2 else (False, True)
            rates = {some: loop.round(film, kinds if some else [], seconds, seen) for some in order}
            pairs.append((rates[True], rates[False]))
        grown = psutil.Process().memory_info().rss - before
    shown = {kind: [ms for one in seen if one["kind"] == kind for ms in one["shown"]] for kind in set(kinds)}
    slow = np.percentile(shown["slow"], [50, 95])
    return Report(
        viewers=viewers,
        slow=1,
        stalled=2,
        rounds=rounds,
        rate_ratio=round(statistics.median(some / none for some, none in pairs), 4),
        rate=round(statistics.median(some for some, _ in pairs), 2),
        rate_alone=round(statistics.median(none for _, none in pairs), 2),
        fast_p50_ms=round(statistics.median(shown["fast"]), 1),
        fast_fps=round(len(shown["fast"]) / (viewers - 3) / rounds / seconds, 2),
        slow_p50_ms=round(float(slow[0]), 1),
        slow_p95_ms=round(float(slow[1]), 1),
        slow_fps=round(len(shown["slow"]) / rounds / seconds, 2),
        rss_growth_mb=round(grown / 1e6, 2),
        stalled_closed_s=[one["closed"] for one in seen if one["kind"] == "stalled"],
        viewer_cpu_percent=round(cpu, 2),
        model=model.file.path.name,
        model_sha256=model.file.sha256,
        board=board.name(),
    )


class _Loop:
    """The very loop that `edge-detect run` turns, with a live page."""

    def __init__(self, model: Model, viewers: int) -> None:
        self._detect = Detector(model)
        self._facts = Facts(model.file.path.name, timing=lambda: self._detect.timing)
        self._controls = Controls(Choice(self._detect.confidence), model.labels)
        settings = config.Web(listen="127.0.0.1:0", viewers=viewers, fps=FPS)
        self._web = Web(settings, self._controls, self._facts)
        self._port = self._web.url.rstrip("/").rpartition(":")[2]

    def close(self) -> None:
        """Ends the page."""
        self._web.close()

    def fastest(self) -> float:
        """Frames a second that the net can take."""
        frame = next(iter(Pattern(fps=0)))
        begun = time.perf_counter()
        for _ in range(WARM):
            self._detect(frame)
        return min(800.0, WARM / (time.perf_counter() - begun))

    def turn(self, source: Film, seconds: float) -> float:
        """Lets it turn; inferences a second."""
        stop, meter = threading.Event(), Meter(0)
        with closing(Newest(source, "pattern:", shrink=self._detect.shrink)) as newest:
            self._facts.newest = newest
            watch(newest, self._detect, [self._web], meter, stop=stop, limit=WARM, controls=self._controls)
            timer = threading.Timer(seconds, stop.set)
            begun = time.perf_counter()
            timer.start()
            n = watch(newest, self._detect, [self._web], meter, stop=stop, controls=self._controls)
            spent = time.perf_counter() - begun
            timer.join()
        return n / spent

    def round(self, film: Film, kinds: list[str], seconds: float, seen: list[dict[str, Any]]) -> float:
        """Inferences a second while these look; what they saw goes into `seen`."""
        with self._audience(kinds, seconds, seen):
            return self.turn(film, seconds - 1)

    def cpu_of_one_viewer(self, seconds: float) -> float:
        """Percent of a core that the page's thread spends on a fast viewer."""
        source = Film(FPS)
        alone = self._cpu(source, seconds / 2)
        with self._audience(["fast"], seconds + 2, []):
            self.turn(source, 1.0)
            return (self._cpu(source, seconds / 2) - alone) * 100

    def _cpu(self, source: Film, seconds: float) -> float:
        clock = time.pthread_getcpuclockid(self._web.thread_id)
        before, begun = time.clock_gettime(clock), time.perf_counter()
        self.turn(source, seconds)
        return (time.clock_gettime(clock) - before) / (time.perf_counter() - begun)

    @contextmanager
    def _audience(self, kinds: list[str], seconds: float, seen: list[dict[str, Any]]) -> Iterator[None]:
        if not kinds:
            yield
            return
        command = [
            sys.executable,
            "-m",
            "edge_detect.web.audience",
            self._port,
            str(seconds),
            str(FPS),
            *kinds,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                self._wait_for(len(kinds))
                yield
                told, _ = child.communicate(timeout=seconds + 30)
            finally:
                child.kill()
        seen += map(json.loads, told.splitlines())

    def _wait_for(self, viewers: int) -> None:
        end = time.monotonic() + 30
        while self._web.viewers < viewers:
            if time.monotonic() > end:
                raise RuntimeError(f"expected {viewers} viewers, got {self._web.viewers}")
            time.sleep(0.01)
