"""Why a customer is where they are, why not further, and what time alone will bring: a pure function of their facts.

Every verdict is asked of the plan's own compiler, one condition at a time, so that what is told cannot differ from
what is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import msgspec

from lifestage.announce import forget_at
from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced, PlanRef
from lifestage.explain_words import asked_text, difference_text, value_of, value_text
from lifestage.facts import Fact, SubscriptionCancelled, SubscriptionChanged, TrialStarted, type_of
from lifestage.keys import key_of
from lifestage.moments import iso, parse
from lifestage.operands import OPERANDS
from lifestage.plan import Any, Compare, Compiled, Condition, Not, Plan, Stage, text_of
from lifestage.profile import Profile
from lifestage.replay import Path, in_order, time_of
from lifestage.resolve import Silence, forgotten
from lifestage.step import advance, take_together


class Compared(msgspec.Struct, frozen=True, tag="comparison", tag_field="kind"):
    """One comparison of a condition. `value` is in the unit of its fact: ms, minor units, thousandths, 1 for true."""

    condition: str
    holds: bool
    value: int | str | None
    said: str
    """The value as a person reads it."""
    missing: str | None
    """What it takes for the comparison to hold, in words; None where it holds."""
    turns_at: str | None
    """The next instant at which it turns with no further event."""


class Joined(msgspec.Struct, frozen=True, tag="joined", tag_field="kind"):
    """Several findings: all of them must hold, or any."""

    needs: Literal["all", "any"]
    holds: bool
    parts: tuple[Finding, ...]


Finding = Compared | Joined


class Verdict(msgspec.Struct, frozen=True):
    """One stage of the plan, at the instant of the explanation."""

    stage: str
    rank: int | None
    condition: str
    holds: bool
    """Whether its condition holds; the customer is in the first stage where it does."""
    higher: bool
    """Whether it is a stage of the ladder above where the customer is."""
    behind: tuple[str, ...]
    """Stages whose conditions hold and that come before it."""
    turns_at: str | None
    """The next instant at which its condition turns with no further event."""
    finding: Finding


class Effect(msgspec.Struct, frozen=True):
    """What a plan asks, before and after an instant; `said` are the two as a person reads them."""

    asked: str
    before: int | str | None
    after: int | str | None
    said: tuple[str, str]


class FactSeen(msgspec.Struct, frozen=True):
    """One fact, by its name on the wire."""

    type: str
    source: str
    id: str
    later: str | None = None
    """What it brings at a later instant by itself, in words, where the plan asks for that: `ends at …`."""


class Instant(msgspec.Struct, frozen=True):
    """The facts of one instant and what they changed in all that the plan asks; nothing where `effects` is empty."""

    at: str
    facts: tuple[FactSeen, ...]
    effects: tuple[Effect, ...]


class Next(msgspec.Struct, frozen=True):
    """What time alone brings next. `stage` None with `forgotten` false: no stage's condition will hold."""

    at: str
    in_ms: int
    stage: str | None
    forgotten: bool = False


class MemberSeen(msgspec.Struct, frozen=True):
    """An id of the customer. `past`: it is another's by now, and what came before that is here."""

    id: str
    since: str | None = None
    past: bool = False


class Explanation(msgspec.Struct, frozen=True):
    """All there is to say of one customer at one instant."""

    customer: str
    at: str
    plan: PlanRef
    stage: str | None
    since: str | None
    forgotten: bool
    forgotten_at: str | None
    stages: tuple[Verdict, ...]
    """All stages of the plan, in precedence."""
    next: Next | None
    history: tuple[Instant, ...]
    changes: tuple[Announced, ...]
    """As announced, superseded ones too."""
    pending: tuple[Announced, ...]
    """Moves that time has brought and that are not announced yet."""
    outcomes: dict[str, int]
    """Events of the customer by what became of them: accepted, duplicate, late."""
    members: tuple[MemberSeen, ...] = ()
    """The other ids that are the customer's."""
    asked: MemberSeen | None = None
    """The id that was asked for, where it is another than `customer`."""


