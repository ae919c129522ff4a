from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import visitor
from kept_words import event
from visitor import Site
from waiting import wait_until

from edge_detect.event_store import EventStore
from edge_detect.records import Records
from edge_detect.shelf import Limits, Shelf
from edge_detect.web import recordings
from edge_detect.web.recordings import part_of

CLIP = os.urandom(300_000)
ID = "20261122T014033.120Z-52761b-7"
IDS = (
    "..", "%2e%2e", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "a/b", "a%2Fb", "a%5Cb", "a%00", "%00", "", "%20", "-a",
    ".lock", ".hidden", "a" * 200, "a;ls", "a'--", "%27%20OR%201=1--", "$(reboot)", "{id}", "%0d%0aX-Evil:%201", "é", "%C3%A9",
    "events.db", "~root", "a?b", "a#b", "*", "%25", "a b", "%F0%9F%92%A9", "CON", "a%09", "file:%2F%2F%2Fetc", "\\\\server",
)  # fmt: skip
WHATS = ("snapshot.jpg", "clip.mp4", "protect", "unprotect", "delete")
RANGES = (
    "bytes=abc", "bytes=1-2,4-5", "items=0-1", "bytes=--5", "bytes=5", "bytes=-", "bytes", "bytes=0x1-", "bytes=1e3-",
    "bytes=" + "9" * 40 + "-", "bytes=0-" + "9" * 400, "bytes=\xb9-", "bytes= 1-2",
)  # fmt: skip


@dataclass
class Kept:
    """A page with an event that has a picture and a clip, one that has neither, and one that goes on."""

    site: Site
    records: Records
    folder: Path


@pytest.fixture
def kept(pages: Callable[..., Site], tmp_path: Path) -> Iterator[Kept]:
    with (
        closing(EventStore(tmp_path / "rec/events.db")) as store,
        closing(Shelf(tmp_path / "rec", Limits())) as shelf,
    ):
        fill(store, shelf)
        records = Records(store, shelf)
        yield Kept(pages(records=records), records, tmp_path / "rec")


def fill(store: EventStore, shelf: Shelf) -> None:
    store.tell([event(ID, "end"), event("bare", "end", label="car"), event("open")])
    picture, clip = shelf.name(".jpg"), shelf.name(".mp4")
    shelf.write(picture, cv2.imencode(".jpg", np.full((120, 400, 3), 90, np.uint8))[1].tobytes())
    shelf.write(clip, CLIP)
    store.add_snapshot(ID, picture, (0.25, 0.25, 0.75, 0.75))
    store.add_clip(ID, clip, 2.5)


def decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_events_come_from_the_store_with_where_their_files_are(kept: Kept) -> None:
    rows = {row["id"]: row for row in kept.site.ask("/api/events").json["events"]}

    assert rows[ID]["snapshot"] == f"/api/events/{ID}/snapshot.jpg"
    assert rows[ID]["clip"] == f"/api/events/{ID}/clip.mp4"
    assert (rows[ID]["clip_at"], rows[ID]["protected"], rows[ID]["v"]) == (2.5, False, 1)
    assert (rows["bare"]["snapshot"], rows["bare"]["clip"]) == ("", "")
    assert any(
        row.get("text", "").startswith("Watching") for row in rows.values()
    )  # and the run's own messages


def test_only_what_has_changed_since_is_told(kept: Kept) -> None:
    rows = kept.site.ask("/api/events").json["events"]
    last = max(row["seq"] for row in rows)
    kept.records.store.tell([event("open", "end")])

    assert [row["id"] for row in kept.site.ask(f"/api/events?after={last}").json["events"]] == ["open"]
    assert [row["id"] for row in kept.site.ask("/api/events?label=car").json["events"]] == ["bare"]
    assert len(kept.site.ask("/api/events?limit=2").json["events"]) == 2
    assert [row["seq"] for row in rows] == sorted((row["seq"] for row in rows), reverse=True)


def test_what_the_page_tells_itself_comes_after_what_is_kept(kept: Kept) -> None:
    kept.records.store._seq += 10**6  # written while the clock of a machine without a battery was ahead
    kept.records.store.tell([event("open", "update")])
    last = kept.site.ask("/api/events").json["events"][0]["seq"]
    kept.site.change({"paused": True})

    assert [row["type"] for row in kept.site.ask(f"/api/events?after={last}").json["events"]] == ["paused"]
    assert kept.site.ask("/api/state").json["stats"]["last_event"] > last


