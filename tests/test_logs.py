from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_detect import logs

TALK = """
import logging, sys, warnings
from edge_detect import logs
logs.configure(logging.DEBUG, sys.argv[1])
log = logging.getLogger("edge_detect.x")
log.debug("a detail"); log.info("18.2 %s", "fps"); log.warning("camera lost"); log.error("two\\nlines: %s", "\\x1b\\x85\\u2028 é")
log.critical("a\\nb", extra=logs.MANY)
warnings.warn("old")
if sys.argv[2:]: logs.tell("no\\nmodel")
else: raise ValueError("broken")
"""

ONE_LINE = r"two\nlines: \x1b\x85\u2028 é"
"""What is left of a message whose words would begin a line of their own, or paint the terminal."""


def talk(tmp_path: Path, *words: str, journal: bool = True) -> list[str]:
    """What a process with those arguments writes to standard error."""
    log = tmp_path / "log"
    with log.open("w") as file:
        found = os.fstat(file.fileno())
        stream = f"{found.st_dev}:{found.st_ino if journal else found.st_ino + 1}"
        environment = {**os.environ, "JOURNAL_STREAM": stream}
        subprocess.run([sys.executable, "-c", TALK, *words], env=environment, stderr=file, check=False)
    return log.read_text().rstrip("\n").split("\n")


def test_every_line_for_the_journal_begins_with_its_priority(tmp_path: Path) -> None:
    told = talk(tmp_path, "text")

    assert told[:3] == ["<7>a detail", "<6>18.2 fps", "<4>camera lost"]
    assert told[3:6] == [f"<3>{ONE_LINE}", "<2>a", "<2>b"]
    assert told[6].startswith("<4>")
    assert told[6].endswith("UserWarning: old")
    crash = 7
    assert told[crash] == "<2>broken"
    assert told[crash + 1] == "<2>Traceback (most recent call last):"
    assert told[-1] == "<2>ValueError: broken"
    assert all(re.match("<[2-7]>", line) for line in told)


def test_a_terminal_gets_times_and_words(tmp_path: Path) -> None:
    told = talk(tmp_path, "text", journal=False)

    assert [re.sub(r"^\d\d:\d\d:\d\d", "TIME", line) for line in told[:6]] == [
        "TIME DEBUG a detail",
        "TIME INFO 18.2 fps",
        "TIME WARNING camera lost",
        f"TIME ERROR {ONE_LINE}",
        "TIME CRITICAL a",
        "b",
    ]
    assert told[-1] == "ValueError: broken"


@pytest.mark.parametrize("journal", [True, False])
def test_a_program_gets_one_object_a_line(tmp_path: Path, journal: bool) -> None:
    told = talk(tmp_path, "json", journal=journal)

    assert all(line.startswith("<") == journal for line in told)
    objects = [json.loads(re.sub("^<.>", "", line)) for line in told]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", objects[0].pop("time"))
    assert objects[0] == {"level": "debug", "logger": "edge_detect.x", "message": "a detail"}
    assert [told["level"] for told in objects[1:]] == [
        "info", "warning", "error", "critical", "warning", "critical"
    ]  # fmt: skip
    assert objects[3]["message"] == "two\nlines: \x1b\x85\u2028 é"
    assert objects[-1]["traceback"].endswith("ValueError: broken")


@pytest.mark.parametrize(
    ("form", "journal", "line"),
    [
        ("text", True, r"<3>no\nmodel"),
        ("text", False, r"edge-detect: error: no\nmodel"),
        ("json", False, '"level": "error", "logger": "edge_detect", "message": "no\\nmodel"}'),
    ],
)
def test_the_last_word_has_the_form_of_all_others(
    tmp_path: Path, form: str, journal: bool, line: str
) -> None:
    assert talk(tmp_path, form, "tell", journal=journal)[-1].endswith(line)


def test_a_wrong_option_is_told_with_its_priority_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        command = [sys.executable, "-m", "edge_detect", "run", "--nonsense"]
        subprocess.run(command, env=environment, stderr=file, check=False)

    assert (tmp_path / "log").read_text().startswith("<3>edge-detect: error: unknown argument '--nonsense'")


@pytest.mark.parametrize("stream", ["", "8:1", "nonsense", "::"])
def test_another_stream_is_not_the_journal(stream: str) -> None:
    assert not logs.to_journal(stream)


@pytest.mark.parametrize(("asked", "given"), [(10.0, 60.0), (300.0, 300.0), (0.0, 0.0)])
def test_a_journal_gets_a_health_line_a_minute_at_most(
    monkeypatch: pytest.MonkeyPatch, asked: float, given: float
) -> None:
    assert logs.interval(asked) == asked
    monkeypatch.setattr(logs, "to_journal", lambda: True)
    assert logs.interval(asked) == given


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


Say = Callable[..., None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(clock: Clock, stream: io.StringIO) -> Iterator[logging.Logger]:
    handler = logs.Steady(stream, clock)
    log = logging.Logger("edge_detect.steady")
    log.addHandler(handler)
    yield log
    handler.close()


def test_the_same_trouble_is_told_once_a_minute_and_counted(
    log: logging.Logger, clock: Clock, stream: io.StringIO
) -> None:
    for second in range(120):
        clock.now = second
        log.warning("camera: no frame for %.1f s", second * 1.5)
        log.warning("disk full")

    assert stream.getvalue().splitlines() == [
        "camera: no frame for 0.0 s",
        "disk full",
        "camera: no frame for 88.5 s (59 like this in 60 s)",
        "disk full (59 like this in 60 s)",
    ]


def test_what_was_left_out_is_told_with_the_next_line_and_at_the_end(
    log: logging.Logger, clock: Clock, stream: io.StringIO
) -> None:
    log.error("a")
    log.error("a")
    clock.now = 70
    log.info("health")
    clock.now = 75
    log.error("a")
    log.handlers[0].close()

    assert stream.getvalue().splitlines() == [
        "a", "a (1 like this in 70 s)", "health", "a (1 like this in 5 s)"
    ]  # fmt: skip


def test_what_is_no_trouble_is_told_each_time(log: logging.Logger, stream: io.StringIO) -> None:
    for _ in range(3):
        log.info("18.2 fps")

    assert stream.getvalue() == "18.2 fps\n" * 3


def test_trouble_of_another_kind_or_with_a_traceback_is_told(
    log: logging.Logger, stream: io.StringIO
) -> None:
    log.warning("camera 0 lost")
    log.error("camera 0 lost")
    for _ in range(2):
        log.error("broke", exc_info=(ValueError, ValueError("x"), None))

    assert stream.getvalue().splitlines() == [
        "camera 0 lost", "camera 0 lost", "broke", "ValueError: x", "broke", "ValueError: x"
    ]  # fmt: skip


def test_quiet_trouble_is_forgotten(log: logging.Logger, clock: Clock) -> None:
    for number in range(1000):
        clock.now = number
        log.warning("label %s", "x" * number)

    handler = log.handlers[0]
    assert isinstance(handler, logs.Steady)
    assert len(handler._told) <= 60


def test_a_trouble_is_told_once_a_minute_with_how_often_it_came(clock: Clock) -> None:
    told: list[str] = []
    complain = logs.Minutely(lambda message, *values: told.append(message % values), clock)
    for _ in range(181):
        complain("full: %s", "disk")
        clock.now += 1

    assert told == ["full: disk"] + ["full: disk (59 more since the last such line)"] * 3
