from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scenes import scene
from service_manager import Listener, listening
from waiting import wait_until

from edge_detect import probe, supervisor
from edge_detect.heartbeats import PATIENCE, WATCHDOG, Heartbeats
from edge_detect.newest import BACK_OFF
from edge_detect.notify import Notify
from edge_detect.sources import csi, stream, v4l2
from edge_detect.supervisor import Supervisor

QUICK = 0.06  # seconds of a watchdog; a look each 0.02
END = {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "stopping"}
UNIT = Path(__file__).resolve().parents[1] / "systemd/edge-detect.service"


def seconds(setting: str) -> float:
    """Of the unit file."""
    found = re.search(rf"^{setting}=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found
    return float(found[1])


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path / "notify") as listener:
        yield listener


@pytest.fixture
def heartbeats() -> Heartbeats:
    return Heartbeats()


@pytest.fixture
def start(listener: Listener, heartbeats: Heartbeats) -> Iterator[Callable[..., Supervisor]]:
    """Starts a supervisor with a quick watchdog; ended after the test."""
    begun: list[Supervisor] = []

    def started(watchdog: float = QUICK) -> Supervisor:
        begun.append(Supervisor(heartbeats, Notify(listener.address), watchdog))
        return begun[-1]

    yield started
    for one in begun:
        one.close()


def test_a_hang_of_each_part_is_seen_within_the_watchdogs_time() -> None:
    assert seconds("WatchdogSec") == WATCHDOG
    assert PATIENCE + WATCHDOG / 3 < WATCHDOG


@pytest.mark.parametrize("usual", [csi.Csi(), stream.Stream("rtsp://camera"), v4l2.V4l2()])
def test_a_camera_that_is_lost_is_told_by_its_source_before_it_counts_as_a_hang(
    usual: csi.Csi | stream.Stream | v4l2.V4l2,
) -> None:
    v4l2_select = 10.04  # OpenCV's own limit for a frame, measured with vivid
    closing_csi = csi.CLOSING

    assert max(usual.patience + closing_csi, v4l2_select) < PATIENCE


def test_the_limits_of_a_start_and_a_stop_follow_from_the_watchdog() -> None:
    joined, finalized = 2.0, 5.0  # seconds: of a capture thread that hangs, of the outputs

    assert seconds("TimeoutStartSec") == 3 * WATCHDOG
    assert joined + finalized < seconds("TimeoutStopSec") <= WATCHDOG
    assert supervisor.LOADING > probe.LIMIT + WATCHDOG
    assert supervisor.STATUS_EVERY == 10
    assert max(BACK_OFF) <= WATCHDOG


