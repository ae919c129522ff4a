from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt, from the extra mqtt")

import cv2
import numpy as np
import program
from broker import Broker, ear
from happenings import LOST, event
from scenes import LABELS, picture, scene
from waiting import killed_in_time, wait_until

from edge_detect import recipients
from edge_detect.controls import Choice, Controls
from edge_detect.facts import Facts
from edge_detect.heartbeats import Heartbeats
from edge_detect.notices import link, mqtt
from edge_detect.notices.filter import Filter
from edge_detect.notices.mqtt import Mqtt, Surroundings
from edge_detect.notices.topics import topics
from edge_detect.scene import Scene

BASE = "edge_detect/porch"
DISCOVERY = "homeassistant/device/edge_detect_porch/config"


class Camera:
    """What is asked of a `Newest`."""

    captured, dropped, reopened, lost, age = 7, 2, 1, False, 0.1


@pytest.fixture
def choices() -> list[Choice]:
    """What the controls were changed to."""
    return []


@pytest.fixture
def controls(choices: list[Choice]) -> Controls:
    return Controls(Choice(0.25), LABELS, choices.append)


@pytest.fixture
def opened(broker: Broker, controls: Controls, tmp_path: Path) -> Iterator[Callable[..., Mqtt]]:
    """Opens clients of the broker; they are closed at the end."""
    with ExitStack() as stack:

        def open_mqtt(wanted: Filter | None = None, labels: Any = LABELS.names, **settings: Any) -> Mqtt:
            around = Surroundings(
                controls,
                Facts(model="detector.tflite", newest=Camera()),  # type: ignore[arg-type]
                topics("porch", labels, ["front door"]),
                tuple(("front door", label) for label in labels),
                tmp_path / "state",
            )
            chosen = recipients.Mqtt(host="127.0.0.1", port=broker.port, **settings)
            client = Mqtt(chosen, wanted or Filter(), around, Heartbeats())
            return stack.enter_context(closing(client))

        yield open_mqtt


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is looked for every tenth of a second."""
    monkeypatch.setattr(link, "SHORTEST", 0.1)
    monkeypatch.setattr(link.Link, "longest", 0.1)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is not set, no client of ours looks for the broker: a listener comes first, and misses nothing."""
    gate, is_due = threading.Event(), link.Link.is_due.fget
    assert is_due
    gate.set()
    monkeypatch.setattr(link.Link, "is_due", property(lambda one: gate.is_set() and is_due(one)))
    return gate


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [f"{one['type']} {one['id']}" for one in events]


def test_a_client_comes_online_and_a_clean_end_tells_that_it_is_offline(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    with ear(broker.port) as heard:
        client = opened()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"online")
        assert client.connected
        client.close()
        client.close()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"offline")
    with ear(broker.port) as late:
        wait_until(lambda: (f"{BASE}/availability", b"offline", True) in late.heard)
    assert not any(thread.name == "mqtt" for thread in threading.enumerate())


