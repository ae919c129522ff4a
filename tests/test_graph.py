from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_files import TYPES, File, Output, build, build_postprocess, pack

from edge_detect.errors import ModelError
from edge_detect.graph import ATTACHMENT_LIMIT, Graph

BOXES = np.arange(8).reshape(1, 2, 4) / 8
COMPRESSIONS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
RARE = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
DAMAGED = "m.tflite: a damaged or truncated TFLite file; copy or download it again"


def graph(*outputs: Output, **more: Any) -> Graph:
    return Graph(build(outputs or [Output(BOXES, "boxes")], **more), "m.tflite")


def archive(compression: int, files: dict[str, bytes]) -> bytes:
    data = io.BytesIO(build([Output(BOXES)]))
    with zipfile.ZipFile(data, "a", compression) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return data.getvalue()


def flipped(data: bytes, start: int = 0) -> Iterator[bytes]:
    """The bytes with one of them changed: each in turn, in three ways."""
    for place in range(start, len(data)):
        for mask in (0x01, 0x80, 0xFF):
            yield data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def test_a_graph_knows_its_ends() -> None:
    found = graph(Output(BOXES, "boxes"), Output([[0.5, 0.25]], "scores", "uint8", 1 / 256))

    assert [found.shape(i) for i in found.inputs] == [(1, 64, 64, 3)]
    assert [found.shape(i) for i in found.outputs] == [(1, 2, 4), (1, 2)]


def test_a_graph_knows_names_and_types() -> None:
    found = graph(Output(BOXES, "boxes"), Output([[0.5, 0.25]], "scores", "uint8", 1 / 256))

    assert [(found.name(i), found.dtype(i)) for i in found.outputs] == [
        ("boxes", "float32"),
        ("scores", "uint8"),
    ]


def test_a_type_that_has_no_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, "bfloat16", 18)
    file = File()
    tensor = file.tensor("t", (1,), "bfloat16")
    file.subgraph([], [tensor])

    assert Graph(file.data(), "m.tflite").dtype(tensor) == "type 18"


def test_a_graph_knows_which_operator_makes_a_tensor() -> None:
    found = graph(Output(BOXES, "boxes"), Output([[0.5, 0.25]], "scores", "uint8", 1 / 256))

    assert [found.maker(i).name for i in found.outputs if found.maker(i)] == ["builtin 22", "builtin 114"]
    assert found.maker(found.inputs[0]) is None


def test_a_custom_operator_goes_by_its_name_and_keeps_its_options() -> None:
    found = Graph(build_postprocess(np.ones((3, 4), "f4"), np.ones((3, 2), "f4")), "m.tflite").operators[-1]

    assert (found.name, len(found.inputs), len(found.outputs)) == ("TFLite_Detection_PostProcess", 3, 4)
    assert b"nms_iou_threshold" in found.options


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "expected"),
    [
        ("float32", 0.0, 0, [0, 3, 100]),
        ("uint8", 0.0, 0, [0, 3, 100]),
        ("uint8", 0.5, 3, [-1.5, 0, 48.5]),
        ("int8", 2.0, -4, [8, 14, 208]),
        ("int16", 0.25, 0, [0, 0.75, 25]),
    ],
)
def test_a_constant_is_read_in_real_numbers(
    dtype: str, scale: float, zero_point: int, expected: list[float]
) -> None:
    found = graph(Output([[0, 3, 100]], "constant", dtype, scale, zero_point, constant=True))

    values = found.constant(found.outputs[0])

    assert values is not None
    assert (values.tolist(), values.dtype) == ([expected], np.float32)


def test_a_tensor_that_is_computed_is_no_constant() -> None:
    found = graph()

    assert found.constant(found.outputs[0]) is None


def test_a_constant_of_words_is_not_read() -> None:
    file = File()
    tensor = file.tensor("truth", (2,), "bool", values=[1, 0])
    file.subgraph([], [tensor])

    assert Graph(file.data(), "m.tflite").constant(tensor) is None


def test_a_constant_of_another_size_than_its_shape_is_not_read() -> None:
    file = File()
    tensor = file.tensor("anchors", (3, 4), values=np.zeros((2, 4)))
    file.subgraph([], [tensor])

    assert Graph(file.data(), "m.tflite").constant(tensor) is None


@pytest.mark.parametrize("variable", [False, True])
def test_variable_tensors_are_counted(variable: bool) -> None:
    assert graph(variable=variable).states == variable


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        pytest.param(([127.5], [127.5]), ((127.5,), (127.5,)), id="one"),
        pytest.param(([1, 2, 3], [4, 5, 6]), ((1, 2, 3), (4, 5, 6)), id="three"),
        pytest.param(([1], [0]), None, id="division by zero"),
        pytest.param(([1, 2], [1]), None, id="unequal"),
        pytest.param(None, None, id="none"),
    ],
)
def test_normalization_is_read_from_the_metadata(normalization: object, expected: object) -> None:
    assert graph(normalization=normalization).normalization() == expected


