"""Window, on a real X server whose screen is a file that can be read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edge_detect import detections
from edge_detect.errors import DependencyError, SinkError
from edge_detect.frame import Frame, Image
from edge_detect.scene import Scene

pytest.importorskip("edge_detect.sinks.window", reason="needs pygame-ce", exc_type=ImportError)

import pygame  # the line above tells whether there is one
from pygame.event import Event

from edge_detect.sinks.window import Window

LIMIT = 5.0  # seconds
CONSOLE = Path("/dev/dri").exists()
BLUE, GREEN, RED, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255)


def plain(width: int, height: int, colour: tuple[int, int, int] = RED) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def quarters() -> Image:
    """800x450 in four colours, so that turned sides and swapped channels show."""
    picture = plain(800, 450)
    picture[:225, :400], picture[:225, 400:], picture[225:, :400] = YELLOW, BLUE, GREEN
    return picture


def framed(picture: Image, width: int, height: int) -> Image:
    """The picture in the middle of black."""
    frame = plain(width, height, (0, 0, 0))
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame


def scene(picture: Image) -> Scene:
    return Scene(Frame(picture, 0.0, 0), detections.none())


def press(key: int) -> Event:
    return Event(pygame.KEYDOWN, key=key)


class Screen:
    """An X server without a screen; it draws into a file, and starts all white.

    Attributes:
        display: How programs call it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "Xvfb_screen0"
        read, write = os.pipe()
        looks = ["-nocursor", "-noreset", "-wr", "-screen", "0", "1280x720x24"]
        self._server = subprocess.Popen(
            ["Xvfb", *looks, "-fbdir", str(folder), "-displayfd", str(write)],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with open(read) as numbers:
            self.display = f":{numbers.readline().strip()}"

    def picture(self) -> Image:
        """What is on the screen, without the white around it; (0, 0, 3) while all is white."""
        data = self._file.read_bytes()
        header = np.frombuffer(data, ">u4", 25)  # of the format XWD: X11/XWDFile.h
        start, width, height = (int(header[n]) for n in (0, 4, 5))
        start += int(header[19]) * 12  # the colour map
        pixels = np.frombuffer(data, np.uint8, width * height * 4, start)
        screen = pixels.reshape(height, width, 4)[..., :3]
        drawn = (screen != 255).any(axis=2)
        picture: Image = screen[drawn.any(axis=1)][:, drawn.any(axis=0)]
        return picture

    def shows(self, picture: Image) -> Callable[[], bool]:
        return lambda: np.array_equal(self.picture(), picture)

    def close(self) -> None:
        self._server.kill()
        self._server.wait(LIMIT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    if not shutil.which("Xvfb"):
        pytest.skip("needs Xvfb: sudo apt install xvfb")
    with closing(Screen(tmp_path_factory.mktemp("screen"))) as screen:
        yield screen


@pytest.fixture
def screen(server: Screen, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("DISPLAY", server.display)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    return server


class Watched:
    """A window, what it is asked to show, and how often it ended the run."""

    def __init__(self) -> None:
        self.quits = 0
        self.widths: list[int] = []
        self.window = Window("edge_detect", self._annotate, self._quit)

    def show(self, picture: Image) -> None:
        self.window.write(scene(picture))

    def wait(self, until: Callable[[], bool]) -> bool:
        """Whether it came about while the window answered its events."""
        end = time.monotonic() + LIMIT
        while not until() and time.monotonic() < end:
            self.window.poll()
        return until()

    def _annotate(self, scene: Scene, width: int) -> Image:
        self.widths.append(width)
        return scene.frame.image

    def _quit(self) -> None:
        self.quits += 1


@pytest.fixture
def watched(screen: Screen) -> Iterator[Watched]:
    watched = Watched()
    with closing(watched.window):
        yield watched


@pytest.fixture
def desktop(screen: Screen, tmp_path: Path) -> Iterator[None]:
    """A window manager, without which nothing can fill the screen."""
    if not shutil.which("openbox"):
        pytest.skip("needs openbox: sudo apt install openbox")
    os.mkfifo(ready := tmp_path / "ready")
    command = ["openbox", "--sm-disable", "--startup", f"sh -c 'echo > {ready}'"]
    manager = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    ready.read_text()
    yield
    manager.terminate()
    manager.wait(LIMIT)


def xdotool(*words: str) -> None:
    if not shutil.which("xdotool"):
        pytest.skip("needs xdotool: sudo apt install xdotool")
    subprocess.run(["xdotool", *words], check=True, timeout=LIMIT)


def test_picture_appears_in_its_size_and_colours(watched: Watched, screen: Screen) -> None:
    watched.show(quarters())

    assert watched.wait(screen.shows(quarters()))


def test_picture_is_asked_for_in_the_width_of_the_window(watched: Watched) -> None:
    watched.show(quarters())

    assert watched.widths == [800]


def test_first_picture_decides_the_size(watched: Watched, screen: Screen) -> None:
    watched.show(plain(640, 480))

    assert watched.wait(screen.shows(plain(640, 480)))


def test_window_stays_hidden_until_the_first_picture(watched: Watched) -> None:
    watched.window.poll()
    with pytest.raises(subprocess.CalledProcessError):  # it found none
        xdotool("search", "--onlyvisible", "--class", "edge_detect")


def test_picture_that_may_not_be_written_to_is_shown(watched: Watched, screen: Screen) -> None:
    picture = quarters()
    picture.flags.writeable = False
    watched.show(picture)

    assert watched.wait(screen.shows(quarters()))


def test_picture_with_gaps_in_memory_is_shown(watched: Watched, screen: Screen) -> None:
    watched.show(plain(1600, 900)[::2, ::2])

    assert watched.wait(screen.shows(plain(800, 450)))


def test_latest_picture_replaces_the_one_before(watched: Watched, screen: Screen) -> None:
    watched.show(plain(800, 450, RED))
    watched.show(plain(800, 450, GREEN))

    assert watched.wait(screen.shows(plain(800, 450, GREEN)))


@pytest.mark.parametrize(
    ("size", "inner"),
    [((400, 400), (450, 450)), ((400, 100), (800, 200)), ((1600, 900), (800, 450))],
    ids=["higher", "wider", "larger"],
)
def test_picture_of_another_shape_is_fitted_between_black_bars(
    watched: Watched, screen: Screen, size: tuple[int, int], inner: tuple[int, int]
) -> None:
    watched.show(plain(800, 450, GREEN))
    watched.show(plain(*size))

    assert watched.wait(screen.shows(framed(plain(*inner), 800, 450)))


@pytest.mark.parametrize(
    "event",
    [press(pygame.K_q), press(pygame.K_ESCAPE), Event(pygame.QUIT)],
    ids=["q", "escape", "close button"],
)
@pytest.mark.parametrize("has_picture", [True, False], ids=["shown", "not yet shown"])
def test_event_quits_once(watched: Watched, event: Event, has_picture: bool) -> None:
    if has_picture:
        watched.show(quarters())
    for _ in range(2):
        pygame.event.post(event)
        watched.window.poll()

    assert watched.quits == 1


def test_other_keys_do_not_quit(watched: Watched) -> None:
    for key in (pygame.K_a, pygame.K_f, pygame.K_RETURN):
        pygame.event.post(press(key))
    watched.window.poll()

    assert watched.quits == 0


def test_key_is_answered_while_a_picture_is_written(watched: Watched) -> None:
    pygame.event.post(press(pygame.K_q))
    watched.show(quarters())

    assert watched.quits == 1


@pytest.mark.usefixtures("desktop")
def test_key_on_the_keyboard_quits(watched: Watched, screen: Screen) -> None:
    watched.show(quarters())
    watched.wait(pygame.key.get_focused)
    xdotool("key", "q")

    assert watched.wait(lambda: watched.quits == 1)


@pytest.mark.usefixtures("desktop")
def test_f_fills_the_screen_and_leaves_it_again(watched: Watched, screen: Screen) -> None:
    watched.show(plain(800, 400))
    pygame.event.post(press(pygame.K_f))

    assert watched.wait(screen.shows(framed(plain(1280, 640), 1280, 720)))

    pygame.event.post(press(pygame.K_f))

    assert watched.wait(lambda: screen.picture()[100:500].shape[1] < 1280)
    assert watched.wait(lambda: (screen.picture() == RED).all(axis=2).sum() == 800 * 400)


@pytest.mark.usefixtures("desktop")
def test_window_can_be_made_smaller(watched: Watched, screen: Screen) -> None:
    watched.show(plain(800, 450))
    watched.wait(pygame.key.get_focused)
    xdotool("search", "--class", "edge_detect", "windowsize", "400", "400")

    assert watched.wait(lambda: (screen.picture() == RED).all(axis=2).sum() == 400 * 225)


def test_window_made_smaller_shrinks_the_picture(watched: Watched, screen: Screen) -> None:
    watched.show(plain(800, 450))
    watched.wait(screen.shows(plain(800, 450)))
    xdotool("search", "--class", "edge_detect", "windowsize", "400", "400")

    assert watched.wait(screen.shows(framed(plain(400, 225), 400, 400)))


def test_window_that_was_covered_is_drawn_again(watched: Watched, screen: Screen) -> None:
    watched.show(plain(800, 450))
    watched.wait(screen.shows(plain(800, 450)))
    xdotool("search", "--class", "edge_detect", "windowunmap", "--sync", "windowmap")

    assert watched.wait(screen.shows(plain(800, 450)))


def test_close_takes_the_window_away_and_may_be_called_twice(watched: Watched, screen: Screen) -> None:
    watched.show(quarters())
    watched.window.close()
    watched.window.close()

    assert screen.picture().size == 0


def test_window_can_be_opened_again(watched: Watched, screen: Screen) -> None:
    watched.window.close()
    with closing(Watched().window) as window:
        window.write(scene(quarters()))
        window.poll()

        assert screen.shows(quarters())()


def test_closed_window_says_that_it_is_gone(watched: Watched) -> None:
    watched.window.close()
    with pytest.raises(SinkError) as caught:
        watched.window.poll()

    assert str(caught.value) == "window: the display went away"


def test_second_window_is_refused(watched: Watched) -> None:
    with pytest.raises(SinkError, match=r"^window: expected one at a time"):
        Watched()


@pytest.mark.usefixtures("watched")
def test_screensaver_stays_as_the_user_set_it() -> None:
    assert pygame.display.get_allow_screensaver()


@pytest.mark.usefixtures("watched")
def test_sound_is_left_alone() -> None:
    assert pygame.mixer.get_init() is None


@pytest.mark.skipif(CONSOLE, reason="this machine can show graphics on its console")
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "DISPLAY is not set, WAYLAND_DISPLAY is not set"),
        ({"DISPLAY": ""}, "DISPLAY is not set, WAYLAND_DISPLAY is not set"),
        ({"DISPLAY": ":7777"}, "DISPLAY=:7777 does not answer, WAYLAND_DISPLAY is not set"),
        (
            {"WAYLAND_DISPLAY": "nowhere"},
            "DISPLAY is not set, WAYLAND_DISPLAY=nowhere does not answer",
        ),
    ],
    ids=["nothing set", "empty", "no such X server", "no such Wayland server"],
)
def test_missing_display_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    environment: dict[str, str],
    reason: str,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"XDG_RUNTIME_DIR": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SinkError) as caught:
        Watched()

    assert str(caught.value) == (
        f"window: no display ({reason}, no console graphics): run with --headless, or from the desktop"
    )
    assert capfd.readouterr().err == ""


