"""Quantize: one float `.tflite` file in every scheme of the house, by recipes for ai-edge-quantizer.

The ranges are ours (`calibration`), the arithmetic of scales and the rewriting of the file are
its. Only what the runtime can run is written; the rest is refused with the reason.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_detect import logs
from edge_detect.errors import ConfigError, ModelError
from edge_detect.graph import Graph
from edge_detect.workshop import flat
from edge_detect.workshop.calibration import LEAST_HIGH, Ranges

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the numbers of a file are stored and computed.

    Attributes:
        name: As on the command line.
        weights: Bits of the weights.
        activations: Bits of the activations; 0 leaves them real.
        what: For people.
        float16: Whether weights are halves.
        dynamic: Whether activations are quantized anew in every run.
    """

    name: str
    weights: int
    activations: int
    what: str
    float16: bool = False
    dynamic: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether it needs calibration pictures."""
        return self.activations > 0


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("float32", 32, 0, "as trained"),
        Scheme("float16", 16, 0, "weights as halves, computed in float32", float16=True),
        Scheme("dynamic", 8, 0, "int8 weights, activations quantized at run time", dynamic=True),
        Scheme("int8", 8, 8, "int8 weights and activations, integer in and out"),
        Scheme("int16x8", 8, 16, "int8 weights, int16 activations"),
        Scheme("int4", 4, 8, "int4 convolution weights (depthwise int8), int8 activations"),
        Scheme("dynamic-int4", 4, 0, "int4 weights (depthwise int8), computed in float32", dynamic=True),
    )
}


@dataclass(frozen=True, slots=True)
class Widened:
    """Layers that are kept wider than the rest.

    Attributes:
        pattern: Regular expression that their tensors' names match.
        bits: 16 for int16 activations, 32 for no quantization at all.
    """

    pattern: str
    bits: int = 32


def quantize(
    data: bytes,
    scheme: Scheme,
    ranges: Ranges | None = None,
    *,
    per_channel: bool = True,
    wider: Sequence[Widened] = (),
    weights: str = "min-max",
) -> bytes:
    """The file in a scheme.

    Args:
        data: A float32 `.tflite`.
        scheme: One of `SCHEMES`.
        ranges: Of every tensor, for schemes that are calibrated.
        per_channel: Whether each output channel of a convolution has a scale of its own.
        wider: Layers that stay wider.
        weights: How weight scales are found: `min-max`, `mse` or `octav`.

    Raises:
        ConfigError: The scheme cannot be combined so.
        ModelError: The file cannot be quantized so.
    """
    if scheme.name == "float32":
        return data
    if scheme.calibrated and ranges is None:
        raise ConfigError(f"--scheme {scheme.name}: expected --calibrate DATA, got none")
    if any(one.bits == 16 for one in wider) and not scheme.calibrated:
        raise ConfigError(f"--wider LAYERS=16: expected a scheme that is calibrated, got {scheme.name}")
    wider = [_by_name(one, data) for one in wider]
    from ai_edge_quantizer import quantizer as library

    changes = _recipe(scheme, per_channel=per_channel, wider=wider, weights=weights)
    given = _calibration(ranges) if scheme.calibrated and ranges else None
    data = with_plain_codes(data)
    if scheme.calibrated and ranges:
        fine = scheme.activations == 16 or any(one.bits == 16 for one in wider)
        data = with_room_for_biases(data, ranges, 2**15 if fine else 2**8)
    said = io.StringIO()
    try:  # the library's calls alone
        with (
            contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
            logs.native(log, "quantizer"), _hushed(),
            np.errstate(over="raise" if scheme.float16 else None),
        ):  # fmt: skip
            worker = library.Quantizer(bytearray(data))
            for change in changes:
                change(worker)
            result = worker.quantize(given, enable_progress_report=False)
    except FloatingPointError as error:
        raise ModelError(
            "cannot be quantized to float16: a weight is above 65504, the largest half"
        ) from error
    except RecursionError:  # a fault, though a RuntimeError
        raise
    except (ValueError, RuntimeError, NotImplementedError) as error:  # what it raises of what it cannot do
        raise ModelError(f"cannot be quantized to {scheme.name}: {_first_line(error)}") from error
    return inlined(bytes(result.quantized_model))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """The library tells of each file on the root logger; its warnings are let through."""

    def warns(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logging.root.addFilter(warns)
    try:
        yield
    finally:
        logging.root.removeFilter(warns)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _calibration(ranges: Ranges) -> dict[str, Any]:
    shape = (1, 1, 1, 1)  # one range for a whole tensor, as the library writes it
    return {
        name: {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}
        for name, (low, high) in ranges.items()
    }


def _recipe(
    scheme: Scheme, *, per_channel: bool, wider: Sequence[Widened], weights: str
) -> list[Callable[[Any], None]]:
    """Calls on the library's quantizer, the later ones stronger."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.recipe import AlgorithmName

    names = qtyping.TFLOperationName
    grain = qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE
    algorithm = {
        "min-max": AlgorithmName.MIN_MAX_UNIFORM_QUANT,
        "mse": AlgorithmName.MSE,
        "octav": AlgorithmName.OCTAV,
    }[weights]
    weighted = (names.CONV_2D, names.DEPTHWISE_CONV_2D, names.FULLY_CONNECTED)

    def static(
        pattern: str, bits: int, weight_bits: int, operation: Any, method: Any
    ) -> Callable[[Any], None]:
        return lambda worker: worker.add_static_config(pattern, operation, bits, weight_bits, grain, method)

    def dynamic(bits: int, operation: Any) -> Callable[[Any], None]:
        return lambda worker: worker.add_dynamic_config(".*", operation, bits, grain)

    def untouched(pattern: str) -> Callable[[Any], None]:
        none = AlgorithmName.NO_QUANTIZE
        return lambda worker: worker.update_quantization_recipe(
            pattern, names.ALL_SUPPORTED, algorithm_key=none
        )

    def cast(worker: Any) -> None:
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        worker.update_quantization_recipe(
            ".*",
            names.ALL_SUPPORTED,
            qtyping.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True),
            AlgorithmName.FLOAT_CASTING,
        )

    plain = AlgorithmName.MIN_MAX_UNIFORM_QUANT
    calls: list[Callable[[Any], None]] = []
    if scheme.float16:
        calls.append(cast)
    elif scheme.dynamic:
        calls.append(dynamic(8, names.ALL_SUPPORTED))
        if scheme.weights == 4:
            calls += [dynamic(4, operation) for operation in (names.CONV_2D, names.FULLY_CONNECTED)]
    else:
        calls.append(static(".*", scheme.activations, 8, names.ALL_SUPPORTED, plain))
        for operation in weighted:
            bits = scheme.weights if operation != names.DEPTHWISE_CONV_2D else 8
            if bits != 8 or algorithm != plain:
                calls.append(static(".*", scheme.activations, bits, operation, algorithm))
    for one in wider:
        if one.bits == 16:
            calls.append(static(one.pattern, 16, 8, names.ALL_SUPPORTED, plain))
        else:
            calls.append(untouched(one.pattern))
    return calls


