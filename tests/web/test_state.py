from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import visitor
from visitor import Site
from waiting import wait_until

from edge_detect.detector import Timing
from edge_detect.records import Records
from edge_detect.web.events import KEPT, Events
from edge_detect.web.tally import RECENT, Tally


class Camera:
    """What is asked of a `Newest`."""

    captured, dropped, reopened, lost, age = 7, 2, 1, False, 0.1


@pytest.fixture
def fresh(pages: Callable[..., Site]) -> Site:
    return pages()


def health(site: Site) -> tuple[int, str]:
    answer = site.ask("/healthz")
    return answer.status, answer.json.get("reason", "")


def test_health_begins_with_the_first_frame(fresh: Site) -> None:
    early, ready = health(fresh), fresh.ask("/readyz").status
    fresh.scene()

    assert early == (503, "starting: no frame has been looked at yet")
    assert (ready, fresh.ask("/readyz").status) == (503, 200)
    assert health(fresh) == (200, "")


def test_an_old_frame_is_unhealthy(fresh: Site) -> None:
    fresh.scene()
    fresh.facts.newest = camera = Camera()  # type: ignore[assignment]
    camera.age = 11.2

    assert health(fresh) == (503, "the newest frame is 11.2 s old")


def test_a_lost_camera_is_unhealthy_and_told_when_it_goes_and_comes(fresh: Site) -> None:
    fresh.scene()
    fresh.facts.newest = camera = Camera()  # type: ignore[assignment]
    camera.lost = True
    wait_until(lambda: health(fresh)[1].startswith("camera lost: no frame for "))
    camera.lost = False
    wait_until(lambda: health(fresh) == (200, ""))

    told = [row["type"] for row in fresh.ask("/api/events").json["events"]]
    assert told == ["camera_back", "camera_lost", "start"]


def test_frames_without_results_are_unhealthy_unless_paused(fresh: Site) -> None:
    fresh.scene()
    fresh.facts.newest = Camera()  # type: ignore[assignment]
    fresh.facts.patience = 0.2
    fresh.web._tally.last -= 5
    fresh.web._state._paused_at -= 5
    silent = health(fresh)
    fresh.controls.change(paused=True)

    assert (silent[0], silent[1][:29]) == (503, "nothing was looked at for 5 s")
    assert health(fresh) == (200, "")


def test_a_paused_file_is_healthy_while_its_frames_are_shown(fresh: Site) -> None:
    fresh.controls.change(paused=True)
    fresh.pause()

    assert fresh.ask("/healthz").json == {"healthy": True, "paused": True}


def test_the_state_tells_model_labels_settings_and_figures(fresh: Site) -> None:
    fresh.scene()
    fresh.facts.newest = Camera()  # type: ignore[assignment]
    wait_until(lambda: fresh.ask("/api/state").json["stats"]["captured"] == 7)

    state = fresh.ask("/api/state").json
    assert state["model"] == {"name": "model.tflite", "sha256": "ab" * 32, "runtime": "runtime 1"}
    assert state["labels"] == list(visitor.LABELS.names)
    assert state["settings"] == {"confidence": 0.25, "classes": [], "paused": False, "zones": []}
    assert (state["stats"]["processed"], state["stats"]["dropped"]) == (1, 2)


def test_a_change_holds_at_once_and_is_told_to_who_keeps_it(fresh: Site) -> None:
    answer = fresh.change({"confidence": 0.5, "classes": ["car"], "paused": True})

    assert (answer.status, answer.json) == (
        200, {"confidence": 0.5, "classes": ["car"], "paused": True, "zones": []},
    )  # fmt: skip
    assert fresh.changes == [fresh.controls.choice]
    told = [row["text"] for row in fresh.ask("/api/events").json["events"]]
    assert told == ["Looking for car", "Threshold is 50%", "Paused", "Watching pattern:"]


@pytest.mark.parametrize("query, count", [("", 4), ("?limit=2", 2), ("?label=nothing", 0), ("?limit=0", 0)])
def test_events_are_asked_for_in_parts(fresh: Site, query: str, count: int) -> None:
    fresh.change({"confidence": 0.5, "classes": ["car"], "paused": True})
    last = fresh.ask("/api/events?limit=1").json["events"][0]["id"]

    assert len(fresh.ask(f"/api/events{query}").json["events"]) == count
    assert fresh.ask(f"/api/events?after={last}").json["events"] == []


