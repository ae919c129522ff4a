"""Convert: from a run, a Keras model, a SavedModel or a float `.tflite` to a file for the device."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_detect import __version__
from edge_detect import model as models
from edge_detect.card import Card, Input
from edge_detect.errors import ConfigError, InputMissing, ModelError
from edge_detect.graph import Graph
from edge_detect.pixel_values import SIGNED, Normalization
from edge_detect.tensors import Tensor
from edge_detect.workshop import calibration, metadata, postprocess, quantize
from edge_detect.workshop.calibration import IMAGE_RANGE, LEAST_LOGIT, Ranges, Seen
from edge_detect.workshop.metadata import Description
from edge_detect.workshop.quantize import SCHEMES, Scheme, Widened

log = logging.getLogger(__name__)

# kinds of layers that people keep wider, in the tensor names of our own nets
KINDS = {
    "first": r"/Conv1_",
    "heads": r"/(boxes|scores)_\d+(_|;|$)",
    "positions": r"/boxes_\d+(_|;|$)",
    "scores": r"/scores_\d+(_|;|$)",
    "depthwise": r"_depthwise_",
}

QUANTIZED = {"float16", "int4", "int8", "int16", "uint8"}  # what a float file does not compute with


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """A float model that is to be converted.

    Attributes:
        data: Its float32 `.tflite` bytes.
        about: What the files made of it say of themselves.
        input: How a picture enters.
        grids: Ranges from quantization-aware training, by layer; empty without.
        bits: Of the weights it was trained for, where it was.
        kind: `detector`, `classifier` or `unsupported`, as the runtime reads it.
    """

    data: bytes
    about: Description
    input: Input
    grids: dict[str, tuple[float, float]] = field(default_factory=dict)
    bits: str = ""
    kind: str = "detector"

    @property
    def sha256(self) -> str:
        """Hash of the float file."""
        return hashlib.sha256(self.data).hexdigest()


def open_parent(
    path: Path, labels: Sequence[str] = (), normalization: Normalization | None = None, *,
    real: bool = True, size: int = 224,
) -> Parent:  # fmt: skip
    """The float model at a path: a run, `.keras`, `.h5`, a SavedModel, or a float `.tflite`.

    Args:
        path: Where it is.
        labels: Names of its classes, where it has none of its own.
        normalization: What it was trained on, where it does not tell.
        real: Whether it must be a float model.
        size: Side of the input, for weights of a classifier alone.

    Raises:
        InputMissing: There is nothing.
        ModelError: It is no model, or not a float one.
    """
    if not path.exists():
        raise InputMissing(f"{path}: cannot read the model: no such file or folder")
    if path.is_dir() and (path / "settings.json").exists():
        return _from_run(path)
    if path.is_dir():
        from edge_detect.workshop import export

        data = export.saved_model_to_tflite(path)
    elif path.name.endswith(".weights.h5"):
        from edge_detect.workshop import export

        data = export.classifier_to_tflite(path, size)
    elif path.suffix in (".keras", ".h5"):
        from edge_detect.workshop import export

        data = export.keras_to_tflite(path)
    else:
        data = models.read_file(path).data
    return _from_file(data, path, labels, normalization, real=real)


def _from_run(path: Path) -> Parent:
    from edge_detect.workshop import export, net, qat
    from edge_detect.workshop.run import Run

    run = Run(path)
    settings, plan, document = run.settings()
    trained, _ = run.model()
    grids: dict[str, tuple[float, float]] = {}
    if settings.quantize:
        weights = qat.baked(trained, settings.quantize)
        grids = qat.grids(trained)
    else:
        weights = export.fold(trained)
    data = export.to_tflite(export.folded(plan, weights))
    origin = {
        "architecture": f"SSDLite MobileNetV2 alpha {plan.alpha:g}",
        "data": settings.data,
        "plan": net.to_json(plan),
        "pictures": document.get("pictures"),
        "boxes": document.get("boxes"),
        "seed": settings.seed,
        "training": "quantization-aware" if settings.quantize else "float",
        "versions": document.get("versions"),
    }
    about = Description(path.name, plan.classes, anchors=plan.anchors, origin=_without_folders(origin))
    given = Input(Tensor(0, "image", (1, plan.size[1], plan.size[0], 3), "float32"), normalization=SIGNED)
    return Parent(data, about, given, grids, settings.quantize)


def _without_folders(origin: dict[str, Any]) -> dict[str, Any]:
    """Paths of the machine that trained are nobody's business: the last two parts of each stay."""
    sets = [word.partition("=")[0] for word in str(origin["data"]).split(",")]
    return origin | {"data": ["/".join(Path(word).parts[-2:]) for word in sets if word]}


