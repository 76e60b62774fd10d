"""Wrong plans: what is wrong in policies, options, units, KPIs and stories has its place; spoiled plans do no harm."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from lifestage.cause import Rules
from lifestage.language import PlanError, Sheet, checked, parse, unparse
from lifestage.plan import Compiled
from lifestage.stories import run
from tests.core.plan_samples import SHIPPED, profile_of

HEAD = "plan p version 1\n"
TAIL = "stage s rank 1\n    when reached\n"

Wrong = tuple[str, int, int, str]
"""A text, the line and the column that are refused, and what the message says."""


def policy(line: str, column: int, said: str, at: int = 2) -> Wrong:
    """A wrong statement in line 2."""
    return f"{HEAD}{line}\n{TAIL}", at, column, said


def when(condition: str, column: int, said: str) -> Wrong:
    """A wrong condition in line 6; columns from 10 on are in it."""
    return f"{HEAD}options\n    yes on\n    no off\nstage s rank 1\n    when {condition}\n", 6, column, said


def kpi(line: str, column: int, said: str) -> Wrong:
    """A wrong line in line 4, of a stage."""
    return f"{HEAD}{TAIL}    {line}\n", 4, column, said


def story(line: str, column: int, said: str, at: int = 5) -> Wrong:
    """A wrong line in line 5, of a story; columns from 5 on are in it."""
    return f'{HEAD}{TAIL}story "x"\n    {line}\n', at, column, said


POLICIES: list[Wrong] = [
    policy("forward", 8, "after 'forward' 'only' is missing"),
    policy("forward always", 9, "'always' where 'only' is expected"),
    policy("forward only now", 14, "'now' is too much here"),
    policy("forward only\nforward only", 1, "'forward' is said a second time", at=3),
    (f"{HEAD}forward only\n{TAIL}stage t\n    when acquired\n", 5, 7, "stage 't' has no rank, and this plan goes forward only"),
    policy("min order net", 14, "an amount of money such as 20.00 EUR is missing"),
    policy("min order 20.00 EUR", 11, "'20.00' where 'net' is expected"),
    policy("min order net 20", 17, "the currency, such as EUR, is missing"),
    policy("min order net 20.00 eur", 21, "'eur' is no currency; write EUR"),
    policy("min order net 20.00 XXX", 21, "'XXX' is no currency; write its ISO 4217 code"),
    policy("min order net 20.001 EUR", 15, "'20.001' is no amount in EUR; expected at most 2 digits after the point"),
    policy("min order net 20.5 JPY", 15, "at most 0 digits"),
    policy("min order net -20.00 EUR", 15, "'-20.00' is no amount in EUR"),
    policy("min order net 0.00 EUR", 15, "every order is worth that"),
    policy("min order net EUR 20.00", 15, "'EUR' where an amount of money is expected"),
    policy("options", 1, "no option is listed; list them below, as in: engaged_visitor off"),
    policy("options\n    a", 6, "after 'a' on or off is missing", at=3),
    policy("options\n    a yes", 7, "'yes' where 'on' or 'off' is expected", at=3),
    policy("options\n    a on\n    a off", 5, "a second option 'a'", at=4),
    policy("options\n    reached on", 5, "'reached' is the name of a fact", at=3),
    policy("options\n    A on", 5, "'A' is no name of an option", at=3),
    policy("optoins\n    a on", 5, "'a' belongs to nothing; only windows, options, stage and story", at=3),
    policy("windows\n    at_risk = 60d", 13, "unexpected character '='; write: at_risk 60d", at=3),
    policy("windows\n    at_risk: 60d", 5, "a colon after 'at_risk'; write: at_risk 60d", at=3),
    policy("windows\n    at_risk:60d", 12, "unexpected character ':'; write: at_risk 60d", at=3),
    policy("options\n    a: on", 5, "a colon after 'a'; write: a on", at=3),
    policy("stage a: rank 2\n    when acquired", 7, "a colon after 'a'; leave it out"),
    policy("days in Europe/Berlin", 15, "write a fixed offset: UTC+01:00"),
    policy("days in +01:00", 9, "unexpected character '+'; write UTC+01:00"),
    policy("days in -01:30", 12, "write UTC-01:30"),
    policy('title ""', 7, "an empty text"),
    policy(f'title "{"x" * 201}"', 7, "more than 200 characters"),
]  # fmt: skip

UNITS: list[Wrong] = [
    when("visit_days >= 2", 10, "'visit_days' needs a window; say in which time: visit_days in 30d"),
    when("sessions >= 3", 10, "say in which time: sessions in 30d"),
    when("visits in 0d >= 3", 20, "a window of no length"),
    when("standing_orders => 1", 26, "unexpected '=>'; write >="),
    when("visits =< 1", 17, "unexpected '=<'; write <="),
    when("visits = 1", 17, "write == to compare"),
    when("reached AND acquired", 18, "'AND' in capitals; write and"),
    when("visits >= 1 Or acquired", 22, "'Or' in capitals; write or"),
    when("reached and NOT acquired", 22, "'NOT' in capitals; write not"),
    when("visits IN 3d >= 1", 17, "'IN' in capitals; write in"),
    when("order_days >= 3 in 365d", 26, "the window stands before the comparison; write: order_days in 365d >= 3"),
    when("net_revenue >= 5.00 EUR in 30d", 34, "write: net_revenue in 30d >= 5.00 EUR"),
    when("visits in 3d >= 3 in 4d", 28, "a second window of 'visits'; one is enough"),
    when("since_last_visit >= 3d in 4d", 33, "'since_last_visit' has no window"),
    when("order_days >= 3 in", 28, "after 'in' a window is missing"),
    when("engaged_visitor and reached", 10, "an option is listed under options: engaged_visitor off"),
    when("nps >= 9.1234", 17, "'9.1234' is no number"),
    when("nps >= nine", 17, "'nine' is no number"),
    when("nps >= 9d", 17, "'nps' is a number, not the length of time 9d"),
    when('nps >= "9"', 17, "is no number"),
    when("net_revenue >= 500", 28, "the currency, such as EUR, is missing"),
    when("net_revenue >= EUR", 25, "'EUR' where an amount of money is expected"),
    when("net_revenue in 365d >= 500.00 Eur", 40, "'Eur' is no currency; write EUR"),
    when("net_revenue >= 5.001 EUR", 25, "at most 2 digits after the point"),
    when("mrr in 30d >= 5.00 EUR", 14, "'mrr' has no window"),
    when("trait >= 5", 10, "which trait?; write its name after a point"),
    when("trait.Plan == 5", 10, "'Plan' is no name of a trait; 1 to 40 of a-z, 0-9 and _"),
    when("trait.plan = 5", 21, "write == to compare"),
    when("trait.plan == pro", 24, "'pro' where a value is expected; texts stand in quotes: \"pro\""),
    when('trait.plan >= "pro"', 21, "texts cannot be compared by >=; write == or !="),
    when('trait.plan in 30d == "pro"', 21, "a trait has no window"),
    when("trait.plan", 20, "a comparison such as >= is missing"),
    when("trait. == 5", 15, "unexpected character '.'"),
    when("customer >= 1", 19, "'customer' cannot be compared by >="),
    when("since_last_visit == 3d", 27, "an instant has no length"),
    when("since_last_visit >= 1.5d", 30, "'1.5d' is no length of time"),
    when("since_last_visit >= 1.5", 30, "not the number 1.5; write it as 90d or 12h"),
    when("visits ≥ 3", 17, "write >="),
    when("since_last_visit in 3d >= 1d", 27, "has no window"),
    when("pricing_vists >= 1", 10, "unknown fact 'pricing_vists'; did you mean 'pricing_visits'?"),
    when("yess and reached", 10, "unknown fact 'yess'; did you mean 'yes'?"),
    when("yes", 10, "this condition holds for everybody as the options stand"),
    when("reached or yes", 10, "this condition holds for everybody"),
    when("no and reached", 10, "this condition can never hold as the options stand; switch one"),
    when("not yes", 10, "this condition can never hold as the options stand"),
    when("yes == true", 14, "'==' is too much here"),
    when("reached and (no or visits < 0)", 29, "this comparison can never hold"),
    when("reached or (no and visits < 0)", 29, "this comparison can never hold"),
    # never holds
    when("visit_days in 7d >= 9", 10, "this comparison can never hold"),
    when("visits in 30d >= 3 and visits < 3", 10, "this condition can never hold"),
    when("visit_days in 30d >= 3 and visits in 90d < 3", 10, "this condition can never hold"),
    when("pricing_visits >= 1 and not reached", 10, "this condition can never hold"),
    when("sessions in 30d >= 3 and visits in 30d < 3", 10, "this condition can never hold"),
    when("since_last_visit > since_last_visit", 29, "unknown window 'since_last_visit'"),
    when("since_first_lead < 3d and since_last_lead >= 3d", 10, "this condition can never hold"),
    when("leads == 0 and since_last_lead >= 0d", 10, "this condition can never hold"),
    when("leads >= 1 and not acquired", 10, "this condition can never hold"),
    when("since_last_visit < 3d and since_last_activity >= 3d", 10, "this condition can never hold"),
    when("subscribed and not customer", 10, "this condition can never hold"),
    when("customer and standing_orders == 0 and not subscribed", 10, "this condition can never hold"),
    when("nps >= 11", 10, "this comparison can never hold"),
    when("nps in 30d >= 9 and nps < 9", 10, "this condition can never hold"),
    when("csat < 1", 10, "this comparison can never hold"),
    when('trait.plan == "a" and trait.plan == "b"', 10, "this condition can never hold"),
    when('trait.plan == "a" and trait.plan >= 5', 10, "this condition can never hold"),
    when("net_revenue in 30d > 5.00 EUR and net_revenue < 5.00 EUR", 10, "this condition can never hold"),
    when("mrr > 0.00 EUR and not active_subscription", 10, "this condition can never hold"),
]  # fmt: skip

KPIS: list[Wrong] = [
    kpi("kpi", 8, "after 'kpi' the name of a KPI is missing"),
    kpi("kpi churn_rat", 9, "unknown KPI 'churn_rat'; did you mean 'churn_rate'?"),
    kpi("kpi qqqqqq", 9, "unknown KPI 'qqqqqq'; docs/plans.md lists them"),
    kpi("kpi crr 0.8", 13, "'0.8' is too much here"),
    kpi("kpi crr target", 19, "after 'target' a number is missing"),
    kpi("kpi crr target 80", 20, "'80' is no target of 'crr'; write a number from 0 to 1, 0.25 for 25 in 100"),
    kpi("kpi crr target -0.1", 20, "is no target of 'crr'"),
    kpi("kpi nps target 101", 20, "write a number from -100 to 100"),
    kpi("kpi response_time target 4", 30, "is a length of time, not '4'; write it as 4h"),
    kpi("kpi funnel target 1", 23, "'funnel' is not one number and has no target"),
    (f"{HEAD}{TAIL}    kpi crr\n    kpi crr\n", 5, 9, "KPI 'crr' is said a second time"),
    (f"{HEAD}{TAIL}    kpi crr target 0.1\nstage t rank 2\n    when acquired\n    kpi crr target 0.2\n", 5, 7, "a second target of 'crr'"),
]  # fmt: skip

STORIES: list[Wrong] = [
    (f"{HEAD}{TAIL}story\n    day 0 visit\n", 4, 6, 'what the story shows in " is missing'),
    (f"{HEAD}{TAIL}story x\n    day 0 visit\n", 4, 7, "put what the story shows between"),
    (f'{HEAD}{TAIL}story "x"\n', 4, 1, "nothing happens in this story"),
    (f'{HEAD}{TAIL}story "x"\n    day 0 visit\nstory "x"\n    day 0 visit\n', 6, 7, "a second story 'x'; the first is in line 4"),
    (f'{HEAD}story "x"\n    day 0 visit\n{TAIL}', 4, 1, "'stage' after the story in line 2; stories stand at the end"),
    story("visit", 5, "'visit' where a day is expected"),
    story("day", 8, "the number of the day is missing"),
    story("day visit", 9, "'visit' is no day"),
    story("day -1 visit", 9, "'-1' is no day of a story"),
    story("day 0", 10, "what happens, such as visit, or nothing is missing"),
    story("day 0 vist", 11, "'vist' is nothing that can happen; did you mean 'visit'?"),
    story("day 0 visit pricng", 17, "unknown page 'pricng'; did you mean 'pricing'?"),
    story("2024-02-30 visit", 5, "there is no day 2024-02-30"),
    story("day 3 visit\n    day 2 visit", 5, "this is earlier than the line above", at=6),
    story("day 0 visit -> ss", 20, "the plan has no stage 'ss'; did you mean 's'?"),
    story("day 0 visit ->", 19, "a stage, or - for no move, is missing"),
    story("day 0 visit -> s enrty", 22, "unknown kind 'enrty'; did you mean 'entry'?"),
    story("day 0 visit -> s correction", 22, "unknown kind 'correction'"),
    story("day 0 visit -> s entry (s)", 29, "'s' where 'skipped' is expected"),
    story("day 0 visit -> s entry (skipped", 36, "a stage or ')' is missing"),
    story("day 0 visit -> s entry twice", 28, "'twice' is too much here"),
    story("day 0 visit -> s\n    day 0 visit -> s", 5, "a second move at one instant", at=6),
    story("day 0 order", 16, "an amount of money such as 20.00 EUR is missing"),
    story("day 0 order o1", 19, "an amount of money such as 20.00 EUR is missing"),
    story("day 0 order 40.001", 17, "at most 2 digits after the point"),
    story("day 0 order 40.00 XYZ", 23, "'XYZ' is no currency"),
    story("day 0 refund 10.00", 11, "there is no order yet; name it"),
    story("day 0 cancel", 11, "there is no order yet"),
    story("day 0 cancel o2", 18, "this customer has placed no order 'o2' yet; tell it in a line above, as in: order o2"),
    story("day 0 order o1 5.00\n    day 1 cancel o2", 18, "has placed no order 'o2' yet; did you mean 'o1'?", at=6),
    story("day 0 order o1 5.00\n    day 1 refund oo1 5.00", 18, "has placed no order 'oo1' yet; did you mean 'o1'?", at=6),
    story("day 0 ben: order o1 5.00\n    day 1 ann: refund o1 5.00", 23, "has placed no order 'o1' yet", at=6),
    story("day 0 order changed o1 5.00", 25, "has placed no order 'o1' yet; tell it in a line above"),
    story("day 0 order o1 5.00\n    day 1 order o1 6.00", 17, "a second order 'o1' of this customer; give it another name, or write: order changed o1", at=6),
    story("day 0 email opened", 11, "'email' before 'opened'; a message is a mail: write mail opened"),
    story("day 0 buy 40.00", 11, "'buy' is nothing that can happen; write order 40.00"),
    story("day 0 mail openned", 16, "unknown event of a message 'openned'; did you mean 'opened'?"),
    story("day 0 nps 11", 15, "'11' is no score; write a number from 0 to 10"),
    story("day 0 review 6", 18, "'6' is no rating"),
    story("day 0 visit by machine", 20, "unknown who 'machine'"),
    story("day 0 visit by agent", 20, "unknown who 'agent'"),
    story("day 0 visit with name", 22, "'name' where 'email' is expected"),
    story("day 0 set Plan 5", 15, "'Plan' is no name of a trait"),
    story("day 0 set plan pro", 20, "put the value between"),
    story("day 0 anonymous visit", 11, "'anonymous' without a name"),
    story("day 0 Ben: visit", 11, "'Ben' is no name of a customer"),
    story("day 0 cancel subscription at 30", 34, "'30' where a day is expected"),
    story("1969-12-31 visit", 5, "no story is so far away in time; tell it between 1970 and 2200"),
    story("2201-01-01 1ms visit", 5, "no story is so far away"),
    story("day 36525 36525d 36525d visit", 5, "no story is so far away"),
    story("day 0 order 40,00", 19, "unexpected character ','; a decimal point is a point"),
    story("day 0 order €40", 17, "write the currency after the amount: 20.00 EUR"),
    story("day 0 visit → s", 17, "write ->"),
    story("day 0 set plan “pro”", 20, 'texts stand between " and "'),
    story("day 0\xa0visit", 10, "it looks like a space and is none"),
    story("day 0 trial for a", 21, "'a' is no length of time"),
]  # fmt: skip

TABLE = [*POLICIES, *UNITS, *KPIS, *STORIES]


@pytest.mark.parametrize(("text", "line", "column", "said"), TABLE)
def test_a_wrong_plan_is_refused_with_its_place(text: str, line: int, column: int, said: str) -> None:
    """The first thing that is wrong is named with line and column, and the message helps."""
    with pytest.raises(PlanError) as refused:
        parse(text, "wrong.plan")
    error = refused.value
    assert (error.line, error.column) == (line, column), str(error)
    assert str(error).startswith(f"wrong.plan:{line}:{column}: ")
    assert said in str(error)
    assert "\n" not in str(error)


def test_lines_may_end_as_on_any_system() -> None:
    """A plan whose lines end with CR, or with CR and LF, is the same plan, and what is wrong has the same place."""
    text = SHIPPED[0].read_text(encoding="utf-8")
    for end in ("\r", "\r\n"):
        assert parse(text.replace("\n", end)) == parse(text)
        with pytest.raises(PlanError) as refused:
            parse(f"{HEAD}stage s rank 1\n    when vists >= 1\n".replace("\n", end))
        assert (refused.value.line, refused.value.column) == (3, 10)


def spoiled(text: str, chance: random.Random) -> str:
    """The text with one to three words, lines, indents, numbers or units deleted, doubled, swapped, copied or garbled."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        by_line = chance.random() < 0.4
        parts = text.split("\n") if by_line else re.split(r"([\w.:+-]+|[<>=!]+|[()\"#])", text)
        wanted = [n for n, part in enumerate(parts) if part.strip()]
        if not wanted:
            return text
        one, other = chance.choice(wanted), chance.choice(wanted)
        how = chance.choice(("delete", "double", "swap", "copy", "cut", "indent", "number", "unit", "garble"))
        if how == "delete":
            del parts[one]
        elif how == "double":
            parts[one] += ("\n" if by_line else " ") + parts[one]
        elif how == "swap":
            parts[one], parts[other] = parts[other], parts[one]
        elif how == "copy":
            parts[one] = parts[other]
        elif how == "indent":
            parts[one] = " " * chance.choice((1, 2, 4)) + parts[one]
        elif how == "number":
            parts[one] = re.sub(r"\d+", lambda _: str(chance.choice((0, 1, 7, 10**13))), parts[one], count=1)
        elif how == "unit":
            parts[one] = re.sub(r"(?<=\d)[dh]\b", lambda _: chance.choice(("", "w", "m", "ms", "EUR")), parts[one])
        else:
            at = chance.randrange(len(parts[one]))
            put = "" if how == "cut" else chance.choice('x_.-"(>=é\t')
            parts[one] = parts[one][:at] + put + ("" if how == "cut" else parts[one][at + 1 :])
        text = ("\n" if by_line else "").join(parts)
    return text


