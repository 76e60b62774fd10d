"""A flood of ids that nobody has seen before, folded in a process of its own: prints one line of JSON.

    python -m tests.chaos.flood FRESH

So many visits of as many anonymous visitors come within one minute, and among them those of visitors and customers who are
known. One partition of a log of eight is folded, with its share of the bound that a deployment has.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.settings import load
from lifestage import facts, log
from lifestage.facts import WebVisit
from lifestage.keys import key_of
from lifestage.partition import Partition
from streams.rules import rules_of
from tests.load import BEGIN_MS

KNOWN = 1_000
"""Customers, and as many visitors, who were there before."""
MINUTE = 60_000
SHARE = 60_000 // 8
"""What a partition takes of what a deployment takes, by default."""
Given = tuple[int, bytes, bytes]


def visit(offset: int, time: int, **who: Any) -> Given:
    """A log record of a visit."""
    fact = WebVisit(time=time, source="site", id=f"v{offset}", url="https://shop.example/", **who)
    key = key_of(fact)
    assert key is not None
    return offset, key.encode(), log.pack(log.FACT, facts.encode(fact))


def known(offset: int, time: int) -> Iterator[Given]:
    """A visit of each who is known, over the minute from an instant on."""
    for number in range(KNOWN):
        at = time + number * MINUTE // KNOWN
        yield visit(offset + 2 * number, at, customer_id=f"c{number}")
        yield visit(offset + 2 * number + 1, at, anonymous_id=f"known{number}")


def flood(fresh: int, began: int) -> Iterator[Given]:
    """The minute, from the record at `began` on."""
    chance, every, offset = random.Random(7), max(1, fresh // KNOWN), began
    for number in range(fresh):
        time = BEGIN_MS + 10 * MINUTE + number * MINUTE // fresh
        yield visit(offset, time, anonymous_id=f"{chance.getrandbits(96):024x}")
        offset += 1
        if number % every == every - 1 and number // every < KNOWN:
            yield visit(offset, time, customer_id=f"c{number // every}")
            yield visit(offset + 1, time, anonymous_id=f"known{number // every}")
            offset += 2


def resident_mb() -> float:
    """What of this process is in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20


def main(fresh: int) -> None:
    """Fold, and say what came of it."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    partition = Partition(rules_of(settings), "log", 0)
    partition.fold(known(0, BEGIN_MS))
    partition.checkpoint()
    gc.collect()
    before, profiles = resident_mb(), len(partition.stored)
    largest, left = before, 0
    for told in partition.folding(flood(fresh, 2 * KNOWN)):
        left += len(told)
        partition.checkpoint()
        largest = max(largest, resident_mb())
    print(
        json.dumps(
            {
                "before_mb": before,
                "largest_mb": largest,
                "new_profiles": len(partition.stored) - profiles,
                "due": len(partition.due),
                "accounts": partition.marker.accounts["site"]["web.visit"],
                "identity": partition.marker.identity,
                "changes": left,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
