"""Prune: fewer channels (a smaller and faster net), or weights that are zero (a smaller download).

Structured: inside a MobileNetV2 block the expanded channels belong to no one else, so any of them
can go with its filters; the shortcuts stay whole. Unstructured: the smallest weights are held at
zero while training goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edge_detect.errors import ConfigError
from edge_detect.workshop import net
from edge_detect.workshop.net import BLOCKS, Architecture

LEAST_CHANNELS = 8


def channels(model: keras.Model, plan: Architecture, share: float) -> tuple[keras.Model, Architecture]:
    """A net without the least important of its inner channels; it wants fine-tuning.

    Importance is the size of a channel's batch-norm gain times that of its filters on the way
    in and out. All blocks compete, after each has been scaled to a mean of one; none falls
    below 8 channels, and what stays is a multiple of 8, as the kernels of the device like it.

    Args:
        model: A trained net.
        plan: Its architecture.
        share: Of the inner channels to remove, 0..0.9.

    Raises:
        ConfigError: A share outside these.

    Source: Li et al., arXiv:1608.08710, section 3.1 (filter norms); Liu et al., Network Slimming,
    arXiv:1708.06519, section 3 (batch-norm gains, one threshold for all layers).
    """
    if not 0 < share <= 0.9:
        raise ConfigError(f"--prune-channels: expected more than 0 and up to 0.9, got {share:g}")
    weights = _by_layer(model)
    blocks = [f"block_{i}" for i in range(1, len(BLOCKS))]
    scores = [_importance(weights, prefix) for prefix in blocks]
    bound = float(np.quantile(np.concatenate(scores), share))
    kept = [_kept(score, bound) for score in scores]
    slim = replace(plan, hidden=tuple(len(rows) for rows in kept))
    made = net.build(slim)
    for prefix, rows in zip(blocks, kept, strict=True):
        _cut(weights, prefix, rows)
    # the first head reads the expansion of block 13
    rows = kept[net.FIRST_HEAD - 1]
    for head in ("boxes_0", "scores_0"):
        _take(weights, f"{head}_depthwise", {0: 2}, rows)
        _take(weights, f"{head}_depthwise_BN", dict.fromkeys(range(4), 0), rows)
        _take(weights, head, {0: 2}, rows)
    for layer in made.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    return made, slim


def _by_layer(model: keras.Model) -> dict[str, list[Any]]:
    return {layer.name: list(layer.get_weights()) for layer in model.layers if layer.weights}


def _importance(weights: dict[str, list[Any]], prefix: str) -> np.ndarray[Any, Any]:
    into = np.abs(weights[f"{prefix}_expand"][0]).sum((0, 1, 2))
    out = np.abs(weights[f"{prefix}_project"][0]).sum((0, 1, 3))
    gain = np.abs(weights[f"{prefix}_depthwise_BN"][0])
    score: np.ndarray[Any, Any] = into * out * gain
    return score / max(float(score.mean()), 1e-12)


def _kept(score: np.ndarray[Any, Any], bound: float) -> np.ndarray[Any, Any]:
    wanted = int((score > bound).sum())
    count = min(len(score), max(LEAST_CHANNELS, -(-wanted // 8) * 8))
    return np.sort(np.argsort(-score, kind="stable")[:count])


def _cut(weights: dict[str, list[Any]], prefix: str, rows: np.ndarray[Any, Any]) -> None:
    _take(weights, f"{prefix}_expand", {0: 3}, rows)
    _take(weights, f"{prefix}_expand_BN", dict.fromkeys(range(4), 0), rows)
    _take(weights, f"{prefix}_depthwise", {0: 2}, rows)
    _take(weights, f"{prefix}_depthwise_BN", dict.fromkeys(range(4), 0), rows)
    _take(weights, f"{prefix}_project", {0: 2}, rows)


def _take(weights: dict[str, list[Any]], name: str, axes: dict[int, int], rows: np.ndarray[Any, Any]) -> None:
    for which, axis in axes.items():
        weights[name][which] = np.take(weights[name][which], rows, axis=axis)


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
