from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scenes import LABELS, scene

from edge_detect.config import Output
from edge_detect.errors import ConfigError, SinkError
from edge_detect.outputs import Drawing, Outputs, wanted
from edge_detect.sinks import json_lines


@dataclass
class Recording:
    """What an output asks of a source."""

    address: str = ""
    live: bool = False
    fps: float = 25.0


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    """`a.jsonl` is open."""
    monkeypatch.chdir(tmp_path)
    with closing(opened("a.jsonl")) as made:
        yield made


def opened(*places: str, **more: Any) -> Outputs:
    return Outputs(Output(outputs=places, **more), Drawing(LABELS), Recording())  # type: ignore[arg-type]


def exchange(outputs: Outputs, *places: str, **more: Any) -> None:
    outputs.prepare(Output(outputs=places, **more))()


def frames(path: str) -> list[int]:
    return [json.loads(line)["frame"] for line in Path(path).read_text().splitlines()]


def test_each_output_is_wanted_once() -> None:
    settings = Output(outputs=("o.mp4", "-", "o.mp4", "all/"), json=True, snapshots="seen")

    assert wanted(settings) == [
        ("json", "-"),
        ("video", "o.mp4"),
        ("pictures", "all/"),
        ("snapshots", "seen"),
    ]
    assert wanted(Output()) == []


def test_an_output_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        wanted(Output(outputs=("",)))

    assert str(caught.value) == "--output: expected a file or a folder/, got an empty name"


def test_one_that_is_wanted_anew_gets_the_scenes_from_then_on(outputs: Outputs) -> None:
    outputs.write(scene(number=0))
    exchange(outputs, "a.jsonl", "b.jsonl")
    outputs.write(scene(number=1))

    assert (frames("a.jsonl"), frames("b.jsonl")) == ([0, 1], [1])


def test_one_that_is_wanted_no_more_is_closed(outputs: Outputs) -> None:
    outputs.write(scene(number=0))
    exchange(outputs, "b.jsonl")
    outputs.write(scene(number=1))

    assert (frames("a.jsonl"), frames("b.jsonl")) == ([0], [1])


def test_one_that_cannot_be_opened_leaves_all_as_they_were(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    close = json_lines.JsonLines.close
    monkeypatch.setattr(json_lines.JsonLines, "close", lambda sink: (closed.append(sink._name), close(sink)))
    with pytest.raises(SinkError, match=r"^no/b\.jsonl: cannot write: "):
        outputs.prepare(Output(outputs=("b.jsonl", "no/b.jsonl")))
    outputs.write(scene(number=0))

    assert (frames("a.jsonl"), closed) == ([0], ["b.jsonl"])


def test_one_that_makes_no_sense_opens_nothing(outputs: Outputs) -> None:
    with pytest.raises(ConfigError, match=r"^--output b\.gif: expected a video"):
        outputs.prepare(Output(outputs=("b.jsonl", "b.gif")))
    assert not Path("b.jsonl").exists()


def test_snapshots_can_be_begun_and_ended(outputs: Outputs) -> None:
    for snapshots, number in (("", 0), ("seen", 1), ("", 2)):
        exchange(outputs, "a.jsonl", snapshots=snapshots)
        outputs.write(scene([[0, 0, 9, 9]], number=number, time=float(number * 2)))

    assert [path.name for path in Path("seen").iterdir()] == ["000002.000s-person.jpg"]
    assert frames("a.jsonl") == [0, 1, 2]


def test_the_source_itself_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    place = str(tmp_path / "clip.mp4")

    with pytest.raises(ConfigError) as caught:
        Outputs(Output(outputs=(place,)), Drawing(LABELS), Recording(place))  # type: ignore[arg-type]
    assert str(caught.value) == f"--output {place}: is the source itself; choose another file"


def test_all_are_closed_though_one_fails(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange(outputs, "a.jsonl", "b.jsonl", "c.jsonl")
    closed = []

    def close(sink: Any) -> None:
        closed.append(sink._name)
        sink._file.close()
        if sink._name == "b.jsonl":
            raise SinkError("b.jsonl: disk full")

    monkeypatch.setattr(json_lines.JsonLines, "close", close)
    with pytest.raises(SinkError, match="disk full"):
        outputs.close()
    outputs.close()
    assert sorted(closed) == ["a.jsonl", "b.jsonl", "c.jsonl"]
