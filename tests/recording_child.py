"""A run that records without an end, to be killed at any point: recording_child.py FOLDER.

Every writer is as busy as it can be: clips of a second, commits all the time, files that have to go.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from kept_words import event
from scenes import scene

from edge_detect.config import Recorder as Settings
from edge_detect.event_store import EventStore
from edge_detect.shelf import Limits, Shelf
from edge_detect.sinks.recorder import Recorder


def main(folder: Path) -> None:
    """Records until it is killed."""
    store = EventStore(folder / "events.db", every=0.005)
    shelf = Shelf(folder, Limits(size=400_000), store.lose)
    settings = Settings(before=0.5, after=0.2, longest=1.0)
    recorder = Recorder(settings, shelf, store, live=False)
    noise = np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), np.uint8)
    # an event that is open whenever the end comes
    store.write(replace(scene(time=0.0), events=(event(f"open-{os.getpid()}", "start"),)))
    print("ready", flush=True)
    for number in count():
        id = f"{number // 15}"
        words = {0: ("start",), 5: ("update",), 9: ("end",), 12: ("start", "end")}.get(number % 15, ())
        name = id if number % 15 < 12 else f"{id}-short"
        events = tuple(event(name, word, score=0.1 + number % 15 / 20) for word in words)
        one = replace(scene(time=number / 10, number=number, image=noise[number % 8]), events=events)
        store.write(one)
        recorder.write(one)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
