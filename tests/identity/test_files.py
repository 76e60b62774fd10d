"""Files know who belongs to whom as the live world does: the same persons, paths and counts, from the facts alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Fact, IdentityMerged, IdentitySplit, OrderCompleted, OrderRefunded, WebVisit, encode
from lifestage.keys import key_of
from lifestage.moments import iso
from lifestage.partition import Partition
from lifestage.profile import Profile
from lifestage.replay import in_order, replay
from lifestage.resolve import persons
from lifestage.sides import facts_from
from tests.core.effort import effort
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.identity.judge import is_person, standing
from tests.identity.lives import END, RULES, Lives, Mix

CODE = log.topic_code("customer-events")
SOURCE = log.topic_code("everything")
QUIET = RULES._replace(announce_anonymous=False)
"""Visitors without a name are not announced, and in the end forgotten."""
PATIENT = 10_000 * DAY
"""So long a lateness that nothing is too late to be told exactly."""


class Live(NamedTuple):
    """What a live deployment has announced, keeps, and has counted."""

    changes: list[Announced]
    profiles: dict[str, Profile]
    outcomes: Counter[str]


def lived(facts: Sequence[Fact], rules: Rules, end: int) -> Live:
    """One partition that folds facts in order of time, each with a tick before it, and all messages before the next."""
    fold = Partition(rules, "customer-events", 0, CODE)
    changes: list[Announced] = []
    coming: deque[tuple[bytes | None, bytes]] = deque()
    offset = 0
    for n, fact in enumerate([*in_order(facts), None]):
        coming.append((None, log.pack_tick(log.Tick(end if fact is None else fact.time, live=True))))
        for side, one in enumerate(facts_from(fact) if fact is not None else ()):
            coming.append((str(key_of(one)).encode(), log.pack(log.FACT, encode(one), SOURCE, 0, n, side)))
        while coming:
            changes += fold.fold([(offset, *coming.popleft())])
            coming += fold.take_posted()
            offset += 1
    outcomes: Counter[str] = Counter()
    for types in fold.marker.accounts.values():
        for counts in types.values():
            outcomes.update(counts)
    profiles = {key.decode(): fold.profile(key) for key in [*fold.keys()]}
    return Live(changes, {key: one for key, one in profiles.items() if one is not None}, outcomes)


def paths(changes: Sequence[Announced], roots: set[str]) -> dict[str, list[tuple[int, str | None]]]:
    """The history of each of these that a consumer holds, superseded changes taken out."""
    return {root: standing(one for one in changes if one.partitionkey == root) for root in roots}


def differences(facts: Sequence[Fact], rules: Rules, end: int) -> list[str]:
    """Where a file of facts and the live world do not agree; of one who was a part of another for a time only who they are."""
    rules = rules._replace(lateness=PATIENT)
    live, file = lived(facts, rules, end), replay(facts, rules, end)
    has_been_part = {change.partitionkey for change in live.changes if change.data.merged_into is not None}
    found = []
    is_now = {
        key for key, profile in live.profiles.items() if is_person(key, profile) and profile.first_seen is not None
    }
    should_be = {change.partitionkey for change in file.changes}
    if not should_be <= is_now:
        found.append(f"of the persons {should_be} only {is_now} live")
    theirs = {change.partitionkey for change in live.changes} | should_be
    roots = {key for key in theirs & is_now if key not in has_been_part}
    left, right = paths(live.changes, roots), paths(file.changes, roots)
    found += [f"{root}: live {left[root]}, file {right[root]}" for root in sorted(roots) if left[root] != right[root]]
    return found


mixes = st.builds(
    Mix,
    persons=st.integers(2, 4),
    crossed=st.sampled_from((0.0, 0.2, 0.4)),
    merges=st.sampled_from((0.0, 0.1)),
    splits=st.sampled_from((0.0, 0.1)),
    alike=st.sampled_from((0.0, 0.7)),
    repeats=st.just(0.0),
)


@effort(150)
@given(mixes, st.integers(0, 1 << 32), st.integers(1, 40), st.sampled_from((RULES, QUIET)))
def test_a_file_is_the_live_history(mix: Mix, seed: int, count: int, rules: Rules) -> None:
    """Any facts of people with several ids, devices that change hands, merges, splits, refunds by order alone, visitors who
    are forgotten: each person's path is what stands of their live history."""
    assert not differences(Lives(Random(seed), mix).events(count), rules, END)


def visit(day: float, id: str, **ids: Any) -> WebVisit:
    """A visit."""
    return WebVisit(time=START + int(day * DAY), source="shop", id=id, url="/", **ids)


def order(day: float, id: str, **ids: Any) -> OrderCompleted:
    """An order of 5."""
    time = START + int(day * DAY)
    return OrderCompleted(
        time=time, source="shop", id=id, order_id=id, currency="EUR", total_minor=500, net_minor=500, **ids
    )


def refund(of: str) -> OrderRefunded:
    """All of an order is paid back, by one who knows only its number."""
    return OrderRefunded(
        time=START, source="shop", id=f"r{of}", refund_id=f"r{of}", order_id=of, currency="EUR", amount_minor=500
    )


def theirs(facts: Sequence[Fact]) -> dict[str, list[str]]:
    """Each person with the ids of their events, in order."""
    return {person.root: [fact.id for fact in person.facts] for person in persons(facts)[0]}


