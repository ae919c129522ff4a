from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import card
from edge_detect.card import Card, Input
from edge_detect.labels import Labels
from edge_detect.pixel_values import IMAGENET
from edge_detect.tensors import Tensor

PICTURE = Tensor(0, "picture", (1, 48, 64, 3), "int8", 0.018658, -14)
FULL = Card(
    "detector",
    "because",
    layout="YOLOv8",
    family="yolov8",
    settings={"units": (1.0, 1.0), "turned": False, "why": "because"},
    input=Input(PICTURE, "BGR", IMAGENET, 114),
    outputs=(Tensor(7, "boxes", (1, 6, 63), "uint8", 0.1, 3), Tensor(8, "count", (), "float32")),
    labels=("cat", ""),
    label_form="one name a line",
    runtime="ai-edge-litert 2.3.0",
)


@pytest.mark.parametrize(
    "given_card", [FULL, Card("classifier", "looks like one")], ids=["detector", "classifier"]
)
def test_a_card_comes_back_from_json(given_card: Card) -> None:
    text = card.to_json(given_card)

    assert card.from_json(text) == given_card
    assert "\n" not in text


def test_the_size_of_an_input_is_width_then_height() -> None:
    assert Input(PICTURE).size == (64, 48)


def test_embedded_names_come_with_their_form() -> None:
    assert FULL.embedded == Labels(("cat", ""), "one name a line")
    assert Card("classifier", "").embedded.form == "no list"


values = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
values |= st.lists(values, max_size=2) | st.dictionaries(
    st.sampled_from(["shape", "tensor"]), values, max_size=2
)


@given(st.sampled_from([*json.loads(card.to_json(FULL)), "more"]), values)
def test_a_card_with_another_field_is_a_card_or_none(name: str, value: Any) -> None:
    data = json.loads(card.to_json(FULL)) | {name: value}

    with contextlib.suppress(ValueError, KeyError, TypeError):
        assert isinstance(card.from_json(json.dumps(data)), Card)


@given(values)
def test_other_json_is_no_card(data: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        card.from_json(json.dumps(data))
