"""What is read back is what the furthest writer kept, whoever wrote later; what no release wrote is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import facts as facts_of
from lifestage import log
from lifestage import marker as markers
from lifestage import profile as profiles
from lifestage.change import encode_value
from lifestage.due import parts
from lifestage.facts import Fact, TicketReplied
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.partition import Checkpoint, Partition
from lifestage.profile import Profile
from lifestage.state import StateError
from tests.core.histories import (
    START,
    Record,
    Tick,
    at_day,
    facts,
    partition,
    records,
    thorough,
    visit,
)
from tests.core.oracle import DAY

VISITOR = "anon:v"


class Kept(NamedTuple):
    """A record of the changelog."""

    key: bytes
    value: bytes | None
    applied: int = -1


def records_of(kept: Checkpoint) -> list[Kept]:
    """The records of a flush, each tombstone with what it had applied, the marker last."""
    pages = [Kept(key, value) for key, value in kept.pages.items()]
    found = [Kept(key, value, kept.gone.get(key, -1)) for key, value in kept.profiles.items()]
    return [*pages, *found, Kept(MARKER_KEY, kept.marker)]


def flushes(history: list[Record], every: int, kind: Callable[[], Partition] = partition) -> list[list[Kept]]:
    """What a worker writes that keeps its state after every so many log records."""
    made, found = kind(), []
    for at in range(0, len(history), every):
        made.fold(history[at : at + every])
        found.append(records_of(made.checkpoint()))
    return found


def read(kept: list[Kept], kind: Callable[[], Partition] = partition) -> Partition:
    """A new process that has read the changelog."""
    made, left = kind(), iter(kept)
    while (gone := made.restore_until_gone(left)) is not None:
        assert gone.value is None
        made.restore(gone.key, None, gone.applied)
    made.recovered()
    return made


def due(made: Partition) -> list[tuple[int, bytes]]:
    """When time will move whom; each of them is found in the index by then."""
    found = ((profiles.decode_head(value).due, key) for key, value in made.stored.items())
    kept = sorted((due, key) for due, key in found if due is not None)
    index = [parts(one) for one in made.due]
    assert all(any(at <= due for at, whose in index if whose == key) for due, key in kept)
    return kept


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """A log of two customers and a visitor, who is forgotten and may come again."""
    items: list[Fact | Tick] = []
    for customer in ("c1", VISITOR, VISITOR):
        kinds = ("visit",) if customer == VISITOR else ("visit", "order", "refund", "cancel")
        items += draw(facts(4, customer, kinds))
    items += [Tick(START + draw(st.integers(0, 500)) * DAY) for _ in range(draw(st.integers(0, 4)))]
    return records(draw(st.permutations(items)))


@st.composite
def written_by_two(draw: st.DrawFn) -> tuple[list[Record], list[Kept], list[Kept]]:
    """A log, what its owner kept of all of it, and a changelog in which a former owner's flushes stand anywhere between."""
    history = draw(histories())
    owner = [one for flush in flushes(history, draw(st.integers(1, 6))) for one in flush]
    upto = draw(st.integers(0, len(history)))
    former = [one for flush in flushes(history[:upto], draw(st.integers(1, 6))) for one in flush]
    mixed, waiting = [], list(former)
    for one in owner:
        late = draw(st.integers(0, 3))
        mixed += [*waiting[:late], one]
        del waiting[:late]
    return history, owner, [*mixed, *waiting]


class Hasty(Partition):
    """A partition for which a tombstone is the last word, and forgotten at once."""

    def restore(self, key: bytes, value: bytes | None, applied: int = -1) -> None:
        """Take one changelog record."""
        if value is None and key not in (MARKER_KEY, PREPARED_KEY):
            self.stored.pop(key, None)
        else:
            super().restore(key, value, applied)


def hasty() -> Hasty:
    """A hasty partition that has read nothing."""
    made = partition()
    return Hasty(made.rules, made.topic, made.number)


@thorough
@given(written_by_two())
def test_the_furthest_writer_counts(case: tuple[list[Record], list[Kept], list[Kept]]) -> None:
    """However the records of a former owner, tombstones too, stand among the owner's: its profiles, counts and clock are read."""
    _, owner, changelog = case
    whole, found = read(owner), read(changelog)
    assert found.stored == whole.stored
    assert found.marker == whole.marker
    assert due(found) == due(whole)
    late = records([at_day(2_000)])[0]
    fired = [[change.data for change in made.fold([(made.applied + 1, *late[1:])])] for made in (found, whole)]
    assert fired[0] == fired[1]


COMES_AGAIN = records([
    visit(0, "v0", VISITOR), visit(0, "a"), at_day(31), visit(40, "v1", VISITOR), visit(41, "b"),
])  # fmt: skip
"""A visitor is forgotten by the third record, and comes again with the fourth."""


