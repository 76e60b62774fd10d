"""What an explanation says is true: of any history, each comparison, each instant named and each stage is as judged."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.plan_files import sheet_of, shipped
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.evidence import Seen
from lifestage.explain import Compared, Explanation, Finding, explain, explain_folded, questions
from lifestage.explain_words import asked_text, value_of
from lifestage.facts import Fact
from lifestage.moments import parse
from lifestage.plan import Condition, Not, Plan, signed_leaves, text_of
from lifestage.profile import Profile
from lifestage.replay import Path, replay_customer
from tests.core.histories import partition, record, thorough, times
from tests.core.histories_all import Case, Log, cases, crowds, logs
from tests.core.oracle import DAY

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
any_case = st.one_of(cases(), cases(), cases(SHIPPED))
any_log = st.one_of(logs(cases()), logs(cases(SHIPPED)), crowds())
FAR = [days * DAY + beside for days in (0, 1, 29, 30, 60, 89, 90, 180, 365, 2000) for beside in (0, 1)]


def known(case: Case, t: int) -> int:
    """t, or the first instant at which there is anything to explain."""
    return max(t, min(fact.time for fact in case.facts))


def profile_at(given: list[Fact], rules: Rules, t: int) -> Profile:
    """The profile of all facts up to t, at t."""
    profile = Profile()
    for profile in replay_customer("c1", [fact for fact in given if fact.time <= t], rules, t + 1, Path()):  # noqa: B007
        pass
    return profile


def compared(finding: Finding) -> Iterator[Compared]:
    """The comparisons of a finding."""
    if isinstance(finding, Compared):
        yield finding
    else:
        for part in finding.parts:
            yield from compared(part)


def consistent(finding: Finding) -> bool:
    """Whether a finding follows from its parts, and lacks something where it does not hold, there alone."""
    if isinstance(finding, Compared):
        return finding.holds == (finding.missing is None)
    every = all(part.holds for part in finding.parts)
    some = any(part.holds for part in finding.parts)
    return finding.holds == (some if finding.needs == "any" else every) and all(map(consistent, finding.parts))


def conditions(plan: Plan) -> dict[str, Condition]:
    """Each comparison of a plan as it is told, or its opposite where it stands under a not."""
    signed = [leaf for stage in plan.stages for leaf in signed_leaves(stage.when)]
    return {text_of(one): one for one in (leaf if positive else Not(leaf) for leaf, positive in signed)}


@thorough
@given(any_case, times)
def test_each_stage_and_comparison_holds_as_it_is_judged(case: Case, t: int) -> None:
    """What is said to hold does at that instant, what is said to lack something does not, and the first is the stage."""
    history, rules, t = case.facts, case.rules, known(case, t)
    explained = explain("c1", history, rules, t)
    plan = rules.plan
    seen = Seen(plan.look(profile_at(history, rules, t), t))
    told = conditions(plan.plan)
    for verdict in explained.stages:
        assert verdict.holds == verdict.finding.holds == seen.holds(plan.stage[verdict.stage].when)
        assert consistent(verdict.finding)
        for one in compared(verdict.finding):
            assert one.holds == seen.holds(told[one.condition])
    holding = [verdict.stage for verdict in explained.stages if verdict.holds]
    if not plan.plan.forward_only:
        assert explained.stage == (holding[0] if holding else None)
    for number, verdict in enumerate(explained.stages):
        assert list(verdict.behind) == [one.stage for one in explained.stages[:number] if one.holds]
        height = plan.height[explained.stage] if explained.stage else -100
        assert verdict.higher == (verdict.rank is not None and plan.height[verdict.stage] > height)


@thorough
@given(any_case, times)
def test_each_instant_that_is_named_is_when_it_turns(case: Case, t: int) -> None:
    """With no further event a comparison, and a stage's condition, is at the named instant and not before what it is not now."""
    history, rules, t = case.facts, case.rules, known(case, t)
    profile, plan = profile_at(history, rules, t), rules.plan
    told = conditions(plan.plan)

    def check(condition: Condition, now: bool, turns_at: str | None) -> None:
        def holds(at: int) -> bool:
            return Seen(plan.look(profile, at)).holds(condition)

        end = None if turns_at is None else parse(turns_at)
        for at in [t + ahead for ahead in FAR] + ([] if end is None else [end - 1]):
            assert (end is not None and at >= end) or holds(at) == now, (condition, at, turns_at)
        if end is not None:
            assert end > t
            assert holds(end) != now

    for verdict in explain("c1", history, rules, t).stages:
        check(plan.stage[verdict.stage].when, verdict.holds, verdict.turns_at)
        for one in compared(verdict.finding):
            check(told[one.condition], one.holds, one.turns_at)


