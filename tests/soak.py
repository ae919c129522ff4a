"""Soak: a long run with everything switched on, and whether it grows: tests/soak.py [--frames N].

Samples memory, threads and open files of `edge-detect run` on a drawn street, with whatever this version
has: a viewer of the live page, events, a broker (Mosquitto, where it is installed), recordings, event store.
Prints the slopes for 1000 frames and a verdict; exit code 1 when something grows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import program
import psutil

from edge_detect import schema

WARM_UP = 0.3  # of the run, in which caches and rings fill
ALLOWED = {"RSS": 1.0, "threads": 0.5, "descriptors": 0.5}
"""How much each may grow in the rest of the run, by its slope: MB, threads, descriptors."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the run held at some frame; RSS in MB."""

    frame: int
    rss: float
    threads: int
    descriptors: int


def slope(frames: list[int], values: list[float]) -> float:
    """From the mean of the first third to that of the last: a connection that comes and goes does not move it."""
    third = max(1, len(frames) // 3)
    apart = np.mean(frames[-third:]) - np.mean(frames[:third])
    return float((np.mean(values[-third:]) - np.mean(values[:third])) / apart)


def verdict(samples: list[Sample]) -> tuple[list[str], bool]:
    """A line for each of what was measured, and whether nothing grows."""
    begin = samples[0].frame + WARM_UP * (samples[-1].frame - samples[0].frame)
    kept = [sample for sample in samples if sample.frame >= begin]
    frames, span = [sample.frame for sample in kept], kept[-1].frame - kept[0].frame
    lines, fine = [], True
    for name, values in (
        ("RSS", [sample.rss for sample in kept]),
        ("threads", [float(sample.threads) for sample in kept]),
        ("descriptors", [float(sample.descriptors) for sample in kept]),
    ):
        rate = slope(frames, values)
        grows = rate * span > ALLOWED[name]
        fine &= not grows
        unit = " MB" if name == "RSS" else ""
        lines.append(
            f"{name:<12}{rate * 1000:+.5f}{unit} for 1000 frames, {values[0]:g} to {values[-1]:g}{unit}"
            f" over {span} frames: {'GROWS' if grows else 'flat'}"
        )
    return lines, fine


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def settings(folder: Path, port: int, broker: int) -> dict[str, str]:
    """The environment that switches on all that this version knows."""
    wanted = {
        "web.listen": f"127.0.0.1:{port}",
        "events.file": str(folder / "events.jsonl"),
        "recorder.folder": str(folder / "recordings"),
        "recorder.size": "64",
        "recorder.free": "0",
        "store.path": str(folder / "events.db"),
        "log.every": "60",
    }
    if broker:
        wanted |= {"mqtt.host": "127.0.0.1", "mqtt.port": str(broker), "mqtt.snapshots": "true"}
    known = {one.key for one in schema.settings()}
    return {
        "EDGE_DETECT_" + key.upper().replace(".", "__"): value
        for key, value in wanted.items()
        if key in known
    }


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """The port of a broker of our own; 0 where Mosquitto is not installed, or not known to this version."""
    known = any(one.key == "mqtt.host" for one in schema.settings())
    path = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not known or not path:
        yield 0
        return
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen(
        [path, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as broker:
        try:
            yield port
        finally:
            broker.terminate()


def look(url: str, stop: threading.Event) -> None:
    """A viewer of the page's MJPEG, which comes back when it was sent away."""
    while not stop.wait(0.5):
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/stream.mjpg?fps=15", timeout=10) as stream,
        ):
            while not stop.is_set() and stream.read(65536):
                pass


def processed(url: str) -> int:
    """Frames that were looked at so far."""
    with urllib.request.urlopen(f"{url}/api/state", timeout=10) as answer:
        return int(json.load(answer)["stats"].get("processed", 0))


def watch(child: subprocess.Popen[Any], url: str, frames: int, every: float) -> list[Sample]:
    """Samples until so many frames were looked at."""
    process, samples = psutil.Process(child.pid), list[Sample]()
    while child.poll() is None:
        time.sleep(every)
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            done = processed(url)
            if not samples or done > samples[-1].frame:
                held = process.memory_info().rss / 1e6, process.num_threads(), process.num_fds()
                samples.append(Sample(done, *held))
                print(
                    f"{done:9} frames  {held[0]:7.1f} MB  {held[1]:3} threads  {held[2]:3} descriptors",
                    flush=True,
                )
            if done >= frames:
                break
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--fps", type=float, default=200.0, help="of the drawn camera")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("-m", "--model", help="default: a tiny one, whose figures are known")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tiny = folder / "tiny.tflite"
        tiny.write_bytes(program.detector())
        broker = stack.enter_context(mosquitto(folder))
        port = free_port()
        given = settings(folder, port, broker)
        print("on:", *sorted(name.removeprefix("EDGE_DETECT_") for name in given), flush=True)
        source = f"pattern:?width=320&height=240&fps={options.fps:g}"
        words = program.command(
            "run", source, "-m", options.model or tiny, "--headless", "--threads", "1", "-q"
        )
        state = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "none")}
        child = stack.enter_context(subprocess.Popen(words, env=program.environment(**given, **state)))
        stack.callback(child.terminate)
        url, stop = f"http://127.0.0.1:{port}", threading.Event()
        viewer = threading.Thread(target=look, args=(url, stop), name="viewer")
        viewer.start()
        try:
            samples = watch(child, url, options.frames, options.every)
        finally:
            stop.set()
            viewer.join()
        broke = child.poll() is not None
    if broke or len(samples) < 10:
        print(f"no verdict: {'the run ended' if broke else 'fewer than ten samples'}", file=sys.stderr)
        return 1
    lines, fine = verdict(samples)
    print(*lines, sep="\n")
    print("verdict: nothing grows" if fine else "verdict: something grows")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