def test_events_arrive_flat_and_are_not_kept_by_the_broker(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    with ear(broker.port) as heard:
        client = opened()
        client.write(Scene(scene().frame, scene().detections, (event(1),)))
        client.tell((LOST,))
        wait_until(lambda: len(heard.events(f"{BASE}/events")) == 2)

        first, second = heard.events(f"{BASE}/events")
    assert first | {"v": 1, "label": "person", "box": [0.1, 0.2, 0.3, 0.4], "zones": ["door"]} == first
    assert (second["kind"], second["label"]) == ("camera_lost", "")
    with ear(broker.port, f"{BASE}/#") as late:
        wait_until(lambda: late.last(f"{BASE}/availability"))
        assert late.last(f"{BASE}/events") is None


def test_only_what_is_wanted_is_told_but_states_know_of_all(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    with ear(broker.port) as heard:
        client = opened(Filter(types=("end",)))
        client.tell((event(1), event(2), event(1, type="end")))
        wait_until(lambda: heard.last(f"{BASE}/person/count") == b"1")
        wait_until(lambda: heard.events(f"{BASE}/events"))

        assert ids(heard.events(f"{BASE}/events")) == ["end event-1"]


def test_who_is_there_is_kept_by_the_broker(broker: Broker, opened: Callable[..., Mqtt]) -> None:
    client = opened()
    with ear(broker.port) as heard:
        wait_until(lambda: heard.last(f"{BASE}/person/state") == b"OFF")
        client.tell((event(1, zones=("front door",)), event(2)))
        wait_until(lambda: heard.last(f"{BASE}/person/count") == b"2")
        wait_until(lambda: heard.last(f"{BASE}/front_door/person/count") == b"1")
    with ear(broker.port) as late:
        for topic, payload in (
            ("person/state", b"ON"),
            ("person/count", b"2"),
            ("front_door/person/count", b"1"),
            ("traffic_light/state", b"OFF"),
        ):
            wait_until(lambda one=(f"{BASE}/{topic}", payload, True): one in late.heard)
        client.tell((event(1, type="end"), event(2, type="end")))
        wait_until(lambda: late.last(f"{BASE}/person/state") == b"OFF")


def test_stats_come_with_the_connection(broker: Broker, opened: Callable[..., Mqtt]) -> None:
    with ear(broker.port) as heard:
        opened()
        wait_until(lambda: heard.events(f"{BASE}/stats"))

        stats = heard.events(f"{BASE}/stats")[0]
    assert stats | {"captured": 7, "dropped": 2, "camera": "ON", "model": "detector.tflite"} == stats
    assert {"fps", "temperature", "undervoltage", "throttled", "rss_mb", "events_dropped"} <= set(stats)


def test_pictures_are_sent_only_when_asked_for(broker: Broker, opened: Callable[..., Mqtt]) -> None:
    seen = Scene(scene(image=picture(200, (1280, 720))).frame, scene().detections, (event(1),))
    with ear(broker.port) as heard:
        client = opened()
        client.write(seen)
        wait_until(lambda: heard.events(f"{BASE}/events"))
        client.close()
        assert heard.last(f"{BASE}/person/snapshot") is None

        opened(snapshots=True).write(Scene(seen.frame, seen.detections, (event(2),)))
        wait_until(lambda: heard.last(f"{BASE}/person/snapshot"))
        data = heard.last(f"{BASE}/person/snapshot") or b""
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (360, 640, 3)


def test_commands_change_the_controls_and_the_new_state_is_told(
    broker: Broker, opened: Callable[..., Mqtt], controls: Controls
) -> None:
    with ear(broker.port) as heard:
        opened()
        wait_until(lambda: heard.last(f"{BASE}/confidence/state") == b"0.25")
        heard.say(f"{BASE}/confidence/set", "0.6")
        heard.say(f"{BASE}/paused/set", "ON")
        wait_until(lambda: heard.last(f"{BASE}/paused/state") == b"ON")
        wait_until(lambda: heard.last(f"{BASE}/confidence/state") == b"0.6")
        controls.change(paused=False)  # in the page
        wait_until(lambda: heard.last(f"{BASE}/paused/state") == b"OFF")

    assert controls.choice == Choice(0.6)


@pytest.mark.parametrize(
    "topic, payload, retain",
    [
        ("confidence/set", "1.5", False),
        ("confidence/set", "nan", False),
        ("confidence/set", "0" * 100, False),
        ("confidence/set", "[0.5]", False),
        ("confidence/set", "inf", False),
        ("paused/set", "on", False),
        ("paused/set", "", False),
        ("paused/set", "ON", True),
        ("classes/set", "person", False),
        ("paused", "ON", False),
        ("x/paused/set", "ON", False),
    ],
    ids=[
        "too much",
        "not a number",
        "long",
        "a list",
        "infinite",
        "another word",
        "empty",
        "kept by the broker",
        "another control",
        "another topic",
        "deeper",
    ],
)
def test_what_is_no_command_changes_nothing(
    broker: Broker, opened: Callable[..., Mqtt], choices: list[Choice], topic: str, payload: str, retain: bool
) -> None:
    with ear(broker.port) as heard:
        if retain:
            heard.say(f"{BASE}/{topic}", payload, retain=True)
        opened()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"online")
        wait_until(lambda: heard.last(f"{BASE}/paused/state"))
        if not retain:
            heard.say(f"{BASE}/{topic}", payload)
        heard.say(f"{BASE}/confidence/set", "0.7")
        wait_until(lambda: choices)

    assert choices == [Choice(0.7)]


def test_commands_can_be_forbidden(broker: Broker, opened: Callable[..., Mqtt], controls: Controls) -> None:
    with ear(broker.port) as heard:
        client = opened(commands=False)
        wait_until(lambda: heard.last(f"{BASE}/paused/state"))
        heard.say(f"{BASE}/paused/set", "ON")
        client._hear(f"{BASE}/paused/set", b"ON", False)
        client.tell((event(1),))
        wait_until(lambda: heard.events(f"{BASE}/events"))
        config_of = json.loads(heard.last(DISCOVERY) or b"")

    assert controls.choice == Choice(0.25)
    assert not {"paused", "confidence"} & set(config_of["components"])


def test_home_assistant_is_told_of_the_machine_again_when_it_starts(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    with ear(broker.port) as heard:
        opened()
        wait_until(lambda: heard.last(DISCOVERY))
        wait_until(lambda: heard.last(f"{BASE}/paused/state"))
        heard.heard.clear()
        heard.say("homeassistant/status", "offline")
        heard.say("homeassistant/status", "online")
        wait_until(lambda: heard.last(DISCOVERY))
        wait_until(lambda: heard.last(f"{BASE}/person/state"))

        assert sum(topic == DISCOVERY for topic, _, _ in heard.heard) == 1
    with ear(broker.port, DISCOVERY) as late:
        wait_until(lambda: late.heard and late.heard[0][2])


def test_labels_and_zones_full_of_signs_stay_below_the_machine(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    evil = ("#", "+", "a/../b", "nul\0", "homeassistant/status", "paused", "x" * 70_000, "\r\n$SYS")
    with ear(broker.port) as heard:
        client = opened(labels=evil)
        client.tell(tuple(event(number, label=label, zones=("#/+",)) for number, label in enumerate(evil)))
        wait_until(lambda: len(heard.events(f"{BASE}/events")) == len(evil))
        wait_until(lambda: heard.last(DISCOVERY))
        wait_until(lambda: heard.last(f"{BASE}/paused_2/state") == b"ON")
        wait_until(lambda: heard.last(f"{BASE}/paused/state") == b"OFF")
        told = {topic for topic, _, _ in heard.heard}

    assert [one["label"] for one in heard.events(f"{BASE}/events")] == list(evil)
    assert all(topic.startswith(f"{BASE}/") for topic in told - {DISCOVERY})
    assert not any(sign in topic for topic in told for sign in "#+$\0\r")


def test_nothing_is_lost_or_doubled_while_the_broker_is_away(
    broker: Broker,
    opened: Callable[..., Mqtt],
    quick: None,
    gate: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    go_away(broker, opened, gate, seconds=2.0)

    mine = [one for one in caplog.messages if one.startswith("mqtt: ")]
    assert [one.removeprefix(f"mqtt: 127.0.0.1:{broker.port}: ") for one in mine] == [
        f"mqtt: connected to 127.0.0.1:{broker.port}",
        "the connection is lost; events wait",
        "Connection refused; events wait",
        f"mqtt: connected to 127.0.0.1:{broker.port}",
    ]


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_the_broker_is_away_for_a_minute(
    broker: Broker, opened: Callable[..., Mqtt], quick: None, gate: threading.Event
) -> None:
    go_away(broker, opened, gate, seconds=60.0)


def go_away(broker: Broker, opened: Callable[..., Mqtt], gate: threading.Event, seconds: float) -> None:
    """Kills the broker in the middle of a hundred events, and starts it again."""
    over, told = threading.Event(), list[str]()

    def happen() -> None:
        while not over.wait(min(seconds / 50, 0.1)):
            told.append(f"start event-{len(told)}")
            client.tell((event(len(told) - 1),))

    with ear(broker.port) as heard:
        client = opened()
        wait_until(lambda: client.connected)
        thread = threading.Thread(target=happen)
        thread.start()
        wait_until(lambda: len(heard.events(f"{BASE}/events")) > 10, seconds)
        heard.miss()
        broker.kill()
        wait_until(lambda: not client.connected)
        over.wait(seconds)
        gate.clear()
        broker.start()
        heard.wait_again(10)
        gate.set()
        over.set()
        thread.join(5)
        wait_until(lambda: len(heard.events(f"{BASE}/events")) >= len(told), 35)
        client.tell((event(1000),))
        wait_until(lambda: ids(heard.events(f"{BASE}/events"))[-1] == "start event-1000")

        assert ids(heard.events(f"{BASE}/events")) == [*told, "start event-1000"]
    assert len(told) > 40
    assert client.dropped == 0


def test_a_broker_that_comes_late_gets_all(broker: Broker, opened: Callable[..., Mqtt], quick: None) -> None:
    broker.kill()
    client = opened()
    client.tell(tuple(event(number) for number in range(50)))
    broker.start()
    with ear(broker.port) as heard:
        wait_until(lambda: client.connected)
        client.tell((event(50),))
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"online")
        wait_until(lambda: client._around.folder and not waiting(client))

    assert client.dropped == 0


def waiting(client: Mqtt) -> int:
    """Events that have not arrived, as another process sees it."""
    import sqlite3

    with closing(sqlite3.connect(client._around.folder / "mqtt.sqlite3")) as database:  # type: ignore[operator]
        return int(database.execute("SELECT count(*) FROM outbox WHERE NOT arrived").fetchone()[0])


def test_what_waits_when_the_run_ends_is_sent_by_the_next_one(
    broker: Broker, opened: Callable[..., Mqtt], quick: None
) -> None:
    broker.kill()
    client = opened()
    client.tell((event(1), event(2)))
    client.close()
    broker.start()
    with ear(broker.port) as heard:
        opened().tell((event(2), event(3)))
        wait_until(lambda: len(heard.events(f"{BASE}/events")) == 3)

        assert ids(heard.events(f"{BASE}/events")) == [f"start event-{number}" for number in (1, 2, 3)]


def test_what_waits_at_a_clean_end_is_sent_before_the_goodbye(
    broker: Broker, opened: Callable[..., Mqtt]
) -> None:
    with ear(broker.port) as heard:
        client = opened()
        wait_until(lambda: client.connected)
        client.tell(tuple(event(number) for number in range(200)))
        client.close()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"offline")

        assert len(heard.events(f"{BASE}/events")) == 200


def test_a_queue_that_is_full_drops_the_oldest_and_counts(
    broker: Broker, opened: Callable[..., Mqtt], quick: None
) -> None:
    broker.kill()
    client = opened(queue=5)
    for number in range(20):
        client.tell((event(number),))
    wait_until(lambda: client.dropped == 15)
    broker.start()
    with ear(broker.port) as heard:
        client.tell((event(20),))
        wait_until(lambda: "start event-20" in ids(heard.events(f"{BASE}/events")))

    assert client.dropped in (15, 16)


def test_who_tells_never_waits_for_a_broker_that_says_nothing(
    opened: Callable[..., Mqtt], broker: Broker
) -> None:
    import socket

    broker.kill()
    with socket.create_server(("127.0.0.1", broker.port)):  # takes connections and says nothing
        client = opened()
        began = time.monotonic()
        for number in range(500):
            client.tell((event(number),))
        told = time.monotonic() - began
        client.close()

    assert told < 0.5
    assert time.monotonic() - began < 5


def test_a_broker_that_refuses_us_is_told_once(
    broker: Broker, opened: Callable[..., Mqtt], quick: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with Broker(make(tmp_path / "strict"), allow_anonymous="false") as strict:
        broker.port = strict.port
        client = opened(username="me")
        wait_until(lambda: caplog.messages)
        wait_until(lambda: client._link._due > time.monotonic())
        wait_until(lambda: client._link.is_due)

    told = (
        rf"mqtt: 127\.0\.0\.1:{strict.port}: refuses us: (.*: not authorised\.|Not authorized); events wait"
    )
    assert re.fullmatch(told, caplog.messages[0])
    assert [one for one in caplog.messages if "refuses" in one] == caplog.messages[:1]


def test_a_password_from_a_file_opens_the_broker(
    broker: Broker, opened: Callable[..., Mqtt], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    if not shutil.which("mosquitto_passwd"):
        pytest.skip("needs mosquitto_passwd")
    caplog.set_level(logging.DEBUG)
    folder = make(tmp_path / "strict")
    users = folder / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "me", "hunter2"], check=True, capture_output=True)
    secret = folder / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    with Broker(folder, allow_anonymous="false", password_file=users) as strict:
        broker.port = strict.port
        client = opened(username="me", password_file=str(secret))
        wait_until(lambda: client.connected)
        client.close()

    assert "hunter2" not in caplog.text


def test_a_thread_that_breaks_is_told_and_its_heart_stops(
    broker: Broker,
    opened: Callable[..., Mqtt],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mqtt, "PATIENCE", 0.2)
    with ear(broker.port, f"{BASE}/availability") as heard:
        client = opened()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"online")
        monkeypatch.setattr(client, "_take", lambda outbox: 1 / 0)
        client.tell((event(1),))
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"offline")
        wait_until(lambda: client._heartbeats.late().keys() == {"mqtt"})
        client.close()

    assert caplog.messages == ["mqtt: ends: ZeroDivisionError: division by zero"]
    assert client._heartbeats.late() == {}


