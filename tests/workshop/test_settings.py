from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_detect.errors import ConfigError
from edge_detect.workshop.settings import Settings, option, size_of


def test_usual_settings_are_accepted() -> None:
    assert Settings("a.json").size == "256"


@pytest.mark.parametrize("text, size", [("64", (64, 64)), ("320x256", (320, 256)), ("96X32", (96, 32))])
def test_a_size_is_one_side_or_two(text: str, size: tuple[int, int]) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "a", "64x", "64x64x64", "-64", "6.4", "123456"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        size_of(text)

    assert str(caught.value) == f"--size: expected SIDE or WIDTHxHEIGHT in pixels, got '{text}'"


@pytest.mark.parametrize("text, got", [("100", "100x100"), ("64x16", "64x16"), ("0", "0x0")])
def test_a_size_that_32_does_not_divide_is_told(text: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings("a.json", size=text)

    assert str(caught.value) == f"--size: expected multiples of 32, got {got}"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"alpha": 0.3}, "--alpha: expected 0.35 to 1, got 0.3"),
        ({"epochs": 0}, "--epochs: expected 1 to 100000, got 0"),
        ({"rate": float("nan")}, "--rate: expected 1e-08 to 10, got nan"),
        ({"teacher_weight": 2}, "--teacher-weight: expected 0 to 1, got 2"),
        ({"class_loss": "l2"}, "--class-loss: expected one of focal, quality, hard-negatives, got 'l2'"),
        ({"box_loss": "iou"}, "--box-loss: expected one of smooth-l1, giou, got 'iou'"),
        (
            {"precision": "half"},
            "--precision: expected one of float32, mixed_bfloat16, mixed_float16, got 'half'",
        ),
        (
            {"remember": 1},
            "--remember: expected --frozen BLOCK: only a frozen front always says the same",
        ),
        (
            {"prune_channels": 0.5, "weights": "backbone.weights.h5"},
            "--prune-channels: expected --weights RUN: a trained net is pruned",
        ),
        (
            {"quantize": "int8"},
            "--quantize: expected --weights RUN and no --frozen: a trained net is refined",
        ),
        (
            {"quantize": "int8", "prune": 0.5},
            "--quantize: cannot be combined with pruning; prune first, then quantize that run",
        ),
        (
            {"quantize": "int8", "weights": "run", "precision": "mixed_bfloat16"},
            "--quantize: expected --precision float32: its grid is finer than halves",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings("a.json", **wrong)

    assert str(caught.value) == message


def test_an_unknown_kind_of_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings("a.json", quantize="int2", weights=str(tmp_path))

    words = "int8, int4, ternary, binary"
    assert str(caught.value) == f"--quantize: expected one of {words}, got 'int2'"


def test_a_run_can_be_quantized_or_pruned(tmp_path: Path) -> None:
    assert Settings("a.json", quantize="int8", weights=str(tmp_path)).prune == 0
    assert Settings("a.json", prune_channels=0.5, weights=str(tmp_path)).quantize == ""


def test_a_field_is_an_option() -> None:
    assert option("frozen_norms") == "--frozen-norms"
