"""Program: `edge-detect` as a user types it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import layouts
import numpy as np
from tflite_files import Output, build

LIMIT = 60.0  # seconds that a command may take on a busy machine
SIZE = (200, 100)
"""Width and height of the pictures in which `detector` finds `layouts.TRUTH`."""


@cache  # the zip inside carries the time: always the same bytes are examined but once
def detector(labels: bytes = b"person\ncar\n", boxes: Any = None) -> bytes:
    """A model that sees a person and a car in every picture, where `layouts.TRUTH` has them."""
    found = layouts.postprocess(layouts.of_classes(0, 1), (64, 32))
    if boxes is not None:
        found["boxes"][0, : len(boxes)] = boxes
    names = ("", ":1", ":2", ":3")
    outputs = [
        Output(values, f"TFLite_Detection_PostProcess{name}")
        for values, name in zip(found.values(), names, strict=True)
    ]
    attachments = {"labels.txt": labels} if labels else {}
    return build(
        outputs, size=(64, 32), dtype="uint8", scale=1 / 128, zero_point=128, attachments=attachments
    )


def picture(seed: int = 0) -> layouts.Array:
    """Noise of `SIZE`."""
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def environment(**more: str) -> dict[str, str]:
    """That of the tests, with Python buffering its output as it does for users."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return kept | more


def before_all(folder: Path) -> dict[str, str]:
    """The environment in which the modules of a folder hide those that are installed."""
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def run(*words: object, env: dict[str, str] | None = None, **how: Any) -> subprocess.CompletedProcess[str]:
    """The end of `edge-detect WORDS`; both outputs are captured unless told otherwise."""
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.run(
        command(*words), env=environment(**(env or {})), text=True, timeout=LIMIT, check=False, **how
    )


@contextmanager
def started(*words: object, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """`edge-detect WORDS` at work; killed if it does not end by itself."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(*words), env=environment(), text=True, **(pipes | how)) as child:
        try:
            yield child
        finally:
            child.kill()


def end_of(child: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process that is about to end still tells on its two outputs."""
    assert child.stdout
    assert child.stderr
    told, log = child.stdout.read(), child.stderr.read()
    child.wait(LIMIT)
    return told, log


def command(*words: object) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "edge_detect", *map(str, words)]


def codes(*ends: subprocess.CompletedProcess[str]) -> list[int]:
    """The exit codes of several runs."""
    return [end.returncode for end in ends]