def test_a_broker_that_cannot_be_reached_is_no_hang(
    broker: Broker, opened: Callable[..., Mqtt], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "PATIENCE", 0.05)
    broker.kill()
    over = threading.Event()
    monkeypatch.setattr(link.Link, "connect", lambda one: over.wait(5))
    client = opened()
    client.tell((event(1),))
    over.wait(0.2)
    late = client._heartbeats.late()
    over.set()

    assert late == {}


def test_what_happens_while_a_name_server_hangs_is_on_the_disk_and_so_is_what_the_end_tells(
    opened: Callable[..., Mqtt], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, over = threading.Event(), threading.Event()
    monkeypatch.setattr(link.Link, "connect", lambda one: (hangs.set(), over.wait(30)))
    client = opened()
    assert hangs.wait(5)
    client.tell((event(1),))
    wait_until(lambda: waiting(client) == 1)
    client.tell((event(1, type="end"),))
    client.close()

    assert waiting(client) == 2
    assert not any(thread.name == "mqtt" for thread in threading.enumerate())
    over.set()


@contextmanager
def running(broker: Broker, desk: Path, text: str = "", *words: str) -> Iterator[subprocess.Popen[str]]:
    """The program, which tells the broker."""
    mine = f"[mqtt]\nhost = '127.0.0.1'\nport = {broker.port}\nnode = 'porch'\n{text}"
    (desk / "own.toml").write_text(mine)
    source = f"pattern:?fps=20&width={program.SIZE[0]}&height={program.SIZE[1]}"
    named = ("run", "-m", "model.tflite", "--config", "own.toml", "--source", source, *words)
    with program.started(*named) as child, killed_in_time(child, 40):
        yield child


def test_a_killed_client_is_offline_within_a_second(broker: Broker, desk: Path, home: Path) -> None:
    with ear(broker.port) as heard, running(broker, desk) as child:
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"online", 30)
        child.send_signal(signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"offline")

        assert time.monotonic() - began < 1


