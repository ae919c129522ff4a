"""Zones: the zones and lines of the settings, drawn on a picture of the camera."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_detect import layers
from edge_detect.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Generator

    from edge_detect.frame import Frame
    from edge_detect.sources import Source

WARM_UP = 10  # frames of a camera in which it finds the right exposure
PATIENCE = 20.0  # seconds to wait for them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect zones`."""
    parser.add_argument("--config", metavar="FILE", help="settings with [[zones]], as for run")
    parser.add_argument("-s", "--source", metavar="URI", help="camera, video or picture (default: as run)")
    parser.add_argument("-o", "--output", metavar="FILE.png", default="zones.png", help="default: zones.png")


def main(options: argparse.Namespace) -> int:
    """Draws them."""
    flags = {"source.uri": options.source} if options.source else {}
    settings = layers.read(options.config, flags, strict=True)
    from edge_detect import plan, zones
    from edge_detect.sinks.pictures import save
    from edge_detect.sources import PICTURE_ENDINGS, open_source

    if not options.output.lower().endswith(PICTURE_ENDINGS):
        raise ConfigError(f"--output {options.output}: expected a picture, such as zones.png")
    places = settings.config.zones
    with settings.blame("zones"):
        zones.check(places)
    if not places:
        raise ConfigError("no zones: write [[zones]] into a settings file and name it with --config")
    with settings.blame("source.uri"):
        source = open_source(settings.config.source.uri)
    frame = look(source)
    save(plan.draw(frame.image, places), Path(options.output))
    print(options.output)
    return 0


def look(source: Source) -> Frame:
    """A picture of a source.

    Raises:
        SourceError: None came in time.
    """
    end, last, count = time.monotonic() + PATIENCE, None, 0
    with closing(cast("Generator[Frame | None]", iter(source))) as frames:
        for frame in frames:
            last = frame or last
            count += frame is not None
            if (last and not source.live) or count >= WARM_UP or time.monotonic() > end:
                break
    if last is None:
        raise SourceError("no picture came from the source")
    return last
