from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from happenings import event
from scenes import LABELS, scene

from edge_detect import config, layers, recipients
from edge_detect.controls import Choice, Controls
from edge_detect.errors import ConfigError, SettingsError
from edge_detect.facts import Facts
from edge_detect.heartbeats import Heartbeats
from edge_detect.layers import Settings
from edge_detect.notices.courier import Courier
from edge_detect.notices.desk import Notices, open_notices, wanted_by

SQUARE = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9))
ZONES = (
    config.Zone("door", points=SQUARE, classes=("person",)),
    config.Zone("path", points=SQUARE),
    config.Zone("gate", "line", SQUARE[:2]),
)


def settings(**sections: Any) -> Settings:
    return Settings(config.Config(zones=ZONES, **sections))


def opened(chosen: Settings) -> Notices:
    return open_notices(chosen, Controls(Choice(0.2), LABELS), Facts(), Heartbeats())


class Listener:
    """A notice that takes its time to end."""

    name, dropped = "listener", 0

    def __init__(self) -> None:
        self.heard: list[object] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._over.wait(5)
        time.sleep(0.2)

    def write(self, scene: object) -> None:
        self.heard.append(scene)

    def tell(self, events: tuple[object, ...]) -> None:
        self.heard.extend(events)

    def stop(self) -> None:
        self._over.set()

    def close(self) -> None:
        self._thread.join()


def test_each_section_that_names_somebody_opens_one(tmp_path: Path) -> None:
    chosen = settings(
        webhook=recipients.Webhook(url="https://home.example/"),
        exec=recipients.Exec(command=("true",), labels=("person",)),
    )
    notices = opened(chosen)
    notices.close()

    assert [one.name for one in notices.all] == ["webhook", "exec"]


def test_an_event_runs_the_program(tmp_path: Path) -> None:
    notices = opened(
        settings(exec=recipients.Exec(command=("touch", str(tmp_path / "seen")), zones=("door",)))
    )
    notices.tell((event(1),))
    notices.close()

    assert (tmp_path / "seen").exists()


def test_everybody_hears_of_everything_and_they_end_at_the_same_time() -> None:
    both = [Listener(), Listener()]
    notices = Notices(both)
    one = scene()
    notices.write(one)
    notices.tell((event(1),))
    began = time.monotonic()
    notices.close()

    assert [listener.heard for listener in both] == [[one, event(1)]] * 2
    assert time.monotonic() - began < 0.35


@pytest.mark.parametrize(
    "section, said",
    [
        ({"kinds": ("came",)}, "unknown kind 'came', expected one of: appeared, "),
        ({"types": ("begin",)}, "unknown type 'begin', expected one of: end, start, update"),
        ({"labels": ("persn",)}, "unknown label 'persn', did you mean 'person'?"),
        ({"zones": ("dor",)}, "unknown zone 'dor', did you mean 'door'?"),
    ],
    ids=["kind", "type", "label", "zone"],
)
def test_a_name_that_is_not_known_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(settings(webhook=recipients.Webhook(url="https://home.example/", **section)))

    assert str(caught.value).startswith(said)


def test_what_nobody_asked_for_is_not_checked() -> None:
    opened(settings(webhook=recipients.Webhook(labels=("unicorn",)))).close()


def test_a_mistake_is_told_with_its_line_and_without_its_password(home: Path) -> None:
    (home / "own.toml").write_text('[webhook]\nurl = "http://me:hunter2@home.example/hook"\n')
    with pytest.raises(SettingsError) as caught:
        opened(layers.read(str(home / "own.toml")))

    assert str(caught.value) == (
        f'{home}/own.toml:2: webhook.url = "http://me:***@home.example/hook": http:// is readable by everybody'
        " on the way; use https://, or say webhook.allow_http = true"
    )


def touching(name: Path, **more: Any) -> config.Config:
    program = recipients.Exec(command=("touch", str(name)), at_once=1, **more)
    return config.Config(zones=ZONES, exec=program, webhook=recipients.Webhook(url="https://home.example/"))


def test_what_waits_goes_where_the_settings_say_by_then_and_others_are_left_alone(tmp_path: Path) -> None:
    old, new = touching(tmp_path / "old"), touching(tmp_path / "new", labels=("car",))
    notices = opened(Settings(old))
    webhook, program = notices.all
    busy = threading.Event()
    assert isinstance(program, Courier)
    assert isinstance(webhook, Courier)
    kept = webhook.deliver, webhook.wanted
    program.deliver = lambda event, give_up: busy.wait(5)  # type: ignore[assignment, func-returns-value]
    program.tell((event(1), event(2)))
    notices.prepare(old, new)()
    program.tell((event(3),))
    busy.set()
    notices.close()

    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (webhook.deliver, webhook.wanted) == kept
    assert (program.wanted.labels, program.dropped) == (("car",), 0)


def test_a_change_that_cannot_be_leaves_all_as_they_are(tmp_path: Path) -> None:
    old = touching(tmp_path / "old")
    bad = replace(old, webhook=replace(old.webhook, types=("update",), secret_file=str(tmp_path / "none")))
    notices = opened(Settings(old))
    with pytest.raises(SettingsError, match="none"):
        notices.prepare(old, replace(bad, exec=recipients.Exec(command=("true",))))
    notices.tell((event(1),))
    notices.close()

    assert (tmp_path / "old").exists()
    assert [one.wanted for one in notices.all] == [wanted_by(old.webhook), wanted_by(old.exec)]


def test_one_that_cannot_be_opened_leaves_none_open() -> None:
    chosen = settings(
        webhook=recipients.Webhook(url="https://home.example/"),
        exec=recipients.Exec(command=("no-such-program-here",)),
    )
    with pytest.raises(ConfigError, match="no-such-program-here"):
        opened(chosen)

    assert not any(thread.name.startswith("webhook") for thread in threading.enumerate())


def test_a_pin_hears_of_beginnings_only() -> None:
    wanted = wanted_by(recipients.Gpio(labels=("person",)))

    assert (wanted(event(1)), wanted(event(1, type="end"))) == (True, False)


def test_a_run_that_tells_nobody_imports_none_of_it() -> None:
    code = (
        "import sys, edge_detect.running\n"
        "found = [name for name in sys.modules if name.startswith(('edge_detect.notices', 'paho', 'sqlite3', 'tornado'))]\n"
        "sys.exit(bool(found))"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
