"""MQTT: tells a broker of events, of who is there and how the run is, and hears what it may change."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import psutil

from edge_detect import __version__, board, recipients
from edge_detect.controls import Controls
from edge_detect.errors import DependencyError
from edge_detect.events import Event
from edge_detect.facts import Facts
from edge_detect.frame import Image
from edge_detect.heartbeats import Heartbeats
from edge_detect.notices import discovery, orders
from edge_detect.notices.filter import Filter
from edge_detect.notices.outbox import Outbox
from edge_detect.notices.presence import Presence
from edge_detect.notices.topics import Topics
from edge_detect.scene import Scene

try:
    from edge_detect.notices.link import Link
except ImportError as error:
    raise DependencyError("mqtt.host needs paho-mqtt: pip install 'edge_detect[mqtt]'") from error

log = logging.getLogger(__name__)

STATS_EVERY = 30.0  # seconds
WAIT = 1.0  # seconds between two looks at what changed without an event
IN_FLIGHT = 20  # events that the broker has not confirmed; paho-mqtt's own limit
GRACE = 2.0  # seconds at the end for events that wait; the others wait on the disk
LIMIT = 8.0  # seconds more, for the goodbye and a slow disk
TICK = 0.1  # seconds between two looks at what comes while it connects
PATIENCE = 60.0  # seconds; a worn SD card may think for a while
SNAPSHOT_WIDTH = 640  # pixels at most


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the broker is told of besides events, and what it may change.

    Attributes:
        controls: Confidence and pause.
        facts: Of the run.
        topics: Of this machine.
        areas: Zone and label of each count of its own.
        folder: Where events wait for a broker that is away; None for in memory.
    """

    controls: Controls
    facts: Facts
    topics: Topics
    areas: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None