def saying(words: dict[int, Any] | bytes) -> Graph:
    """A graph with this in MediaPipe's metadata."""
    options = words if isinstance(words, bytes) else pack(words, b"V001")
    file = File()
    file.subgraph([], [file.tensor("t", (1,))])
    custom = {9: [{0: "DETECTOR_METADATA", 1: options}]}
    file.metadata("TFLITE_METADATA", pack({3: [custom]}, b"M001"))
    return Graph(file.data(), "m.tflite")


def test_anchors_are_read_from_the_metadata_in_the_order_of_the_house() -> None:
    rows = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], np.float32)

    found = graph(anchors=rows).anchors()

    assert found is not None
    assert found.tolist() == rows.tolist()


def test_what_is_not_written_of_an_anchor_is_zero() -> None:
    x, y, width, height = map(np.float32, (0.5, 0.25, 0.125, 0.0625))
    rows = [{0: x, 1: y, 2: width, 3: height}, {1: y}, {}, {0: x, 3: height}]

    found = saying({1: {0: {0: rows}}}).anchors()

    assert found is not None
    assert found.tolist() == [[y, x, height, width], [y, 0, 0, 0], [0, 0, 0, 0], [0, x, height, 0]]


def test_damaged_anchors_are_none_or_as_many_as_there_is_room_for() -> None:
    row = dict.fromkeys(range(4), np.float32(0.5))
    options = pack({1: {0: {0: [row, row, row]}}}, b"V001")

    found = [saying(damaged).anchors() for damaged in flipped(options)]

    assert any(anchors is None for anchors in found)
    assert all(anchors is None or len(anchors) * 4 < len(options) for anchors in found)


DECODING = {6: np.float32(10), 8: np.float32(5), 11: np.bool_(True)}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, ((0.1, 0.2), True), id="logits"),
        pytest.param({11: np.bool_(False)}, ((0.1, 0.2), False), id="scores"),
        pytest.param({6: np.float32(1), 8: np.float32(1)}, ((1, 1), True), id="plain offsets"),
        pytest.param({6: np.float32(0)}, None, id="division by zero"),
        pytest.param({8: np.float32(-5)}, None, id="negative"),
        pytest.param({6: np.float32("nan")}, None, id="no number"),
        pytest.param({8: np.float32("inf")}, None, id="infinite"),
    ],
)
def test_how_boxes_are_decoded_is_read_from_the_metadata(more: dict[int, Any], expected: object) -> None:
    assert saying({2: DECODING | more}).decoding() == expected


def test_a_damaged_word_on_decoding_tells_nothing_or_something_sane() -> None:
    options = pack({2: DECODING}, b"V001")

    found = [saying(damaged).decoding() for damaged in flipped(options)]

    assert None in found
    assert all(told is None or min(told[0]) > 0 for told in found)


@pytest.mark.parametrize("length", range(0, 40, 4))
def test_a_word_on_decoding_that_is_cut_off_tells_nothing(length: int) -> None:
    assert saying(pack({2: DECODING}, b"V001")[:length]).decoding() is None


def test_a_graph_without_that_word_says_nothing_of_decoding() -> None:
    assert graph(anchors=np.ones((2, 4), np.float32)).decoding() is None


@pytest.mark.parametrize("data", [b"", b"\0" * 32, pack({}, b"X001"), pack({}, b"M001"), b"\xff" * 64])
def test_metadata_of_another_kind_tells_nothing(data: bytes) -> None:
    file = File()
    file.subgraph([], [file.tensor("t", (1,))])
    file.metadata("TFLITE_METADATA", data)

    found = Graph(file.data(), "m.tflite")

    assert (found.normalization(), found.anchors(), found.decoding()) == (None, None, None)


def test_metadata_in_a_buffer_that_is_not_there_tells_nothing() -> None:
    file = File()
    file.subgraph([], [file.tensor("t", (1,))])
    file._metadata.append(("TFLITE_METADATA", 99))

    found = Graph(file.data(), "m.tflite")

    assert (found.normalization(), found.anchors(), found.decoding()) == (None, None, None)


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_attachments_are_read_whatever_their_compression(compression: int) -> None:
    files = {"labels.txt": b"cat\ndog\n", "more/a.json": b"{}", "empty/": b""}

    found = Graph(archive(compression, files), "m.tflite").attachments()

    assert found == {"labels.txt": b"cat\ndog\n", "more/a.json": b"{}"}


@pytest.mark.parametrize("compression", RARE.values(), ids=RARE)
def test_an_attachment_that_no_model_tool_packs_is_left_alone(compression: int) -> None:
    assert Graph(archive(compression, {"labels.txt": b"cat"}), "m.tflite").attachments() == {}


def test_an_attachment_beyond_all_bounds_is_left_packed() -> None:
    files = {"bomb.txt": bytes(ATTACHMENT_LIMIT + 1), "labels.txt": b"cat"}

    assert Graph(archive(zipfile.ZIP_DEFLATED, files), "m.tflite").attachments() == {"labels.txt": b"cat"}


