"""Reading: from a file and one run of it to its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_detect import decoders, pixel_values
from edge_detect.anchors import RECIPES, Anchors
from edge_detect.card import Card, Input
from edge_detect.decoders.signature import Arrays, Signature
from edge_detect.decoders.ssd import constant_anchors
from edge_detect.errors import ConfigError
from edge_detect.graph import Graph
from edge_detect.labels import Labels, parse
from edge_detect.pixel_values import Normalization
from edge_detect.tensors import Tensor

FAMILIES_TEXT = "SSD with or without TFLite_Detection_PostProcess, YOLOv5, YOLOv8, YOLO11, YOLOX"
_TASK = re.compile(r"""["']task["']: *["'](\w+)["']""")  # JSON, in older exports Python


def refuse_at_sight(graph: Graph, inputs: Sequence[Tensor]) -> Card | None:
    """The card of a file whose inputs alone say that we cannot run it."""
    if len(inputs) != 1:
        count = f"{len(inputs)} inputs" if inputs else "no input"
        return Card(
            "unsupported",
            f"{count}: a stateful model, or one that wants more than a picture;"
            " use a detector with one picture as its input",
        )
    shape, dtype = list(inputs[0].shape), inputs[0].dtype
    if graph.states:
        return Card(
            "unsupported",
            f"{graph.states} variable tensors: a stateful model, which remembers earlier pictures;"
            " use a detector without state",
        )
    if len(shape) != 4 or shape[0] != 1:
        return Card("unsupported", f"input {shape} is not one picture; expected [1, height, width, 3]")
    if shape[3] != 3:
        what = "channels first; convert it to channels last" if shape[1] == 3 else (
            f"{shape[3]} channel{'s' * (shape[3] != 1)}{' (grey)' * (shape[3] == 1)}"
        )  # fmt: skip
        return Card("unsupported", f"input {shape} has {what}, expected [1, height, width, 3] in colour")
    if min(shape[1:3]) < 8:
        return Card(
            "unsupported", f"input {shape} has no fixed size; convert it again with a fixed picture size"
        )
    if dtype not in ("uint8", "int8", "int16", "float32"):
        return Card("unsupported", f"input type {dtype}, expected uint8, int8, int16 or float32")
    return None


def read(graph: Graph, given: Tensor, outputs: tuple[Tensor, ...], samples: Arrays) -> Card:
    """The card of a model that ran once.

    Args:
        graph: Its file.
        given: Its input.
        outputs: Its outputs, after the run.
        samples: What they held.
    """
    labels, task = embedded(graph)
    bare = Card(
        "unsupported",
        "",
        input=Input(given),
        outputs=outputs,
        labels=labels.names,
        label_form=labels.form if labels.names else "",
    )
    if task and task != "detect":
        kind = "classifier" if task == "classify" else "unsupported"
        return replace(
            bare, kind=kind, reason=f"its metadata says '{task}', not 'detect'; export a detection model"
        )
    signature = Signature(
        (given.shape[2], given.shape[1]),
        outputs,
        samples,
        roles(graph),
        class_count(graph) or len(labels),
        anchors(graph, outputs),
        graph.decoding(),
    )
    found = decoders.match(signature)
    if found is None:
        kind, reason = _describe(outputs)
        return replace(bare, kind=kind, reason=reason)
    family, settings = found
    decoder = decoders.build(
        family, settings, outputs, find_anchors(graph, settings, signature.size, outputs)
    )
    return replace(
        bare,
        kind="detector",
        reason=decoder.why,
        layout=decoder.layout,
        family=family,
        settings=settings,
        input=_input(graph, given, family, settings),
    )


