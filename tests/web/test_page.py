"""The page in a real Chromium, on a real run of the drawn street."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import browser
import cv2
import numpy as np
import program
import pytest
from visitor import EVIL, PASSWORD, Site
from waiting import wait_until

pytestmark = pytest.mark.slow  # once is enough for a browser
if reason := browser.missing():
    pytest.skip(reason, allow_module_level=True)

AXE = Path.home() / ".cache/edge-detect"  # where .ci/run puts axe-core
PERSON = 'button.chip[data-name="person"]'


@contextmanager
def running(folder: Path, port: int) -> Iterator[str]:
    """A run of the drawn street with a person and something with an evil name in every picture."""
    model = folder / "model.tflite"
    model.write_bytes(program.detector(f"person\n{EVIL}\n".encode()))
    command = program.command(
        f"pattern:?width={program.SIZE[0] * 3}&height={program.SIZE[1] * 3}&fps=15",
        "-m", model, "-c", "0.4", "--headless", "--web", f"127.0.0.1:{port}",
    )  # fmt: skip
    env = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr
        line = next((line for line in child.stderr if "live page" in line), "")
        drain = threading.Thread(target=child.stderr.read, daemon=True)
        drain.start()
        try:
            yield re.findall(r"http://\S+", line)[0]
        finally:
            child.terminate()
            child.wait(10)
            drain.join(5)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("run"), 0) as place:
        yield place


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def page(chromium: Any, url: str) -> Any:
    """The page, as it is after its first picture."""
    change(url, confidence=0.4, classes=[], paused=False)
    browser.shape(chromium, browser.SIZES["desktop"])
    chromium.get(url)
    wait_until(lambda: seq(chromium) >= 0, 20)
    return chromium


def seq(page: Any) -> int:
    """The number of the frame that was drawn last."""
    return int(page.execute_script("return document.getElementById('stage').dataset.seq ?? -1"))


def state(url: str) -> Any:
    with urllib.request.urlopen(f"{url}api/state", timeout=5) as answer:
        return json.load(answer)


def change(url: str, **settings: Any) -> None:
    headers = {"Content-Type": "application/json", "X-Requested-With": "tests", "Origin": url.rstrip("/")}
    request = urllib.request.Request(f"{url}api/settings", json.dumps(settings).encode(), headers)
    urllib.request.urlopen(request, timeout=5).close()


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def each(page: Any, selector: str, name: str = "textContent") -> list[str]:
    """A property of all that match, at one moment: the page may exchange them at any time."""
    script = f"return [...document.querySelectorAll(arguments[0])].map((one) => one.{name})"
    return list(page.execute_script(script, selector))


def text(page: Any, selector: str) -> str:
    return "".join(each(page, selector)[:1])


def painted(page: Any) -> int:
    """Pixels of the boxes' canvas that are not clear."""
    return int(
        page.execute_script(
            "const c = document.getElementById('boxes');"
            "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length"
        )
    )


def test_frames_advance_and_boxes_are_drawn(page: Any) -> None:
    first = seq(page)
    wait_until(lambda: seq(page) > first + 10)

    assert page.execute_script("return document.getElementById('stage').dataset.boxes") == "2"
    assert painted(page) > 500
    assert text(page, "#status-text") == "Live"
    assert page.execute_script("return document.getElementById('picture').width") == program.SIZE[0] * 3


def test_a_name_is_text_and_nothing_else(page: Any) -> None:
    wait_until(lambda: len(page.find_elements("css selector", "#chips .chip")) == 2)

    assert each(page, "#chips .name") == ["person", EVIL]
    assert page.find_elements("css selector", "img[src='x']") == []
    wait_until(lambda: EVIL in text(page, "#summary"), 10)
    assert EVIL in page.title


def test_the_slider_acts(page: Any, url: str) -> None:
    from selenium.webdriver.common.keys import Keys

    slider = find(page, "#threshold")
    for _ in range(15):
        slider.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: state(url)["settings"]["confidence"] == 0.55)

    assert text(page, "#threshold-value") == "55 %"
    wait_until(lambda: page.execute_script("return document.getElementById('stage').dataset.boxes") == "1")


