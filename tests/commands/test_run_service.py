from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import program
import pytest
from service_manager import NOT_HERE, Listener, lacking, listening, with_user_manager

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
WATCHDOG = 3.0  # seconds
LIVE = "pattern:?width=200&height=100&fps=15"
MODEL = ("-m", "model.tflite")
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@contextmanager
def service(
    listener: Listener, *command: str, stdin: Any = subprocess.DEVNULL, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """A process as systemd starts it; killed if it does not end by itself."""
    environment = {
        **program.environment(),
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": str(round(WATCHDOG * 1e6)),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}",
    } | more
    with subprocess.Popen(
        command, env=environment, text=True, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture
def listener(desk: Path) -> Iterator[Listener]:
    with listening(desk / "notify") as listener:
        yield listener


def frames_in(video: Path) -> int:
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def test_ready_after_the_first_inference_then_pings_then_a_stop_that_finishes_the_video(
    desk: Path, listener: Listener
) -> None:
    words = program.command(LIVE, *MODEL, "--json", "--output", "o.mp4")
    with service(listener, *words) as child:
        assert child.stdout
        listener.until("READY", "1")
        seen = json.loads(child.stdout.readline())
        listener.until("WATCHDOG", "1")
        listener.until("WATCHDOG", "1")
        asked = time.monotonic()
        child.terminate()
        listener.until("STOPPING", "1")
        _, log = program.end_of(child)

    assert time.monotonic() - asked < 5
    assert seen["detections"]
    assert listener.heard[0] == {"EXTEND_TIMEOUT_USEC": "30000000", "STATUS": "loading the model"}
    assert child.returncode == 0
    written = re.search(r"o\.mp4: (\d+) frames written", log)
    assert written
    assert frames_in(desk / "o.mp4") == int(written[1]) > 0


def test_it_is_not_ready_while_no_frame_comes(desk: Path, listener: Listener) -> None:
    Path("now").touch()
    words = ("hanging:", *MODEL, "--give-up", "0.5")
    with service(listener, sys.executable, "-m", "hanging", "capture", "now", *words) as child:
        listener.until("STOPPING", "1")
        child.wait(program.LIMIT)

    assert not any("READY" in message for message in listener.heard)


def test_a_model_that_is_none_ends_it_before_it_was_ready(desk: Path, listener: Listener) -> None:
    (desk / "bad.tflite").write_bytes(b"no model")
    with service(listener, *program.command(LIVE, "-m", "bad.tflite")) as child:
        listener.until("STOPPING", "1")
        child.wait(program.LIMIT)

    assert child.returncode == 1
    assert not any("READY" in message for message in listener.heard)


@pytest.mark.parametrize("part", ["inference", "outputs"])
def test_a_part_of_the_loop_that_hangs_is_told_within_the_watchdogs_time(
    desk: Path, listener: Listener, part: str
) -> None:
    words = ("hanging:?fps=15", *MODEL, "--output", "o.mp4")
    with service(listener, sys.executable, "-m", "hanging", part, "now", *words) as child:
        listener.until("READY", "1")
        listener.until("WATCHDOG", "1")
        Path("now").touch()
        status = listener.until("WATCHDOG", "trigger")["STATUS"]
        again = listener.next()
        child.kill()
        log = program.end_of(child)[1]

    found = re.match(rf"hangs: {part} for (\d+) s", status)
    assert found
    assert WATCHDOG / 2 - 0.5 <= int(found[1]) <= WATCHDOG
    assert again["WATCHDOG"] == "trigger"
    assert "thread MainThread:" in log
    assert "hanging.py" in log


def test_a_live_page_that_hangs_is_told_within_the_watchdogs_time(desk: Path, listener: Listener) -> None:
    pytest.importorskip("tornado")
    words = (LIVE, *MODEL, "--web", "127.0.0.1:0")
    with service(listener, sys.executable, "-m", "hanging", "web", "now", *words) as child:
        listener.until("READY", "1")
        listener.until("WATCHDOG", "1")
        Path("now").touch()
        status = listener.until("WATCHDOG", "trigger")["STATUS"]
        child.kill()

    found = re.fullmatch(r"hangs: web for (\d+) s", status)
    assert found
    assert int(found[1]) <= WATCHDOG


def test_a_camera_whose_driver_hangs_ends_the_run_in_good_order_for_a_fresh_one(
    desk: Path, listener: Listener
) -> None:
    words = ("hanging:?fps=15", *MODEL, "--output", "o.mp4")
    with service(listener, sys.executable, "-m", "hanging", "capture", "now", *words) as child:
        listener.until("READY", "1")
        Path("now").touch()
        listener.until("STOPPING", "1")
        log = program.end_of(child)[1]

    assert child.returncode == 69
    assert re.search(r"error: hanging:\?fps=15: hangs in its driver for 2 s; only a fresh start helps", log)
    assert not any(message.get("WATCHDOG") == "trigger" for message in listener.heard)
    assert frames_in(desk / "o.mp4") > 0


def test_a_camera_that_is_known_to_be_lost_is_no_hang_and_may_come_back(
    desk: Path, listener: Listener
) -> None:
    with service(listener, sys.executable, "-m", "hanging", "unplugged", "now", "hanging:", *MODEL) as child:
        listener.until("READY", "1")
        Path("now").touch()
        assert child.stderr
        while "camera lost" not in child.stderr.readline():
            pass
        for _ in range(3):  # seconds, longer than its patience
            assert listener.until("WATCHDOG")["WATCHDOG"] == "1"
        Path("now").unlink()
        while "camera back" not in (line := child.stderr.readline()):
            assert line
        child.terminate()

        assert child.wait(program.LIMIT) == 0


def test_a_camera_that_is_missing_from_the_start_is_waited_for_and_nothing_is_drawn(
    desk: Path, home: Path, listener: Listener
) -> None:
    Path("now").touch()
    words = ("auto", *MODEL, "--json", "--events", "e.jsonl")
    with service(listener, sys.executable, "-m", "hanging", "missing", "now", *words) as child:
        assert child.stdout
        assert listener.until("READY", "1")["STATUS"] == "waits for a camera"
        for _ in range(3):  # seconds, longer than its patience
            assert listener.until("WATCHDOG")["WATCHDOG"] == "1"
        Path("now").unlink()
        first = json.loads(child.stdout.readline())
        child.terminate()
        log = program.end_of(child)[1]

    told = [json.loads(line) for line in (desk / "e.jsonl").read_text().splitlines()]
    assert [(one["kind"], one["type"]) for one in told[:2]] == [
        ("camera_lost", "start"), ("camera_lost", "end"),
    ]  # fmt: skip
    assert first["source"].startswith("pattern")
    assert log.count("no camera found") == 1
    assert "camera lost: no camera found, on ribbon cables or USB; edge-detect doctor tells more" in log
    assert "camera back: auto after " in log
    assert child.returncode == 0


def test_a_service_gives_up_a_missing_camera_as_it_does_a_lost_one(desk: Path, listener: Listener) -> None:
    Path("now").touch()
    words = ("auto", *MODEL, "--give-up", "1")
    with service(listener, sys.executable, "-m", "hanging", "missing", "now", *words) as child:
        log = program.end_of(child)[1]

    assert child.returncode == 69
    assert "error: auto: no frame for 1 s, gave up" in log


def test_a_process_without_a_service_manager_has_no_supervisor(desk: Path) -> None:
    script = (
        "import sys, threading; from edge_detect.cli import main\n"
        f"main({[LIVE, *MODEL, '--frames', '2', '-q']})\n"
        "print([name for name in sys.modules if name in ('edge_detect.supervisor', 'edge_detect.notify')])"
    )
    told = subprocess.check_output([sys.executable, "-c", script], env=program.environment(), text=True)

    assert told == "[]\n"


@pytest.mark.skipif(not FAKETIME, reason="needs faketime")
def test_a_wall_clock_that_jumps_changes_nothing(desk: Path, listener: Listener) -> None:
    clock = desk / "clock"
    clock.write_text("+0")
    jumps = {
        "LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    # faketime breaks time.sleep: a model is examined with it, but once, and the drawn street comes by it,
    # but a pipe is a camera that does not need it
    assert program.run("photo.jpg", *MODEL).returncode == 0
    with (
        subprocess.Popen(["sh", "-c", "while cat photo.jpg; do sleep 0.07; done"], stdout=-1) as camera,
        service(listener, *program.command("-", *MODEL, "--json"), stdin=camera.stdout, **jumps) as child,
    ):
        assert child.stdout
        listener.until("READY", "1")
        times = [json.loads(child.stdout.readline())["time"]]
        for offset in ("+3650d", "-3650d"):
            clock.write_text(offset)
            times.append(next_with(child, lambda time: abs(time - times[-1]) > 86400))
            for _ in range(2):
                assert listener.until("WATCHDOG")["WATCHDOG"] == "1"
        child.terminate()
        log = program.end_of(child)[1]
        camera.kill()

    assert times[1] - times[0] == pytest.approx(3650 * 86400, abs=60)
    assert times[2] - times[0] == pytest.approx(-3650 * 86400, abs=60)
    assert child.returncode == 0
    assert "lost" not in log
    health = re.search(r"([0-9.]+) fps .* p95 (\d+) ms", log)
    assert health
    assert 0.1 < float(health[1]) < 100  # not of ten years, on a busy machine either
    assert int(health[2]) < 60_000


def next_with(child: subprocess.Popen[str], enough: Callable[[float], bool]) -> float:
    """The time of the next frame for which it is `enough`."""
    assert child.stdout
    while not enough(time := float(json.loads(child.stdout.readline())["time"])):
        pass
    return time


@pytest.mark.slow
def test_a_real_systemd_starts_feeds_restarts_and_stops_it(desk: Path) -> None:
    if reason := lacking():
        pytest.skip(reason)
    (desk / "units").mkdir()
    (desk / "units/watch.service").write_text(
        f"""[Service]
Type=notify
ExecStart={sys.executable} -m hanging outputs now {LIVE} -m model.tflite --output o.mp4
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={desk}
Environment=PYTHONPATH={ROOT}:{TESTS} XDG_CACHE_HOME={os.environ["XDG_CACHE_HOME"]}
WatchdogSec={WATCHDOG:g}
Restart=on-failure
RestartSec=0.1
"""
    )
    end = with_user_manager(desk / "units", STEPS, 120)
    if end.returncode == NOT_HERE:
        pytest.skip("no systemd --user can be run here")

    assert end.stdout.splitlines() == [
        "started active 0",
        "killed active 1",
        "stopped by SIGSTOP active 2 watchdog",
        "an output hung active 3 watchdog",
        "ended inactive success 0",
    ], end.stderr


STEPS = """
shown() { systemctl --user show -p "$1" --value watch; }
until_restarted() { for i in $(seq 300); do
    [ "$(shown NRestarts)" = "$1" ] && [ "$(shown ActiveState)" = active ] && return; sleep .1; done; }
systemctl --user start watch
echo started $(shown ActiveState) $(shown NRestarts)
kill -9 $(shown MainPID); until_restarted 1
echo killed $(shown ActiveState) $(shown NRestarts)
until_failed() { for i in $(seq 300); do result=$(shown Result); [ $result = success ] || break; sleep .02; done; }
kill -STOP $(shown MainPID); until_failed; until_restarted 2
echo stopped by SIGSTOP $(shown ActiveState) $(shown NRestarts) $result
touch now; until_failed; rm now; until_restarted 3
echo an output hung $(shown ActiveState) $(shown NRestarts) $result
systemctl --user stop watch
echo ended $(shown ActiveState) $(shown Result) $(shown ExecMainStatus)
"""


def test_the_form_of_the_log_may_stand_in_the_settings(desk: Path) -> None:
    (desk / "config.toml").write_text('[log]\nformat = "json"\n')
    end = program.run(LIVE, *MODEL, "--config", "config.toml", "--frames", "2")

    told = [json.loads(line) for line in end.stderr.splitlines()]
    assert end.returncode == 0
    assert "model.tflite" in told[0]["message"]
    assert "limited by" in told[-1]["message"]


def test_a_run_for_the_journal_writes_a_health_line_a_minute_at_most(desk: Path) -> None:
    with (desk / "log").open("w") as file:
        found = os.fstat(file.fileno())
        stream = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        words = (LIVE, *MODEL, "--frames", "20", "--log-every", "0.1")
        end = program.run(*words, env=stream, stderr=file)

    lines = (desk / "log").read_text().splitlines()
    assert end.returncode == 0
    assert all(line.startswith("<6>") for line in lines)
    assert sum("limited by" in line for line in lines) == 1  # that of the end


@pytest.fixture
def settings(desk: Path) -> Path:
    path = desk / "config.toml"
    path.write_text("[detect]\nconfidence = 0.3\n")
    return path


def test_a_reload_is_told_and_changes_the_run(desk: Path, listener: Listener, settings: Path) -> None:
    words = program.command(LIVE, *MODEL, "--json", "--config", "config.toml")
    with service(listener, *words) as child:
        assert child.stdout
        listener.until("READY", "1")
        before = json.loads(child.stdout.readline())["detections"]
        settings.write_text("[detect]\nconfidence = 0.7\n")
        child.send_signal(signal.SIGHUP)
        listener.until("RELOADING", "1")
        listener.until("READY", "1")
        while len(after := json.loads(child.stdout.readline())["detections"]) == len(before):
            pass
        child.terminate()

        assert child.wait(program.LIMIT) == 0
    assert ([seen["score"] for seen in before], [seen["score"] for seen in after]) == ([0.75, 0.5], [0.75])


def test_a_reload_without_a_settings_file_does_not_end_a_service(desk: Path, listener: Listener) -> None:
    with service(listener, *program.command(LIVE, *MODEL)) as child:
        listener.until("READY", "1")
        child.send_signal(signal.SIGHUP)
        listener.until("RELOADING", "1")
        listener.until("READY", "1")
        assert listener.until("WATCHDOG")["WATCHDOG"] == "1"
        child.terminate()

        assert child.wait(program.LIMIT) == 0


def test_a_reload_of_a_bad_file_leaves_the_run_as_it_is_and_ready(
    desk: Path, listener: Listener, settings: Path
) -> None:
    words = program.command(LIVE, *MODEL, "--config", "config.toml", "--output", "o.mp4")
    with service(listener, *words) as child:
        listener.until("READY", "1")
        settings.write_text("[detect]\nconfidence = 7\n")
        child.send_signal(signal.SIGHUP)
        listener.until("RELOADING", "1")
        listener.until("READY", "1")
        for _ in range(2):
            assert listener.until("WATCHDOG")["WATCHDOG"] == "1"
        child.terminate()
        _, log = program.end_of(child)

    assert child.returncode == 0
    assert "settings not changed: config.toml:2: detect.confidence = 7:" in log
    assert frames_in(desk / "o.mp4") > 0
