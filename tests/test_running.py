from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import program
import pytest
from program import started
from scenes import LABELS
from test_outputs import Recording
from waiting import killed_in_time

from edge_detect import layers
from edge_detect.config import Zone
from edge_detect.controls import Choice, Controls
from edge_detect.facts import Facts
from edge_detect.heartbeats import Heartbeats
from edge_detect.meter import Meter
from edge_detect.notices.desk import open_notices
from edge_detect.outputs import Drawing, Outputs
from edge_detect.running import Reload, examine
from edge_detect.state import Kept

LIVE = f"pattern:?fps=50&width={program.SIZE[0]}&height={program.SIZE[1]}"
BEFORE = "[detect]\nconfidence = 0.4\n[log]\nevery = 7\n"


class Parts:
    """What a reload changes, with the settings of `own.toml`."""

    def __init__(self, path: Path, kept: Kept | None = None) -> None:
        self.path = path
        settings = self.read()
        choice = Choice(settings.config.detect.confidence, settings.config.detect.classes)
        self.controls = Controls(
            kept.choice if kept else choice, LABELS, kept.keep if kept else lambda _: None
        )
        self.outputs = Outputs(settings.config.output, Drawing(LABELS), Recording())  # type: ignore[arg-type]
        self.meter = Meter(settings.config.log.every)
        self.reload = Reload(settings, self.read, self.controls, self.outputs, self.meter, kept)

    def read(self) -> layers.Settings:
        return layers.read(str(self.path), strict=True)

    def now(self) -> tuple[Choice, float]:
        return self.controls.choice, self.meter.every