def explain(key: str, facts: Iterable[Fact], rules: Rules, at: int, silences: Sequence[Silence] = ()) -> Explanation:
    """Explain a customer from facts in any order, as of `at` (ms, inclusive), as file replay sees them.

    `silences` are those of the customer's ids before they were linked; what was forgotten by then does not count.

    One of them at least is no later than `at`: before that nobody stands anywhere, whatever a condition says of nothing.
    """
    held = rules.plan.plan.forget_anonymous
    gone = forgotten(silences, None if rules.announce_anonymous else held, held)
    if gone is not None:
        facts = [fact for fact in facts if not gone.has(key_of(fact) or "", fact)]
    course = _course(key, facts, rules, at)
    return _explanation(key, course.profile, rules, at, course, course.path.changes, [])


def explain_folded(
    key: str, profile: Profile, facts: Iterable[Fact], changes: Sequence[Announced], rules: Rules, at: int
) -> Explanation:
    """Explain a customer from what a fold of the log made of them: `profile`, which is ours to change, and `changes`.

    `facts` are those that were accepted; none is later than `at` (ms, inclusive).
    """
    path = Path()
    advance(profile, key, at + 1, Cause(None), Clock(), rules, path)
    return _explanation(key, profile, rules, at, _course(key, facts, rules, at), changes, path.changes)


class Course(NamedTuple):
    """A customer's facts in order of time, and what each instant told the plan."""

    profile: Profile
    path: Path
    history: list[Instant]
    outcomes: Counter[str]


def _course(key: str, facts: Iterable[Fact], rules: Rules, at: int) -> Course:
    leaves = questions(rules.plan)
    reads = {OPERANDS[leaf.operand].reads for leaf in leaves}
    unlimited = rules._replace(lateness=1 << 60)
    profile, path, clock = Profile(), Path(), Clock()
    course = Course(profile, path, [], Counter())
    for t, group in groupby(in_order(fact for fact in facts if fact.time <= at), key=time_of):
        together = list(group)
        advance(profile, key, t, Cause(None), clock, unlimited, path)
        before = _values(rules.plan, profile, t, leaves)
        outcomes = take_together(profile, key, together, clock, unlimited, path)
        course.outcomes.update(outcomes)
        taken = [fact for fact, outcome in zip(together, outcomes, strict=True) if outcome == "accepted"]
        if taken:
            after = _values(rules.plan, profile, t, leaves)
            seen = tuple(FactSeen(type_of(fact), fact.source, fact.id, _later(fact, reads)) for fact in taken)
            course.history.append(Instant(iso(t), seen, _effects(leaves, before, after)))
    advance(profile, key, at + 1, Cause(None), clock, unlimited, path)
    return course


def _later(fact: Fact, reads: Collection[str]) -> str | None:
    """What a fact brings by itself after its own instant, of that which is read."""
    if isinstance(fact, SubscriptionCancelled | SubscriptionChanged):
        at = fact.effective_at
        asked = not {"subscriptions", "purchases"}.isdisjoint(reads)
        word = "ends" if isinstance(fact, SubscriptionCancelled) else "in force"
        return f"{word} at {iso(at)}" if asked and at is not None and at > fact.time else None
    if isinstance(fact, TrialStarted) and "trials" in reads:
        words = (("begins", fact.starts_at), ("ends", fact.ends_at))
        return ", ".join(f"{word} at {iso(at)}" for word, at in words if at is not None and at > fact.time) or None
    return None


def questions(plan: Compiled) -> tuple[Compare, ...]:
    """One comparison for each thing that a plan asks: by fact, window and currency."""
    found: dict[str, Compare] = {}
    for asked in plan.asked.values():
        for leaf in asked.leaves:
            found.setdefault(asked_text(leaf), leaf)
    return tuple(found.values())


def _values(plan: Compiled, profile: Profile, t: int, leaves: Iterable[Compare]) -> list[int | str | None]:
    look = plan.look(profile, t)
    return [value_of(look, leaf) for leaf in leaves]


def _effects(
    leaves: Sequence[Compare], before: Sequence[int | str | None], after: Sequence[int | str | None]
) -> tuple[Effect, ...]:
    return tuple(
        Effect(asked_text(leaf), was, now, (value_text(leaf, was), value_text(leaf, now)))
        for leaf, was, now in zip(leaves, before, after, strict=True)
        if was != now
    )


