"""Batch: gives out the shards, takes back what was found, and puts it together."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from edge_detect import durable
from edge_detect.archive import merge, summary
from edge_detect.archive.crews import Crew
from edge_detect.archive.footage import Recording
from edge_detect.archive.ledger import Ledger
from edge_detect.archive.merge import Judge
from edge_detect.archive.piece import measure
from edge_detect.archive.progress import Progress
from edge_detect.archive.shards import Account, Shard, cut, join
from edge_detect.archive.summary import Tally
from edge_detect.archive.timeline import timeline
from edge_detect.archive.work import Result
from edge_detect.errors import EdgeDetectError, SourceLost
from edge_detect.events import to_json
from edge_detect.sinks.json_lines import record
from edge_detect.sources.video import Length

log = logging.getLogger(__name__)

TRIES = 3
"""Workers that a shard may crash."""


@dataclass(slots=True)
class _Job:
    """A recording and how far it is."""

    recording: Recording
    length: Length = field(default_factory=Length)
    shards: list[Shard] = field(default_factory=list)
    accounts: dict[Shard, Account] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return len(self.accounts) < len(self.shards) or not self.shards

    def cut_off(self, ended: float) -> list[str]:
        """A line where a video holds much less than its header promises, by number and by time."""
        problem = self.length.missed(sum(account.frames for account in self.accounts.values()), ended)
        return [f"{self.recording.name}: {problem}"] if problem else []


class Batch:
    """The work on some recordings; the same again goes on where it was left."""

    def __init__(self, recordings: Sequence[Recording], ledger: Ledger, seconds: float) -> None:
        """Plans it.

        Args:
            recordings: In the order of the results.
            ledger: Knows what is done already.
            seconds: Of a shard.

        Raises:
            SinkError: The plan cannot be written.
        """
        self._ledger, self._seconds = ledger, seconds
        self._jobs = {recording.name: _Job(recording) for recording in recordings}
        self._tries: dict[Shard, int] = {}
        for job in self._jobs.values():
            self._plan(job)
        ledger.keep()
        for job in self._jobs.values():
            self._settle(job)  # one that was killed may have left just this undone

    def _plan(self, job: _Job) -> None:
        """Cuts a recording, and looks what is done of it."""
        recording, whole = job.recording, False
        if recording.video:
            known = self._ledger.length(recording)
            try:
                job.length, whole = known or (measure(recording.files[0].path), False)
            except EdgeDetectError as error:
                self._fail(job, str(error).replace(recording.files[0].path, recording.name))
                return
            if not known:
                self._ledger.learn(recording, job.length)
        self._cut(job, whole=whole)

    def _cut(self, job: _Job, *, whole: bool) -> None:
        job.shards = cut(job.recording, job.length, self._seconds, whole=whole)
        done = {shard: self._ledger.account(shard) for shard in job.shards}
        job.accounts = {shard: account for shard, account in done.items() if account}

    def _fail(self, job: _Job, problem: str) -> None:
        """Gives a recording up."""
        if problem not in job.problems:
            job.problems.append(problem)
            log.error("%s", problem)

    def left(self) -> list[Shard]:
        """Shards that are not done, in order; those of a recording that was given up are not among them."""
        return [
            shard
            for job in self._jobs.values()
            if not job.problems
            for shard in job.shards
            if shard not in job.accounts
        ]

    def work(self, crew: Crew, progress: Progress, stop: threading.Event) -> bool:
        """Has the crew do what is left; False when it was stopped before the end.

        Raises:
            SourceLost: There is no crew any more.
            SinkError: What was found cannot be written.
        """
        todo, alone = deque(self.left()), deque[Shard]()
        hands: dict[Future[Result], Shard] = {}
        before = self._looked()
        while todo or alone or hands:
            if stop.is_set():
                return False
            crew.check()
            try:
                self._give(crew, todo, alone, hands)
                done = wait(hands, 0.2, FIRST_COMPLETED).done
                broken = any(isinstance(_error(future), BrokenExecutor) for future in done)
            except BrokenExecutor:
                broken = True
            if broken:  # one of those in hand did it: each of them is tried by itself
                done = wait(hands, 10).done
                crew.renew()
            if done:
                progress.clear()  # there may be something to log
            for future in done:
                shard = hands.pop(future)
                if alone and shard is alone[0]:
                    alone.popleft()
                error = _error(future)
                if error is None:
                    todo += self._take(shard, future.result())
                elif self._again(shard, error):
                    (alone if isinstance(error, BrokenExecutor) else todo).append(shard)
            if progress.due:
                self._tell(progress, before)
        return True

    def _give(
        self, crew: Crew, todo: deque[Shard], alone: deque[Shard], hands: dict[Future[Result], Shard]
    ) -> None:
        """Hands out as many shards as the crew can hold, and two more; a suspect only while no other is.

        The suspect that is in hand stays the first of `alone` meanwhile.
        """
        if alone and not hands:
            hands[crew.submit(alone[0])] = alone[0]
        while todo and not alone and len(hands) < crew.count + 2:
            if not self._jobs[todo[0].recording].problems:  # else it was given up meanwhile
                hands[crew.submit(todo[0])] = todo[0]
            todo.popleft()

    def _again(self, shard: Shard, error: BaseException) -> bool:
        """Whether a shard whose worker broke is tried once more."""
        tries = self._tries[shard] = self._tries.get(shard, 0) + 1
        crash = isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
        what = "crashed its worker" if crash else " ".join(f"{type(error).__name__}: {error}".split())
        if tries < TRIES and type(error).__name__ != "KilledWorker":  # Dask has tried for itself
            log.warning("%s: %s; tried again", shard, what)
            return True
        self._fail(self._jobs[shard.recording], f"{shard}: {what}, {TRIES} times")
        return False

    def _take(self, shard: Shard, result: Result) -> list[Shard]:
        """Keeps a result; what must be looked at in another way because of it."""
        job = self._jobs[shard.recording]
        if result.error:
            self._fail(job, result.error.replace(shard.files[0].path, shard.files[0].name))
            return []
        self._ledger.store(shard, result)
        job.accounts[shard] = result.account
        self._settle(job)
        return [one for one in job.shards if one not in job.accounts] if len(job.shards) == 1 else []

    def _settle(self, job: _Job) -> None:
        """Checks that the pieces of a video that is done fit together; if not, it is to stay whole."""
        if job.failed or not job.recording.video or join([job.accounts[shard] for shard in job.shards]):
            return
        log.warning("%s: cannot be cut between two frames; looked at in one piece", job.recording.name)
        self._ledger.learn(job.recording, job.length, whole=True)
        self._ledger.keep()
        self._cut(job, whole=True)

    def _looked(self) -> float:
        return sum(shard.weight for job in self._jobs.values() for shard in job.accounts)

    def _tell(self, progress: Progress, before: float) -> None:
        jobs = [job for job in self._jobs.values() if not job.problems]
        shards = [shard for job in jobs for shard in job.shards]
        done = sum(len(job.accounts) for job in jobs)
        progress.show(done, len(shards), self._looked(), before, sum(shard.weight for shard in shards))

    def finish(self, folder: Path, judge: Judge) -> list[Tally]:
        """Writes the results of all that is done: lines, events, table and picture.

        Raises:
            SinkError: They cannot be written.
        """
        encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
        tallies = []
        with (
            durable.replaced(folder / "detections.jsonl") as file,
            durable.replaced(folder / "events.jsonl") as told,
        ):
            for job in self._jobs.values():
                tally = Tally(job.recording.name, job.recording.video, failed=job.failed)
                tallies.append(tally)
                problems = [*job.problems]
                if not job.failed:
                    parts = [(shard, job.accounts[shard]) for shard in job.shards]
                    problems += [line for _, account in parts for line in account.skipped]
                    ended = 0.0
                    for scene, events in judge(job.recording, merge.scenes(self._ledger, parts)):
                        row = record(scene, judge.labels, scene.frame.time)
                        file.write(encode(row).encode() + b"\n")
                        tally.add(row)
                        for event in events:
                            told.write(encode(to_json(event)).encode() + b"\n")
                        ended = scene.frame.time
                    for problem in job.cut_off(ended):
                        log.error("%s", problem)
                        problems.append(problem)
                    tally.finish(1 / (job.length.fps or 25.0))
                tally.problems = tuple(problems)
        durable.write(folder / "summary.csv", summary.to_csv(tallies))
        durable.write(folder / "timeline.png", cv2.imencode(".png", timeline(tallies))[1].tobytes())
        self._ledger.tidy([shard for job in self._jobs.values() for shard in job.shards])
        return tallies


def _error(future: Future[Result]) -> BaseException | None:
    """What went wrong in a worker.

    Raises:
        SourceLost: Nobody will do it: the scheduler is gone.
    """
    if future.cancelled():
        raise SourceLost("the scheduler of the workers went away; the same command goes on")
    return future.exception()
