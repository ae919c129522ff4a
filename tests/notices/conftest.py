"""Fixtures: events, and a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import Broker, program


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Mosquitto that is up, on a port of its own."""
    if not program():
        pytest.skip("needs Mosquitto: apt install mosquitto")
    with Broker(tmp_path) as started:
        yield started
