"""Timeline, clips and zones of the page, in a real Chromium."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import browser
import cv2
import numpy as np
import pytest
from kept_words import event
from visitor import EVIL, Site
from waiting import wait_until

from edge_detect.config import Zone
from edge_detect.event_store import EventStore
from edge_detect.records import Records
from edge_detect.shelf import Limits, Shelf

pytestmark = pytest.mark.slow  # once is enough for a browser
if reason := browser.missing():
    pytest.skip(reason, allow_module_level=True)
pytest.importorskip("av", reason="needs PyAV, from the extra record")

from edge_detect.clip import Clip

AXE = Path.home() / ".cache/edge-detect"  # where .ci/run puts axe-core


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """An event with a picture and a clip of four seconds, and one that goes on."""
    with (
        closing(EventStore(tmp_path / "rec/events.db")) as store,
        closing(Shelf(tmp_path / "rec", Limits())) as shelf,
    ):
        store.tell(
            [event("done", "end", zone=EVIL, kind="entered", duration_s=7.0), event("open", label="car")]
        )
        clip = Clip()
        for number in range(40):
            picture = np.full((96, 128, 3), 40 + number * 4, np.uint8)
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            clip.add(jpeg, number / 10)
        names = shelf.name(".jpg"), shelf.name(".mp4")
        for name, data in zip(names, (jpeg, clip.finish()), strict=True):
            shelf.write(name, data)
        clip.close()
        store.add_snapshot("done", names[0], (0.1, 0.1, 0.5, 0.5))
        store.add_clip("done", names[1], 3.0)
        yield Records(store, shelf)


@pytest.fixture
def page(chromium: Any, pages: Callable[..., Site], records: Records) -> tuple[Any, Site]:
    site = pages(records=records)
    site.scene()
    browser.shape(chromium, browser.SIZES["desktop"])
    chromium.get(site.web.url)
    wait_until(lambda: chromium.execute_script("return timeline.size") >= 3, 20)
    return chromium, site


def script(page: Any, words: str, *values: Any) -> Any:
    return page.execute_script(words, *values)


def click(page: Any, selector: str) -> None:
    script(page, "document.querySelector(arguments[0]).click()", selector)


def texts(page: Any, selector: str) -> list[str]:
    return list(
        script(
            page,
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)",
            selector,
        )
    )


def test_the_timeline_tells_what_happened_with_a_picture(page: tuple[Any, Site]) -> None:
    chromium, _ = page
    row = "#events li[data-type=entered]"
    script(chromium, "document.querySelector(arguments[0]).scrollIntoView()", row)
    wait_until(
        lambda: (
            script(chromium, "return document.querySelector(arguments[0]).naturalWidth", f"{row} img") == 128
        )
    )

    assert texts(chromium, f"{row} span") == [f"Person entered {EVIL}"]
    assert texts(chromium, f"{row} time")[0].endswith("7 s")
    assert "now" in texts(chromium, "#events li[data-open] time")[0]
    assert script(chromium, "return document.querySelector(arguments[0]).loading", f"{row} img") == "lazy"
    assert script(chromium, "return document.querySelectorAll(\"img[src='x']\").length") == 0


def test_a_clip_plays_from_just_before_its_event(page: tuple[Any, Site]) -> None:
    chromium, _ = page
    click(chromium, "#events li[data-type=entered] button")
    wait_until(
        lambda: script(chromium, "return $('clip').readyState >= 2 && $('clip').currentTime > 1.2"), 10
    )
    seen = script(chromium, "const v = $('clip'); return [v.videoWidth, v.videoHeight, v.duration, v.error]")

    assert seen[:2] == [128, 96]
    assert abs(seen[2] - 4.0) < 0.2
    assert seen[3] is None
    assert script(chromium, "return $('viewer').open")
    click(chromium, "#close")
    wait_until(lambda: script(chromium, "return !$('clip').hasAttribute('src')"))


def test_an_event_is_protected_and_deleted_by_hand(page: tuple[Any, Site], records: Records) -> None:
    chromium, _ = page
    click(chromium, "#events li[data-type=entered] button")
    click(chromium, "#protect")
    wait_until(lambda: script(chromium, "return $('protect').getAttribute('aria-pressed')") == "true")
    row = records.store.get("done")
    assert row is not None
    assert row.protected
    assert script(chromium, "return $('delete').disabled")
    click(chromium, "#protect")
    wait_until(lambda: script(chromium, "return !$('delete').disabled"))
    click(chromium, "#delete")
    wait_until(lambda: records.store.get("done") is None)

    wait_until(
        lambda: (
            script(chromium, "return document.querySelectorAll('#events li[data-type=entered]').length") == 0
        )
    )
    assert not script(chromium, "return $('viewer').open")


def test_a_new_event_comes_by_itself(page: tuple[Any, Site], records: Records) -> None:
    chromium, _ = page
    records.store.tell(
        [event("new", kind="crossed", direction="in", zone="kerb", start_time="2027-01-01T00:00:00.000Z")]
    )

    wait_until(
        lambda: any("Person crossed kerb (in)" in text for text in texts(chromium, "#events li:first-child"))
    )


def places(chromium: Any, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where parts of the picture are on the screen."""
    left, top, width, height = script(
        chromium,
        "const b = stage.getBoundingClientRect(), a = area();"
        "return [b.left + a.x, b.top + a.y, picture.width * a.scale, picture.height * a.scale]",
    )
    return [(left + x * width, top + y * height) for x, y in points]


