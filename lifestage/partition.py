"""One partition of the log, folded: profiles, due index, clock and accounting. A function of the log and nothing else.

The lifecycle agent, log replay and the tests' oracle all run this one class. It knows no Kafka: records go in as
(offset, key, value), changes come out, and `checkpoint` hands over what must be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from lifestage import identity, log, members, merges
from lifestage import profile as profiles
from lifestage.cause import Cause, Clock
from lifestage.change import Announced
from lifestage.due import from_, parts
from lifestage.fact import Fact
from lifestage.facts import TYPES, IdentityMerged, IdentitySplit, Referred, decode
from lifestage.keys import ANONYMOUS
from lifestage.kpi_note import brings
from lifestage.kpi_pages import OWNER
from lifestage.kpi_sets import are_noted
from lifestage.marker import PREPARED_KEY, KpiMark, encode_marker
from lifestage.messages import Forwarded, Link, decode_message
from lifestage.newcomers import has_room, minute_of
from lifestage.pages import join
from lifestage.profile import COUNTED, UNITED, Profile
from lifestage.reported import Reported
from lifestage.step import AMENDED, fire, take

_TAKEN: Final = (AMENDED, "accepted")
_OF_IDS: Final = frozenset({IdentityMerged, IdentitySplit})
SLICE: Final = 500
"""Facts or timers between two pauses: about 10 ms of work."""
BREATH: Final = 64
"""Profiles that are encoded between two pauses of a checkpoint: about 1 ms of work."""


class Checkpoint(NamedTuple):
    """What one flush keeps, in this order: pages by key (None = named no more), with them the prepared marker where that is to
    say something else now; profiles by key (None = forgotten), and the marker as of the same offset."""

    pages: dict[bytes, bytes | None]
    profiles: dict[bytes, bytes | None]
    marker: bytes
    offset: int
    final: bool
    """False while re-reading up to a prepared marker: profiles may be kept, but no marker yet."""
    gone: dict[bytes, int]
    """Of each that is forgotten, the offset that it had applied."""


class Partition(Reported):
    """The fold of one log partition. `code` is that of the log itself (`log.topic_code`), the origin of its messages."""

    # -- folding ---------------------------------------------------------------------------------

    def fold(self, records: Iterable[tuple[int, bytes | None, bytes]]) -> list[Announced]:
        """Fold records (offset, key, value) in log order; returns the changes to announce, in order."""
        return [change for slice in self.folding(records) for change in slice]

    def folding(self, records: Iterable[tuple[int, bytes | None, bytes]]) -> Iterator[list[Announced]]:
        """The same in slices of at most `SLICE` facts or timers, so that an event loop can breathe in between.

        Offsets rise; one at or below what the partition has applied is skipped. Raises `LogFormatError` or
        `msgspec.DecodeError` for a record that is none of ours: the log must not be guessed at. No `checkpoint` may
        be taken before the last slice: a tick's work is kept whole.
        """
        left = SLICE
        for offset, key, value in records:
            if offset <= self.applied:
                continue
            tick = self._record(offset, key, value)
            if tick is not None:
                for _ in self._pass_time(offset, tick):
                    yield self._told()
            self.applied = offset
            if self.prepared is not None and offset >= self.prepared.offset:
                self._adopt_prepared()
            left -= 1
            if not left:
                left = SLICE
                yield self._told()
        yield self._told()

    def _record(self, offset: int, key: bytes | None, value: bytes) -> log.Tick | None:
        if len(value) < log.HEADER_SIZE or value[0] != log.VERSION:
            log.header(value)
        _, kind, topic, partition, at, n, _, _ = log.unpack_header(value)
        if topic:
            origins = self.marker.origins.get(topic)
            if origins is None:
                origins = self.marker.origins[topic] = {}
            position = at << 16 | n
            if position <= origins.get(partition, -1):
                self.marker.reread += 1
                return None
            origins[partition] = position
        self._at, self._n = offset, 0
        if kind == log.FACT:
            self._fact(offset, key, value)
        elif kind == log.MESSAGE:
            self._message(offset, key, value)
        elif kind == log.TICK:
            return log.tick(value)
        elif kind == log.REFUSED:
            refused = log.refused(value)
            self.marker.count(refused.source, refused.type, refused.outcome)
            if refused.outcome == "rejected":
                self.marker.reasons[refused.reason] = self.marker.reasons.get(refused.reason, 0) + 1
        else:
            raise log.LogFormatError(f"{self.topic}[{self.number}]@{offset}: record of unknown kind {kind}")
        return None

    def _fact(self, offset: int, key: bytes | None, value: bytes) -> None:
        if key is None:
            raise log.LogFormatError(f"{self.topic}[{self.number}]@{offset}: a fact without a key")
        told = value[log.HEADER_SIZE :]
        fact = decode(told)
        profile = self.dirty.get(key) or self._load(key)
        if fact.time > self.marker.newest:
            self.marker.newest = fact.time
        if offset <= profile.applied:
            # Kept by a flush that was cut off; what it counted comes back with the prepared marker. Who comes after must
            # find as many new ones as the first time.
            if offset == profile.born:
                fresh, at = minute_of(self.marker.fresh, fact.source, fact.time)
                fresh[at] += 1
            return
        due, kin, name, self._hand = profile.due, profile.kin, key.decode(), profile
        if kin is not None and kin.alias is not None:
            via, since = (kin.alias, -1) if name.startswith(identity.HOLDING) else (name, kin.since)
            # as it stands here: encoded anew, a fact that an older release wrote would be another message each time it is read
            self.post(Forwarded(kin.alias, via, told, since))
            self.count("forwarded")
        elif type(fact) in _OF_IDS:
            self._count(fact, merges.decide(profile, fact, offset, self.rules, self))
        elif name.startswith(identity.HOLDING):
            outcome = identity.hold(profile, name, fact, told, self.rules)
            if outcome != "held":
                self._count(fact, outcome)
        elif profile.newest is None and self._sheds(profile, name, fact, offset):
            self._count(fact, "suppressed")
            return
        elif not self._take(profile, name, fact, offset):
            return
        self._folded(key, profile, offset, due)

    def _take(self, profile: Profile, name: str, fact: Fact, offset: int, message: Forwarded | None = None) -> bool:
        """Fold a fact that came under a profile's own key, or in a `message`. False where that has changed nothing."""
        cause, kpis = Cause(fact, self.topic, self.number, offset), self.kpis
        via = name if message is None else message.via
        own = members.before_another(profile, name, via)
        before = None if kpis is None else kpis.before(name, profile, fact)
        outcome = take(profile, name, fact, cause, self.clock, self.rules, self)
        self._count(fact, "duplicate" if outcome == AMENDED else outcome)
        if outcome == "duplicate":
            # it may repeat an order, and yet tell of an earlier channel; who does not count keeps no notes that lack it
            told = kpis.repeated(name, profile, fact) if kpis is not None else profile.kpi and brings(profile, fact)
            again = members.enter_again(profile, name, message, own, fact, offset, self.clock, self.rules)
            return again or bool(told)
        if outcome not in _TAKEN:
            return False
        if kpis is not None:
            kpis.taken(name, profile, fact, before)
        place = name if message is None else members.place(profile, name, message)
        members.enter(profile, name, place, own, fact, offset, self.clock, self.rules)
        if self.rules.link:
            identity.ask(profile, via, place, fact, outcome == "accepted", self)
        return True

    def _count(self, fact: Fact, outcome: str) -> None:
        kind = type(fact)
        if kind is not Referred:
            self.marker.count(fact.source, TYPES[kind], outcome)

    def _folded(self, key: bytes, profile: Profile, offset: int, due: int | None) -> None:
        """A record has changed a profile, which was due at `due`."""
        profile.applied = offset
        if self.kpis is not None:
            profile.format = COUNTED
            self.kpis.ended(key, profile)
        else:
            # what lacks a fact must not pass for all that there is
            profile.kpi = None
            if profile.kin is not None:
                profile.format = max(profile.format, UNITED)
        self.dirty[key] = profile
        # one that is due later now is found when the earlier entry comes up
        if profile.due is not None and (due is None or profile.due < due):
            self.due.push(profile.due, key)
            if len(self.due) > 3 * (len(self.stored) + len(self.dirty)) + 10_000:
                self._index_due()

    def _message(self, offset: int, key: bytes | None, value: bytes) -> None:
        if key is None:
            raise log.LogFormatError(f"{self.topic}[{self.number}]@{offset}: a message without a key")
        message = decode_message(value[log.HEADER_SIZE :])
        if isinstance(message, Link) and message.silent and not self._knows(key):
            self.template.format = UNITED if self.kpis is None else COUNTED
            self.heard[key] = identity.hear(message, offset, self, self.template)
            return
        profile = self.dirty.get(key) or self._load(key)
        if offset <= profile.applied:
            return
        due, kin, name, self._hand = profile.due, profile.kin, key.decode(), profile
        if kin is not None and kin.alias is not None and isinstance(message, identity.FOR_A_PROFILE):
            identity.pass_on(message, name, kin, self)
        elif isinstance(message, Forwarded):
            if not identity.sends_on(profile, name, message, self):
                fact = decode(message.fact)
                if fact.time > self.marker.newest:
                    self.marker.newest = fact.time
                if not self._take(profile, name, fact, offset, message):
                    return
        else:
            if self.kpis is not None and not are_noted(message, self.rules.window):
                self._count_no_more("ids came to its customers from where they were not kept, or for another window")
            at = members.At(name, Cause(None, self.topic, self.number, offset), self.clock, self.rules)
            added = None if self.kpis is None else self.kpis.all_of(name, profile)
            identity.receive(profile, message, at, self)
            if self.kpis is not None and added is not None:
                self.kpis.changed(name, profile, added)
        self._folded(key, profile, offset, due)

    def _knows(self, key: bytes) -> bool:
        return key in self.stored or key in self.dirty or key in self.heard or key in self.gone

    def _sheds(self, profile: Profile, name: str, fact: Fact, offset: int) -> bool:
        """Whether an anonymous visitor who is new is one too many of the source by this instant of its minute."""
        most = self.rules.new_anonymous
        if not most or not name.startswith(ANONYMOUS):
            return False
        fresh, at = minute_of(self.marker.fresh, fact.source, fact.time)
        if not has_room(fresh, at, fact.time, most):
            self.count("shed")
            return True
        fresh[at] += 1
        profile.born = offset
        return False

    def _pass_time(self, offset: int, tick: log.Tick) -> Iterator[None]:
        """Fire every timer due before the tick, by (instant, key); pauses every `SLICE` timers."""
        self.clock = Clock(max(tick.time, self.clock.time), tick.live)
        self.marker.clock, self.marker.live = self.clock
        if self.kpis is not None:
            self.kpis.turn(self.clock.time)
        cause = Cause(None, self.topic, self.number, offset)
        until = from_(self.clock.time - self.rules.plan.plan.grace)
        left, ahead = SLICE, dict[bytes, int]()
        while (found := self.due.pop(until)) is not None:
            due, key = parts(found)
            kept = self._due_of(key)
            if kept is None or kept != due:
                if kept is not None and kept > due:
                    self.due.push(kept, key)
                continue
            profile = self.dirty.get(key) or self._load(key)
            if offset > profile.applied:
                self._hand, name = profile, key.decode()
                for fact in identity.unclaimed(profile, name):
                    self._count(fact, "suppressed")
                fire(profile, name, cause, self.clock, self.rules, self)
                if self.kpis is not None:
                    self.kpis.ended(key, profile)
                profile.applied = offset
                if profile.due is not None:
                    self.due.push(profile.due, key)
            else:
                # kept by a flush that was cut off, this tick included: what fell due after it waits for the next
                ahead[key] = due
            self.dirty[key] = profile
            left -= 1
            if not left:
                left = SLICE
                yield
        for key, due in ahead.items():
            self.due.push(due, key)
        self.stored.pack()

    # -- keeping ---------------------------------------------------------------------------------

    def checkpoint(self, breathe: Callable[[], object] | None = None) -> Checkpoint:
        """Encode all that changed since the last one. The caller keeps it durably before committing `offset`.

        `breathe` is called every `BREATH` profiles: where this runs compiled, no other thread has its turn in between.
        """
        kept: dict[bytes, bytes | None] = {**self.heard}
        gone: dict[bytes, int] = {}
        unnamed = self.shelf.begin()
        self.stored.update(self.heard)
        self.heard.clear()
        for n, (key, profile) in enumerate(self.dirty.items(), 1):
            if breathe is not None and n % BREATH == 0:
                breathe()
            if profile.newest is None:
                self.stored.pop(key, None)
                self.shelf.drop(key)
                kept[key], gone[key] = None, profile.applied
            else:
                members.settle(profile)
                kept[key] = self.stored[key] = self.shelf.put(key, profile)
        self.dirty.clear()
        self.stored.pack()
        self.shelf.again(kept, self.stored)
        pages: dict[bytes, bytes | None] = {}
        if self.prepared is None:
            self.marker.kpis = self._keep_kpis()
        elif self.prepared.kpis is not None and self.kpis is None:
            # whoever counted on from there would lack what these profiles have taken since without counting
            self.prepared.kpis = None
            pages[PREPARED_KEY] = encode_marker(self.prepared)
        pages |= self.shelf.take(unnamed)
        if self.gone:
            self.gone = {key: applied for key, applied in self.gone.items() if applied > self.applied}
        self.marker.offset = self.applied
        return Checkpoint(pages, kept, encode_marker(self.marker), self.applied, self.prepared is None, gone)

    def _keep_kpis(self) -> KpiMark | None:
        if self.kpis is None:
            return None
        written = self.kpis.kept.write()
        self.shelf.keep(OWNER, written.pages, written.named)
        written.mark.anonymous = self.rules.announce_anonymous
        return written.mark

    def _adopt_prepared(self) -> None:
        """Every count at this offset is a function of the log up to it, so the cut-off flush's counts are right; those
        made on the way here lack what its kept profiles skipped."""
        assert self.prepared is not None
        kept, self.marker = self.marker.offset, self.prepared
        if self.kpis is not None:
            self.kpis, self._prepared_kpis = self._prepared_kpis, None
        # what was folded on the way here is not kept yet, though nothing may follow
        self.marker.offset = kept
        self.prepared = None

    # -- reading ---------------------------------------------------------------------------------

    def profile(self, key: bytes) -> Profile | None:
        """A copy of a customer's profile, or None."""
        live = self.shown(key)
        return None if live is None else profiles.decode(profiles.encode(live))

    def shown(self, key: bytes) -> Profile | None:
        """A customer's profile, to be looked at before the next record is folded, or None."""
        live = self.dirty.get(key)
        if live is None:
            return self._load(key) if key in self.stored or key in self.heard else None
        members.settle(live)
        return live

    def whole(self) -> Iterator[tuple[bytes, bytes]]:
        """Each customer's key, and the encoded profile as of the last checkpoint, put together where it is kept in pages."""
        for key, value in self.stored.items():
            yield key, join(key, value, self.shelf.pages) if key in self.shelf.named else value

    def keys(self) -> Iterator[bytes]:
        """The keys of all customers, once each; whoever a checkpoint meanwhile keeps may be left out or come twice."""
        yield from self.stored
        yield from (key for key in self.dirty | self.heard if key not in self.stored)

    @property
    def unkept(self) -> int:
        """How many records the next checkpoint will keep, at the most."""
        return len(self.dirty) + len(self.heard)

    def bounded(self, time: int, most: int) -> int:
        """A tick at or before `time` (ms) that fires about `most` timers at the most: an earlier tick is always true."""
        grace = self.rules.plan.plan.grace
        beyond = self.due.beyond(most, time - grace)
        return time if beyond is None else beyond + 1 + grace

    @property
    def next_due(self) -> int | None:
        """No later than the next instant at which a timer could fire."""
        return self.due.first
