from __future__ import annotations

import argparse
from pathlib import Path

import program
import pytest

from edge_detect import store
from edge_detect.commands import arguments
from edge_detect.errors import InputMissing


def test_without_a_model_the_shipped_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "detector.tflite"
    shipped.write_bytes(b"")
    monkeypatch.setattr(arguments, "SHIPPED", shipped)

    assert arguments.model_files(None, "") == (shipped, None)
    assert arguments.model_files("", "names.txt") == (shipped, Path("names.txt"))


def test_an_installed_model_comes_before_the_shipped_one(home: Path) -> None:
    with store.locked("work"):
        manifest = store.install("mine", program.detector(b""), b"cat\ndog\n", "here")

    assert arguments.model_files("", "") == (manifest.model, manifest.labels)
    assert arguments.model_files("", "names.txt") == (manifest.model, Path("names.txt"))
    assert arguments.model_files("m.tflite", "") == (Path("m.tflite"), None)


def test_no_model_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "SHIPPED", tmp_path / "detector.tflite")

    with pytest.raises(InputMissing) as caught:
        arguments.model_files("", None)
    assert str(caught.value) == (
        "no model: give a .tflite detector with --model FILE (and --labels FILE when it has no names inside),"
        " or install one: edge-detect models list"
    )


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "[::1]:8080", "pi.local", ":80"])
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    assert arguments.address(text) == text


@pytest.mark.parametrize("text", ["", "csi:0", "rpicam:1", "rtsp://camera/", "pattern:", "clips/a.mp4"])
def test_a_source_behind_web_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        arguments.address(text)
    assert str(caught.value) == f"expected HOST:PORT, such as 127.0.0.1:8080, got '{text}'"
