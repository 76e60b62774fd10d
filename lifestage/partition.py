"""One partition of the log, folded: profiles, due index, clock and accounting. A function of the log and nothing else.

The lifecycle agent, log replay and the tests' oracle all run this one class. It knows no Kafka: records go in as
(offset, key, value), changes come out, and `checkpoint` hands over what must be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from lifestage import log
from lifestage import profile as profiles
from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced
from lifestage.facts import TYPES, decode
from lifestage.marker import MARKER_KEY, PREPARED_KEY, Marker, encode_marker
from lifestage.pages import PAGED, is_page, join
from lifestage.profile import Profile
from lifestage.shelf import Shelf
from lifestage.state import StateError, corrupt, read_marker, read_page, read_profile
from lifestage.step import AMENDED, fire, take

SLICE = 500
"""Facts or timers between two pauses: about 10 ms of work."""


def _fingerprint(rules: Rules) -> str:
    return blake2b(rules.id_key, digest_size=4, person=b"lifestage-check").hexdigest()


class Checkpoint(NamedTuple):
    """What one flush keeps, in this order: pages by key (None = named no more), profiles by key (None = forgotten), and
    the marker as of the same offset."""

    pages: dict[bytes, bytes | None]
    profiles: dict[bytes, bytes | None]
    marker: bytes
    offset: int
    final: bool
    """False while re-reading up to a prepared marker: profiles may be kept, but no marker yet."""
    gone: dict[bytes, int]
    """Of each that is forgotten, the offset that it had applied."""


class Partition:
    """The fold of one log partition."""

    def __init__(self, rules: Rules, topic: str, number: int) -> None:
        self.rules, self.topic, self.number = rules, topic, number
        self.marker = Marker(plan=rules.plan.hash, ids=_fingerprint(rules))
        self.stored: dict[bytes, bytes] = {}
        self.shelf = Shelf()
        self.dirty: dict[bytes, Profile] = {}
        self.prepared: Marker | None = None
        self.gone: dict[bytes, int] = {}
        """Customers that are known to be forgotten as of an offset that reading has not come to again."""
        self.outdone: dict[bytes, tuple[int, bool]] = {}
        """Of what `restore` refused although it is the newest record of its key: what it has applied, and whether it is a
        tombstone. Compaction would in the end keep it alone, so it is to be written over."""
        self.due: list[tuple[int, bytes]] = []
        self.changes: list[Announced] = []
        self.applied = -1
        self.clock = Clock()

    # -- what a step reports (the Tally) ---------------------------------------------------------

    def change(self, announced: Announced) -> None:
        """Part of the tally: a change to send."""
        self.changes.append(announced)
        data = announced.data
        name = f"{data.previous_stage or ''}→{data.stage or ''}→{data.kind}"
        self.marker.moves[name] = self.marker.moves.get(name, 0) + 1

    def enter(self, stage: str | None) -> None:
        """Part of the tally: one more stands in `stage`."""
        if stage is not None:
            self.marker.population[stage] = self.marker.population.get(stage, 0) + 1

    def leave(self, stage: str | None) -> None:
        """Part of the tally: one fewer stands in `stage`."""
        if stage is not None:
            self.marker.population[stage] = self.marker.population.get(stage, 0) - 1

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """Part of the tally: the company's sums."""
        sums = self.marker.sums.setdefault(currency, [0, 0, 0])
        sums[0] += orders
        sums[1] += gross_minor
        sums[2] += net_minor

    @property
    def forgotten(self) -> int:
        """Part of the tally: anonymous visitors forgotten so far."""
        return self.marker.forgotten

    @forgotten.setter
    def forgotten(self, count: int) -> None:
        self.marker.forgotten = count

    @property
    def dedupe_overflow(self) -> int:
        """Part of the tally: event ids that left the horizon early."""
        return self.marker.dedupe_overflow

    @dedupe_overflow.setter
    def dedupe_overflow(self, count: int) -> None:
        self.marker.dedupe_overflow = count

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

    def _told(self) -> list[Announced]:
        changes, self.changes = self.changes, []
        return changes

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
        if kind == log.FACT:
            self._fact(offset, key, value)
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
        fact = decode(value[log.HEADER_SIZE :])
        profile = self.dirty.get(key) or self._load(key)
        if fact.time > self.marker.newest:
            self.marker.newest = fact.time
        if offset <= profile.applied:
            # Kept by a flush that was cut off; what it counted comes back with the prepared marker.
            return
        due = profile.due
        cause = Cause(fact, self.topic, self.number, offset)
        outcome = take(profile, key.decode(), fact, cause, self.clock, self.rules, self)
        if outcome == AMENDED:
            self.marker.count(fact.source, TYPES[type(fact)], "duplicate")
        else:
            self.marker.count(fact.source, TYPES[type(fact)], outcome)
            if outcome != "accepted":
                return
        profile.applied = offset
        self.dirty[key] = profile
        if profile.due is not None and profile.due != due:
            heappush(self.due, (profile.due, key))
            if len(self.due) > 3 * (len(self.stored) + len(self.dirty)) + 10_000:
                self._index_due()

    def _pass_time(self, offset: int, tick: log.Tick) -> Iterator[None]:
        """Fire every timer due before the tick, by (instant, key); pauses every `SLICE` timers."""
        self.clock = Clock(max(tick.time, self.clock.time), tick.live)
        self.marker.clock, self.marker.live = self.clock
        cause = Cause(None, self.topic, self.number, offset)
        until = self.clock.time - self.rules.plan.plan.grace
        left = SLICE
        while self.due and self.due[0][0] < until:
            due, key = heappop(self.due)
            if key not in self.dirty and key not in self.stored:
                continue
            profile = self.dirty.get(key) or self._load(key)
            kept: int | None = profile.due
            if kept != due:
                continue
            if offset > profile.applied:
                fire(profile, key.decode(), cause, self.clock, self.rules, self)
                profile.applied = offset
            self.dirty[key] = profile
            if profile.due is not None:
                heappush(self.due, (profile.due, key))
            left -= 1
            if not left:
                left = SLICE
                yield

    def _index_due(self) -> None:
        """Build the due index anew, without entries that a later fact has outdated."""
        found = {key: profiles.decode_head(value).due for key, value in self.stored.items() if key not in self.dirty}
        found.update((key, profile.due) for key, profile in self.dirty.items())
        self.due = [(due, key) for key, due in found.items() if due is not None]
        heapify(self.due)

    def _load(self, key: bytes) -> Profile:
        stored = self.stored.get(key)
        if stored is not None:
            return self.shelf.load(key, stored) if key in self.shelf.named else profiles.decode(stored)
        return Profile(applied=self.gone.get(key, -1)) if self.gone else Profile()

    # -- keeping ---------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """Encode all that changed since the last one. The caller keeps it durably before committing `offset`."""
        kept: dict[bytes, bytes | None] = {}
        gone: dict[bytes, int] = {}
        unnamed = self.shelf.begin()
        for key, profile in self.dirty.items():
            if profile.newest is None:
                self.stored.pop(key, None)
                self.shelf.drop(key)
                kept[key], gone[key] = None, profile.applied
            else:
                kept[key] = self.stored[key] = self.shelf.put(key, profile)
        self.dirty.clear()
        self.shelf.again(kept, self.stored)
        pages = self.shelf.take(unnamed)
        if self.gone:
            self.gone = {key: applied for key, applied in self.gone.items() if applied > self.applied}
        self.marker.offset = self.applied
        return Checkpoint(pages, kept, encode_marker(self.marker), self.applied, self.prepared is None, gone)

    def restore(self, key: bytes, value: bytes | None, applied: int = -1) -> None:
        """Take one changelog record; of two for a customer the one that has applied more wins, so that a late write of
        a former owner does no harm. Call `recovered` once after the last.

        `applied` is what a tombstone says of itself; -1 where it says nothing, as those of older releases: it then has
        applied at least what it removes. Raises `StateError` for a record that is none of ours, or of a newer release.
        """
        if 0 in key:  # asked first, as of a million records only some are not profiles
            self._restore_ours(key, value)
        elif value is None:
            self._restore_gone(key, applied)
        else:
            self._restore_profile(key, value)

    def _restore_ours(self, key: bytes, value: bytes | None) -> None:
        if key == MARKER_KEY:
            if value is not None:
                marker = read_marker(value, self.topic, self.number)
                if marker.offset >= self.marker.offset:
                    self.marker = marker
                    self.outdone.pop(key, None)
                else:
                    self.outdone[key] = marker.offset, False
        elif key == PREPARED_KEY:
            prepared = None if value is None else read_marker(value, self.topic, self.number)
            # the furthest counts: profiles of either keeping may be in here, and are all contained in it
            if prepared is not None and (self.prepared is None or prepared.offset >= self.prepared.offset):
                self.prepared = prepared
        elif is_page(key):
            self.shelf.restore(key, None if value is None else read_page(key, value, self.topic, self.number))

    def _restore_profile(self, key: bytes, value: bytes) -> None:
        found = read_profile(key, value, self.topic, self.number)
        if self.shelf.torn:  # asked first, as there are none
            self.shelf.heard(key, found.applied, gone=False)
        if key in self.stored or self.gone:  # else it is the first that is heard of the customer
            furthest = self._furthest(key)
            if found.applied < furthest or (found.applied == furthest and key not in self.stored):
                self.outdone[key] = found.applied, False
                return
        if found.format == PAGED or key in self.shelf.named or key in self.shelf.torn:
            main = value if found.format == PAGED else None
            if not self.shelf.name(key, main, found.applied, self.marker.offset):
                return
        self.stored[key] = value
        self.outdone.pop(key, None)
        # While the profile is decoded anyway: doing it again at the end would take half as long as all of this.
        if found.due is not None:
            heappush(self.due, (found.due, key))
            if len(self.due) > 3 * len(self.stored) + 10_000:
                self._index_due()

    def _restore_gone(self, key: bytes, applied: int) -> None:
        furthest = self._furthest(key)
        if applied < 0:
            applied = furthest
        self.shelf.heard(key, applied, gone=True)
        if applied >= furthest:
            self.stored.pop(key, None)
            self.shelf.name(key, None, applied, self.marker.offset)
            self.gone[key] = applied
            self.outdone.pop(key, None)
        else:
            self.outdone[key] = applied, True

    def _furthest(self, key: bytes) -> int:
        """What is known of a customer has applied the log up to here."""
        known = self.stored.get(key)
        return self.gone.get(key, -1) if known is None else profiles.decode_head(known).applied

    def recovered(self) -> None:
        """Make ready to fold after the last `restore`: clock, due index, and where to go on."""
        if self.marker.plan != self.rules.plan.hash or self.marker.ids not in ("", _fingerprint(self.rules)):
            what = "plan" if self.marker.plan != self.rules.plan.hash else "identity.secret"
            raise StateError(
                f"{self.topic}[{self.number}] was folded with another {what}: set the one that was used, or start a "
                "new deployment with another topics.prefix and kafka.group"
            )
        self.applied = self.marker.offset
        self.clock = Clock(self.marker.clock, self.marker.live)
        if self.prepared is not None and self.prepared.offset <= self.marker.offset:
            self.prepared = None
        for key, torn in list(self.shelf.torn.items()):
            # beyond the marker it is a former owner's, whose pages a new one took away: the log will be folded to there
            main, lost, outdone = self.shelf.mend(key, torn, self._furthest(key))
            if lost <= self.applied:
                raise corrupt(key, self.topic, self.number, "pages that it names are missing")
            if main is not None:
                self._restore_profile(key, main)
                if outdone is not None:
                    self.outdone[key] = outdone
        # a tombstone that a cut-off flush kept must hold until reading has come to where it was written
        self.gone = {key: applied for key, applied in self.gone.items() if applied > self.applied}
        self.shelf.recovered()
        if len(self.due) > len(self.stored) * 3 // 2:
            self._index_due()

    def _adopt_prepared(self) -> None:
        """Every count at this offset is a function of the log up to it, so the cut-off flush's counts are right; those
        made on the way here lack what its kept profiles skipped."""
        assert self.prepared is not None
        kept, self.marker = self.marker.offset, self.prepared
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
        return self._load(key) if live is None and key in self.stored else live

    def whole(self) -> Iterator[tuple[bytes, bytes]]:
        """Each customer's key, and the encoded profile as of the last checkpoint, put together where it is kept in pages."""
        for key, value in self.stored.items():
            yield key, join(key, value, self.shelf.pages) if key in self.shelf.named else value

    def keys(self) -> Iterator[bytes]:
        """The keys of all customers, once each."""
        yield from self.stored
        yield from (key for key in self.dirty if key not in self.stored)

    def bounded(self, time: int, most: int) -> int:
        """A tick at or before `time` (ms) that fires about `most` timers at the most: an earlier tick is always true."""
        until = time - self.rules.plan.plan.grace
        due = sorted(at for at, _ in self.due if at < until)
        return time if len(due) <= most else due[most - 1] + 1 + self.rules.plan.plan.grace

    @property
    def next_due(self) -> int | None:
        """No later than the next instant at which a timer could fire."""
        return self.due[0][0] if self.due else None
