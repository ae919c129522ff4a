"""Net: SSDLite on MobileNetV2, described once and built with the layers that a purpose needs.

Source: Sandler et al., MobileNetV2, arXiv:1801.04381, table 2 (backbone) and section 6.2 (SSDLite:
the first head on the expansion of block 13, separable convolutions in place of all full ones).
Layer names are those of `keras.applications.MobileNetV2`, so that its weights fit by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import layers

from edge_detect.anchors import Anchors
from edge_detect.errors import ConfigError, InputMissing, ModelError
from edge_detect.workshop.targets import Shapes, make_anchors

Tensor: TypeAlias = Any  # symbolic, of Keras

# expansion, filters, stride of blocks 0 to 16: table 2 of the paper, row by row
BLOCKS = (
    (1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1), (6, 64, 2), (6, 64, 1),
    (6, 64, 1), (6, 64, 1), (6, 96, 1), (6, 96, 1), (6, 96, 1), (6, 160, 2), (6, 160, 1), (6, 160, 1),
    (6, 320, 1),
)  # fmt: skip
FIRST_HEAD = 13
EXTRAS = (512, 256, 256)
# Rare things begin rare: the bias that makes every first score 0.01 (arXiv:1708.02002, section 4.1)
PRIOR = -4.6


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that decides which layers a net has, and how its answers are read.

    Attributes:
        size: (width, height) of the input, each divisible by 32.
        classes: Names.
        alpha: Width multiplier of the backbone, 0.35 to 1.0.
        shapes: (height, width) of the anchors of a cell, for each of the five levels.
        hidden: Channels inside blocks 1 to 16; fewer than the paper's when pruned.
        last: Channels of the last backbone layer.
        extras: Channels of the three layers beyond the backbone.
    """

    size: tuple[int, int]
    classes: tuple[str, ...]
    alpha: float
    shapes: Shapes
    hidden: tuple[int, ...]
    last: int
    extras: tuple[int, ...]

    @property
    def anchors(self) -> Anchors:
        """(n, 4) in the order of the outputs' rows."""
        return make_anchors(self.size, self.shapes)


def design(size: tuple[int, int], classes: tuple[str, ...], alpha: float, shapes: Shapes) -> Architecture:
    """The unpruned architecture.

    Raises:
        ConfigError: A size that 32 does not divide, or an alpha outside 0.35 to 1.0.
    """
    for side in size:
        if side < 32 or side % 32:
            raise ConfigError(f"--size: expected multiples of 32, got {size[0]}x{size[1]}")
    if not 0.35 <= alpha <= 1.0:
        raise ConfigError(f"--alpha: expected 0.35 to 1.0, got {alpha:g}")
    hidden = tuple(6 * width_of(BLOCKS[i - 1][1], alpha) for i in range(1, len(BLOCKS)))
    extras = tuple(max(32, width_of(n, alpha)) for n in EXTRAS)
    return Architecture(size, classes, alpha, shapes, hidden, 1280, extras)