def mouse(chromium: Any, kind: str, at: tuple[float, float]) -> None:
    button = {"button": "left", "clickCount": 1, "buttons": 1}
    chromium.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": at[0], "y": at[1], **button})


def tap(chromium: Any, at: tuple[float, float], *, finger: bool) -> None:
    if finger:
        chromium.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": at[0], "y": at[1]}]}
        )
        chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        mouse(chromium, "mousePressed", at)
        mouse(chromium, "mouseReleased", at)


@pytest.mark.parametrize("finger", [False, True], ids=["mouse", "finger"])
def test_a_zone_is_drawn_moved_named_and_deleted(page: tuple[Any, Site], finger: bool) -> None:
    chromium, site = page
    browser.shape(chromium, browser.SIZES["phone" if finger else "desktop"])
    chromium.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": finger})
    click(chromium, "#draw-zone")
    script(chromium, "stage.scrollIntoView({ block: 'start', behavior: 'instant' })")
    corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.3, 0.9)]
    for number, at in enumerate(places(chromium, corners)):
        tap(chromium, at, finger=finger)
        wait_until(lambda number=number: script(chromium, "return draft.points.length") == number + 1)
    tap(chromium, places(chromium, corners)[0], finger=finger)  # closes it
    wait_until(lambda: script(chromium, "return !drawing"))
    if not finger:
        for kind, at in zip(
            ("mousePressed", "mouseMoved", "mouseReleased"),
            places(chromium, [(0.3, 0.9), (0.2, 0.8), (0.2, 0.8)]),
            strict=True,
        ):
            mouse(chromium, kind, at)
        corners[3] = (0.2, 0.8)
    script(chromium, "$('zone-name').value = 'door'")
    click(chromium, "#zone-classes [data-name=person]")
    click(chromium, "#zone-save")
    wait_until(lambda: site.controls.choice.zones)
    (zone,) = site.controls.choice.zones

    assert (zone.name, zone.kind, zone.classes) == ("door", "zone", ("person",))
    assert np.allclose(zone.points, corners, atol=0.02)
    wait_until(lambda: texts(chromium, "#zones li span") == ["door"])
    click(chromium, "#zones button[aria-label='Delete door']")
    wait_until(lambda: site.controls.choice.zones == ())
    chromium.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_a_line_is_drawn_and_a_point_taken_back(page: tuple[Any, Site]) -> None:
    chromium, site = page
    click(chromium, "#draw-line")
    for at in places(chromium, [(0.2, 0.2), (0.8, 0.3), (0.9, 0.9)]):
        tap(chromium, at, finger=False)
    click(chromium, "#zone-undo")
    script(chromium, "$('zone-name').value = 'kerb'")
    click(chromium, "#zone-save")
    wait_until(lambda: site.controls.choice.zones)

    assert site.controls.choice.zones[0].kind == "line"
    assert np.allclose(site.controls.choice.zones[0].points, [(0.2, 0.2), (0.8, 0.3)], atol=0.02)


