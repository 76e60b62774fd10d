"""Any plan, all kinds of facts: the path is what the brute force says, however the facts arrive."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plan_files import sheet_of, shipped
from lifestage.change import Announced, encode_value
from lifestage.conditions import Compare, Plan, Stage, leaves
from lifestage.facts import LEDGER, TYPES, Fact
from lifestage.moments import parse
from lifestage.operands import OPERANDS
from lifestage.replay import replay
from tests.core import oracle_plans as oracle
from tests.core.effort import effort
from tests.core.histories import WEEK, Tick, partition, record, records, standing_moves
from tests.core.histories_all import (
    Case,
    Log,
    a_fact,
    arrivals,
    cases,
    crowds,
    followed,
    happened,
    logs,
    many,
    outcomes,
)
from tests.core.oracle_plans import DAY, SIGNALS
from tests.core.plans_all import ALL_KINDS, CLASSES, LEDGER_KINDS, OF_IDS, kinds_asked

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
any_case = st.one_of(cases(), cases(), cases(SHIPPED))
any_log = st.one_of(logs(cases()), logs(cases()), logs(cases(SHIPPED)), crowds())
ends = st.sampled_from((1, 2, DAY, 90 * DAY, 91 * DAY, 200 * DAY, 500 * DAY))
FAR = 3650 * DAY
CUSTOMER = "c1"


def moves_of_file(case: Case, end: int) -> list[tuple[int, str | None]]:
    """What a file replay announces of the one whose facts these are."""
    return standing_moves(changes_of_file(case, end))


def changes_of_file(case: Case, end: int) -> list[Announced]:
    """The changes of the one whose facts these are, and not of those whom they referred."""
    return [change for change in replay(case.facts, case.rules, end).changes if change.partitionkey == CUSTOMER]


def end_of(items: list[Fact] | list[Fact | Tick], after: int = 0) -> int:
    """An instant so long after the newest of all."""
    return max(item.time for item in items) + after


def told(changes: list[Announced]) -> list[bytes]:
    """Changes as bytes."""
    return list(map(encode_value, changes))


def test_every_kind_and_every_fact_of_the_language_is_tried() -> None:
    """The histories have all kinds of facts but those about ids alone, and the plans ask whatever can be asked."""
    assert {*ALL_KINDS, *OF_IDS} == set(TYPES.values()) == set(CLASSES)
    names = {f"{before}{one}{after}" for _, (one, _) in SIGNALS.items() for before, after in FORMS} | set(SIGNALS)
    assert names < set(OPERANDS)
    assert set(OPERANDS) - names == OTHERS


FORMS = (("", "_days"), ("since_last_", ""), ("since_first_", ""))
OTHERS = {
    "reached", "acquired", "customer", "standing_orders", "order_days", "since_last_order", "since_first_order",
    "since_last_purchase", "net_revenue", "subscribed", "active_subscription", "subscription_renewals",
    "subscription_lapsed", "subscription_expanded", "mrr", "trial_running", "accounts_closed", "since_last_activity",
    "sessions", "features", "nps", "csat", "ces", "lead_score", "rating", "points", "trait", "trait_number",
}  # fmt: skip


WINDOWS = tuple(days * DAY for days in (1, 2, 10, 29, 30, 60, 90, 180))


def some_comparison(name: str, chance: Random) -> Compare:
    """A comparison with a fact, of values that matter."""
    operand, of, value = OPERANDS[name], None, chance.randrange(4)
    op = chance.choice((">=", ">", "<=", "<", *(() if operand.unit == "ms" else ("==", "!="))))
    if operand.unit == "ms":
        value = chance.choice(WINDOWS)
    elif operand.unit == "flag":
        op, value = chance.choice(("==", "!=")), 1
    elif operand.unit in {"score", "number"}:
        value = chance.choice((0, 1000, 4000, 5000, 7125, 9000, 10_000, 40_500))
    elif operand.unit == "money":
        value, of = chance.choice((0, 500, 1000, 2000, 2500)), chance.choice(("EUR", "EUR", "USD"))
    if name.startswith("trait"):
        of = chance.choice(("plan", "seats"))
    windowed = operand.window == "must" or (operand.window == "may" and chance.random() < 0.5)
    window = chance.choice(WINDOWS) if windowed else None
    if operand.unit == "text":
        return Compare(name, chance.choice(("==", "!=")), chance.choice(("pro", "basic")), window, of)
    return Compare(name, op, value, window, of)


@pytest.mark.parametrize("name", sorted(OPERANDS))
def test_each_fact_of_the_language_by_itself(name: str) -> None:
    """A plan of one comparison: with each fact, over many histories of what it is about, the path is the brute force's."""
    chance = Random(name)
    for _ in range(effort(300).max_examples // 20):
        leaf = some_comparison(name, chance)
        plan = Plan("one", 1, (Stage("s1", 1, leaf),), day_zone=chance.choice((0, 0, 7_200_000)))
        case = Case(plan, happened(chance, kinds_asked(plan), chance.randrange(2, 9)))
        end = end_of(case.facts, 200 * DAY)
        assert moves_of_file(case, end) == oracle.path(plan, case.facts, end), case
        live = partition(case.rules).fold(records([*chance.sample(case.facts, len(case.facts)), Tick(end)]))
        assert standing_moves(live) == moves_of_file(case, end), case


@many
@given(any_case, ends)
def test_a_plan_means_what_its_facts_say(case: Case, after: int) -> None:
    """A file replay has exactly the moves of the brute force, at their instants, under random and under shipped plans."""
    end = end_of(case.facts, after)
    assert moves_of_file(case, end) == oracle.path(case.plan, case.facts, end)


@many
@given(any_log, st.data())
def test_any_order_of_arrival_is_the_file(log: Log, data: st.DataObject) -> None:
    """Two arrivals of the same facts within the lateness end in the same stage and, superseded changes taken out, the file's path."""
    other = data.draw(arrivals(log.case.facts))
    end = end_of([*log.items, *other])
    path = moves_of_file(log.case, end)
    for items in ([*log.items, Tick(end)], [*other, Tick(end)]):
        changes = partition(log.case.rules).fold(records(items))
        assert standing_moves(changes) == path
        assert (changes[-1].data.stage if changes else None) == (path[-1][1] if path else None)


@many
@given(any_log)
def test_the_announced_history_is_the_path_after_each_record(log: Log) -> None:
    """After every record what is announced, superseded changes taken out, is the path up to the last tick and the newest fact."""
    changes: list[Announced] = []
    for noted in followed(log):
        changes += noted.changes
        if noted.facts:
            assert standing_moves(changes) == moves_of_file(log.case._replace(facts=noted.facts), noted.reached + 1)
        assert "correction" not in [change.data.kind for change in noted.changes] or len(noted.changes) == 1


@many
@given(any_log, st.data())
def test_two_halves_are_the_whole(log: Log, data: st.DataObject) -> None:
    """Kept and taken up again between any two records, the changes and the profile are the same bytes, as in a second reading."""
    history, rules = records(log.items), log.case.rules
    cut = data.draw(st.integers(0, len(history)))
    first, second, whole, again = (partition(rules) for _ in range(4))
    changes = first.fold(history[:cut])
    kept = first.checkpoint()
    for key, value in kept.profiles.items():
        second.restore(key, value)
    second.restore(b"\x00marker", kept.marker)
    second.recovered()
    changes += second.fold(history)
    expected = told(whole.fold(history))
    assert told(changes) == expected == told(again.fold(history))
    end = whole.checkpoint()
    assert again.checkpoint() == end
    assert {**kept.profiles, **second.checkpoint().profiles} == end.profiles


@many
@given(any_log)
def test_numbers_and_links(log: Log) -> None:
    """seq is 1, 2, 3 …; each change starts from the stage of the one before; at most one that stands at each instant."""
    changes = partition(log.case.rules).fold(records(log.items))
    assert [change.data.seq for change in changes] == list(range(1, len(changes) + 1))
    assert [change.data.previous_stage for change in changes] == [None, *(c.data.stage for c in changes)][:-1]
    assert len({change.id for change in changes}) == len(changes)
    assert all(a < b for (a, _), (b, _) in pairwise(standing_moves(changes)))
    assert all(c.data.stage != c.data.previous_stage for c in changes if c.data.kind != "correction")


@many
@given(any_case)
def test_a_file_foretells_what_time_will_do(case: Case) -> None:
    """`next_due_at` and `next_due_stage` of a change are what follows if nothing more happens; null: nothing follows."""
    for change in changes_of_file(case, end_of(case.facts, FAR)):
        at = parse(change.data.entered_at)
        known = case._replace(facts=[fact for fact in case.facts if fact.time <= at])
        later = [move for move in moves_of_file(known, at + FAR) if move[0] > at]
        foretold = change.data.next_due_at
        assert (None if foretold is None else (parse(foretold), change.data.next_due_stage)) == next(iter(later), None)


@many
@given(any_log, st.data())
def test_the_live_log_foretells_what_time_will_do(log: Log, data: st.DataObject) -> None:
    """The same of the newest change, wherever the log stops and whatever came late."""
    cut = data.draw(st.integers(1, len(log.items)))
    silent, last = partition(log.case.rules), log.items[cut - 1]
    changes = silent.fold(records(log.items)[:cut])
    if not changes or changes[-1].data.trigger.offset != cut - 1:
        return
    newest = changes[-1].data
    # a timer that fired before the last fact was folded knew nothing of it
    if isinstance(last, Tick) or newest.kind == "correction" or parse(newest.entered_at) >= last.time:
        later = silent.fold([record(cut, Tick(end_of(log.items, FAR)))])
        then = (later[0].data.entered_at, later[0].data.stage) if later else (None, None)
        assert (newest.next_due_at, newest.next_due_stage) == then


@many
@given(any_case.filter(lambda case: not case.plan.forward_only), st.data())
def test_what_comes_too_late(case: Case, data: st.DataObject) -> None:
    """Older than the lateness: of orders, subscriptions and accounts it amends the present, and what follows, by one
    correction; the announced past stays. Anything else is counted late and changes nothing."""
    items = sorted(oracle.distinct(case.facts), key=lambda f: (f.time, f.source, f.id))
    tick = Tick(end_of(items, WEEK + 1 + data.draw(st.sampled_from((0, 1, 30 * DAY, 90 * DAY)))))
    whole = partition(case.rules)
    before = whole.fold(records([*items, tick]))
    stage = before[-1].data.stage if before else None
    accepted = outcomes(whole)
    late = data.draw(a_fact(99, [*LEDGER_KINDS, *kinds_asked(case.plan)]).filter(lambda f: f.time < tick.time - WEEK))
    changes = whole.fold([record(len(items) + 1, late)])
    if not isinstance(late, LEDGER):
        assert (changes, outcomes(whole)) == ([], {**accepted, "late": 1})
        return
    now = oracle.stage_at(case.plan, [*items, late], tick.time - 1)
    assert [change.data.kind for change in changes] in ([], ["correction"])
    assert (changes[-1].data.stage if changes else stage) == now
    past = standing_moves(before)[:-1]
    assert standing_moves([*before, *changes])[: len(past)] == past
    end = tick.time + 400 * DAY
    after = [move for move in oracle.path(case.plan, [*items, late], end) if move[0] >= tick.time]
    assert [(parse(c.data.entered_at), c.data.stage) for c in whole.fold([record(len(items) + 2, Tick(end))])] == after


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_plan_asks_only_what_is_tried(name: str) -> None:
    """Histories for a shipped plan hold the kinds that it asks about."""
    plan = sheet_of(name).plan
    assert set(kinds_asked(plan)) <= set(ALL_KINDS)
    assert all(leaf.operand in OTHERS or leaf.operand in comparable() for s in plan.stages for leaf in leaves(s.when))


def comparable() -> set[str]:
    """All facts that signals give."""
    return {f"{a}{one}{z}" for one, _ in SIGNALS.values() for a, z in FORMS} | set(SIGNALS)
