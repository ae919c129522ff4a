"""Fixtures: a model, some videos, and the work on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import films
import program
import pytest

from edge_detect import __version__
from edge_detect.archive.footage import Recording, find
from edge_detect.archive.work import Work
from edge_detect.model import read_file


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """What is done with a shard, by the tiny model that sees a person and a car in every picture."""
    path = tmp_path / "model.tflite"
    path.write_bytes(program.detector())
    return Work(__version__, str(path), read_file(path).sha256, 0.1)


@pytest.fixture
def footage(tmp_path: Path) -> Callable[..., list[Recording]]:
    """Makes videos of 60 frames, 25 a second."""

    def make(*names: str) -> list[Recording]:
        for name in names:
            films.plain(tmp_path / name, 60)
        return find([str(tmp_path / name) for name in names])[0]

    return make
