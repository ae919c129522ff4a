"""Evaluate: how good, how fast and how large detectors are, side by side.

The models take turns on every picture, so the ratios of their times hold on a busy machine too.

  edge-detect evaluate -m detector.tflite --data val.json
  edge-detect evaluate -m int8.tflite float32.tflite --data val.json --report report.html
  edge-detect evaluate -m a.tflite -l coco.txt --data street/val.json --data animals/val.json --json
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from edge_detect.workshop.dataset import Dataset
    from edge_detect.workshop.evaluate import Evaluation, Result

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect evaluate`."""
    group = parser.add_argument_group("models")
    group.add_argument(
        "-m", "--model", nargs="+", action="extend", default=[], metavar="FILE",
        help="one or more .tflite detectors; the first is what the others are compared with",
    )  # fmt: skip
    group.add_argument("-l", "--labels", metavar="FILE", help="class names for models without names inside")
    group.add_argument(
        "--threads", type=arguments.thread_count, default=0, metavar="N",
        help="of the nets (default: measured once)",
    )  # fmt: skip
    group.add_argument(
        "--fit", choices=("letterbox", "stretch"), default="letterbox",
        help="how a picture is laid into a model's input (letterbox: no distortion)",
    )  # fmt: skip
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", action="append", required=True, metavar="FILE",
        help="COCO, Pascal VOC, YOLO or TFRecord; may be repeated, each set is measured apart",
    )  # fmt: skip
    group.add_argument(
        "--images", action="append", default=[], metavar="DIR",
        help="folder of the pictures; one for all sets, or one for each",
    )  # fmt: skip
    group.add_argument("--classes", metavar="A,B", help="measure these alone (default: all that are shared)")
    group.add_argument(
        "--limit", type=arguments.count, metavar="N", help="at most N pictures of each set, spread evenly"
    )
    group = parser.add_argument_group("results")
    group.add_argument("--json", action="store_true", help="one JSON object on standard output")
    group.add_argument("--curves", metavar="FILE", help="write precision-recall curves as PNG")
    group.add_argument("--report", metavar="FILE", help="write all of it as one HTML page, with pictures")


def main(options: argparse.Namespace) -> int:
    """Measures, prints, and writes what was asked for."""
    paths, labels = _models(options)
    folders = _folders(options)
    for option in ("curves", "report"):
        _check_place(getattr(options, option))
    drawn = {"matplotlib": "matplotlib"} if options.curves or options.report else {}
    arguments.need("evaluate", {"pycocotools": "pycocotools", "PIL": "pillow"} | drawn)
    from edge_detect.workshop import evaluate

    opened = evaluate.open_models(paths, labels, options.threads)
    sets = [_read(options, place, folder) for place, folder in zip(options.data, folders, strict=True)]
    done = [
        evaluate.compare(opened, data, fit=options.fit, place=place)
        for place, data in zip(options.data, sets, strict=True)
    ]
    if options.json:
        rows = [evaluate.to_json(one) for one in done]
        named = {"sets": [{"data": one.place} | row for one, row in zip(done, rows, strict=True)]}
        print(json.dumps(rows[0] if len(rows) == 1 else named))
    else:
        print("\n\n".join(map(text_of, done)))
    _write(options, done)
    return 0


def _models(options: argparse.Namespace) -> tuple[list[Path], Path | None]:
    """The model files, each once, and the names for those without."""
    if not options.model:
        path, labels = arguments.model_files("", options.labels)
        return [path], labels
    paths = [Path(word) for word in options.model]
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:
            raise ConfigError(f"--model {path}: expected each file once, got it twice")
    return paths, Path(options.labels) if options.labels else None


def _folders(options: argparse.Namespace) -> list[Path | None]:
    """For each set, the folder of its pictures where one is named."""
    for i, place in enumerate(options.data):
        if place in options.data[:i]:
            raise ConfigError(f"--data {place}: expected each set once, got it twice")
    given = [Path(word) for word in options.images]
    wanted = len(options.data)
    if len(given) not in (0, 1, wanted):
        either = f"1 or {wanted}" if wanted > 1 else "1"
        raise ConfigError(f"--images: expected {either}, got {len(given)}; one for all sets, or one for each")
    return [given[i % len(given)] if given else None for i in range(wanted)]


