"""KPIs of files: persons are followed one by one; what they add is summed, and their single values are sorted on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from lifestage.cause import Rules
from lifestage.identity import HOLDING
from lifestage.keys import COMPANY
from lifestage.kpi_contribute import Bought, Sums
from lifestage.kpi_follow import Following, Told, Walked
from lifestage.kpi_gather import Cost, Span
from lifestage.kpi_labels import KINDS, Key, place_of
from streams.offline_fold import Folded, instants
from streams.offline_read import TELL_EVERY, Tell
from streams.offline_records import by_customer
from streams.offline_spill import Spool

COST, NAMED, SINGLE, BOUGHT = b"c", b"n", b"s", b"w"
"""How records begin, in their order: of costs, of sums whose labels events name, of single values, of what customers bought."""
LABEL_SIZE = 512
"""Bytes that a sum takes in memory."""
_WIDTH = 16
"""Bytes of a number: what many of the greatest amounts add up to does not fit into 8."""
_SHIFT = 1 << (8 * _WIDTH - 1)
_encode = msgspec.msgpack.Encoder().encode
cost_in = msgspec.msgpack.Decoder(Cost).decode
_encode_bought = msgspec.json.Encoder().encode  # msgpack has no greater number than 64 bits hold
bought_in = msgspec.json.Decoder(Bought).decode


def bought_record(one: Bought) -> bytes:
    """What a customer bought, by key; `bought_in` reads it, less its first byte."""
    return BOUGHT + _encode_bought(one)


def single_record(name: str, label: str, value: int) -> bytes:
    """A single value, by (name, label, value)."""
    return b"%b%b\0%b\0%b" % (SINGLE, name.encode(), label.encode(), (value + _SHIFT).to_bytes(_WIDTH, "big"))


def group_in(record: bytes) -> tuple[str, str]:
    """Name and label of a single value."""
    name, label = record[1 : -_WIDTH - 1].split(b"\0")
    return name.decode(), label.decode()


def value_in(record: bytes) -> int:
    """The single value in a record."""
    return int.from_bytes(record[-_WIDTH:], "big") - _SHIFT


def named_record(key: Key, n: int) -> bytes:
    """A sum whose labels events name, by `place_of` it."""
    place = place_of(key)
    assert place is not None, key
    more = key[1:-1] if KINDS[place[0]].by else ()
    return NAMED + "\0".join((*place, key[0], *more)).encode() + b"\0" + n.to_bytes(_WIDTH, "big")


def named_in(record: bytes) -> tuple[Key, int]:
    """The sum in a record, with its labels."""
    of, *labels, name = record[1 : -_WIDTH - 1].decode().split("\0")
    if KINDS[of].by:
        last, *rest = *labels, name
        labels, name = [*rest[1:], last], rest[0]
    return (name, *labels), int.from_bytes(record[-_WIDTH:], "big")


class KpiFolding:
    """Follows persons up to the end of a window, and sums up what KPIs need of them. Records go to `told`; so do sums whose
    labels events name, whenever all sums are more than fit into `memory` (bytes), and at the end."""

    def __init__(self, rules: Rules, span: Span, told: Spool, memory: int) -> None:
        self._rules, self._span, self._told = rules, span, told
        self._room = memory // LABEL_SIZE
        self._tally = Walked()
        self._sums: Sums = Counter()
        self._customers = 0

    def fold(self, records: Iterable[bytes], tell: Tell, keep: bool) -> Folded:
        """Follow all persons of sorted fact records. `keep`: what is told may stay in memory."""
        tally = self._tally
        done = changes = 0
        for key, silences, facts in by_customer(records):
            if key.startswith(HOLDING):
                count = sum(1 for _ in facts)
                tally.outcomes["suppressed"] += count
                done += count
                continue
            following = Following(key, self._rules, self._span, tally, silences)
            for instant in instants(facts):
                following.take(instant)
                done += len(instant)
                if done >= TELL_EVERY:
                    tell(done, tally.count - changes)
                    done, changes = 0, tally.count
            self._customers += not key.startswith(COMPANY)
            self._keep(following.finish(self._sums))
            if len(self._sums) > self._room:
                self._spill()
        tell(done, tally.count - changes)
        self._spill()
        told = self._told.runs(keep)[0]
        return Folded(self._customers, tally.outcomes, [tally.population], [Counter()], Counter(), told, self._sums)

    def _keep(self, told: Told) -> None:
        for cost in told.costs:
            self._told.add(COST + _encode(cost))
        for name, label, value in told.spreads:
            self._told.add(single_record(name, label, value))
        for one in told.bought:
            self._told.add(bought_record(one))

    def _spill(self) -> None:
        named = [(key, n) for key, n in self._sums.items() if place_of(key) is not None]
        for key, n in named:
            self._told.add(named_record(key, n))
            del self._sums[key]
        # those that stay are few: their labels are stages, months, currencies, steps
        self._room = max(self._room, 2 * len(self._sums))