def test_without_a_store_the_last_events_are_in_memory(pages: Callable[..., Site]) -> None:
    site = pages()
    site.web.tell((event("a"), event("b"), event("a", "end", duration_s=2.0)))
    wait_until(lambda: len(site.ask("/api/events?label=person").json["events"]) == 2)
    rows = site.ask("/api/events?label=person").json["events"]

    assert [(row["id"], row["type"]) for row in rows] == [("a", "end"), ("b", "start")]
    assert rows[0]["seq"] > rows[1]["seq"]
    assert site.ask("/api/events/a/snapshot.jpg").status == 404
    assert "[recorder]" in site.ask("/api/events/a/clip.mp4").json["error"]


def test_a_picture_comes_clean_with_its_box_or_small(kept: Kept) -> None:
    answers = [
        kept.site.ask(f"/api/events/{ID}/snapshot.jpg{query}") for query in ("", "?overlay=1", "?small=1")
    ]
    clean, drawn, small = (decoded(answer.body) for answer in answers)

    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
    assert np.ptp(clean) < 10
    assert np.ptp(drawn[30, 100:300]) > 60 or np.ptp(drawn[28:34, 200]) > 60
    assert small.shape[1] == 192


def test_a_clip_comes_whole(kept: Kept) -> None:
    answer = kept.site.ask(f"/api/events/{ID}/clip.mp4")

    assert (answer.status, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.body == CLIP


@pytest.mark.parametrize(
    "range_, first, last",
    [("bytes=0-", 0, 299_999), ("bytes=10-19", 10, 19), ("bytes=299999-", 299_999, 299_999),
     ("bytes=-100", 299_900, 299_999), ("bytes=100-999999999", 100, 299_999), ("bytes=-999999999", 0, 299_999)],
)  # fmt: skip
def test_a_browser_gets_the_part_that_it_wants(kept: Kept, range_: str, first: int, last: int) -> None:
    answer = kept.site.ask(f"/api/events/{ID}/clip.mp4", Range=range_)

    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/300000"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.body == CLIP[first : last + 1]


@pytest.mark.parametrize("range_", ["bytes=300000-", "bytes=20-10", "bytes=-0"])
def test_a_part_that_there_is_not_is_refused(kept: Kept, range_: str) -> None:
    answer = kept.site.ask(f"/api/events/{ID}/clip.mp4", Range=range_)

    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */300000")


@pytest.mark.parametrize("range_", RANGES, ids=[re.sub(r"\W", "_", one)[:20] for one in RANGES])
def test_a_range_that_makes_no_sense_is_the_whole(kept: Kept, range_: str) -> None:
    assert (
        part_of(range_, 10) is None or kept.site.ask(f"/api/events/{ID}/clip.mp4", Range=range_).status == 416
    )


def test_a_viewer_who_hangs_up_in_the_middle_leaves_no_file_open(kept: Kept) -> None:
    def clips() -> int:
        return sum("mp4" in os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if link(n))

    def link(n: str) -> bool:
        return os.path.islink(f"/proc/self/fd/{n}")

    for _ in range(5):
        with kept.site.connect() as hasty:
            hasty.sendall(f"GET /api/events/{ID}/clip.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            hasty.recv(100)
    wait_until(lambda: clips() == 0)


def test_an_event_is_protected_and_deleted(kept: Kept) -> None:
    files = {path.name for path in kept.folder.glob("2*")}
    protected = kept.site.post(f"/api/events/{ID}/protect")
    refused = kept.site.post(f"/api/events/{ID}/delete")
    assert {path.name for path in kept.folder.glob("2*")} == files
    free = kept.site.post(f"/api/events/{ID}/unprotect")
    done = kept.site.post(f"/api/events/{ID}/delete")

    assert (protected.json["protected"], free.json["protected"]) == (True, False)
    assert (refused.status, refused.json) == (409, {"error": "the event is protected"})
    assert (done.status, done.json) == (200, {"deleted": ID})
    assert list(kept.folder.glob("2*")) == []
    assert kept.site.post(f"/api/events/{ID}/delete").status == 404
    assert kept.site.post("/api/events/open/delete").status == 409


def test_what_retention_took_is_gone_and_not_an_error(kept: Kept) -> None:
    for path in kept.folder.glob("2*"):
        path.unlink()

    assert [kept.site.ask(f"/api/events/{ID}/{what}").status for what in WHATS[:2]] == [404, 404]
    assert kept.site.post(f"/api/events/{ID}/delete").status == 200


@pytest.mark.parametrize("what", WHATS[2:])
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": None}, {"Origin": "null"}, {"X_Requested_With": None},
     {"Host": "evil.example"}],
    ids=["another origin", "no origin", "null", "a form", "rebound"],
)  # fmt: skip
def test_another_page_changes_no_event(kept: Kept, what: str, headers: dict[str, str | None]) -> None:
    assert kept.site.post(f"/api/events/{ID}/{what}", **headers).status in (403, 421)
    row = kept.records.store.get(ID)
    assert row is not None
    assert not row.protected


