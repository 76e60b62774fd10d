"""What is kept of one partition of the log, and how it is read back from its changelog: profiles, marker, due index."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from lifestage import profile as profiles
from lifestage.cause import Clock, Rules
from lifestage.due import Due
from lifestage.identity import template
from lifestage.kpi_days import Days, day_of
from lifestage.kpi_live_path import is_past
from lifestage.kpi_pages import OWNER, KeptDays, named
from lifestage.kpi_step import Counting
from lifestage.marker import MARKER_KEY, PREPARED_KEY, KpiMark, Marker, uncounted
from lifestage.packed import Packed
from lifestage.pages import PAGED, Paged, is_page, owner
from lifestage.profile import Profile
from lifestage.shelf import Shelf
from lifestage.state import StateError, corrupt, read_marker, read_page, read_profile
from lifestage.stays import name_anew


def _fingerprint(rules: Rules) -> str:
    return blake2b(rules.id_key, digest_size=4, person=b"lifestage-check").hexdigest()


class Restored:
    """The state of one log partition: what a fold goes on from."""

    def __init__(self, rules: Rules, topic: str, number: int) -> None:
        self.rules, self.topic, self.number = rules, topic, number
        self.marker = Marker(plan=rules.plan.hash, ids=_fingerprint(rules))
        self.stored = Packed()
        self.shelf = Shelf()
        self.dirty: dict[bytes, Profile] = {}
        self.heard: dict[bytes, bytes] = {}
        """Records that are not kept yet and as short as can be: ids whose owner was told, and nothing else, whose they are."""
        self.template = template()
        """What those are made from."""
        self.prepared: Marker | None = None
        self.gone: dict[bytes, int] = {}
        """Customers that are known to be forgotten as of an offset that reading has not come to again."""
        self.outdone: dict[bytes, tuple[int, bool]] = {}
        """Of what `restore` refused although it is the newest record of its key: what it has applied, and whether it is a
        tombstone. Compaction would in the end keep it alone, so it is to be written over."""
        self.due = Due()
        """Of each customer whom time will move an entry no later than that, and some that are outdated."""
        self.applied = -1
        self.clock = Clock()
        self.kpis: Counting | None = None
        """None: KPIs are not counted."""
        self.uncounted = ""
        """Why not, where the rules ask for them."""
        self._prepared_kpis: Counting | None = None
        self._marks: tuple[KpiMark | None, KpiMark | None] = None, None
        """Of the marker and of the prepared one, those whose pages are named."""
        if rules.window:
            self.kpis = Counting(KeptDays(Days(rules.window, day_of(self.clock.time), is_past)), rules)

    def _index_due(self) -> None:
        """Build the due index anew, without entries that a later fact has outdated."""
        made = Due()
        for key, value in self.stored.items():
            due = None if key in self.dirty else profiles.decode_head(value).due
            if due is not None:
                made.push(due, key)
        for key, profile in self.dirty.items():
            if profile.due is not None:
                made.push(profile.due, key)
        self.due = made

    def _due_of(self, key: bytes) -> int | None:
        """When a customer is due, if at all."""
        live = self.dirty.get(key)
        if live is not None:
            return live.due
        stored = self.stored.get(key)
        return None if stored is None else profiles.decode_head(stored).due

    def _load(self, key: bytes) -> Profile:
        stored = self.stored.get(key)
        if stored is not None:
            found = self.shelf.load(key, stored) if key in self.shelf.named else profiles.decode(stored)
            if found.kin is not None and found.kin.ties is not None:
                name_anew(found.kin)
            return found
        if key in self.heard:
            return profiles.decode(self.heard[key])
        return Profile(applied=self.gone.get(key, -1)) if self.gone else Profile()

    def restore_until_gone(self, records: Iterator[Any]) -> Any:
        """Take changelog records, which have a `key` and a `value`, as `restore` does, until one is a tombstone.

        That one is returned, not yet taken, for whoever knows what it says of itself; None behind the last record. What
        `records` has left tells where an error came.
        """
        for record in records:
            value = record.value
            if value is None:
                return record
            self.restore(record.key, value)
        return None

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
            if value is None and owner(key) == OWNER:
                self._name_pages()
            self.shelf.restore(key, None if value is None else read_page(key, value, self.topic, self.number))

    def _name_pages(self) -> None:
        """The pages of KPIs that the markers in force name stay, whoever removes them late."""
        prepared = self.prepared.kpis if self.prepared is not None else None
        if self._marks != (self.marker.kpis, prepared):
            self._marks = self.marker.kpis, prepared
            names = (named(mark, self.shelf.pages) for mark in self._marks if mark is not None)
            self.shelf.named[OWNER] = frozenset().union(*names)

    def _restore_profile(self, key: bytes, value: bytes) -> None:
        found = read_profile(key, value, self.topic, self.number)
        shelf, due = self.shelf, found.due
        plain = found.format != PAGED and not shelf.torn and key not in shelf.named
        if self.gone and plain:
            plain = found.applied >= 0 and key not in self.gone
        # Most are the first that is heard of a customer, and taken with one look into a dict.
        first = plain and self.stored.wait_first(key, value)
        if not first and not self._outdoes(key, value, found):
            return
        if self.outdone:
            self.outdone.pop(key, None)
        # While the profile is decoded anyway: doing it again at the end would take half as long as all of this.
        if due is not None:
            self.due.push(due, key)
            if not first and len(self.due) > 3 * len(self.stored) + 10_000:
                self._index_due()

    def _outdoes(self, key: bytes, value: bytes, found: Profile | Paged) -> bool:
        """Take a profile if nothing that is known of the customer outdoes it, and all pages that it names are there."""
        if self.shelf.torn:
            self.shelf.heard(key, found.applied, gone=False)
        if key in self.stored or self.gone:  # else it is the first that is heard of the customer
            furthest = self._furthest(key)
            if found.applied < furthest or (found.applied == furthest and key not in self.stored):
                self.outdone[key] = found.applied, False
                return False
        if found.format == PAGED or key in self.shelf.named or key in self.shelf.torn:
            main = value if found.format == PAGED else None
            if not self.shelf.name(key, main, found.applied, self.marker.offset):
                return False
        self.stored.wait(key, value)
        return True

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
        self._restore_kpis()
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

    def _restore_kpis(self) -> None:
        """Read what the markers name of KPIs. Where that is not all there, or another's, they are not counted."""
        self._marks = None, None
        self._name_pages()
        if self.kpis is not None and self.marker.offset >= 0:
            self.kpis = self._counting(self.marker)
        if self.kpis is not None and self.prepared is not None:
            self._prepared_kpis = self._counting(self.prepared)
            if self._prepared_kpis is None:
                self.kpis = None
        if self.kpis is None:
            self._count_no_more(self.uncounted)

    def _count_no_more(self, why: str) -> None:
        """Go on without KPIs: nothing of them is gone on with."""
        self.kpis, self._prepared_kpis, self.uncounted = None, None, why
        self.shelf.drop(OWNER)
        self.rules = self.rules._replace(window=0)

    def _counting(self, marker: Marker) -> Counting | None:
        """KPIs as a marker says; none where they cannot be gone on with."""
        mark = marker.kpis
        why = uncounted(mark, self.rules.window, anonymous=self.rules.announce_anonymous)
        if mark is None or why:
            self.uncounted = why
        else:
            try:
                found = Counting(KeptDays.read(mark, self.shelf.pages, is_past), self.rules)
            except (LookupError, msgspec.MsgspecError) as error:
                self.uncounted = f"what its changelog has of them cannot be read ({type(error).__name__}: {error!r})"
            else:
                found.turn(marker.clock)
                return found
        return None
