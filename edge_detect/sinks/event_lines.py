"""Event lines: one JSON object an event, in a file that every run goes on with."""

from __future__ import annotations

import os

from edge_detect.errors import SinkError
from edge_detect.events import Event, to_json
from edge_detect.scene import Scene
from edge_detect.sinks.json_lines import Lines


class EventLines(Lines):
    """Writes a line for each word about an event."""

    def __init__(self, path: str) -> None:
        """Opens the output; what is there stays.

        Args:
            path: A file, or `-` for standard output.

        Raises:
            SinkError: It cannot be opened.
        """
        if path != "-":
            _end_last_line(path)
        super().__init__(path, "a")

    def write(self, scene: Scene) -> None:
        self.tell(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self.put(to_json(event))


def _end_last_line(path: str) -> None:
    """What a power cut has cut off is not to spoil the next line."""
    try:
        with open(path, "r+b") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
                file.write(b"\n")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error
