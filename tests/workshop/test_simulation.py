"""What quantization-aware training simulates is what the int8 file of it computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
from small_nets import converted

from edge_detect.errors import ConfigError
from edge_detect.graph import Graph
from edge_detect.workshop import convert, qat
from edge_detect.workshop.calibration import Probe
from edge_detect.workshop.quantize import SCHEMES

pytestmark = small_nets.LIBRARIES

LAYERS = ("builtin 0", "builtin 3", "builtin 4")  # ADD and convolutions


@cache
def differences() -> dict[str, Any]:
    """By layer, how many steps the file's answer is off, when both are given the same numbers.

    Over the whole net a single step would grow with every layer behind it, hence one by one.
    """
    data, model = converted("int8", "int8"), small_nets.rounded_net()
    graph, probe = Graph(data, "m"), Probe(data)
    names, place = convert.layers_of(graph), {name: i for i, name in probe.names.items()}
    probe.run(small_nets.pictures(1, seed=9)[0])
    found = {}
    for operator in graph.operators:
        layer = names.get(graph.name(operator.outputs[0]), "")
        if operator.name not in LAYERS or (layer.startswith(("boxes_", "scores_")) and layer[-1].isdigit()):
            continue  # the ends of the heads are rounded together, behind the concatenation
        given = operator.inputs if operator.name == "builtin 0" else operator.inputs[:1]
        values = [probe.value(place[graph.name(tensor)]) for tensor in given]
        answer = model.get_layer(layer)(values if len(values) > 1 else values[0])
        for end in ("_relu", "_grid"):
            if f"{layer}{end}" in [one.name for one in model.layers]:
                answer = model.get_layer(f"{layer}{end}")(answer)
        end = place[graph.name(operator.outputs[0])]
        step = probe._interpreter._get_tensor_details(end, 0)["quantization"][0]
        found[layer] = np.abs(np.asarray(answer) - probe.value(end)) / step
    return found


def test_every_layer_is_compared() -> None:
    assert len(differences()) == 81


def test_no_number_of_any_layer_is_off_by_more_than_one_step() -> None:
    assert {name for name, steps in differences().items() if steps.max() > 1.01} == set()


def test_nearly_every_number_is_the_very_same() -> None:
    steps = np.concatenate([found.ravel() for found in differences().values()])

    assert (steps < 0.01).mean() > 0.99


def test_the_ranges_of_the_file_are_those_of_the_training() -> None:
    parent = small_nets.parent("int8")
    by_layer = {layer: name for name, layer in convert.layers_of(Graph(parent.data, "m")).items()}

    ranges = small_nets.ranges("int8")

    grids = qat.grids(small_nets.rounded_net())
    assert all(ranges[by_layer[name.removesuffix("_grid")]] == ends
               for name, ends in grids.items() if name.removesuffix("_grid") not in ("boxes", "scores")
               or name in by_layer)  # fmt: skip


def test_a_run_for_int4_is_not_written_as_int8() -> None:
    from dataclasses import replace

    parent = replace(small_nets.parent("int8"), bits="int4")

    with pytest.raises(ConfigError) as caught:
        convert.convert(parent, convert.Options(SCHEMES["int8"]), small_nets.ranges("int8"))

    assert str(caught.value) == "--scheme int8: the run was trained for int4 weights; use --scheme int4"
