"""Crews: who does the work, behind `concurrent.futures.Executor`."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from edge_detect import board
from edge_detect.archive.shards import Shard
from edge_detect.archive.work import Result, Work, look, prepare
from edge_detect.errors import ConfigError
from edge_detect.lazy import load

MOST = 256
"""Processes."""


class Crew(Protocol):
    """Workers."""

    @property
    def count(self) -> int:
        """Shards that they can have in hand at once; 0 while nobody is there."""

    def submit(self, shard: Shard) -> Future[Result]:
        """Gives a shard to one of them.

        Raises:
            BrokenExecutor: One of them has crashed; `renew` is needed.
        """

    def renew(self) -> None:
        """A new crew in place of one that broke."""

    def check(self) -> None:
        """Says whether there is still a crew at all.

        Raises:
            SourceLost: There is none any more.
        """

    def close(self) -> None:
        """Sends them home at once; what they had in hand is lost. Safe to call twice."""


def hire(who: str, work: Work, workers: int, model: bytes) -> Crew:
    """The crew that `--executor` names.

    Args:
        who: `process`, or `dask://HOST:PORT`.
        work: What they will do.
        workers: At most; 0 for as many as there are cores.
        model: The file, for those who do not have it.

    Raises:
        ConfigError: Another word.
        DependencyError: distributed is not installed.
        SourceLost: There is no scheduler, or a worker cannot do this work.
    """
    if workers > MOST:
        raise ConfigError(f"--workers {workers}: expected at most {MOST}")
    if who == "process":
        return Processes(work, workers or board.cores())
    scheme, _, address = who.partition("://")
    host, _, port = address.rpartition(":")
    if scheme == "dask" and host and port.isdecimal() and 0 < int(port) < 65536:
        crew: Crew = load("edge_detect.archive.cluster:Cluster")(address, work, workers, model)
        return crew
    raise ConfigError(f"--executor {who}: expected process or dask://HOST:PORT")


class Processes:
    """Processes of this machine, one thread each."""

    def __init__(self, work: Work, count: int) -> None:
        self.count = count
        self._work = work
        self._pool: ProcessPoolExecutor | None = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.count, multiprocessing.get_context("spawn"), prepare)

    def submit(self, shard: Shard) -> Future[Result]:
        assert self._pool
        with _deaf_children():
            return self._pool.submit(look, self._work, shard)

    def renew(self) -> None:
        self.close()
        self._pool = self._start()

    def check(self) -> None:
        """They are ours."""

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            for child in multiprocessing.active_children():  # a shard may take minutes
                child.kill()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that begin here never hear Ctrl-C, not even while they start; it is for the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