def test_of_a_device_that_changes_hands_the_past_stays() -> None:
    """What came before another customer was seen with it is the first one's, what comes from then on the other's."""
    facts: list[Fact] = [
        visit(0, "1", anonymous_id="d"),
        visit(1, "2", anonymous_id="d", customer_id="ann"),
        visit(2, "3", anonymous_id="d"),
        visit(3, "4", anonymous_id="d", customer_id="bob"),
        visit(4, "5", anonymous_id="d"),
        visit(5, "6", anonymous_id="d", customer_id="ann"),
        visit(6, "7", anonymous_id="d"),
    ]
    assert theirs(facts[::-1]) == {"ann": ["1", "2", "3", "6", "7"], "bob": ["4", "5"]}
    assert not differences(facts, RULES, END)


def test_an_address_stays_whose_it_is() -> None:
    """Seen with another customer later, an address and what comes under it are still the first one's."""
    address = f"email:{'0' * 32}"
    facts: list[Fact] = [
        visit(1, "1", email=address, customer_id="bob"),
        visit(0, "2", email=address, customer_id="ann"),
        visit(2, "3", email=address),
    ]
    assert theirs(facts) == {"ann": ["2", "3"], "bob": ["1"]}
    assert not differences(facts, RULES, END)


def test_ids_in_a_row_are_one_person_and_a_split_takes_what_came_through() -> None:
    """A device known by an address, the address by a customer, the customer merged: one person; split, the address has its own."""
    address = f"email:{'0' * 32}"
    facts: list[Fact] = [
        visit(0, "1", anonymous_id="d"),
        visit(1, "2", anonymous_id="d", email=address),
        visit(2, "3", email=address, customer_id="bob"),
        visit(3, "4", customer_id="ann"),
        IdentityMerged(id="m", ids=("ann", "bob"), source="shop", time=START + 5 * DAY),
    ]
    assert theirs(facts) == {"ann": ["1", "2", "3", "4"]}
    assert not differences(facts, RULES, END)
    split = [*facts, IdentitySplit(id="s", ids=(address,), source="shop", time=START + 6 * DAY)]
    split += [visit(7, "5", email=address, customer_id="bob"), visit(8, "6", anonymous_id="d")]
    assert theirs(split) == {"ann": ["3", "4", "5"], address: ["1", "2", "6"]}
    assert not differences(split, RULES, END)


def test_a_visitor_who_was_forgotten_brings_only_what_came_since() -> None:
    """30 days without a visit, then two and a sign-up: the first visit is gone, unless they had ordered, or are announced."""
    before: list[Fact] = [visit(0, "1", anonymous_id="d")]
    since = [visit(31, "2", anonymous_id="d"), visit(33, "3", anonymous_id="d", customer_id="ann")]
    assert [one.time for one in replay([*before, *since], QUIET).changes] == [iso(START + 31 * DAY)]
    assert [one.time for one in replay([*before, *since], RULES).changes] == [iso(START)]
    ordered = order(0, "o", anonymous_id="d")
    assert replay([*before, ordered, *since], QUIET).changes[0].time == iso(START)
    for facts in ([*before, *since], [*before, ordered, *since], [*before, since[1]]):
        for rules in (RULES, QUIET):
            assert not differences(facts, rules, END)


def test_a_refund_that_names_nobody_is_the_one_s_whose_order_it_is() -> None:
    """It joins the order's customer, before or after; of an order that nobody has told of it is counted as suppressed."""
    facts: list[Fact] = [refund("o"), order(1, "o", customer_id="ann"), refund("p")]
    path = replay(facts, RULES)
    assert path.outcomes == {"accepted": 2, "suppressed": 1}
    assert path.sums == {"EUR": [1, 500, 0]}
    assert not differences(facts, RULES, END)


def test_no_more_than_a_hundred_ids_are_one_person_s() -> None:
    """The earliest hundred devices are linked; the next stays a visitor of its own."""
    facts: list[Fact] = []
    for n in range(101):
        facts += [
            visit(n / 100, f"a{n:03}", anonymous_id=f"d{n:03}"),
            visit(n / 100, f"b{n:03}", anonymous_id=f"d{n:03}", customer_id="ann"),
        ]
    found = theirs(facts[::-1])
    assert {root: len(ids) for root, ids in found.items()} == {"ann": 201, "anon:d100": 1}
    assert not differences(facts, RULES, END)


def test_order_of_the_file_does_not_show() -> None:
    """The same facts in any order are the same persons, with the same paths."""
    joined = 0
    for seed in range(20):
        chance = Random(seed)
        facts = Lives(chance, Mix(crossed=0.3, merges=0.1, splits=0.1)).events(30)
        once = theirs(facts)
        chance.shuffle(facts)
        assert theirs(facts) == once
        joined += len({key_of(fact) for fact in facts}) - len(once)
    assert joined > 50, "many ids are of somebody who has another"


def test_who_was_split_from_an_address_is_not_linked_by_an_event_that_names_it() -> None:
    """In one event a customer is first seen with an address, and with a device that was split from that."""
    address = f"email:{'0' * 32}"
    facts: list[Fact] = [
        visit(0, "1", anonymous_id="d", email=address),
        IdentitySplit(id="s", ids=("anon:d",), source="shop", time=START + DAY),
        visit(2, "2", anonymous_id="d", email=address, customer_id="ann"),
        visit(3, "3", anonymous_id="d"),
    ]
    assert theirs(facts) == {"ann": ["1", "2"], "anon:d": ["3"]}
    assert not differences(facts, RULES, END)
