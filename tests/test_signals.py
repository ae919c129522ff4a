from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from waiting import killed_in_time, wait_until

from edge_detect import signals

BOTH = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("reloads", [False, True])
def test_sigint_and_sigterm_ask_to_stop(number: int, reloads: bool) -> None:
    with signals.answered(reloads=reloads) as asked:
        os.kill(os.getpid(), number)

        assert (asked.stop.is_set(), asked.reload.is_set(), asked.signal) == (True, False, number)


def test_sighup_asks_to_stop_where_there_is_nothing_to_reload() -> None:
    with signals.answered() as asked:
        os.kill(os.getpid(), signal.SIGHUP)

        assert (asked.stop.is_set(), asked.reload.is_set(), asked.signal) == (True, False, signal.SIGHUP)


def test_sighup_asks_to_reload_as_often_as_it_comes() -> None:
    with signals.answered(reloads=True) as asked:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
            assert (asked.stop.is_set(), asked.reload.is_set(), asked.signal) == (False, True, 0)
            asked.reload.clear()


def test_the_first_signal_is_the_reason() -> None:
    with signals.answered() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)

        assert asked.signal == signal.SIGTERM


def test_a_second_sigint_ends_at_once() -> None:
    with signals.answered():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("reloads", [False, True])
def test_handlers_are_put_back(reloads: bool) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with signals.answered(reloads=reloads):
        during = [signal.getsignal(number) for number in BOTH]

    assert [signal.getsignal(number) for number in BOTH] == before
    assert not any(one is other for one, other in zip(before, during, strict=True))


def test_nohup_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.answered(reloads=True) as asked:
            os.kill(os.getpid(), signal.SIGHUP)

            assert not asked.reload.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


SCRIPT = """\
import sys, os, fcntl, termios
if len(sys.argv) > 1:  # a terminal of its own
    fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
from edge_detect import signals
with signals.answered(reloads=True) as asked:
    print('ready', flush=True)
    while not asked.stop.wait(0.01):
        if asked.reload.is_set():
            asked.reload.clear()
            print('reload', flush=True)
print('stop', flush=True)
"""


def test_a_terminal_that_goes_away_ends_the_run() -> None:
    master, terminal = os.openpty()
    command = [sys.executable, "-c", SCRIPT, str(terminal)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, pass_fds=[terminal]
        ) as child,
        killed_in_time(child),
    ):
        os.close(terminal)
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGHUP)
        assert child.stdout.readline() == "reload\n"
        os.close(master)

        assert child.stdout.readline() == "stop\n"
        wait_until(lambda: child.poll() == 0)


def test_a_process_without_a_terminal_reloads() -> None:
    command = [sys.executable, "-c", SCRIPT]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child,
        killed_in_time(child),
    ):
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGHUP)
        assert child.stdout.readline() == "reload\n"
        child.terminate()

        assert child.stdout.readline() == "stop\n"