def test_it_asks_for_time_until_the_loop_has_begun(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    one = start()
    asked = [listener.next(), listener.next()]
    one.close()
    listener.until("STOPPING", "1")
    heartbeats.expect("inference")
    other = start()
    wait_until(lambda: heartbeats.ages()["inference"] > 3 * QUICK)
    other.close()

    assert asked == [{"EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "loading the model"}] * 2
    assert listener.next() == END


def test_it_asks_no_longer_than_a_model_may_take(
    listener: Listener, start: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOADING", 0.0)
    start().close()

    assert listener.next() == END


def test_the_first_scene_makes_it_ready_and_only_the_first(
    listener: Listener, start: Callable[..., Supervisor]
) -> None:
    one = start()
    one.write(scene())
    listener.until("READY", "1")
    one.write(scene())
    listener.until("WATCHDOG", "1")
    one.close()
    listener.until("STOPPING", "1")

    assert [message.get("READY") for message in listener.heard].count("1") == 1


def test_it_feeds_the_watchdog_every_third_of_its_time(
    listener: Listener, start: Callable[..., Supervisor]
) -> None:
    start(0.3).ready()
    listener.until("WATCHDOG", "1")
    at = []
    for _ in range(4):
        listener.until("WATCHDOG", "1")
        at.append(supervisor.time.monotonic())

    assert 0.29 < at[-1] - at[0] < 2


@pytest.mark.parametrize("part", ["inference", "outputs", "web"])
def test_a_part_that_hangs_is_told_once_and_ends_the_food(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor], part: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    one = start()
    heartbeats.expect(part)
    one.ready()

    told = listener.until("WATCHDOG", "trigger")
    assert re.fullmatch(rf"hangs: {part} for \d+ s", told["STATUS"])
    assert listener.next()["WATCHDOG"] == "trigger"
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2
    assert "thread MainThread:" in caplog.messages[1]
    assert "test_a_part_that_hangs" in caplog.messages[1]


def test_who_has_been_silent_for_longest_is_named_first(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    one = start()
    heartbeats.expect("outputs")
    wait_until(lambda: heartbeats.ages()["outputs"] > 0.01)
    heartbeats.expect("inference")
    one.ready()

    told = ""
    while "inference" not in told:
        told = listener.until("WATCHDOG", "trigger")["STATUS"]
    assert re.fullmatch(r"hangs: outputs for \d+ s, inference for \d+ s", told)


def test_a_part_that_moves_again_is_fed_again(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    one = start()
    heartbeats.expect("inference")
    one.ready()
    listener.until("WATCHDOG", "trigger")
    heartbeats.forget("inference")

    listener.until("WATCHDOG", "1")


def test_a_capture_thread_that_hangs_is_left_to_the_loop(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    one = start()
    heartbeats.expect("capture")
    one.ready()
    wait_until(lambda: "capture" in heartbeats.late())

    listener.until("WATCHDOG", "1")
    listener.until("WATCHDOG", "1")


@pytest.mark.parametrize(
    ("objects", "degrees", "told"),
    [(3, 61.7, r"\d+\.\d fps, 3 objects, 62 C"), (1, None, r"\d+\.\d fps, 1 object"),
     (0, 40.0, r"\d+\.\d fps, 0 objects, 40 C")],
)  # fmt: skip
def test_the_status_tells_speed_objects_and_heat(
    listener: Listener, start: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch,
    objects: int, degrees: float | None, told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(supervisor, "STATUS_EVERY", 0.0)
    monkeypatch.setattr(supervisor.board, "temperature", lambda: degrees)
    start().write(scene([(1, 2, 3, 4)] * objects))
    listener.until("STATUS", "running")

    while "STATUS" not in (message := listener.next()):
        pass
    assert re.fullmatch(told, message["STATUS"])


def test_the_status_tells_that_nothing_was_looked_at(
    listener: Listener, start: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STATUS_EVERY", 0.0)
    start().ready()
    listener.until("STATUS", "running")

    assert re.match(r"no frame was looked at for \d+ s", listener.until("STATUS")["STATUS"])


def test_a_reload_is_told_before_and_after_even_when_it_fails(
    listener: Listener, start: Callable[..., Supervisor]
) -> None:
    one = start()
    one.ready()
    listener.until("READY", "1")
    with pytest.raises(RuntimeError), one.reloading():
        raise RuntimeError

    assert listener.until("RELOADING", "1")["MONOTONIC_USEC"].isdecimal()
    listener.until("READY", "1")


def test_a_reload_before_it_is_ready_does_not_make_it_so(
    listener: Listener, start: Callable[..., Supervisor]
) -> None:
    one = start()
    with one.reloading():
        pass
    one.close()
    listener.until("STOPPING", "1")

    assert not any({"READY", "RELOADING"} & message.keys() for message in listener.heard)


def test_the_patience_of_the_parts_fits_the_watchdog(
    heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    start(9.0)

    assert heartbeats.patience == 4.5


def test_without_a_watchdog_it_tells_all_the_same(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    one = start(0.0)
    one.ready()

    assert heartbeats.patience == PATIENCE
    listener.until("READY", "1")


def test_closing_it_twice_tells_one_end(listener: Listener, start: Callable[..., Supervisor]) -> None:
    one = start()
    one.close()
    one.close()
    listener.until("STOPPING", "1")

    assert listener.silent()
    assert not any(thread.name == "supervisor" for thread in threading.enumerate())


def test_it_is_found_where_systemd_listens(
    listener: Listener, heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    (one,) = supervisor.find(heartbeats)
    with closing(one):
        listener.until("STATUS", "loading the model")


def test_a_socket_of_another_kind_is_told_and_the_work_goes_on(
    heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1")

    assert supervisor.find(heartbeats) == []
    assert caplog.messages == [
        "NOTIFY_SOCKET: expected a path or @name, got 'vsock:2:1'; systemd is told nothing"
    ]


def test_a_camera_that_is_missing_and_waited_for_makes_it_ready(
    listener: Listener, heartbeats: Heartbeats, start: Callable[..., Supervisor]
) -> None:
    start()
    heartbeats.expect("capture")
    heartbeats.expect("inference")
    assert "READY" not in listener.next()
    heartbeats.excuse("capture")

    assert listener.until("READY", "1")["STATUS"] == "waits for a camera"
    listener.until("WATCHDOG")


def test_a_run_that_begins_paused_is_ready_with_its_first_frame(
    listener: Listener, start: Callable[..., Supervisor]
) -> None:
    one = start()
    one.unseen(scene().frame)
    one.unseen(scene().frame)
    listener.until("READY", "1")
    one.close()
    listener.until("STOPPING", "1")

    assert [message.get("READY") for message in listener.heard].count("1") == 1
