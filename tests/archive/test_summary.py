from __future__ import annotations

from typing import Any

import pytest

from edge_detect.archive.summary import BINS, Tally, Trace, to_csv, to_text


def row(at: float, *labels: str) -> dict[str, Any]:
    return {"time": at, "detections": [{"label": label, "class_id": len(label)} for label in labels]}


def tally(*rows: dict[str, Any], name: str = "a.mp4", video: bool = True, **more: Any) -> Tally:
    one = Tally(name, video, **more)
    for each in rows:
        one.add(each)
    one.finish(0.5)
    return one


SEEN = tally(row(0.0), row(0.5, "cat", "cat"), row(1.0, "cat", "dog"), row(61.5), row(3700.25, "dog", "cat"))


def test_a_row_for_each_label() -> None:
    assert list(SEEN.rows()) == [
        ("a.mp4", "cat", "5", "3", "2", "0.500", "3700.250", ""),
        ("a.mp4", "dog", "5", "2", "1", "1.000", "3700.250", ""),
    ]
    assert SEEN.length == 3700.75


def test_nothing_seen_and_nothing_read_are_told_apart() -> None:
    blank, broken = tally(row(0.0)), tally(failed=True, problems=("a.mp4: broken",))

    assert list(blank.rows()) == [("a.mp4", "", "1", "0", "", "", "", "")]
    assert list(broken.rows()) == [("a.mp4", "", "", "", "", "", "", "a.mp4: broken")]


def test_pictures_have_no_times() -> None:
    album = tally(row(0.0), row(0.0, "cat"), video=False)

    assert list(album.rows()) == [("a.mp4", "cat", "2", "1", "1", "", "", "")]
    assert album.length == 2
    assert album.sightings["cat"].trace.most[-2:] != [0, 0]


def test_tables() -> None:
    tallies = [SEEN, tally(name='b,".mp4', failed=True, problems=("b: broken",))]

    assert to_csv(tallies).decode().splitlines()[1:] == [
        "a.mp4,cat,5,3,2,0.500,3700.250,",
        "a.mp4,dog,5,2,1,1.000,3700.250,",
        '"b,"".mp4",,,,,,,b: broken',
    ]
    assert to_text(tallies).splitlines() == [
        "file     label   frames  with it  at once   first       last",
        "a.mp4    cat          5        3        2  0:00.5  1:01:40.2",
        "         dog          5        2        1  0:01.0  1:01:40.2",
        'b,".mp4  failed',
    ]


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    assert b"caf\\udce9.mp4,cat,5" in to_csv([tally(*[row(0.0, "cat")] * 5, name="caf\udce9.mp4")])


def test_a_long_table_is_cut() -> None:
    assert to_text([SEEN] * 40, most=5).splitlines()[-1] == "... and 75 more rows, in summary.csv"


def test_a_sighting_lasts_until_the_next_frame() -> None:
    trace = SEEN.sightings["cat"].trace
    seen = [place * trace.width for place, count in enumerate(trace.most) if count]

    assert min(seen) <= 0.5 < min(seen) + trace.width
    assert max(one for one in seen if one < 100) == pytest.approx(61.5, abs=2 * trace.width)


@pytest.mark.parametrize("length", [1.0, 60.0, 86400.0])
def test_a_trace_keeps_the_most_and_stays_short(length: float) -> None:
    trace = Trace()
    for number in range(1000):
        trace.add(number * length / 1000, (number + 1) * length / 1000, 5 if number == 400 else number % 3)

    assert len(trace.most) <= BINS
    assert max(trace.most) == 5
    assert trace.most.index(5) * trace.width == pytest.approx(0.4 * length, abs=2 * trace.width)
