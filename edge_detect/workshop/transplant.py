"""Transplant: the weights of one of our own `.tflite` files back in a net that can be trained.

A file holds convolutions with the batch normalization folded in. It is put back so that the net
computes the very same, and so that its statistics are true: they are measured on real pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.model import read_file
from edge_detect.workshop import convert, export, metadata, net
from edge_detect.workshop.export import Weights
from edge_detect.workshop.net import Architecture, Step

CONVOLUTIONS = ("builtin 3", "builtin 4")
LAYERS = (layers.Conv2D, layers.DepthwiseConv2D)


def weights_of(path: Path) -> Weights:
    """Kernel and bias of every convolution of a file, in real numbers, by layer.

    Raises:
        ModelError: The file is not one of ours.
    """
    graph, name = Graph(read_file(path).data, path.name), path.name
    made = convert.layers_of(graph)
    found: Weights = {}
    for operator in graph.operators:
        if operator.name in CONVOLUTIONS and len(operator.inputs) == 3:
            kernel, bias = (graph.constant(i) for i in operator.inputs[1:])
            if kernel is None or bias is None:
                continue
            # from (out, h, w, in), of a depthwise one (1, h, w, c), to Keras' order
            kernel = np.ascontiguousarray(kernel.transpose(1, 2, 3, 0))
            found[made[graph.name(operator.outputs[0])]] = kernel, bias.ravel()
    if "Conv1" not in found or "boxes_0" not in found:
        raise ModelError(f"{name}: expected a file that this workshop wrote, with layers Conv1 ... boxes_0")
    return found


def put(model: keras.Model, plan: Architecture, weights: Weights, pictures: npt.NDArray[np.float32]) -> None:
    """Gives a net with batch normalization the function of folded weights.

    Args:
        model: From `net.build(plan)`.
        plan: Its architecture.
        weights: Folded, of the same architecture.
        pictures: (n, h, w, 3) normalized, on which the statistics are measured.

    Raises:
        ModelError: The weights are of another architecture.
    """
    plain = export.folded(plan, _checked(model, weights))
    before = {}
    for layer in plain.layers:
        if isinstance(layer, LAYERS):
            before[layer.name] = layer.output
    watched = keras.Model(plain.input, before)
    sums: dict[str, list[Any]] = {}
    for picture in pictures:
        for name, values in watched.predict_on_batch(picture[None]).items():
            flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
            old = sums.setdefault(name, [0, 0.0, 0.0])
            sums[name] = [old[0] + len(flat), old[1] + flat.sum(0), old[2] + (flat**2).sum(0)]
    for layer in model.layers:
        if isinstance(layer, LAYERS):
            kernel, bias = weights[layer.name]
            norm = Step(layer.name).norm_name
            if layer.use_bias:
                layer.set_weights([kernel, bias])
                continue
            count, total, squares = sums[layer.name]
            mean = total / count
            variance = np.maximum(squares / count - mean**2, 0)
            batch = model.get_layer(norm)
            layer.set_weights([kernel])
            # of kernel * x alone, without the bias that `plain` added
            batch.set_weights([np.sqrt(variance + batch.epsilon), mean, mean - bias, variance])


def _checked(model: keras.Model, weights: Weights) -> Weights:
    for layer in model.layers:
        if isinstance(layer, LAYERS):
            wanted = tuple(layer.kernel.shape)
            given = weights[layer.name][0].shape if layer.name in weights else None
            if given != wanted:
                raise ModelError(f"layer {layer.name}: expected weights {wanted}, got {given}")
    return weights


def architecture_of(path: Path) -> Architecture:
    """The architecture that a file of ours tells of itself.

    Raises:
        ModelError: It tells none.
    """
    told = metadata.origin(read_file(path).data).get("plan")
    try:
        return net.from_json(told)  # type: ignore[arg-type]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: expected a file of this workshop, which tells its architecture") from error