def _by_name(one: Widened, data: bytes) -> Widened:
    """The same layers by their whole names: the library's differ, each tensor's ends with a semicolon."""
    graph = Graph(data, "parent")
    try:
        fits = re.compile(one.pattern).search
    except re.error as error:
        raise ConfigError(f"--wider: '{one.pattern}' is no regular expression: {error}") from error
    made = [[graph.name(i) for i in operator.outputs] for operator in graph.operators]
    found = [re.escape("".join(f"{name};" for name in names)) for names in made if any(map(fits, names))]
    if not found:
        raise ConfigError(f"--wider: no layer is called '{one.pattern}'; --layers names those that there are")
    return replace(one, pattern=f"^({'|'.join(found)})$")


CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV = 3, 4, 9, 67
# where input, weights and bias stand among the inputs of an operator
WEIGHTED = {
    CONV_2D: (0, 1, 2), DEPTHWISE_CONV_2D: (0, 1, 2), FULLY_CONNECTED: (0, 1, 2), TRANSPOSE_CONV: (2, 1, 3),
}  # fmt: skip


def with_plain_codes(data: bytes) -> bytes:
    """The file with its kinds of operators where today's tools look for them.

    Before TensorFlow 2.4 they stood in one byte, in a field that the library does not read: it would
    take every operator for an ADD.
    """
    model = flat.opened(data)
    old = [code for code in model.operatorCodes if code.builtinCode < code.deprecatedBuiltinCode]
    for code in old:
        code.builtinCode = code.deprecatedBuiltinCode
    return flat.written(model, len(data)) if old else data


