"""Export: from a trained net to a float `.tflite` file, batch normalization folded away."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from edge_detect.errors import DependencyError, ModelError
from edge_detect.workshop import net
from edge_detect.workshop.net import Architecture, Layers, Step

log = logging.getLogger(__name__)

Weights: TypeAlias = dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


class Folded(Layers):
    """Convolutions with a bias, nothing between them and their activation."""

    def convolution(self, x: Any, step: Step) -> Any:
        x = net.bare(x, step, use_bias=True)(x)
        return layers.ReLU(6.0, name=f"{step.name}_relu")(x) if step.relu else x


def fold(model: keras.Model) -> Weights:
    """Kernel and bias of every convolution, by name, with the batch normalization behind it multiplied in.

    Source: Jacob et al., arXiv:1712.05877, section 3.2, equation 14.
    """
    norms = {layer.name: layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)}
    weights: Weights = {}
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            continue
        kernel = np.array(layer.get_weights()[0], np.float32)
        norm = norms.get(Step(layer.name).norm_name)
        if norm is None:
            bias = np.array(layer.get_weights()[1], np.float32)
        else:
            gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in norm.get_weights())
            gain = gamma / np.sqrt(variance + norm.epsilon)
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            kernel = (kernel * (gain[:, None] if depthwise else gain)).astype(np.float32)
            bias = (beta - mean * gain).astype(np.float32)
        weights[layer.name] = (kernel, bias)
    return weights


def folded(plan: Architecture, weights: Weights, batch: int | None = 1) -> keras.Model:
    """The net for one picture, or for batches of any size, of plain convolutions."""
    model = net.build(plan, Folded(), batch=batch)
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)
    return model


def to_tflite(model: keras.Model) -> bytes:
    """A float32 file of a Keras model whose batch is fixed.

    Raises:
        DependencyError: Keras does not run on TensorFlow.
        ModelError: The converter cannot express the model.
    """
    if keras.backend.backend() != "tensorflow":
        raise DependencyError("a .tflite file is written by TensorFlow: set KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    return _convert(tf.lite.TFLiteConverter.from_keras_model(model), model.name)


def saved_model_to_tflite(folder: Path) -> bytes:
    """A float32 file of a TensorFlow SavedModel.

    Raises:
        ModelError: The folder holds none, or one that the converter cannot express.
    """
    import tensorflow as tf

    try:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: expected a SavedModel: {str(error).splitlines()[0]}") from error
    return _convert(converter, str(folder))


def keras_to_tflite(path: Path) -> bytes:
    """A float32 file of a `.keras` or `.h5` file, for one picture.

    Only layers of Keras itself are loaded: a file that brings code of its own is refused.

    Raises:
        ModelError: The file cannot be loaded or expressed.
    """
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: expected a Keras model: {str(error).splitlines()[0]}") from error
    return to_tflite(_of_one(model))


def classifier_to_tflite(path: Path, size: int) -> bytes:
    """A float32 file of a `keras.applications.MobileNetV2` classifier whose weights a file holds.

    Width and number of classes are those of the weights.

    Args:
        path: A `.weights.h5`.
        size: Side of the input in pixels.

    Raises:
        ModelError: The weights are not of such a classifier.
    """
    import h5py

    shapes: list[tuple[int, ...]] = []
    try:
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda _, item: shapes.append(item.shape) if isinstance(item, h5py.Dataset) else None
            )
    except OSError as error:
        raise ModelError(f"{path}: expected Keras weights in HDF5: {error}") from error
    dense = [shape for shape in shapes if len(shape) == 2]
    for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4) if len(dense) == 1 else ():
        model = keras.applications.MobileNetV2(
            (size, size, 3), alpha=alpha, weights=None, classes=dense[0][1]
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of layers that the file does not hold
                model.load_weights(path)
        except (ValueError, KeyError, UserWarning):
            continue
        return to_tflite(_of_one(model))
    raise ModelError(
        f"{path}: expected the weights of a MobileNetV2 classifier, with one dense layer at its end"
    )


def _of_one(model: keras.Model) -> keras.Model:
    """The model with a batch of one: with a free batch, shape arithmetic stays in the file."""
    shape = getattr(model, "input_shape", None)  # a Sequential that was never built has none
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ModelError(f"{model.name}: expected one input (batch, height, width, 3), got {shape}")
    image = keras.Input(shape[1:], batch_size=1, name="image")
    return keras.Model(image, model(image, training=False), name=model.name)


def _convert(converter: Any, name: str) -> bytes:
    """Runs the converter, whose own messages are of no use to a user."""
    silent, kept = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    try:
        os.dup2(silent, 2)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = bytes(converter.convert())
    except Exception as error:
        raise ModelError(
            f"{name}: cannot be written as .tflite: {str(error).splitlines()[0]:.200}"
        ) from error
    finally:
        os.dup2(kept, 2)
        os.close(silent)
        os.close(kept)
    return data
