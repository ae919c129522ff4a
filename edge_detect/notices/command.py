"""Command: runs a program on events, without a shell, for a limited time."""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from edge_detect import recipients
from edge_detect.errors import ConfigError, SinkError
from edge_detect.events import Event, to_json
from edge_detect.notices.courier import Courier
from edge_detect.notices.filter import Filter

log = logging.getLogger(__name__)

PREFIX = "EDGE_DETECT_EVENT_"
LONGEST_TEXT = 256  # characters of a variable
SHOWN = 200  # characters of the output that come into the log
KEPT = 4 * SHOWN  # bytes of it that are kept at all
TICK = 0.05  # seconds between two looks whether it has ended
_OURS = ("EDGE_DETECT_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


def open_command(settings: recipients.Exec, wanted: Filter) -> Courier:
    """The sink that runs the program.

    Raises:
        ConfigError: There is no such program.
    """
    return Courier("exec", Command(settings), wanted, settings.queue, settings.at_once)


class Command:
    """Runs the program for an event: JSON on its standard input, `EDGE_DETECT_EVENT_*` in its environment.

    It is the first of a process group of its own. When it ends, or its time is over, all that is
    left of the group is killed.
    """

    def __init__(self, settings: recipients.Exec) -> None:
        """Nothing is run yet.

        Raises:
            ConfigError: There is no such program.
        """
        self._words, self._seconds = settings.command, settings.seconds
        if any("\0" in word for word in self._words):
            raise ConfigError("expected texts without NUL")
        if shutil.which(self._words[0]) is None:
            raise ConfigError(f"no program '{self._words[0]}' that may be run")

    def __call__(self, event: Event, give_up: threading.Event) -> None:
        """Runs it to its end.

        Raises:
            SinkError: It failed, took too long, or could not be started.
        """
        name = self._words[0]
        try:
            with tempfile.TemporaryFile() as data:  # a pipe could be full, and who writes to it would wait
                data.write(json.dumps(to_json(event)).encode() + b"\n")
                data.seek(0)
                child = subprocess.Popen(
                    self._words, stdin=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    env=_without_ours(os.environ) | variables(event), start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise SinkError(f"{name}: cannot be started: {error.strerror}") from error
        with child:
            output, ended = self._attend(child, give_up)
        said = shown(output)
        if not ended:
            why = "the run ends" if give_up.is_set() else f"it took more than {self._seconds:g} s"
            raise SinkError(f"{name}: killed, {why}{said}")
        if child.returncode:
            raise SinkError(f"{name}: ended with {child.returncode}{said}")
        if said:
            log.info("exec: %s%s", name, said)

    def _attend(self, child: subprocess.Popen[bytes], give_up: threading.Event) -> tuple[bytes, bool]:
        """What it says, and whether it came to its own end; nothing of its group is left then."""
        end, output = time.monotonic() + self._seconds, b""
        reader = _Reader(child.stdout)
        try:
            while not (ended := _has_ended(child.pid)) and time.monotonic() < end and not give_up.is_set():
                output += reader.read(TICK)[: KEPT - len(output)]
            if ended:  # what it said last; a child of its own that keeps the pipe open is not waited for
                output += reader.read(0)[: KEPT - len(output)]
        finally:
            # not reaped yet, so that its number is still its own
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return output, ended


class _Reader:
    """The output of a program, as far as it has come."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._file = pipe.fileno()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._open = True

    def read(self, wait: float) -> bytes:
        """The next bytes; nothing after some time without any."""
        if not self._open:
            time.sleep(wait)
        elif self._poll.poll(wait * 1000):
            data = os.read(self._file, 65536)
            self._open = bool(data)
            return data
        return b""


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def variables(event: Event) -> dict[str, str]:
    """The event as environment variables; texts that came from a model are cleaned."""
    return {f"{PREFIX}{name.upper()}": clean(_text(value)) for name, value in asdict(event).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def clean(text: str) -> str:
    """`text` with nothing in it that a careless script could trip over.

    Letters and digits of any language stay, and spaces and ``.,:+/@_-``; no text begins with ``-``.
    """
    kept = "".join(c if c.isalnum() or c in " .,:+/@_-" else "_" for c in text[:LONGEST_TEXT])
    return f"_{kept[1:]}" if kept.startswith("-") else kept


def shown(output: bytes) -> str:
    """The beginning of an output, as one line for the log; empty where there is none."""
    text = " ".join(output.decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f": {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}" if text else ""


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """What is no business of another program: our settings may hold passwords."""
    return {name: value for name, value in environment.items() if not name.startswith(_OURS)}
