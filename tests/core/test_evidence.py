"""Each change can be proved from its evidence alone, and the evidence says what the facts say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace as replaced

from config.plan_files import sheet_of, shipped
from lifestage.cause import Rules
from lifestage.change import Evidence, OperandSeen
from lifestage.conditions import Any, Compare, Condition, Not, Plan, leaves
from lifestage.facts import Fact
from lifestage.language import read
from lifestage.language_facts import fact_name
from lifestage.moments import parse
from lifestage.plan import Compiled
from lifestage.replay import replay
from tests.core import oracle_plans as oracle
from tests.core.histories import START, order, visit
from tests.core.histories_all import Case, Log, cases, crowds, followed, logs, many
from tests.core.oracle_plans import DAY, OPS, SIGNALS

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
any_case = st.one_of(cases(), cases(), cases(SHIPPED))
any_log = st.one_of(logs(cases()), logs(cases(SHIPPED)), crowds())

Key = tuple[str, float | None, str | None, bool]
"""What a value belongs to: name, window in seconds, currency, and whether it is a text that is asked."""
Seen = dict[Key, OperandSeen]
FLAGS = {"reached", "acquired", "customer", "subscribed", "active_subscription", "subscription_lapsed",
         "subscription_expanded", "trial_running", "accounts_closed"}  # fmt: skip
COUNTS = {"standing_orders", "order_days", "subscription_renewals", "sessions", "features", "net_revenue", "mrr"}


def key_of_seen(seen: OperandSeen) -> Key:
    """What a shown value belongs to."""
    currency = None if seen.currency is UNSET else seen.currency
    return seen.name, seen.window_s, currency, isinstance(seen.threshold, str)


def key_of_leaf(leaf: Compare) -> Key:
    """What a comparison of the plan asks."""
    currency = leaf.of if leaf.operand in {"net_revenue", "mrr"} else None
    return fact_name(leaf), None if leaf.window is None else leaf.window / 1000, currency, isinstance(leaf.value, str)


def is_whole(leaf: Compare) -> bool:
    """Whether values are shown as they are: counts, minor units, texts; others are shown in seconds or on their scale."""
    counted = leaf.operand in SIGNALS or leaf.operand.endswith("_days") or leaf.operand in COUNTS
    return counted or isinstance(leaf.value, str) or leaf.operand in FLAGS


def as_shown(leaf: Compare, value: int | str) -> int | float | str:
    """A value or constant of a plan as evidence shows it."""
    return value if is_whole(leaf) else int(value) / 1000


def known(evidence: Evidence) -> Seen:
    """The values that evidence holds; the same thing has the same value wherever it stands."""
    found: Seen = {}
    for seen in (*evidence.operands, *evidence.ruled_out):
        assert found.setdefault(key_of_seen(seen), seen).value == seen.value
    return found


def follows(condition: Condition, seen: Seen) -> bool | None:
    """Whether a condition holds, by what is shown and nothing else; None where that does not decide it."""
    if isinstance(condition, Compare):
        shown = seen.get(key_of_leaf(condition))
        if shown is None:
            return None
        return shown.value is not None and OPS[condition.op](shown.value, as_shown(condition, condition.value))  # type: ignore[arg-type]
    if isinstance(condition, Not):
        inner = follows(condition.of, seen)
        return None if inner is None else not inner
    wanted = isinstance(condition, Any)
    parts = [follows(part, seen) for part in condition.of]
    return wanted if wanted in parts else None if None in parts else not wanted


def proved(plan: Plan, evidence: Evidence) -> str | None:
    """The stage that follows from evidence; `?` where it leaves a stage open."""
    seen = known(evidence)
    for stage in plan.stages:
        truth = follows(stage.when, seen)
        if truth is not False:
            return stage.name if truth else "?"
    return None


def check_values(plan: Plan, evidence: Evidence, facts: list[Fact], at: int) -> None:
    """Every value shown is that of the brute force at the instant."""
    asked = {key_of_leaf(leaf): leaf for stage in plan.stages for leaf in leaves(stage.when)}
    for key, seen in known(evidence).items():
        leaf = asked[key]
        value = oracle.value(leaf, plan, oracle.distinct(facts), at)
        assert seen.value == (None if value is None else as_shown(leaf, value))
    for seen in (*evidence.operands, *evidence.ruled_out):
        thresholds = [as_shown(x, x.value) for x in asked_by(plan) if key_of_leaf(x) == key_of_seen(seen)]
        assert seen.threshold in thresholds


def asked_by(plan: Plan) -> list[Compare]:
    """All comparisons of a plan."""
    return [leaf for stage in plan.stages for leaf in leaves(stage.when)]


@many
@given(any_case)
def test_a_stage_follows_from_its_evidence(case: Case) -> None:
    """With the plan and the values under `operands` and `ruled_out` alone, every stage of a file replay is judged the same."""
    end = max(fact.time for fact in case.facts) + 500 * DAY
    for change in replay(case.facts, case.rules, end).changes:
        if change.partitionkey != "c1":
            continue  # one whom the customer referred, whose facts the case does not hold
        data = change.data
        assert proved(case.plan, data.evidence) == data.stage
        check_values(case.plan, data.evidence, case.facts, parse(data.entered_at))


@many
@given(any_log)
def test_a_stage_follows_from_its_evidence_live(log: Log) -> None:
    """The same of every change of a live log: late ones as of their instants, corrections as of the present."""
    plan = log.case.plan
    for offset, (changes, facts, reached) in enumerate(followed(log)):
        for change in changes:
            data = change.data
            at = reached if data.kind == "correction" and not plan.forward_only else parse(data.entered_at)
            assert proved(plan, data.evidence) == data.stage
            check_values(plan, data.evidence, facts, at)
            assert set(data.evidence.positions) <= set(range(offset + 1))


@many
@given(cases())
def test_the_condition_is_text_of_the_plan_language(case: Case) -> None:
    """The condition that evidence quotes is the stage's, in the language that plans are written in."""
    end = max(fact.time for fact in case.facts) + 500 * DAY
    for change in replay(case.facts, case.rules, end).changes:
        evidence, stage = change.data.evidence, change.data.stage
        if stage is None:
            assert (evidence.rule, evidence.operands) == ("none", ())
        else:
            assert evidence.rule == f"{case.plan.id}.{stage}"
            sheet = read(f"plan p version 1\nstage s rank 1\n    when {evidence.condition}\n")
            (when,) = [of.when for of in case.plan.stages if of.name == stage]
            assert sheet.plan.stages[0].when == when
            asked = [key_of_leaf(leaf) for leaf in dict.fromkeys(leaves(when))]
            assert list(map(key_of_seen, evidence.operands)) == asked


def test_what_is_not_shown_decides_nothing() -> None:
    """The proof holds together: without what rules out the stages before, the stage no longer follows."""
    plan = sheet_of("clm5").plan
    history: list[Fact] = [visit(0, "a"), order(1, "b", "o1"), order(2, "c", "o2")]
    changes = replay(history, Rules(Compiled(plan)), START + 300 * DAY).changes
    assert [change.data.stage for change in changes] == ["reach", "conversion", "retention", "at_risk", "churned"]
    for change in changes[:-1]:
        evidence = change.data.evidence
        assert proved(plan, evidence) == change.data.stage
        assert proved(plan, replaced(evidence, ruled_out=())) == "?"
