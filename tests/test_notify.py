from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from service_manager import listening

from edge_detect import notify
from edge_detect.notify import Notify


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_message_arrives_line_by_line(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@edge-detect-{os.getpid()}"
    with listening(address) as listener:
        tell = Notify(address)

        assert tell(notify.READY, notify.status("18.2 fps"))
        assert listener.next() == {"READY": "1", "STATUS": "18.2 fps"}
        tell.close()
        tell.close()


def test_a_line_break_in_a_status_makes_no_second_assignment(tmp_path: Path) -> None:
    with listening(tmp_path / "notify") as listener:
        with closing(Notify(listener.address)) as tell:
            tell(notify.status("a label\nREADY=1\r\n"))

        assert listener.next() == {"STATUS": "a label READY=1"}


def test_nobody_who_listens_is_no_error(tmp_path: Path) -> None:
    with closing(Notify(str(tmp_path / "nobody"))) as tell:
        assert not tell(notify.READY)


def test_a_manager_that_does_not_read_costs_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "LIMIT", 0.01)
    with listening(tmp_path / "notify") as listener, closing(Notify(listener.address)) as tell:
        sent = 0
        while tell(notify.ALIVE):
            sent += 1
            assert sent < 100_000

    assert sent


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "notify"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="NOTIFY_SOCKET: expected a path or @name, got"):
        Notify(address)


def test_times_are_told_in_microseconds(tmp_path: Path) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    reloading, moment = notify.reloading()
    name, _, at = moment.partition("=")

    assert notify.more_time(1.5) == "EXTEND_TIMEOUT_USEC=1500000"
    assert (reloading, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(at) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize(
    ("limit", "whose", "seconds"),
    [
        ("30000000", str(os.getpid()), 30.0),
        ("2500000", "", 2.5),
        ("30000000", "1", 0.0),
        ("0", "", 0.0),
        ("", "", 0.0),
        ("abc", "", 0.0),
    ],
    ids=["ours", "nobody's", "another's", "none", "empty", "word"],
)
def test_the_watchdog_of_another_process_is_none_of_ours(limit: str, whose: str, seconds: float) -> None:
    assert notify.watchdog({"WATCHDOG_USEC": limit, "WATCHDOG_PID": whose}) == seconds


def test_without_a_service_manager_there_is_no_watchdog() -> None:
    assert notify.watchdog({}) == 0.0
