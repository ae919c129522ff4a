"""Benchmark: the whole loop against the bare net, in one run, so that the ratios are honest.

On a shared machine a time says little and a ratio much: blocks of the two loops alternate, and
each figure is the median over the pairs.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edge_detect import __version__, board
from edge_detect.detector import Detector, Timing
from edge_detect.frame import Frame
from edge_detect.interpreter import runtime
from edge_detect.meter import Meter
from edge_detect.model import Model
from edge_detect.newest import Newest
from edge_detect.pipeline import watch
from edge_detect.sinks.json_lines import JsonLines
from edge_detect.sources.video import Video

BLOCK = 32  # frames of one block
FASTER = 1.25  # the live source gives so many frames for one that the net can take


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured; times in ms.

    Attributes:
        loop_cpu_ratio: CPU time a frame of the whole loop (read and decode the video, prepare,
            invoke, decode, JSON) divided by that of setting the input and invoking.
        live_rate_ratio: Inferences a second of the live loop divided by those of the bare loop.
        capture_age_p50_ms: Live: from the capture of a frame to its result.
        capture_age_p95_ms: The same, 95 of 100 frames.
        frame_interval_ms: Live: from one frame of the source to the next.
        invoke_p50_ms: Live: of the net alone.
        invoke_p95_ms: The same, 95 of 100 frames.
        startup_ratio: From start to the first line of JSON, divided by a script that only
            imports, loads the model and invokes once.
        stages_ms: Of the whole loop, a frame.
    """

    loop_cpu_ratio: float
    loop_cpu_ms: float
    bare_cpu_ms: float
    live_rate_ratio: float
    live_rate: float
    bare_rate: float
    capture_age_p50_ms: float
    capture_age_p95_ms: float
    frame_interval_ms: float
    invoke_p50_ms: float
    invoke_p95_ms: float
    startup_ratio: float
    startup_s: float
    startup_bare_s: float
    stages_ms: dict[str, float]
    rounds: int
    threads: int
    size: tuple[int, int]
    source: str
    model: str
    model_sha256: str
    runtime: str
    board: str
    versions: dict[str, str]