@pytest.mark.parametrize("kind", [partition, hasty])
def test_a_late_tombstone_removes_nothing_newer(kind: Callable[[], Partition]) -> None:
    """A visitor who came again stays when the former owner's tombstone arrives late; a hasty reader loses him."""
    owner, former = flushes(COMES_AGAIN, 5), flushes(COMES_AGAIN[:3], 1)
    found = read([*owner[-1], *former[-1]], kind)
    assert (VISITOR.encode() in found.stored) == (kind is partition)


@pytest.mark.parametrize("kind", [partition, hasty])
def test_a_late_profile_brings_nobody_back(kind: Callable[[], Partition]) -> None:
    """A visitor who was forgotten stays so when the former owner's profile arrives late; a hasty reader has him again."""
    owner, former = flushes(COMES_AGAIN[:3], 1), flushes(COMES_AGAIN[:1], 1)
    found = read([one for flush in [*owner, *former] for one in flush], kind)
    assert (VISITOR.encode() in found.stored) == (kind is not partition)


def test_a_tombstone_that_says_nothing_is_believed() -> None:
    """A tombstone of an older release removes what is there, and what it removed does not come back."""
    (_, value), *_ = [(key, value) for key, value, _ in flushes(COMES_AGAIN[:1], 1)[0]]
    key, marker = VISITOR.encode(), Kept(MARKER_KEY, flushes(COMES_AGAIN[:3], 3)[0][-1].value)
    for changelog in (
        [Kept(key, value), Kept(key, None), marker],
        [Kept(key, value), Kept(key, None), Kept(key, value), marker],
        [Kept(key, None), marker],
    ):
        assert read(changelog).stored == {}


FORGOTTEN_TWICE = records([
    visit(0, "v0", VISITOR), visit(25, "v0", VISITOR), visit(31, "a"), at_day(31), visit(31, "b"),
])  # fmt: skip
"""The second record repeats the first at another time; without the first it would count, and the tick forget nobody."""


class Forgetful(Partition):
    """A partition that has forgotten, when it folds again, whom it read to be forgotten."""

    def recovered(self) -> None:
        """Make ready to fold."""
        super().recovered()
        self.gone.clear()


def test_who_is_forgotten_is_not_begun_anew_by_old_records() -> None:
    """After a cut-off flush, records that a forgotten visitor had applied do not bring him back; they do if that is not kept."""
    first, second = flushes(FORGOTTEN_TWICE[:1], 1)[0], partition()
    second.fold(FORGOTTEN_TWICE[:4])
    kept = records_of(second.checkpoint())
    cut = [one for one in kept if one.value is None]
    assert cut
    for kind in (Partition, Forgetful):
        made = partition()
        found = read([*first, *cut], lambda made=made, kind=kind: kind(made.rules, made.topic, made.number))  # type: ignore[misc]
        found.fold(FORGOTTEN_TWICE)
        found.checkpoint()
        assert (VISITOR.encode() not in found.stored) == (kind is Partition)
        assert not found.gone


# -- formats -----------------------------------------------------------------------------------------------------------

CHANGELOG = json.loads((Path(__file__).parent / "kept_format_2.json").read_text(encoding="utf-8"))
"""Written by the release whose profiles were in format 2: a changelog, log records after it, and what came of them."""


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _kept(name: str) -> list[Kept]:
    return [Kept(_bytes(key) or b"", _bytes(value)) for key, value in CHANGELOG[name]]


def test_an_older_changelog_is_read_and_gone_on_with() -> None:
    """Changes that follow on a changelog of format 2 are the bytes that its own release gave, profiles and counts say the same."""
    made = read(_kept("changelog"))
    changes = made.fold((offset, _bytes(key), _bytes(value) or b"") for offset, key, value in CHANGELOG["log"])
    assert [encode_value(change.data).decode() for change in changes] == CHANGELOG["changes"]
    kept = made.checkpoint()
    assert [Kept(key, value) for key, value, _ in records_of(kept)] == [_as_now(*then) for then in _kept("then")]


def _as_now(key: bytes, value: bytes | None, applied: int) -> Kept:
    """A record of an older release with the fields that were added since."""
    if value is None:
        return Kept(key, None, applied)
    marker = key == MARKER_KEY
    return Kept(
        key,
        markers.encode_marker(markers.decode_marker(value)) if marker else profiles.encode(profiles.decode(value)),
        applied,
    )


def test_an_even_older_format_is_read() -> None:
    """A profile and a marker of a format below ours are taken as they are."""
    state = read(_kept("changelog")).stored[b"c1"]
    old = profiles.decode(state)
    old.format = 1
    assert read([Kept(b"c1", profiles.encode(old)), _kept("changelog")[-1]]).stored[b"c1"] == profiles.encode(old)


