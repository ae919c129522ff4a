"""Small nets: one of each kind that the workshop converts, made once for all tests.

Their weights are random, yet so large that every layer has something to say. A conversion takes
seconds, hence the caches.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edge_detect.workshop import convert, export, net, qat
from edge_detect.workshop.calibration import Ranges
from edge_detect.workshop.convert import Parent
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.settings import Settings

LIBRARIES = [
    pytest.mark.filterwarnings(f"ignore:{words}")
    for words in ("__array__ implementation doesn't accept", ".*experimental_preserve_all_tensors")
]
"""Marks of a test: what the libraries of the workshop complain of among themselves is no error."""
SIZE = (64, 64)
CLASSES = ("person", "car")
PLAN = Architecture(
    SIZE, CLASSES, 0.35, (((0.3, 0.2), (0.2, 0.4)), *[((0.6, 0.6),)] * 4), (24,) * 16, 32, (32, 32, 32)
)
"""As if pruned: all layers of the real net, few channels."""


def pictures(count: int = 8, seed: int = 0) -> np.ndarray[Any, Any]:
    """(n, 64, 64, 3) float32 in -1..1: noise of many sizes."""
    chance = np.random.default_rng(seed)
    parts = [chance.integers(0, 256, (count, n, n, 3)).repeat(64 // n, 1).repeat(64 // n, 2) for n in (4, 16)]
    return net.normalized(((parts[0] * 3 + parts[1]) // 4).astype(np.uint8))


def awake(model: keras.Model) -> keras.Model:
    """The net with random weights under which the size of activations stays what it is."""
    chance = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            values = layer.get_weights()
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            fan = np.prod(values[0].shape[:2] if depthwise else values[0].shape[:3])
            values[0] = chance.normal(0, (2 / fan) ** 0.5, values[0].shape)
            values[1:] = [value + chance.normal(0, 0.1, value.shape) for value in values[1:]]
            layer.set_weights(values)
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            beta = chance.normal(0, 0.2, beta.shape)
            layer.set_weights([gamma, beta, mean, variance * chance.uniform(0.5, 2, variance.shape)])
    return model


@cache
def float_net() -> keras.Model:
    """A detector as training leaves it."""
    return awake(net.build(PLAN))


@cache
def rounded_net(kind: str = "int8") -> keras.Model:
    """The same after a little quantization-aware training: its ranges know the pictures."""
    model = qat.build(PLAN, kind)
    qat.load(model, export.fold(float_net()))
    for seed in range(3):
        model(pictures(16, seed), training=True)
    return model


def run(folder: Path, model: keras.Model, quantize: str = "") -> Path:
    """The folder of a run that found these weights."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = "runs/float" if quantize else ""
    settings = Settings(data="/home/someone/sets/train.json", quantize=quantize, weights=begun)
    document = {"settings": asdict(settings), "architecture": net.to_json(PLAN), "pictures": 7, "boxes": 9}
    (folder / "settings.json").write_text(json.dumps(document), "utf-8")
    model.save_weights(folder / "best.weights.h5")
    return folder


@cache
def parent(quantize: str = "") -> Parent:
    """The float file of the net, opened from its run."""
    with tempfile.TemporaryDirectory() as folder:
        model = rounded_net(quantize) if quantize else float_net()
        return convert.open_parent(run(Path(folder) / "small", model, quantize))


@cache
def ranges(quantize: str = "", method: str = "min-max") -> Ranges:
    """What its tensors hold on `pictures`."""
    return convert.find_ranges(parent(quantize), pictures(), method)


@cache
def converted(scheme: str, quantize: str = "", **options: Any) -> bytes:
    """Its file in a scheme."""
    from edge_detect.workshop.quantize import SCHEMES

    made = convert.Options(SCHEMES[scheme], **options)
    return convert.convert(parent(quantize), made, ranges(quantize) if made.scheme.calibrated else None)
