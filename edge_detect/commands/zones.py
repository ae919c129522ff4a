"""Zones: the zones and lines of the settings, drawn on a picture of the camera.

Nobody is seen in it whom [privacy] of the settings hides: with `blur` the model of the settings looks
at the picture first, with `no_pictures` the zones are drawn on black.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_detect import layers
from edge_detect.commands import arguments
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
    frame = veiled(settings, source)
    save(plan.draw(frame.image, places), Path(options.output))
    print(options.output)
    return 0


def veiled(settings: layers.Settings, source: Source) -> Frame:
    """A picture of a source, without what the settings keep private.

    Raises:
        SourceError: None came in time.
        ConfigError: A class to blur that the model does not know.
    """
    from edge_detect import detections
    from edge_detect.recording import open_veil
    from edge_detect.scene import Scene
    from edge_detect.veil import Veil

    chosen = settings.config
    if chosen.privacy.no_pictures or not chosen.privacy.blur:
        veil = Veil(replace(chosen.privacy, blur=()))
        frame = look(source)
    else:
        from edge_detect import model
        from edge_detect.detector import Detector

        files = arguments.model_files(chosen.model.path, chosen.model.labels)
        detect = Detector(model.open_model(*files, chosen.model.threads), fit=chosen.model.fit)
        veil = open_veil(settings, detect.model.labels)
        detect.confidence = veil.least
        frame = look(source, lambda frame: veil.see(detect(frame)))
    return veil(Scene(frame, detections.none())).frame


def look(source: Source, see: Callable[[Frame], None] = lambda frame: None) -> Frame:
    """A picture of a source.

    Args:
        source: Opened and closed here.
        see: Gets every frame until then, and it.

    Raises:
        SourceError: None came in time.
    """
    end, last, count = time.monotonic() + PATIENCE, None, 0
    with closing(cast("Generator[Frame | None]", iter(source))) as frames:
        for frame in frames:
            if frame is not None:
                see(frame)
                last = frame
                count += 1
            if (last and not source.live) or count >= WARM_UP or time.monotonic() > end:
                break
    if last is None:
        raise SourceError("no picture came from the source")
    return last