def _input(graph: Graph, given: Tensor, family: str, settings: dict[str, Any]) -> Input:
    """Colour order, normalization and padding: the file's word, else the family's custom."""
    if settings.get("name") == "YOLOX":
        usual, colour, padding = pixel_values.RAW, "BGR", 114
    elif family in ("yolov5", "yolov8", "end2end"):
        usual, colour, padding = pixel_values.UNIT, "RGB", 114
    else:
        usual, colour, padding = pixel_values.SIGNED, "RGB", 128
    told = graph.normalization()
    normalization = Normalization(*told) if told else pixel_values.from_quantization(given, usual)
    return Input(given, colour, normalization, padding)


def roles(graph: Graph) -> dict[str, int]:
    """Positions of the outputs that TFLite_Detection_PostProcess writes.

    Followed back through what a converter may put behind the operator (dequantize, reshape).
    """
    places: dict[str, int] = {}
    for position, tensor in enumerate(graph.outputs):
        for _ in range(8):
            maker = graph.maker(tensor)
            if maker is None or not maker.inputs:
                break
            if maker.name == "TFLite_Detection_PostProcess":
                slot = maker.outputs.index(tensor)
                if slot < 4:
                    places[("boxes", "classes", "scores", "count")[slot]] = position
                break
            tensor = maker.inputs[0]
    return places


def class_count(graph: Graph) -> int:
    """Classes without background that feed TFLite_Detection_PostProcess; 0 without that operator."""
    for op in graph.operators:
        if op.name == "TFLite_Detection_PostProcess" and len(op.inputs) >= 2:
            shape = graph.shape(op.inputs[1])
            return shape[-1] - 1 if shape else 0
    return 0


def anchors(graph: Graph, outputs: tuple[Tensor, ...]) -> dict[str, Anchors]:
    """Anchors that the file carries, by where they stand."""
    found: dict[str, Anchors] = {}
    metadata = graph.anchors()
    if metadata is not None and len(metadata):
        found["metadata"] = metadata
    for position, tensor in enumerate(graph.outputs):
        if outputs[position].shape[-1:] == (4,) and len(outputs) > 2:
            values = graph.constant(tensor)
            if values is not None:
                found[f"output {position}"] = constant_anchors(values)
    return found


def find_anchors(
    graph: Graph, settings: dict[str, Any], size: tuple[int, int], outputs: tuple[Tensor, ...]
) -> Anchors | None:
    """The anchors that a decoder's settings name; None for families without."""
    source = settings.get("source")
    if source is None:
        return None
    recipe = next((recipe for recipe in RECIPES if recipe.name == source), None)
    return recipe.make(size) if recipe else anchors(graph, outputs)[source]


def embedded(graph: Graph) -> tuple[Labels, str]:
    """Labels inside the file, and the task that Ultralytics writes (empty when unknown)."""
    labels, task = Labels(), ""
    for name, data in graph.attachments().items():
        text = data.decode("utf-8", "replace")
        if name.endswith((".json", "meta.txt")):
            found = _TASK.search(text)
            task = found[1] if found else task
        elif not name.endswith((".txt", ".labels", ".names")):
            continue
        try:
            labels = parse(text, name)
        except ConfigError:
            continue
    return labels, task


def _describe(outputs: tuple[Tensor, ...]) -> tuple[str, str]:
    """What outputs that no decoder knows look like."""
    shapes = ", ".join(str(list(t.shape)) for t in outputs)
    if len(outputs) == 1:
        shape = outputs[0].shape
        if len(shape) >= 2 and int(np.prod(shape)) == shape[-1]:
            if shape[-1] in (4, 8):
                return "unsupported", f"outputs {shapes} look like a corner regressor, not a detector"
            return "classifier", f"outputs {shapes} look like a classifier, not a detector; use a detector"
        if len(shape) == 4:
            return "unsupported", (
                f"outputs {shapes} look like a map over the picture (segmentation, FOMO, YOLOv2"
                f" grid), not boxes; expected {FAMILIES_TEXT}"
            )
    return "unsupported", f"outputs {shapes} fit no known layout; expected {FAMILIES_TEXT}"
