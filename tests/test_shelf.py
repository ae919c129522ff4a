from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from edge_detect.errors import SinkError
from edge_detect.shelf import Limits, Shelf

Open = Callable[..., Shelf]
OLD = "20260101T000000.000Z-{:06d}.jpg"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens `rec`, with limits."""
    with ExitStack() as stack:

        def shelf(limits: Limits = Limits(), **more: object) -> Shelf:  # noqa: B008 frozen
            return stack.enter_context(closing(Shelf(tmp_path / "rec", limits, **more)))  # type: ignore[arg-type]

        yield shelf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`rec` with five old files of 1000 bytes."""
    path = tmp_path / "rec"
    path.mkdir()
    for number in range(5):
        (path / OLD.format(number)).write_bytes(bytes(1000))
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_file_is_there_whole_under_its_name(opened: Open, tmp_path: Path) -> None:
    shelf = opened()
    name = shelf.name(".jpg")
    shelf.write(name, b"picture")
    with open(shelf.open(name), "rb") as file:
        assert file.read() == b"picture"

    assert left(tmp_path / "rec") == [name]
    assert (shelf.size, shelf.written) == (7, 7)


def test_names_sort_by_age(opened: Open) -> None:
    shelf = opened()
    names = [shelf.name(".mp4") for _ in range(20)]

    assert names == sorted(set(names))


def test_the_oldest_go_where_there_are_too_many(opened: Open, folder: Path) -> None:
    gone: list[str] = []
    shelf = opened(Limits(size=4500), gone=gone.append)
    name = shelf.name(".jpg")
    shelf.write(name, bytes(1000))

    assert left(folder) == [OLD.format(2), OLD.format(3), OLD.format(4), name]
    assert gone == [OLD.format(0), OLD.format(1)]
    assert shelf.deleted == {"size": 2}


def test_what_is_protected_stays(opened: Open, folder: Path) -> None:
    shelf = opened(Limits(size=3500))
    shelf.protect(OLD.format(0), True)
    shelf.protect(OLD.format(1), True)
    shelf.protect(OLD.format(1), False)
    shelf.make_room()

    assert left(folder) == [OLD.format(0), OLD.format(3), OLD.format(4)]


def test_what_is_protected_stays_in_the_next_run_too(opened: Open, folder: Path) -> None:
    shelf = opened()
    shelf.protect(OLD.format(0), True)
    shelf.close()
    opened(Limits(size=1500)).make_room()

    assert left(folder) == [OLD.format(0)]


def test_with_nothing_to_delete_it_says_so_and_writes_nothing(opened: Open, folder: Path) -> None:
    shelf = opened(Limits(size=3000))
    for number in range(5):
        shelf.protect(OLD.format(number), True)

    with pytest.raises(
        SinkError, match="rec: the recordings may not be larger, and nothing is left to delete"
    ):
        shelf.write(shelf.name(".jpg"), b"x")
    assert len(left(folder)) == 5


def test_so_much_of_the_disk_stays_free(opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstatvfs

    def nearly_full(handle: int) -> os.statvfs_result:
        values = list(real(handle))
        values[1], values[2] = 1, 100_000  # fragment size, blocks
        values[4] = 10_000 - sum(path.stat().st_size for path in folder.iterdir())  # available
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "fstatvfs", nearly_full)
    opened(Limits(free=7_500)).make_room()
    assert left(folder) == [OLD.format(3), OLD.format(4)]