@thorough
@given(any_case, times)
def test_what_comes_next_comes_then(case: Case, t: int) -> None:
    """With no further event the stage stays until the instant that is named, and is then the one that is named."""
    history, rules, t = case.facts, case.rules, known(case, t)
    profile, plan, coming = profile_at(history, rules, t), rules.plan, explain("c1", history, rules, t).next
    end = None if coming is None else parse(coming.at)
    for at in [t + ahead for ahead in FAR] + ([] if end is None else [end - 1]):
        assert (end is not None and at >= end) or plan.judge(profile, at, profile.stage) == profile.stage
    if coming is not None:
        assert end is not None
        assert coming.in_ms == end - t > 0
        assert plan.judge(profile, end, profile.stage) == coming.stage != profile.stage


@thorough
@given(any_case, times, st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(case: Case, t: int, random: Random) -> None:
    """Files may be in any order, and may hold an event twice."""
    history, rules, t = case.facts, case.rules, known(case, t)
    due = explain("c1", history, rules, t)
    mixed = [*history, *history[:2]]
    random.shuffle(mixed)
    told = explain("c1", mixed, rules, t)
    assert told.outcomes.get("accepted") == due.outcomes.get("accepted")
    assert replace(told, outcomes={}) == replace(due, outcomes={})


@thorough
@given(any_log, st.sampled_from((0, 1, 30 * DAY, 100 * DAY)))
def test_the_log_and_files_explain_alike(log: Log, later: int) -> None:
    """What a fold of the log made of a customer is explained as their facts are, whatever came late: at any later instant
    and at the very instant at which a move is due."""
    rules = log.case.rules
    folded, changes, taken = partition(rules), list[Announced](), list[Fact]()
    for offset, item in enumerate(log.items):
        changes += folded.fold([record(offset, item)])
        if isinstance(item, Fact) and folded.dirty[b"c1"].applied == offset:
            taken.append(item)
    due = folded.dirty[b"c1"].due
    end = max(item.time for item in log.items)
    for t in {end + later, max(end, due or end)}:
        profile = folded.profile(b"c1")
        assert profile is not None
        live = explain_folded("c1", profile, taken, changes, rules, t)
        filed = explain("c1", taken, rules, t)
        assert _without_changes(live) == _without_changes(filed)
        assert list(live.changes) == changes
        ends = (changes[-1].data.stage if changes else None, *(one.data.stage for one in live.pending))
        assert ends[-1] == live.stage


def _without_changes(explained: Explanation) -> Explanation:
    return replace(explained, changes=(), pending=())


@thorough
@given(any_case, times)
def test_the_effects_of_the_facts_lead_to_the_values(case: Case, t: int) -> None:
    """What time alone does not change is, at the end, what the last effect on it left; every fact taken is told once."""
    history, rules, t = case.facts, case.rules, known(case, t)
    explained = explain("c1", history, rules, t)
    told = {effect.asked: effect.after for one in explained.history for effect in one.effects}
    look = rules.plan.look(profile_at(history, rules, t), t)
    for leaf in questions(rules.plan):
        if leaf.window is None and leaf.operand in {"reached", "acquired", "customer", "standing_orders", "order_days"}:
            assert told.get(asked_text(leaf), 0) == value_of(look, leaf)
    for one in explained.history:
        assert parse(one.at) <= t
        assert all(effect.before != effect.after for effect in one.effects)
    assert sum(len(one.facts) for one in explained.history) == explained.outcomes.get("accepted", 0)
