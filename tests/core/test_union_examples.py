"""What the union of fact sets makes of visits of two devices, orders told twice, ids, and what was let go."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lifestage.cause import Cause, Clock, Rules
from lifestage.conditions import Compare, Plan, Stage
from lifestage.evidence import evidence_of
from lifestage.facts import Fact, FeedbackReceived, OrderUpdated, SubscriptionStarted, TrialEnded, TrialStarted
from lifestage.fold import fold
from lifestage.look import Look
from lifestage.operands import OPERANDS
from lifestage.plan import Compiled
from lifestage.profile import Kin, Move, Profile, encode
from lifestage.replay import Path
from lifestage.seen import ENTRY, SEEN_MAX, has_seen, id_hash, remember
from lifestage.signals import keeping
from lifestage.standing import MANY
from lifestage.step import add_to_part, take
from lifestage.union import FACTS, adopt, facts_of, forget_places, is_empty, sums, united
from tests.core.dealing import as_before
from tests.core.histories import RULES, START, cancel, mail, order, refund, visit
from tests.core.oracle import DAY
from tests.core.samples import EVENTS, accepted

EVERY = keeping([(operand.reads, 400 * DAY) for operand in OPERANDS.values()], ("plan", "seats", "vip"), 1)
"""All that any plan may ask of the last 400 days is kept."""
LONG_AGO = -(1 << 50)


def folded(*facts: Fact, horizon: int = LONG_AGO) -> Profile:
    """A set of facts of which any plan may ask anything."""
    profile = Profile()
    for offset, fact in enumerate(facts):
        hashed = id_hash(fact.source, fact.id, b"key")
        fold(profile, fact, offset, b"key", EVERY, horizon, hashed)
        remember(profile, hashed, fact.time, horizon)
        profile.newest = max(fact.time, profile.newest or 0)
    return profile


def all_of(*parts: Profile, horizon: int = LONG_AGO) -> Profile:
    """Their union."""
    return united(parts, EVERY, horizon)


def test_twelve_visits_on_two_devices_are_twelve() -> None:
    """Visits of two devices add up, a visit that both sent counts once, two visits at one instant are two."""
    phone = folded(*(visit(day, f"p{day}") for day in range(6)), visit(9, "both"))
    desk = folded(*(visit(day, f"d{day}") for day in range(5)), visit(9, "both"))
    one = Look(all_of(phone, desk), START + 9 * DAY)
    assert one.count("visits", None) == 12
    assert one.count("visits", 4 * DAY) == 1
    assert one.days("visits", 30 * DAY) == 7


def test_an_order_told_twice_is_one_and_its_refunds_count_once() -> None:
    """Of two completions the smaller (time, event) counts, and so for a refund; updates once each; the first cancellation."""
    placed, again = order(2, "b", "o1", 700), order(1, "c", "o1", 500)
    back, sooner = refund(5, "r", "o1", 100), replace(refund(4, "s", "o1", 250), refund_id="r-r")
    changed = OrderUpdated(time=START + 3 * DAY, source="shop", id="u", customer_id="c1", order_id="o1",
                           currency="EUR", total_minor=900, net_minor=800)  # fmt: skip
    one, other = folded(placed, back, changed), folded(changed, again, sooner)
    both = all_of(one, other)
    assert encode(all_of(other, one)) == encode(both)
    (kept_order,) = both.orders
    assert (kept_order.time, kept_order.total_minor, kept_order.event) == (again.time, 500, "c")
    assert [(version.event, version.net_minor) for version in kept_order.later] == [("u", 800)]
    assert [(given.time, given.amount_minor) for given in kept_order.refunds] == [(sooner.time, 250)]
    assert sums(both) == {"EUR": (1, 900, 550)}
    called_off = all_of(both, folded(cancel(8, "x", "o1")), folded(cancel(7, "y", "o1")))
    assert called_off.orders[0].cancelled_at == START + 7 * DAY
    assert sums(called_off) == {"EUR": (1, 900, 0)}


def test_what_the_sets_hold_twice_is_no_money() -> None:
    """The sums of the sets less those of their union are what was counted twice, in each currency by itself."""
    dollars = replace(order(3, "d", "o2", 400), currency="USD")
    one, other = folded(order(1, "a", "o1"), dollars), folded(order(1, "a", "o1"), refund(2, "r", "o3"))
    assert [sums(one), sums(other)] == [{"EUR": (1, 1000, 1000), "USD": (1, 400, 400)}, {"EUR": (1, 1000, 1000)}]
    assert sums(all_of(one, other)) == {"EUR": (1, 1000, 1000), "USD": (1, 400, 400)}


def test_a_trial_begins_with_its_first_start_and_ends_with_its_first_end() -> None:
    """Begin and planned end are those of the start with the smallest (time, event), wherever the end came."""
    first = TrialStarted(time=START, source="shop", id="b", customer_id="c1", trial_id="t", ends_at=START + DAY)
    later = replace(first, time=START + 5, id="a", ends_at=START + 9 * DAY)
    ended = TrialEnded(time=START + 7, source="shop", id="e", customer_id="c1", trial_id="t")
    (trial,) = all_of(folded(later), folded(first, replace(ended, time=START + 8, id="f")), folded(ended)).trials
    assert (trial.started, trial.event, trial.ends, trial.ended) == (START, "b", START + DAY, START + 7)


def test_silences_between_visits_of_two_devices() -> None:
    """Old runs of activity that lie closer than any silence that is asked become one; what lies apart stays apart."""
    gap, day = 10 * DAY, [START + n * DAY for n in range(100)]
    one = Profile(activity=[day[0], day[5], day[40], day[45]], recent=[day[60]])
    other = Profile(activity=[day[15], day[30]], recent=[day[44], day[46], day[50], day[70]])
    found = united([one, other], keeping([], (), gap), day[50])
    # a silence as long as the gap stays one
    assert (found.activity, found.recent) == ([day[0], day[5], day[15], day[30], day[40], day[50]], [day[60], day[70]])
    assert encode(found) == encode(united([other, one], keeping([], (), gap), day[50]))
    nearer = united([other, one, Profile(recent=[day[6]])], keeping([], (), gap), day[39])
    assert nearer.activity == [day[0], day[30], day[40], day[45]]
    assert nearer.recent == [day[46], day[50], day[60], day[70]]


def test_things_seen_and_answers_given_under_several_ids() -> None:
    """Different sessions are counted once each wherever they were seen; the latest answer is that of all."""
    one = folded(replace(visit(1, "a"), session_id="x"), replace(visit(2, "b"), session_id="y"), answer(3, "c", 9.0))
    other = folded(replace(visit(2, "d"), session_id="z"), replace(visit(4, "e"), session_id="x"), answer(2, "f", 2.0))
    found = all_of(other, one, other)
    look = Look(found, START + 5 * DAY)
    assert (look.distinct("sessions", 30 * DAY), look.distinct("sessions", 2 * DAY)) == (3, 1)
    assert (look.score("nps", None), Look(found, START + 2 * DAY).score("nps", None)) == (9000, 2000)
    assert [len(found.distinct["sessions"]), len(found.said["nps"])] == [4, 2]


def answer(day: float, id: str, score: float) -> FeedbackReceived:
    """An answer to “would you recommend us”."""
    said: dict[str, Any] = {"survey_id": "q", "metric": "nps", "score": score, "scale_min": 0, "scale_max": 10}
    return FeedbackReceived(time=START + round(day * DAY), source="shop", id=id, customer_id="c1", **said)


def test_instants_that_became_a_number_add_up() -> None:
    """Of instants that were let go number, first and last are known; a visit that two sets had let go counts for two."""
    horizon = START + 600 * DAY
    one = folded(*(visit(n, f"a{n}") for n in range(30)), visit(599, "new"), horizon=horizon)
    other = folded(visit(3, "a3"), visit(599, "new"), *(visit(n + 0.5, f"b{n}") for n in range(29)), horizon=horizon)
    found = all_of(one, other, horizon=horizon)
    mark = found.marks["visits"]
    assert (one.marks["visits"].dropped, other.marks["visits"].dropped) == (25, 24)
    assert (mark.dropped, mark.first, mark.last, len(mark.kept)) == (49, START, START + 24 * DAY, 12)
    assert len(set(mark.ids) - {0}) == len(mark.offsets) == 12
    look = Look(found, horizon)
    assert (look.count("visits", None), look.since_first("visits")) == (61, 600 * DAY)
    assert look.since_last("visits") == DAY


def test_instants_without_ids_count_each() -> None:
    """What an older release kept cannot be told apart; beside it, what has ids is."""
    old, new = as_before(folded(visit(1, "a"), visit(2, "b"))), folded(visit(1, "a"), visit(3, "c"))
    assert all_of(old, new, new).marks["visits"].kept == [START + n * DAY for n in (1, 1, 2, 3)]
    fold(old, visit(1.5, "d"), 7, b"key", EVERY, LONG_AGO, id_hash("shop", "d", b"key"))
    before, id, after = old.marks["visits"].ids
    assert before == after == 0 < id
    old = as_before(old)
    assert all_of(old, old, new).marks["visits"].kept == [START + n * DAY for n in (1, 1, 1, 1.5, 1.5, 2, 2, 3)]


def test_ids_that_were_seen_are_kept_once_with_the_oldest_first() -> None:
    """Days before the horizon go; above the most that are kept the oldest go; the rest is known and prunes as ever."""
    one, other, horizon = Profile(), Profile(), START + 10 * DAY
    for n in range(SEEN_MAX - 10):
        (remember(one, _hashed(n), START + (9 + n % 5) * DAY, 0))
    for n in range(SEEN_MAX - 20, SEEN_MAX + 6_000):
        remember(other, _hashed(n), START + (9 + n % 5) * DAY, 0)
    found = all_of(one, other, horizon=horizon)
    days = [found.seen[at + 8 : at + ENTRY] for at in range(0, len(found.seen), ENTRY)]
    assert days == sorted(days)
    assert len(days) == SEEN_MAX
    assert len({found.seen[at : at + 8] for at in range(0, len(found.seen), ENTRY)}) == SEEN_MAX
    newest = [n for n in range(SEEN_MAX + 6_000) if n % 5 >= 3]
    assert all(has_seen(found, _hashed(n), horizon) for n in newest)
    few = all_of(Profile(seen=one.seen[: 20 * ENTRY]), Profile(seen=one.seen[10 * ENTRY : 30 * ENTRY]), horizon=horizon)
    assert len(few.seen) == 24 * ENTRY
    remember(few, _hashed(-1), START + 13 * DAY, START + 13 * DAY)
    assert len(few.seen) == 7 * ENTRY


def _hashed(n: int) -> bytes:
    return id_hash("shop", f"e{n}", b"key")


def test_what_was_announced_stays_and_the_facts_change() -> None:
    """Adopting replaces all facts and no other field, and nothing that was worked out of the former ones is used on."""
    many_orders = [order(n, f"e{n}", f"o{n}") for n in range(MANY + 1)]
    profile, more = folded(*many_orders), folded(*many_orders, order(200, "x", "ox"))
    assert Look(profile, START + 300 * DAY).standing == MANY + 1
    told: dict[str, Any] = {
        "stage": "conversion", "seq": 7, "due": 5, "applied": 9, "floor": 3, "kin": Kin("other"),
        "moves": [Move(1, "conversion", 7, b"")], "before": {"reach": (1, 2, 3)},
    }  # fmt: skip
    for name, value in told.items():
        setattr(profile, name, value)
    adopt(profile, facts_of(more))
    assert not profile.__dict__
    assert Look(profile, START + 300 * DAY).standing == MANY + 2
    assert {name: getattr(profile, name) for name in told} == told
    assert encode(facts_of(profile)) == encode(facts_of(more))
    assert not set(told) & set(FACTS)
    made = folded(*(replace(accepted(kind), id=kind) for kind in EVENTS))
    assert {name for name in Profile.__struct_fields__ if getattr(made, name) != getattr(Profile(), name)} <= set(FACTS)


def test_facts_alone_are_a_profile_of_nothing_else() -> None:
    """A copy of the facts has no stage and no past, and does not change with what it was made of."""
    profile = folded(visit(1, "a"), order(2, "b", "o1"))
    profile.stage, profile.seq, profile.kin = "conversion", 3, Kin()
    facts, before = facts_of(profile), encode(facts_of(profile))
    fold(profile, refund(3, "c", "o1"), 2, b"key", EVERY, LONG_AGO)
    fold(profile, visit(4, "d"), 3, b"key", EVERY, LONG_AGO)
    assert encode(facts) == before != encode(facts_of(profile))
    assert (facts.stage, facts.seq, facts.kin, facts.moves) == (None, 0, None, [])
    assert not is_empty(facts)
    assert is_empty(Profile(stage="x", seq=3, newest=START, kin=Kin("other")))
    assert is_empty(all_of())
    assert is_empty(all_of(Profile(), Profile()))


def test_a_part_remembers_the_events_that_it_was_given() -> None:
    """A fact that is added to one id's set stands in it with its id, so that the set by itself knows it again."""
    rules = Rules(Compiled(Plan("visited", 1, (Stage("visitor", 1, Compare("visits", ">=", 1)),))))
    part, whole = Profile(), Profile()
    add_to_part(part, visit(1, "a"), 4, LONG_AGO, rules)
    assert has_seen(part, id_hash("shop", "a", rules.id_key), 0)
    assert (part.newest, part.first_seen, part.reach_offset) == (START + DAY, START + DAY, 4)
    assert take(whole, "c1", visit(1, "a"), Cause(None, offset=4), Clock(), rules, Path()) == "accepted"
    assert encode(part) == encode(facts_of(whole))
    assert take(part, "c1", visit(1, "a"), Cause(None), Clock(), rules, Path()) == "duplicate"


