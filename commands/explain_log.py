"""A customer explained from the live log, as announced: the records of their ids folded as the workers fold them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from commands.explain import Asked
    from commands.progress import Progress
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.change import Announced
    from lifestage.explain import Explanation
    from lifestage.facts import Fact
    from lifestage.partition import Partition
    from lifestage.profile import Profile
    from streams.log_reader import LogReader

HOPS_MAX = 20
"""Ids from one to the next before it is given up: no chain is as long."""


@dataclass
class Told:
    """What a partition of the log tells of one id."""

    facts: defaultdict[str | None, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    """Facts by the id that they belong to through this one; None: its own."""
    sent: list[tuple[str, Fact]] = field(default_factory=list)
    """Facts that came under other ids and were sent on to this one."""
    changes: list[Announced] = field(default_factory=list)
    since: int | None = None
    """When it was linked to the one that it belongs to, ms."""


class Folded(NamedTuple):
    """A partition of which only the records of some ids were folded, as the worker folds them."""

    partition: Partition
    told: defaultdict[bytes, Told]


def of_log(settings: Settings, rules: Rules, asked: Asked) -> Explanation:
    """Explain from the live log, as announced; with `at`, by what is known now of the time up to then."""
    from msgspec.structs import replace

    from commands.progress import progress
    from lifestage.explain import MemberSeen, explain, explain_folded
    from lifestage.moments import iso
    from lifestage.stays import ids_seen
    from streams.log_reader import LogReader
    from streams.running import bootstrap_of

    with LogReader(settings, bootstrap_of(settings)) as reader, progress() as shown:
        search = Search(reader, rules, shown)
        key, folded, since = search.root(asked.key)
        profile = folded.partition.profile(key.encode())
        told = folded.told[key.encode()]
        facts = search.facts(key, told, profile)
    h = max(folded.partition.clock.time - 1, folded.partition.marker.newest)
    now = h if settings.clock.mode == "data" else max(h, int(time.time() * 1000))
    at = asked.until(facts, f"{reader.topic}[{folded.partition.number}]", now)
    if asked.at is not None or profile is None:
        explained = explain(key, facts, rules, at)
    else:
        explained = explain_folded(key, profile, facts, told.changes, rules, at)
    kin = profile.kin if profile is not None else None
    members = [] if kin is None else ids_seen(kin)
    return replace(
        explained,
        outcomes=explained.outcomes | _refused(folded.partition),
        members=tuple(MemberSeen(id, past=past) for id, _, past in members),
        asked=None if key == asked.key else MemberSeen(asked.key, None if since is None else iso(since)),
    )


class Search:
    """Reads of the log what is told of some ids; records of others are skipped undecoded."""

    def __init__(self, reader: LogReader, rules: Rules, shown: Progress) -> None:
        self._reader, self._rules, self._shown = reader, rules, shown

    def root(self, key: str) -> tuple[str, Folded, int | None]:
        """The profile that an id belongs to, its partition, and since when; None: it is a profile itself."""
        since: int | None = None
        folded = self._fold(self._number(key), {key.encode()})
        for hop in range(HOPS_MAX):
            profile = folded.partition.shown(key.encode())
            if profile is None or profile.kin is None or profile.kin.alias is None:
                break
            since = folded.told[key.encode()].since if hop == 0 else since
            key = profile.kin.alias
            folded = self._fold(self._number(key), {key.encode()})
        return key, folded, since

    def facts(self, key: str, told: Told, profile: Profile | None) -> list[Fact]:
        """All facts of a profile, each once: its own, those sent on to it, and those that its other ids brought."""
        ids = set(profile.kin.members) if profile is not None and profile.kin is not None else set()
        found = [*told.facts[None], *(fact for via, fact in told.sent if via in ids or via == key)]
        by_number = defaultdict(set)
        for id in ids:
            by_number[self._number(id)].add(id.encode())
        for number, keys in sorted(by_number.items()):
            for one in self._fold(number, keys).told.values():
                found += [fact for to, facts in one.facts.items() if to == key or to in ids for fact in facts]
        return list({(fact.source, fact.id): fact for fact in reversed(found)}.values())

    def _number(self, key: str) -> int:
        from streams.doorway import partition_of

        return partition_of(key.encode(), len(self._reader.ends))

    def _fold(self, number: int, keys: Iterable[bytes]) -> Folded:
        """Read a partition to its end, and fold what stands under some keys."""
        from lifestage.partition import Partition

        reader, keys = self._reader, frozenset(keys)
        reader.check_whole([number])
        folded = Folded(Partition(self._rules, reader.topic, number), defaultdict(Told))
        self._shown.begin(f"reading {reader.topic}[{number}]", reader.ends[number])
        done = taken = 0
        for run in reader.records(number):
            for offset, owner, value in run:
                if owner in keys or owner is None:
                    _take(folded, offset, owner, value)
                    taken += 1
            done += len(run)
            self._shown.reach(done, f"{taken:,} records of the customer")
        return folded


def _take(folded: Folded, offset: int, key: bytes | None, value: bytes) -> None:
    """Fold one record of an id, or a tick."""
    from msgspec import DecodeError

    from commands.replay_log import foreign
    from lifestage import log

    partition = folded.partition
    try:
        kind = log.header(value).kind
        if key is None and kind != log.TICK:
            return
        before = _stand(partition, key)
        for change in partition.fold([(offset, key, value)]):
            folded.told[change.partitionkey.encode()].changes.append(change)
        partition.take_posted()
        if key is not None:
            _note(folded, offset, key, value, kind, before)
    except (log.LogFormatError, DecodeError) as error:
        raise foreign(partition, offset, error) from None


class Stand(NamedTuple):
    """To whom an id belongs, and since when there are facts of its own (ms): what was before is forgotten."""

    alias: str | None = None
    first: int | None = None


def _stand(partition: Partition, key: bytes | None) -> Stand:
    profile = partition.shown(key) if key is not None else None
    if profile is None:
        return Stand()
    return Stand(profile.kin.alias if profile.kin is not None else None, profile.first_seen)


def _note(folded: Folded, offset: int, key: bytes, value: bytes, kind: int, before: Stand) -> None:
    """See what a record has changed: whose the facts are, and which came."""
    from lifestage import facts, log
    from lifestage.messages import Forwarded, Link, decode_message

    told, profile = folded.told[key], folded.partition.shown(key)
    if profile is None or profile.applied != offset:
        return
    after = _stand(folded.partition, key).alias
    message = decode_message(value[log.HEADER_SIZE :]) if kind == log.MESSAGE else None
    if before.alias != after:
        if before.alias is None:
            own = told.facts.pop(None, [])
            told.facts[after] += [fact for fact in own if before.first is None or fact.time >= before.first]
        elif after is None:
            told.facts[None] += told.facts.pop(before.alias, [])
        told.since = message.occasion.time if isinstance(message, Link) else None
    if kind == log.FACT:
        told.facts[after].append(facts.decode(value[log.HEADER_SIZE :]))
    elif isinstance(message, Forwarded) and after is None:
        told.sent.append((message.via, facts.decode(message.fact)))


def _refused(partition: Partition) -> dict[str, int]:
    """How many of the customer's events were not accepted, by outcome: nobody else's were folded."""
    found: dict[str, int] = {}
    for types in partition.marker.accounts.values():
        for outcomes in types.values():
            for name in outcomes.keys() - {"accepted"}:
                found[name] = found.get(name, 0) + outcomes[name]
    return found