def test_only_so_many_events_are_kept() -> None:
    events = Events()
    for n in range(KEPT + 5):
        events.add("start", str(n))

    assert len(events.find()) == KEPT
    assert events.find(limit=1)[0]["text"] == str(KEPT + 4)
    assert events.last == events.find(limit=1)[0]["id"]


def test_metrics_are_what_prometheus_reads(fresh: Site) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="needs prometheus-client")
    fresh.scene()
    fresh.scene()
    fresh.web._state.throttled = 0x50005
    fresh.facts.newest = Camera()  # type: ignore[assignment]

    families = {
        one.name: one for one in parser.text_string_to_metric_families(fresh.ask("/metrics").body.decode())
    }

    def value(name: str, **labels: str) -> Any:
        (row,) = [
            row
            for one in families.values()
            for row in one.samples
            if row.name == name and row.labels == labels
        ]
        return row.value

    assert value("edge_detect_frames_processed_total") == 2
    assert value("edge_detect_detections_total", label=visitor.EVIL) == 2
    assert value("edge_detect_objects", label="person") == 1
    assert value("edge_detect_stage_duration_seconds_count", stage="inference") == 2
    assert value("edge_detect_stage_duration_seconds_bucket", stage="inference", le="+Inf") == 2
    assert value("edge_detect_frames_dropped_total", reason="busy") == 2
    assert value("edge_detect_source_up") == 1
    assert value("edge_detect_throttled", flag="undervoltage", when="now") == 1
    assert value("edge_detect_throttled", flag="freq_capped", when="since_boot") == 0
    assert value("process_resident_memory_bytes") > 1e6
    assert families["edge_detect_stage_duration_seconds"].type == "histogram"


def test_metrics_tell_who_did_not_hear_of_events(fresh: Site) -> None:
    before = fresh.ask("/metrics").body.decode()
    fresh.facts.records = Records(SimpleNamespace(dropped=2, written=0, last=0))  # type: ignore[arg-type]
    fresh.facts.notices = (
        SimpleNamespace(name="mqtt", dropped=3, connected=True),
        SimpleNamespace(name="exec", dropped=0),
    )
    lines = fresh.ask("/metrics").body.decode().splitlines()

    assert "events_dropped" not in before
    assert {
        'edge_detect_events_dropped_total{sink="mqtt"} 3',
        'edge_detect_events_dropped_total{sink="exec"} 0',
        'edge_detect_events_dropped_total{sink="store"} 2',
        "edge_detect_mqtt_connected 1",
        "edge_detect_mqtt_dropped_total 3",
    } <= set(lines)
    kinds = [line for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))  # Prometheus reads each name once


def test_a_label_cannot_break_a_line_of_the_metrics() -> None:
    from edge_detect.web.metrics import _labels

    assert _labels({"label": 'a"b\\c\nd'}) == r'{label="a\"b\\c\nd"}'


def test_the_tally_knows_rate_and_latency() -> None:
    import scenes

    tally = Tally()
    now = time.monotonic()
    for n in range(10):
        tally.add(scenes.scene(number=n, time=now - 0.05), Timing(0.001, 0.01, 0.002), live=True)

    rate, p50, p95 = tally.recent(2.0)
    assert rate == 5
    assert 0.05 <= p50 <= p95 < 1
    assert tally.latency.sum == pytest.approx(0.5, abs=0.3)
    assert tally.stages["inference"].sum == pytest.approx(0.1)
    assert Tally().recent(2.0) == (0, 0, 0)


def test_a_rate_beyond_what_is_kept_is_right_too() -> None:
    import scenes

    tally = Tally()
    for n in range(RECENT + 50):
        tally.add(scenes.scene(number=n), Timing(), live=False)

    assert tally.recent(3.0)[0] > RECENT / 3


def test_the_state_has_the_counts_of_the_run(fresh: Site) -> None:
    counts = {"present": {"person": 2}, "zones": {}, "lines": {"gate": {"person": {"in": 3, "out": 1}}}}
    before = fresh.ask("/api/state").json["counts"]
    fresh.facts.counts = lambda: counts

    assert before == {}
    assert fresh.ask("/api/state").json["counts"] == counts