def with_room_for_biases(data: bytes, ranges: Ranges, steps: int) -> bytes:
    """The file with no output channel whose weights are too small beside its bias.

    The scale of a bias is that of the weights times that of the input: where either all but vanishes,
    as in the dead channels that MobileNetV2's ImageNet weights hold, or is as fine as 16 bits are, the
    bias no longer fits into 32 bits, and the quantizer clips what may be the channel's whole output.
    The largest weight of such a channel becomes as large as it must be.

    Args:
        data: A float `.tflite`.
        ranges: Of every tensor.
        steps: Between zero and the far end of an input, at most.
    """
    model = flat.opened(data)
    main, changed = model.subgraphs[0], False
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        places = WEIGHTED.get(code, ())
        if not places or len(operator.inputs) <= places[2] or operator.inputs[places[2]] < 0:
            continue
        given, *tensors = (main.tensors[operator.inputs[place]] for place in places)
        held = [model.buffers[tensor.buffer] for tensor in tensors]
        if any(buffer.data is None or tensor.type != 0 for buffer, tensor in zip(held, tensors, strict=True)):
            continue
        kernel, bias = (np.array(buffer.data, np.uint8).view(np.float32).copy() for buffer in held)
        rows = kernel.reshape(-1, len(bias)).T if code == DEPTHWISE_CONV_2D else kernel.reshape(len(bias), -1)
        reach = max(map(abs, ranges.get(given.name.decode(), (1.0,))))
        # half of the 32 bits: the scale of weights need not be that of the largest
        wanted = np.abs(bias) * (127 * steps / 2**30 / max(reach, LEAST_HIGH))
        largest = np.abs(rows).argmax(1)
        own = np.arange(len(bias))
        small = np.abs(rows[own, largest]) < wanted
        if small.any():
            rows[own[small], largest[small]] = np.copysign(wanted, rows[own, largest])[small]
            held[0].data = kernel.view(np.uint8)
            changed = True
    return flat.written(model, len(data)) if changed else data


def inlined(data: bytes) -> bytes:
    """The file with all constants inside its flatbuffer.

    The library writes them behind it, which older runtimes and many tools do not know.
    """
    model = flat.opened(data)
    if not any(buffer.offset > 1 for buffer in model.buffers):
        return data
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    return flat.written(model, len(data))


QUANTIZE, DEQUANTIZE = "builtin 114", "builtin 6"


def islands(data: bytes, name: str) -> list[str]:
    """Float or converting operators of a file that should be integers throughout; empty when it is."""
    from ai_edge_litert import schema_py_generated as schema

    kinds_of = {f"builtin {code}": kind for kind, code in vars(schema.BuiltinOperator).items()}
    graph = Graph(data, name)
    found = []
    for operator in graph.operators:
        kinds = {graph.dtype(t) for t in (*operator.inputs, *operator.outputs) if t >= 0}
        if "float32" in kinds or "float16" in kinds or operator.name == DEQUANTIZE:
            found.append(kinds_of.get(operator.name, operator.name))
    return found
