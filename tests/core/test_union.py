"""Facts that came under several ids are judged as if all had come under one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from config.plan_files import sheet_of, shipped
from lifestage.cause import Cause, Clock, Rules
from lifestage.conditions import leaves
from lifestage.evidence import evidence_of
from lifestage.facts import (
    Consent,
    Context,
    Fact,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderUpdated,
    TrialEnded,
    TrialStarted,
)
from lifestage.fold import fold
from lifestage.look import Look
from lifestage.operands import OPERANDS
from lifestage.plan import Compiled
from lifestage.profile import Kin, Move, Profile, decode, encode
from lifestage.replay import Path
from lifestage.seen import ENTRY, SEEN_MAX, has_seen, id_hash, remember
from lifestage.signals import keeping
from lifestage.standing import MANY
from lifestage.step import AMENDED, add_to_part, take
from lifestage.union import FACTS, adopt, facts_of, is_empty, sums, united
from tests.core import oracle_plans as oracle
from tests.core.effort import effort
from tests.core.histories import RULES, START, Tick, cancel, order, refund, visit
from tests.core.histories_all import Log, cases, crowds, logs
from tests.core.oracle_plans import DAY

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
some_log = st.one_of(logs(cases()), logs(cases()), logs(cases(SHIPPED)))
often = effort(200)
SETS = 4
ORDER_KINDS = (OrderCompleted, OrderUpdated, OrderRefunded, OrderCancelled)
BESIDE = {"newest", "seen"}
"""What remembers, too, the second event that tells the same of an order where it came to another set than the first."""


class Dealt(NamedTuple):
    """Facts in several sets, and all of them in one."""

    rules: Rules
    whole: Profile
    parts: list[Profile]
    horizon: int
    sums: dict[str, list[int]]
    """What the one set told the company's sums."""


class Hand:
    """Profiles that facts are folded into as they arrive."""

    def __init__(self, log: Log) -> None:
        self.rules, self.items = log.case.rules, log.items
        self.clock, self.tally = Clock(), Path()
        self.whole, self.parts = Profile(), [Profile() for _ in range(SETS)]

    @property
    def horizon(self) -> int:
        """Up to where everything may still be asked."""
        return self.clock.time - self.rules.lateness

    def fold(self, item: Fact | Tick, offset: int, to: Sequence[int]) -> None:
        """Let one item arrive at the whole and at some of the sets, each time a little later in the log."""
        if isinstance(item, Tick):
            self.clock = Clock(max(item.time, self.clock.time))
            return
        for copy in range(len(to)):
            self._take(self.whole, item, SETS * offset + copy, self.tally)
        for copy, hand in enumerate(to):
            self._take(self.parts[hand], item, SETS * offset + copy, Path())

    def keep(self, item: Fact | Tick, offset: int, to: int) -> None:
        """Let one item arrive at the whole, and keep it in one set if it counts."""
        if isinstance(item, Tick):
            self.clock = Clock(max(item.time, self.clock.time))
        elif self._take(self.whole, item, offset, self.tally) in ("accepted", AMENDED):
            add_to_part(self.parts[to], item, offset, self.horizon, self.rules)

    def _take(self, profile: Profile, fact: Fact, offset: int, tally: Path) -> str:
        return take(profile, "c1", fact, Cause(fact, "log", 0, offset), self.clock, self.rules, tally)

    def dealt(self) -> Dealt:
        """What has come of it; the sets have been kept and read again."""
        parts = [decode(encode(facts_of(part))) for part in self.parts if not is_empty(part)]
        return Dealt(self.rules, self.whole, parts, self.horizon, self.tally.sums)


def attributed(draw: st.DrawFn, item: Fact) -> Fact:
    """A fact that may say where it came from, what the customer allows and to which account it belongs.

    Orders say none: of two events that tell the same of one, the second is no fact.
    """
    if isinstance(item, ORDER_KINDS) or draw(st.integers(0, 2)):
        return item
    said = Context(source=draw(st.sampled_from(("ad", "mail"))))
    consent = Consent(draw(st.sampled_from((None, True, False))), draw(st.sampled_from((None, True, False))))
    account = item.account_id or draw(st.sampled_from((None, "a0", "a1")))
    return replace(item, context=said, consent=consent, account_id=account)


