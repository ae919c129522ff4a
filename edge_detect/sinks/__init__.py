"""Sinks: what is done with each scene, one outside thing a module."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge_detect.errors import ConfigError
from edge_detect.scene import Scene

TYPES = {
    "json": "edge_detect.sinks.json_lines:JsonLines",
    "pictures": "edge_detect.sinks.pictures:Pictures",
    "snapshots": "edge_detect.sinks.pictures:Snapshots",
    "video": "edge_detect.sinks.video:Video",
    "window": "edge_detect.sinks.window:Window",
}
_SUFFIXES = {
    "json": (".jsonl", ".ndjson", ".json"),
    "video": (".mp4", ".m4v", ".mov", ".avi", ".mkv"),
    "pictures": (".jpg", ".jpeg", ".png", ".webp", ".bmp"),
}


class Sink(Protocol):
    """Where scenes go."""

    def write(self, scene: Scene) -> None:
        """Takes one scene.

        Raises:
            SinkError: It cannot be written; the run ends.
        """

    def close(self) -> None:
        """Finishes what was begun; safe to call twice."""


def kind_of(output: str) -> str:
    """The type of sink for what follows `--output`: `-`, a file by its ending, or a folder.

    Raises:
        ConfigError: The ending names nothing that we write.
    """
    if output == "-":
        return "json"
    if output.endswith("/") or Path(output).is_dir():
        return "pictures"
    suffix = Path(output).suffix.lower()
    for kind, endings in _SUFFIXES.items():
        if suffix in endings:
            return kind
    if not suffix:
        return "pictures"
    raise ConfigError(
        f"--output {output}: expected a video (.mp4), a picture (.jpg), JSON Lines (.jsonl or -), or a folder/"
    )
