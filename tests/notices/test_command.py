from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from happenings import event
from waiting import wait_until

from edge_detect import recipients
from edge_detect.errors import ConfigError, SinkError
from edge_detect.events import to_json
from edge_detect.notices import command
from edge_detect.notices.command import Command, clean, open_command, shown, variables
from edge_detect.notices.filter import Filter

NEVER = threading.Event()


def python(code: str, **settings: Any) -> Command:
    return Command(recipients.Exec(command=(sys.executable, "-S", "-c", code), **settings))


def shell(script: str, **settings: Any) -> Command:
    return Command(recipients.Exec(command=("/bin/sh", "-c", script), **settings))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


def test_a_program_gets_the_event_on_its_standard_input(tmp_path: Path) -> None:
    with closing(open_command(recipients.Exec(command=("tee", str(tmp_path / "got"))), Filter())) as sink:
        sink.tell((event(1),))

    assert json.loads((tmp_path / "got").read_text()) == json.loads(json.dumps(to_json(event(1))))
    assert sink.dropped == 0


def test_a_program_gets_the_event_in_its_environment(tmp_path: Path) -> None:
    shell(f'echo "$EDGE_DETECT_EVENT_LABEL is at $EDGE_DETECT_EVENT_ZONES" > {tmp_path}/got')(event(1), NEVER)

    assert (tmp_path / "got").read_text() == "person is at door\n"


def test_a_folder_for_the_event_that_is_full_or_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(SinkError) as caught:
        shell("true")(event(1), NEVER)

    assert str(caught.value) == "/bin/sh: cannot be started: No such file or directory"


def test_every_field_is_a_variable() -> None:
    found = variables(event(1))

    assert set(found) == {f"EDGE_DETECT_EVENT_{name.upper()}" for name in to_json(event(1)) if name != "v"}
    assert found["EDGE_DETECT_EVENT_BOX"] == "0.1,0.2,0.3,0.4"
    assert found["EDGE_DETECT_EVENT_CLOCK_SYNCED"] == "true"


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("person", "person"),
        ("Fußgänger 人", "Fußgänger 人"),
        ("2026-11-22T01:40:33.120Z", "2026-11-22T01:40:33.120Z"),
        ("$(reboot)", "__reboot_"),
        ("a`id`;rm *|x>y&\"'\\", "a_id__rm __x_y____"),
        ("x\0y\nz\x1b[2J", "x_y_z__2J"),
        ("-rf /", "_rf /"),
        ("a" * 300, "a" * 256),
    ],
    ids=["plain", "languages", "time", "substitution", "shell", "control", "option", "long"],
)
def test_text_of_a_model_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_what_a_label_says_is_not_run(tmp_path: Path) -> None:
    evil = f"$(touch {tmp_path}/evil)\0; touch {tmp_path}/evil"
    shell(f"eval echo $EDGE_DETECT_EVENT_LABEL > {tmp_path}/got")(event(label=evil), NEVER)

    assert [path.name for path in tmp_path.iterdir()] == ["got"]


def test_our_settings_and_sockets_are_no_business_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_DETECT_SOURCE__URI", "rtsp://me:hunter2@cam")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("KEPT", "yes")
    shell(f"env > {tmp_path}/got")(event(1), NEVER)

    names = {line.partition("=")[0] for line in (tmp_path / "got").read_text().splitlines()}
    ours = {name for name in names if name.startswith("EDGE_DETECT_")}
    assert not names & {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"}
    assert all(name.startswith("EDGE_DETECT_EVENT_") for name in ours)
    assert {"KEPT", "PATH"} <= names


def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(SinkError, match=r"^/bin/sh: killed, it took more than 0.2 s: begun$"):
        shell("trap '' TERM INT; echo begun; while :; do sleep 10; done", seconds=0.2)(event(1), NEVER)

    assert time.monotonic() - began < 2


def test_its_children_are_killed_with_it(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(SinkError, match="killed"):
        shell(script, seconds=0.3)(event(1), NEVER)

    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_alive(child))


def test_children_that_it_leaves_behind_are_neither_waited_for_nor_left(tmp_path: Path) -> None:
    began = time.monotonic()
    shell(f"sleep 60 & echo $! > {tmp_path}/child; echo done")(event(1), NEVER)

    child = int((tmp_path / "child").read_text())
    assert time.monotonic() - began < 2
    wait_until(lambda: not is_alive(child))


def test_a_child_that_leaves_the_group_is_not_waited_for() -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    time.sleep(3)\n"  # holds the pipe open
        "    os._exit(0)\n"
        "os._exit(0)"
    )
    began = time.monotonic()
    python(code)(event(1), NEVER)

    assert time.monotonic() - began < 2


def test_a_flood_of_output_is_read_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    python("import sys\nfor _ in range(300): sys.stdout.write('x' * 65536)")(event(1), NEVER)

    assert caplog.messages == [f"exec: {sys.executable}: {'x' * 200}..."]


def test_a_program_that_floods_for_ever_is_killed_and_fills_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(command, "shown", lambda output: sizes.append(len(output)) or shown(output))
    with pytest.raises(SinkError, match=r"killed, it took more than 0.3 s: y y y"):
        Command(recipients.Exec(command=("yes",), seconds=0.3))(event(1), NEVER)

    assert sizes == [command.KEPT]


def test_a_program_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(SinkError, match=r"^/bin/sh: ended with 3: no such lamp$"):
        shell("echo no such lamp >&2; exit 3")(event(1), NEVER)


def test_a_program_that_reads_nothing_is_fine() -> None:
    shell("exec 0<&-; exit 0")(event(1, label="x" * 500_000), NEVER)


def test_output_is_one_short_line_without_escape_codes() -> None:
    assert shown(b"\x1b[31mred\nalert\xff\0\n") == ": ?[31mred alert\N{REPLACEMENT CHARACTER}?"
    assert shown(b" \n") == ""


def test_the_end_of_the_run_kills_it() -> None:
    over = threading.Event()
    timer = threading.Timer(0.1, over.set)
    timer.start()
    with pytest.raises(SinkError, match="killed, the run ends"):
        shell("sleep 60")(event(1), over)
    timer.join()


def test_no_more_run_at_once_than_allowed(tmp_path: Path) -> None:
    script = f"echo + >> {tmp_path}/log; sleep 0.1; echo - >> {tmp_path}/log"
    settings = recipients.Exec(command=("/bin/sh", "-c", script), at_once=2)
    with closing(open_command(settings, Filter())) as sink:
        sink.tell(tuple(event(number) for number in range(6)))

    running = most = 0
    for line in (tmp_path / "log").read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert (most, running, sink.dropped) == (2, 0, 0)


@pytest.mark.parametrize(
    "words, said",
    [
        (("no-such-program-here",), "no program 'no-such-program-here' that may be run"),
        (("/etc/passwd",), "no program '/etc/passwd' that may be run"),
        (("echo", "a\0b"), "expected texts without NUL"),
        ((" echo hello",), "no program ' echo hello' that may be run"),
    ],
    ids=["missing", "no program", "NUL", "a shell's line"],
)
def test_what_cannot_be_run_is_refused_at_once(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Command(recipients.Exec(command=words))

    assert str(caught.value) == said


def test_a_program_that_went_away_costs_one_event(tmp_path: Path) -> None:
    program = tmp_path / "hook"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    hook = Command(recipients.Exec(command=(str(program),)))
    program.unlink()

    with pytest.raises(SinkError, match=r"hook: cannot be started: No such file or directory$"):
        hook(event(1), NEVER)
