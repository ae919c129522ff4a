"""Calibration: on real pictures, between which values every tensor of a float model moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect import pixel_values
from edge_detect.card import Input
from edge_detect.errors import DatasetError, ModelError
from edge_detect.fit import letterbox
from edge_detect.graph import Graph
from edge_detect.pixels import Painter, read_picture
from edge_detect.workshop import formats

log = logging.getLogger(__name__)

Range: TypeAlias = tuple[float, float]
Ranges: TypeAlias = dict[str, Range]
FEWEST = 8
BINS = 2048
# of pixels normalized to -1..1, so that the number in the input is the pixel less 128
IMAGE_RANGE = (-128 / 127.5, 127 / 127.5)
LEAST_HIGH = 1e-6  # of a range that would be empty
LEAST_LOGIT = -8.0  # of the classes: a score of 0.0003, below which nobody asks
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one tensor held over all pictures.

    Attributes:
        low, high: Its least and greatest value.
        counts: (BINS,) how many values fell into each equal part between them.
    """

    low: float
    high: float
    counts: npt.NDArray[np.int64]


def paths_of(place: str, where: str = "--calibrate") -> list[Path]:
    """The pictures of a data set, or of a folder.

    Args:
        place: `FILE[=PICTURES]` of a data set, or a folder.
        where: What named it, for messages.

    Raises:
        DatasetError: There is no picture.
    """
    name, _, folder = place.partition("=")
    path = Path(name)
    found: list[Path] = []
    if path.is_dir() and not folder:
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        if path.is_dir() and not formats.is_set(name):
            raise DatasetError(f"{where}: {place}: expected pictures or a data set, got neither")
        found = [p.path for p in formats.read(name, Path(folder) if folder else None).pictures]
    if not found:
        raise DatasetError(f"{where}: {place}: expected pictures, got none")
    return found


def pictures(place: str, given: Input, count: int, *, last: bool = False) -> npt.NDArray[np.float32]:
    """(n, h, w, 3) pictures as a float model gets them, drawn at random from a data set or folder.

    Args:
        place: `FILE[=PICTURES]` of a data set, or a folder of pictures.
        given: The input of the model.
        count: How many at most.
        last: Whether to take the last ones of the drawing: others, where the set has enough.

    Raises:
        DatasetError: Too few pictures, or all the same.
    """
    paths = paths_of(place)
    if len(paths) < FEWEST:
        raise DatasetError(f"--calibrate: {place}: expected at least {FEWEST} pictures, got {len(paths)}")
    drawn = np.random.default_rng(0).permutation(len(paths))
    order = drawn[-count:] if last else drawn[:count]
    width, height = given.size
    batch = np.empty((len(order), height, width, 3), np.float32)
    painter = Painter(pixel_values.table(given.tensor, given.normalization), given.colour, given.padding)
    smaller = 0
    for row, index in enumerate(order):
        image = read_picture(paths[index])
        smaller += max(image.shape[:2]) < max(width, height) / 2
        painter.lay(image, letterbox((image.shape[1], image.shape[0]), (width, height)), batch[row])
    spread = batch.reshape(len(batch), -1)[:, ::97]
    if np.ptp(spread, axis=0).max() < 1e-3:
        raise DatasetError(f"--calibrate: {place}: all {len(batch)} pictures are the same; use real ones")
    if float(spread.std()) < 0.02 * float(np.ptp(pixel_values.table(given.tensor, given.normalization))):
        raise DatasetError(f"--calibrate: {place}: the pictures are nearly uniform; use real ones")
    if smaller > len(batch) / 2:
        log.warning(
            "%s: most pictures are less than half as large as the input %dx%d; use some like the camera's",
            place, width, height,
        )  # fmt: skip
    return batch


class Probe:
    """A float model whose every tensor can be read after a run."""

    def __init__(self, data: bytes) -> None:
        """Opens a model.

        Raises:
            ModelError: The runtime does not accept it.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            self._interpreter: Any = Interpreter(
                model_content=data,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                num_threads=2,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"the runtime refuses the model: {str(error).splitlines()[0]}") from error
        details = self._interpreter.get_tensor_details()
        produced = {int(i) for op in self._interpreter._get_ops_details() for i in op["outputs"]}
        self._input = self._interpreter.get_input_details()[0]
        wanted = produced | {int(self._input["index"])}
        self.names = {int(t["index"]): str(t["name"]) for t in details if int(t["index"]) in wanted}
        self.outputs = [int(t["index"]) for t in self._interpreter.get_output_details()]

    def run(self, picture: npt.NDArray[Any]) -> None:
        """Runs one picture (h, w, 3), in real values; an integer input is given its own numbers."""
        value = picture[None]
        scale, zero = self._input["quantization"]
        if self._input["dtype"] != np.float32 and scale:
            limits = np.iinfo(self._input["dtype"])
            value = np.clip(
                np.floor(value / scale + zero + 0.499), limits.min, limits.max
            )  # as the running loop
        self._interpreter.set_tensor(self._input["index"], value.astype(self._input["dtype"]))
        self._interpreter.invoke()

    def value(self, index: int) -> npt.NDArray[np.float32]:
        """The real values of a tensor after a run."""
        stored = self._interpreter.get_tensor(index)
        detail = self._interpreter._get_tensor_details(index, 0)
        scale, zero = detail["quantization"]
        values = stored.astype(np.float32)
        real: npt.NDArray[np.float32] = (values - np.float32(zero)) * np.float32(scale) if scale else values
        return real

    def values(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Every float tensor that the last run wrote."""
        for index, name in self.names.items():
            stored = self._interpreter.get_tensor(index)
            if stored.dtype == np.float32 and stored.size:
                yield name, stored


