"""Signals: how a running program is told to stop, or to read its settings again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Asked:
    """What the signals asked for.

    Attributes:
        stop: Set when it is time to end.
        reload: Set when the settings are to be read again; who does so clears it.
        signal: The one that asked to stop; 0 for none.
    """

    def __init__(self) -> None:
        self.stop, self.reload = threading.Event(), threading.Event()
        self.signal = 0


@contextmanager
def answered(*, reloads: bool = False) -> Iterator[Asked]:
    """SIGINT and SIGTERM ask to stop, a second SIGINT ends at once; SIGHUP asks to stop or to reload.

    Args:
        reloads: SIGHUP asks to reload; unless it comes because the terminal went away.
    """
    asked = Asked()
    had_terminal = _has_terminal()

    def stop(number: int, frame: object) -> None:
        asked.signal = asked.signal or number
        asked.stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def hang_up(number: int, frame: object) -> None:
        if reloads and _has_terminal() == had_terminal:
            asked.reload.set()
        else:
            stop(number, frame)

    handlers: dict[signal.Signals, Callable[[int, object], None]] = {
        signal.SIGINT: stop,
        signal.SIGTERM: stop,
    }
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup had us ignore it
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal; one that hung up is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
