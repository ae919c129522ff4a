"""Tally: what the scenes of a run add up to; counted in the loop, read by the page."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque

import numpy as np

from edge_detect.detector import Timing
from edge_detect.scene import Scene

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.033, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)  # seconds
RECENT = 256  # latencies that are kept


class Histogram:
    """How many durations lie under each of `BUCKETS`, as Prometheus counts them.

    Attributes:
        counts: Of each bucket alone; the last is for what lies above all.
        sum: Of all durations, seconds.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class Tally:
    """Counts what each scene tells.

    Attributes:
        frames: Scenes so far.
        detections: By class number, so far.
        objects: By class number, in the newest scene.
        stages: Durations by stage.
        latency: From capture to the scene; of live sources only.
        last: When the newest scene came, monotonic; -inf for never.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.detections: Counter[int] = Counter()
        self.objects: Counter[int] = Counter()
        self.stages = {stage: Histogram() for stage in ("preprocess", "inference", "postprocess", "encode")}
        self.latency = Histogram()
        self.last = float("-inf")
        self.timing = Timing()
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)  # when, and how old the frame was

    def add(self, scene: Scene, timing: Timing, *, live: bool) -> None:
        """Counts one scene; in the loop, so it takes microseconds."""
        now = time.monotonic()
        objects = Counter(scene.detections.classes.tolist())
        self.objects = objects
        self.detections.update(objects)
        self.stages["preprocess"].add(timing.prepare)
        self.stages["inference"].add(timing.invoke)
        self.stages["postprocess"].add(timing.decode)
        self.timing = timing
        if live:
            self.latency.add(now - scene.frame.time)
        self._recent.append((now, now - scene.frame.time if live else 0.0))
        self.frames += 1
        self.last = now

    def recent(self, seconds: float) -> tuple[float, float, float]:
        """Of the last seconds: scenes a second, and p50 and p95 of the latency in seconds."""
        now = time.monotonic()
        rows = [row for row in list(self._recent) if row[0] > now - seconds]
        if not rows:
            return 0.0, 0.0, 0.0
        span = max(now - rows[0][0], 1e-3)  # shorter than asked for where more than `RECENT` came
        p50, p95 = np.percentile([row[1] for row in rows], [50, 95])
        rate = len(rows) / (span if len(rows) == RECENT else seconds)
        return rate, float(p50), float(p95)
