"""Replay: which events recorded detections, or a clip, would have made.

Runs tracker and rules over what `edge-detect run --json` has written, or over a video, and prints
the events as JSON Lines, with a summary on standard error. `run -c 0.1 --json` records all that the
tracker looks at. The time of a clip counts from 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge_detect import config, layers
from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.uri import public

if TYPE_CHECKING:
    from edge_detect.controls import Controls
    from edge_detect.events import Event
    from edge_detect.following import Following
    from edge_detect.scene import Scene

RECORDED = (".jsonl", ".ndjson", ".json")
FAR, LATE = 1e6, 1e11  # pixels, and seconds from 1970, that nothing recorded reaches


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect replay`."""
    parser.add_argument("file", metavar="FILE", help="JSON Lines of run --json, or a video")
    parser.add_argument("--config", metavar="FILE", help="settings to try out, as for run")
    group = parser.add_argument_group("model, for a video")
    group.add_argument("-m", "--model", metavar="FILE", help="a .tflite detector (default: as run)")
    group.add_argument("-l", "--labels", metavar="FILE", help="names of its classes")


def main(options: argparse.Namespace) -> int:
    """Prints the events."""
    given = {"model.path": options.model, "model.labels": options.labels, "source.uri": options.file}
    flags = {key: value for key, value in given.items() if value}
    settings = layers.read(options.config, flags, strict=True)
    if not os.path.isfile(options.file):
        there = os.path.exists(options.file)
        said = "expected a file, got a folder or a pipe" if there else "no such file"
        raise InputMissing(f"{public(options.file)}: {said}")
    from edge_detect.events import to_json

    with ExitStack() as stack:
        if options.file.lower().endswith(RECORDED):
            told = of_lines(Path(options.file), settings)
        else:
            told = of_clip(settings, stack)
        report = Report()
        for events in told:
            for event in events:
                print(json.dumps(to_json(event), separators=(",", ":")))
            report.add(events)
    print(report.text(), file=sys.stderr)
    return 0


class Report:
    """What has fired, for people."""

    def __init__(self) -> None:
        self._starts: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, events: tuple[Event, ...]) -> None:
        """Counts the starts among them."""
        for one in events:
            if one.type == "start":
                self._starts[one.kind, one.label, one.zone, one.direction] += 1

    def text(self) -> str:
        """A line for each kind, label, zone and direction."""
        rows = [
            f"{number:6}  {kind:<12}{label}{f' {zone}' if zone else ''}{f' {way}' if way else ''}"
            for (kind, label, zone, way), number in sorted(self._starts.items())
        ]
        return "\n".join(rows) or "no event"


def of_clip(settings: layers.Settings, stack: ExitStack) -> Iterator[tuple[Event, ...]]:
    """The events of a video."""
    from edge_detect import model
    from edge_detect.detector import Detector
    from edge_detect.sources import open_source

    chosen = settings.config
    source = open_source(chosen.source.uri)
    files = arguments.model_files(chosen.model.path, chosen.model.labels)
    detect = Detector(model.open_model(*files, chosen.model.threads), fit=chosen.model.fit)
    following, controls = follow(settings, detect.model.labels.names)
    detect.confidence = min(chosen.detect.confidence, chosen.tracker.low)
    for frame in stack.enter_context(closing(cast("Any", iter(source)))):
        if frame is not None:
            found = detect(frame) if following.wants(frame) else None
            yield following.scene(frame, found, controls).events
    yield following.close()


def of_lines(path: Path, settings: layers.Settings) -> Iterator[tuple[Event, ...]]:
    """The events of recorded detections."""
    chosen = config.change(settings.config, {"motion.gate": "off"})
    names: dict[int, str] = {}
    for record in records(path):
        names |= {one["class_id"]: one["label"] for one in record["detections"]}
    labels = [names.get(number, f"class {number}") for number in range(max(names, default=-1) + 1)]
    wanted = [*chosen.detect.classes, *(name for zone in chosen.zones for name in zone.classes)]
    wanted += [text.partition("=")[0].strip() for text in chosen.events.thresholds]
    labels += dict.fromkeys(name for name in wanted if name not in labels)  # which nobody has seen
    following, controls = follow(replace(settings, config=chosen), labels)
    for record in records(path):
        seen = scene(record)
        following.wants(seen.frame)
        found = None if record.get("predicted") else seen.detections
        yield following.scene(seen.frame, found, controls).events
    yield following.close()


def follow(settings: layers.Settings, labels: Sequence[str]) -> tuple[Following, Controls]:
    """Tracker and rules, and the choice of classes."""
    from edge_detect import uri, zones
    from edge_detect.controls import Choice, Controls
    from edge_detect.following import FOOTAGE, Following
    from edge_detect.labels import Labels
    from edge_detect.rules import Origin

    chosen = settings.config
    with settings.blame("zones"):
        zones.check(chosen.zones, labels)
    with settings.blame("detect.classes"):
        controls = Controls(Choice(chosen.detect.confidence, chosen.detect.classes), Labels(tuple(labels)))
    return Following(chosen, labels, Origin(uri.public(chosen.source.uri)), FOOTAGE), controls


def scene(record: dict[str, Any]) -> Scene:
    """A recorded frame, and what was found in it."""
    from edge_detect.scene import noted

    columns = ([row[key] for row in record["detections"]] for key in ("box", "score", "class_id"))
    size = record["width"], record["height"]
    return noted(record["source"], record["frame"], float(record["time"]), size, *columns)


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, checked.

    Raises:
        ConfigError: One is not what `run --json` writes.
        InputMissing: They cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _record(line, f"{path}:{number}")
    except OSError as error:
        raise InputMissing(f"{path}: cannot read: {error.strerror}") from error


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if "duration_s" in record:
            raise ConfigError(f"{where}: expected detections (run -c 0.1 --json), got an event")
        good = all(type(record[key]) is int and 0 < record[key] <= FAR for key in ("width", "height"))
        good &= 0 <= record["time"] < LATE and isinstance(record["frame"], int)
        good &= isinstance(record["source"], str)
        for one in record["detections"]:
            good &= isinstance(one["label"], str) and 0 <= one["score"] <= 1
            good &= type(one["class_id"]) is int and 0 <= one["class_id"] < 10_000
            good &= len(one["box"]) == 4 and all(abs(side) <= FAR for side in one["box"])  # and no NaN
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        good = False
    if not good:
        raise ConfigError(f"{where}: expected a line of run --json")
    return cast("dict[str, Any]", record)