MUTANTS = 240


def mutants() -> Iterator[str]:
    """Spoiled copies of the shipped plans."""
    chance = random.Random(20_240_201)
    for number in range(MUTANTS):
        yield spoiled(SHIPPED[number % len(SHIPPED)].read_text(encoding="utf-8"), chance)


def outcome(text: str) -> PlanError | Sheet:
    """What a text says, or its refusal."""
    try:
        return checked(text, "p")
    except PlanError as error:
        return error


def test_a_spoiled_plan_is_refused_with_its_place_or_truly_valid() -> None:
    """Accidents with the shipped plans: each ends in a plan that judges and reads back, or in a place within the text."""
    refused = 0
    for text in mutants():
        found = outcome(text)
        if isinstance(found, PlanError):
            refused += 1
            rows = text.split("\n")
            assert 1 <= found.line <= len(rows), text
            assert 1 <= found.column <= len(rows[found.line - 1]) + 1, text
            assert str(found).startswith(f"p:{found.line}:{found.column}: ")
            assert "\n" not in str(found)
        else:
            compiled = Compiled(found.plan)
            assert compiled.judge(profile_of([]), 0, None) in {None, *compiled.stage}
            assert parse(unparse(found.plan)) == found.plan
            for told in found.stories:
                assert all("expected" in failure.problem for failure in run(told, Rules(compiled)))
    assert MUTANTS // 2 < refused < MUTANTS
