from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from edge_detect.archive.footage import File, Recording
from edge_detect.archive.ledger import Ledger
from edge_detect.archive.shards import Account, Shard
from edge_detect.archive.work import Result
from edge_detect.errors import ConfigError, SinkError
from edge_detect.sources.video import Length

FILE = File("a.mp4", "/x/a.mp4", 100, 5)
VIDEO = Recording("a.mp4", (FILE,), video=True)
SHARD = Shard("a.mp4", (FILE,), video=True, start=10.0, end=math.inf)
RESULT = Result(Account(2, "1.0 ab", "", skipped=("x", "y")), b'{"a":1}\n{"a":2}\n')
SETTINGS = {"model": "abc", "confidence": 0.2, "classes": ("cat",)}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return begun(tmp_path)


def begun(folder: Path, *, anew: bool = False, **settings: object) -> Ledger:
    ledger = Ledger(folder)
    ledger.begin(SETTINGS | settings, anew=anew)
    return ledger


def test_what_was_stored_is_there_the_next_time(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.account(SHARD) is None
    ledger.store(SHARD, RESULT)

    for one in (ledger, begun(tmp_path)):
        assert one.account(SHARD) == RESULT.account
        assert list(one.notes(SHARD)) == [{"a": 1}, {"a": 2}]


def test_what_is_known_of_videos_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.length(VIDEO) is None
    ledger.learn(VIDEO, Length(30.5, 25.0), whole=True)
    ledger.keep()

    other = Recording("a.mp4", (File("a.mp4", "/x/a.mp4", 100, 6),), video=True)
    assert begun(tmp_path).length(VIDEO) == (Length(30.5, 25.0), True)
    assert begun(tmp_path).length(other) is None


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"confidence": 0.5}, "confidence 0.2, not 0.5"),
        ({"model": "def"}, 'model "abc", not "def"'),
        ({"classes": ()}, 'classes ["cat"], not []'),
    ],
)
def test_other_settings_are_refused_in_one_line(
    ledger: Ledger, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    ledger.store(SHARD, RESULT)

    with pytest.raises(ConfigError) as caught:
        begun(tmp_path, **settings)

    assert str(caught.value) == (
        f"{tmp_path}: was begun with {said}; --anew begins again, or choose another folder"
    )
    assert begun(tmp_path).account(SHARD)  # nothing is lost


def test_anew_takes_nothing_of_what_was_done_otherwise(ledger: Ledger, tmp_path: Path) -> None:
    ledger.store(SHARD, RESULT)

    anew = begun(tmp_path, anew=True, confidence=0.5)

    assert anew.account(SHARD) is None
    assert json.loads((tmp_path / "manifest.json").read_text())["settings"]["confidence"] == 0.5


@pytest.mark.parametrize(
    "text", ["", "{", '{"v": 99}', "[]", "1", '{"v": 1}', '{"v": 1, "settings": {}, "videos": 3}']
)
def test_a_manifest_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(ConfigError) as caught:
        begun(tmp_path)

    assert (
        str(caught.value) == f"{tmp_path}/manifest.json: not a manifest of this version; --anew begins again"
    )


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"[]\n", b"{}\n"])
def test_a_damaged_shard_is_not_done(ledger: Ledger, tmp_path: Path, data: bytes) -> None:
    ledger.store(SHARD, RESULT)
    (path,) = (tmp_path / "shards").iterdir()
    path.write_bytes(data)

    assert ledger.account(SHARD) is None


def test_a_shard_that_is_damaged_behind_its_head_is_told(ledger: Ledger, tmp_path: Path) -> None:
    ledger.store(SHARD, RESULT)
    (path,) = (tmp_path / "shards").iterdir()
    path.write_bytes(path.read_bytes().replace(b'{"a":2}', b"\0\0\0\0\0\0\0"))

    with pytest.raises(SinkError) as caught:
        list(ledger.notes(SHARD))

    assert str(caught.value) == f"{path}: damaged; delete it, and the same command looks again"


def test_what_is_not_needed_any_more_goes(ledger: Ledger, tmp_path: Path) -> None:
    ledger.store(SHARD, RESULT)
    (tmp_path / "shards" / ".old.jsonl.part").touch()
    (tmp_path / "shards" / "old.jsonl").touch()
    (tmp_path / "shards" / "@eaDir").mkdir()  # of a network disk

    ledger.tidy([SHARD])

    assert len(list((tmp_path / "shards").iterdir())) == 2
    assert ledger.account(SHARD)
