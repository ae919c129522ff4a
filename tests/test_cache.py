from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_detect import cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "/user/.cache/edge-detect"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/edge-detect"),
        ({"XDG_CACHE_HOME": ""}, "/user/.cache/edge-detect"),
        ({"CACHE_DIRECTORY": "/var/cache/edge-detect", "XDG_CACHE_HOME": "/xdg"}, "/var/cache/edge-detect"),
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b"}, "/var/cache/a"),
    ],
    ids=["home", "XDG", "XDG empty", "systemd first", "systemd with two"],
)
def test_the_folder_is_the_one_that_the_system_gives(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("HOME", "/user")
    for name in ("XDG_CACHE_HOME", "CACHE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cache.folder() == Path(expected)


def test_what_was_stored_is_loaded(home: Path) -> None:
    cache.store("cards/a.json", "é\n1")

    assert cache.load("cards/a.json") == "é\n1"
    assert [path.name for path in (home / "edge-detect/cards").iterdir()] == ["a.json"]


def test_what_is_stored_again_replaces_the_first(home: Path) -> None:
    cache.store("a", "long text")
    cache.store("a", "1")

    assert cache.load("a") == "1"


def test_what_was_never_stored_is_none(home: Path) -> None:
    assert cache.load("a") is None


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", None], ids=["binary", "a folder"])
def test_what_cannot_be_read_is_none(home: Path, data: bytes | None) -> None:
    place = home / "edge-detect/a"
    if data is None:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.write_bytes(data)

    assert cache.load("a") is None


def test_a_folder_that_cannot_be_made_is_no_error(home: Path) -> None:
    home.write_text("a file where the folder should be")

    cache.store("cards/a.json", "1")

    assert cache.load("cards/a.json") is None


def test_a_file_that_cannot_be_replaced_leaves_no_draft(home: Path) -> None:
    (home / "edge-detect/a").mkdir(parents=True)

    cache.store("a", "1")

    assert [path.name for path in (home / "edge-detect").iterdir()] == ["a"]


def test_a_reader_never_sees_half_of_it(home: Path) -> None:
    texts = ["a" * 300_000, "b" * 300_000]
    done = threading.Event()

    def write() -> None:
        for number in range(100):
            cache.store("a", texts[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = {cache.load("a") for _ in iter(done.is_set, True)}
    writer.join()

    assert seen - {None} <= set(texts)
    assert len(seen) > 1
