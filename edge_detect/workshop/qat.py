"""QAT: a net that feels in training what quantization will do to it.

Convolutions are folded, every weight and activation is rounded to its grid on the way forward
and left alone on the way back (straight-through, Bengio et al., arXiv:1308.3432). Nothing is
special about the file that comes out: its float weights lie on the grid already, and its ranges
are those of the training, so that the post-training quantizer writes the very numbers that were
simulated (Jacob et al., arXiv:1712.05877, section 3).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edge_detect.errors import ConfigError
from edge_detect.workshop import net
from edge_detect.workshop.calibration import IMAGE_RANGE, LEAST_LOGIT, Ranges
from edge_detect.workshop.export import Weights
from edge_detect.workshop.net import Architecture, Layers, Step
from edge_detect.workshop.settings import QUANTIZED

# bits of the weights; ternary is -a, 0, a and binary -a, a for each channel
KINDS = dict(zip(QUANTIZED, (8.0, 4.0, math.log2(3), 1.0), strict=True))


def through(value: Any, rounded: Any) -> Any:
    """`rounded` on the way forward, the slope of `value` on the way back."""
    return value + ops.stop_gradient(rounded - value)


def rounded_weights(kernel: Any, kind: str, axes: tuple[int, ...]) -> Any:
    """A kernel on the grid of its kind, each output channel with a scale of its own.

    Args:
        kernel: Real weights.
        kind: A key of `KINDS`.
        axes: The axes that one scale covers.

    Source: of ternary Li et al., arXiv:1605.04711, section 2.3 (threshold 0.7 of the mean); of binary
    Rastegari et al., XNOR-Net, arXiv:1603.05279, section 3.1 (scale: the mean).
    """
    size = ops.abs(kernel)
    if kind == "binary":
        scale = ops.mean(size, axis=axes, keepdims=True)
        return ops.where(kernel >= 0, scale, -scale)
    if kind == "ternary":
        large = ops.cast(size > 0.7 * ops.mean(size, axis=axes, keepdims=True), kernel.dtype)
        scale = ops.sum(size * large, axis=axes, keepdims=True) / ops.maximum(
            ops.sum(large, axis=axes, keepdims=True), 1.0
        )
        return ops.sign(kernel) * large * scale
    steps = 2 ** (int(KINDS[kind]) - 1) - 1
    scale = ops.maximum(ops.max(size, axis=axes, keepdims=True), 1e-8) / steps
    return ops.round(kernel / scale) * scale


@keras.saving.register_keras_serializable("edge_detect")
class Rounded(layers.Layer):
    """A tensor on an 8-bit grid whose ends follow what passes (exponential moving average).

    Source: Jacob et al., section 3.1.
    """

    def __init__(self, memory: float = 0.99, least: float = -math.inf, **options: Any) -> None:
        """Takes the memory of the moving ends, and a value below which nothing need be told apart."""
        super().__init__(**options)
        self._memory, self._least = memory, max(least, -1e30)
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
        self.high = self.add_weight(shape=(), initializer="zeros", trainable=False, name="high")

    def call(self, x: Any, training: bool = False) -> Any:
        if training and self.trainable:
            first = ops.cast(self.high <= self.low, "float32")
            memory = self._memory * (1 - first)
            self.low.assign(memory * self.low + (1 - memory) * ops.clip(ops.min(x), self._least, 0.0))
            self.high.assign(memory * self.high + (1 - memory) * ops.maximum(ops.max(x), 1e-6))
        return fake_quantized(x, ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high))


@keras.saving.register_keras_serializable("edge_detect")
class Pixels(layers.Layer):
    """A picture on the grid of its 256 pixel values, which lie half a step beside those of the input."""

    def call(self, x: Any) -> Any:
        # a half is rounded down, as the running loop does by taking the pixel less 128
        step = (IMAGE_RANGE[1] - IMAGE_RANGE[0]) / 255
        return ops.clip(ops.floor(x / step + 0.499), -128.0, 127.0) * step


def fake_quantized(x: Any, low: Any, high: Any) -> Any:
    """`x` on the grid of 256 numbers between `low` and `high`, zero being one of them."""
    step = ops.maximum(high - low, 1e-8) / 255.0
    zero = ops.round(-low / step)
    inside = ops.clip(x, -zero * step, (255.0 - zero) * step)
    return through(inside, ops.round(inside / step) * step)


@keras.saving.register_keras_serializable("edge_detect")
class RoundedConv2D(layers.Conv2D):
    """A convolution whose kernel is on a grid."""

    def __init__(self, *args: Any, kind: str = "int8", **options: Any) -> None:
        super().__init__(*args, **options)
        self.grid = kind

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, through(kernel, rounded_weights(kernel, self.grid, (0, 1, 2))))


@keras.saving.register_keras_serializable("edge_detect")
class RoundedDepthwiseConv2D(layers.DepthwiseConv2D):
    """A depthwise convolution whose kernel is on a grid of 8 bits: nine weights bear no fewer."""

    def call(self, inputs: Any) -> Any:
        kernel = self.kernel
        on_grid = through(kernel, rounded_weights(kernel, "int8", (0, 1)))
        y = ops.depthwise_conv(
            inputs, on_grid, strides=self.strides, padding=self.padding, data_format=self.data_format
        )
        return y + self.bias


class Quantized(Layers):
    """Every step of a net on the grid of its file."""

    def __init__(self, kind: str) -> None:
        """Takes the kind of the weights.

        Raises:
            ConfigError: It is no key of `KINDS`.
        """
        if kind not in KINDS:
            raise ConfigError(f"--quantize: expected one of {', '.join(KINDS)}, got '{kind}'")
        self._kind = kind

    def image(self, x: Any) -> Any:
        return Pixels(name="image_grid")(x)

    def convolution(self, x: Any, step: Step) -> Any:
        common: dict[str, Any] = {"strides": step.stride, "padding": "same", "name": step.name}
        common["bias_initializer"] = keras.initializers.Constant(step.bias)
        if step.filters:
            # the first layer and the heads decide too much to be coarse
            kind = self._kind if step.norm and step.name != "Conv1" else "int8"
            x = RoundedConv2D(step.filters, step.kernel, kind=kind, **common)(x)
        else:
            x = RoundedDepthwiseConv2D(step.kernel, **common)(x)
        if step.relu:
            x = layers.ReLU(6.0, name=f"{step.name}_relu")(x)
        # the ends of the heads are rounded together, by `join`
        return Rounded(name=f"{step.name}_grid")(x) if step.norm else x

    def add(self, x: Any, y: Any, name: str) -> Any:
        return Rounded(name=f"{name}_grid")(super().add(x, y, name))

    def join(self, parts: list[Any], columns: int, name: str) -> Any:
        rows = [layers.Reshape((-1, columns), name=f"{name}_{i}_rows")(x) for i, x in enumerate(parts)]
        joined = layers.Concatenate(axis=1, name=f"{name}_joined", dtype="float32")(rows)
        least = LEAST_LOGIT if name == "scores" else -math.inf
        return Rounded(name=name, least=least, dtype="float32")(joined)


def build(plan: Architecture, kind: str) -> keras.Model:
    """The simulated net."""
    return net.build(plan, Quantized(kind))


def load(model: keras.Model, weights: Weights) -> None:
    """Puts folded weights into a simulated net."""
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)


def baked(model: keras.Model, kind: str) -> Weights:
    """The weights of a simulated net as they lie on the grid."""
    weights: Weights = {}
    for layer in model.layers:
        if isinstance(layer, RoundedConv2D | RoundedDepthwiseConv2D):
            depthwise = isinstance(layer, RoundedDepthwiseConv2D)
            grid = "int8" if depthwise else layer.grid
            kernel = rounded_weights(layer.kernel, grid, (0, 1) if depthwise else (0, 1, 2))
            bias = ops.convert_to_numpy(layer.bias)
            weights[layer.name] = (np.array(ops.convert_to_numpy(kernel)), np.array(bias))
    return weights


def grids(model: keras.Model) -> dict[str, tuple[float, float]]:
    """(low, high) of every rounded tensor, by the name of the layer that rounds it."""
    image = {"image_grid": IMAGE_RANGE}
    return image | {
        layer.name: (float(ops.convert_to_numpy(layer.low)), float(ops.convert_to_numpy(layer.high)))
        for layer in model.layers
        if isinstance(layer, Rounded)
    }


def ranges(found: dict[str, tuple[float, float]], tensors: dict[str, str], usual: Ranges) -> Ranges:
    """The ranges of a file's tensors: those of the training, by the layers that made them.

    Args:
        found: What `grids` gave.
        tensors: Tensor to the layer that it comes from.
        usual: Of tensors that training did not round, from calibration.
    """
    by_layer = {name.removesuffix("_grid"): ends for name, ends in found.items()}
    return usual | {name: by_layer[layer] for name, layer in tensors.items() if layer in by_layer}
