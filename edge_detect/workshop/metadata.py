"""Metadata: a model file that says of itself what it is, in a form that other tools read too.

What stands where: names, normalization and labels as TFLite Metadata (`metadata_schema.fbs` of
TFLite Support), anchors and how to decode them as MediaPipe's DETECTOR_METADATA
(`object_detector_metadata_schema.fbs`), the label list and where the model comes from also as
plain files in the zip archive at the end of the file.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types

from edge_detect.anchors import Anchors
from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.workshop import flat

LABELS = "labels.txt"
ORIGIN = "origin.json"
_NORMALIZATION_OPTIONS, _IMAGE_PROPERTIES, _RGB, _TENSOR_VALUE_LABELS = 1, 2, 1, 3


@dataclass(frozen=True, slots=True)
class Description:
    """What a detector's file says of itself.

    Attributes:
        name: For people.
        labels: Names of the classes; class 0 first.
        mean, std: The net wants (pixel - mean) / std.
        anchors: (n, 4) centre y, centre x, height, width of a raw SSD; None for other layouts.
        variances: Factors of the centre and size offsets.
        sigmoid: Whether scores are logits.
        origin: Where it comes from: data, recipe, parent, scheme; as JSON holds it.
    """

    name: str
    labels: tuple[str, ...]
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    anchors: Anchors | None = None
    variances: tuple[float, float] = (0.1, 0.2)
    sigmoid: bool = True
    origin: dict[str, Any] = field(default_factory=dict)


def describe(data: bytes, about: Description) -> bytes:
    """The model file with a description in it; one that it had is replaced.

    Args:
        data: A `.tflite` file.
        about: What it is to say.

    Raises:
        ModelError: The data is not a TFLite file.
    """
    graph = Graph(data, about.name)
    from ai_edge_litert import schema_py_generated as schema

    model = flat.opened(data)
    model.description = about.name
    rows = model.metadata or []
    kept = [row for row in rows if row.name != b"TFLITE_METADATA"]
    entry = next((row for row in rows if row.name == b"TFLITE_METADATA"), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
        model.buffers.append(schema.BufferT())
    text = _tables(about, len(graph.outputs), graph)
    model.buffers[entry.buffer].data = np.frombuffer(text, np.uint8)
    model.metadata = [*kept, entry]
    return flat.written(model, len(data)) + _archive(about)


def _archive(about: Description) -> bytes:
    """A zip archive, read from its end; its place in the file does not matter."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for name, text in (
            (LABELS, "\n".join(about.labels) + "\n"),
            (ORIGIN, json.dumps(about.origin, indent=1, sort_keys=True) + "\n"),
        ):
            if name == LABELS and not about.labels:
                continue
            # a fixed date, so that the same model is the same file
            archive.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), text)
    return held.getvalue()


def _tables(about: Description, outputs: int, graph: Graph) -> bytes:
    normalization = {0: np.array(about.mean, np.float32), 1: np.array(about.std, np.float32)}
    lows = (0 - np.array(about.mean)) / about.std
    highs = (255 - np.array(about.mean)) / about.std
    image = {
        0: "image",
        1: "A picture, RGB, letterboxed into the input with grey bars.",
        3: {0: np.uint8(_IMAGE_PROPERTIES), 1: {0: np.int8(_RGB)}},
        4: [{0: np.uint8(_NORMALIZATION_OPTIONS), 1: normalization}],
        5: {0: highs.astype(np.float32), 1: lows.astype(np.float32)},
    }
    labels = {0: LABELS, 1: "Names of the classes.", 2: np.int8(_TENSOR_VALUE_LABELS)}
    shapes = [graph.shape(tensor) for tensor in graph.outputs]
    rows = []
    for shape in shapes:
        is_boxes = shape[-1:] == (4,)
        row: dict[int, Any] = {0: "boxes" if is_boxes else "scores"}
        if not is_boxes and about.labels:
            row[6] = [labels]
        rows.append(row)
    main: dict[int, Any] = {2: [image], 3: rows}
    if about.anchors is not None:
        main[9] = [{0: "DETECTOR_METADATA", 1: _decoding(about, about.anchors)}]
    return pack({0: about.name, 1: _purpose(about), 3: [main], 7: "1.0.0"}, b"M001")


def _purpose(about: Description) -> str:
    return f"Finds {', '.join(about.labels)}." if about.labels else "An object detector."


def _decoding(about: Description, anchors: Anchors) -> bytes:
    rows = [{i: np.float32(row[j]) for i, j in enumerate((1, 0, 3, 2))} for row in anchors]
    centre, side = (np.float32(1 / v) for v in about.variances)
    decoding = {
        0: np.int32(len(about.labels)), 1: np.int32(len(anchors)), 2: np.int32(4),
        6: centre, 7: centre, 8: side, 9: side, 10: np.bool_(True), 11: np.bool_(about.sigmoid),
    }  # fmt: skip
    return pack({0: "1.0.0", 1: {0: {0: rows}}, 2: decoding}, b"V001")


def pack(root: dict[int, Any], identifier: bytes) -> bytes:
    """A flatbuffer: dicts are tables by field number, numpy scalars are scalars of their type."""
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(_write(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


_FLAGS = {
    "float32": number_types.Float32Flags, "int32": number_types.Int32Flags, "int8": number_types.Int8Flags,
    "uint8": number_types.Uint8Flags, "bool": number_types.BoolFlags,
}  # fmt: skip


def _write(b: Any, value: Any) -> int:
    """Writes a value that stands behind an offset, and gives its place."""
    if isinstance(value, str):
        return int(b.CreateString(value))
    if isinstance(value, bytes):
        return _bytes(b, value)
    if isinstance(value, np.ndarray):
        return int(b.CreateNumpyVector(value))
    if isinstance(value, list):
        made = [_write(b, row) for row in value]
        b.StartVector(4, len(made), 4)
        for place in reversed(made):
            b.PrependUOffsetTRelative(place)
        return int(b.EndVector())
    places = {slot: _write(b, item) for slot, item in value.items() if not isinstance(item, np.generic)}
    b.StartObject(max(value) + 1)
    for slot, item in value.items():
        if slot in places:
            b.PrependUOffsetTRelative(places[slot])
        else:
            b.Prepend(_FLAGS[item.dtype.name], item.item())
        b.Slot(slot)
    return int(b.EndObject())


def _bytes(b: Any, value: bytes) -> int:
    """A vector of bytes that begins where a flatbuffer inside it may begin (16 bytes)."""
    b.StartVector(1, len(value), 16)
    b.head -= len(value)
    b.Bytes[b.Head() : b.Head() + len(value)] = value
    return int(b.EndVector())


def origin(data: bytes) -> dict[str, Any]:
    """What a file says of where it comes from; empty when it says nothing."""
    try:
        found = json.loads(Graph(data, "model").attachments().get(ORIGIN, b"{}"))
    except (ModelError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