def _explanation(
    key: str,
    profile: Profile,
    rules: Rules,
    at: int,
    course: Course,
    changes: Sequence[Announced],
    pending: Sequence[Announced],
) -> Explanation:
    plan, forgotten = rules.plan, profile.newest is None
    silence = plan.plan.forget_anonymous
    gone = parse(course.history[-1].at) + silence if forgotten and course.history and silence is not None else None
    return Explanation(
        customer=key,
        at=iso(at),
        plan=PlanRef(plan.plan.id, plan.plan.version, plan.hash),
        stage=profile.stage,
        since=iso(profile.moves[-1].at) if profile.moves else None,
        forgotten=forgotten,
        forgotten_at=None if gone is None else iso(gone),
        stages=verdicts(plan, profile, at),
        next=_next(profile, key, rules, at),
        history=tuple(course.history),
        changes=tuple(changes),
        pending=tuple(pending),
        outcomes=dict(course.outcomes),
    )


def _next(profile: Profile, key: str, rules: Rules, at: int) -> Next | None:
    turn = rules.plan.next_turn(rules.plan.look(profile, at), profile.stage)
    leaving = forget_at(profile, key, rules)
    if leaving is not None and leaving > at and (turn is None or leaving <= turn[0]):
        return Next(iso(leaving), leaving - at, None, forgotten=True)
    return None if turn is None else Next(iso(turn[0]), turn[0] - at, turn[1])


def verdicts(plan: Compiled, profile: Profile, at: int) -> tuple[Verdict, ...]:
    """Every stage of the plan in precedence, as of `at` (ms), to which the profile has come; no fact of it is later."""
    asked = Asked(plan.plan, profile, at)
    height = -len(plan.plan.stages) - 1 if profile.stage is None else plan.height[profile.stage]
    found: list[Verdict] = []
    for one in plan.plan.stages:
        finding, (holds, turns_at) = asked.finding(one.when, positive=True), asked.ask(one.when)
        found.append(
            Verdict(
                one.name, one.rank, text_of(one.when), holds,
                higher=one.rank is not None and plan.height[one.name] > height,
                behind=tuple(earlier.stage for earlier in found if earlier.holds),
                turns_at=turns_at,
                finding=finding,
            )
        )  # fmt: skip
    return tuple(found)


class Asked:
    """One profile at one instant, of which single conditions are asked as if each were a plan of its own."""

    def __init__(self, plan: Plan, profile: Profile, at: int) -> None:
        self._plan = msgspec.structs.replace(plan, forward_only=False)
        self._profile, self._at = profile, at
        self._look = Compiled(self._plan).look(profile, at)

    def ask(self, condition: Condition) -> tuple[bool, str | None]:
        """Whether it holds, and the next instant at which that changes with no further event."""
        alone = Compiled(msgspec.structs.replace(self._plan, stages=(Stage("holds", 1, condition),)))
        look = alone.look(self._profile, self._at)
        holding = alone.holding(look)
        turn = alone.next_turn(look, holding)
        return holding is not None, None if turn is None else iso(turn[0])

    def finding(self, condition: Condition, *, positive: bool) -> Finding:
        """The condition, or its opposite, taken apart down to comparisons."""
        if isinstance(condition, Not):
            return self.finding(condition.of, positive=not positive)
        if isinstance(condition, Compare):
            return self._compared(condition, positive=positive)
        parts = tuple(self.finding(part, positive=positive) for part in condition.of)
        # not (a and b) is (not a) or (not b)
        if isinstance(condition, Any) == positive:
            return Joined("any", any(part.holds for part in parts), parts)
        return Joined("all", all(part.holds for part in parts), parts)

    def _compared(self, leaf: Compare, *, positive: bool) -> Compared:
        condition: Condition = leaf if positive else Not(leaf)
        holds, turns_at = self.ask(condition)
        value = value_of(self._look, leaf)
        missing = None if holds else difference_text(leaf, value, self._at, turns_at, positive=positive)
        return Compared(text_of(condition), holds, value, value_text(leaf, value), missing, turns_at)