_one = st.integers(0, SETS - 1).map(lambda hand: [hand])
_some = st.one_of(_one, _one, st.lists(st.integers(0, SETS - 1), min_size=2, max_size=3, unique=True))


@st.composite
def deals(draw: st.DrawFn, log: st.SearchStrategy[Log], hands: st.SearchStrategy[list[int]] = _some) -> Dealt:
    """Facts that arrive in sets of their own, some in several."""
    drawn = draw(log)
    hand = Hand(drawn)
    facts = {fact.id: attributed(draw, fact) for fact in drawn.case.facts}
    for offset, item in enumerate(drawn.items):
        hand.fold(item if isinstance(item, Tick) else facts[item.id], offset, draw(hands))
    return hand.dealt()


crowded = deals(crowds(), _one)
"""So many that a set lets old instants go, which then are a number and cannot be told apart: each in one set."""
any_deal = st.one_of(deals(some_log), deals(some_log), crowded)


def union(deal: Dealt) -> Profile:
    """The sets of a deal as one."""
    return united(deal.parts, deal.rules.plan.keep, deal.horizon)


def said(profile: Profile, plan: Compiled, t: int, *, located: bool) -> list[object]:
    """All that a plan says of a profile at an instant, and why; `located`: by which places in the log."""
    look = plan.look(profile, t)
    asked = dict.fromkeys(leaf for stage in plan.plan.stages for leaf in leaves(stage.when))
    found: list[object] = [(leaf, OPERANDS[leaf.operand].value(look, leaf)) for leaf in asked]
    stage = plan.stage_at(look, None)
    found += [stage, evidence_of(plan, stage, look, located=located)]
    found += [look.customer, look.reached, look.acquired, look.standing, look.last_order, look.last_purchase]
    return found


def instants(deal: Dealt, *profiles: Profile) -> list[int]:
    """From the horizon on, all instants at which the plan could say something else, and those beside them."""
    turns = {at for profile in profiles for at in deal.rules.plan.turns(profile, deal.horizon - 1, None)}
    return sorted({at + beside for at in [*turns, deal.horizon] for beside in (-1, 0, 1)} - {deal.horizon - 1})


def check_alike(deal: Dealt, one: Profile, other: Profile) -> None:
    """Two profiles say the same at every instant that may still be asked, and time brings them the same."""
    plan = deal.rules.plan
    # what is a number only has no place any more, and which are so far depends on how many came together
    located = not any(mark.dropped for profile in (one, other) for mark in profile.marks.values())
    for at in instants(deal, one, other):
        assert said(one, plan, at, located=located) == said(other, plan, at, located=located)
    newest = max(at for profile in (one, other) for at in [profile.newest or 0, deal.horizon])
    stage = plan.judge(one, newest, None)
    assert plan.next_turn(plan.look(one, newest), stage) == plan.next_turn(plan.look(other, newest), stage)


def kept(profile: Profile, but: Iterable[str] = ()) -> bytes:
    """The facts of a profile as bytes, but for some fields."""
    found = facts_of(profile)
    for name in but:
        setattr(found, name, getattr(Profile(), name))
    return encode(found)


@often
@given(any_deal)
def test_a_union_says_what_one_set_of_all_facts_says(deal: Dealt) -> None:
    """Each comparison of the plan, each stage, its evidence and what time brings are those of one fold of the facts."""
    check_alike(deal, union(deal), deal.whole)


@often
@given(deals(some_log))
def test_a_union_keeps_what_one_set_of_all_facts_keeps(deal: Dealt) -> None:
    """While nothing was let go, its bytes are those of one fold of the facts: each event, order and refund once."""
    whole = united([facts_of(deal.whole)], deal.rules.plan.keep, deal.horizon)
    assert kept(union(deal), BESIDE) == kept(whole, BESIDE)
    assert {name: list(found) for name, found in sums(union(deal)).items()} == deal.sums


