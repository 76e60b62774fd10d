"""Options, policies, units and KPI labels: what a text says with them, and what they leave of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage.conditions import All, Any, Compare, Condition, Not
from lifestage.kpi_names import BOUNDS, KPIS
from lifestage.language import PlanError, checked, parse, read
from lifestage.language_stages import Label
from lifestage.plan import Compiled
from tests.core.oracle import DAY
from tests.core.plan_samples import CLM5_TEXT, some

HEAD = "plan p version 1\n"
TAIL = "stage s rank 1\n    when reached\n"
REACHED, ACQUIRED, CUSTOMER = (Compare(name, "==", 1) for name in ("reached", "acquired", "customer"))
SESSIONS = Compare("sessions", ">=", 3, 30 * DAY)


def condition(text: str, options: str = "yes on\n    no off") -> Condition:
    """What a condition says with an option that is on and one that is off."""
    return read(f"{HEAD}options\n    {options}\n{TAIL.replace('reached', text)}").plan.stages[0].when


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("reached or (no and sessions in 30d >= 3)", REACHED),
        ("reached or (yes and sessions in 30d >= 3)", Any((REACHED, SESSIONS))),
        ("reached and (yes or acquired)", REACHED),
        ("reached and (no or acquired)", All((REACHED, ACQUIRED))),
        ("reached and not no", REACHED),
        ("reached and not (no or acquired)", All((REACHED, Not(ACQUIRED)))),
        ("not (yes and reached)", Not(REACHED)),
        ("(no or no) or reached", REACHED),
        ("(reached or no) and (acquired or no or customer)", All((REACHED, Any((ACQUIRED, CUSTOMER))))),
    ],
)
def test_an_option_leaves_the_condition_without_it(text: str, left: Condition) -> None:
    """What options decide is worked out; the rest is as if it had been written alone."""
    assert condition(text) == left


def test_an_option_that_is_off_leaves_the_plan_without_it() -> None:
    """The same plan with the same hash as one that never heard of it; switched on, it is another."""
    plain = CLM5_TEXT.replace("acquired or (engaged_visitor and sessions in engaged >= 3)", "acquired")
    plain = plain.replace("options\n    engaged_visitor off", "# none\n#")
    off, on = read(CLM5_TEXT).plan, read(CLM5_TEXT, options={"engaged_visitor": True}).plan
    assert (off, Compiled(off).hash) == (parse(plain), Compiled(parse(plain)).hash)
    assert on == parse(CLM5_TEXT.replace("engaged_visitor off", "engaged_visitor on")) != off
    assert Compiled(on).hash != Compiled(off).hash


def test_an_option_that_is_not_there_cannot_be_switched() -> None:
    """A name that the plan does not have is refused with what was probably meant."""
    with pytest.raises(ValueError, match="no option 'engaged' to change; did you mean 'engaged_visitor'"):
        read(CLM5_TEXT, options={"engaged": True})
    with pytest.raises(ValueError, match="no option 'x' to change; the plan has no options"):
        read(HEAD + TAIL, options={"x": True})


@st.composite
def texts(draw: st.DrawFn, depth: int = 2) -> str:
    """A condition over three facts and two options, in brackets."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(("reached", "acquired", "customer", "yes", "no")))
    if draw(st.booleans()):
        return f"not ({draw(texts(depth - 1))})"
    return f" {draw(st.sampled_from(('and', 'or')))} ".join(f"({draw(texts(depth - 1))})" for _ in range(2))


def truth(part: Condition, facts: dict[str, bool]) -> bool:
    """Whether a condition of flags holds."""
    if isinstance(part, Compare):
        return facts[part.operand]
    if isinstance(part, Not):
        return not truth(part.of, facts)
    return (all if isinstance(part, All) else any)(truth(inner, facts) for inner in part.of)


@some
@given(texts(3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_options_mean_true_and_false(text: str, values: list[bool]) -> None:
    """Whatever the condition, it holds for the same customers as with the options put in; or it is refused as decided."""
    facts = dict(zip(("reached", "acquired", "customer"), values, strict=True))
    names = {**facts, "yes": True, "no": False}
    expected = eval(text, {"__builtins__": {}}, names)  # noqa: S307  # made of five words here
    try:
        found: bool | Condition = condition(text)
    except PlanError as error:
        found = error.problem == "this condition holds for everybody as the options stand"
    assert (found if isinstance(found, bool) else truth(found, facts)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nps >= 9", Compare("nps", ">=", 9000)),
        ("nps in 180d >= 8.5", Compare("nps", ">=", 8500, 180 * DAY)),
        ("points < -0.125", Compare("points", "<", -125)),
        ("net_revenue in 365d >= 500.00 EUR", Compare("net_revenue", ">=", 50_000, 365 * DAY, "EUR")),
        ("net_revenue >= 500 JPY", Compare("net_revenue", ">=", 500, None, "JPY")),
        ("mrr > 1.5 KWD", Compare("mrr", ">", 1500, None, "KWD")),
        ('trait.deal_stage == "proposal"', Compare("trait", "==", "proposal", None, "deal_stage")),
        ('trait.plan != "a # b"', Compare("trait", "!=", "a # b", None, "plan")),
        ("trait.vip == true", Compare("trait", "==", "true", None, "vip")),
        ("trait.seats >= 5", Compare("trait_number", ">=", 5000, None, "seats")),
        ("trait.seats == 2.5", Compare("trait_number", "==", 2500, None, "seats")),
        ("visit_days in 30d >= 4", Compare("visit_days", ">=", 4, 30 * DAY)),
        ("since_first_lead < 2d", Compare("since_first_lead", "<", 2 * DAY)),
        ("standing_orders in 90d >= 2", Compare("standing_orders", ">=", 2, 90 * DAY)),
    ],
)
def test_a_value_is_read_in_the_unit_of_its_fact(text: str, says: Compare) -> None:
    """Scores in thousandths, money in minor units of its currency, texts as they are."""
    assert condition(text) == says


def test_policies_are_part_of_the_plan() -> None:
    """`forward only` and `min order net` change the rules, and so the hash."""
    plain, plan = parse(HEAD + TAIL), parse(f"{HEAD}forward only\nmin order net 20.00 EUR\n{TAIL}")
    assert (plan.forward_only, plan.min_order_net) == (True, (2000, "EUR"))
    assert (plain.forward_only, plain.min_order_net) == (False, None)
    assert Compiled(plan).hash != Compiled(plain).hash


def test_kpis_are_labels_beside_the_plan() -> None:
    """A stage names its KPIs, with targets in the KPI's unit, and the rules stay what they are."""
    sheet = checked(f"{HEAD}{TAIL}    kpi crr target 0.85\n    kpi response_time target 4h\n    kpi funnel\n")
    assert sheet.stages[0].kpis == (Label("crr", 0.85), Label("response_time", 14_400), Label("funnel", None))
    assert Compiled(sheet.plan).hash == Compiled(parse(HEAD + TAIL)).hash


def test_each_kpi_has_a_title_of_its_own_and_a_unit_with_bounds() -> None:
    """The closed list can be shown: no two titles are the same, and each unit knows what a target may be."""
    assert len({kpi.title for kpi in KPIS.values()}) == len(KPIS)
    assert {kpi.unit for kpi in KPIS.values()} == {*BOUNDS, "distribution"}