def test_missing_display_without_a_runtime_folder_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    with suppress(SinkError):  # a console may have graphics
        Watched().window.close()

    assert capfd.readouterr().err == ""


CHILD = """
import os, signal, sys
import cv2, numpy as np
before = dict(os.environ)
from edge_detect.errors import SinkError
from edge_detect.sinks.window import Window

picture = np.full((450, 800, 3), 255, np.uint8)
window = Window("edge_detect", lambda scene, width: picture, lambda: None)
{first}
print("ready", flush=True)
sys.stdin.readline()
try:
    {then}
except SinkError as error:
    print(error)
    window.close()
sys.exit(3)
"""


def child(screen: Screen, then: str, first: str = "window.write(None)") -> subprocess.Popen[str]:
    """Python that opens a window, does `first`, and `then` when it reads a line; it exits with 3."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SDL_")}
    environment.pop("PYGAME_HIDE_SUPPORT_PROMPT", None)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(first=first, then=then)],
        env=environment | {"DISPLAY": screen.display},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_environment_stays_as_it_was(screen: Screen) -> None:
    process = child(screen, "print(dict(os.environ) == before)")
    said, _ = process.communicate("\n", LIMIT)

    assert said == "True\n"


def test_sigterm_still_ends_the_process(screen: Screen) -> None:
    process = child(screen, "os.kill(os.getpid(), signal.SIGTERM); window.poll()")
    process.communicate("\n", LIMIT)

    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("first", ["window.write(None)", "pass"], ids=["shown", "not yet shown"])
@pytest.mark.parametrize(
    ("then", "output"),
    [
        ("window.write(None)", "window: the display went away\n"),
        ("window.poll()", "window: the display went away\n"),
        ("window.close()", ""),
        ("pass", ""),
    ],
    ids=["write", "poll", "close", "end of the program"],
)
@pytest.mark.usefixtures("server")
def test_process_outlives_the_display(tmp_path: Path, first: str, then: str, output: str) -> None:
    with closing(Screen(tmp_path)) as screen:
        process = child(screen, then, first)
    said, _ = process.communicate("\n", LIMIT)

    assert (said, process.returncode) == (output, 3)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edge_detect.sinks.window")
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyError) as caught:
        import_module("edge_detect.sinks.window")

    assert str(caught.value) == "the window needs pygame-ce: pip install 'edge_detect[window]'"
