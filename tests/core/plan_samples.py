"""Plans for tests: the shipped texts, random plans that the language can say, and lives of customers to judge by them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st
from msgspec.structs import replace

from lifestage.conditions import All, Any, Compare, Condition, Not, Op, Plan, Stage
from lifestage.facts import Fact, WebVisit
from lifestage.fold import fold
from lifestage.language import ENTER_KINDS, LEAVE_KINDS
from lifestage.language_happenings import Scene, happening
from lifestage.language_stories import CUSTOMER, when
from lifestage.language_words import RESERVED, Cursor, lines_of
from lifestage.operands import OPERANDS, Operand
from lifestage.profile import Profile
from lifestage.signals import keeping
from tests.core.effort import effort
from tests.core.oracle import DAY

SHIPPED = sorted((Path(__file__).parents[2] / "config/plans").glob("*.plan"))
CLM5_TEXT = (Path(__file__).parents[2] / "config/plans/clm5.plan").read_text(encoding="utf-8")

some, few = effort(100), effort(30)
"""As thorough, with fewer examples: what is tried is large, or breaks at once where it is broken."""

_lengths = st.one_of(
    st.sampled_from((1, 1000, 60_000, DAY, 30 * DAY, 90 * DAY, 180 * DAY, 365 * DAY)), st.integers(1, 1000 * DAY)
)
_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in {*RESERVED, "none"})
_texts = st.from_regex(r"[a-z][a-z .#]{0,6}[a-z]", fullmatch=True) | st.sampled_from(("true", "false", "ü", "1"))
_values: dict[str, st.SearchStrategy[int | str]] = {
    "flag": st.integers(0, 1),
    "ms": st.just(0) | _lengths,
    "count": st.integers(-1, 4) | st.integers(0, 1_000_000_000),
    "score": st.integers(-10_000, 11_000) | st.integers(-9, 11).map(lambda n: n * 1000),
    "number": st.integers(-(10**12), 10**12),
    "money": st.integers(0, 10**10),
    "text": _texts,
}
_ops: dict[str, tuple[Op, ...]] = {"flag": ("==", "!="), "text": ("==", "!="), "ms": (">=", ">", "<=", "<")}
EVERY_OP: tuple[Op, ...] = ("==", "!=", ">=", ">", "<=", "<")


def ops_of(operand: Operand) -> tuple[Op, ...]:
    """How a fact may be compared."""
    return _ops.get(operand.unit, EVERY_OP)


@st.composite
def comparisons(draw: st.DrawFn) -> Compare:
    """One comparison of each kind that the language knows."""
    operand = OPERANDS[draw(st.sampled_from(sorted(OPERANDS)))]
    window = draw(_lengths) if operand.window == "must" or (operand.window == "may" and draw(st.booleans())) else None
    of = None
    if operand.unit == "money":
        of = draw(st.sampled_from(("EUR", "JPY", "KWD")))
    elif operand.unit in {"text", "number"}:
        of = draw(st.sampled_from(("plan", "seats", "deal_stage")))
    return Compare(operand.name, draw(st.sampled_from(ops_of(operand))), draw(_values[operand.unit]), window, of)


def _joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(All, several) | st.builds(Any, several)


conditions: st.SearchStrategy[Condition] = st.recursive(comparisons(), _joined, max_leaves=6)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan that can be written; whether it makes sense is left to chance."""
    names = draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    ranks: list[int | None] = list(draw(st.permutations(range(1, len(names) + 1))))
    forward = draw(st.booleans())
    for index in range(1, len(ranks)):
        ranks[index] = ranks[index] if forward else draw(st.sampled_from((ranks[index], None)))
    stages = tuple(
        Stage(name, rank, draw(conditions), draw(st.sampled_from((None, *ENTER_KINDS))), draw(st.sampled_from((None, *LEAVE_KINDS))))
        for name, rank in zip(names, ranks, strict=True)
    )  # fmt: skip
    return Plan(
        draw(_names),
        draw(st.integers(1, 1000)),
        stages,
        draw(st.just(0) | _lengths),
        draw(st.integers(-14 * 60, 14 * 60)) * 60_000,
        draw(st.none() | st.just(30 * DAY) | _lengths),
        forward,
        draw(st.none() | st.tuples(st.integers(1, 10**9), st.sampled_from(("EUR", "JPY")))),
    )


HAPPENINGS = (
    "visit", "visit pricing", "visit product", "visit session s1", "visit by bot", "ad click", "social like", "lead",
    "lead qualified score 40", "trial for 14d", "trial ends converted", "trial ends", "signup", "close account",
    "feature reports", "feature export", "cart", "checkout", "order o1 40.00", "order 40.00", "order 10.00",
    "order 0.00", "order 30.00 USD", "order changed o1 20.00", "refund o1 40.00", "refund o1 10.00", "cancel o1",
    "subscribe 30.00", "renew", "renew 40.00", "upgrade 50.00", "unsubscribe", "cancel subscription at day 200",
    "mail delivered", "mail opened", "mail clicked", "mail clicked by machine", "mail bounced", "mail unsubscribed",
    "sms clicked", "nps 9", "nps 3", "csat 4.5", "ces 2", "review 5", "review 3", "review", "points 120.5",
    "referral sent", "referral converted", "community post", "ticket", "ticket by agent", "reply", "visit with email",
    'set plan "pro"', "set plan true", "set plan 5", "unset plan", "set seats 2.5",
)  # fmt: skip
_day = st.sampled_from((0, 0, 1, 2, 7, 29, 30, 31, 89, 90, 120, 200, 365, 366))
_when = st.tuples(_day, st.sampled_from((0, 1, 43_200_000)))


@st.composite
def lives(draw: st.DrawFn, most: int = 8, happenings: tuple[str, ...] = HAPPENINGS) -> list[Fact]:
    """What happens to one customer, of all kinds that stories can tell, in order of time."""
    found = draw(st.lists(st.tuples(_when, st.sampled_from(happenings)), min_size=1, max_size=most))
    return _facts([f"day {day} {more}ms {what}" for (day, more), what in sorted(found)])


def happened(what: str) -> list[Fact]:
    """One happening on day 0."""
    return _facts([f"day 0 {what}"])


def _facts(told: list[str]) -> list[Fact]:
    """What happens in lines of a story; in any order, which a story that makes sense has not: a refund before its order."""
    found: list[Fact] = []
    orders: list[str] = []
    for number, line in enumerate(told):
        cursor = Cursor(lines_of(line, "life")[0].words)
        at = when(cursor)
        common: dict[str, object] = {"time": at, "source": "story", "id": f"{number:06}", "customer_id": CUSTOMER}
        fact = happening(cursor, Scene(at, common, orders, when))
        cursor.end()
        if fact is not None:
            found.append(_unnamed(fact))
    return found


def _unnamed(fact: Fact) -> Fact:
    """Visits of a pricing page name no session, as not every sender does."""
    return replace(fact, session_id=None) if isinstance(fact, WebVisit) and fact.page_type == "pricing" else fact


KEEP = keeping([(operand.reads, 1 << 50) for operand in OPERANDS.values()], ("plan", "seats", "deal_stage"), 1)
"""All that any plan may ask is kept."""


def profile_of(history: list[Fact]) -> Profile:
    """A profile with these facts, of which any plan may ask anything."""
    profile = Profile()
    for offset, fact in enumerate(history):
        fold(profile, fact, offset, b"k" * 16, KEEP, -(1 << 50))
    return profile
