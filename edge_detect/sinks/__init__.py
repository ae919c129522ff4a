"""Sinks: what is done with each scene, one outside thing a module."""

from __future__ import annotations

from typing import Protocol

from edge_detect.scene import Scene


class Sink(Protocol):
    """Where scenes go."""

    def write(self, scene: Scene) -> None:
        """Takes one scene.

        Raises:
            SinkError: It cannot be written; the run ends.
        """

    def close(self) -> None:
        """Finishes what was begun; safe to call twice."""
