"""Pages: the files of the page, and the way in."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files

from edge_detect.web import access
from edge_detect.web.guard import Guarded

FILES = {
    "index.html": "text/html; charset=utf-8",
    "login.html": "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "zones.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
"""All that is served from the package, by name; a request names a row of this table and no path."""


@cache
def content(name: str) -> bytes:
    """A file of the page."""
    if name not in FILES:
        raise KeyError(name)
    return (files("edge_detect.web") / "static" / name).read_bytes()


class Page(Guarded):
    """The live page."""

    def ask_in(self) -> None:
        self.redirect("/login", status=303)

    def get(self) -> None:
        self.set_header("Content-Type", FILES["index.html"])
        self.finish(content("index.html"))


class Static(Guarded):
    """A script, a style or the icon; the login page needs them too, and they tell nothing."""

    public = True

    def get(self, name: str) -> None:
        self.set_header("Content-Type", FILES[name])
        self.set_header("Cache-Control", "no-cache")  # kept, and asked for again by its Etag
        self.finish(content(name))


class Login(Guarded):
    """The form, and what it sends."""

    public = True

    def get(self) -> None:
        if not self.desk.secrets or self.get_cookie(self.cookie) in self.desk.sessions:
            self.redirect("/", status=303)
        else:
            self._form()

    async def post(self) -> None:
        self.count_attempt()
        words = self.request.body_arguments.get("secret", [])
        word = words[0].strip() if len(words) == 1 else b""
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(None, self.desk.secrets.opens, word):
            self.set_status(401)
            self._form("That is not it. Try again.")
            return
        self.desk.attempts.forgive(self.peer)
        self.set_cookie(
            self.cookie,
            self.desk.sessions.begin(),
            max_age=int(access.SESSION),
            httponly=True,
            samesite="Strict",
            secure=self.request.headers.get("Origin", "").startswith("https:"),  # behind a proxy with TLS
        )
        self.redirect("/", status=303)

    def _form(self, message: str = "") -> None:
        """The login page with one of our own sentences."""
        self.set_header("Content-Type", FILES["login.html"])
        self.finish(content("login.html").replace(b"<!--message-->", message.encode()))


class Logout(Guarded):
    """The way out."""

    def post(self) -> None:
        self.desk.sessions.end(self.get_cookie(self.cookie) or "")
        self.clear_cookie(self.cookie)
        self.redirect("/login", status=303)
