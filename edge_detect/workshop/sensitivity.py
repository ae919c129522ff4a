"""Sensitivity: what quantization does to each layer, and which few layers to keep wider."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.workshop import convert, quantize
from edge_detect.workshop.calibration import Probe, Ranges
from edge_detect.workshop.convert import Options, Parent
from edge_detect.workshop.quantize import Widened

log = logging.getLogger(__name__)

CONVOLUTIONS = ("builtin 3", "builtin 4", "builtin 9")  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED


@dataclass(frozen=True, slots=True)
class Layer:
    """One tensor of the float file and what became of it.

    Attributes:
        name: Layer of our own nets, else the tensor's name.
        tensor: Name of the tensor.
        sqnr_db: Signal to quantization noise: 10 log10 of the power of the float values over that
            of the difference.
        kind: Operator that makes it.
    """

    name: str
    tensor: str
    sqnr_db: float
    kind: str


KIND_NAMES = {
    "builtin 0": "add", "builtin 2": "concatenation", "builtin 3": "convolution", "builtin 4": "depthwise",
    "builtin 9": "dense", "builtin 40": "mean", "builtin 25": "softmax", "builtin 14": "logistic",
}  # fmt: skip


def layers(parent: Parent, data: bytes, batch: Sequence[npt.NDArray[np.float32]]) -> list[Layer]:
    """How far each layer of a quantized file is from its float parent, in the order of the graph.

    Args:
        parent: The float model.
        data: The file made of it.
        batch: Pictures as the float model gets them.
    """
    graph = Graph(parent.data, parent.about.name)
    made = convert.layers_of(graph)
    kinds = {graph.name(op.outputs[0]): op.name for op in graph.operators}
    real, coarse = Probe(parent.data), Probe(data)
    pairs = [
        (name, i, j)
        for i, name in real.names.items()
        for j in [next((k for k, other in coarse.names.items() if other == name), None)]
        if j is not None and kinds.get(name) in KIND_NAMES
    ]
    power = dict.fromkeys((name for name, _, _ in pairs), 0.0)
    noise = dict(power)
    for picture in batch:
        real.run(picture)
        coarse.run(picture)
        for name, i, j in pairs:
            a, b = real.value(i).astype(np.float64), coarse.value(j).astype(np.float64)
            if a.shape == b.shape:
                power[name] += float((a**2).sum())
                noise[name] += float(((a - b) ** 2).sum())
    return [
        Layer(
            made.get(name, name.partition(";")[0]),
            name,
            decibels(power[name], noise[name]),
            KIND_NAMES[kinds[name]],
        )
        for name, _, _ in pairs
        if power[name] > 0
    ]


def decibels(power: float, noise: float) -> float:
    """10 log10(power / noise); 120 where there is no noise to speak of."""
    return 120.0 if noise <= power * 1e-12 else float(10 * np.log10(power / noise))


def text_of(rows: Sequence[Layer]) -> str:
    """The report as a table, the worst layers marked."""
    worst = {row.tensor for row in sorted(rows, key=lambda row: row.sqnr_db)[:5]}
    width = max((len(row.name) for row in rows), default=5)
    lines = [f"{'layer':{width}}  {'kind':13}  signal to noise"]
    for row in rows:
        mark = "  <- among the worst five" if row.tensor in worst else ""
        lines.append(f"{row.name:{width}}  {row.kind:13}  {row.sqnr_db:6.1f} dB{mark}")
    return "\n".join(lines)


def alone(
    parent: Parent, options: Options, ranges: Ranges, batch: Any, tell: Callable[[str], None]
) -> list[str]:
    """Every layer with weights, the most sensitive first.

    Each is quantized alone, all others left in float, and the noise that reaches the outputs is
    measured.
    """
    graph = Graph(parent.data, parent.about.name)
    names = [graph.name(op.outputs[0]) for op in graph.operators if op.name in CONVOLUTIONS]
    truth = _outputs(parent.data, batch)
    scores = {}
    for number, name in enumerate(names, 1):
        others = f"^(?!{re.escape(name)}$)"
        data = quantize.quantize(
            parent.data, options.scheme, ranges, per_channel=options.per_channel, wider=[Widened(others, 32)]
        )
        scores[name] = _distance(truth, _outputs(data, batch))
        if number % 10 == 0:
            tell(f"sensitivity: {number} of {len(names)} layers")
    return sorted(scores, key=lambda name: -scores[name])


def _outputs(data: bytes, batch: Any) -> list[dict[tuple[int, ...], npt.NDArray[np.float32]]]:
    probe = Probe(data)
    found = []
    for picture in batch:
        probe.run(picture)
        values = [probe.value(i) for i in probe.outputs]
        found.append({value.shape: value for value in values})
    return found


def _distance(truth: list[Any], other: list[Any]) -> float:
    """Noise over signal, summed over the outputs."""
    total = 0.0
    for shape in truth[0]:
        power = sum(float((row[shape] ** 2).sum()) for row in truth)
        total += sum(
            float(((a[shape] - b[shape]) ** 2).sum()) for a, b in zip(truth, other, strict=True)
        ) / max(power, 1e-12)
    return total


@dataclass(frozen=True, slots=True)
class Mixture:
    """The smallest set of wider layers that was found.

    Attributes:
        options: How the file is made.
        wider: Tensors that are kept wider, the most sensitive first.
        drop: Points of AP50 that are lost against float.
        tried: Number of wider layers and the points lost with them, in the order of trying.
    """

    options: Options
    wider: tuple[str, ...]
    drop: float
    tried: tuple[tuple[int, float], ...]


def smallest(
    order: Sequence[str],
    options: Options,
    most: float,
    bits: int,
    score: Callable[[Options], float],
    real: float,
) -> Mixture:
    """The fewest of the most sensitive layers that must be wider for a loss of at most `most` points.

    Searched by halving, since widening more of the most sensitive layers does not lose more, but
    for the noise of the measurement.

    Args:
        order: Tensors, the most sensitive first.
        options: How the file is made otherwise.
        most: Points of AP50.
        bits: 16 for int16 activations, 32 for float.
        score: AP50 in 0..1 of a file made with options.
        real: AP50 of the float model.

    Raises:
        ModelError: Even with all layers wider more is lost.
    """
    tried: list[tuple[int, float]] = []

    def lost(count: int) -> float:
        drop = (real - score(with_wider(options, order[:count], bits))) * 100
        tried.append((count, drop))
        return drop

    low, high = 0, len(order)
    drop = lost(0)
    if drop <= most:
        return Mixture(options, (), drop, tuple(tried))
    best: tuple[int, float] | None = None
    while low < high:
        middle = (low + high) // 2 if best or low else max(1, min(4, high))
        drop = lost(middle)
        if drop <= most:
            best, high = (middle, drop), middle
        else:
            low = middle + 1
    if best is None:
        drop = lost(len(order))
        if drop > most:
            raise ModelError(
                f"--max-drop {most:g}: even with all {len(order)} layers wider {drop:.2f} are lost"
            )
        best = len(order), drop
    count, drop = best
    return Mixture(with_wider(options, order[:count], bits), tuple(order[:count]), drop, tuple(tried))


def with_wider(options: Options, tensors: Sequence[str], bits: int) -> Options:
    """The options with some tensors' layers wider."""
    exact = (Widened(f"^{re.escape(name)}$", bits) for name in tensors)
    return replace(options, wider=(*options.wider, *exact))