@often
@given(some_log, st.data())
def test_the_path_of_a_union_is_the_brute_force_of_its_facts(log: Log, data: st.DataObject) -> None:
    """Judged at every turn, the union of sets that nobody ever folded together has the moves of the plain words."""
    hand = Hand(log)
    for offset, item in enumerate(hand.items):
        hand.fold(item, offset, data.draw(_some))
    deal, end = hand.dealt(), max(item.time for item in log.items) + 200 * DAY
    found, stage, plan = union(deal), None, deal.rules.plan
    path: list[tuple[int, str | None]] = []
    for at in sorted({*plan.turns(found, -1, end - 1), *(fact.time for fact in log.case.facts)}):
        now = plan.judge(found, at, stage)
        if now != stage:
            path.append((at, now))
            stage = now
    assert path == oracle.path(plan.plan, log.case.facts, end)


@often
@given(any_deal, st.randoms(use_true_random=False))
def test_a_union_knows_no_order(deal: Dealt, chance: Random) -> None:
    """Sets united in any order, two by two or all at once, with a union for a set, give the same bytes."""
    keep, horizon = deal.rules.plan.keep, deal.horizon
    expected = encode(union(deal))
    assert encode(united(chance.sample(deal.parts, len(deal.parts)), keep, horizon)) == expected
    waiting = list(deal.parts)
    while len(waiting) > 1:
        chance.shuffle(waiting)
        waiting.append(united([waiting.pop(), waiting.pop()], keep, horizon))
    assert encode(united(waiting, keep, horizon)) == expected


@often
@given(deals(some_log), st.data())
def test_a_set_that_comes_twice_counts_once(deal: Dealt, data: st.DataObject) -> None:
    """A set beside itself, or beside a union that it is in, adds nothing."""
    again = [*deal.parts, data.draw(st.sampled_from([*deal.parts, union(deal)]))]
    assert encode(united(again, deal.rules.plan.keep, deal.horizon)) == encode(union(deal))


@often
@given(any_deal)
def test_a_union_of_one_set_says_what_the_set_says(deal: Dealt) -> None:
    """What a union lays down anew, runs of activity and order among equals, nobody can ask."""
    for part in deal.parts:
        check_alike(deal, united([part], deal.rules.plan.keep, deal.horizon), part)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Hand, list[list[int]], int]:
    """A log to be dealt, to whom its facts come, and where the sets become one."""
    log = draw(st.one_of(some_log, crowds()))
    hands = _one if len(log.items) > SETS * 10 else _some
    return Hand(log), [draw(hands) for _ in log.items], draw(st.integers(0, len(log.items)))


@often
@given(lives())
def test_a_union_goes_on_like_one_set(life: tuple[Hand, list[list[int]], int]) -> None:
    """Whatever is folded into a union later, it says what one set of all facts says, and no part changes."""
    hand, dealt, cut = life
    for offset, item in enumerate(hand.items[:cut]):
        hand.fold(item, offset, dealt[offset])
    before = [encode(part) for part in hand.parts]
    one = united(hand.parts, hand.rules.plan.keep, hand.horizon)
    parts, hand.parts = hand.parts, [one]
    for offset, item in enumerate(hand.items[cut:], cut):
        hand.fold(item, offset, [0])
    check_alike(hand.dealt(), one, hand.whole)
    assert [encode(part) for part in parts] == before


@often
@given(st.one_of(some_log, crowds()), st.data())
def test_sets_kept_beside_their_union_give_it_again(log: Log, data: st.DataObject) -> None:
    """Where facts that count in the union are added to the sets of their ids, the sets give the union."""
    hand = Hand(log)
    for offset, item in enumerate(hand.items):
        hand.keep(item, offset, data.draw(st.integers(0, SETS - 1)))
    deal = hand.dealt()
    check_alike(deal, union(deal), hand.whole)
    assert sums(union(deal)) == sums(hand.whole)
    assert union(deal).newest == hand.whole.newest


@often
@given(lives())
def test_marks_of_an_older_release_count_as_they_did(life: tuple[Hand, list[list[int]], int]) -> None:
    """Sets from before instants had ids, folded into since or not, say in a union what they said: each of them once."""
    hand, dealt, cut = life
    to: dict[str, list[int]] = {}
    for offset, item in enumerate(hand.items):
        if offset == cut:
            hand.parts = [as_before(part) for part in hand.parts]
        # an event that comes again comes to the same set
        hand.fold(item, offset, to.setdefault("" if isinstance(item, Tick) else item.id, dealt[offset][:1]))
    deal = hand.dealt()
    for part in deal.parts:
        assert all(len(mark.ids) in (0, len(mark.kept)) for mark in part.marks.values())
    check_alike(deal, union(deal), hand.whole)