def _from_file(
    data: bytes, path: Path, labels: Sequence[str], told: Normalization | None, *, real: bool
) -> Parent:
    card = _card(data, path)
    given = card.input
    if given is None:
        raise ModelError(f"{path.name}: {card.reason}")
    if real and given.tensor.dtype != "float32":
        raise ModelError(
            f"{path.name}: input type {given.tensor.dtype}: expected a float model; convert the original"
        )
    graph = Graph(data, path.name)
    kinds = {graph.dtype(t) for operator in graph.operators for t in operator.inputs if t >= 0}
    if real and (stored := sorted(kinds & QUANTIZED)):
        raise ModelError(
            f"{path.name}: {stored[0]} inside: expected a model of float32 alone; convert the original"
        )
    if told:
        given = replace(given, normalization=told)
    names = tuple(labels) or card.labels
    decoding = graph.decoding() or ((0.1, 0.2), True)
    about = Description(
        path.stem, names, given.normalization.mean, given.normalization.std, graph.anchors(), *decoding,
        origin=metadata.origin(data) or {"architecture": path.name},
    )  # fmt: skip
    return Parent(data, about, given, kind=card.kind)


def _card(data: bytes, path: Path) -> Card:
    """What the runtime says of the bytes; they may not stand in a file yet."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edge-detect-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(data)
        return models.examine(models.read_file(copy))


def watch(parent: Parent, batch: Any) -> dict[str, Seen]:
    """What every tensor of the float model holds over some pictures."""
    return calibration.watch(parent.data, batch)


def ranges_of(parent: Parent, seen: dict[str, Seen], method: str) -> Ranges:
    """The range of every tensor: from calibration, and from the training where that had any."""
    graph = Graph(parent.data, parent.about.name)
    found = calibration.ranges(seen, method)
    pixels = parent.input.normalization.apply()  # known better than from pictures that may be dark
    whole = min(float(pixels.min()), 0.0), max(float(pixels.max()), 0.0)
    found[graph.name(graph.inputs[0])] = IMAGE_RANGE if parent.input.normalization == SIGNED else whole
    if parent.about.anchors is not None and parent.about.sigmoid:
        name = next((name for name, layer in layers_of(graph).items() if layer == "scores"), "")
        if name in found:  # what is surely nothing need not be told apart from what is more surely nothing
            found[name] = max(found[name][0], LEAST_LOGIT), found[name][1]
    if parent.grids:
        from edge_detect.workshop import qat

        found = qat.ranges(parent.grids, layers_of(graph), found)
    return calibration.joined(graph, found)


def find_ranges(parent: Parent, batch: Any, method: str) -> Ranges:
    """The range of every tensor, from pictures as the float model gets them."""
    return ranges_of(parent, watch(parent, batch), method)


def every(parent: Parent, base: Options) -> Iterator[tuple[str, Options, str]]:
    """(name, options, calibration method) of each file of the great comparison."""
    if parent.bits:  # trained for one scheme
        scheme = SCHEMES["int4" if parent.bits == "int4" else "int8"]
        yield f"qat-{parent.bits}", replace(base, scheme=scheme), "min-max"
        return
    for name, scheme in SCHEMES.items():
        yield name, replace(base, scheme=scheme), "min-max"
    int8 = replace(base, scheme=SCHEMES["int8"])
    yield "int8-percentile", int8, "percentile"
    yield "int8-mse", int8, "mse"
    yield "int8-per-tensor", replace(int8, per_channel=False), "min-max"
    yield "int8-weights-mse", replace(int8, weights="mse"), "min-max"
    for kind in ("first", "heads", "positions", "depthwise"):
        yield f"mixed-{kind}-float", replace(int8, wider=widened([kind])), "min-max"
    yield "mixed-heads-int16", replace(int8, wider=widened(["heads=16"])), "min-max"


def layers_of(graph: Graph) -> dict[str, str]:
    """Tensor name to the layer of our own net that made it: `block_1_expand`, `image`, `boxes` ..."""
    outputs = {"boxes" if graph.shape(t)[-1:] == (4,) else "scores": graph.name(t) for t in graph.outputs}
    found = {name: layer for layer, name in outputs.items()}
    found |= {graph.name(t): "image" for t in graph.inputs}
    for operator in graph.operators:
        name = graph.name(operator.outputs[0])
        first = name.partition(";")[0].split("/")
        if name in found or len(first) < 2:
            continue
        stem, _, number = first[1].rpartition("_")
        found[name] = (stem if number.isdecimal() else first[1]).removesuffix("_relu")
    return found


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is made.

    Attributes:
        scheme: A key of `quantize.SCHEMES`.
        method: A key of `calibration.METHODS`.
        per_channel: Whether each channel has its own weight scale.
        weights: How weight scales are found.
        wider: Layers kept wider.
        postprocess: Whether TFLite_Detection_PostProcess is embedded.
    """

    scheme: Scheme = SCHEMES["int8"]
    method: str = "min-max"
    per_channel: bool = True
    weights: str = "min-max"
    wider: tuple[Widened, ...] = ()
    postprocess: bool = False


