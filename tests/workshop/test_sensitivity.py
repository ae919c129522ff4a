from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets

from edge_detect.card import Input
from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.tensors import Tensor
from edge_detect.workshop import calibration, export, flat, sensitivity
from edge_detect.workshop.convert import Options, Parent
from edge_detect.workshop.metadata import Description
from edge_detect.workshop.quantize import SCHEMES, quantize
from edge_detect.workshop.sensitivity import Layer

pytestmark = small_nets.LIBRARIES

INT8 = Options(SCHEMES["int8"])


@cache
def chain() -> Parent:
    """Three convolutions, of which the second has one weight a thousand times as large as the others."""
    chance = np.random.default_rng(0)
    image = y = keras.Input((8, 8, 3), batch_size=1, name="image")
    for name in ("first", "spoilt", "last"):
        layer = keras.layers.Conv2D(4, 1, activation="relu", name=name)
        y = layer(y)
        kernel, bias = layer.get_weights()
        kernel = chance.uniform(0.1, 0.5, kernel.shape)
        if name == "spoilt":
            kernel[0, 0, 0] = 300  # with the input that it falls on always near zero
        if name == "first":
            kernel[..., 0] *= 1e-3
        layer.set_weights([kernel, bias])
    given = Input(Tensor(0, "image", (1, 8, 8, 3), "float32"))
    return Parent(export.to_tflite(keras.Model(image, y)), Description("chain", ()), given)


def batch() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)


def ranges() -> calibration.Ranges:
    return calibration.ranges(calibration.watch(chain().data, batch()), "min-max")


def test_a_file_that_is_its_parent_has_no_noise() -> None:
    rows = sensitivity.layers(chain(), chain().data, batch())

    assert [row.sqnr_db for row in rows] == [120.0] * 3
    assert [row.kind for row in rows] == ["convolution"] * 3


def test_a_layer_that_was_spoilt_is_where_the_noise_begins() -> None:
    data = quantize(chain().data, INT8.scheme, ranges())

    first, spoilt, _ = sensitivity.layers(chain(), data, batch())

    assert "spoilt" in spoilt.tensor
    assert spoilt.sqnr_db < 10 < 25 < first.sqnr_db


def test_the_report_marks_the_worst_five() -> None:
    rows = [Layer(f"layer_{i}", f"t{i}", 10.0 * i, "convolution") for i in range(7)]

    lines = sensitivity.text_of(rows).splitlines()

    assert [line.endswith("<- among the worst five") for line in lines] == [False, *[True] * 5, False, False]
    assert lines[1] == "layer_0  convolution       0.0 dB  <- among the worst five"


@pytest.mark.parametrize(
    ("power", "noise", "expected"), [(1, 1, 0), (100, 1, 20), (1, 0, 120), (0, 0, 120), (1, 10, -10)]
)
def test_decibels(power: float, noise: float, expected: float) -> None:
    assert sensitivity.decibels(power, noise) == pytest.approx(expected)


def test_the_layer_that_hurts_most_alone_comes_first() -> None:
    told: list[str] = []

    order = sensitivity.alone(chain(), replace(INT8, per_channel=False), ranges(), batch(), told.append)

    assert len(order) == 3
    assert "spoilt" in order[0]


@cache
def numbered() -> Parent:
    """The chain with layers called 1, 10 and 100."""
    model = flat.opened(chain().data)
    for i, operator in enumerate(model.subgraphs[0].operators):
        model.subgraphs[0].tensors[operator.outputs[0]].name = f"1{'0' * i}"
    return replace(chain(), data=flat.written(model))


def test_a_layer_is_quantized_alone_though_its_name_begins_another() -> None:
    found = calibration.ranges(calibration.watch(numbered().data, batch()), "min-max")

    order = sensitivity.alone(numbered(), replace(INT8, per_channel=False), found, batch(), lambda _: None)

    assert order[0] == "10"


def test_a_layer_is_wider_alone_though_its_name_begins_another() -> None:
    found = calibration.ranges(calibration.watch(numbered().data, batch()), "min-max")
    wider = sensitivity.with_wider(INT8, ["10"], 32).wider

    graph = Graph(quantize(numbered().data, INT8.scheme, found, wider=wider), "m")

    layers = [operator.outputs[0] for operator in graph.operators if operator.name == "builtin 3"]
    assert [graph.dtype(tensor) for tensor in layers] == ["int8", "float32", "int8"]


ORDER = tuple("abcdefghij")


def score_of(needed: int, real: float = 0.9) -> Callable[[Options], float]:
    """AP50 that is that of the float model once the first `needed` layers are wider."""
    return lambda options: real if len(options.wider) >= needed else real - 0.1


@pytest.mark.parametrize("needed", range(1, 11))
def test_the_fewest_layers_are_found(needed: int) -> None:
    found = sensitivity.smallest(ORDER, INT8, 0.5, 16, score_of(needed), 0.9)

    assert found.wider == ORDER[:needed]
    assert [(one.pattern, one.bits) for one in found.options.wider] == [
        (f"^{n}$", 16) for n in ORDER[:needed]
    ]
    assert found.drop == pytest.approx(0)
    assert len(found.tried) <= 7


def test_no_layer_is_wider_when_none_needs_to_be() -> None:
    found = sensitivity.smallest(ORDER, INT8, 0.5, 16, score_of(0), 0.9)

    assert (found.wider, found.options, len(found.tried)) == ((), INT8, 1)


def test_what_no_width_can_mend_is_told() -> None:
    with pytest.raises(ModelError) as caught:
        sensitivity.smallest(ORDER, INT8, 0.5, 16, score_of(11), 0.9)

    assert str(caught.value) == "--max-drop 0.5: even with all 10 layers wider 10.00 are lost"


def test_a_net_without_layers_has_nothing_to_widen() -> None:
    with pytest.raises(ModelError):
        sensitivity.smallest((), INT8, 0.5, 16, score_of(1), 0.9)
