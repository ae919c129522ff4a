"""Batch: hours of footage, looked at by many workers.

Looks at every frame of videos and pictures, cut into shards that workers share, and writes into a folder:

  detections.jsonl  one JSON object a frame, file by file in the order of names, each in order of time
  events.jsonl      what tracker, zones and rules make of it, as with run --events; not with --every
  summary.csv       for each file and label: frames, frames with it, most at once, first and last time
  timeline.png      what was seen when

The same command goes on where it was stopped or killed, and adds what has come to the footage; only what
is new is looked at. Confidence, classes, zones and rules may change: they are applied anew to what was found.
The exit code tells whether something failed; the log and the table say what.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect import __version__, layers
from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.settings import split

if TYPE_CHECKING:
    from edge_detect.layers import Settings
    from edge_detect.model import Model

log = logging.getLogger(__name__)

RESULTS = ("detections.jsonl", "events.jsonl", "summary.csv", "timeline.png")
FLAGS = {"model.path": "model", "model.labels": "labels", "model.fit": "fit",
         "detect.confidence": "confidence", "detect.classes": "classes"}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect batch`."""
    parser.add_argument("places", nargs="+", metavar="PATH", help="a video, a picture, a folder or a glob")
    parser.add_argument("--config", metavar="FILE", help="settings of the model and of what counts as seen")
    arguments.add_model(parser, threads=False)
    parser.add_argument(
        "--classes", type=split, metavar="A,B", help="tell of these classes only (default: all)"
    )
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for the results")
    group.add_argument("--anew", action="store_true", help="forget what was begun there with other settings")
    group = parser.add_argument_group("work")
    group.add_argument(
        "--every", type=arguments.seconds, default=0.0, metavar="S",
        help="look at one frame in S seconds of video (default: at every one)",
    )  # fmt: skip
    group.add_argument(
        "--shard", type=arguments.seconds, default=60.0, metavar="S", help="seconds of a shard (60)"
    )
    group.add_argument(
        "--executor", default="process", metavar="WHERE",
        help="process: this machine; dask://HOST:PORT: the workers of that Dask scheduler (process)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=arguments.count, default=0, metavar="N",
        help="shards at once, a core each (default: all cores)",
    )  # fmt: skip
    parser.set_defaults(**dict.fromkeys(FLAGS.values()))


def main(options: argparse.Namespace) -> int:
    """Does all that is left; the code tells when something failed."""
    if not 0.1 <= options.shard <= 3600:
        raise ConfigError(f"--shard {options.shard:g}: expected 0.1 to 3600 seconds")
    given = {key: getattr(options, word) for key, word in FLAGS.items()}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    settings = layers.read(options.config, {key: value for key, value in given.items() if value is not None})
    from edge_detect.archive import footage

    recordings, missing = footage.find(options.places, options.output)
    for error in missing:
        log.error("%s", error)
    if not recordings:
        return InputMissing.exit_code
    chosen = settings.config.model
    from edge_detect.model import open_model

    model = open_model(*arguments.model_files(chosen.path, chosen.labels), 1)
    code = _work(options, settings, model, recordings)
    return code or (InputMissing.exit_code if missing else 0)


def _work(options: argparse.Namespace, settings: Settings, model: Model, recordings: list[Any]) -> int:
    from contextlib import closing

    from edge_detect import durable, rules, signals, zones
    from edge_detect.archive import summary
    from edge_detect.archive.batch import Batch
    from edge_detect.archive.crews import hire
    from edge_detect.archive.ledger import Ledger
    from edge_detect.archive.merge import Judge
    from edge_detect.archive.progress import Progress
    from edge_detect.archive.work import Work
    from edge_detect.controls import Choice, Controls

    chosen, labels = settings.config, model.labels
    with settings.blame("detect.classes"):  # what cannot be is refused now, not when all was looked at
        Controls(Choice(chosen.detect.confidence, chosen.detect.classes), labels)
    with settings.blame("zones"):
        zones.check(chosen.zones, labels.names)
    rules.check(chosen.events, chosen.zones, labels.names)
    file, follows = model.file, chosen.tracker.enabled and not options.every
    least = min(chosen.detect.confidence, chosen.tracker.low) if follows else chosen.detect.confidence
    work = Work(__version__, str(file.path.resolve()), file.sha256, least, chosen.model.fit, options.every)
    judge = Judge(chosen, labels, file.path.name, file.sha256, follows)
    folder = Path(options.output)
    durable.make_folder(folder)
    with durable.locked(folder / ".lock"), signals.answered() as asked:
        ledger = Ledger(folder)
        ledger.begin(_settings(work, options.shard), anew=options.anew)
        batch = Batch(recordings, ledger, options.shard)
        left = batch.left()
        told = "nothing is left to do" if not left else f"{len(left)} shards to look at"
        log.info("%s: %d recordings, %s", options.output, len(recordings), told)
        if left:
            with (
                closing(hire(options.executor, work, options.workers, model.file.data)) as crew,
                closing(Progress(quiet=options.quiet)) as progress,
            ):
                finished = batch.work(crew, progress, asked.stop)
            if not finished:
                log.warning("stopped with %d shards left; the same command goes on", len(batch.left()))
                return 130
        tallies = batch.finish(folder, judge)
    print(summary.to_text(tallies))
    failed = [tally for tally in tallies if tally.problems]
    for tally in failed:
        print(*(f"! {line}" for line in tally.problems), sep="\n")
    print(*(folder / name for name in RESULTS), sep="\n")
    return 1 if failed else 0


def _settings(work: Any, shard: float) -> dict[str, Any]:
    """What the results depend on; `Ledger` refuses to mix them."""
    return {
        "model": work.sha256[:12],
        "least score": work.least,
        "fit": work.fit,
        "every": work.every,
        "shard": shard,
    }