def later(value: bytes, place: int) -> list[bytes]:
    """A record as a newer release might write it: format 9, once with our fields, once with others."""
    fields = msgspec.msgpack.decode(value)
    fields[place] = 9
    return [msgspec.msgpack.encode(fields), msgspec.msgpack.encode([*fields[: place + 1], {"other": "fields"}])]


def test_a_newer_format_is_refused() -> None:
    """A profile or marker of a newer format is not misread: the message names the partition, whose it is, and what to do."""
    state = {key: value for key, value, _ in _kept("changelog") if value is not None}
    remedy = r"was kept in format 9 by a newer release, and this one reads formats up to \d: start that release again"
    for value in later(state[b"c1"], 2):
        with pytest.raises(StateError, match=rf"^customer-events\[3\]: the profile of 'c1' {remedy}$"):
            partition().restore(b"c1", value)
    for key in (MARKER_KEY, PREPARED_KEY):
        for value in later(state[MARKER_KEY], 1):
            with pytest.raises(StateError, match=rf"^customer-events\[3\]: the marker {remedy}$"):
                partition().restore(key, value)


_CORRUPT = (
    r"^customer-events\[3\]: the {} in the changelog is corrupt \(.+\): stop all workers, delete the changelog topic"
)
_whole = st.sampled_from([one for one in _kept("changelog") if one.value is not None])


@thorough
@given(_whole, st.data())
def test_a_truncated_record_is_refused(one: Kept, data: st.DataObject) -> None:
    """Of a profile or marker that was cut off anywhere nothing is taken."""
    assert one.value is not None
    cut = one.value[: data.draw(st.integers(0, len(one.value) - 1))]
    what = "marker" if one.key == MARKER_KEY else f"profile of '{one.key.decode()}'"
    with pytest.raises(StateError, match=_CORRUPT.format(what)):
        partition().restore(one.key, cut)


@thorough
@given(st.sampled_from((b"c1", MARKER_KEY, PREPARED_KEY)), st.binary(max_size=80))
def test_random_bytes_are_refused(key: bytes, value: bytes) -> None:
    """Nothing that was not written by a release is taken for state."""
    with pytest.raises(StateError):
        partition().restore(key, value)


FULL = profiles.encode(Profile(applied=3, newest=START, first_seen=START, floor=START))
"""A profile with each field written."""
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@thorough
@given(st.integers(0, len(Profile.__struct_fields__) - 1), _ANYTHING)
def test_a_field_of_another_type_is_refused(place: int, wrong: object) -> None:
    """A profile with anything of a wrong type in a field is refused, or what is taken folds and encodes like a profile."""
    whole = msgspec.msgpack.decode(FULL)
    whole[place] = wrong
    try:
        partition().restore(b"c1", msgspec.msgpack.encode(whole))
    except StateError:
        return
    taken = profiles.decode(msgspec.msgpack.encode(whole))
    assert profiles.decode(profiles.encode(taken)) == taken


def test_the_format_of_a_marker_is_written() -> None:
    """A kept marker names its format in its second field, and a profile in its third."""
    kept = flushes(COMES_AGAIN, 5)[0]
    assert msgspec.msgpack.decode(kept[-1].value or b"")[1] == markers.FORMAT
    assert msgspec.msgpack.decode(kept[0].value or b"")[2] == profiles.FORMAT


def test_what_a_cut_off_flush_left_due_in_the_past_waits_for_the_next_tick() -> None:
    """A ticket's reply from long before the clock that names no person is due at once. Re-read after a flush that was cut off,
    the tick before it has an end, and the next one lets it go as if nothing had happened."""
    reply = TicketReplied(time=START, source="desk", id="r1", ticket_id="t1", by="customer")
    key = b"ticket:desk t1"
    log_of_it = [
        (0, None, log.pack_tick(log.Tick(START + 31 * DAY, live=True))),
        (1, key, log.pack(log.FACT, facts_of.encode(reply))),
        (2, None, log.pack_tick(log.Tick(START + 32 * DAY, live=True))),
    ]
    whole, cut, again = partition(), partition(), partition()
    whole.fold(log_of_it)
    cut.fold(log_of_it[:2])
    flush = cut.checkpoint()
    assert flush.profiles.keys() == {key}
    again.restore(PREPARED_KEY, flush.marker)
    again.restore(key, flush.profiles[key])
    again.recovered()
    # each slice is 500 timers: without an end there would be ever more of them
    slices = sum(1 for _ in islice(again.folding(log_of_it), 10))
    assert slices < 10
    assert again.checkpoint().marker == whole.checkpoint().marker
    assert again.stored == whole.stored == {}
