from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import scenes
from scenes import LABELS, scene

from edge_detect.errors import SinkError
from edge_detect.labels import Labels
from edge_detect.sinks.json_lines import JsonLines, record


def test_a_record_holds_what_was_promised_and_no_more() -> None:
    seen = scene([[1.04, 2.06, 30, 40], [0, 0, 96, 64]], [0, 1], number=7, name="a.jpg")

    assert record(seen, LABELS, 1.23456) == {
        "source": "a.jpg",
        "frame": 7,
        "time": 1.235,
        "width": 96,
        "height": 64,
        "detections": [
            {"label": "person", "class_id": 0, "score": 0.75, "box": [1.0, 2.1, 30.0, 40.0]},
            {"label": "traffic light", "class_id": 1, "score": 0.375, "box": [0.0, 0.0, 96.0, 64.0]},
        ],
    }


def test_nothing_found_is_an_empty_list() -> None:
    assert record(scene(), LABELS, 0)["detections"] == []


def test_a_class_without_a_name_is_called_by_its_number() -> None:
    found = record(scene([[0, 0, 9, 9]], [7]), LABELS, 0)["detections"]

    assert (found[0]["label"], found[0]["class_id"]) == ("class 7", 7)


def test_each_line_is_written_at_once(tmp_path: Path) -> None:
    with closing(JsonLines(str(tmp_path / "o.jsonl"), LABELS, live=False)) as sink:
        for number in range(2):
            sink.write(scene(number=number))

            lines = (tmp_path / "o.jsonl").read_text().splitlines()
            assert [json.loads(line)["frame"] for line in lines] == list(range(number + 1))


def test_names_in_any_alphabet_survive(tmp_path: Path) -> None:
    with closing(JsonLines(str(tmp_path / "o.jsonl"), Labels(("Fußgänger 人",)), live=False)) as sink:
        sink.write(scene([[0, 0, 9, 9]], name="Straße \udcff.mp4"))

    told = json.loads((tmp_path / "o.jsonl").read_text("ascii"))
    assert (told["source"], told["detections"][0]["label"]) == ("Straße \udcff.mp4", "Fußgänger 人")


def test_time_is_the_place_in_a_file_and_unix_time_of_a_camera(tmp_path: Path) -> None:
    for live in (False, True):
        with closing(JsonLines(str(tmp_path / "o.jsonl"), LABELS, live=live)) as sink:
            sink.write(scene(time=time.monotonic() - 60 if live else 4.2))

        told = json.loads((tmp_path / "o.jsonl").read_text())["time"]
        assert told == pytest.approx(time.time() - 60, abs=5) if live else told == 4.2


def test_standard_output_is_flushed_and_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(JsonLines("-", LABELS, live=False)) as sink:
        sink.write(scene())
        assert capsys.readouterr().out.count("\n") == 1

    assert not sys.stdout.closed


def test_closing_twice_is_safe_and_nothing_is_written_after(tmp_path: Path) -> None:
    sink = JsonLines(str(tmp_path / "o.jsonl"), LABELS, live=False)
    sink.close()
    sink.close()
    sink.write(scene())

    assert (tmp_path / "o.jsonl").read_text() == ""


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as caught:
        JsonLines(f"{tmp_path}/no/o.jsonl", LABELS, live=False)

    assert str(caught.value) == f"{tmp_path}/no/o.jsonl: cannot write: No such file or directory"


def test_a_full_disk_is_told_in_write_and_in_close() -> None:
    sink = JsonLines("/dev/full", LABELS, live=False)

    for act in (lambda: sink.write(scene()), sink.close):
        with pytest.raises(SinkError) as caught:
            act()
        assert str(caught.value) == "/dev/full: cannot write: No space left on device"


def test_the_frame_is_left_alone(tmp_path: Path) -> None:
    seen = scene([[0, 0, 9, 9]])
    with closing(JsonLines(str(tmp_path / "o.jsonl"), LABELS, live=False)) as sink:
        sink.write(seen)

    assert (seen.frame.image == scenes.picture()).all()