def test_a_small_disk_keeps_a_quarter_of_itself(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [1] * 11
    values[2], values[4] = 10_000, 2_600
    monkeypatch.setattr(os, "fstatvfs", lambda handle: os.statvfs_result(values))
    opened(Limits(free=1 << 30)).make_room()

    assert len(left(folder)) == 5


def test_what_is_too_old_goes(opened: Open, folder: Path) -> None:
    shelf = opened(Limits(days=1))
    shelf.protect(OLD.format(3), True)
    name = shelf.name(".jpg")
    shelf.write(name, b"x")

    assert left(folder) == [OLD.format(3), name]
    assert shelf.deleted == {"age": 4}


@pytest.mark.parametrize("synced", [False, True])
def test_a_clock_that_was_set_deletes_nothing_unless_the_network_set_it(
    opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    shelf, real = opened(Limits(days=3650), synced=lambda: synced), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 30 * 365 * 86_400)
    shelf.make_room()

    assert len(left(folder)) == (0 if synced else 5)


def test_drafts_of_a_run_that_died_go_and_what_is_not_ours_stays(opened: Open, folder: Path) -> None:
    strange = ["notes.txt", "20260101T000000.jpg", "20260101T000000.000Z-000001.jpg.bak", "other.part"]
    for name in strange:
        (folder / name).write_text("mine")
    draft = folder / f".{OLD.format(9)}.part"
    draft.write_text("half")
    shelf = opened(Limits(size=1))
    with pytest.raises(SinkError):
        shelf.make_room(1000)

    assert not draft.exists()
    assert left(folder) == sorted(strange)
    assert shelf.size == 0


def test_a_link_is_neither_followed_nor_deleted(opened: Open, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(9000))
    link = folder / "20250101T000000.000Z-000000.jpg"
    link.symlink_to(secret)
    (folder / ".20250101T000000.000Z-000001.jpg.part").symlink_to(secret)
    shelf = opened(Limits(size=1500))
    shelf.make_room()

    assert link.is_symlink()
    assert secret.exists()
    assert left(folder) == [link.name, OLD.format(4)]
    with pytest.raises(FileNotFoundError):
        shelf.open(link.name)
    shelf.protect(link.name, True)
    assert secret.stat().st_mode & 0o200


def test_a_folder_that_is_exchanged_for_a_link_leads_nowhere_else(
    opened: Open, folder: Path, tmp_path: Path
) -> None:
    shelf = opened()
    other = tmp_path / "other"
    other.mkdir()
    (other / OLD.format(0)).write_text("theirs")
    folder.rename(tmp_path / "moved")
    folder.symlink_to(other)
    shelf.delete(OLD.format(0))
    shelf.write(shelf.name(".jpg"), b"x")

    assert left(other) == [OLD.format(0)]
    assert len(left(tmp_path / "moved")) == 5


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        ".lock",
        "",
        "events.db",
        "20260101T000000.000Z-000000.jpg\0",
        "..",
        "a/b.jpg",
    ],
)
def test_a_name_that_is_not_ours_opens_and_deletes_nothing(opened: Open, folder: Path, name: str) -> None:
    shelf = opened()
    (folder.parent / "secret").write_text("secret")
    shelf.delete(name)

    with pytest.raises(FileNotFoundError):
        shelf.open(name)
    assert (folder.parent / "secret").exists()
    assert (folder / ".lock").exists()


def test_what_somebody_else_deleted_is_no_trouble(opened: Open, folder: Path) -> None:
    shelf = opened(Limits(size=1500))
    for number in range(3):
        (folder / OLD.format(number)).unlink()
    shelf.make_room()
    shelf.delete(OLD.format(0))
    shelf.protect(OLD.format(0), True)

    assert left(folder) == [OLD.format(4)]


def test_a_folder_that_somebody_has_emptied_takes_the_next_file(opened: Open, folder: Path) -> None:
    shelf = opened(Limits(size=5000))
    for path in folder.glob("*.jpg"):
        path.unlink()
    name = shelf.name(".jpg")
    shelf.write(name, bytes(1000))

    assert left(folder) == [name]
    assert shelf.deleted == {}


def test_what_cannot_be_deleted_is_not_told_to_be_gone(opened: Open, folder: Path) -> None:
    gone: list[str] = []
    shelf = opened(Limits(size=3000), gone=gone.append)
    folder.chmod(0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may delete everywhere
    try:
        with pytest.raises(SinkError, match="nothing is left to delete"):
            shelf.make_room()
        assert (gone, shelf.size, shelf.delete(OLD.format(0))) == ([], 5000, False)
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
    shelf.make_room()

    assert gone == [OLD.format(0), OLD.format(1)]


def test_two_cannot_record_into_one_folder(opened: Open) -> None:
    shelf = opened()
    with pytest.raises(SinkError, match="another edge-detect holds it"):
        opened()
    shelf.close()
    shelf.close()
    opened()
