"""TFLite files: real ones of a few operators, whose outputs are chosen by a test.

    data = build([Output(boxes, "boxes"), Output(scores, "scores")], size=(64, 48), dtype="uint8")

Each output is a constant, plus the mean colour of the picture where `colours` says so. The
generated schema classes are not in `tflite-runtime`, hence tables by field number.
Source of the numbers: `schema.fbs` of TensorFlow Lite, `metadata_schema.fbs` of TFLite Support.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from flatbuffers import flexbuffers, number_types

ADD, DEQUANTIZE, FULLY_CONNECTED, RESHAPE, CUSTOM, MEAN, QUANTIZE = 0, 6, 9, 22, 32, 40, 114
IF, WHILE = 118, 119
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "bool": 6, "int16": 7, "int8": 9}


def pack(root: dict[int, Any], identifier: bytes | None = None) -> bytes:
    """A flatbuffer: dicts are tables by field number, numpy scalars are scalars of their type."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(_write(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _write(b: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(b.CreateString(value))
    if isinstance(value, bytes):  # 16 bytes aligned, as constants must be
        b.StartVector(1, len(value), 16)
        b.head -= len(value)
        b.Bytes[b.Head() : b.Head() + len(value)] = value
        return int(b.EndVector())
    if isinstance(value, np.ndarray):
        return int(b.CreateNumpyVector(value))
    made = [row if isinstance(row, np.generic) else _write(b, row) for row in _rows(value)]
    if isinstance(value, list):
        b.StartVector(4, len(made), 4)
        for offset in reversed(made):
            b.PrependUOffsetTRelative(offset)
        return int(b.EndVector())
    b.StartObject(max(value, default=-1) + 1)
    for slot, item in zip(value, made, strict=True):
        if isinstance(item, np.generic):
            b.Prepend(getattr(number_types, _FLAGS[item.dtype.name]), item.item())
        else:
            b.PrependUOffsetTRelative(item)
        b.Slot(slot)
    return int(b.EndObject())


_FLAGS = {"int8": "Int8Flags", "uint8": "Uint8Flags", "int32": "Int32Flags", "uint32": "Uint32Flags"}
_FLAGS |= {"float32": "Float32Flags", "bool": "BoolFlags"}


