from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
from ai_edge_litert import schema_py_generated as schema
from small_nets import converted
from tflite_files import ADD, DEQUANTIZE, QUANTIZE, File

from edge_detect.errors import ConfigError, ModelError
from edge_detect.graph import Graph, Operator
from edge_detect.model import open_model
from edge_detect.workshop import calibration, convert, export, flat, quantize
from edge_detect.workshop.calibration import Probe
from edge_detect.workshop.quantize import SCHEMES, Widened

pytestmark = small_nets.LIBRARIES

CONVOLUTION, DEPTHWISE, CONCATENATION = "builtin 3", "builtin 4", "builtin 2"
BUILTIN = {"convolution": CONVOLUTION, "depthwise": DEPTHWISE}


def graph(data: bytes) -> Graph:
    return Graph(data, "m.tflite")


def every(of: Graph, name: str) -> Iterator[Operator]:
    return (operator for operator in of.operators if operator.name == name)


def weights(of: Graph, operator: Operator) -> int:
    """The tensor in the file that an operator's weights come from."""
    maker = of.maker(operator.inputs[1])
    return maker.inputs[0] if maker else operator.inputs[1]


def types(data: bytes, kind: str) -> set[str]:
    """Of all weights of a kind of layer."""
    found = graph(data)
    return {found.dtype(weights(found, operator)) for operator in every(found, BUILTIN[kind])}


def scales(of: Graph, tensor: int) -> list[float]:
    told = of._tensors[tensor].table(4)
    return [] if told is None else told.numbers(2, "<f4").tolist()


def noise(data: bytes) -> dict[int, float]:
    """Signal to noise in decibels of each output, by its columns, over pictures not calibrated on."""
    real, coarse = Probe(small_nets.parent().data), Probe(data)
    power, lost = {4: 0.0, 2: 0.0}, {4: 0.0, 2: 0.0}
    for picture in small_nets.pictures(seed=9):
        for probe in (real, coarse):
            probe.run(picture)
        answers = [{v.shape[-1]: v for v in map(probe.value, probe.outputs)} for probe in (real, coarse)]
        for columns in power:
            power[columns] += float((answers[0][columns] ** 2).sum())
            lost[columns] += float(((answers[0][columns] - answers[1][columns]) ** 2).sum())
    return {columns: 10 * np.log10(power[columns] / max(lost[columns], 1e-12)) for columns in power}


@pytest.mark.parametrize(
    ("scheme", "full", "depthwise"),
    [
        ("float32", "float32", "float32"),
        ("float16", "float16", "float16"),
        ("dynamic", "int8", "int8"),
        ("int8", "int8", "int8"),
        ("int16x8", "int8", "int8"),
        ("int4", "int4", "int8"),
        ("dynamic-int4", "int4", "int8"),
    ],
)
def test_weights_are_stored_as_the_scheme_says(scheme: str, full: str, depthwise: str) -> None:
    data = converted(scheme)

    assert (types(data, "convolution"), types(data, "depthwise")) == ({full}, {depthwise})


@pytest.mark.parametrize(
    ("scheme", "given", "inside"),
    [
        ("float32", "float32", "float32"),
        ("float16", "float32", "float32"),
        ("dynamic", "float32", "float32"),
        ("int8", "int8", "int8"),
        ("int16x8", "int16", "int16"),
        ("int4", "int8", "int8"),
        ("dynamic-int4", "float32", "float32"),
    ],
)
def test_activations_are_of_the_type_that_the_scheme_says(scheme: str, given: str, inside: str) -> None:
    found = graph(converted(scheme))

    ends = {found.dtype(tensor) for tensor in (*found.inputs, *found.outputs)}
    assert ends == {given}
    assert {found.dtype(operator.outputs[0]) for operator in every(found, CONVOLUTION)} == {inside}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_our_own_runtime_opens_every_scheme(save: Callable[..., Path], scheme: str) -> None:
    model = open_model(save(converted(scheme)), threads=1)

    assert (model.card.kind, model.labels.names) == ("detector", small_nets.CLASSES)
    model.interpreter.run()


# of 6 dB for a bit; a net of random weights has no redundancy, so the bounds are low
@pytest.mark.parametrize(
    ("scheme", "least"),
    [
        ("float32", 110),
        ("float16", 45),
        ("dynamic", 18),
        ("int8", 15),
        ("int16x8", 20),
        ("int4", 5),
        ("dynamic-int4", 5),
    ],
)
def test_the_answers_are_near_those_of_the_float_model(scheme: str, least: float) -> None:
    assert min(noise(converted(scheme)).values()) > least


