"""Pictures: one file, a folder with all below it, or a glob."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from edge_detect import pixels
from edge_detect.errors import EdgeDetectError, InputMissing, SourceError
from edge_detect.frame import Frame
from edge_detect.sources import PICTURE_ENDINGS
from edge_detect.uri import public

log = logging.getLogger(__name__)


@dataclass
class Pictures:
    """Picture files in the order of their names; the ones that cannot be read are told and skipped.

    Attributes:
        address: A file, a folder or a glob.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
    """

    address: str
    rotation: int = 0
    flip: str = ""
    live = False
    fps = 0.0
    patience = 30.0
    freeze = 0.0
    reopens = False

    def __post_init__(self) -> None:
        pixels.check_turn(self.rotation, self.flip)

    def __iter__(self) -> Iterator[Frame]:
        files = find(self.address)
        if not files:
            raise InputMissing(
                f"source '{public(self.address)}': no picture there (expected JPEG, PNG, BMP, TIFF or WebP)"
            )
        return read(files, self.rotation, self.flip)


def find(address: str) -> list[str]:
    """The picture files that a path or a glob names, sorted."""
    if os.path.isdir(address):
        from imutils import paths  # brings all of urllib with it, which only a folder is worth

        return sorted(paths.list_files(address, PICTURE_ENDINGS))
    if os.path.exists(address):
        return [address]
    return sorted(filter(os.path.isfile, glob.glob(address, recursive=True)))


def load(name: str, number: int = 0, rotation: int = 0, flip: str = "") -> Frame:
    """The frame that a picture file makes.

    Raises:
        EdgeDetectError: It cannot be read.
    """
    return Frame(pixels.turn(pixels.read_picture(name), rotation, flip), 0.0, number, name)


def read(files: list[str], rotation: int = 0, flip: str = "") -> Iterator[Frame]:
    """A frame for each file that can be read.

    Raises:
        EdgeDetectError: The only file cannot be read, or not one of many.
    """
    skipped, last = 0, SourceError("no pictures")
    for number, name in enumerate(files):
        try:
            frame = load(name, number, rotation, flip)
        except EdgeDetectError as error:
            if len(files) == 1:
                raise
            log.warning("skipped: %s", error)
            skipped, last = skipped + 1, SourceError(f"none of {len(files)} pictures can be read")
            continue
        yield frame
    if skipped == len(files):
        raise last
    if skipped:
        log.warning("%d of %d pictures skipped", skipped, len(files))