@pytest.fixture
def parts(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Parts]:
    monkeypatch.chdir(home)
    caplog.set_level(logging.INFO)
    Path("own.toml").write_text(BEFORE)
    made = Parts(home / "own.toml")
    with closing(made.outputs), closing(made.meter):
        yield made


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_what_can_change_changes(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.path.write_text(
        "[detect]\nconfidence = 0.9\nclasses = ['person']\n[log]\nevery = 3\n[output]\noutputs = ['o.jsonl']\n"
    )
    parts.reload()

    assert parts.now() == (Choice(0.9, ("person",)), 3)
    assert Path("o.jsonl").exists()
    assert (parts.reload.done, parts.reload.refused) == (1, 0)
    assert told(caplog) == [
        'INFO settings read again: detect.confidence = 0.9, detect.classes = ["person"],'
        ' output.outputs = ["o.jsonl"], log.every = 3.0'
    ]


def test_what_cannot_change_is_named_until_it_is_as_before(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    for extra in (
        "[model]\nthreads = 2\n[source]\nuri = 'rtsp://a:secret@b'\n",
        "[model]\nthreads = 2\n",
        "",
    ):
        parts.path.write_text(BEFORE + extra)
        parts.reload()

    assert told(caplog) == [
        "INFO settings read again: nothing to change",
        "WARNING settings that need a restart: model.threads, source.uri",
        "INFO settings read again: nothing to change",
        "WARNING settings that need a restart: model.threads",
        "INFO settings read again: nothing to change",
    ]


BAD = {
    "[detect]\nconfidence = 2\nclases = 1\n[log]\nevery = 1\n": [
        "{path}:2: detect.confidence = 2: expected a number from 0 to 1",
        "{path}:3: detect.clases: unknown setting, did you mean 'classes'?",
    ],
    "[detect]\nconfidence = 0.9\nclasses = ['persn']\n[output]\noutputs = ['o.jsonl']\n": [
        "{path}:3: detect.classes = [\"persn\"]: classes: unknown class 'persn', did you mean 'person'?"
    ],
    "[detect]\nconfidence = 0.9\n[output]\noutputs = ['o.jsonl', 'no/o.jsonl']\n": [
        "no/o.jsonl: cannot write: No such file or directory"
    ],
    "[detect]\nconfidence = 0.9\n[output]\noutputs = ['o.gif']\n[source]\nuri = 'patern:'\n": [
        "{path}:6: source.uri = \"patern:\": unknown source 'patern', did you mean 'pattern'?",
        '{path}:4: output.outputs = ["o.gif"]: --output o.gif: expected a video (.mp4), a picture (.jpg),'
        " JSON Lines (.jsonl or -), or a folder/",
    ],
    "[detect]\nconfidence = 0.9\n[output]\noutputs = ['o.jsonl']\n[events]\nthresholds = ['persn=0.7']\n": [
        "events.thresholds: unknown class 'persn', did you mean 'person'?"
    ],
    "[detect]\nconfidence =\n": ["{path}:2: invalid value (column 13)"],
    "": ["{path}: empty, and it was not before; delete it to go back to the defaults"],
}


@pytest.mark.parametrize(
    "text", BAD, ids=["values", "a class", "a place", "places", "a threshold", "no TOML", "empty"]
)
def test_a_bad_file_changes_nothing_and_all_mistakes_are_told(
    parts: Parts, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    parts.read().keep()
    parts.path.write_text(text)
    before = parts.now(), parts.reload.settings
    parts.reload()

    assert (parts.now(), parts.reload.settings) == before
    assert (parts.reload.done, parts.reload.refused) == (0, 1)
    assert told(caplog) == [
        f"ERROR settings not changed: {line.format(path=parts.path)}" for line in BAD[text]
    ]


def test_a_mistake_that_the_model_shows_opens_no_output(parts: Parts) -> None:
    parts.path.write_text("[output]\noutputs = ['o.jsonl']\n[events]\nthresholds = ['persn=0.7']\n")
    parts.reload()

    assert not Path("o.jsonl").exists()


EXEC = "[exec]\ncommand = ['touch', '{}']\n"


@pytest.fixture
def telling(parts: Parts) -> Iterator[Parts]:
    """With a program that is run on events, and nobody else who is told."""
    parts.path.write_text(EXEC.format("old"))
    settings = parts.read()
    notices = open_notices(settings, parts.controls, Facts(), Heartbeats())
    parts.reload = Reload(settings, parts.read, parts.controls, parts.outputs, parts.meter, notices=notices)
    with closing(notices):
        yield parts


def test_who_is_told_of_events_changes(telling: Parts, caplog: pytest.LogCaptureFixture) -> None:
    telling.path.write_text(EXEC.format("new") + "labels = ['person']\nqueue = 9\n")
    telling.reload()

    assert told(caplog) == [
        'INFO settings read again: exec.command = ["touch", "new"], exec.labels = ["person"]',
        "WARNING settings that need a restart: exec.queue",
    ]


def test_who_is_told_of_events_comes_and_goes_with_a_restart(
    telling: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    telling.path.write_text("[webhook]\nurl = 'https://home.example/'\nlabels = ['person']\n")
    telling.reload()

    assert told(caplog) == [
        "INFO settings read again: nothing to change",
        "WARNING settings that need a restart: webhook.url, webhook.labels, exec.command",
    ]


def test_a_file_that_is_gone_changes_nothing(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.path.unlink()
    parts.reload()

    assert parts.now() == (Choice(0.4), 7)
    assert told(caplog)[0].startswith(f"ERROR settings not changed: --config {parts.path}: no such file")


def test_a_good_file_after_a_bad_one_is_taken(parts: Parts) -> None:
    for text in ("[log]\nevery = -1\n", "[log]\nevery = 2\n"):
        parts.path.write_text(text)
        parts.reload()

    assert parts.now() == (Choice(0.2), 2)


def test_what_was_read_again_is_the_copy_for_a_power_cut(parts: Parts) -> None:
    parts.path.write_text("[log]\nevery = 2\n")
    parts.reload()
    parts.path.write_text("")

    assert layers.read(str(parts.path)).config.log.every == 2


def test_the_page_keeps_what_the_file_does_not_change(parts: Parts) -> None:
    kept = Kept(Choice(0.4), quiet=60)
    paged = Parts(parts.path, kept)
    with closing(kept), closing(paged.outputs), closing(paged.meter):
        paged.controls.change(confidence=0.5, classes=["person"])
        parts.path.write_text(BEFORE + "stats = 'x.csv'\n")
        paged.reload()
        assert paged.controls.choice == Choice(0.5, ("person",))
        parts.path.write_text(BEFORE.replace("0.4", "0.6"))
        paged.reload()
        assert paged.controls.choice == Choice(0.6, ("person",))

    assert Kept(Choice(0.4)).choice == Choice(0.4, ("person",))


def test_examining_leaves_to_a_flag_its_own_words(parts: Parts) -> None:
    with pytest.raises(ValueError, match=r"^unknown source 'patern', did you mean 'pattern'\?$"):
        examine(layers.read(None, {"source.uri": "patern:"}))


# and now the whole program


@contextmanager
def watching(desk: Path, text: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The program with these settings, which has looked at a frame."""
    (desk / "own.toml").write_text(f"[model]\npath = 'model.tflite'\n[source]\nuri = '{LIVE}'\n{text}")
    with at_work("--config", "own.toml", "--json", *words) as child:
        seen(child, lambda row: True)
        yield child


@contextmanager
def at_work(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The program, without a terminal."""
    with started(*words, start_new_session=True) as child, killed_in_time(child):
        yield child


def seen(child: subprocess.Popen[str], enough: Callable[[dict[str, Any]], bool]) -> None:
    """Reads what the program tells until a frame is `enough`."""
    assert child.stdout
    assert any(enough(json.loads(line)) for line in child.stdout)


def names(row: dict[str, Any]) -> list[str]:
    return [one["label"] for one in row["detections"]]


def logged(child: subprocess.Popen[str], word: str) -> str:
    """The next message of the log that has a word in it."""
    assert child.stderr
    return next(line for line in child.stderr if word in line).rstrip().partition(" ")[2].partition(" ")[2]


def ended(child: subprocess.Popen[str]) -> str:
    """The log of a program that is told to end."""
    child.send_signal(signal.SIGTERM)
    log = program.end_of(child)[1]
    assert child.returncode == 0
    return log


def change(desk: Path, old: str, new: str) -> None:
    path = desk / "own.toml"
    path.write_text(path.read_text().replace(old, new))


def test_sighup_changes_a_run(desk: Path, home: Path) -> None:
    with watching(desk, "[detect]\nconfidence = 0.4\n") as child:
        seen(child, lambda row: names(row) == ["person", "car"])
        change(desk, "0.4", "0.6\n[output]\noutputs = ['o.jsonl']")
        child.send_signal(signal.SIGHUP)
        seen(child, lambda row: names(row) == ["person"])
        change(desk, "0.6", "0.4\nclasses = ['car']")
        child.send_signal(signal.SIGHUP)
        seen(child, lambda row: names(row) == ["car"])
        log = ended(child)

    assert {tuple(names(json.loads(line))) for line in (desk / "o.jsonl").read_text().splitlines()} == {
        ("person",), ("car",)
    }  # fmt: skip
    assert log.count("INFO settings read again: ") == 2


def test_sighup_changes_who_is_told_of_events(desk: Path, home: Path) -> None:
    text = "[exec]\ncommand = ['touch', 'old']\ntypes = ['end']\n[events]\nhits = 1\nmin_duration = 0\n"
    with watching(desk, text) as child:
        change(desk, "old", "new")
        child.send_signal(signal.SIGHUP)
        logged(child, 'exec.command = ["touch", "new"]')
        ended(child)

    assert ((desk / "old").exists(), (desk / "new").exists()) == (False, True)


def test_sighup_with_a_bad_file_changes_nothing(desk: Path, home: Path) -> None:
    with watching(desk, "[detect]\nconfidence = 0.4\n") as child:
        change(desk, "0.4", "4\nclases = ['car']")
        child.send_signal(signal.SIGHUP)
        errors = [logged(child, "ERROR"), logged(child, "ERROR")]
        (desk / "own.toml").write_text("[log\n")
        child.send_signal(signal.SIGHUP)
        errors.append(logged(child, "ERROR"))
        for _ in range(3):
            seen(child, lambda row: names(row) == ["person", "car"])
        ended(child)

    assert errors == [
        "settings not changed: own.toml:6: detect.confidence = 4: expected a number from 0 to 1",
        "settings not changed: own.toml:7: detect.clases: unknown setting, did you mean 'classes'?",
        "settings not changed: own.toml:1: expected ']' at the end of a table declaration (column 5)",
    ]


def test_sighup_without_settings_files_ends_the_run(desk: Path, home: Path) -> None:
    with at_work(LIVE, "-m", "model.tflite", "--json") as child:
        seen(child, lambda row: True)
        child.send_signal(signal.SIGHUP)
        program.end_of(child)

        assert child.returncode == 0


def test_a_flag_wins_over_a_file_that_is_read_again(desk: Path, home: Path) -> None:
    with watching(desk, "[detect]\nconfidence = 0.1\n[log]\nevery = 9\n", "-c", "0.6") as child:
        change(desk, "0.1", "0.2")
        change(desk, "9", "8")
        child.send_signal(signal.SIGHUP)
        told = logged(child, "again")
        seen(child, lambda row: names(row) == ["person"])
        ended(child)

    assert told == "settings read again: log.every = 8.0"


def test_a_run_with_wrong_settings_ends_with_78_and_all_mistakes(desk: Path, home: Path) -> None:
    (desk / "own.toml").write_text("[detect]\nconfidence = 4\nclases = ['car']\n")

    end = program.run("--config", "own.toml", "clip.mp4")

    assert (end.returncode, end.stdout) == (78, "")
    assert end.stderr == (
        "edge-detect: error: own.toml:2: detect.confidence = 4: expected a number from 0 to 1\n"
        "edge-detect: error: own.toml:3: detect.clases: unknown setting, did you mean 'classes'?\n"
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("[source]\nuri = 'patern:'\n", "unknown source 'patern', did you mean 'pattern'?"),
        ("[detect]\nclasses = ['persn']\n", "classes: unknown class 'persn', did you mean 'person'?"),
        ("[output]\noutputs = ['o.gif']\n", "--output o.gif: expected a video (.mp4), a picture"),
        ("[webhook]\nurl = 'http://home.example'\n", "http:// is readable by everybody on the way"),
        ("[exec]\ncommand = ['no-such-program-here']\n", "no program 'no-such-program-here' that may be run"),
        ("[mqtt]\nlabels = ['persn']\nhost = 'x'\n", "unknown label 'persn', did you mean 'person'?"),
        ("[gpio]\nkinds = ['came']\npin = 17\n", "unknown kind 'came', expected one of: appeared"),
    ],
)
def test_a_setting_that_only_the_parts_can_check_is_told_with_its_line(
    desk: Path, home: Path, text: str, said: str
) -> None:
    place = "" if "source" in text else "[source]\nuri = 'clip.mp4'\n"
    (desk / "own.toml").write_text(f"{text}[model]\npath = 'model.tflite'\n{place}")

    end = program.run("--config", "own.toml", "-q")

    assert end.returncode == 78
    assert end.stderr.startswith("edge-detect: error: own.toml:2: ")
    assert f": {said}" in end.stderr


def test_everything_of_a_run_can_be_said_in_a_file(desk: Path, home: Path) -> None:
    (desk / "own.toml").write_text(
        "[model]\npath = 'model.tflite'\nthreads = 1\n[source]\nuri = 'clip.mp4'\n"
        "[detect]\nconfidence = 0.3\nclasses = ['car']\n"
        "[output]\njson = true\noutputs = ['o.jsonl']\nsnapshots = 'seen'\n"
        "[log]\nevery = 0.0001\nstats = 's.csv'\n"
    )

    end = program.run("--config", "own.toml", "--frames", "5")

    assert (end.returncode, end.stdout) == (0, (desk / "o.jsonl").read_text())
    assert [names(json.loads(line)) for line in end.stdout.splitlines()] == [["car"]] * 5
    assert [path.name for path in (desk / "seen").iterdir()] == ["000000.000s-car.jpg"]
    assert end.stderr.count("limited by") == len((desk / "s.csv").read_text().splitlines()) - 1 > 1


def test_the_machine_and_the_user_have_files_of_their_own(desk: Path, home: Path) -> None:
    for name, text in (
        ("etc", "[source]\nuri = 'clip.mp4'\n"),
        ("user/edge-detect", "[output]\njson = true\n"),
    ):
        (home / name).mkdir(parents=True)
        (home / name / "config.toml").write_text(text)

    end = program.run("-m", "model.tflite", "-q", "--frames", "2")

    assert (end.returncode, end.stdout.count("\n"), end.stderr) == (0, 2, "")


def test_a_settings_file_cut_off_by_a_power_cut_starts_with_the_last_good_one(desk: Path, home: Path) -> None:
    text = "[model]\npath = 'model.tflite'\n[source]\nuri = 'clip.mp4'\n[detect]\nclasses = ['car']\n"
    for kept in (text, text[:-7], ""):
        (desk / "own.toml").write_text(kept)
        end = program.run("--config", "own.toml", "-q", "--json", "--frames", "1")

        assert (end.returncode, names(json.loads(end.stdout))) == (0, ["car"])
        assert ("the settings of the last good start hold" in end.stderr) == (kept != text)


def test_a_start_that_failed_is_no_good_one(desk: Path, home: Path) -> None:
    text = "[model]\npath = 'model.tflite'\n[source]\nuri = 'clip.mp4'\n[detect]\nclasses = ['car']\n"
    codes = []
    for kept in (text, text.replace("car", "cra"), ""):
        (desk / "own.toml").write_text(kept)
        end = program.run("--config", "own.toml", "-q", "--json", "--frames", "1")
        codes.append(end.returncode)

    assert codes == [0, 78, 0]
    assert names(json.loads(end.stdout)) == ["car"]


def modules_of(*words: str) -> set[str]:
    """What a run imports."""
    script = (
        "import sys; from edge_detect.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(*sys.modules, sep='\\n')"
    )
    return set(subprocess.check_output([sys.executable, "-c", script, *words], text=True).split())


def test_a_run_without_settings_files_reads_none(desk: Path, home: Path) -> None:
    words = ("clip.mp4", "-q", "-m", "model.tflite", "--frames", "1")
    (desk / "own.toml").write_text("[log]\nevery = 1\n")
    ours = {f"edge_detect.{name}" for name in ("settings_file", "toml_lines", "durable", "state", "manual")}

    assert modules_of(*words) & (ours | {"tomllib", "msgspec", "tornado"}) == set()
    assert "tomllib" in modules_of(*words, "--config", "own.toml")


def post(log: str, changes: dict[str, Any]) -> int:
    """Changes settings in the page that a line of the log tells of; the status of the answer."""
    host = log.partition("http://")[2].rstrip("/")
    page = HTTPConnection(host, timeout=program.LIMIT)
    headers = {"Content-Type": "application/json", "X-Requested-With": "test", "Origin": f"http://{host}"}
    page.request("POST", "/api/settings", json.dumps(changes), headers)
    with closing(page):
        return page.getresponse().status


def test_what_the_page_changes_holds_in_the_next_run_with_a_page(desk: Path, home: Path) -> None:
    pytest.importorskip("tornado")
    settings, page = "[detect]\nconfidence = 0.4\n", ("--web", "127.0.0.1:0")
    before = ""
    with watching(desk, settings, *page) as child:
        before = (desk / "own.toml").read_text()
        assert post(logged(child, "live page"), {"confidence": 0.6}) == 200
        seen(child, lambda row: names(row) == ["person"])
        ended(child)

    assert (desk / "own.toml").read_text() == before
    for words, expected in (
        (page, ["person"]),
        ((), ["person", "car"]),
        ((*page, "-c", "0.1"), ["person", "car"]),
    ):
        with watching(desk, settings, *words) as child:
            seen(child, lambda row, expected=expected: names(row) == expected)
            ended(child)
    with watching(desk, settings.replace("0.4", "0.3"), *page) as child:
        seen(child, lambda row: names(row) == ["person", "car"])
        ended(child)


def test_a_zone_that_was_drawn_for_the_classes_of_another_model_does_not_end_the_run(
    desk: Path, home: Path
) -> None:
    pytest.importorskip("tornado")
    drawn = Zone("door", points=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)), classes=("gnome",))
    with closing(Kept(Choice(0.2), path=home / "state/edge-detect/state.json")) as kept:
        kept.keep(Choice(0.2, zones=(drawn,)))
    with watching(desk, "", "--web", "127.0.0.1:0") as child:
        told = logged(child, "not taken")
        seen(child, lambda row: True)
        ended(child)

    assert told.startswith(f"{kept.path}: not taken: zone 'door': unknown class 'gnome', expected one of: ")


def test_a_pause_outlives_a_restart(desk: Path, home: Path) -> None:
    pytest.importorskip("tornado")
    with watching(desk, "", "--web", "127.0.0.1:0") as child:
        assert post(logged(child, "live page"), {"paused": True}) == 200
        ended(child)
    with at_work("--config", "own.toml", "--json", "--web", "127.0.0.1:0") as child:
        told = logged(child, "as changed in the page")
        assert post(logged(child, "live page"), {"paused": False}) == 200
        seen(child, lambda row: True)
        ended(child)

    assert told == f"{home}/state/edge-detect/state.json: paused = True, as changed in the page"
