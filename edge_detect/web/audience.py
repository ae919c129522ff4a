"""Audience: viewers of the live page in a process of their own, for the benchmark.

A program of its own: `python -m edge_detect.web.audience PORT SECONDS FPS KIND...`, where a kind is
`fast`, `slow` (reads a third of the bytes that come at FPS) or `stalled` (never reads). Prints one
JSON object a viewer as soon as all are done.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

CHUNK = 8192  # bytes that a slow link brings at once
ACK = bytes([0x81, 0x81, 0, 0, 0, 0]) + b"a"


def viewer(port: int, seconds: float, fps: float, kind: str) -> dict[str, Any]:
    """Looks for some seconds.

    Returns:
        `kind`; `shown`, latencies in ms from the capture of a frame to its last byte; `closed`,
        seconds after which the server ended it, or None.
    """
    result: dict[str, Any] = {"kind": kind, "shown": [], "closed": None}
    with socket.socket() as link:
        if kind != "fast":  # a slow link keeps little in the receiver's system
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        link.settimeout(seconds + 5)
        link.connect(("127.0.0.1", port))
        _greet(link, port)
        begun = time.monotonic()
        try:
            if kind == "stalled":
                _wait_for_the_end(link, begun + seconds)
            else:
                _watch(link, begun + seconds, fps / 3 if kind == "slow" else 0, result["shown"])
        except (EOFError, ConnectionError):
            result["closed"] = round(time.monotonic() - begun, 2)
    return result


def _greet(link: socket.socket, port: int) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    link.sendall(
        f"GET /ws/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(link, 1)
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"not let in: {head[:60]!r}")


def _wait_for_the_end(link: socket.socket, end: float) -> None:
    """Until the server has closed; it is seen by the state of the socket, since nothing is read."""
    while time.monotonic() < end:
        time.sleep(0.02)
        info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        if info[0] != 1:  # TCP_ESTABLISHED
            raise EOFError


def _watch(link: socket.socket, end: float, share: float, shown: list[float]) -> None:
    """Reads frames and acknowledges them.

    Args:
        link: After the greeting.
        end: When to stop, monotonic.
        share: Frames a second that the link carries; 0 for any.
        shown: Gets the latency of each frame, ms.
    """
    read = partial(_exactly, link)
    while time.monotonic() < end:
        head = read(2)
        n = head[1] & 127
        if n > 125:
            n = int.from_bytes(read(2 if n == 126 else 8), "big")
        if head[0] & 15 != 2:
            read(n)
            continue
        data = _slowly(link, n, share) if share else read(n)
        header = json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])
        shown.append(time.monotonic() * 1e3 - header["t_ms"])
        link.sendall(ACK)


def _slowly(link: socket.socket, n: int, share: float) -> bytes:
    """A message at the speed of a link that carries `share` such messages a second."""
    data, begun = bytearray(), time.monotonic()
    while len(data) < n:
        data += _exactly(link, min(CHUNK, n - len(data)))
        time.sleep(max(0.0, begun + len(data) / n / share - time.monotonic()))
    return bytes(data)


def _exactly(link: socket.socket, n: int) -> bytes:
    data = bytearray(n)
    view, got = memoryview(data), 0
    while got < n:
        more = link.recv_into(view[got:])
        if not more:
            raise EOFError
        got += more
    return bytes(data)


def main(words: list[str]) -> None:
    """Lets all look at once, and gives way: real viewers have processors of their own."""
    os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who measures ends us
    port, seconds, fps = int(words[0]), float(words[1]), float(words[2])
    results: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda kind=kind: results.append(viewer(port, seconds, fps, kind)))
        for kind in words[3:]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(map(json.dumps, results)))


if __name__ == "__main__":
    main(sys.argv[1:])