def test_more_bits_give_answers_that_are_nearer() -> None:
    found = [min(noise(converted(scheme)).values()) for scheme in ("int4", "int8", "int16x8", "float16")]

    assert found == sorted(found)


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "int4"])
def test_an_integer_scheme_has_no_float_island(scheme: str) -> None:
    assert quantize.islands(converted(scheme), "m") == []


def test_every_operator_of_a_float_island_is_found() -> None:
    file = File()
    tensors = [file.tensor(f"t{i}", (1, 2), "int8", 0.5) for i in range(2)]
    real = [file.tensor(f"f{i}", (1, 2)) for i in range(2)]
    end = file.tensor("end", (1, 2), "int8", 0.5)
    file.operator(ADD, [tensors[0], tensors[0]], [tensors[1]])
    file.operator(DEQUANTIZE, [tensors[1]], [real[0]])
    file.operator(ADD, [real[0], real[0]], [real[1]])
    file.operator(QUANTIZE, [real[1]], [end])
    file.subgraph([tensors[0]], [end])

    assert quantize.islands(file.data(), "m") == ["DEQUANTIZE", "ADD", "QUANTIZE"]


def test_halves_take_half_the_bytes() -> None:
    def size(scheme: str) -> int:
        model = schema.ModelT.InitFromPackedBuf(bytearray(converted(scheme)), 0)
        found = graph(converted(scheme))
        held = (weights(found, op) for name in BUILTIN.values() for op in every(found, name))
        tensors = model.subgraphs[0].tensors
        return sum(len(model.buffers[tensors[tensor].buffer].data) for tensor in held)

    assert size("float16") * 2 == size("float32")


@pytest.mark.parametrize(("per_channel", "count"), [(True, 32), (False, 1)])
def test_channels_share_a_scale_or_each_has_its_own(per_channel: bool, count: int) -> None:
    found = graph(converted("int8", per_channel=per_channel))

    layer = next(op for op in every(found, CONVOLUTION) if "Conv_1" in found.name(op.outputs[0]))
    assert len(scales(found, weights(found, layer))) == count


def test_a_calibrated_scheme_wants_pictures() -> None:
    with pytest.raises(ConfigError) as caught:
        quantize.quantize(small_nets.parent().data, SCHEMES["int8"])

    assert str(caught.value) == "--scheme int8: expected --calibrate DATA, got none"


def test_a_pattern_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        converted("int8", wider=(Widened("(", 32),))

    assert str(caught.value) == (
        "--wider: '(' is no regular expression: missing ), unterminated subpattern at position 0"
    )


def test_a_pattern_that_fits_no_layer_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        converted("int8", wider=(Widened("hands", 32),))

    assert str(caught.value) == "--wider: no layer is called 'hands'; --layers names those that there are"


