from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import closing

import pytest

from edge_detect.archive.crews import Processes
from edge_detect.archive.footage import Recording
from edge_detect.archive.shards import cut
from edge_detect.archive.work import Work, look
from edge_detect.sources.video import Length


def test_processes_do_the_work_break_and_are_renewed(
    work: Work, footage: Callable[..., list[Recording]]
) -> None:
    shard = cut(footage("a.mp4")[0], Length(), 1)[0]
    with closing(Processes(work, 1)) as crew:
        assert crew.submit(shard).result(30) == look(work, shard)

        (worker,) = multiprocessing.active_children()
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)  # Ctrl-C is for the parent
        assert crew.submit(shard).result(30).account.frames == 60
        worker.kill()
        worker.join()
        with pytest.raises(BrokenExecutor):
            crew.submit(shard).result(30)

        crew.renew()
        assert crew.submit(shard).result(30).account.frames == 60
    assert multiprocessing.active_children() == []