def widened(words: Sequence[str]) -> tuple[Widened, ...]:
    """Layers from words `KIND` or `REGEX`, with `=16` for int16 activations instead of none.

    Raises:
        ConfigError: Bits other than 16 or 32.
    """
    found = []
    for word in words:
        name, sign, bits = word.rpartition("=")
        if not sign or not bits.isdecimal():
            name, bits = word, "32"
        if bits not in ("16", "32"):
            raise ConfigError(f"--wider {word}: expected =16 or =32, got ={bits}")
        found.append(Widened(KINDS.get(name, name), int(bits)))
    return tuple(found)


def convert(parent: Parent, options: Options, ranges: Ranges | None) -> bytes:
    """The file, described.

    Raises:
        ConfigError: Options that contradict each other or the model.
        ModelError: The model cannot be converted so.
    """
    scheme = options.scheme
    if parent.bits == "int4" and scheme.name == "int8":
        raise ConfigError(f"--scheme {scheme.name}: the run was trained for int4 weights; use --scheme int4")
    data = quantize.quantize(
        parent.data, scheme, ranges,
        per_channel=options.per_channel, wider=options.wider, weights=options.weights,
    )  # fmt: skip
    wide = [f"{one.pattern} {one.bits} bits" for one in options.wider]
    origin = parent.about.origin | {
        "parent_sha256": parent.sha256,
        "scheme": scheme.name,
        "calibration": options.method if scheme.calibrated else None,
        "per_channel": options.per_channel,
        "wider": wide or None,
        "converter": f"edge_detect {__version__}",
    }
    if parent.bits in ("ternary", "binary"):
        origin["experiment"] = f"{parent.bits} weights, stored as int8"
        origin["theoretical_bytes"] = theoretical_bytes(parent.data, parent.bits)
    about = replace(parent.about, origin={key: value for key, value in origin.items() if value is not None})
    if options.postprocess:
        if about.anchors is None:
            raise ConfigError("--postprocess: expected a model with raw SSD heads and anchors")
        data = postprocess.embed(data, about)
        about = replace(about, anchors=None)
    return metadata.describe(data, about)


def described(parent: Parent) -> bytes:
    """The float file as it is, with a description in it."""
    return metadata.describe(parent.data, parent.about)


def theoretical_bytes(data: bytes, kind: str) -> int:
    """Size of the weights if those of full convolutions took log2(3) or 1 bit each.

    The first layer, the heads and depthwise kernels are counted as int8, all biases as int32.
    """
    from edge_detect.workshop import qat

    graph = Graph(data, "model")
    layers = layers_of(graph)
    total = 0.0
    for operator in graph.operators:
        if operator.name not in ("builtin 3", "builtin 4"):  # CONV_2D, DEPTHWISE_CONV_2D
            continue
        layer = layers.get(graph.name(operator.outputs[0]), "")
        kernel = float(np.prod(graph.shape(operator.inputs[1])))
        ends = layer == "Conv1" or (layer.startswith(("boxes_", "scores_")) and "depthwise" not in layer)
        coarse = operator.name == "builtin 3" and not ends
        total += kernel * (qat.KINDS[kind] if coarse else 8) / 8 + 4 * float(
            np.prod(graph.shape(operator.inputs[2]))
        )
    return round(total)