class Mqtt:
    """A sink with a thread of its own, which alone speaks to the broker; a second one looks for it.

    Events are sent until the broker has confirmed them, in order. States are kept by the broker
    and sent when they change, and all of them after each connection.

    Attributes:
        name: In the log and the metrics.
        wanted: Which events are told; may be exchanged.
    """

    name = "mqtt"

    def __init__(
        self, settings: recipients.Mqtt, wanted: Filter, around: Surroundings, heartbeats: Heartbeats
    ) -> None:
        """Begins to connect.

        Args:
            settings: Of the broker.
            wanted: Which events are told; states know of all.
            around: What else is told.
            heartbeats: Learn that the thread moves.

        Raises:
            ConfigError: Certificates that cannot be.
            SettingsError: The password cannot be read.
        """
        self._settings, self.wanted, self._around, self._heartbeats = settings, wanted, around, heartbeats
        topics = around.topics
        self._link = Link(
            settings,
            f"edge_detect_{topics.node}",
            topics.availability,
            self._greet,
            self._hear,
            self._arrive,
        )
        self._presence = Presence()
        self._said: dict[str, str] = {}  # what the broker keeps, by topic
        self._sent: dict[int, int] = {}  # number of a message to its row in the outbox
        self._confirmed: list[int] = []  # rows
        self._told: deque[Event] = deque()
        self._pictures: dict[str, Image] = {}
        self._alone = threading.Lock()
        self._overflown = self._dropped = 0
        self._frames, self._stats_at, self._since = 0, 0.0, (time.monotonic(), 0)
        self._ended = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._beat = heartbeats.expect("mqtt", PATIENCE)
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the broker has taken us."""
        return self._link.connected

    @property
    def dropped(self) -> int:
        """Events that made room for others."""
        return self._overflown + self._dropped

    def write(self, scene: Scene) -> None:
        """Takes a scene; never waits."""
        self._frames += 1
        if scene.events:
            if self._settings.snapshots:
                self._keep_picture(scene)
            self.tell(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events; never waits."""
        with self._alone:
            self._told.extend(events)
            while len(self._told) > self._settings.queue:  # the disk hangs
                self._told.popleft()
                self._overflown += 1
        self._wake()

    def _keep_picture(self, scene: Scene) -> None:
        for event in scene.events:
            if event.type == "start" and event.label in self._around.topics.labels and self.wanted(event):
                with self._alone:
                    self._pictures[event.label] = scene.frame.image

    def _wake(self) -> None:
        with suppress(OSError):  # full: it wakes up anyway
            os.write(self._writer, b"!")

    def stop(self) -> None:
        """Begins to end; returns at once."""
        self._ended = True
        if self._thread:
            self._wake()

    def close(self) -> None:
        """Sends for a moment what still waits, then says that it is offline; safe to call twice."""
        self.stop()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(GRACE + LIMIT)
        self._heartbeats.forget("mqtt")
        if not thread.is_alive():
            os.close(self._reader)
            os.close(self._writer)

    def _run(self) -> None:
        path = self._around.folder and self._around.folder / "mqtt.sqlite3"
        try:
            with ExitStack() as stack:
                outbox = stack.enter_context(closing(Outbox(path, self._settings.queue)))
                stack.enter_context(closing(self._link))
                while not self._ended:
                    self._step(outbox, WAIT)
                self._finish(outbox)
        except Exception as error:  # noqa: BLE001 the thread's end: the run goes on, the heartbeat does not
            log.error("mqtt: ends: %s: %s", type(error).__name__, error)

    def _finish(self, outbox: Outbox) -> None:
        """A moment for what still waits."""
        end = time.monotonic() + GRACE
        self._take(outbox)
        while self._link.connected and len(outbox) and (left := end - time.monotonic()) > 0:
            self._step(outbox, min(left, WAIT))

    def _step(self, outbox: Outbox, wait: float) -> None:
        """Hears, then tells."""
        self._beat()
        if self._link.is_due and not self._connect(outbox):
            return
        self._link.turn(wait, self._reader)
        self._beat()
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        self._take(outbox)
        outbox.arrived(self._confirmed)
        self._confirmed.clear()
        outbox.flush()
        if self._link.connected:
            self._send_events(outbox)
            self._send_states()
            self._send_pictures()
            self._send_stats()

    def _connect(self, outbox: Outbox) -> bool:
        """Tries to; events go to the disk meanwhile. False where the end comes first."""
        self._heartbeats.excuse("mqtt")
        trial = threading.Thread(target=self._link.connect, name="mqtt connects", daemon=True)
        trial.start()
        while trial.is_alive() and not self._ended:
            trial.join(TICK)
            self._take(outbox)
        self._beat()
        return not trial.is_alive()

    def _take(self, outbox: Outbox) -> None:
        """Moves events from the loop into the outbox."""
        with self._alone:
            events = list(self._told)
            self._told.clear()
        for event in events:
            self._presence.tell(event)
        if wanted := [event for event in events if self.wanted(event)]:
            outbox.add(wanted)
        self._dropped = outbox.dropped

    def _send_events(self, outbox: Outbox) -> None:
        for row, body in outbox.waiting(set(self._sent.values()), IN_FLIGHT):
            number = self._link.publish(self._around.topics.events, body, qos=1)
            if number is None:
                return
            self._sent[number] = row

    def _arrive(self, number: int) -> None:
        if (row := self._sent.pop(number, None)) is not None:
            self._confirmed.append(row)

    def _send_states(self) -> None:
        for topic, payload in self._states():
            if self._said.get(topic) != payload and self._link.publish(topic, payload, retain=True):
                self._said[topic] = payload

    def _states(self) -> Iterable[tuple[str, str]]:
        """Everything that the broker should keep."""
        topics, counts, counts_in = self._around.topics, self._presence.counts(), self._presence.counts_in()
        for label in topics.labels:
            yield topics.state(label), "ON" if counts[label] else "OFF"
            yield topics.count(label), str(counts[label])
        for zone, label in self._around.areas:
            yield topics.count_in(zone, label), str(counts_in[zone, label])
        choice = self._around.controls.choice
        yield topics.control("confidence"), f"{choice.confidence:.4g}"
        yield topics.control("paused"), "ON" if choice.paused else "OFF"

    def _send_pictures(self) -> None:
        with self._alone:
            pictures, self._pictures = self._pictures, {}
        for label, image in pictures.items():
            self._link.publish(self._around.topics.snapshot(label), _jpeg(image), retain=True)

    def _send_stats(self) -> None:
        now = time.monotonic()
        if now >= self._stats_at:
            self._stats_at = now + STATS_EVERY
            self._link.publish(self._around.topics.stats, json.dumps(self._stats(now)))

    def _stats(self, now: float) -> dict[str, Any]:
        """How the run is."""
        (then, before), self._since = self._since, (now, self._frames)
        newest, bits, degrees = self._around.facts.newest, board.throttled(), board.temperature()
        flags = board.flags(bits)
        return {
            "fps": round((self._frames - before) / max(now - then, 1e-3), 2),
            "frames": self._frames,
            "captured": newest.captured if newest else self._frames,
            "dropped": newest.dropped if newest else 0,
            "camera": "OFF" if newest and newest.lost else "ON",
            "temperature": degrees,
            "undervoltage": "ON" if "under-voltage" in flags else "OFF",
            "throttled": list(flags),
            "rss_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
            "events_dropped": self.dropped,
            "model": self._around.facts.model,
            "version": __version__,
        }

    def _greet(self) -> None:
        """What a broker gets that has just taken us; it may be a new one."""
        topics = self._around.topics
        self._said.clear()
        self._stats_at = 0.0
        if self._settings.commands:
            self._link.subscribe(topics.command("+"))
        if self._settings.discovery:
            self._link.subscribe(discovery.status(self._settings.discovery))
        self._link.publish(topics.availability, "online", qos=1, retain=True)
        self._introduce()

    def _introduce(self) -> None:
        """The one message from which Home Assistant makes all of its entities."""
        if not (prefix := self._settings.discovery):
            return
        message = discovery.message(
            self._around.topics,
            self._around.areas,
            commands=self._settings.commands,
            snapshots=self._settings.snapshots,
            model=self._around.facts.model,
        )
        self._link.publish(discovery.topic(prefix, self._around.topics), json.dumps(message), retain=True)

    def _hear(self, topic: str, payload: bytes, is_kept: bool) -> None:
        """What another client says: Home Assistant that it has started, or a command."""
        if topic == discovery.status(self._settings.discovery):
            if payload == b"online" and not is_kept:
                self._introduce()
                self._said.clear()
            return
        for name in orders.NAMES:
            if self._settings.commands and topic == self._around.topics.command(name):
                orders.obey(self._around.controls, name, payload, is_kept=is_kept)


def _jpeg(image: Image) -> bytes:
    """A picture, small enough for a broker."""
    height, width = image.shape[:2]
    if width > SNAPSHOT_WIDTH:
        size = (SNAPSHOT_WIDTH, max(1, height * SNAPSHOT_WIDTH // width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
