"""Prune: fewer channels (a smaller and faster net), or weights that are zero (a smaller download).

Structured: channels that no shortcut carries (the expanded ones inside the blocks, the last layer
of the backbone, the extra layers) can go with their filters. Unstructured: the smallest weights
are held at zero while training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import layers, ops

from edge_detect.errors import ConfigError
from edge_detect.workshop import net
from edge_detect.workshop.net import BLOCKS, Architecture

Weights: TypeAlias = dict[str, list[Any]]
Rows: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that go together, layer by layer.

    Attributes:
        maker: The convolution that makes them.
        depthwise: Those that pass each of them on.
        readers: The convolutions that read them.
        multiple: What their number stays a multiple of, as the kernels of the device like it.
        least: Fewest of them.
    """

    maker: str
    depthwise: tuple[str, ...]
    readers: tuple[str, ...]
    multiple: int = 8
    least: int = 8


def groups(plan: Architecture) -> Iterator[Group]:
    """All channels of a net that can be removed, but for those squeezed inside the extra layers."""

    def heads(level: int) -> tuple[str, ...]:
        return f"boxes_{level}", f"scores_{level}"

    def group(
        maker: str, level: int, depthwise: tuple[str, ...], readers: tuple[str, ...], **how: int
    ) -> Group:
        through = (*depthwise, *(f"{head}_depthwise" for head in heads(level)))
        return Group(maker, through, (*readers, *heads(level)), **how)

    for i in range(1, len(BLOCKS)):
        inner = (f"block_{i}_expand", (f"block_{i}_depthwise",), (f"block_{i}_project",))
        # the first head reads the expansion of block 13
        yield group(inner[0], 0, *inner[1:]) if i == net.FIRST_HEAD else Group(*inner)
    yield group("Conv_1", 1, (), ("extra_0_squeeze",))
    for i in range(len(plan.extras)):
        after = (f"extra_{i + 1}_squeeze",) if i + 1 < len(plan.extras) else ()
        yield group(f"extra_{i}_expand", i + 2, (), after, multiple=16, least=32)


def channels(model: keras.Model, plan: Architecture, share: float) -> tuple[keras.Model, Architecture]:
    """A net without the least important of its channels; it wants fine-tuning.

    Importance is the size of a channel's batch-norm gain times that of its filters on the way
    in and out. All groups compete, after each has been scaled to a mean of one. The squeezed
    channels of the extra layers follow the number of those they are expanded to.

    Args:
        model: A trained net.
        plan: Its architecture.
        share: Of the channels to remove, 0..0.9.

    Raises:
        ConfigError: A share outside these.

    Source: Li et al., arXiv:1608.08710, section 3.1 (filter norms); Liu et al., Network Slimming,
    arXiv:1708.06519, section 3 (batch-norm gains, one threshold for all layers).
    """
    if not 0 < share <= 0.9:
        raise ConfigError(f"--prune-channels: expected more than 0 and up to 0.9, got {share:g}")
    weights: Weights = {layer.name: list(layer.get_weights()) for layer in model.layers if layer.weights}
    every = list(groups(plan))
    scores = [_importance(weights, group) for group in every]
    bound = float(np.quantile(np.concatenate(scores), share))
    counts = []
    for group, score in zip(every, scores, strict=True):
        wanted = -(-int((score > bound).sum()) // group.multiple) * group.multiple
        counts.append(min(len(score), max(group.least, wanted)))
        _cut(weights, group, _best(score, counts[-1]))
    inner, extras = counts[: len(BLOCKS) - 1], counts[len(BLOCKS) :]
    for i, count in enumerate(extras):
        squeeze = Group(f"extra_{i}_squeeze", (f"extra_{i}_depthwise",), (f"extra_{i}_expand",))
        _cut(weights, squeeze, _best(_importance(weights, squeeze), net.squeezed(count)))
    slim = replace(plan, hidden=tuple(inner), last=counts[len(BLOCKS) - 1], extras=tuple(extras))
    made = net.build(slim)
    for layer in made.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    return made, slim


def _importance(weights: Weights, group: Group) -> Rows:
    into = np.abs(weights[group.maker][0]).sum((0, 1, 2))
    out = sum(np.abs(weights[name][0]).sum((0, 1, 3)) for name in group.readers)
    # the gain with which they reach their readers, where these are one
    norm = net.Step(group.depthwise[0] if len(group.readers) == 1 else group.maker).norm_name
    score: Rows = into * out * np.abs(weights[norm][0])
    return score / max(float(score.mean()), 1e-12)


def _best(score: Rows, count: int) -> Rows:
    return np.sort(np.argsort(-score, kind="stable")[:count])


def _cut(weights: Weights, group: Group, rows: Rows) -> None:
    """Leaves these channels alone in every layer that has them."""
    _take(weights, group.maker, 3, rows)
    for name in group.depthwise:
        _take(weights, name, 2, rows)
    for name in (group.maker, *group.depthwise):
        norm = net.Step(name).norm_name
        weights[norm] = [np.take(values, rows) for values in weights[norm]]
    for name in group.readers:
        _take(weights, name, 2, rows)


def _take(weights: Weights, name: str, axis: int, rows: Rows) -> None:
    weights[name][0] = np.take(weights[name][0], rows, axis=axis)


def wanted_share(step: int, total: int, share: float) -> float:
    """The share of zeros at a step: none in the first tenth, all of it from three quarters on.

    Source: Zhu and Gupta, arXiv:1710.01878, equation 1 (cubic rise).
    """
    along = (step / max(1, total) - 0.1) / 0.65
    return share * (1 - (1 - min(max(along, 0.0), 1.0)) ** 3)


def hold_zeros(model: keras.Model, share: float) -> None:
    """Sets the smallest weights of every full convolution to zero, each layer by the same share.

    Depthwise kernels and the first layer are left alone: they are small and decide much.
    """
    if share <= 0:
        return
    for layer in model.layers:
        if (
            isinstance(layer, layers.Conv2D)
            and not isinstance(layer, layers.DepthwiseConv2D)
            and layer.trainable
        ):
            if layer.name == "Conv1":
                continue
            kernel = np.array(ops.convert_to_numpy(layer.kernel))
            size = np.abs(kernel)
            bound = np.partition(size.ravel(), int(share * (size.size - 1)))[int(share * (size.size - 1))]
            kernel[size <= bound] = 0
            layer.kernel.assign(kernel)


def sparsity(model: keras.Model) -> float:
    """The share of zeros among the weights of all convolutions."""
    kernels = [
        np.asarray(ops.convert_to_numpy(layer.kernel))
        for layer in model.layers
        if isinstance(layer, layers.Conv2D)
    ]
    return float(sum((k == 0).sum() for k in kernels) / max(1, sum(k.size for k in kernels)))
