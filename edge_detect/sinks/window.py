"""Window: the annotated picture on a desktop, or on the console of a machine that has none."""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from edge_detect import fit
from edge_detect.draw import Annotate
from edge_detect.errors import DependencyError, SinkError
from edge_detect.frame import Image
from edge_detect.scene import Scene


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that SDL reads, for as long as it reads them; what the user has set wins."""
    before = set(os.environ)
    os.environ.update({name: value for name, value in values.items() if name not in before})
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]


try:
    with _environment({"PYGAME_HIDE_SUPPORT_PROMPT": "1"}):
        import pygame
        from pygame.window import Window as Pane  # the elder pygame has none
except ImportError as error:
    raise DependencyError("the window needs pygame-ce: pip install 'edge_detect[window]'") from error

_HINTS = {
    "SDL_NO_SIGNAL_HANDLERS": "1",  # SIGTERM stays with the program,
    "SDL_INPUT_LINUX_KEEP_KBD": "1",  # and so does Ctrl-C on a console
    "SDL_VIDEO_ALLOW_SCREENSAVER": "1",
    "SDL_VIDEO_X11_WMCLASS": "edge_detect",
}
_GONE = "window: the display went away"
_REDRAW = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED)


class Window:
    """Shows what is seen: f fills the screen, q, Esc and the close button end the run."""

    def __init__(self, title: str, annotate: Annotate, quit: Callable[[], None], width: int = 800) -> None:
        """Opens the display; the window itself appears with the first picture.

        Args:
            title: What the title bar says.
            annotate: Gives the picture of a scene in a width; it is only looked at.
            quit: Called once, when the person wants no more.
            width: Pixels of the picture; the window may be made larger or smaller.

        Raises:
            SinkError: There is no display.
        """
        self._annotate, self._quit, self._width = annotate, quit, width
        self._pane = _open_pane(title, width)
        self._server = _Server(self._pane)
        self._picture: Image | None = None
        self._is_full = self._has_quit = self._is_closed = False
        atexit.register(self.close)  # before pygame's own end, which a dead server would hold up

    def write(self, scene: Scene) -> None:
        """Shows a scene.

        Raises:
            SinkError: The display went away.
        """
        picture = self._annotate(scene, self._width)
        with self._display():
            if self._picture is None:
                self._pane.size = picture.shape[1], picture.shape[0]
                self._pane.show()
            self._picture = picture
            self._show()
        self.poll()

    def poll(self) -> None:
        """Answers keys and the mouse; to be called now and then while no frame comes.

        Raises:
            SinkError: The display went away.
        """
        with self._display():
            events = pygame.event.get()
            for event in events:
                self._answer(event)
            if any(event.type in _REDRAW for event in events):
                self._show()

    def close(self) -> None:
        """Takes the window from the screen; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        if self._server.is_alive():
            self._pane.destroy()
            pygame.display.quit()
            self._server.forget()
        else:  # SDL would wait for it for ever, even to free the window
            atexit.unregister(pygame.quit)
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def _answer(self, event: pygame.Event) -> None:
        key = event.key if event.type == pygame.KEYDOWN else None
        if key == pygame.K_f:
            self._fill_screen(not self._is_full)
        is_last = key in (pygame.K_q, pygame.K_ESCAPE) or event.type == pygame.QUIT
        if is_last and not self._has_quit:
            self._has_quit = True
            self._quit()

    def _fill_screen(self, is_full: bool) -> None:
        self._is_full = is_full
        if is_full:
            self._pane.set_fullscreen(True)  # as large as the desktop, whose mode stays
        else:
            self._pane.set_windowed()

    def _show(self) -> None:
        if self._picture is None or self._server.is_gone:  # the size of a dead window is noise
            return
        screen = self._pane.get_surface()
        size = self._picture.shape[1], self._picture.shape[0]
        place = fit.letterbox(size, screen.get_size())
        if not place.is_whole:
            screen.fill("black")
        picture = self._picture if place.inner == size else cv2.resize(self._picture, place.inner)
        pixels = np.ascontiguousarray(picture).data
        image = pygame.image.frombuffer(pixels, place.inner, "BGR")  # no copy
        screen.blit(image, (place.left, place.top))
        self._pane.flip()

    @contextmanager
    def _display(self) -> Iterator[None]:
        if self._server.is_gone or self._is_closed:
            raise SinkError(_GONE)
        try:
            yield
        except pygame.error as error:
            if not self._server.is_gone:
                raise SinkError(f"window: {error}") from error
        if self._server.is_gone:
            raise SinkError(_GONE)