def watch(data: bytes, batch: Sequence[npt.NDArray[np.float32]]) -> dict[str, Seen]:
    """What every tensor of a float model held over all pictures; two passes, for the histograms.

    Raises:
        ModelError: The runtime does not accept the model, or a value is infinite or no number.
    """
    probe = Probe(data)
    bounds: dict[str, Range] = {}
    for picture in batch:
        probe.run(picture)
        for name, values in probe.values():
            least, most = float(values.min()), float(values.max())
            if not np.isfinite(most - least):
                raise ModelError(
                    f"tensor '{name.partition(';')[0]}': expected finite values, got {least:g} to {most:g};"
                    " are its weights broken, or --mean and --std wrong?"
                )
            low, high = bounds.get(name, (least, most))
            bounds[name] = min(low, least), max(high, most)
    counts = {name: np.zeros(BINS, np.int64) for name in bounds}
    for picture in batch:
        probe.run(picture)
        for name, values in probe.values():
            low, high = map(np.float64, bounds[name])  # in float32 the edges of a narrow range fall together
            counts[name] += np.histogram(values, BINS, (low, max(high, low + 1e-6 * max(1, abs(low)))))[0]
    return {name: Seen(low, high, counts[name]) for name, (low, high) in bounds.items()}


def min_max(seen: Seen, levels: int = 255) -> Range:
    """All that was seen."""
    return seen.low, seen.high


def percentile(seen: Seen, levels: int = 255, share: float = 0.9999) -> Range:
    """What is left when the rarest extremes are cut off, half of them at each end."""
    if seen.high <= seen.low:
        return seen.low, seen.high
    along = np.cumsum(seen.counts) / max(1, seen.counts.sum())
    edges = np.linspace(seen.low, seen.high, BINS + 1)
    cut = (1 - share) / 2
    low = edges[int(np.searchsorted(along, cut, "right"))]
    high = edges[min(BINS, int(np.searchsorted(along, 1 - cut)) + 1)]
    # a ReLU's heap of zeros is no extreme
    return min(float(low), max(seen.low, 0.0)), float(high)


def least_square(seen: Seen, levels: int = 255) -> Range:
    """The range whose rounding and clipping errors together are least, among 80 shrunken ones.

    Source: Choukroun et al., arXiv:1902.06822, section 3 (clipping by mean square error).
    """
    if seen.high <= seen.low:
        return seen.low, seen.high
    centres = seen.low + (np.arange(BINS) + 0.5) * (seen.high - seen.low) / BINS
    best, best_error = (seen.low, seen.high), np.inf
    for factor in np.linspace(0.2, 1.0, 81):
        low, high = min(seen.low * factor, 0.0), max(seen.high * factor, 0.0)
        step = (high - low) / levels
        clipped = np.clip(centres, low, high)
        distance = (clipped - centres) ** 2
        # inside, rounding is uniform: step squared through twelve
        error = float((seen.counts * (distance + np.where(distance > 0, 0, step**2 / 12))).sum())
        if error <= best_error:
            best, best_error = (low, high), error
    return best


METHODS: dict[str, Callable[[Seen], Range]] = {
    "min-max": min_max, "percentile": percentile, "mse": least_square,
}  # fmt: skip


def ranges(seen: dict[str, Seen], method: str) -> Ranges:
    """The range of every tensor, by one of `METHODS`; zero lies always inside."""
    choose = METHODS[method]
    found = {}
    for name, one in seen.items():
        low, high = choose(one)
        found[name] = min(low, 0.0), max(high, LEAST_HIGH if low >= 0 else 0.0)
    return found


CONCATENATION, RESHAPE = "builtin 2", "builtin 22"


def joined(graph: Graph, found: Ranges) -> Ranges:
    """The ranges with what is concatenated brought to the range of the whole.

    A concatenation in integers only copies when all its parts have one scale; else every part is
    rounded twice. The picture keeps its own: the rest of the net would see it coarsely.
    """
    result = dict(found)
    for operator in graph.operators:
        if operator.name == CONCATENATION:
            whole = result.get(graph.name(operator.outputs[0]))
            for tensor in operator.inputs if whole else ():
                made: int | None = tensor
                while made is not None and made not in graph.inputs and whole is not None:
                    result[graph.name(made)] = whole
                    maker = graph.maker(made)
                    made = maker.inputs[0] if maker and maker.name == RESHAPE else None
    return result
