"""Logs: one message a line, in the form that its reader wants: a person, systemd's journal, a program."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

NAME = "edge-detect"  # of the one handler
FORMS = ("text", "json")
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Of sd-daemon(3): what `<N>` at the start of a line tells the journal."""
SERVICE_INTERVAL = 60.0  # seconds; a service that is well writes no more than one line in this time
REPEAT = 60.0  # seconds within which the same trouble is told once, and then counted
MANY = {"many": True}  # as `extra` of a message that has lines of its own
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def to_journal(environment: str | None = None) -> bool:
    """Whether standard error is the journal: `JOURNAL_STREAM` then holds its device and inode."""
    stream = os.environ.get("JOURNAL_STREAM", "") if environment is None else environment
    try:
        end = os.fstat(2)
    except OSError:
        return False
    return stream == f"{end.st_dev}:{end.st_ino}"


def interval(every: float) -> float:
    """Seconds between two health lines where `every` was asked for: a journal is written to seldom."""
    return max(every, SERVICE_INTERVAL) if every and to_journal() else every


def configure(level: int, form: str = "text") -> None:
    """All messages go to standard error; standard output is for results. May be called again.

    Args:
        level: The least that is told.
        form: One of `FORMS`; text loses its time stamps where the journal adds its own.
    """
    journal = to_journal()
    layout: logging.Formatter = Json() if form == "json" else Text("%(message)s")
    if journal:
        layout = Prefixed(layout)
    handler: logging.Handler = Steady(sys.stderr)
    if form == "text" and not journal:
        layout = Text("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        handler = logging.StreamHandler(sys.stderr)
    else:
        sys.excepthook = _tell_crash
        logging.captureWarnings(capture=True)
    handler.setFormatter(layout)
    handler.name = NAME
    for other in [other for other in logging.root.handlers if other.name == NAME]:
        logging.root.removeHandler(other)
    logging.basicConfig(level=level, handlers=[handler])


def tell(message: str) -> None:
    """The one line with which a command fails."""
    if any(isinstance(handler, Steady) for handler in logging.root.handlers):
        logging.getLogger("edge_detect").error("%s", message)
    else:
        prefix = f"<{PRIORITIES[logging.ERROR]}>" if to_journal() else ""
        sys.stderr.write(f"{prefix}edge-detect: error: {visible(message)}\n")


def _tell_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("edge_detect").critical("%s", error or kind.__name__, exc_info=(kind, error, trace))


def visible(text: str) -> str:
    """The text with control characters as they are written in Python: they forge no line and no colour."""
    return _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


class Text(logging.Formatter):
    """A message as one line, whatever stands in the names in it; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 of logging.Formatter
        told = super().formatMessage(record)
        if record.name == "py.warnings":  # the line of code that stands below says nothing to a user
            told = told.partition("\n")[0]
        return told if getattr(record, "many", False) else visible(told.rstrip("\n"))


class Prefixed(logging.Formatter):
    """Each line of a message, those of a traceback too, begins with `<N>`, its priority."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITIES.get(record.levelno, PRIORITIES[logging.INFO])}>"
        lines = self._inner.format(record).split("\n")
        return "\n".join(prefix + line for line in lines)


class Json(logging.Formatter):
    """A message as one JSON object: time (UTC), level, logger, message, and traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        import json

        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


class Steady(logging.StreamHandler[TextIO]):
    """Tells the same trouble once in `REPEAT` seconds, and then how often it has come since.

    The same is what differs in its numbers only. What is no trouble (INFO and below) goes through.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._told: dict[
            str, tuple[float, int, logging.LogRecord]
        ] = {}  # since when, how many more, the last

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        self._tell_left_out(now)
        if record.levelno >= logging.WARNING and not record.exc_info:
            shape = f"{record.levelno} {record.name} {re.sub('[0-9.]+', '0', record.getMessage())}"
            if shape in self._told:
                since, more, _ = self._told[shape]
                self._told[shape] = since, more + 1, record
                return
            self._told[shape] = now, 0, record
        super().emit(record)

    def _tell_left_out(self, now: float, after: float = REPEAT) -> None:
        for shape, (since, more, record) in list(self._told.items()):
            if now - since < after:
                continue
            del self._told[shape]
            if more:
                record.msg, record.args = (
                    f"{record.getMessage()} ({more} like this in {now - since:.0f} s)",
                    (),
                )
                super().emit(record)
                self._told[shape] = now, 0, record

    def close(self) -> None:
        self._tell_left_out(self._clock(), after=0)
        super().close()


class Minutely:
    """Tells of a trouble once in `REPEAT` seconds, whoever reads the log, and how often it came since."""

    def __init__(
        self, tell: Callable[..., None], clock: Callable[[], float] = time.monotonic, every: float = REPEAT
    ) -> None:
        self._tell, self._clock, self._every = tell, clock, every
        self._last, self._more = float("-inf"), 0

    def __call__(self, message: str, *values: object) -> None:
        """Tells it, or counts it."""
        now = self._clock()
        if now - self._last < self._every:
            self._more += 1
            return
        more = f" ({self._more} more since the last such line)" if self._more else ""
        self._last, self._more = now, 0
        self._tell(f"{message}%s", *values, more)


@contextmanager
def native(log: logging.Logger, name: str) -> Iterator[None]:
    """What native code says on standard error goes to a log at debug level.

    Args:
        log: Gets the lines.
        name: Of who speaks, before each line.
    """
    try:
        keep = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    spool = os.memfd_create("stderr")
    try:
        os.dup2(spool, 2)
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        for line in os.pread(spool, 65536, 0).decode("utf-8", "replace").splitlines():
            log.debug("%s: %s", name, line)
        os.close(spool)
