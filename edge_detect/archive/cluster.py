"""Cluster: workers of a Dask scheduler, on as many machines as it has."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edge_detect import __version__, durable
from edge_detect.archive import work as working
from edge_detect.archive.shards import Shard
from edge_detect.archive.work import Result, Work, look
from edge_detect.errors import DependencyError, SourceLost

try:
    from distributed import Client, WorkerPlugin
except ImportError as missing:
    raise DependencyError(
        "--executor dask:// needs distributed: pip install 'edge_detect[cluster]'"
    ) from missing

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds in which a scheduler answers


class Sent(WorkerPlugin):
    """Brings the model to every worker, also to those that come later."""

    def __init__(self, version: str, sha256: str, model: bytes) -> None:
        self.name = f"edge-detect-{sha256[:12]}"
        self._version, self._sha256, self._model = version, sha256, model

    def setup(self, worker: Any) -> None:
        """Keeps it in the worker's own folder, which goes when the worker does."""
        # Dask's profiler holds the frames of running functions, and with them views into the
        # runtime's memory, at which the runtime refuses to run
        if profiler := worker.periodic_callbacks.pop("profile", None):
            profiler.stop()
        if self._version != __version__:
            raise RuntimeError(f"expected edge_detect {self._version}, got {__version__}")
        path = Path(worker.local_directory, f"{self._sha256}.tflite")
        durable.write(path, self._model)
        working.SENT[self._sha256] = path


class Cluster:
    """The workers that a scheduler has now; one that dies is replaced by another, as the scheduler sees fit.

    Results come back as values, through the scheduler: workers need to write nowhere, and what two of
    them did twice is kept once.
    """

    def __init__(self, address: str, work: Work, most: int, model: bytes) -> None:
        self._address, self._work, self._most = address, work, most
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells each lost connection in pages
        try:
            self._client: Any = Client(f"tcp://{address}", timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SourceLost(f"dask://{address}: no Dask scheduler answers there") from error
        try:
            self._client.register_plugin(Sent(work.version, work.sha256, model))
        except Exception as error:  # whatever a worker raised comes here
            self._client.close()
            raise SourceLost(
                f"dask://{address}: a worker cannot do this: {error}; install edge_detect {__version__} there"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        self._count, self._asked = 0, float("-inf")
        self.check()

    @property
    def count(self) -> int:
        return min(self._count, self._most) if self._most else self._count

    def submit(self, shard: Shard) -> Future[Result]:
        future: Future[Result] = self._executor.submit(look, self._work, shard)
        return future

    def renew(self) -> None:
        """The scheduler does that."""

    def check(self) -> None:
        if time.monotonic() < self._asked + 1:
            return
        before = self._count
        try:
            self._count = sum(self._client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise SourceLost(f"dask://{self._address}: the scheduler went away") from error
        if self._client.status != "running":
            raise SourceLost(f"dask://{self._address}: the scheduler went away")
        if before != self._count or self._asked < 0:
            told = (
                f"{self._count} worker{'s' * (self._count != 1)}"
                if self._count
                else "no workers; waiting for one"
            )
            log.info("dask://%s: %s", self._address, told)
        self._asked = time.monotonic()

    def close(self) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()