def _rows(value: dict[int, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


class File:
    """A TFLite file in the making: tensors, then operators, then `data`."""

    def __init__(self) -> None:
        self._buffers: list[bytes] = [b""]
        self._codes: list[tuple[int, str]] = []
        self._metadata: list[tuple[str, int]] = []
        self._finished: list[dict[int, Any]] = []
        self._begin()

    def _begin(self) -> None:
        self._tensors: list[dict[int, Any]] = []
        self._operators: list[dict[int, Any]] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        scale: float = 0.0,
        zero_point: int = 0,
        *,
        values: npt.ArrayLike | None = None,
        variable: bool = False,
        signature: Sequence[int] | None = None,
    ) -> int:
        """The number of a new tensor; with `values` a constant."""
        buffer = 0 if values is None else self._buffer(np.asarray(values, dtype).tobytes())
        row: dict[int, Any] = {
            0: np.array(shape, np.int32),
            1: np.int8(TYPES[dtype]),
            2: np.uint32(buffer),
            3: name,
            5: np.bool_(variable),
        }
        if scale:
            row[4] = {2: np.array([scale], np.float32), 3: np.array([zero_point], np.int64)}
        if signature is not None:
            row[7] = np.array(signature, np.int32)
        self._tensors.append(row)
        return len(self._tensors) - 1

    def operator(
        self, code: int | str, inputs: Sequence[int], outputs: Sequence[int], **options: Any
    ) -> None:
        """A new operator: a builtin number, or the name of a custom one.

        `options` are `kind` and `table` of a builtin one, `custom` of a custom one.
        """
        key = (CUSTOM, code) if isinstance(code, str) else (code, "")
        if key not in self._codes:
            self._codes.append(key)
        row: dict[int, Any] = {
            0: np.uint32(self._codes.index(key)),
            1: np.array(inputs, np.int32),
            2: np.array(outputs, np.int32),
        }
        if "kind" in options:
            row |= {3: np.uint8(options["kind"]), 4: options["table"]}
        if "custom" in options:
            row[5] = bytes(flexbuffers.Dumps(options["custom"]))
        self._operators.append(row)

    def metadata(self, name: str, data: bytes) -> None:
        """Adds a named buffer."""
        self._metadata.append((name, self._buffer(data)))

    def subgraph(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Closes the graph of the tensors and operators so far; the next begin another one."""
        ends = {1: np.array(inputs, np.int32), 2: np.array(outputs, np.int32)}
        self._finished.append({0: self._tensors, **ends, 3: self._operators})
        self._begin()

    def data(self, attachments: dict[str, bytes] | None = None) -> bytes:
        """The file, with a zip archive behind it when there are attachments."""
        codes = [
            {0: np.int8(number), 2: np.int32(1), 3: np.int32(number)} | ({1: name} if name else {})
            for number, name in self._codes
        ]
        root = {
            0: np.uint32(3),
            1: codes,
            2: self._finished,
            4: [{0: data} if data else {} for data in self._buffers],
            6: [{0: name, 1: np.uint32(buffer)} for name, buffer in self._metadata],
        }
        data = io.BytesIO(pack(root, b"TFL3"))
        if attachments:
            with zipfile.ZipFile(data, "a") as archive:
                for name, content in attachments.items():
                    archive.writestr(name, content)
        return data.getvalue()

    def _buffer(self, data: bytes) -> int:
        self._buffers.append(data)
        return len(self._buffers) - 1


@dataclass
class Output:
    """An output of a model.

    Attributes:
        values: Real values, in the shape of the output.
        name: Its name in the file.
        dtype, scale, zero_point: How the values are stored.
        colours: What the mean of each channel of the input (real values) adds to each value:
            (values.size, 3).
        written: The shape that the file claims, where it lies until the first run.
        constant: Whether it stands in the file and nothing computes it.
    """

    values: Any
    name: str = "output"
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    colours: npt.ArrayLike | None = None
    written: Sequence[int] | None = None
    constant: bool = False

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values, np.float32)


@dataclass
class Extras:
    """What a file says of itself.

    Attributes:
        attachments: Files in the zip archive behind the model.
        normalization: (mean, std) in the metadata of the input.
        anchors: (n, 4) centre y, centre x, height, width in MediaPipe's metadata.
    """

    attachments: dict[str, bytes] = field(default_factory=dict)
    normalization: tuple[Sequence[float], Sequence[float]] | None = None
    anchors: npt.NDArray[np.float32] | None = None

    def write(self, file: File) -> bytes:
        """The finished file."""
        subgraph: dict[int, Any] = {}
        if self.normalization:
            mean, std = (np.array(numbers, np.float32) for numbers in self.normalization)
            subgraph[2] = [{4: [{0: np.uint8(1), 1: {0: mean, 1: std}}]}]
        if self.anchors is not None:
            rows = [{0: x, 1: y, 2: w, 3: h} for y, x, h, w in self.anchors.astype(np.float32)]
            options = pack({1: {0: {0: rows}}}, b"V001")
            subgraph[9] = [{0: "DETECTOR_METADATA", 1: options}]
        if subgraph:
            file.metadata("TFLITE_METADATA", pack({3: [subgraph]}, b"M001"))
        return file.data(self.attachments)


def build(
    outputs: Sequence[Output],
    *,
    size: tuple[int, int] = (64, 64),
    dtype: str = "float32",
    scale: float = 0.0,
    zero_point: int = 0,
    shape: Sequence[int] | None = None,
    signature: Sequence[int] | None = None,
    extra_inputs: int = 0,
    variable: bool = False,
    **extras: Any,
) -> bytes:
    """A model with one picture as its input and the outputs asked for.

    Args:
        size: (width, height) of the input, else the whole `shape`.
        dtype, scale, zero_point: Of the input.
        signature: The shape with -1 for sides that are not fixed.
        extra_inputs: Inputs beside the picture, (1, 3) float32.
        variable: Whether it remembers something from one run to the next.
        extras: See `Extras`.
    """
    file = File()
    shape = shape or (1, size[1], size[0], 3)
    picture = file.tensor("picture", shape, dtype, scale, zero_point, signature=signature)
    others = [file.tensor(f"state {i}", (1, 3)) for i in range(extra_inputs)]
    real = picture
    if dtype != "float32":
        real = file.tensor("real", shape)
        file.operator(DEQUANTIZE, [picture], [real])
    axes = file.tensor("axes", (2,), "int32", values=[1, 2])
    colour = file.tensor("colour", (1, shape[-1]))
    file.operator(MEAN, [real, axes], [colour], kind=27, table={0: np.bool_(False)})
    if variable:
        others.append(file.tensor("memory", (1, 3), variable=True))
    for other in others:
        added = file.tensor("added", (1, 3))
        file.operator(ADD, [colour, other], [added], kind=11, table={})
        colour = added
    ends = [_compute(file, output, colour, shape[-1]) for output in outputs]
    file.subgraph([picture, *(others if extra_inputs else [])], ends)
    return Extras(**extras).write(file)


def _compute(file: File, output: Output, colour: int, channels: int) -> int:
    """The tensor that holds the values of an output."""
    values = np.asarray(output.values)
    shape = tuple(output.written or values.shape)
    ends = (output.name, shape, output.dtype, output.scale, output.zero_point)
    if output.constant:
        return file.tensor(*ends, values=values)
    flat = file.tensor("flat", (1, values.size))
    stored = file.tensor("values", (1, values.size), values=values.ravel())
    if output.colours is None:  # the picture counts for nothing, but the values wait for it
        nothing = file.tensor("nothing", (1, 1))
        weights = file.tensor("weights", (1, channels), values=np.zeros(channels))
        file.operator(FULLY_CONNECTED, [colour, weights, -1], [nothing], kind=8, table={})
        file.operator(ADD, [stored, nothing], [flat], kind=11, table={})
    else:
        weights = file.tensor("weights", (values.size, channels), values=output.colours)
        bias = file.tensor("bias", (values.size,), values=values.ravel())
        file.operator(FULLY_CONNECTED, [colour, weights, bias], [flat], kind=8, table={})
    whole = file.tensor(*ends) if output.dtype == "float32" else file.tensor("whole", shape)
    file.operator(RESHAPE, [flat, _shape(file, values.shape, output.written is None)], [whole])
    if output.dtype == "float32":
        return whole
    end = file.tensor(*ends)
    file.operator(QUANTIZE, [whole], [end])
    return end


def _shape(file: File, shape: Sequence[int], known: bool) -> int:
    """The shape as a tensor; when not `known`, as one that is computed in each run."""
    constant = file.tensor("shape", (len(shape),), "int32", values=shape)
    if known:
        return constant
    nothing = file.tensor("nothing", (len(shape),), "int32", values=[0] * len(shape))
    computed = file.tensor("computed shape", (len(shape),), "int32")
    file.operator(ADD, [constant, nothing], [computed], kind=11, table={})
    return computed


def build_postprocess(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    *,
    most: int = 10,
    size: tuple[int, int] = (64, 64),
    order: Sequence[int] = (0, 1, 2, 3),
    names: Sequence[str] = ("a", "b", "c", "d"),
    behind: str = "",
    labels: bytes = b"",
) -> bytes:
    """A model whose outputs are made by the operator TFLite_Detection_PostProcess itself.

    Args:
        boxes: (n, 4) centre y, centre x, height, width in 0..1, one for each anchor.
        scores: (n, 1 + C) with the background first.
        most: Detections that the operator gives.
        order: Its outputs (boxes, classes, scores, count) as the model lists them.
        behind: Operators that follow it: `quantize`, `dequantize`, `reshape`.
        labels: Names of the classes, embedded as `labelmap.txt`.
    """
    file = File()
    picture = file.tensor("picture", (1, size[1], size[0], 3))
    axes = file.tensor("axes", (2,), "int32", values=[1, 2])
    colour = file.tensor("colour", (1, 3))
    file.operator(MEAN, [picture, axes], [colour], kind=27, table={0: np.bool_(False)})
    offsets = _compute(file, Output(np.zeros((1, len(boxes), 4)), "offsets"), colour, 3)
    given = _compute(file, Output(scores[None], "scores"), colour, 3)
    anchors = file.tensor("anchors", boxes.shape, values=boxes)
    ends = [((1, most, 4), 1 / 200), ((1, most), 1.0), ((1, most), 1 / 256), ((1,), 1.0)]
    made = [file.tensor(name, ()) for name in names]
    options = {"max_detections": most, "max_classes_per_detection": 1, "detections_per_class": 100}
    options |= {"use_regular_nms": False, "num_classes": scores.shape[1] - 1, "nms_score_threshold": 1e-8}
    thresholds = {"nms_iou_threshold": 0.6, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    file.operator(
        "TFLite_Detection_PostProcess", [offsets, given, anchors], made, custom=options | thresholds
    )
    last = [_behind(file, tensor, *end, behind) for tensor, end in zip(made, ends, strict=True)]
    file.subgraph([picture], [last[slot] for slot in order])
    return file.data({"labelmap.txt": labels} if labels else None)


def _behind(file: File, tensor: int, shape: Sequence[int], scale: float, operators: str) -> int:
    """The tensor at the end of the operators that follow `tensor`."""
    for name in operators.split():
        stored = ("uint8", scale, 0) if name == "quantize" else ("float32",)
        following = file.tensor(name, shape, *stored)
        if name == "reshape":
            file.operator(RESHAPE, [tensor, _shape(file, shape, known=True)], [following])
        else:
            file.operator(QUANTIZE if name == "quantize" else DEQUANTIZE, [tensor], [following])
        tensor = following
    return tensor


def build_crash() -> bytes:
    """A model that calls itself until the runtime's stack overflows."""
    file = File()
    picture = file.tensor("picture", (1, 64, 64, 3))
    end = file.tensor("end", (1, 64, 64, 3))
    true = file.tensor("true", (1,), "bool", values=[True])
    file.operator(IF, [true, picture], [end])  # without options: both branches are graph 0
    file.subgraph([picture], [end])
    return file.data()


def build_endless() -> bytes:
    """A model that computes for ever: `while true`."""
    file = File()
    picture = file.tensor("picture", (1, 64, 64, 3))
    end = file.tensor("end", (1, 64, 64, 3))
    file.operator(WHILE, [picture], [end], kind=93, table={0: np.int32(1), 1: np.int32(2)})
    file.subgraph([picture], [end])
    given = file.tensor("given", (1, 64, 64, 3))
    file.subgraph([given], [file.tensor("true", (1,), "bool", values=[True])])
    given, zero = file.tensor("given", (1, 64, 64, 3)), file.tensor("zero", (1,), values=[0])
    same = file.tensor("same", (1, 64, 64, 3))
    file.operator(ADD, [given, zero], [same], kind=11, table={})
    file.subgraph([given], [same])
    return file.data()


def build_custom(name: str) -> bytes:
    """A model with a custom operator."""
    file = File()
    picture = file.tensor("picture", (1, 64, 64, 3))
    end = file.tensor("end", (1, 10, 4))
    file.operator(name, [picture], [end])
    file.subgraph([picture], [end])
    return file.data()