def _open_pane(title: str, width: int) -> Pane:
    """A window not shown yet, so that a display which cannot have one is known from the start."""
    if pygame.display.get_init():
        raise SinkError("window: expected one at a time, and none after a display that went away")
    with _environment(_HINTS | {"SDL_VIDEODRIVER": _drivers()}):
        try:
            pygame.display.init()
            if pygame.display.get_driver() == "x11":
                # plain memory; OpenGL takes 8 times the work and does not outlive the server
                os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
            pane = Pane(title, (width, width * 9 // 16), hidden=True, resizable=True)
            pane.get_surface()
        except pygame.error as error:
            pygame.display.quit()
            raise SinkError(_no_display()) from error
    return pane


def _drivers() -> str:
    """Where to look for a screen; left to itself, SDL ends with one that nobody can see."""
    has_runtime = "XDG_RUNTIME_DIR" in os.environ  # without it Wayland's library prints complaints
    return "x11,wayland,kmsdrm" if has_runtime else "x11,kmsdrm"


def _no_display() -> str:
    named = {name: os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")}
    states = [
        f"{name}={value} does not answer" if value else f"{name} is not set" for name, value in named.items()
    ]
    return (
        f"window: no display ({', '.join(states)}, no console graphics):"
        " run with --headless, or from the desktop"
    )


class _WindowInfo(ctypes.Structure):
    """SDL_SysWMinfo of SDL_syswm.h, as far as we read it."""

    _fields_ = (
        ("version", ctypes.c_uint8 * 3),
        ("system", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("rest", ctypes.c_uint8 * 128),
    )


_OnError = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_OnExit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class _Server:
    """The X server behind a window; when it dies, Xlib ends the process, unless told not to.

    Attributes:
        is_gone: It died. A Wayland server that dies sends the event of the close button.
    """

    def __init__(self, pane: Pane) -> None:
        self.is_gone = False
        self._handlers = _OnError(self._leave), _OnExit(lambda display, data: None)
        self._xlib: ctypes.CDLL | None = None
        self._display = _find_display(pane)
        if self._display:
            with suppress(OSError, AttributeError):  # libX11 before 1.7 cannot be told
                xlib = ctypes.CDLL("libX11.so.6")
                xlib.XSetIOErrorExitHandler(self._display, self._handlers[1], None)
                xlib.XSetIOErrorHandler(self._handlers[0])
                self._xlib = xlib

    def is_alive(self) -> bool:
        """Whether it answers; waits until it does, or is gone."""
        if self._xlib and not self.is_gone:
            self._xlib.XSync(self._display, 0)
        return not self.is_gone

    def forget(self) -> None:
        """Leaves Xlib as it was."""
        if self._xlib:
            self._xlib.XSetIOErrorHandler(None)

    def _leave(self, display: int) -> int:
        self.is_gone = True
        return 0


def _find_display(pane: Pane) -> ctypes.c_void_p | None:
    """The `Display` of Xlib through which SDL shows a window, if it does."""
    if pygame.display.get_driver() != "x11":
        return None
    with suppress(OSError, AttributeError):  # an SDL that has no such function
        sdl = ctypes.CDLL(pygame.base.__file__)  # leads to the SDL that pygame is linked with
        sdl.SDL_GetWindowFromID.restype = ctypes.c_void_p
        window = ctypes.c_void_p(sdl.SDL_GetWindowFromID(pane.id))
        info = _WindowInfo(version=(2, 0, 0))
        if sdl.SDL_GetWindowWMInfo(window, ctypes.byref(info)):
            return ctypes.c_void_p(info.display)
    return None
