"""Detector: a picture in, detections in its own pixels out."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edge_detect import boxes, pixel_values, pixels
from edge_detect.detections import Detections
from edge_detect.fit import FITS, Fit
from edge_detect.frame import Frame
from edge_detect.model import Model


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that one detection took, stage by stage."""

    prepare: float = 0.0
    invoke: float = 0.0
    decode: float = 0.0


class Detector:
    """Finds what a model knows in one frame after another.

    Attributes:
        timing: Of the last call.
    """

    def __init__(
        self, model: Model, confidence: float = 0.2, *, fit: str = "letterbox", overlap: float = 0.5
    ) -> None:
        """Takes a model and how to use it.

        Args:
            model: Ready to run.
            confidence: Least score of a detection, 0..1.
            fit: A key of `fit.FITS`.
            overlap: Intersection over union above which the weaker of two boxes of a class goes,
                where the model does not see to that itself.
        """
        assert model.card.input is not None  # every detector's card has one
        given = model.card.input
        self.model = model
        self.confidence = confidence
        self.timing = Timing()
        self._overlap = overlap
        self._lay = FITS[fit]
        self._size = given.size
        self._fits: dict[tuple[int, int], Fit] = {}
        self._painter = pixels.Painter(
            pixel_values.table(given.tensor, given.normalization), given.colour, given.padding
        )

    def __call__(self, frame: Frame) -> Detections:
        """What is in the frame: boxes in its pixels, clipped, best first."""
        interpreter = self.model.interpreter
        start = time.perf_counter()
        fit = self.prepare(frame)
        prepared = time.perf_counter()
        interpreter.run()
        invoked = time.perf_counter()
        found = self.model.decoder.decode(interpreter.results(), self.confidence)
        if len(found):
            found = self._finish(found, fit, frame.size)
        end = time.perf_counter()
        self.timing = Timing(prepared - start, invoked - prepared, end - invoked)
        return found

    def shrink(self, frame: Frame) -> Frame:
        """The frame with its small picture; to be called where there is time, in the capture thread."""
        if frame.small is not None:
            return frame
        fit = self._fit(frame.size)
        small = np.empty((fit.inner[1], fit.inner[0], 3), np.uint8)
        pixels.resize(frame.image, fit.inner, small)
        return Frame(frame.image, frame.time, frame.number, frame.name, small)

    def prepare(self, frame: Frame) -> Fit:
        """Lays the frame into the model's input and tells where it lies there."""
        image = frame.image if frame.small is None else frame.small
        fit = self._fit((image.shape[1], image.shape[0]))
        self._painter.lay(image, fit, self.model.interpreter.input()[0])
        return fit

    def try_out(self) -> None:
        """Looks at a grey picture, so that what breaks with the first one breaks here."""
        self(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0))

    def inner_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the part of the model's input that a picture of `size` fills."""
        return self._fit(size).inner

    def _fit(self, size: tuple[int, int]) -> Fit:
        fit = self._fits.get(size)
        if fit is None:
            fit = self._fits[size] = self._lay(size, self._size)
        return fit

    def _finish(self, found: Detections, fit: Fit, size: tuple[int, int]) -> Detections:
        corners = boxes.clip(fit.to_picture(found.boxes, size), *size)
        # rounding may make it 1.004, and no JSON holds an infinite one
        found = Detections(corners, np.minimum(found.scores, 1), found.classes)
        inside = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])  # false for NaN too
        if not inside.all():
            found = found.pick(inside)
        if self.model.decoder.suppressed:
            return found.pick((-found.scores).argsort(kind="stable"))
        return found.pick(pixels.suppress(found.boxes, found.scores, found.classes, self._overlap))
