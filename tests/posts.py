"""What partitions of the log must have told each other: each message once in effect, in order, in the partition of its key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lifestage import log
from lifestage.messages import Posted
from streams.doorway import partition_of

Said = tuple[int, bytes | None, bytes | None]
"""The log partition that a record stands in, its key, its value."""
Way = tuple[int, int]
"""From which partition to which."""


def posts_amiss(records: Iterable[Said], due: Iterable[tuple[int, Posted]], partitions: int) -> list[str]:
    """Compare the messages in the log, but for repeats of an origin, with those that its fold gives, `due`, by partition."""
    wanted: dict[Way, list[Posted]] = defaultdict(list)
    for number, posted in due:
        wanted[number, partition_of(posted.key, partitions)].append(posted)
    found: dict[Way, list[Posted]] = defaultdict(list)
    by_origin: dict[tuple[Way, int, int], Posted] = {}
    amiss = []
    for number, key, value in records:
        assert value is not None
        header = log.header(value)
        if header.kind != log.MESSAGE:
            continue
        way, posted = (header.partition, number), Posted(key or b"", value)
        first = by_origin.setdefault((way, header.offset, header.n), posted)
        if first is posted:
            found[way].append(posted)
        elif first != posted:
            amiss.append(f"messages {way}: two contents of origin {header.offset}.{header.n}")
    return amiss + [
        f"messages {way}: {len(found[way])} in the log, {len(wanted[way])} due, or in another order"
        for way in sorted(found.keys() | wanted.keys())
        if found[way] != wanted[way]
    ]