def test_facts_of_another_log_name_no_places() -> None:
    """All offsets go, and nothing else; evidence of them then names no record."""
    told = [order(1, "a", "o1"), order(2, "b", "o2"), visit(3, "c"), mail(4, "d", "clicked"), answer(5, "e", 9.0)]
    begun = SubscriptionStarted(time=START, source="shop", id="g", customer_id="c1", subscription_id="s")
    changed = OrderUpdated(time=START + 3 * DAY, source="shop", id="u", customer_id="c1", order_id="o1",
                           currency="EUR", total_minor=900, net_minor=800)  # fmt: skip
    here, there = folded(*told, begun, changed), folded(*told, begun, changed)
    plan = RULES.plan
    forget_places(there)
    for at in range(7):
        look, other = plan.look(here, START + at * DAY), plan.look(there, START + at * DAY)
        stage = plan.stage_at(look, None)
        found = evidence_of(plan, stage, look, located=True)
        assert found.positions
        assert evidence_of(plan, stage, other, located=True) == replace(found, positions=())
    assert {mark.offsets[0] for mark in there.marks.values()} == {-1}
    assert {said.offset for every in there.said.values() for said in every} == {-1}
    assert encode(all_of(here, there)) == encode(all_of(here))


def test_of_one_instant_the_place_in_the_log_that_is_known_first_is_kept() -> None:
    """Places that are not known, as those of facts read from files, give way to those that are."""
    one, other = folded(visit(1, "a")), folded(visit(1, "b"), visit(1, "a"))
    for part, places in ((one, [-1]), (other, [5, 3])):
        part.reach_offset = part.marks["visits"].offsets[0] = places[0]
        part.marks["visits"].offsets = places
    found = all_of(one, other)
    assert found.reach_offset == 5
    assert sorted(found.marks["visits"].offsets) == [3, 5]
