from __future__ import annotations

from pathlib import Path

import pytest

from edge_detect import board


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a stand-in of vcgencmd, the only one on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "vcgencmd"


def test_temperature_is_read_in_degrees(tmp_path: Path) -> None:
    write(tmp_path / "class/thermal/thermal_zone0/temp", "48312\n")

    assert board.temperature(tmp_path) == 48.312


@pytest.mark.parametrize("text", [None, "", "hot"])
def test_temperature_is_none_where_nothing_tells_it(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write(tmp_path / "class/thermal/thermal_zone0/temp", text)

    assert board.temperature(tmp_path) is None


@pytest.mark.parametrize("place", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_throttling_is_read_from_the_kernel(tmp_path: Path, place: str) -> None:
    write(tmp_path / "devices/platform" / place / "get_throttled", "50005\n")

    assert board.throttled(tmp_path) == 0x50005


@pytest.mark.parametrize(
    "script, bits",
    [
        ("echo throttled=0x50000", 0x50000),
        ("echo throttled=0x0", 0),
        ("echo VCHI initialization failed; exit 255", None),
        ("exit 1", None),
    ],
)
def test_throttling_is_asked_of_the_firmware(firmware: Path, script: str, bits: int | None) -> None:
    firmware.write_text(f"#!/bin/sh\n{script}\n")
    firmware.chmod(0o755)

    assert board.throttled(firmware.parent) == bits


def test_throttling_is_none_on_a_machine_without_it(firmware: Path) -> None:
    assert board.throttled(firmware.parent) is None


@pytest.mark.parametrize(
    "bits, words",
    [
        (None, ()),
        (0, ()),
        (0x1, ("under-voltage",)),
        (0x2, ("frequency capped",)),
        (0x4, ("throttled",)),
        (0x8, ("soft temperature limit",)),
        (0x50005, ("under-voltage", "throttled", "under-voltage before", "throttled before")),
        (0xA0000, ("frequency capped before", "soft temperature limit before")),
        (0xFFF0FFF0, ()),
    ],
)
def test_each_bit_has_a_name(bits: int | None, words: tuple[str, ...]) -> None:
    assert board.flags(bits) == words


def test_only_what_slows_the_machine_now_is_heat() -> None:
    assert {word for word in board.FLAGS.values() if "before" not in word} - board.HEAT == {"under-voltage"}


def test_a_machine_has_a_name_and_cores() -> None:
    assert board.name().strip() == board.name() != ""
    assert board.cores() >= 1
