"""Who is whose over all files: what was seen together is sorted, what is contested is looked up, and ids are resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, cast

from lifestage.facts import (
    IdentityMerged,
    IdentitySplit,
    OrderCompleted,
    OrderUpdated,
    TicketCreated,
    TicketReopened,
    TicketReplied,
    TicketSolved,
    decode,
)
from lifestage.identity import ALIASES_MAX
from lifestage.keys import claims, class_of, lower_ids
from lifestage.resolve import Order, Resolver
from streams.offline_gather import CUSTOMER, Gathered
from streams.offline_merge import FAN_IN, merged
from streams.offline_records import (
    ACT,
    CLAIM,
    claim_record,
    fact_in,
    found_record,
    key_in,
    link_in,
    order_in,
    said_in,
)
from streams.offline_spill import Run, Spool

_CLAIMING = frozenset({OrderCompleted, OrderUpdated, TicketCreated, TicketReplied, TicketSolved, TicketReopened})


class Asked(NamedTuple):
    """What the facts are to be looked through for."""

    contested: frozenset[str]
    """Ids that more than one may have: all events that name them count, not only the earliest."""
    keys: frozenset[bytes]
    """The keys under which such events stand."""
    things: frozenset[str]
    """Orders and tickets of which it is to be known whose they are."""


def claims_in(records: Iterable[bytes], asked: Asked) -> Iterator[bytes]:
    """What the facts say that is asked, as records by place."""
    for raw, of_one in groupby(records, key=key_in):
        wanted = raw in asked.keys
        if not wanted and not asked.things:
            for _ in of_one:
                pass
            continue
        key, after = raw.decode(), len(raw)
        for record in of_one:
            fact = fact_in(record, after)
            if wanted:
                lowers = lower_ids(fact)
                if not asked.contested.isdisjoint(lowers):
                    for lower in lowers:
                        yield claim_record(order_in(record, after), key, lower)
            if type(fact) in _CLAIMING and (thing := claims(fact)) in asked.things:
                assert thing is not None
                yield found_record(order_in(record, after), key, thing)


class Sorting:
    """What was gathered of ids, by id: what is contested, and of the rest who was seen with whom first."""

    def __init__(self, gathered: Sequence[Gathered], folder: Path, memory: int, fan_in: int = FAN_IN) -> None:
        self._acts = [run for one in gathered for run in one.acts]
        self._links = [run for one in gathered for run in one.links]
        self._folder, self._fan_in = folder, fan_in
        self._memory = memory
        things: set[str] = set()
        for one in gathered:
            things |= one.things
        self._named = {id for act in self._decided() for id in _ids_of(act)}
        contested, keys = self._sort(at_once=True)
        self.asked = Asked(frozenset(contested), frozenset(keys), frozenset(things))

    def _sort(self, *, at_once: bool) -> tuple[set[str], set[bytes]]:
        """Find what is contested, and under which keys that stands.

        `at_once`: an id that was seen with one customer alone, of which nothing else is said, belongs to that customer,
        whenever that was; the number of a customer's ids is then to be looked at.
        """
        self._said, self._resolver = Spool(self._folder, f"said-{at_once}", 1, self._memory), Resolver()
        contested, keys, targets = set[str](), set[bytes](), set[str]()
        for lower, found in self._by_lower():  # anonymous ids first, then addresses
            ((key, order),) = found.items() if len(found) == 1 else ((None, b""),)
            if key is None or lower in self._named:
                contested.add(lower)
                keys |= {key.encode() for key in found}
            elif class_of(key) < CUSTOMER:
                targets.add(key)
                self._said.add(claim_record(order, key, lower))
            elif at_once and key not in self._named and lower not in targets:
                self._resolver.belongs(lower, key, order)
            else:
                self._said.add(claim_record(order, key, lower))
            if key is None:
                targets |= found.keys()
        return contested, keys

    def _decided(self) -> Iterator[IdentityMerged | IdentitySplit]:
        for record in merged(self._acts, self._folder / "acts", self._fan_in):
            yield cast("IdentityMerged | IdentitySplit", decode(said_in(record)[2]))

    def _by_lower(self) -> Iterator[tuple[str, dict[str, Order]]]:
        """Each lower id with those that it was seen with, and the earliest place of each."""
        links = map(link_in, merged(self._links, self._folder / "links", self._fan_in))
        for lower, of_one in groupby(links, key=lambda link: link[0]):
            found: dict[str, Order] = {}
            for _, order, key in of_one:
                found.setdefault(key, order)
            yield lower, found

    def resolved(self, claimed: Sequence[Run] = ()) -> tuple[Resolver, int]:
        """Who belongs to whom, with what the facts say that was asked; and how many merges and splits were repeats."""
        resolver, repeats = self._resolved(claimed)
        if resolver.fullest >= ALIASES_MAX:
            # whose ids came first counts
            self._sort(at_once=False)
            resolver, repeats = self._resolved(claimed)
        return resolver, repeats

    def _resolved(self, claimed: Sequence[Run]) -> tuple[Resolver, int]:
        resolver, repeats = self._resolver, 0
        runs = [*self._said.runs()[0], *claimed, *self._acts]
        said = map(said_in, merged(runs, self._folder / "said-all", self._fan_in))
        for (order, kind), together in groupby(said, key=lambda one: one[:2]):
            if kind == ACT:
                repeats += sum(not resolver.decide(_act(rest)) for _, _, rest in together)
                continue
            by_key: dict[str, list[str]] = {}
            for _, _, rest in together:
                key, _, id = rest.partition(b"\0")
                by_key.setdefault(key.decode(), []).append(id.decode())
            for name, ids in by_key.items():
                if kind == CLAIM:
                    resolver.claim(order, name, sorted(set(ids), key=class_of, reverse=True))
                else:
                    for thing in ids:
                        resolver.found(order, name, thing)
        return resolver, repeats


def _act(encoded: bytes) -> IdentityMerged | IdentitySplit:
    return cast("IdentityMerged | IdentitySplit", decode(encoded))


def _ids_of(act: IdentityMerged | IdentitySplit) -> tuple[str, ...]:
    into = act.into if isinstance(act, IdentityMerged) else None
    return act.ids if into is None else (*act.ids, into)
