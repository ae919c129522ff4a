"""Signature: what is known of a model when its decoder is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect.tensors import Tensor

if TYPE_CHECKING:
    from edge_detect.anchors import Anchors

Arrays: TypeAlias = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Signature:
    """The ends of a model, what they gave in one run, and what the file says of itself.

    Attributes:
        size: (width, height) of the input.
        outputs: In the order of the runtime.
        samples: What the outputs held after a run on a picture of noise.
        roles: Position of `boxes`, `classes`, `scores`, `count`, where the graph itself tells.
        classes: Number of classes that the graph or the embedded labels tell; 0 when unknown.
        anchors: Anchors by where they were found: `metadata`, or `output N` for a constant one.
        decoding: Variances of centre and size, and whether scores are logits, where the file tells.
    """

    size: tuple[int, int]
    outputs: tuple[Tensor, ...]
    samples: Arrays
    roles: dict[str, int] = field(default_factory=dict)
    classes: int = 0
    anchors: dict[str, Anchors] = field(default_factory=dict)
    decoding: tuple[tuple[float, float], bool] | None = None

    def real(self, position: int) -> npt.NDArray[np.float32]:
        """Real values of a sample."""
        return self.outputs[position].real(self.samples[position])

    def bounds(self, position: int) -> tuple[float, float]:
        """Least and greatest real value that an output can hold, or held."""
        stored = self.outputs[position].range
        if stored is not None:
            return stored
        sample = self.real(position)
        sample = sample[np.isfinite(sample)]
        return (float(sample.min()), float(sample.max())) if sample.size else (0.0, 0.0)


def rows_of(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(n, values) of an output that is a list of rows, `[1, n, values]` with ones left out."""
    long = [side for side in shape[:-1] if side != 1]
    return ((long or [1])[0], shape[-1]) if len(shape) >= 2 and len(long) <= 1 else None
