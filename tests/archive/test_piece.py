from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import films
import numpy as np
import pytest

from edge_detect.archive.piece import Piece, measure
from edge_detect.archive.shards import Account, join
from edge_detect.errors import InputMissing, SourceError

EVEN = [number / 25 for number in range(150)]
UNEVEN = np.cumsum(
    np.random.default_rng(1).choice([0.02, 0.04, 0.1, 0.5, 2.5], 150, p=[0.4, 0.4, 0.15, 0.04, 0.01])
).tolist()
B_FRAMES = {"g": "50", "bf": "3"}
Seen = list[tuple[float, int]]


def look(piece: Piece) -> Seen:
    return [(round(at, 6), zlib.crc32(image.data)) for _, at, image in piece]


def in_pieces(path: Path, seconds: float) -> tuple[Seen, list[Account]]:
    """What pieces of so many seconds show one after the other, and their accounts."""
    n = max(1, math.ceil(measure(str(path)).seconds / seconds))
    seen: Seen = []
    accounts = []
    for number in range(n):
        end = (number + 1) * seconds if number < n - 1 else math.inf
        piece = Piece(str(path), number * seconds, end)
        seen += look(piece)
        accounts.append(Account(piece.frames, piece.first, piece.after, piece.ordered))
    return seen, accounts


def assert_cut_exactly(path: Path, seconds: float) -> None:
    whole = look(Piece(str(path)))
    seen, accounts = in_pieces(path, seconds)

    assert len(accounts) > 1
    assert seen == whole
    assert join(accounts)
    assert sum(account.frames for account in accounts) == len(whole)


@pytest.mark.parametrize(
    "name, times, codec, options",
    [
        ("even.mp4", EVEN, "libx264", B_FRAMES),
        ("uneven.mp4", UNEVEN, "libx264", B_FRAMES),
        ("uneven.mkv", UNEVEN, "libx264", {"g": "250", "bf": "2"}),
        ("open.mp4", EVEN, "libx264", {"g": "40", "bf": "3", "x264-params": "open-gop=1"}),
        ("refreshed.mp4", EVEN, "libx264", {"g": "100", "x264-params": "intra-refresh=1"}),
        ("uneven.ts", UNEVEN, "libx264", {"g": "100", "bf": "3"}),
        ("old.ts", EVEN, "mpeg2video", {"g": "12", "bf": "2"}),
        ("late.mkv", [5 + at for at in EVEN], "libx264", B_FRAMES),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)  # fmt: skip
def test_pieces_hold_each_frame_once(
    tmp_path: Path, name: str, times: list[float], codec: str, options: dict[str, str]
) -> None:
    pytest.importorskip("av")
    path = films.stamped(tmp_path / name, times, codec, 25 if codec == "mpeg2video" else 90000, **options)

    assert len(look(Piece(str(path)))) == len(times)
    assert_cut_exactly(path, 1.7)


def test_pieces_of_a_video_by_opencv_hold_each_frame_once(tmp_path: Path) -> None:
    assert_cut_exactly(films.plain(tmp_path / "clip.mp4", 130), 1.0)


@pytest.mark.parametrize(
    "name, seconds",
    [
        ("store-aisle-detection-480p-from-gif", 0.7),
        ("person-bicycle-car-detection-480p-from-gif", 0.3),
        ("bottle-detection", 25.0),
        pytest.param("one-by-one-person-detection", 20.0, marks=pytest.mark.slow),
    ],
)
def test_pieces_of_a_real_clip_hold_each_frame_once(shared: Path, name: str, seconds: float) -> None:
    assert_cut_exactly(shared / "clips" / f"{name}.mp4", seconds)


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = films.stamped(tmp_path / "uneven.mp4", UNEVEN)

    assert [at for at, _ in look(Piece(str(path)))] == pytest.approx(np.subtract(UNEVEN, UNEVEN[0]), abs=1e-4)


def test_a_file_that_cannot_be_cut_is_found_out(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = films.stamped(tmp_path / "a.avi", EVEN, "mpeg4", 25, g="50", bf="2")

    seen, accounts = in_pieces(path, 0.7)

    assert len(seen) < len(EVEN) == len(look(Piece(str(path))))  # FFmpeg loses one on the way
    assert not join(accounts)


def test_a_file_without_times_is_one_piece_by_its_rate(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = films.stamped(tmp_path / "raw.h264", EVEN[:50], per_second=25, g="10")

    assert measure(str(path)).seconds == 0
    assert [at for at, _ in look(Piece(str(path)))] == pytest.approx(EVEN[:50])


@pytest.mark.parametrize("seconds", [0.4, 1.0, math.inf])
def test_one_frame_in_a_time_is_the_same_in_every_piece(tmp_path: Path, seconds: float) -> None:
    path = films.plain(tmp_path / "clip.mp4", 100)
    starts = [0.0] if math.isinf(seconds) else [number * seconds for number in range(int(4 / seconds))]

    times = [
        at
        for start in starts
        for _, at, _ in Piece(
            str(path), start, start + seconds if start < 4 - seconds else math.inf, every=0.5
        )
    ]

    assert [int(at / 0.5 + 1e-6) for at in times] == list(range(8))
    assert all(at % 0.5 < 0.04 for at in times)


def test_frames_that_are_not_given_count_as_well(tmp_path: Path) -> None:
    piece = Piece(str(films.plain(tmp_path / "clip.mp4", 60)), every=1.0)

    assert [number for number, _, _ in piece] == [0, 25, 50]
    assert piece.frames == 60


def test_a_piece_after_the_end_is_empty(tmp_path: Path) -> None:
    piece = Piece(str(films.plain(tmp_path / "clip.mp4", 30)), 5.0, 6.0)

    assert look(piece) == []
    assert (piece.frames, piece.first, piece.after) == (0, "", "")


@pytest.mark.parametrize(
    "data, error", [(b"", SourceError), (b"no video" * 99, SourceError), (None, InputMissing)]
)
def test_what_is_no_video_is_told(tmp_path: Path, data: Any, error: type[Exception]) -> None:
    path = tmp_path / "a.mp4"
    if data is not None:
        path.write_bytes(data)

    for act in (measure, lambda path: look(Piece(path))):
        with pytest.raises(error, match=r"a\.mp4: "):
            act(str(path))