def press(chromium: Any, *keys: str) -> str:
    """What is said after some keys, each pressed where the focus is."""
    for key in keys:
        chromium.switch_to.active_element.send_keys(key)
    return str(script(chromium, "return $('summary').textContent"))


def focused(chromium: Any) -> str:
    return str(script(chromium, "return document.activeElement.id"))


def test_a_zone_is_drawn_moved_named_and_deleted_with_keys_alone(page: tuple[Any, Site]) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium, site = page
    far = {
        name: Keys.SHIFT + getattr(Keys, f"ARROW_{name.upper()}") for name in ("left", "right", "up", "down")
    }
    chromium.find_element("id", "draw-zone").send_keys(Keys.ENTER)
    assert focused(chromium) == "easel"
    assert press(chromium, *[far["left"]] * 3, far["up"]) == "20 % across, 40 % down"
    assert press(chromium, Keys.ENTER) == "Point 1 set"
    assert press(chromium, *[far["right"]] * 5, Keys.ARROW_RIGHT, Keys.ARROW_LEFT) == "70 % across, 40 % down"
    assert press(chromium, " ", *[far["down"]] * 2, Keys.SPACE) == "Point 3 set"
    assert press(chromium, Keys.BACKSPACE) == "2 points left"
    assert press(chromium, *[far["down"]] * 2, Keys.ENTER) == "Point 3 set"
    assert press(chromium, Keys.PAGE_UP) == "70 % across, 40 % down, at point 2"
    assert press(chromium, Keys.ENTER) == "Point 2 taken: arrows move it, Enter puts it down"
    assert press(chromium, far["right"], Keys.ENTER) == "Point put down"
    assert press(chromium, *[Keys.PAGE_DOWN] * 2, Keys.ENTER) == "The zone is closed"
    assert focused(chromium) == "zone-name"
    press(chromium, "door", Keys.ENTER)
    wait_until(lambda: site.controls.choice.zones)

    assert site.controls.choice.zones[0].points == ((0.2, 0.4), (0.8, 0.4), (0.7, 0.8))
    assert not site.controls.choice.paused  # which is what space does elsewhere
    wait_until(lambda: focused(chromium) == "draw-zone")
    wait_until(lambda: texts(chromium, "#zones li span") == ["door"])
    press(chromium, Keys.TAB * 3, Keys.ENTER)  # past the button for lines, and Edit
    wait_until(lambda: site.controls.choice.zones == ())
    wait_until(lambda: focused(chromium) == "draw-zone")


def test_a_zone_is_edited_and_given_up_with_keys(page: tuple[Any, Site]) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium, site = page
    line = Zone("kerb", "line", ((0.2, 0.5), (0.8, 0.5)))
    site.controls.change(zones=[line])
    wait_until(lambda: texts(chromium, "#zones li span") == ["kerb"])
    edit = chromium.find_element("css selector", "#zones button")
    edit.send_keys(Keys.ENTER)
    assert press(chromium, Keys.PAGE_DOWN) == "20 % across, 50 % down, at point 1"
    assert press(chromium, *[Keys.SHIFT + Keys.ARROW_DOWN] * 2, Keys.ENTER) == "No point here"
    press(chromium, Keys.PAGE_UP, Keys.ENTER, Keys.ARROW_UP, Keys.ENTER)
    assert script(chromium, "return draft.points") == [[0.2, 0.5], [0.8, 0.49]]

    assert press(chromium, Keys.ESCAPE) == "Given up: nothing has changed"
    assert site.controls.choice.zones == (line,)
    assert script(chromium, "return document.activeElement.textContent") == "Edit"


def test_what_the_keys_hold_is_not_moved_by_a_mouse(page: tuple[Any, Site]) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium, _ = page
    click(chromium, "#draw-zone")
    press(chromium, Keys.ENTER, Keys.ENTER)
    (at,) = places(chromium, [(0.9, 0.9)])
    moved = {"type": "mouseMoved", "x": at[0], "y": at[1]}
    chromium.execute_cdp_cmd("Input.dispatchMouseEvent", moved)

    assert script(chromium, "return [held, draft.points]") == [0, [[0.5, 0.5]]]
    press(chromium, Keys.ESCAPE)


