from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from edge_detect.config import Zone
from edge_detect.controls import Choice, Controls
from edge_detect.labels import Labels
from edge_detect.state import Kept

SETTINGS = Choice(0.2, ("person",))
CHANGED = Choice(0.4, ("person", "car"), paused=True)
DOOR = Zone("door", points=((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)), classes=("person",), stay=8.0)
KERB = Zone("kerb", "line", ((0.0, 0.5), (1.0, 0.5)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/state.json"


def kept(path: Path, settings: Choice = SETTINGS, **more: Any) -> Kept:
    return Kept(settings, path=path, quiet=0, **more)


def keep(path: Path, *choices: Choice, settings: Choice = SETTINGS, **more: Any) -> None:
    """One run in which the page changes something."""
    run = kept(path, settings, **more)
    for choice in choices:
        run.keep(choice)
    run.close()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not any(thread.name == "state" for thread in threading.enumerate())


def test_without_a_change_the_settings_hold_and_nothing_is_written(path: Path) -> None:
    run = kept(path)
    run.close()

    assert run.choice == SETTINGS
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "choice",
    [
        CHANGED,
        replace(SETTINGS, classes=()),
        replace(SETTINGS, confidence=1),
        replace(SETTINGS, paused=True),
        replace(SETTINGS, zones=(DOOR, KERB)),
    ],
    ids=["all", "all classes", "a whole number", "paused", "zones"],
)
def test_a_change_holds_in_the_next_run(path: Path, choice: Choice) -> None:
    keep(path, choice)

    assert kept(path).choice == choice


def test_a_change_is_written_while_the_run_goes_on(path: Path) -> None:
    run = kept(path)
    run.keep(CHANGED)

    wait_until(path.exists)
    assert kept(path).choice == CHANGED
    run.close()


def test_the_last_of_many_changes_is_written_and_only_that(path: Path) -> None:
    run = Kept(SETTINGS, path=path, quiet=60)
    for n in range(100):
        run.keep(Choice(n / 100))
    assert not path.exists()
    run.close()

    assert kept(path).choice == Choice(0.99)


def test_the_same_choice_is_not_written_again(path: Path) -> None:
    keep(path, CHANGED)
    before = path.stat().st_ino
    keep(path, CHANGED)

    assert path.stat().st_ino == before


def test_a_change_back_to_the_settings_is_no_change(path: Path) -> None:
    keep(path, CHANGED, SETTINGS)
    keep(path, CHANGED)
    keep(path, SETTINGS)

    assert json.loads(path.read_bytes()) == {"changes": {}}


def test_what_the_settings_say_anew_wins_and_the_rest_stays_changed(path: Path) -> None:
    keep(path, CHANGED)
    settings = replace(SETTINGS, confidence=0.7)

    assert kept(path, settings).choice == replace(CHANGED, confidence=0.7)


def test_a_change_that_the_settings_have_overruled_does_not_come_back(path: Path) -> None:
    keep(path, CHANGED)
    kept(path, replace(SETTINGS, confidence=0.7)).close()

    assert kept(path).choice == replace(CHANGED, confidence=SETTINGS.confidence)


def test_settings_that_change_in_the_run_are_what_the_next_change_differs_from(path: Path) -> None:
    run, settings = kept(path), replace(SETTINGS, confidence=0.3)
    run.keep(CHANGED)
    run.settings = settings
    run.keep(replace(CHANGED, confidence=0.3))
    run.close()

    assert kept(path, replace(settings, confidence=0.9)).choice.confidence == 0.9
    assert kept(path, settings).choice == replace(CHANGED, confidence=0.3)


def test_a_flag_wins_for_its_run_and_forgets_nothing(path: Path) -> None:
    keep(path, CHANGED)
    flagged = replace(SETTINGS, confidence=0.9)

    run = kept(path, flagged, fixed={"confidence"})
    assert run.choice == replace(CHANGED, confidence=0.9)
    run.keep(replace(CHANGED, confidence=0.8, paused=False))
    run.close()
    assert kept(path).choice == replace(CHANGED, paused=False)


def test_a_file_cut_off_at_any_length_gives_way_to_its_good_copy(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, CHANGED)
    data = path.read_bytes()

    for length in range(len(data)):
        caplog.clear()
        path.write_bytes(data[:length])

        assert kept(path).choice == CHANGED
        said = "damaged" if length else "empty"
        assert caplog.record_tuples[0] == (
            "edge_detect.state", logging.ERROR, f"{path}: {said}; its good copy holds: {path}.good"
        )  # fmt: skip


@pytest.mark.parametrize("length", [0, 5])
def test_when_both_are_damaged_the_settings_hold(
    path: Path, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    keep(path, CHANGED)
    for file in (path, Path(f"{path}.good")):
        file.write_bytes(file.read_bytes()[:length])

    assert kept(path).choice == SETTINGS
    assert "the settings hold, what was changed in the page is lost" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "[]", "7", "null", "{}", '{"changes": 3}', '{"changes": {"confidence": 3}}', "\0\0\0", "[" * 9999,
        '{"changes": {"confidence": {"from": 0.2}}}', '{"changes": {"confidence": {"from": 0.2, "to": "x"}}}',
        '{"changes": {"classes": {"from": [], "to": [1]}}}', '{"changes": {"pin": {"from": 1, "to": 2}}}',
        '{"changes": {"paused": {"from": false, "to": 1}}}', '{"changes": {"confidence": {"from": 1, "to": 2}}}',
    ],
)  # fmt: skip
def test_what_is_not_ours_is_no_choice(path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)

    assert kept(path).choice == SETTINGS
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_file_that_cannot_be_read_is_told_in_words(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir(parents=True)

    assert kept(path).choice == SETTINGS
    assert caplog.messages == [
        f"{path}: cannot read: Is a directory; the settings hold, what was changed in the page is lost"
    ]


def test_who_deletes_the_file_gets_the_settings(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(path, CHANGED)
    path.unlink()

    assert kept(path).choice == SETTINGS
    assert caplog.messages == []


def test_a_place_that_cannot_be_written_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.write_text("a file where the folder should be")
    run = kept(path)
    run.keep(CHANGED)
    wait_until(lambda: "not kept" in caplog.text)
    run.keep(replace(CHANGED, confidence=0.1))
    run.close()

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"what was changed in the page is not kept: {path.parent}: cannot write: File exists"]


def test_a_change_never_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_detect import durable

    hangs, begun = threading.Event(), threading.Event()
    monkeypatch.setattr(durable, "write", lambda *_: (begun.set(), hangs.wait(5)))
    run = kept(path)
    run.keep(CHANGED)
    assert begun.wait(5)

    run.keep(SETTINGS)
    assert run.choice == SETTINGS
    hangs.set()
    run.close()


def test_it_keeps_what_the_controls_are_told(path: Path) -> None:
    run = kept(path)
    controls = Controls(run.choice, Labels(("person", "car")), run.keep)
    controls.change(confidence=0.6, classes=["car"])
    run.close()

    assert kept(path).choice == Choice(0.6, ("car",))


def test_zones_that_were_drawn_hold_until_the_settings_have_others(path: Path) -> None:
    settings = replace(SETTINGS, zones=(DOOR,))
    keep(path, replace(settings, zones=()), settings=settings)
    drawn = kept(path, settings).choice.zones
    moved = replace(DOOR, points=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))

    assert drawn == ()
    assert kept(path, replace(SETTINGS, zones=(moved,))).choice.zones == (moved,)


@pytest.mark.parametrize(
    "zone",
    [1, {"name": 1}, {"name": "a", "points": [[0, 2]]}, {"name": "a", "points": "0,0"}, {"kind": "shell"},
     {"exec": "reboot"}, {"classes": [1]}, {"points": [[0, 0, 0]]}, {"stay": "long"}, {"anchor": "head"}],
    ids=str,
)  # fmt: skip
def test_a_zone_that_is_none_is_a_damaged_file(
    path: Path, zone: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"changes": {"zones": {"from": [], "to": [zone]}}}))

    assert kept(path).choice == SETTINGS
    assert "damaged" in caplog.text
