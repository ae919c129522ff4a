"""HTTP site: a web server on this machine that answers as a test wants it to, wrongly above all."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Request"], None]


class Site(ThreadingHTTPServer):
    """Answers the first request with the first answer and so on; the last one stays.

    Attributes:
        asked: The headers of every request so far.
        over: Set at the end; who stalls waits for it.
    """

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers, self.asked, self.over = answers, list[Mapping[str, str]](), threading.Event()

    @property
    def url(self) -> str:
        """Of its one file."""
        return f"http://127.0.0.1:{self.server_address[1]}/model.tflite"


class Request(BaseHTTPRequestHandler):
    """One request; the site says how it is answered."""

    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        answers = self.server.answers
        with suppress(ConnectionError):  # who asked may have had enough
            answers[min(len(self.server.asked), len(answers)) - 1](self)

    def begin(self, code: int = 200, **headers: object) -> None:
        """Status and headers, `Content_Length=3`."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing: tests look at `asked`."""


@contextmanager
def site(*answers: Answer) -> Iterator[Site]:
    """A site that is up."""
    with Site(answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join(5)


def ranges(data: bytes, tag: str = '"1"') -> Answer:
    """A good server: parts when they are asked for, and only of the file that was meant."""

    def answer(request: Request) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and request.headers.get("If-Range", tag) == tag else 0
        if start > len(data):
            request.begin(416, Content_Length=0)
            return
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        extra = {"Content_Range": span} if start else {}
        request.begin(206 if start else 200, Content_Length=len(data) - start, ETag=tag, **extra)
        request.wfile.write(data[start:])

    return answer


def cut(data: bytes, after: int, **headers: object) -> Answer:
    """Promises everything and hangs up in the middle."""

    def answer(request: Request) -> None:
        request.begin(**{"Content_Length": len(data), "ETag": '"1"'} | headers)
        request.wfile.write(data[:after])

    return answer


def stall(data: bytes, after: int) -> Answer:
    """Sends the beginning and then nothing."""

    def answer(request: Request) -> None:
        cut(data, after)(request)
        request.server.over.wait(10)

    return answer


def silent(request: Request) -> None:
    """Does not answer at all."""
    request.server.over.wait(10)


def drip(data: bytes) -> Answer:
    """Sends a byte now and then, so that no wait is long."""

    def answer(request: Request) -> None:
        request.begin(Content_Length=len(data))
        for place in range(len(data)):
            request.wfile.write(data[place : place + 1])
            if request.server.over.wait(0.02):
                return

    return answer


def endless(request: Request) -> None:
    """Says no length and never stops."""
    request.begin()
    while not request.server.over.is_set():
        request.wfile.write(bytes(1 << 16))


def status(code: int, **headers: object) -> Answer:
    """A status and nothing more."""
    return lambda request: request.begin(code, Content_Length=0, **headers)
