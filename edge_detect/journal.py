"""Journal: which events are open, and who has crossed which line; what a crash or a power cut leaves.

A line is added as things happen, which a killed process has told the system before it told anybody
else; now and then, and at the end, the whole is written anew.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge_detect import durable
from edge_detect.errors import SinkError
from edge_detect.events import Event, to_json
from edge_detect.rules import Counts

log = logging.getLogger(__name__)

LARGEST = 64 * 1024  # bytes after which it is written anew
_FIELDS = {one.name for one in fields(Event)}


class Journal:
    """One file; what cannot be written is told once, and the work goes on.

    Attributes:
        path: Of the file.
        open: Events that have begun and not ended, by id, each with its last word.
        counts: Of the lines.
    """

    def __init__(self, path: Path) -> None:
        """Reads what an earlier run has left."""
        self.path = path
        self.open: dict[str, Event] = {}
        self.counts: Counts = {}
        self._file = -1
        self._size = 0
        self._failed = False
        self._read()

    def note(self, events: Sequence[Event], counts: Mapping[tuple[str, str, str], int]) -> None:
        """Keeps what has happened; to be called before anybody is told."""
        lines: list[dict[str, Any]] = [{"event": to_json(event)} for event in events]
        for event in events:
            self._take(event)
        if counts != self.counts:
            self.counts = dict(counts)
            lines.append({"counts": [[*key, number] for key, number in counts.items()]})
        if lines:
            self._add("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())

    def close(self) -> None:
        """Writes the whole; safe to call twice."""
        if self._file < 0:
            return
        try:
            self._begin()
        except SinkError as error:
            log.warning("%s", error)
        os.close(self._file)
        self._file = -1

    def _take(self, event: Event) -> None:
        if event.type == "end":
            self.open.pop(event.id, None)
        else:
            self.open[event.id] = event

    def _add(self, data: bytes) -> None:
        try:
            if self._file < 0 or self._failed or self._size > LARGEST:
                self._begin()  # with the new in it, and with what could not be written before
            elif os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                self._size += len(data)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("open events are not kept for a crash: %s", error)
            self._failed = True

    def _begin(self) -> None:
        """Writes the file anew: what is open, and the counts."""
        whole: list[dict[str, Any]] = [{"counts": [[*key, number] for key, number in self.counts.items()]}]
        whole += [{"event": to_json(event)} for event in self.open.values()]
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in whole).encode()
        durable.make_folder(self.path.parent)
        durable.write(self.path, data)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = len(data)

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("%s: cannot read: %s; counts begin anew", self.path, error.strerror)
            return
        broken = 0
        for line in filter(None, lines):
            try:
                self._remember(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                broken += 1  # the last one, cut off, or a card that forgets
        if broken:
            log.warning("%s: %d damaged lines left out", self.path, broken)

    def _remember(self, line: dict[str, Any]) -> None:
        if "counts" in line:
            self.counts = {(str(a), str(b), str(c)): int(number) for a, b, c, number in line["counts"]}
            return
        values = {name: value for name, value in line["event"].items() if name in _FIELDS}
        values |= {name: tuple(values[name]) for name in ("box", "zones")}
        self._take(Event(**values))