def measure(model: Model, source: str, *, confidence: float, rounds: int, starts: int) -> Report:
    """All figures for one model on one video.

    Args:
        model: Ready to run.
        source: A video file.
        confidence: Least score of a detection.
        rounds: Pairs of blocks.
        starts: Pairs of starts of the program; 0 leaves `startup_ratio` out (as 0).
    """
    bare_cpu, loop_cpu, bare_rate, live = [], [], [], _Live()
    with closing(_Bench(model, source, confidence)) as bench, closing(bench.loop_frames()) as frames:
        bench.bare(BLOCK)
        bench.loop(frames, BLOCK)
        bench.stages.clear()
        for _ in range(rounds):
            cpu, rate = bench.bare(BLOCK)
            bare_cpu.append(cpu)
            loop_cpu.append(bench.loop(frames, BLOCK))
        for _ in range(max(3, rounds // 4)):
            _, rate = bench.bare(2 * BLOCK)
            bare_rate.append(rate)
            bench.live(FASTER * rate, live)
    startup = _startup(model, source, starts)
    age = np.percentile(live.ages, [50, 95]) * 1e3
    invoke = np.percentile(live.invokes, [50, 95]) * 1e3
    return Report(
        loop_cpu_ratio=round(statistics.median(np.array(loop_cpu) / np.array(bare_cpu)), 4),
        loop_cpu_ms=round(statistics.median(loop_cpu) * 1e3, 3),
        bare_cpu_ms=round(statistics.median(bare_cpu) * 1e3, 3),
        live_rate_ratio=round(statistics.median(np.array(live.rates) / np.array(bare_rate)), 4),
        live_rate=round(statistics.median(live.rates), 2),
        bare_rate=round(statistics.median(bare_rate), 2),
        capture_age_p50_ms=round(float(age[0]), 2),
        capture_age_p95_ms=round(float(age[1]), 2),
        frame_interval_ms=round(statistics.median(live.intervals) * 1e3, 2),
        invoke_p50_ms=round(float(invoke[0]), 2),
        invoke_p95_ms=round(float(invoke[1]), 2),
        startup_ratio=round(startup[0] / startup[1], 3) if startup else 0.0,
        startup_s=round(startup[0], 3) if startup else 0.0,
        startup_bare_s=round(startup[1], 3) if startup else 0.0,
        stages_ms=bench.stage_means(),
        rounds=rounds,
        threads=model.threads,
        size=bench.size,
        source=source,
        model=model.file.path.name,
        model_sha256=model.file.sha256,
        runtime=model.interpreter.runtime,
        board=board.name(),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    import platform

    import cv2

    return {
        "edge_detect": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


class _Live:
    """What the live blocks gave."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.ages: list[float] = []
        self.invokes: list[float] = []
        self.intervals: list[float] = []


class _Recorder(Meter):
    """A meter that keeps every frame's figures."""

    def __init__(self) -> None:
        super().__init__(0)
        self.rows: list[tuple[float, Timing, float, float]] = []

    def add(self, frame: Frame, timing: Timing, capture: float, output: float) -> None:
        self.rows.append((time.monotonic() - output - frame.time, timing, capture, output))


class _Bench:
    """The two loops over the same pictures."""

    def __init__(self, model: Model, source: str, confidence: float) -> None:
        self.detect = Detector(model, confidence)
        self._interpreter = model.interpreter
        self._source = source
        self.stages: list[tuple[float, Timing, float, float]] = []
        self.size = (0, 0)
        self._inputs = list(self._prepare())
        self._sink = JsonLines("/dev/null", model.labels, live=False)

    def close(self) -> None:
        """Closes the output."""
        self._sink.close()

    def _prepare(self) -> Iterator[npt.NDArray[Any]]:
        """Inputs as the detector prepares them from the first frames."""
        for frame in islice(self.loop_frames(), BLOCK):
            self.size = frame.size
            self.detect.prepare(frame)
            yield self._interpreter.input().copy()

    def loop_frames(self) -> Generator[Frame]:
        """The frames of the video, again and again."""
        return cast("Generator[Frame]", iter(Video(self._source, loop=True)))

    def bare(self, count: int) -> tuple[float, float]:
        """CPU seconds an inference, and inferences a second, of setting the input and invoking."""
        interpreter = self._interpreter
        cpu, wall = time.process_time(), time.perf_counter()
        for i in range(count):
            interpreter.set(self._inputs[i % len(self._inputs)])
            interpreter.run()
        return (time.process_time() - cpu) / count, count / (time.perf_counter() - wall)

    def loop(self, frames: Iterable[Frame], count: int) -> float:
        """CPU seconds a frame of the very loop that `edge-detect run` turns."""
        meter = _Recorder()
        cpu = time.process_time()
        watch(frames, self.detect, [self._sink], meter, stop=threading.Event(), limit=count)
        used = time.process_time() - cpu
        self.stages += meter.rows
        return used / count

    def live(self, fps: float, into: _Live) -> None:
        """One block of the live loop, with a source that is faster than the net."""
        source = Video(self._source, live=True, fps=min(fps, 1000), loop=True)  # no camera is faster
        with closing(Newest(source, self._source, shrink=self.detect.shrink)) as newest:
            quiet = threading.Event()
            watch(newest, self.detect, [self._sink], _Recorder(), stop=quiet, limit=BLOCK // 4)
            meter, before, start = _Recorder(), newest.captured, time.perf_counter()
            watch(newest, self.detect, [self._sink], meter, stop=quiet, limit=2 * BLOCK)
            seconds = time.perf_counter() - start
            captured = newest.captured - before
        into.rates.append(2 * BLOCK / seconds)
        into.ages += [row[0] for row in meter.rows]
        into.invokes += [row[1].invoke for row in meter.rows]
        into.intervals.append(seconds / max(captured, 1))

    def stage_means(self) -> dict[str, float]:
        """Wall time of each stage of the whole loop, in ms a frame."""
        rows = np.array([[r[2], r[1].prepare, r[1].invoke, r[1].decode, r[3]] for r in self.stages])
        means = rows.mean(0) * 1e3
        names = ("capture", "prepare", "invoke", "decode", "output")
        return {name: round(float(mean), 3) for name, mean in zip(names, means, strict=True)}


_BARE_START = """\
import sys
import numpy, cv2, {module} as runtime
interpreter = runtime.Interpreter(model_path={path!r}, num_threads={threads})
interpreter.allocate_tensors()
interpreter.invoke()
print("ready", flush=True)
"""

_START = "import sys; from edge_detect.cli import main; sys.exit(main())"  # as the installed script does


def _startup(model: Model, source: str, starts: int) -> tuple[float, float] | None:
    """Median seconds to the first line: of the program, and of a script that does the least."""
    if not starts:
        return None
    path, threads = str(model.file.path), model.threads
    module = runtime()[1].__name__
    bare = [sys.executable, "-c", _BARE_START.format(module=module, path=path, threads=threads)]
    ours = [
        sys.executable, "-c", _START, "run", "--model", path, "--source", source,
        "--threads", str(threads), "--frames", "1", "--json", "--quiet",
    ]  # fmt: skip
    _first_line(ours)
    pairs = [(_first_line(ours), _first_line(bare)) for _ in range(starts)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _first_line(command: list[str]) -> float:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        line = cast(io.BufferedReader, child.stdout).readline()
        seconds = time.perf_counter() - start
        _, errors = child.communicate(timeout=60)
    if not line:
        raise RuntimeError(f"{command[1:4]} gave nothing: {errors.decode(errors='replace')[-300:]}")
    return seconds