@pytest.mark.parametrize("what", WHATS[2:])
def test_looking_changes_nothing(kept: Kept, what: str) -> None:
    assert kept.site.ask(f"/api/events/{ID}/{what}").status == 405
    assert kept.records.store.get(ID) is not None


@pytest.mark.parametrize("id", IDS, ids=[re.sub(r"[^\w.-]", "_", one)[:30] or "empty" for one in IDS])
def test_no_id_reaches_a_file_or_says_what_there_is(kept: Kept, id: str) -> None:
    (kept.folder.parent / "secret").write_text("secret")
    for what in WHATS:
        method = "GET" if "." in what else "POST"
        answer = kept.site.ask(
            f"/api/events/{id.replace(' ', '%20')}/{what}", method, b"{}" if method == "POST" else b""
        )
        assert answer.status in (400, 404, 0)
        assert b"secret" not in answer.body
        assert b"root:" not in answer.body
        assert "x-evil" not in answer.headers
    assert len(list(kept.folder.glob("2*"))) == 2


def test_a_name_in_the_store_that_leads_elsewhere_opens_nothing(kept: Kept) -> None:
    (kept.folder.parent / "secret").write_text("secret")
    for name in ("../secret", "/etc/passwd", ".lock"):
        kept.records.store.add_snapshot("bare", name, ())
        kept.records.store.add_clip("bare", f"{name}.mp4", 0.0)
        assert kept.site.ask("/api/events/bare/snapshot.jpg").status == 404
        assert kept.site.ask("/api/events/bare/clip.mp4").status == 404


@pytest.mark.parametrize("what", WHATS)
def test_without_a_secret_nobody_learns_whether_there_is_an_event(guarded: Site, what: str) -> None:
    method = "GET" if "." in what else "POST"

    assert guarded.ask(f"/api/events/{ID}/{what}", method).status == 401


def test_where_no_picture_may_be_seen_none_is_given(pages: Callable[..., Site], kept: Kept) -> None:
    site = pages(blind=True, records=kept.records)
    site.scene()
    link, _ = site.socket()
    with link:
        head, jpeg = visitor.next_frame(link)

    assert (len(head["boxes"]), jpeg) == (2, b"")
    places = ("/snapshot.jpg", "/stream.mjpg", f"/api/events/{ID}/snapshot.jpg", f"/api/events/{ID}/clip.mp4")
    answers = [site.ask(path) for path in places]
    assert [answer.status for answer in answers] == [403] * 4
    assert answers[0].json == {"error": "no pictures: [privacy] no_pictures is on"}
    assert site.ask("/api/state").json["privacy"] == {"no_pictures": True, "blur": []}


def test_zones_are_drawn_changed_and_deleted(pages: Callable[..., Site]) -> None:
    site = pages()
    door = {"name": "door", "kind": "zone", "points": [[0, 0], [0.5, 0], [0.5, 1]], "classes": ["person"]}
    line = {"name": "kerb", "kind": "line", "points": [[0, 0.5], [1, 0.5]], "classes": []}
    first = site.change({"zones": [door, line]})
    zones = site.controls.choice.zones
    second = site.change({"zones": [line]})

    assert first.status == 200
    assert [zone["name"] for zone in first.json["zones"]] == ["door", "kerb"]
    assert zones[0].points == ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))
    assert (zones[0].classes, zones[1].kind, zones[1].inertia) == (("person",), "line", 3)
    assert [zone["name"] for zone in second.json["zones"]] == ["kerb"]
    assert site.changes[-1].zones == site.controls.choice.zones
    assert json.loads(site.ask("/api/state").body)["settings"]["zones"][0]["points"] == [
        [0.0, 0.5],
        [1.0, 0.5],
    ]


def test_what_the_page_does_not_draw_of_a_zone_stays(pages: Callable[..., Site]) -> None:
    from edge_detect.config import Zone

    site = pages()
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
    site.controls.change(zones=[Zone("door", points=corners, stay=8.0, inertia=5)])
    site.change({"zones": [{"name": "door", "points": [[0, 0], [1, 0], [0, 1]]}]})

    assert site.controls.choice.zones == (Zone("door", points=((0, 0), (1, 0), (0, 1)), stay=8.0, inertia=5),)


def test_every_route_of_events_is_tried_here() -> None:
    from edge_detect.web import server

    routes = [path for path, _ in server.ROUTES if recordings.ID in path]
    assert {path.rsplit("/", 1)[1].replace("\\", "") for path in routes} == set(WHATS)
