from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("flatbuffers")

from ai_edge_litert import schema_py_generated as schema
from tflite_files import Output, build

from edge_detect import labels
from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.model import open_model
from edge_detect.workshop import metadata
from edge_detect.workshop.metadata import Description

ANCHORS = np.random.default_rng(3).uniform(0.1, 0.9, (60, 4)).astype(np.float32)
ABOUT = Description("street", ("person", "car"), anchors=ANCHORS, origin={"scheme": "int8", "parent": None})
BARE = build([Output(np.zeros((1, 60, 4)), "a"), Output(np.full((1, 60, 2), -4.0), "b")])


def described(about: Description = ABOUT) -> Graph:
    return Graph(metadata.describe(BARE, about), "m.tflite")


@pytest.mark.parametrize(
    ("mean", "std"), [((127.5,), (127.5,)), ((0.0,), (1.0,)), ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))]
)
def test_normalization_comes_back(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    assert described(replace(ABOUT, mean=mean, std=std)).normalization() == (mean, std)


def test_anchors_come_back() -> None:
    found = described().anchors()

    assert found is not None
    np.testing.assert_allclose(found, ANCHORS, atol=1e-6)


@pytest.mark.parametrize("variances", [(0.1, 0.2), (1.0, 1.0), (0.15, 0.3)])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_how_to_decode_comes_back(variances: tuple[float, float], sigmoid: bool) -> None:
    found = described(replace(ABOUT, variances=variances, sigmoid=sigmoid))

    assert found.decoding() == (variances, sigmoid)


def test_origin_comes_back() -> None:
    assert metadata.origin(metadata.describe(BARE, ABOUT)) == ABOUT.origin


@pytest.mark.parametrize("data", [b"", b"no model", BARE], ids=["empty", "other", "nothing told"])
def test_a_file_that_says_nothing_has_no_origin(data: bytes) -> None:
    assert metadata.origin(data) == {}


def test_a_model_of_another_layout_has_neither_anchors_nor_decoding() -> None:
    found = described(replace(ABOUT, anchors=None))

    assert (found.anchors(), found.decoding()) == (None, None)


def test_a_second_description_replaces_the_first() -> None:
    other = Description("animals", ("cat", "dog"), (0.0,), (255.0,), ANCHORS[::-1], (1.0, 1.0), False)

    twice = metadata.describe(metadata.describe(BARE, ABOUT), other)

    found = Graph(twice, "m.tflite")
    assert (found.normalization(), found.decoding()) == (((0.0,), (255.0,)), ((1.0, 1.0), False))
    assert found.attachments() == {"labels.txt": b"cat\ndog\n", "origin.json": b"{}\n"}


def test_describing_twice_does_not_make_the_file_grow() -> None:
    once = metadata.describe(BARE, ABOUT)

    assert len(metadata.describe(once, ABOUT)) <= len(once) + 64


def test_the_same_model_is_the_same_file() -> None:
    assert metadata.describe(BARE, ABOUT) == metadata.describe(BARE, ABOUT)


def test_the_runtimes_own_schema_finds_the_metadata() -> None:
    model = schema.ModelT.InitFromPackedBuf(bytearray(metadata.describe(BARE, ABOUT)), 0)

    (entry,) = model.metadata
    held = bytes(model.buffers[entry.buffer].data)
    assert (entry.name, held[4:8]) == (b"TFLITE_METADATA", b"M001")
    assert model.description == b"street"


def test_the_end_of_the_file_is_a_zip_archive() -> None:
    with zipfile.ZipFile(io.BytesIO(metadata.describe(BARE, ABOUT))) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"person\ncar\n"
        assert json.loads(archive.read("origin.json")) == ABOUT.origin


def test_a_described_detector_is_opened_and_read_as_it_says(save: Callable[..., Path]) -> None:
    model = open_model(save(metadata.describe(BARE, ABOUT)), threads=1)

    assert model.card.layout == "raw SSD heads, 60 anchors (metadata)"
    assert model.labels.names == ABOUT.labels
    assert (model.card.settings["variances"], model.card.settings["activation"]) == ((0.1, 0.2), "sigmoid")


def test_a_model_without_labels_carries_none() -> None:
    assert described(replace(ABOUT, labels=())).attachments().keys() == {"origin.json"}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "<script>", "{0}", "%s", "Straße", "a b", "'; rm -rf /", '"', "\\n"]
)
def test_a_hostile_label_stays_text(name: str) -> None:
    found = described(replace(ABOUT, labels=("person", name)))

    assert labels.parse(found.attachments()["labels.txt"].decode(), "labels.txt").names == ("person", name)
    assert set(found.attachments()) == {"labels.txt", "origin.json"}


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        metadata.describe(b"x" * 20, ABOUT)

    assert str(caught.value).startswith("street: the file does not begin like a TFLite file")