def test_picture_and_form_are_seen_together_on_a_desktop(page: tuple[Any, Site]) -> None:
    chromium, _ = page
    click(chromium, "#draw-zone")
    tops = script(
        chromium, "return ['picture', 'zone-save'].map((id) => $(id).getBoundingClientRect().bottom)"
    )

    assert all(0 < bottom < browser.SIZES["desktop"][1] for bottom in tops)


def test_a_row_that_changes_keeps_the_focus(page: tuple[Any, Site], records: Records) -> None:
    chromium, _ = page
    row = "#events li[data-type=entered] button"
    script(chromium, "document.querySelector(arguments[0]).focus()", row)
    records.store.protect("done", True)
    wait_until(lambda: texts(chromium, f"{row} time")[0].endswith("protected"))

    assert script(chromium, "return document.activeElement === document.querySelector(arguments[0])", row)


def test_the_focus_goes_back_to_the_row_whose_clip_was_seen(page: tuple[Any, Site], records: Records) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium, _ = page
    row = "#events li[data-type=entered] button"
    chromium.find_element("css selector", row).send_keys(Keys.ENTER)
    wait_until(lambda: focused(chromium) == "close")
    records.store.protect("done", True)
    wait_until(lambda: texts(chromium, f"{row} time")[0].endswith("protected"))
    press(chromium, Keys.ESCAPE)

    wait_until(
        lambda: script(
            chromium, "return document.activeElement === document.querySelector(arguments[0])", row
        )
    )


def test_the_focus_goes_to_the_timeline_when_its_row_was_deleted(page: tuple[Any, Site]) -> None:
    chromium, _ = page
    click(chromium, "#events li[data-type=entered] button")
    click(chromium, "#delete")

    wait_until(lambda: focused(chromium) == "events")


def test_a_drawing_that_is_given_up_changes_nothing(page: tuple[Any, Site]) -> None:
    chromium, site = page
    click(chromium, "#draw-zone")
    tap(chromium, places(chromium, [(0.2, 0.2)])[0], finger=False)
    script(chromium, "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")

    wait_until(lambda: script(chromium, "return draft === null && $('zone-form').hidden"))
    assert site.controls.choice.zones == ()


def test_where_no_picture_may_be_seen_the_page_says_so_and_shows_boxes(
    chromium: Any, pages: Callable[..., Site]
) -> None:
    site = pages(blind=True)
    site.scene()
    chromium.get(site.web.url)
    wait_until(lambda: script(chromium, "return Number(stage.dataset.boxes)") == 2, 10)

    assert texts(chromium, "#private") == ["Private: no pictures"]
    assert script(chromium, "return $('save').hidden")
    data = script(
        chromium,
        "return Math.max(...paper.getImageData(0, 0, picture.width, picture.height).data.filter((v, i) => i % 4 < 3))",
    )
    assert data == 0


@pytest.mark.parametrize("scheme", browser.SCHEMES)
@pytest.mark.parametrize(
    "what", ["#draw-zone", "#events li[data-type=entered] button"], ids=["zones", "a clip"]
)
def test_everybody_can_use_it(page: tuple[Any, Site], what: str, scheme: str) -> None:
    archives = sorted(AXE.glob("axe-core-*.tgz"))
    if not archives:
        pytest.skip(f"needs axe-core: npm pack axe-core --pack-destination {AXE}")
    chromium, _ = page
    browser.shape(chromium, browser.SIZES["phone"], scheme)
    click(chromium, what)
    for button in chromium.find_elements("css selector", "button, a.plain, input"):
        if button.is_displayed():
            assert button.rect["height"] >= 44, button.get_attribute("outerHTML")
    with tarfile.open(archives[-1]) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source
        script(chromium, source.read().decode())
    found = chromium.execute_async_script("axe.run().then(arguments[arguments.length - 1])")

    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious] == []


def test_nothing_went_wrong_in_the_browser(page: tuple[Any, Site]) -> None:
    chromium, _ = page
    rows = [row for row in chromium.get_log("browser") if row["level"] == "SEVERE"]

    assert rows == []
