from __future__ import annotations

from happenings import LOST, event

from edge_detect.notices import presence
from edge_detect.notices.presence import Presence


def told(*events: object) -> Presence:
    made = Presence()
    for one in events:
        made.tell(one)  # type: ignore[arg-type]
    return made


def test_nobody_is_there_before_the_first_event() -> None:
    assert (told().counts(), told().counts_in()) == ({}, {})


def test_who_has_come_and_not_gone_is_there() -> None:
    found = told(event(1), event(2), event(3, label="car"), event(2, type="end"))

    assert found.counts() == {"person": 1, "car": 1}


def test_two_events_about_one_thing_count_once_and_end_with_the_last() -> None:
    events = [event(1), event(1, id="in the zone", kind="entered"), event(1, id="in the zone", type="end")]

    assert told(*events).counts() == {"person": 1}
    assert told(*events, event(1, type="end")).counts() == {}


def test_a_thing_counts_in_every_zone_in_which_it_is_now() -> None:
    found = told(event(1, zones=("door", "path")), event(2), event(1, type="update", zones=("path",)))

    assert found.counts_in() == {("path", "person"): 1, ("door", "person"): 1}


def test_the_camera_is_nobody() -> None:
    assert told(LOST).counts() == {}


def test_an_end_without_a_beginning_counts_nobody() -> None:
    assert told(event(1, type="end")).counts() == {}


def test_ends_that_never_come_fill_no_memory(monkeypatch: object) -> None:
    found = told(*(event(number) for number in range(presence.MOST + 10)))

    assert found.counts() == {"person": presence.MOST}
