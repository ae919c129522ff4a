from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_detect import durable
from edge_detect.errors import SinkError


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    durable.write(path, b"old")
    durable.write(path, b"new")

    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]
    assert path.read_bytes() == b"new"


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    durable.write(path, b"old")
    with path.open() as reader:
        durable.write(path, b"new")

        assert reader.read() == "old"


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.touch(0o600)
    durable.write(path, b"x")

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_file_gets_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write(tmp_path / "own.toml", b"x")
    finally:
        os.umask(before)

    assert (tmp_path / "own.toml").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_writer_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".state.json.part").write_bytes(b"half of a longer text")
    durable.write(tmp_path / "state.json", b"x")

    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"x"]


@pytest.mark.parametrize("place", ["no/state.json", "folder"])
def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(SinkError) as caught:
        durable.write(tmp_path / place, b"x")
    assert str(caught.value).startswith(f"{tmp_path / place}: cannot write: ")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SinkError) as caught:
        durable.make_folder(tmp_path / "file/folder")
    assert str(caught.value) == f"{tmp_path}/file/folder: cannot write: Not a directory"


def test_the_file_and_its_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told = tmp_path / "state.json", []
    monkeypatch.setattr(
        os, "fsync", lambda handle: told.append((os.readlink(f"/proc/self/fd/{handle}"), path.exists()))
    )

    durable.write(path, b"x")

    assert told == [(str(tmp_path / ".state.json.part"), False), (str(tmp_path), True)]


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    script = (
        "import sys, pathlib; from edge_detect import durable\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    durable.write(pathlib.Path(sys.argv[1]), b'%d ' % n * 20000)\n"
        "    n == 1 and print(flush=True)"
    )
    for delay in range(8):
        with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(delay * 0.003)
            child.kill()

        words = path.read_bytes().split()
        assert (len(words), len(set(words))) == (20000, 1)


def test_a_folder_of_files_is_removed_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "folder" / name).touch()

    durable.remove_folder(tmp_path / "folder", first="b")
    durable.remove_folder(tmp_path / "folder", first="b")

    assert not (tmp_path / "folder").exists()


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with durable.locked(tmp_path / "lock"):
        with pytest.raises(SinkError) as caught, durable.locked(tmp_path / "lock", 0.05):
            pass
        assert str(caught.value) == (
            f"{tmp_path}/lock: another edge-detect holds it; try again when that is done"
        )

    with durable.locked(tmp_path / "lock"):
        pass


def test_who_waits_gets_the_lock_when_the_other_is_done(tmp_path: Path) -> None:
    got = threading.Event()

    def wait() -> None:
        with durable.locked(tmp_path / "lock", 5.0):
            got.set()

    other = threading.Thread(target=wait)
    with durable.locked(tmp_path / "lock"):
        other.start()
        assert not got.wait(0.05)
    other.join(5)

    assert got.is_set()


def test_a_lock_is_not_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SinkError), durable.locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()
