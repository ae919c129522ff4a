"""Merge: from the shards of a recording to its lines, as if one had looked at it from beginning to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edge_detect.archive.ledger import Ledger
from edge_detect.archive.shards import Account, Shard


def rows(ledger: Ledger, parts: list[tuple[Shard, Account]]) -> Iterator[dict[str, Any]]:
    """The objects of `run --json` of one recording, in order.

    Args:
        ledger: Has the shards.
        parts: All of them, in order, with their accounts.
    """
    before = 0
    for shard, account in parts:
        for line in ledger.lines(shard):
            row: dict[str, Any] = json.loads(line)
            if shard.video:
                row["frame"] += before
            yield row
        before += account.frames