def as_before(part: Profile) -> Profile:
    """A profile as a release kept it that noted no ids of instants."""
    fields = to_builtins(part)
    at = [field.name for field in msgspec.structs.fields(Profile)].index("marks")
    if len(fields) > at:
        fields[at] = {name: mark[:-1] for name, mark in fields[at].items()}
    return msgspec.convert(fields, Profile)


# -- by example ----------------------------------------------------------------------------------


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
    # as long as the gap is no nearer
    assert (found.activity, found.recent) == ([day[0], day[5], day[15], day[30], day[40], day[50]], [day[60], day[70]])
    nearer = united([one, other, Profile(recent=[day[6]])], keeping([], (), gap), day[39])
    assert nearer.activity == [day[0], day[30], day[40], day[45]]
    assert nearer.recent == [day[46], day[50], day[60], day[70]]


def test_instants_that_became_a_number_add_up() -> None:
    """Of instants that were let go number, first and last are known; a visit that two sets had let go counts for two."""
    horizon = START + 600 * DAY
    one = folded(*(visit(n, f"a{n}") for n in range(30)), visit(599, "new"), horizon=horizon)
    other = folded(visit(3, "a3"), *(visit(n + 0.5, f"b{n}") for n in range(29)), visit(599, "new"), horizon=horizon)
    found = all_of(one, other, horizon=horizon)
    mark = found.marks["visits"]
    assert (one.marks["visits"].dropped, other.marks["visits"].dropped) == (25, 25)
    assert (mark.dropped, mark.first, mark.last, len(mark.kept)) == (50, START, START + 24 * DAY, 11)
    look = Look(found, horizon)
    assert (look.count("visits", None), look.since_first("visits")) == (61, 600 * DAY)
    assert look.since_last("visits") == DAY


def test_instants_without_ids_count_each() -> None:
    """What an older release kept cannot be told apart; beside it, what has ids is."""
    old, new = as_before(folded(visit(1, "a"), visit(2, "b"))), folded(visit(1, "a"), visit(3, "c"))
    assert all_of(old, new, new).marks["visits"].kept == [START + n * DAY for n in (1, 1, 2, 3)]


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
    assert Look(profile, START + 300 * DAY).standing == MANY + 2
    assert {name: getattr(profile, name) for name in told} == told
    assert encode(facts_of(profile)) == encode(facts_of(more))
    assert set(told) | set(FACTS) | {"format"} == set(Profile.__struct_fields__)


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
    assert is_empty(Profile(stage="x", seq=3, kin=Kin("other")))
    assert is_empty(all_of())
    assert is_empty(all_of(Profile(), Profile()))


def test_a_part_remembers_the_events_that_it_was_given() -> None:
    """A fact that is added to one id's set stands in it with its id, so that the set by itself knows it again."""
    part = Profile()
    add_to_part(part, visit(1, "a"), 4, LONG_AGO, RULES)
    assert has_seen(part, id_hash("shop", "a", RULES.id_key), 0)
    assert (part.newest, part.first_seen, part.reach_offset) == (START + DAY, START + DAY, 4)
    assert take(part, "c1", visit(1, "a"), Cause(None), Clock(), RULES, Path()) == "duplicate"


def test_of_one_instant_the_place_in_the_log_that_is_known_first_is_kept() -> None:
    """Places that are not known, as those of facts read from files, give way to those that are."""
    one, other = folded(visit(1, "a")), folded(visit(1, "b"), visit(1, "a"))
    for part, places in ((one, [-1]), (other, [5, 3])):
        part.reach_offset = part.marks["visits"].offsets[0] = places[0]
        part.marks["visits"].offsets = places
    found = all_of(one, other)
    assert found.reach_offset == 5
    assert sorted(found.marks["visits"].offsets) == [3, 5]
