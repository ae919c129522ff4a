"""Motion: whether anything moves in the picture, so that the net may rest where nothing does."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect import config, zones
from edge_detect.frame import Frame, Image

Luma: TypeAlias = npt.NDArray[np.float32]

WIDTH, SPOT = 320, 8  # pixels that are looked at across the picture, and of one spot
MEMORY = 1.0  # seconds in which what stands still becomes background


class Gate:
    """Tells of each frame whether the net is to look at it.

    It is to, while something moves and for a while after, every few seconds, and for as long as
    the tracker is in doubt. What changes in all of the picture alike is light, not motion.
    """

    def __init__(self, settings: config.Motion) -> None:
        """Has seen nothing yet.

        Raises:
            ConfigError: A mask that cannot be.
        """
        self._background: Luma | None = None
        self._seen = self._until = self._looked = -math.inf
        self.change(settings)

    def change(self, settings: config.Motion) -> None:
        """Takes other settings.

        Raises:
            ConfigError: A mask that cannot be; the old ones hold.
        """
        self._masks = [zones.polygon(text) for text in settings.masks]
        self._settings = settings
        self._counts: npt.NDArray[np.bool_] | None = None

    def __call__(self, frame: Frame, now: float, *, settled: bool = True) -> bool:
        """Whether to look at a frame.

        Args:
            frame: Its small picture serves where there is one.
            now: Seconds.
            settled: Whether all that is known was found at the last look.
        """
        if self._moves(frame, now):
            self._until = now + self._settings.settle
        if settled and now > self._until and now - self._looked < self._settings.keep_alive:
            return False
        self._looked = now
        return True

    def _moves(self, frame: Frame, now: float) -> bool:
        luma = small_luma(frame.image if frame.small is None else frame.small)
        before, seconds = self._background, max(0.0, now - self._seen)
        self._seen = now
        if before is None or before.shape != luma.shape:
            self._background, self._counts = luma, None
            return True
        change = luma - before
        before += change * (1 - math.exp(-seconds / MEMORY))
        change -= np.median(change)
        spots = np.abs(change) >= self._settings.contrast
        spots &= self._spots(luma.shape)
        return bool(np.count_nonzero(spots) >= max(1, self._settings.area * spots.size))

    def _spots(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Those outside of all masks."""
        if self._counts is None:
            rows, columns = shape
            self._counts = np.ones((rows, columns), bool)
            for row in range(rows) if self._masks else ():
                for column in range(columns):
                    middle = (column + 0.5) / columns, (row + 0.5) / rows
                    self._counts[row, column] = not any(zones.contains(mask, middle) for mask in self._masks)
        return self._counts


def small_luma(image: Image) -> Luma:
    """(rows, columns) brightness, 0..255, of spots of 8 x 8 pixels of a picture 320 wide.

    Green stands for brightness, of which it makes the most; the mean over a spot takes the noise.
    """
    step = max(1, image.shape[1] // WIDTH)
    green = image[::step, ::step, 1]
    rows, columns = max(1, green.shape[0] // SPOT), max(1, green.shape[1] // SPOT)
    if green.shape[0] < SPOT or green.shape[1] < SPOT:
        return green.astype(np.float32)
    spots = green[: rows * SPOT, : columns * SPOT].reshape(rows, SPOT, columns, SPOT)
    # the sums of 16 bits are exact, and several times as fast as a mean of floats
    sums = spots.sum(1, dtype=np.uint16).reshape(rows, columns, SPOT).sum(2, dtype=np.uint16)
    luma: Luma = sums.astype(np.float32) / np.float32(SPOT**2)
    return luma
