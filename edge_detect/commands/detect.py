"""Detect: pictures in, boxes out.

Looks at pictures, folders of pictures and globs, and tells what is in them.
"""

from __future__ import annotations

import argparse
import logging
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from edge_detect import lazy
from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, EdgeDetectError, InputMissing
from edge_detect.logs import visible
from edge_detect.uri import public

if TYPE_CHECKING:
    from edge_detect.labels import Labels
    from edge_detect.scene import Scene

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect detect`."""
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, a folder or a glob")
    arguments.add_model(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="one JSON object a picture on standard output")
    group.add_argument(
        "-o", "--output", metavar="DIR", help="annotated pictures there (one.jpg for a single one)"
    )


def main(options: argparse.Namespace) -> int:
    """Looks at every picture; the code tells when one could not be read."""
    with lazy.imports():
        from edge_detect.detector import Detector
        from edge_detect.draw import Annotator
        from edge_detect.scene import Scene
        from edge_detect.sinks import Sink, is_folder, kind_of
        from edge_detect.sinks.json_lines import JsonLines
        from edge_detect.sinks.pictures import Pictures
        from edge_detect.sources import pictures

    files: list[str] = []
    failed = 0
    for place in options.pictures:
        found = pictures.find(place)
        files += found
        if not found:
            failed = _tell(InputMissing(f"{public(place)}: no picture there"))
    if not files:
        return failed
    if options.output and kind_of(options.output) != "pictures":
        raise ConfigError(f"--output {options.output}: expected a folder/ or a picture (.jpg)")
    if options.output and len(files) > 1 and not is_folder(options.output):
        raise ConfigError(f"--output {options.output}: expected a folder/ for {len(files)} pictures")
    model = arguments.open_model(options)
    detect = Detector(model, options.confidence, fit=options.fit)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if options.json:
            sinks.append(stack.enter_context(closing(JsonLines("-", model.labels, live=False))))
        if options.output:
            sinks.append(stack.enter_context(closing(Pictures(options.output, Annotator(model.labels)))))
        for number, file in enumerate(files):
            try:
                frame = pictures.load(file, number)
            except EdgeDetectError as error:
                failed = _tell(error)
                continue
            scene = Scene(frame, detect(frame))
            for sink in sinks:
                sink.write(scene)
            if not options.json:
                print(text_of(scene, model.labels), flush=True)
    return failed


def _tell(error: EdgeDetectError) -> int:
    log.error("skipped: %s", error)
    return error.exit_code


def text_of(scene: Scene, labels: Labels) -> str:
    """What is in a picture, for people: one line, then one for each box."""
    found = scene.detections
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    lines = [
        f"  {labels[class_id]:<16} {score:4.0%}   x {x1:.0f}..{x2:.0f}   y {y1:.0f}..{y2:.0f}"
        for class_id, score, (x1, y1, x2, y2) in rows
    ]
    width, height = scene.frame.size
    lines.insert(0, f"{scene.frame.name}: {width}x{height}, {len(found) or 'nothing'} found")
    return "\n".join(map(visible, lines))