def test_the_library_is_not_heard(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level("INFO"):
        converted("int8")

    assert (caplog.text, capfd.readouterr().err) == ("", "")


def test_a_range_that_is_missing_is_told_in_one_line() -> None:
    with pytest.raises(ModelError) as caught:
        quantize.quantize(small_nets.parent().data, SCHEMES["int8"], {"nothing": (0, 1)})

    assert str(caught.value).startswith("cannot be quantized to int8: ")
    assert "\n" not in str(caught.value)


def test_16_bits_for_some_layers_want_calibration() -> None:
    with pytest.raises(ConfigError) as caught:
        converted("dynamic", wider=(Widened("boxes_0", 16),))

    assert str(caught.value) == "--wider LAYERS=16: expected a scheme that is calibrated, got dynamic"


def test_a_pattern_may_tell_where_a_name_ends() -> None:
    real = graph(small_nets.parent().data)
    end = re.escape(real.name(next(every(real, CONVOLUTION)).outputs[0])[-40:]) + "$"

    wide = graph(converted("int8", wider=(Widened(end, 32),)))

    assert "float32" in {wide.dtype(operator.outputs[0]) for operator in every(wide, CONVOLUTION)}


@pytest.mark.parametrize(("word", "kind"), [("heads", "float32"), ("heads=16", "int16")])
def test_wider_layers_are_wider_and_the_others_are_not(word: str, kind: str) -> None:
    found = graph(converted("int8", wider=convert.widened([word])))

    layers = convert.layers_of(found)
    made = {layers.get(found.name(op.outputs[0]), ""): found.dtype(op.outputs[0])
            for op in every(found, CONVOLUTION)}  # fmt: skip
    wide = {name for name, dtype in made.items() if dtype == kind}
    assert wide == {f"{name}_{i}" for name in ("boxes", "scores") for i in range(5)}
    assert {dtype for name, dtype in made.items() if name not in wide} == {"int8"}


def test_parts_of_a_concatenation_are_copied_not_rounded_again() -> None:
    found = graph(converted("int8"))

    for operator in every(found, CONCATENATION):
        assert {tuple(scales(found, tensor)) for tensor in operator.inputs} == {
            tuple(scales(found, operator.outputs[0]))
        }
    assert QUANTIZE not in [operator.name for operator in found.operators]


def net_of(*rows: Any) -> bytes:
    """A float file of layers."""
    image = keras.Input((8, 8, 3), batch_size=1, name="image")
    y = image
    for row in rows:
        y = row(y)
    return export.to_tflite(keras.Model(image, y))


def filled(layer: Any, kernel: Any, bias: Any) -> Any:
    """A layer for pictures 8 x 8 x 3 with these weights."""
    layer.build((1, 8, 8, 3))
    layer.set_weights([np.asarray(kernel, np.float32).reshape(layer.kernel.shape), np.asarray(bias)])
    return layer


def answers(data: bytes, scheme: str) -> tuple[Any, Any]:
    """What a float file and its quantized one say of the same picture."""
    batch = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    ranges = calibration.ranges(calibration.watch(data, batch), "min-max")
    probes = Probe(data), Probe(quantize.quantize(data, SCHEMES[scheme], ranges))
    for probe in probes:
        probe.run(batch[0])
    real, coarse = (probe.value(probe.outputs[0]) for probe in probes)
    return real, coarse


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense"])
def test_a_channel_without_weights_keeps_its_bias(kind: str, scheme: str) -> None:
    made = getattr(keras.layers, kind)
    layer = made(3) if kind == "Dense" else made(1) if kind == "DepthwiseConv2D" else made(3, 1)
    kernel = [1, 0, 1] if kind == "DepthwiseConv2D" else np.diag([1, 0, 1])

    real, coarse = answers(net_of(filled(layer, kernel, [0, 0.15, 0])), scheme)

    np.testing.assert_allclose(coarse, real, atol=0.02)


def test_a_weight_that_no_half_holds_is_told() -> None:
    data = net_of(filled(keras.layers.Conv2D(3, 1), np.eye(3) * 1e5, [0, 0, 0]))

    with pytest.raises(ModelError) as caught:
        quantize.quantize(data, SCHEMES["float16"])

    assert str(caught.value) == "cannot be quantized to float16: a weight is above 65504, the largest half"


def test_a_channel_with_small_weights_keeps_its_bias_in_16_bits() -> None:
    layer = filled(keras.layers.Conv2D(3, 1), np.diag([1, 0.002, 1]), [0, 2, 0])

    real, coarse = answers(net_of(layer), "int16x8")

    np.testing.assert_allclose(coarse, real, atol=0.02)


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "int4"])
def test_a_bias_behind_activations_that_are_always_zero_is_kept(scheme: str) -> None:
    dead = filled(keras.layers.Conv2D(3, 1), np.eye(3), [-9, -9, -9])
    after = filled(keras.layers.Conv2D(3, 1), np.eye(3), [0.5, 1, 2])

    real, coarse = answers(net_of(dead, keras.layers.ReLU(), after), scheme)

    np.testing.assert_allclose(coarse, real, atol=0.02)


@pytest.mark.parametrize(("scheme", "kind"), [("float16", "float16"), ("dynamic", "int8"), ("int8", "int8")])
def test_a_file_of_an_older_tensorflow_is_quantized_as_well(scheme: str, kind: str) -> None:
    model = flat.opened(small_nets.parent().data)
    for code in model.operatorCodes:
        code.builtinCode = 0  # stood in the other field alone

    data = quantize.quantize(flat.written(model), SCHEMES[scheme], small_nets.ranges())

    assert types(data, "convolution") == {kind}
    Probe(data).run(small_nets.pictures(1)[0])


def test_a_net_without_dead_channels_is_left_as_it_is() -> None:
    data = small_nets.parent().data

    assert quantize.with_room_for_biases(data, small_nets.ranges(), 2**8) is data
    assert quantize.with_plain_codes(data) is data


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "float32"])
def test_all_constants_stand_inside_the_file(scheme: str) -> None:
    model = schema.ModelT.InitFromPackedBuf(bytearray(converted(scheme)), 0)

    assert {(buffer.offset, buffer.size) for buffer in model.buffers} == {(0, 0)}


def test_a_file_whose_constants_are_inside_is_left_as_it_is() -> None:
    data = converted("int8")

    assert quantize.inlined(data) is data


def test_a_fault_is_no_word_on_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_quantizer import quantizer

    def fall(*words: object, **options: object) -> None:
        raise RecursionError

    monkeypatch.setattr(quantizer.Quantizer, "quantize", fall)

    with pytest.raises(RecursionError):
        quantize.quantize(small_nets.parent().data, SCHEMES["float16"], None)
