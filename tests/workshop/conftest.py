"""Skips the workshop's tests, with the reason, where its libraries are not installed; what they share."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = ("PIL", "google_crc32c", "keras", "matplotlib", "pycocotools", "yaml")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


class Unread(pytest.Module):
    """A file of tests that cannot be imported here."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Says why none of its tests run."""
        pytest.skip(f"no workshop here: {', '.join(MISSING)} not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Leaves the files unread where a library of the workshop is missing."""
    return Unread.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture
def eager() -> Iterator[None]:
    """Steps run one by one: for a few of them that is faster than to trace a graph first."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