def test_what_a_camera_sees_reaches_the_broker_and_a_program_and_has_an_end(
    broker: Broker, desk: Path, home: Path
) -> None:
    seen = "[exec]\ncommand = ['sh', '-c', 'cat >> seen.jsonl']\nlabels = ['person']\n"
    with ear(broker.port) as heard, running(broker, desk, seen, "--events", "events.jsonl") as child:
        wait_until(lambda: heard.last(f"{BASE}/person/state") == b"ON", 30)
        wait_until(lambda: heard.last(f"{BASE}/car/count") == b"1")
        wait_until(lambda: (desk / "seen.jsonl").exists() and (desk / "seen.jsonl").read_text())
        child.send_signal(signal.SIGTERM)
        _, log = program.end_of(child)
        wait_until(lambda: heard.last(f"{BASE}/availability") == b"offline")
        told = heard.events(f"{BASE}/events")

    assert child.returncode == 0, log
    assert told == [json.loads(line) for line in (desk / "events.jsonl").read_text().splitlines()]
    assert [one["type"] for one in told if one["label"] == "person"] == ["start", "end"]
    (ran,) = [json.loads(line) for line in (desk / "seen.jsonl").read_text().splitlines()]
    assert ran == next(one for one in told if one["label"] == "person")


def test_what_the_broker_changes_holds_in_the_next_run(broker: Broker, desk: Path, home: Path) -> None:
    with ear(broker.port) as heard:
        with running(broker, desk) as child:
            wait_until(lambda: heard.last(f"{BASE}/stats"), 30)
            heard.say(f"{BASE}/confidence/set", "0.6")
            heard.say(f"{BASE}/paused/set", "ON")
            wait_until(lambda: heard.last(f"{BASE}/paused/state") == b"ON")
            child.send_signal(signal.SIGTERM)
            _, log = program.end_of(child)
        heard.heard.clear()
        with running(broker, desk):
            wait_until(lambda: heard.last(f"{BASE}/paused/state") == b"ON", 30)
            wait_until(lambda: heard.last(f"{BASE}/confidence/state") == b"0.6")

    assert "mqtt: paused = True" in log
