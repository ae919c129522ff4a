"""Batches: pictures and targets in the order of a training, made ahead by threads.

Batch number s is the same in every run with the same seed: a training that was killed goes on
with the very pictures that would have come.
"""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect.anchors import Anchors
from edge_detect.errors import ConfigError
from edge_detect.workshop import net, samples, targets
from edge_detect.workshop.dataset import Picture
from edge_detect.workshop.samples import Sample
from edge_detect.workshop.targets import Targets

Batch: TypeAlias = tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]
Item: TypeAlias = tuple[np.ndarray[Any, Any], Targets]
Teach: TypeAlias = Callable[[Sample, Targets], Targets]


@dataclass(frozen=True)
class Batches:
    """The batches of a training.

    Attributes:
        pictures: All pictures.
        classes: Names of the classes to learn.
        size: (width, height) of the input.
        anchors: Of the net.
        batch: Pictures in a batch.
        seed: Of all chance.
        mosaics: Share of mosaics.
        balance: Share of pictures below which those of a class are shown more often.
        teach: Changes the targets of a sample to what a teacher says of it.
        threads: How many make samples.
    """

    pictures: Sequence[Picture]
    classes: tuple[str, ...]
    size: tuple[int, int]
    anchors: Anchors
    batch: int
    seed: int
    mosaics: float = 0.0
    balance: float = 0.0
    teach: Teach | None = None
    threads: int = field(default_factory=lambda: os.cpu_count() or 2)

    @property
    def per_epoch(self) -> int:
        """Batches with as many pictures as there are; a last incomplete batch is left out."""
        return max(1, len(self.pictures) // self.batch)

    def order(self, epoch: int) -> np.ndarray[Any, Any]:
        """The pictures of an epoch, by number."""
        needed = self.per_epoch * self.batch
        chance = np.random.default_rng([self.seed, epoch])
        shuffled = chance.permutation(len(self.pictures))
        if not self.balance:
            return np.resize(shuffled, needed)
        # evenly along the sum of the shares: each picture as often as it should be, but for a fraction
        ends = np.cumsum(self._shares[shuffled])
        marks = (np.arange(needed) + chance.random()) / needed * ends[-1]
        return chance.permutation(shuffled[np.searchsorted(ends, marks, side="right")])

    @cached_property
    def _shares(self) -> npt.NDArray[np.float64]:
        """(pictures,) how often each is shown, 1 being as usual.

        Source: Gupta et al., LVIS, arXiv:1908.03195, section 4.2 (repeat factor sampling).
        """
        inside = [
            {x.name for x in p.labels if not x.ignore}.intersection(self.classes) for p in self.pictures
        ]
        counts = Counter(name for names in inside for name in names)
        factor = {
            name: max(1.0, math.sqrt(self.balance * len(self.pictures) / count))
            for name, count in counts.items()
        }
        return np.array([max((factor[name] for name in names), default=1.0) for names in inside])

    def vary(self, epoch: int, position: int, number: int) -> Sample:
        """Picture `number` as it is seen at one position of one epoch."""
        return samples.vary(
            lambda i: samples.load(self.pictures[i], self.classes),
            number,
            len(self.pictures),
            self.size,
            np.random.default_rng([self.seed, epoch, position]),
            self.mosaics,
        )

    def item(self, epoch: int, position: int, number: int) -> Item:
        """What the net is shown, and what it should say."""
        sample = self.vary(epoch, position, number)
        return net.normalized(sample.image), self.wanted(sample)

    def wanted(self, sample: Sample) -> Targets:
        """The targets of a sample."""
        found = targets.match(sample, self.anchors)
        return self.teach(sample, found) if self.teach else found

    def __call__(self, first: int, end: int) -> Iterator[Batch]:
        """Batches `first` up to `end`, made up to three ahead."""
        with ThreadPoolExecutor(self.threads, "samples") as pool, ThreadPoolExecutor(1, "batches") as stack:
            ahead: deque[Future[Batch]] = deque()
            begun: deque[list[Future[Item]]] = deque(maxlen=3)
            step = first
            try:
                while step < end or ahead:
                    while step < end and len(ahead) < 3:
                        begun.append(self._begin(pool, step))
                        ahead.append(stack.submit(_gathered, begun[-1]))
                        step += 1
                    yield ahead.popleft().result()
            finally:
                for items in begun:
                    for item in items:
                        item.cancel()
                for batch in ahead:
                    batch.cancel()

    def _begin(self, pool: ThreadPoolExecutor, step: int) -> list[Future[Item]]:
        epoch, inside = divmod(step, self.per_epoch)
        positions = range(inside * self.batch, (inside + 1) * self.batch)
        order = self.order(epoch)
        return [pool.submit(self.item, epoch, i, int(order[i])) for i in positions]


def _gathered(items: Sequence[Future[Item]]) -> Batch:
    return gather([item.result() for item in items])


def gather(items: Sequence[Item]) -> Batch:
    """(b, ...) inputs of the net, and the fields of `Targets`, each with a first axis b."""
    fields = ("offsets", "scores", "care", "positive")
    return np.stack([x for x, _ in items]), {
        name: np.stack([getattr(wanted, name) for _, wanted in items]) for name in fields
    }


@dataclass(frozen=True)
class Remembered(Batches):
    """Batches of what a frozen front said of each picture in a few variations.

    The front is run once for each variation; afterwards a step costs only what is trained.

    Attributes:
        variations: How many of each picture.
        seen: (variations * pictures, h, w, c) float16, answers of the front.
        shown: The samples that they are answers to, without pictures.
    """

    variations: int = 1
    seen: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(0, np.float16))
    shown: tuple[Sample, ...] = ()

    def item(self, epoch: int, position: int, number: int) -> Item:
        """The front's answer, another variation in each epoch."""
        row = (epoch + number) % self.variations * len(self.pictures) + number
        return self.seen[row].astype(np.float32), self.wanted(self.shown[row])


def remember(
    batches: Batches, variations: int, front: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    tell: Callable[[str], None],
) -> Remembered:  # fmt: skip
    """Runs the front over every variation of every picture.

    Args:
        batches: How pictures are varied.
        variations: Of each picture.
        front: (h, w, 3) normalized picture to (h, w, c).
        tell: Takes a line of progress.

    Raises:
        ConfigError: A teacher, who would have to see the pictures again.
    """
    if batches.teach:
        raise ConfigError("--remember: cannot be combined with --teacher, who wants to see each picture")
    count = len(batches.pictures)
    seen: np.ndarray[Any, Any] | None = None
    shown: list[Sample] = []
    with ThreadPoolExecutor(batches.threads, "samples") as pool:
        for first in range(0, variations * count, 64):
            rows = range(first, min(first + 64, variations * count))
            for row, sample in zip(
                rows, pool.map(lambda i: batches.vary(i // count, i, i % count), rows), strict=True
            ):
                answer = front(net.normalized(sample.image))
                if seen is None:
                    seen = np.empty((variations * count, *answer.shape), np.float16)
                seen[row] = answer
                shown.append(replace(sample, image=np.broadcast_to(np.uint8(0), sample.image.shape)))
            if first % 6400 == 0 and first:
                tell(f"front: {first} of {variations * count} pictures")
    assert seen is not None  # there is always a picture
    settings = {name.name: getattr(batches, name.name) for name in fields(Batches)}
    return Remembered(**settings, variations=variations, seen=seen, shown=tuple(shown))