def test_a_chip_acts_and_says_so(page: Any, url: str) -> None:
    wait_until(lambda: page.find_elements("css selector", f"#chips {PERSON}"))
    find(page, f"#chips {PERSON}").click()
    wait_until(lambda: state(url)["settings"]["classes"] == [EVIL])
    wait_until(lambda: each(page, f"#chips {PERSON}", "getAttribute('aria-pressed')") == ["false"])
    wait_until(lambda: text(page, f"#chips {PERSON} b") == "0")

    find(page, f"#chips {PERSON}").click()
    wait_until(lambda: state(url)["settings"]["classes"] == [])
    wait_until(lambda: text(page, f"#chips {PERSON} b") == "1")


def test_the_last_class_brings_all_back(page: Any, url: str) -> None:
    change(url, classes=["person"])
    wait_until(lambda: page.find_elements("css selector", f"#chips {PERSON}"))
    wait_until(lambda: page.execute_script("return settings.classes.length") == 1)
    find(page, f"#chips {PERSON}").click()

    wait_until(lambda: state(url)["settings"]["classes"] == [])


def test_pause_goes_by_button_and_by_key(page: Any, url: str) -> None:
    find(page, "#stage").send_keys(" ")
    wait_until(lambda: text(page, "#status-text") == "Paused")
    before = state(url)["stats"]["processed"]
    first = seq(page)
    wait_until(lambda: seq(page) > first + 5)  # the picture goes on

    assert find(page, "#ribbon").is_displayed()
    assert state(url)["stats"]["processed"] - before <= 1
    page.execute_script("document.getElementById('pause').click()")
    wait_until(lambda: text(page, "#status-text") == "Live")
    wait_until(lambda: each(page, "#events li", "dataset.type")[:2] == ["resumed", "paused"])


def test_boxes_can_be_hidden(page: Any) -> None:
    find(page, "#stage").send_keys("b")

    wait_until(lambda: painted(page) == 0)
    assert find(page, "#toggle").get_attribute("aria-pressed") == "false"