def width_of(filters: int, alpha: float) -> int:
    """Channels under a width multiplier: the nearest multiple of 8, at most a tenth smaller.

    Source: the paper's reference implementation, `_make_divisible`.
    """
    wanted = filters * alpha
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def squeezed(filters: int) -> int:
    """Channels inside an extra layer that gives so many."""
    return max(16, filters // 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One convolution and what belongs to it.

    Attributes:
        name: Of its layer.
        filters: Output channels; 0 for a depthwise one, which keeps those it gets.
        kernel: Side of the square kernel.
        stride: Step of the kernel.
        relu: Whether a ReLU6 follows.
        norm: Whether batch normalization stands between (not at the ends of the heads).
        bias: First value of the bias.
    """

    name: str
    filters: int = 0
    kernel: int = 1
    stride: int = 1
    relu: bool = True
    norm: bool = True
    bias: float = 0.0

    @property
    def norm_name(self) -> str:
        """The name of its batch normalization."""
        return _NORM_NAMES.get(self.name, f"{self.name}_BN")


_NORM_NAMES = {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}


class Layers:
    """How the parts of a net become Keras layers; training's way, others override it."""

    def image(self, x: Tensor) -> Tensor:
        """The input picture."""
        return x

    def convolution(self, x: Tensor, step: Step) -> Tensor:
        """A convolution with its normalization and activation."""
        x = bare(x, step, use_bias=not step.norm)(x)
        if step.norm:
            # 0.999, Keras' choice for the backbone, does not settle in a short training
            x = layers.BatchNormalization(epsilon=1e-3, momentum=0.97, name=step.norm_name)(x)
        return layers.ReLU(6.0, name=f"{step.name}_relu")(x) if step.relu else x

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """A shortcut."""
        return layers.Add(name=name)([x, y])

    def join(self, parts: list[Tensor], columns: int, name: str) -> Tensor:
        """The answers of all levels as one (n, columns) output."""
        rows = [layers.Reshape((-1, columns), name=f"{name}_{i}_rows")(x) for i, x in enumerate(parts)]
        # float32 also where the net computes in half precision
        return layers.Concatenate(axis=1, name=name, dtype="float32")(rows)


def bare(x: Tensor, step: Step, *, use_bias: bool) -> keras.Layer:
    """The convolution of a step alone, for `x`."""
    common = {"strides": step.stride, "padding": "same", "use_bias": use_bias, "name": step.name}
    common["bias_initializer"] = keras.initializers.Constant(step.bias)
    if step.filters:
        return layers.Conv2D(step.filters, step.kernel, **common)
    return layers.DepthwiseConv2D(step.kernel, dtype=depthwise_type(x, step), **common)


def depthwise_type(x: Tensor, step: Step) -> str | None:
    """What a depthwise step computes in: None for the type of the net, or float32.

    On one column, a step of 2 never touches the outer columns of the kernel, and TensorFlow's gradient
    of them in bfloat16 (2.21 with oneDNN) is memory that nobody wrote.
    """
    return "float32" if step.stride > 1 and x.shape[2] == 1 else None


def build(plan: Architecture, using: Layers | None = None, batch: int | None = None) -> keras.Model:
    """The net: (batch, height, width, 3) RGB in -1..1 to `boxes` (n, 4) and `scores` (n, c) logits.

    Args:
        plan: What to build.
        using: Which layers to build it of.
        batch: A fixed number of pictures.
    """
    use = using or Layers()
    image = keras.Input((plan.size[1], plan.size[0], 3), batch_size=batch, name="image")
    x = use.convolution(use.image(image), Step("Conv1", width_of(32, plan.alpha), 3, 2))
    x, maps = _backbone(x, plan, use)
    x = use.convolution(x, Step("Conv_1", plan.last))
    maps.append(x)
    for i, filters in enumerate(plan.extras):
        x = use.convolution(x, Step(f"extra_{i}_squeeze", squeezed(filters)))
        x = use.convolution(x, Step(f"extra_{i}_depthwise", 0, 3, 2))
        x = use.convolution(x, Step(f"extra_{i}_expand", filters))
        maps.append(x)
    columns = {"boxes": (4, 0.0), "scores": (len(plan.classes), PRIOR)}
    outputs = {}
    for name, (width, bias) in columns.items():
        parts = []
        for i, level in enumerate(maps):
            y = use.convolution(level, Step(f"{name}_{i}_depthwise", 0, 3))
            last = Step(f"{name}_{i}", width * len(plan.shapes[i]), relu=False, norm=False, bias=bias)
            parts.append(use.convolution(y, last))
        outputs[name] = use.join(parts, width, name)
    return keras.Model(image, outputs, name="ssdlite_mobilenet_v2")


def _backbone(x: Tensor, plan: Architecture, use: Layers) -> tuple[Tensor, list[Tensor]]:
    """The output of block 16, and the expansion of block 13 for the first head."""
    maps: list[Tensor] = []
    for i, (_, filters, stride) in enumerate(BLOCKS):
        prefix = f"block_{i}" if i else "expanded_conv"
        shortcut = x
        if i:
            x = use.convolution(x, Step(f"{prefix}_expand", plan.hidden[i - 1]))
        if i == FIRST_HEAD:
            maps.append(x)
        x = use.convolution(x, Step(f"{prefix}_depthwise", 0, 3, stride))
        x = use.convolution(x, Step(f"{prefix}_project", width_of(filters, plan.alpha), relu=False))
        if stride == 1 and shortcut.shape[-1] == x.shape[-1]:
            x = use.add(shortcut, x, f"{prefix}_add")
    return x, maps


def load_backbone(model: keras.Model, plan: Architecture, path: Path) -> None:
    """Puts the weights of `keras.applications.MobileNetV2` without top into the backbone.

    Raises:
        InputMissing: There is no such file.
        ModelError: It holds something else, or another width.
    """
    if not path.is_file():
        raise InputMissing(f"{path}: cannot read the weights: no such file")
    try:
        given = keras.applications.MobileNetV2(
            (plan.size[1], plan.size[0], 3), alpha=plan.alpha, include_top=False, weights=None
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of layers that the file does not hold
            given.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ModelError(
            f"{path}: expected weights of a MobileNetV2 with alpha {plan.alpha:g} without top"
        ) from error
    for layer in given.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def freeze(model: keras.Model, blocks: int, *, norms: bool) -> None:
    """Leaves the first layers as they are, and all batch statistics of the backbone if asked.

    Args:
        model: The net.
        blocks: Everything before this block of the backbone is frozen; 0 freezes nothing.
        norms: Whether the backbone's batch normalization stays in inference mode.
    """
    frozen = blocks > 0
    for layer in model.layers:
        if layer.name.startswith(f"block_{blocks}_"):
            frozen = False
        if layer.name.startswith(("extra_", "boxes", "scores")):
            break
        is_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = not (frozen or (norms and is_norm))


def back(model: keras.Model, block: int) -> keras.Model:
    """The part of a net behind the frozen front; it shares its layers."""
    return keras.Model(model.get_layer(f"block_{block}_expand").input, model.output)


def front(model: keras.Model, plan: Architecture, block: int) -> Callable[[Any], Any]:
    """What everything before a block says of a normalized picture (h, w, 3): (h, w, c).

    On TensorFlow the runtime of the device computes it, several times faster than Keras.
    """
    if keras.backend.backend() != "tensorflow":
        part = keras.Model(model.input, model.get_layer(f"block_{block}_expand").input)
        return lambda image: part.predict_on_batch(image[None])[0]
    from ai_edge_litert.interpreter import Interpreter

    from edge_detect.workshop import export

    single = export.folded(plan, export.fold(model))
    part = keras.Model(single.input, single.get_layer(f"block_{block}_expand").input, name="front")
    interpreter: Any = Interpreter(model_content=export.to_tflite(part), num_threads=2)
    interpreter.allocate_tensors()
    place, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(image: Any) -> Any:
        interpreter.set_tensor(place, image[None])
        interpreter.invoke()
        return interpreter.get_tensor(answer)[0]

    return run


def to_json(plan: Architecture) -> dict[str, Any]:
    """The architecture as JSON holds it."""
    return asdict(plan)


def from_json(data: dict[str, Any]) -> Architecture:
    """The architecture that `to_json` wrote."""
    return Architecture(
        (data["size"][0], data["size"][1]),
        tuple(data["classes"]),
        data["alpha"],
        tuple(tuple((h, w) for h, w in level) for level in data["shapes"]),
        tuple(data["hidden"]),
        data["last"],
        tuple(data["extras"]),
    )


def normalized(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(..., 3) uint8 BGR as the net wants it: RGB in -1..1."""
    values = images[..., ::-1].astype(np.float32)
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values
