"""Postprocess: TFLite_Detection_PostProcess written behind the heads of a raw SSD.

Programs that know only the four outputs of that operator (boxes, classes, scores, count) can then
run our models too. The operator computes in float; it and the sigmoid before it are the only
parts of an int8 file that do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from edge_detect.errors import ModelError
from edge_detect.workshop import flat
from edge_detect.workshop.metadata import Description

NAME = "TFLite_Detection_PostProcess"
DEQUANTIZE, LOGISTIC, CUSTOM, FLOAT32 = 6, 14, 32, 0


def embed(data: bytes, about: Description, *, most: int = 25, least: float = 0.05) -> bytes:
    """The file with the operator at its end.

    Args:
        data: A `.tflite` with outputs (1, n, 4) offsets and (1, n, c) logits.
        about: Its anchors and variances.
        most: Detections that it gives.
        least: Score below which it gives none.

    Raises:
        ModelError: The outputs are not those of a raw SSD, or not of so many classes.

    Source: `detection_postprocess.cc` of TensorFlow Lite (options, order of inputs and outputs).
    """
    from ai_edge_litert import schema_py_generated as schema

    assert about.anchors is not None
    model = flat.opened(data)
    edit = _Edit(model, schema)
    ends = {"boxes" if edit.shape(t)[-1] == 4 else "scores": t for t in edit.main.outputs}
    if len(ends) != 2 or edit.shape(ends["boxes"])[1] != len(about.anchors):
        raise ModelError(f"{about.name}: expected offsets and scores of {len(about.anchors)} anchors")
    columns = edit.shape(ends["scores"])[-1]
    classes = len(about.labels) or columns
    if columns - classes not in (0, 1):  # one for the background
        raise ModelError(f"{about.name}: expected names of {columns} classes, got {classes}")
    boxes, scores = edit.real(ends["boxes"]), edit.real(ends["scores"])
    if about.sigmoid:
        chances = edit.tensor("chances", edit.shape(scores))
        edit.operator(LOGISTIC, [scores], [chances])
        scores = chances
    anchors = edit.tensor("anchors", about.anchors.shape, about.anchors.astype(np.float32))
    shapes = ((1, most, 4), (1, most), (1, most), (1,))
    outputs = [edit.tensor(f"{NAME}{f':{i}' if i else ''}", shape) for i, shape in enumerate(shapes)]
    centre, side = (1 / v for v in about.variances)
    options = {
        "max_detections": most, "max_classes_per_detection": 1, "detections_per_class": 100,
        "use_regular_nms": False, "nms_score_threshold": least, "nms_iou_threshold": 0.5,
        "num_classes": classes,
        "y_scale": centre, "x_scale": centre, "h_scale": side, "w_scale": side,
    }  # fmt: skip
    edit.operator(CUSTOM, [boxes, scores, anchors], outputs, options)
    edit.main.outputs = np.array(outputs, np.int32)
    model.signatureDefs = []
    return flat.written(model, len(data))


class _Edit:
    """Adds tensors and operators to the main graph of a model."""

    def __init__(self, model: Any, schema: Any) -> None:
        self._model, self._schema = model, schema
        self.main = model.subgraphs[0]

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self.main.tensors[tensor].shape)

    def tensor(self, name: str, shape: tuple[int, ...], values: Any = None) -> int:
        buffer = self._schema.BufferT()
        if values is not None:
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        made = self._schema.TensorT()
        made.name, made.shape, made.type = name, np.array(shape, np.int32), FLOAT32
        made.buffer = len(self._model.buffers) - 1
        self.main.tensors.append(made)
        return len(self.main.tensors) - 1

    def real(self, tensor: int) -> int:
        """The tensor in float32, behind a DEQUANTIZE where it is not."""
        if self.main.tensors[tensor].type == FLOAT32:
            return tensor
        made = self.tensor(f"real_{tensor}", self.shape(tensor))
        self.operator(DEQUANTIZE, [tensor], [made])
        return made

    def operator(self, code: int, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        entry = self._schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        if code == CUSTOM:
            entry.customCode = NAME
        if code == DEQUANTIZE:
            entry.version = 2  # the first that reads int8
        self._model.operatorCodes.append(entry)
        made = self._schema.OperatorT()
        made.opcodeIndex = len(self._model.operatorCodes) - 1
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            made.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)
        self.main.operators.append(made)
