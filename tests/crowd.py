"""Crowd: synthetic scenes whose true boxes and identities are known, and how well a tracker follows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_detect import boxes, detections
from edge_detect.detections import Detections

SIZE = (1280, 720)


@dataclass(frozen=True)
class Look:
    """One frame: what was found, and what is there."""

    found: Detections
    boxes: Any  # (n, 4)
    ids: Any  # (n,)


def scenes(
    seed: int, *, things: int = 12, frames: int = 150, fps: float = 15, misses: float = 0.1
) -> list[Look]:
    """Walkers who cross each other's ways, with jitter, misses, weak boxes and false ones."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(80, 220, things)
    place = np.stack([rng.uniform(100, SIZE[0] - 100, things), rng.uniform(120, SIZE[1] - 120, things)], 1)
    speed = rng.normal(0, 0.5, (things, 2)) * height[:, None]
    looks = []
    for _ in range(frames):
        speed += rng.normal(0, 0.04, (things, 2)) * height[:, None]
        place = place + speed / fps
        turned = (place < 60) | (place > np.array(SIZE) - 60)
        speed[turned] *= -1
        half = np.stack([height * 0.2, height * 0.5], 1)
        truth = np.concatenate([place - half, place + half], 1)
        seen = rng.random(things) >= misses
        noisy = truth[seen] + rng.normal(0, 0.02, (int(seen.sum()), 4)) * height[seen, None]
        scores = np.where(
            rng.random(len(noisy)) < 0.15,
            rng.uniform(0.12, 0.35, len(noisy)),
            rng.uniform(0.5, 0.95, len(noisy)),
        )
        false = rng.uniform(0, 600, (int(rng.random() < 0.2), 2))
        noisy = np.concatenate([noisy, np.concatenate([false, false + np.array([50, 120])], 1)])
        scores = np.concatenate([scores, np.full(len(false), 0.5)])
        looks.append(Look(detections.make(noisy, scores, np.zeros(len(noisy))), truth, np.arange(things)))
    return looks


@dataclass(frozen=True)
class Score:
    """How well identities were kept.

    Attributes:
        mota: 1 - (misses + false ones + switches) / true boxes, as in CLEAR MOT.
        switches: Times that a thing got another number.
    """

    mota: float
    switches: int


def measure(looks: list[Look], told: Iterator[tuple[Any, Any]]) -> Score:
    """CLEAR MOT over the scene (Bernardin and Stiefelhagen, 2008).

    Args:
        looks: The truth.
        told: Of each look, (n, 4) boxes and (n,) numbers of the tracker.
    """
    last: dict[int, int] = {}
    wrong = total = switches = 0
    for look, (found, numbers) in zip(looks, told, strict=True):
        total += len(look.ids)
        overlap = boxes.iou(look.boxes.astype(np.float32), np.asarray(found, np.float32).reshape(-1, 4))
        pairs = sorted(
            (
                (-overlap[i, j] - (last.get(i) == numbers[j]), i, j)
                for i, j in zip(*np.nonzero(overlap >= 0.5), strict=True)
            )
        )
        mine: set[int] = set()
        theirs: set[int] = set()
        for _, i, j in pairs:
            if i in mine or j in theirs:
                continue
            mine.add(i)
            theirs.add(j)
            switches += i in last and last[i] != numbers[j]
            last[i] = numbers[j]
        wrong += len(look.ids) - len(mine) + len(numbers) - len(theirs)
    return Score(1 - (wrong + switches) / total, switches)