def test_a_file_without_an_archive_has_no_attachments() -> None:
    assert graph().attachments() == {}


@pytest.mark.parametrize("compression", (COMPRESSIONS | RARE).values(), ids=COMPRESSIONS | RARE)
def test_a_damaged_archive_never_raises(compression: int) -> None:
    plain = len(build([Output(BOXES)]))
    data = archive(compression, {"labels.txt": b"cat\ndog\nbird\n" * 3})

    results = [Graph(damaged, "m.tflite").attachments() for damaged in flipped(data, plain)]

    assert all(isinstance(found, dict) for found in results)
    assert {} in results


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty; copy or download it again"),
        (b"TFL", "the file does not begin like a TFLite file, not a TFLite model; expected a .tflite file"),
        (
            b"PK\x03\x04" + b"x" * 9,
            "this is a zip archive (a Keras file, an Android app or a download to unpack),"
            " not a TFLite model; expected a .tflite file",
        ),
        (b"\x89HDF\r\n", "this is an HDF5 file (Keras weights), not a TFLite model; expected a .tflite file"),
        (
            b"\x1f\x8b\x08",
            "this is a gzip archive; unpack it first, not a TFLite model; expected a .tflite file",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "this is a Git LFS pointer, the model itself was not fetched,"
            " not a TFLite model; expected a .tflite file",
        ),
        (
            b"<!DOCTYPE html>",
            "this is a web page (the download gave an error page),"
            " not a TFLite model; expected a .tflite file",
        ),
        (
            b"\x08\x08\x12\x07pytorch",
            "this looks like an ONNX file, not a TFLite model; expected a .tflite file",
        ),
        (b"\xff\xd8\xff\xe0", "this is a JPEG picture, not a TFLite model; expected a .tflite file"),
        (b"\x89PNG\r\n", "this is a PNG picture, not a TFLite model; expected a .tflite file"),
    ],
    ids=lambda value: repr(value[:9]) if isinstance(value, bytes) else "",
)
def test_what_is_no_model_is_called_by_its_name(data: bytes, problem: str) -> None:
    with pytest.raises(ModelError) as caught:
        Graph(data, "m.tflite")

    assert str(caught.value) == f"m.tflite: {problem}"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x10\0\0\0TFL3", id="header alone"),
        pytest.param(b"\xff\xff\xff\xffTFL3" + bytes(99), id="root outside"),
        pytest.param(b"\x08\0\0\0TFL3" + b"\xff" * 99, id="ones"),
        pytest.param(b"\x08\0\0\0TFL3" + b"\0" * 99, id="zeros"),
        pytest.param(pack({0: np.uint32(3)}, b"TFL3"), id="no graph"),
    ],
)
def test_a_damaged_file_is_told(data: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        Graph(data, "m.tflite")

    assert str(caught.value) == DAMAGED


def test_a_file_cut_off_anywhere_is_told_or_read() -> None:
    data = build_postprocess(np.ones((3, 4), "f4"), np.ones((3, 2), "f4"))
    told = 0

    for length in range(len(data)):
        try:
            Graph(data[:length], "m.tflite")
        except ModelError:
            told += 1

    assert told > len(data) * 0.9  # a flatbuffer is written from its end: almost all of it is needed


def test_a_file_with_any_byte_changed_is_told_or_read() -> None:
    data = build([Output(BOXES)], normalization=([1], [2]), anchors=np.ones((2, 4), np.float32))
    told = 0

    for damaged in flipped(data):
        try:
            found = Graph(damaged, "m.tflite")
        except ModelError:
            told += 1
        else:
            found.normalization()
            found.anchors()
            found.decoding()

    assert 0 < told < len(data)


def test_a_real_model_cut_off_is_told(shared: Path) -> None:
    data = (shared / "models/coco_ssd_mobilenet_v1_quant.tflite").read_bytes()

    for length in (8, 20, 100, 1000, 4096, len(data) // 2, len(data) - 200_000):
        with pytest.raises(ModelError, match=r"^m\.tflite: a damaged or truncated TFLite file"):
            Graph(data[:length], "m.tflite")


@pytest.mark.parametrize(
    ("name", "normalization", "attachments"),
    [
        ("ssd_mobilenet_v1_metadata", ((127.5,), (127.5,)), {"labelmap.txt"}),
        ("mobilenet_v2_1.0_224_quant", ((127.5,), (127.5,)), {"imagenet_labels.txt"}),
        ("coco_ssd_mobilenet_v1_quant", None, set()),
    ],
)
def test_a_real_file_tells_what_it_carries(
    shared: Path, name: str, normalization: object, attachments: set[str]
) -> None:
    found = Graph((shared / f"models/{name}.tflite").read_bytes(), name)

    assert (found.normalization(), set(found.attachments())) == (normalization, attachments)
