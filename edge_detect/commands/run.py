"""Run: watch a source until told to stop.

Watches a camera, a stream, a file or pictures, finds what the model knows, and shows, writes or
prints it.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from edge_detect import layers, lazy, logs
from edge_detect.commands import arguments
from edge_detect.layers import Settings
from edge_detect.settings import split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect run`."""
    parser.add_argument("place", nargs="?", metavar="SOURCE", help="the same as --source SOURCE")
    parser.add_argument(
        "--config", metavar="FILE", help="settings; flags win over them (edge-detect config init writes one)"
    )
    arguments.add_model(parser)
    parser.add_argument(
        "--classes", type=split, metavar="A,B", help="tell of these classes only (default: all)"
    )
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
        "--give-up", type=arguments.seconds, metavar="S",
        help="stop when the camera stays away for S seconds (default: wait for ever)",
    )  # fmt: skip
    group = parser.add_argument_group("output")
    group.add_argument("--display", action="store_true", help="show a window; q or Esc ends, f: full screen")
    group.add_argument("--headless", action="store_true", help="never open a window")
    group.add_argument(
        "-o", "--output", action="append", metavar="WHERE",
        help="annotated video (out.mp4), annotated pictures (folder/ or one.jpg), JSON Lines (out.jsonl, -);"
        " may be given again",
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="one JSON object a frame on standard output")
    group.add_argument("--snapshots", metavar="DIR", help="a picture there when something is seen")
    group.add_argument(
        "--web", nargs="?", const="127.0.0.1:8080", type=arguments.address, metavar="HOST:PORT",
        help="live page in the browser (127.0.0.1:8080)",
    )  # fmt: skip
    group.add_argument("--record", metavar="DIR", help="a picture and a clip of each event there")
    group.add_argument(
        "--events", metavar="FILE.jsonl", help="one JSON object an event, appended; - for standard output"
    )
    group = parser.add_argument_group("log")
    group.add_argument(
        "--log-every",
        type=arguments.seconds,
        metavar="S",
        help="seconds between health lines (10)",
    )
    group.add_argument("--stats", metavar="FILE.csv", help="health lines for a spreadsheet")
    group.add_argument("--log-format", choices=("text", "json"), help="of the lines on standard error (text)")
    # what was not given is for the settings files to say
    parser.set_defaults(**dict.fromkeys(map(_word, layers.FLAGS.values())))


def main(options: argparse.Namespace) -> int:
    """Runs until the source ends, the limit is reached or somebody stops it."""
    given = flags(options)

    def read(*, strict: bool = False) -> Settings:
        return layers.read(options.config, given, strict=strict)

    settings = read()
    if settings.config.log.format != "text":
        logs.configure(logging.root.level, settings.config.log.format)
    model = settings.config.model
    # a missing one is told before cameras are looked for
    files = arguments.model_files(model.path, model.labels)
    with lazy.imports():
        from edge_detect import running
        from edge_detect.model import open_model

    opened = open_model if model.path else arguments.open_on_trial
    return running.run(
        settings, lambda: opened(*files, model.threads), lambda: read(strict=True), options.frames
    )


def flags(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by their keys; the strongest layer.

    Raises:
        ConfigError: Two different sources.
    """
    words = vars(options) | {"source": arguments.source_of(options)}
    given = {key: words[_word(flag)] for key, flag in layers.FLAGS.items()}
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in given.items()
        if value is not None
    }


def _word(flag: str) -> str:
    """What argparse calls it."""
    return flag[2:].replace("-", "_")