def test_a_picture_can_be_saved(page: Any, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.execute_script("document.getElementById('save').click()")
    wait_until(lambda: list(tmp_path.glob("edge-detect-*.jpg")))
    (path,) = tmp_path.glob("edge-detect-*.jpg")
    wait_until(lambda: cv2.imread(str(path)) is not None)

    assert cv2.imread(str(path)).shape == (program.SIZE[1] * 3, program.SIZE[0] * 3, 3)


def test_measurements_are_shown(page: Any) -> None:
    def values() -> list[str]:
        return each(page, ".meter p span")[:4]

    wait_until(lambda: all(value[:1].isdigit() for value in values()), 10)

    assert each(page, ".meter h2") == ["Frames a second", "Latency", "CPU", "Memory", "Temperature"]
    assert 10 < float(values()[0]) < 20


@pytest.mark.parametrize("size", browser.SIZES)
@pytest.mark.parametrize("scheme", browser.SCHEMES)
def test_everybody_can_use_it(page: Any, size: str, scheme: str) -> None:
    archives = sorted(AXE.glob("axe-core-*.tgz"))
    if not archives:
        pytest.skip(f"needs axe-core: npm pack axe-core --pack-destination {AXE}")
    browser.shape(page, browser.SIZES[size], scheme)
    page.execute_script("document.getElementById('more').open = true")
    wait_until(lambda: len(page.find_elements("css selector", ".chip")) == 4)
    with tarfile.open(archives[-1]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script
        page.execute_script(script.read().decode())
    found = page.execute_async_script("axe.run().then(arguments[arguments.length - 1])")

    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []
    assert len(found["passes"]) > 15


@pytest.mark.parametrize("size", browser.SIZES)
def test_nothing_is_wider_than_the_screen_and_fingers_meet_every_button(page: Any, size: str) -> None:
    width, height = browser.SIZES[size]
    browser.shape(page, (width, height))

    wait_until(lambda: page.execute_script("return document.documentElement.scrollWidth") <= width)
    for button in page.find_elements("css selector", "button, summary, input"):
        if button.is_displayed():
            assert button.rect["height"] >= 44, button.get_attribute("outerHTML")


def test_nothing_leaves_the_origin_and_nothing_is_blocked(page: Any, url: str) -> None:
    page.get_log("performance")
    page.get(url)
    first = seq(page)
    wait_until(lambda: seq(page) > first + 5)
    entries = [json.loads(row["message"])["message"] for row in page.get_log("performance")]

    asked = [
        one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"
    ]
    sockets = [one["params"]["url"] for one in entries if one["method"] == "Network.webSocketCreated"]
    assert {f"{url}static/app.js", f"{url}static/style.css", url} <= set(asked)
    assert [one for one in asked if not one.startswith((url, "blob:"))] == []
    assert sockets == [f"{url.replace('http', 'ws')}ws/live"]
    assert [row for row in page.get_log("browser") if row["level"] == "SEVERE"] == []


def test_a_hidden_page_costs_nothing(page: Any, url: str) -> None:
    own = page.current_window_handle
    page.switch_to.new_window("tab")
    try:
        wait_until(lambda: state(url)["stats"]["viewers"] == 0)
    finally:
        page.close()
        page.switch_to.window(own)
    first = seq(page)
    wait_until(lambda: seq(page) > first)


def test_it_comes_back_by_itself(chromium: Any, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with running(tmp_path, port) as place:
        chromium.get(place)
        wait_until(lambda: seq(chromium) >= 0)
    wait_until(lambda: text(chromium, "#status-text") == "Offline")
    banner = text(chromium, "#banners")
    with running(tmp_path, port):
        wait_until(lambda: text(chromium, "#status-text") == "Live", 20)

    assert banner == "The connection is lost. Trying again by itself."


def test_one_viewer_too_many_is_told_and_let_in_later(chromium: Any, pages: Callable[..., Site]) -> None:
    site = pages(viewers=1)
    site.scene()
    link, _ = site.socket()
    chromium.get(site.web.url)
    wait_until(lambda: text(chromium, "#status-text") == "Full", 15)
    banner = text(chromium, "#banners")
    link.close()

    assert banner == "Too many are looking. Trying again by itself."
    wait_until(lambda: text(chromium, "#status-text") == "Live", 15)


def test_a_lost_camera_and_a_weak_supply_are_told(
    chromium: Any, pages: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        captured, dropped, reopened, lost, age = 7, 2, 1, True, 11.0

    monkeypatch.setattr("edge_detect.board.throttled", lambda: 1)
    site = pages()
    site.facts.newest = Lost()  # type: ignore[assignment]
    site.scene()
    chromium.get(site.web.url)

    wait_until(lambda: text(chromium, "#status-text") == "Camera lost", 10)
    wait_until(lambda: len(chromium.find_elements("css selector", ".banner")) == 2)
    assert "power supply is too weak" in text(chromium, ".banner.warn")
    assert text(chromium, ".banner.bad").startswith("The camera is away")


def test_the_form_lets_in_and_the_cookie_is_not_for_scripts(
    chromium: Any, pages: Callable[..., Site]
) -> None:
    site = pages(password=PASSWORD)
    site.scene()
    chromium.get(site.web.url)
    find(chromium, "#secret").send_keys("wrong" + "\n")
    wait_until(lambda: text(chromium, ".wrong") == "That is not it. Try again.")
    find(chromium, "#secret").send_keys(PASSWORD + "\n")
    wait_until(lambda: chromium.find_elements("css selector", "#stage"))
    wait_until(lambda: seq(chromium) >= 0)

    assert chromium.execute_script("return document.cookie") == ""
    wait_until(lambda: find(chromium, "#logout").is_displayed())
    find(chromium, "#logout button").click()
    wait_until(lambda: chromium.current_url.endswith("/login"))


def test_boxes_lie_where_the_things_are(chromium: Any, pages: Callable[..., Site]) -> None:
    site = pages()
    site.scene()
    browser.shape(chromium, browser.SIZES["desktop"], zoom=2.0)
    chromium.get(site.web.url)
    wait_until(lambda: seq(chromium) >= 0)
    size, data = chromium.execute_script(
        "const c = document.getElementById('boxes'), s = document.getElementById('stage');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return [[c.width, c.height, s.clientWidth, s.clientHeight], Array.from(d.filter((v, i) => i % 4 == 3))]"
    )
    width, height, wide, high = size
    seen = np.array(data, np.uint8).reshape(height, width) > 200

    assert (width, height) == (2 * wide, 2 * high)
    scale = min(width / 96, height / 64)
    left, top = (width - 96 * scale) / 2, (height - 64 * scale) / 2
    for x, y in ((10, 25), (40, 25), (25, 40), (50, 40), (90, 40), (70, 60)):  # on the edges
        at = seen[
            round(top + y * scale) - 3 : round(top + y * scale) + 4,
            round(left + x * scale) - 3 : round(left + x * scale) + 4,
        ]
        assert at.any(), (x, y)
    assert not seen[round(top + 32 * scale), round(left + 25 * scale)]  # and not inside