def _check_place(place: str | None) -> None:
    """What cannot be written is told before the long work, not after it."""
    if place and not Path(place).parent.is_dir():
        raise SinkError(f"{place}: cannot write: no folder {Path(place).parent}; make it first")
    if place and Path(place).is_dir():
        raise SinkError(f"{place}: cannot write: a folder, expected a file")


def _read(options: argparse.Namespace, place: str, folder: Path | None) -> Dataset:
    """The set at a place, or the part of it that is asked for."""
    from edge_detect.workshop import dataset, formats

    data = formats.read(place, folder)
    formats.tell_left_out(data)
    if options.classes is not None:
        names = [name.strip() for name in options.classes.split(",") if name.strip()]
        if not names:
            raise ConfigError(f"--classes: expected names with commas between, got '{options.classes}'")
        data = dataset.keep(data, list(dict.fromkeys(names)))
    if options.limit == 0:
        raise ConfigError("--limit: expected 1 or more, got 0")
    if options.limit and len(data) > options.limit:
        rows = [i * len(data) // options.limit for i in range(options.limit)]
        data = replace(data, pictures=tuple(data.pictures[i] for i in rows))
    return data


def _write(options: argparse.Namespace, done: Sequence[Evaluation]) -> None:
    if options.curves:
        from edge_detect.workshop import curves

        curves.precision_recall(done, Path(options.curves))
        log.info("written: %s", options.curves)
    if options.report:
        from edge_detect.workshop import report

        report.write_all(done, Path(options.report))
        log.info("written: %s", options.report)


def text_of(evaluation: Evaluation) -> str:
    """The results on one set for people."""
    from edge_detect import board

    results = evaluation.results
    titles = evaluation.titles
    heads = [
        "model",
        "bytes",
        "zipped",
        "invoke ms",
        "p95",
        "AP",
        "AP50",
        "AP50 of >=20",
        "small",
        "medium",
        "large",
    ]
    rows = [[title, *_figures(result)] for title, result in zip(titles, results, strict=True)]
    return (
        f"{evaluation.place}: {len(evaluation.data)} pictures, {evaluation.boxes} boxes,"
        f" {len(evaluation.classes)} classes; {board.name()}, {results[0].model.card.runtime}\n\n"
        f"{_table(heads, rows)}\n\n"
        "AP50 by class, in brackets the threshold of the best F1\n"
        f"{_table(['class', 'boxes', *titles], _by_class(evaluation))}"
    )


def _figures(result: Result) -> list[str]:
    from edge_detect.workshop import evaluate

    precision = result.precision
    shares = [precision.ap, precision.ap50, evaluate.enough(precision)]
    shares += [precision.mean(size=size) for size in ("small", "medium", "large")]
    times = [f"{result.invoke_ms:.2f}", f"{result.invoke_p95_ms:.2f}"]
    return [str(result.bytes), str(result.zipped_bytes), *times, *map(_share, shares)]


def _by_class(evaluation: Evaluation) -> list[list[str]]:
    """A row for each class: its name, its boxes, and AP50 with the threshold for each model."""
    from edge_detect.workshop import evaluate

    best = [evaluate.thresholds(result.precision) for result in evaluation.results]
    rows = []
    for i, name in enumerate(evaluation.classes):
        row = [name, str(evaluation.results[0].precision.boxes[i])]
        for result, found in zip(evaluation.results, best, strict=True):
            threshold = f"({math.floor(found[name][0] * 100) / 100:.2f})" if name in found else "      "
            row.append(f"{_share(result.precision.mean(iou=0, of=name))} {threshold}")
        rows.append(row)
    return rows


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = []
    for row in (heads, *rows):
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)
