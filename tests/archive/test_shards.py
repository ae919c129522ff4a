from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edge_detect.archive.footage import File, Recording
from edge_detect.archive.shards import Account, cut, join
from edge_detect.sources.video import Length

FILE = File("a.mp4", "/x/a.mp4", 100, 5)
VIDEO = Recording("a.mp4", (FILE,), video=True)


@pytest.mark.parametrize(
    "length, spans",
    [
        (0.0, [(0, math.inf)]),
        (9.9, [(0, math.inf)]),
        (10.0, [(0, math.inf)]),
        (10.1, [(0, 10), (10, math.inf)]),
        (30.0, [(0, 10), (10, 20), (20, math.inf)]),
    ],
)
def test_shards_follow_each_other_and_the_last_is_open(
    length: float, spans: list[tuple[float, float]]
) -> None:
    shards = cut(VIDEO, Length(length, 25), 10)

    assert [(shard.start, shard.end) for shard in shards] == spans
    assert sum(shard.weight for shard in shards) == pytest.approx(max(1, length * 25))


def test_a_video_that_is_to_stay_whole_does() -> None:
    (shard,) = cut(VIDEO, Length(100, 25), 10, whole=True)

    assert (shard.start, shard.end) == (0, math.inf)


def test_pictures_are_counted_off() -> None:
    files = tuple(File(f"p/{n:03}.jpg", f"/p/{n:03}.jpg", 1, 1) for n in range(250))

    shards = cut(Recording("p/", files, video=False), Length(), 10)

    assert [(shard.number, len(shard.files)) for shard in shards] == [(0, 100), (100, 100), (200, 50)]
    assert sum((shard.files for shard in shards), ()) == files


def test_key_is_another_for_all_that_matters() -> None:
    shard = cut(VIDEO, Length(30, 25), 10)[0]
    others = [
        replace(shard, files=(replace(FILE, **{name: value}),))
        for name, value in (("name", "b.mp4"), ("size", 101), ("changed", 6))
    ]
    others += [replace(shard, start=1.0), replace(shard, end=11.0), replace(shard, number=1)]

    keys = {one.key("settings") for one in (shard, *others)} | {shard.key("others")}

    assert len(keys) == 8
    assert shard.key("settings") == replace(shard, weight=3.0).key("settings")


def test_shards_fit_when_each_ends_where_the_next_begins() -> None:
    assert join([Account(2, "a", "c"), Account(1, "c", "d"), Account(0, "", "d"), Account(1, "d", "")])


@pytest.mark.parametrize(
    "accounts",
    [
        [Account(2, "a", "c"), Account(1, "d", "")],  # one is lost
        [Account(2, "a", ""), Account(1, "d", "")],  # the first one thought that the file had ended
        [Account(2, "a", "c"), Account(0, "", "")],  # the last one found nothing
        [Account(2, "a", "c"), Account(1, "c", "", ordered=False)],
    ],
)
def test_shards_that_do_not_fit_are_found_out(accounts: list[Account]) -> None:
    assert not join(accounts)


def test_a_whole_video_always_fits() -> None:
    assert join([Account(0, "", "", ordered=False)])
