"""Probe: runs an unknown model once, in a process of its own, and prints its card.

A broken file can crash the runtime, and a crash cannot be caught. So a file that was never seen
before is run here first: `python -m edge_detect.probe FILE`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_detect import card, reading
from edge_detect.card import Card
from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.interpreter import Interpreter

log = logging.getLogger(__name__)

LIMIT = 120.0  # seconds; the slowest detector on the slowest board needs a few
_FOREIGN = {
    "edgetpu-custom-op": "compiled for the Coral Edge TPU; use the file without '_edgetpu' in its name",
    "Flex": "needs TensorFlow's own operators (Flex); convert it again without SELECT_TF_OPS",
}


def examine(path: Path) -> Card:
    """The card of a model file that is run in this very process."""
    graph = Graph(path.read_bytes(), path.name)
    for op in graph.operators:
        for start, reason in _FOREIGN.items():
            if op.name.startswith(start):
                return Card("unsupported", reason)
    interpreter = Interpreter(str(path))
    refused = reading.refuse_at_sight(graph, interpreter.inputs)
    if refused:
        return refused
    _fill_with_noise(interpreter)
    interpreter.run()
    outputs = interpreter.outputs()
    samples = [array.copy() for array in interpreter.results()]
    found = reading.read(graph, interpreter.inputs[0], outputs, samples)
    return replace(found, runtime=interpreter.runtime)


def _fill_with_noise(interpreter: Interpreter) -> None:
    """Any picture will do, but not an even one: outputs must differ from place to place."""
    view = interpreter.input()
    noise = np.random.default_rng(0)
    if view.dtype == np.float32:
        view[:] = noise.random(view.shape, np.float32)
    else:
        limits = np.iinfo(view.dtype)
        view[:] = noise.integers(limits.min, limits.max, view.shape, view.dtype, endpoint=True)


def examine_apart(path: Path, limit: float = LIMIT) -> Card:
    """The card of a model file that is run in a child process.

    Args:
        path: The file.
        limit: Seconds that the child may take.

    Raises:
        ModelError: The file is no model, the runtime refuses it, it crashes or it hangs.
    """
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    # -P: a folder the user stands in must not lend its modules to the child
    command = [sys.executable, "-P", "-m", "edge_detect.probe", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            env=environment,
            timeout=limit,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path.name}: one run took more than {limit:.0f} s; use a smaller model") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(
            f"{path.name}: crashes the runtime ({name}) and was not loaded; the file is damaged"
            " or made for another runtime: copy it again or convert it anew"
        )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        if "error" in answer:
            raise ModelError(answer["error"])
        return card.from_json(json.dumps(answer["card"]))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise ModelError(f"{path.name}: cannot be run: {last[0]}") from error


def main() -> int:
    """Prints one line of JSON: the card, or the error."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected: no core file
    path = Path(sys.argv[1])
    try:
        answer = {"card": json.loads(card.to_json(examine(path)))}
    except (ModelError, RuntimeError, ValueError, MemoryError) as error:
        text = str(error) if isinstance(error, ModelError) else f"{path.name}: fails when run: {error}"
        answer = {"error": " ".join(text.split())}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
