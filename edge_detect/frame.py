"""Frame: one picture and when it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""(height, width, 3) uint8, BGR."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source; shared by all, so draw on a copy.

    Attributes:
        image: The full picture.
        time: Seconds: monotonic clock at capture for a live source, position in the file for a
            recorded one, 0 for a single picture.
        number: 0, 1, 2 ... with gaps where frames were dropped.
        name: What it is a picture of: a path, or a URI without its password.
        small: The same view in the size that the detector looks at, made by the camera's own
            hardware or in the capture thread; None when nobody has made it.
    """

    image: Image
    time: float
    number: int
    name: str = ""
    small: Image | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]
