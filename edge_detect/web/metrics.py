"""Metrics: the state in the text format of Prometheus.

Source: Prometheus exposition format 0.0.4; names follow its conventions (base units, `_total`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from edge_detect import __version__, board
from edge_detect.facts import Notice
from edge_detect.web.state import State
from edge_detect.web.station import Station
from edge_detect.web.tally import BUCKETS, Histogram

if TYPE_CHECKING:
    from edge_detect.records import Records
    from edge_detect.sinks.recorder import Recorder

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_FLAGS = ("undervoltage", "freq_capped", "throttled", "soft_temp")  # bits 0 to 3, and 16 to 19 since boot
Rows = Iterable[tuple[Mapping[str, str], float]]


def text(state: State, station: Station) -> str:
    """All metrics."""
    return "".join(_lines(state, station))


def _lines(state: State, station: Station) -> Iterator[str]:
    facts, tally, labels = state.facts, state.tally, state.controls.labels
    newest, stats = facts.newest, state.stats
    python = platform.python_version()
    yield from _metric(
        "build_info", "gauge", "Versions of the program.",
        [({"version": __version__, "python": python, "runtime": facts.runtime}, 1)],
    )  # fmt: skip
    yield from _metric(
        "model_info", "gauge", "The model that looks.", [({"name": facts.model, "sha256": facts.sha256}, 1)]
    )
    yield from _one("frames_captured_total", "Frames that came from the source.", stats["captured"])
    yield from _metric(
        "frames_dropped_total", "counter", "Frames that nobody looked at.",
        [({"reason": "busy"}, newest.dropped if newest else 0)],
    )  # fmt: skip
    yield from _one("frames_processed_total", "Frames that were looked at.", tally.frames)
    yield from _one("fps", "Frames looked at in a second.", stats["fps"])
    yield from _histograms(
        "stage_duration_seconds", "Time of a stage.",
        [({"stage": stage}, histogram) for stage, histogram in tally.stages.items()],
    )  # fmt: skip
    yield from _histograms("end_to_end_latency_seconds", "From capture to the result.", [({}, tally.latency)])
    seen = [({"label": labels[number]}, count) for number, count in sorted(tally.detections.copy().items())]
    yield from _metric("detections_total", "counter", "Detections by label.", seen)
    now = tally.objects
    here = [({"label": labels[number]}, now[number]) for number in sorted(tally.detections.copy())]
    yield from _metric("objects", "gauge", "Objects in the newest frame by label.", here)
    yield from _one("source_up", "Whether frames come.", not stats["lost"])
    yield from _one(
        "source_reconnects_total", "Times that the source came back.", newest.reopened if newest else 0
    )
    if (age := state.frame_age()) < 1e9:
        yield from _one("last_frame_timestamp_seconds", "When the newest frame came.", time.time() - age)
        yield from _one("frame_age_seconds", "Age of the newest frame.", age)
    yield from _one("paused", "Whether a person has paused the run.", stats["paused"])
    yield from _one("web_clients", "Viewers of the live picture.", len(station.viewers))
    yield from _one("web_frames_sent_total", "Frames sent to viewers.", station.sent)
    yield from _one("web_frames_skipped_total", "Frames that no viewer was ready for.", station.skipped)
    yield from _notices(facts.notices, facts.records)
    if facts.records:
        yield from _kept(facts.records, facts.recorder)
    yield from _machine(state)
    yield from _process()


def _notices(notices: Sequence[Notice], records: Records | None) -> Iterator[str]:
    """Who is told of events; nothing where nobody is."""
    rows: list[tuple[Mapping[str, str], float]] = [({"sink": one.name}, one.dropped) for one in notices]
    if records:
        rows.append(({"sink": "store"}, records.store.dropped))
    if rows:
        yield from _metric("events_dropped_total", "counter", "Events that did not arrive.", rows)
    for one in notices:
        if (connected := getattr(one, "connected", None)) is not None:
            yield from _one("mqtt_connected", "Whether the MQTT broker has taken us.", connected)
            yield from _one("mqtt_dropped_total", "Events that the MQTT broker never got.", one.dropped)


def _kept(records: Records, recorder: Recorder | None) -> Iterator[str]:
    """What is written to the disk, by whom, and what it did not take."""
    written: list[tuple[Mapping[str, str], float]] = [({"kind": "event"}, records.store.written)]
    if recorder:
        shelf = recorder.shelf
        written.append(({"kind": "recording"}, shelf.written))
        yield from _one("snapshots_total", "Pictures of events that were written.", recorder.snapshots)
        yield from _one("clips_total", "Clips that were written.", recorder.clips)
        yield from _one("recorder_failed_total", "Recordings that the disk did not take.", recorder.failed)
        yield from _one("recorder_skipped_total", "Frames that came too fast to record.", recorder.skipped)
        yield from _one("recorder_memory_bytes", "Pictures of the last seconds.", recorder.ring.size)
        yield from _one("storage_used_bytes", "All recordings.", shelf.size)
        yield from _one("storage_free_bytes", "Free on the disk of the recordings.", shelf.free)
        gone = [({"reason": reason}, shelf.deleted[reason]) for reason in ("free", "size", "age")]
        yield from _metric("storage_deleted_total", "counter", "Recordings that had to go.", gone)
    yield from _metric("written_bytes_total", "counter", "Bytes that went to the disk.", written)


def _machine(state: State) -> Iterator[str]:
    if (celsius := state.stats["temperature"]) is not None:
        yield from _one("soc_temperature_celsius", "Temperature of the processor.", celsius)
    if (bits := state.throttled) is not None:
        rows = [
            ({"flag": flag, "when": when}, bits >> (bit + shift) & 1)
            for when, shift in (("now", 0), ("since_boot", 16))
            for bit, flag in enumerate(_FLAGS)
        ]
        yield from _metric("throttled", "gauge", "What the firmware holds back, and why.", rows)
    if (hertz := board.frequency()) is not None:
        yield from _one("cpu_frequency_hertz", "Clock of the first core.", hertz)


def _process() -> Iterator[str]:
    process = psutil.Process()
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info()
        rows = [
            ("process_cpu_seconds_total", "CPU time of the program.", times.user + times.system),
            ("process_resident_memory_bytes", "Memory of the program.", memory.rss),
            ("process_start_time_seconds", "When the program began.", process.create_time()),
            ("process_threads", "Threads of the program.", process.num_threads()),
        ]
    for name, meaning, value in rows:
        yield from _one(name, meaning, value, prefix="")
    if (folder := Path("/proc/self/fd")).is_dir():
        yield from _one("process_open_fds", "Open files.", sum(1 for _ in folder.iterdir()), prefix="")


def _one(name: str, meaning: str, value: float, prefix: str = "edge_detect_") -> Iterator[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    yield from _metric(name, kind, meaning, [({}, value)], prefix)


def _metric(name: str, kind: str, meaning: str, rows: Rows, prefix: str = "edge_detect_") -> Iterator[str]:
    yield f"# HELP {prefix}{name} {meaning}\n# TYPE {prefix}{name} {kind}\n"
    for labels, value in rows:
        yield f"{prefix}{name}{_labels(labels)} {_number(value)}\n"


def _histograms(name: str, meaning: str, rows: Iterable[tuple[dict[str, str], Histogram]]) -> Iterator[str]:
    yield f"# HELP edge_detect_{name} {meaning}\n# TYPE edge_detect_{name} histogram\n"
    for labels, histogram in rows:
        total = 0
        for bound, count in zip([*BUCKETS, float("inf")], list(histogram.counts), strict=True):
            total += count
            yield f"edge_detect_{name}_bucket{_labels(labels | {'le': _number(bound)})} {total}\n"
        yield f"edge_detect_{name}_sum{_labels(labels)} {_number(histogram.sum)}\n"
        yield f"edge_detect_{name}_count{_labels(labels)} {total}\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{float(value):.10g}" if value % 1 else str(int(value))
