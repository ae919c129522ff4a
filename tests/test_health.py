from __future__ import annotations

import csv
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_detect.errors import SinkError
from edge_detect.health import Health, Table, bottleneck

HEALTH = Health(
    "2025-01-31T12:00:00+00:00", 10.0, 145, 14.5, 61.2, 82.9, 1.25, 2.5, 55.04, 0.75, 3.1, 4.46,
    3, 1, 187.4, 143.2, 61.3, "throttled", "heat",
)  # fmt: skip


def test_the_line_has_every_item() -> None:
    assert str(HEALTH) == (
        "14.5 fps | age p50 61 p95 83 ms"
        " | ms: capture 1.2 prepare 2.5 invoke 55.0 decode 0.8 draw 3.1 output 4.5"
        " | 3 dropped | cpu 187 % | 143 MB | 61.3 C | throttled | limited by: heat"
    )


def test_the_line_leaves_out_what_nobody_knows() -> None:
    age = {"age_p50_ms": 0.0, "age_p95_ms": 0.0}

    assert str(replace(HEALTH, **age, temperature=None, flags="", limited_by="camera")) == (
        "14.5 fps | ms: capture 1.2 prepare 2.5 invoke 55.0 decode 0.8 draw 3.1 output 4.5"
        " | 3 dropped | cpu 187 % | 143 MB | limited by: camera"
    )


@pytest.mark.parametrize(
    "capture, inference, output, flags, answer",
    [
        (30, 20, 1, (), "camera"),
        (1, 20, 5, (), "inference"),
        (1, 20, 25, (), "output"),
        (30, 20, 1, ("throttled",), "heat"),
        (30, 20, 1, ("soft temperature limit",), "heat"),
        (1, 20, 5, ("under-voltage", "throttled before"), "inference"),
        (0, 0, 0, (), "inference"),
    ],
)
def test_the_longest_stage_is_named_unless_it_is_the_heat(
    capture: float, inference: float, output: float, flags: tuple[str, ...], answer: str
) -> None:
    assert bottleneck(capture, inference, output, flags) == answer


def test_the_table_has_a_row_at_once_for_each_interval(tmp_path: Path) -> None:
    table = Table(str(tmp_path / "s.csv"))
    table.write(HEALTH)
    table.write(replace(HEALTH, temperature=None, flags="throttled, under-voltage"))

    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table.close()
    assert rows[0] == {name: str(value) for name, value in asdict(HEALTH).items()}
    assert (rows[1]["temperature"], rows[1]["flags"]) == ("", "throttled, under-voltage")


def test_closing_the_table_twice_is_safe(tmp_path: Path) -> None:
    table = Table(str(tmp_path / "s.csv"))
    table.close()
    table.close()

    assert (tmp_path / "s.csv").read_text().startswith("time,seconds,frames,fps,age_p50_ms,")


@pytest.mark.parametrize(
    "place, why",
    [
        ("/dev/full", "No space left on device"),
        ("no/s.csv", "No such file or directory"),
        ("/", "Is a directory"),
    ],
)
def test_a_table_that_cannot_be_written_is_told(place: str, why: str) -> None:
    with pytest.raises(SinkError) as caught:
        Table(place)

    assert str(caught.value) == f"{place}: cannot write: {why}"
