"""Facts that came under several ids are judged as if all had come under one."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lifestage.conditions import leaves
from lifestage.evidence import evidence_of
from lifestage.operands import OPERANDS
from lifestage.plan import Compiled
from lifestage.profile import Profile, encode
from lifestage.union import facts_of, sums, united
from tests.core import oracle_plans as oracle
from tests.core.dealing import (
    BESIDE,
    SETS,
    Dealt,
    Hand,
    any_deal,
    as_before,
    chances,
    deals,
    one_hand,
    some_hands,
    some_log,
)
from tests.core.effort import effort
from tests.core.histories import Tick
from tests.core.histories_all import Log, crowds
from tests.core.oracle_plans import DAY

often = effort(200)


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
    told = {currency: tuple(amounts) for currency, amounts in deal.sums.items() if any(amounts)}
    assert sums(union(deal)) == told


@often
@given(some_log, chances)
def test_the_path_of_a_union_is_the_brute_force_of_its_facts(log: Log, chance: Random) -> None:
    """Judged at every turn, the union of sets that nobody ever folded together has the moves of the plain words."""
    hand = Hand(log)
    for offset, item in enumerate(hand.items):
        hand.fold(item, offset, some_hands(chance))
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
@given(any_deal, chances)
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
@given(deals(some_log), chances)
def test_a_set_that_comes_twice_counts_once(deal: Dealt, chance: Random) -> None:
    """A set beside itself, or beside a union that it is in, adds nothing."""
    again = [*deal.parts, chance.choice([*deal.parts, union(deal)])]
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
    log, chance = draw(st.one_of(some_log, crowds())), draw(chances)
    hands = one_hand if len(log.items) > SETS * 10 else some_hands
    return Hand(log), [hands(chance) for _ in log.items], draw(st.integers(0, len(log.items)))


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
@given(st.one_of(some_log, crowds()), chances)
def test_sets_kept_beside_their_union_give_it_again(log: Log, chance: Random) -> None:
    """Where facts that count in the union are added to the sets of their ids, the sets give the union."""
    hand = Hand(log)
    for offset, item in enumerate(hand.items):
        hand.keep(item, offset, chance.randrange(SETS))
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
