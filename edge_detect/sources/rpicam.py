"""Rpicam: a camera on the ribbon cable, read from the program rpicam-vid.

The way to a CSI camera where picamera2 cannot be imported: another Python, a container.
"""

from __future__ import annotations

import logging
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import numpy as np

from edge_detect import pixels
from edge_detect.errors import DependencyError, EdgeDetectError, InputMissing, SourceError
from edge_detect.frame import Frame, Image
from edge_detect.settings import check_range
from edge_detect.sources.csi import NO_PERMISSION, mirrors

log = logging.getLogger(__name__)

PROGRAMS = ("rpicam-vid", "libcamera-vid")
# rpicam-vid writes rows as they lie in memory, padded to 64 bytes on a Pi 4 and to 128 on a Pi 5;
# source: libcamera, pipeline/rpi/pisp/pisp.cpp, computeOptimalStride
ALIGNMENT = 128
ENDING = 1.0  # seconds for the program to end when asked, and again when forced
TAIL = 4096  # bytes kept of what the program says
_MODE = re.compile(r"(\d+:\d+(:\d+(:[PU])?)?)?", re.ASCII)


@dataclass
class Rpicam:
    """A camera module, read by the program rpicam-vid.

    Attributes:
        address: Number of the camera, as `rpicam-hello --list-cameras` counts them.
        width: Pixels of the camera's picture, before it is turned by 90 or 270 degrees; made a
            multiple of 128, since rpicam-vid pads all other widths.
        height: Pixels of the camera's picture; even.
        fps: Frames a second asked for; the sensor may have less to give.
        rotation: Degrees clockwise: 0, 90, 180, 270.
        flip: `h`, `v` or `hv`.
        mode: Sensor mode as `rpicam-vid --mode` takes it, `1640:1232` for the whole view of a
            Camera Module 2; empty for the program's own choice.
        patience: Seconds without a frame after which the camera counts as lost.
        freeze: Seconds of the very same picture after which it counts as lost; 0 for never.
    """

    address: str = "0"
    width: int = 640
    height: int = 480
    fps: float = 30.0
    rotation: int = 0
    flip: str = ""
    mode: str = ""
    patience: float = 5.0
    freeze: float = 5.0
    live = True
    reopens = True

    def __post_init__(self) -> None:
        if not self.address.isdecimal():
            raise ValueError(f"address: expected the number of a camera, got '{self.address}'")
        pixels.check_turn(self.rotation, self.flip)
        check_range("width", self.width, 16, 8192)
        check_range("height", self.height, 16, 8192)
        if self.height % 2:
            raise ValueError(f"height: expected an even number, got {self.height}")
        if not _MODE.fullmatch(self.mode):
            raise ValueError(f"mode: expected width:height, got '{self.mode}'")
        check_range("fps", self.fps, 0.1, 1000)
        check_range("patience", self.patience, 0.5, 600)
        check_range("freeze", self.freeze, 0, 86400)
        self._round_width()

    def _round_width(self) -> None:
        whole = -(-self.width // ALIGNMENT) * ALIGNMENT
        if whole != self.width:
            log.info("rpicam: width %d instead of %d: a multiple of %d", whole, self.width, ALIGNMENT)
            self.width = whole

    def __iter__(self) -> Iterator[Frame]:
        planes = np.empty((self.height * 3 // 2, self.width), np.uint8)
        child = self._start()
        try:
            for number in count():
                self._fill(child, planes.reshape(-1).data)
                image = self._turned(pixels.bgr_from_full_range_i420(planes))
                yield Frame(image, time.monotonic(), number, f"rpicam:{self.address}")
        finally:
            child.close()

    def _start(self) -> _Child:
        command = self._command()
        try:
            return _Child(command)
        except OSError as error:
            raise SourceError(f"{command[0]}: cannot be started: {error.strerror}") from error

    def _command(self) -> list[str]:
        across, down = mirrors(self.rotation, self.flip)
        return [
            _program(), "-t", "0", "-n",
            "--camera", self.address,
            "--codec", "yuv420",
            "--width", str(self.width),
            "--height", str(self.height),
            "--framerate", f"{self.fps:g}",
            *(["--mode", self.mode] if self.mode else []),
            *["--hflip"] * across,
            *["--vflip"] * down,
            "--flush",
            "-o", "-",
        ]  # fmt: skip

    def _turned(self, image: Image) -> Image:
        return pixels.turn(image, self.rotation, self.flip) if self.rotation % 180 else image

    def _fill(self, child: _Child, buffer: memoryview) -> None:
        """Reads one frame into the buffer.

        Raises:
            EdgeDetectError: It did not come in time, or the program ended.
        """
        deadline, filled = time.monotonic() + self.patience, 0
        while filled < len(buffer):
            read = child.read_into(buffer[filled:], deadline - time.monotonic())
            if read is None:
                silence = f"no frame for {self.patience:g} s"
                raise SourceError(f"camera {self.address}: {silence}: check the ribbon cable")
            if read == 0:
                raise self._explain(child.last_words())
            filled += read

    def _explain(self, words: str) -> EdgeDetectError:
        if "no cameras available" in words or "selected camera is not available" in words:
            remedy = "check the ribbon cable, then rpicam-hello --list-cameras"
            return InputMissing(f"no camera {self.address}: {remedy}")
        if "failed to acquire camera" in words:
            return SourceError(f"camera {self.address} is in use by another program")
        if "dmaHeap" in words or "dma-buf provider" in words or "Permission denied" in words:
            return SourceError(f"camera {self.address}: {NO_PERMISSION}")
        return SourceError(f"camera {self.address}: rpicam-vid ended: {_last_line(words)}")


class _Child:
    """A program whose output is read with a limit on every wait, and which is gone after `close`."""

    def __init__(self, command: list[str]) -> None:
        log.debug("starting %s", command)
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # so that Ctrl-C reaches us alone and we end it in order
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout, self._process.stderr
        self._words = b""
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._poll.register(self._err, select.POLLIN)

    def read_into(self, buffer: memoryview, limit: float) -> int | None:
        """Bytes that came: at most what the buffer takes; 0 at the end, None when the time is up."""
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            ready = {handle for handle, _ in self._poll.poll(left * 1000)}
            if self._err.fileno() in ready and not self._listen():
                self._poll.unregister(self._err)
            if self._out.fileno() in ready:
                return os.readv(self._out.fileno(), [buffer])
        return None

    def last_words(self) -> str:
        """The end of what the program said, and its exit code, once it has closed its output."""
        waiting, deadline = select.poll(), time.monotonic() + ENDING
        waiting.register(self._err, select.POLLIN)
        while waiting.poll(max(0.0, deadline - time.monotonic()) * 1000) and self._listen():
            pass
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        return self._words.decode(errors="replace") or f"exit code {self._process.returncode}"

    def _listen(self) -> bool:
        """Keeps what the program says; False at its end."""
        said = os.read(self._err.fileno(), TAIL)
        self._words = (self._words + said)[-TAIL:]
        return bool(said)

    def close(self) -> None:
        """Ends the program; safe to call twice."""
        self._end()
        self._out.close()
        self._err.close()

    def _end(self) -> None:
        for end in (self._process.terminate, self._process.kill):
            end()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING)
                return
        log.warning("rpicam-vid (process %d) cannot be ended, left behind", self._process.pid)


def _program() -> str:
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    raise DependencyError("source 'rpicam' needs rpicam-vid: sudo apt install rpicam-apps")


def _last_line(words: str) -> str:
    """The last line that tells of an error, else the last one, without its decoration."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["no reason given"])[-1].removeprefix("ERROR:").strip(" *")
