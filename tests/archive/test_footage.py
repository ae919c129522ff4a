from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_detect.archive.footage import Recording, find


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a/door.mp4", "a/yard.MKV", "a/notes.txt", "a/.hidden.mp4", "a/.git/x.mp4",
        "a/photos/2.jpg", "a/photos/1.png", "a/photos/more/3.jpg", "b.mp4", "out/timeline.png", "film",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(recordings: list[Recording]) -> dict[str, list[str]]:
    return {one.name: [file.name for file in one.files] for one in recordings}


def test_folders_are_walked_and_pictures_belong_to_their_folder(tree: Path) -> None:
    recordings, missing = find(["a"])

    assert not missing
    assert names(recordings) == {
        "a/door.mp4": ["a/door.mp4"],
        "a/photos/": ["a/photos/1.png", "a/photos/2.jpg"],
        "a/photos/more/": ["a/photos/more/3.jpg"],
        "a/yard.MKV": ["a/yard.MKV"],
    }
    assert [one.video for one in recordings] == [True, False, False, True]


def test_a_file_that_is_named_may_have_any_ending(tree: Path) -> None:
    assert names(find(["film"])[0]) == {"film": ["film"]}


def test_what_is_named_twice_counts_once(tree: Path) -> None:
    assert list(names(find(["b.mp4", "./b.mp4", "*.mp4", str(tree / "b.mp4")])[0])) == ["b.mp4"]


def test_order_is_that_of_the_names_whatever_was_asked_first(tree: Path) -> None:
    assert find(["b.mp4", "a"]) == find(["a", "b.mp4"])


def test_folder_of_the_results_is_not_entered(tree: Path) -> None:
    assert "./out/" not in names(find(["."], "out")[0])
    assert find(["out"], "out")[0] == []


def test_files_are_known_as_they_are(tree: Path) -> None:
    file = find(["b.mp4"])[0][0].files[0]

    stat = (tree / "b.mp4").stat()
    assert (file.path, file.size, file.changed) == (str(tree / "b.mp4"), stat.st_size, stat.st_mtime_ns)


def test_a_folder_that_cannot_be_read_is_told(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "a/photos").chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything
    try:
        recordings, missing = find(["a"])
        alone = find(["a/photos"])
    finally:
        os.seteuid(user)
        (tree / "a/photos").chmod(0o755)

    assert list(names(recordings)) == ["a/door.mp4", "a/yard.MKV"]
    assert alone[0] == []
    assert [str(error) for error in missing + alone[1]] == 2 * [
        "a/photos: cannot read the folder: Permission denied"
    ]


def test_places_without_footage_are_told_one_by_one(tree: Path) -> None:
    (tree / "empty").mkdir()

    recordings, missing = find(["no.mp4", "rtsp://me:secret@camera/", "empty", "*.avi", "b.mp4"])

    assert list(names(recordings)) == ["b.mp4"]
    assert [str(error) for error in missing] == [
        "no.mp4: no such file or folder",
        "rtsp://me:***@camera/: no such file or folder",
        "empty: no video or picture there",
        "*.avi: no video or picture there",
    ]


def test_a_broken_link_and_a_pipe_are_told_and_the_rest_is_found(tree: Path) -> None:
    (tree / "a/gone.mp4").symlink_to(tree / "nowhere")
    os.mkfifo(tree / "a/pipe.mkv")

    recordings, missing = find(["a"])

    assert len(recordings) == 4
    assert sorted(str(error) for error in missing) == [
        "a/gone.mp4: not a file, or a link to none",
        "a/pipe.mkv: not a file, or a link to none",
    ]
