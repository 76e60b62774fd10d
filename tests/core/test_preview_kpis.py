"""Which KPIs a merge would change, against the KPIs of the same events computed with and without the merge."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.identity_kpis import kpi_lines
from lifestage import log
from lifestage.cause import Rules
from lifestage.fact import Context, Fact
from lifestage.facts import IdentityMerged, TicketCreated, TicketSolved
from lifestage.kpi_days import day_of, whole_days
from lifestage.kpi_follow import found_in
from lifestage.kpi_formulas import Count, Found, PerCost, Ratio, Spread
from lifestage.kpis import BY_NAME, DEFINITIONS
from lifestage.partition import Partition
from lifestage.preview import Preview, preview
from lifestage.preview_kpis import Amount
from tests.core.effort import effort
from tests.core.histories import START, record
from tests.core.kpi_histories import KEEP_ALL, order, some_fact
from tests.core.kpi_oracle import DAY

NOW = START + 200 * DAY
OF_THE_PATH = ("stage_counts", "transitions", "time_in_stage", "funnel", "cohort_retention")
"""As announced they may differ from those of files, where all is known from the beginning: see tests/identity."""
ROUNDED = ("clv_2", "clv_3")
"""Of files these are rounded customer by customer."""
MAYBE_BY_NUMERATOR = {
    "advocacy", "engagement_frequency", "referral_rate", "referred_share", "support_assisted_conversion", "clv_4",
}  # fmt: skip
"""KPIs that are told without `kpis.live` where their denominator differs: their numerator is not kept."""
MERGED = IdentityMerged(time=NOW, source="shell", id="m", ids=("c0", "c1"))
WINDOWS = (155, 180, 366)
"""Days: what is silent for longer than a window and 30 days is live another one's when it comes again."""
Told = dict[tuple[str, tuple[str, ...]], tuple[Amount, Amount]]


def happened(seed: int, count: int) -> list[Fact]:
    """Events of two customers in order of time, of which some have the same orders or were sent under both."""
    draw = Random(seed)
    told = [some_fact(draw, n, 2) for n in range(count)]
    for n in range(draw.randrange(8)):
        who, again = draw.randrange(2), draw.random() < 0.3
        goods = draw.choice((None, 300))
        placed = order(1000 + n, f"c{who}", draw.randrange(185), draw.choice((0, 700, 1999)), cost_of_goods_minor=goods)
        told += [placed, replace(placed, customer_id=f"c{1 - who}")] if again else [placed]
    told = [one if one.anonymous_id is None else replace(one, customer_id=f"c{one.anonymous_id[1:]}") for one in told]
    told += [replace(one, customer_id=f"c{draw.randrange(2)}") for one in draw.choices(told, k=count // 8) if told]
    return sorted(told, key=lambda fact: fact.time)


def folded(facts: list[Fact], rules: Rules) -> Partition:
    """One partition after all that, with the clock at the end."""
    partition = Partition(rules, "customer-events", 0)
    for fact in facts:
        partition.fold([record(partition.applied + 1, fact)])
        while posted := partition.take_posted():
            for key, value in posted:
                partition.fold([(partition.applied + 1, key, value)])
    partition.fold([(partition.applied + 1, None, log.pack_tick(log.Tick(NOW, True)))])
    partition.checkpoint()
    return partition


def previewed(partition: Partition, rules: Rules) -> Preview:
    """What the merge would change."""
    kept = [*partition.shelf.pages.items(), *partition.stored.items()]
    return preview(rules, [one for one in kept if not one[0].startswith(b"\0")], MERGED, partition.clock, 90)


def made(found: Found, name: str, by: str | None) -> dict[tuple[str, ...], Amount]:
    """A KPI of files by labels: its value, and what it is made of."""
    definition = BY_NAME[name]
    formula = definition.formula_by(by)
    assert formula is not None
    values = {row.labels: row.value for row in formula.rows(found, definition.unit)}
    sums = found.sums
    match formula:
        case Count():
            return {labels: Amount(value) for labels, value in values.items()}
        case PerCost(_, bottom):
            return {key[1:]: Amount(None, None, n) for key, n in sums.items() if key[0] == bottom}
        case Spread(of):
            return {
                (key[1:] if key[1] else ()): Amount(
                    None if name == "clv_4" else values[*(key[1:] if key[1] else ()), "mean"],
                    float(one.mean * one.n / (100 if name.startswith("clv") else 1000)), one.n,
                )
                for key, one in found.spreads.items() if key[0] == of
            }  # fmt: skip
        case Ratio(top, bottom, minus):
            found_made = {}
            for labels in {key[1:] for key in sums if key[0] in (top, bottom, minus)}:
                above, below = Fraction(sums[top, *labels] - sums[minus, *labels]), Fraction(sums[bottom, *labels])
                is_money = labels[:1] == ("EUR",)
                above /= 100 if is_money else 1000 if name == "ces" else 1
                below /= 100 if name == "refund_rate" else 1
                found_made[labels] = Amount(values.get(labels), float(above), float(below))
            return found_made


def differences(before: Found, after: Found) -> Told:
    """All KPIs of files that differ, but for those of the path."""
    told: Told = {}
    for definition in DEFINITIONS:
        for by in (None, *(label for label, _ in definition.by)):
            if definition.name in OF_THE_PATH:
                continue
            nothing = _nothing(definition.formula)
            was, now = (made(found, definition.name, by) for found in (before, after))
            for labels in was.keys() | now.keys():
                one, other = was.get(labels, nothing), now.get(labels, nothing)
                if one != other:
                    told[f"{definition.name}/{by or ''}", labels] = one, other
    return told


def _nothing(formula: object) -> Amount:
    return Amount(0) if isinstance(formula, Count) else Amount(None, None if isinstance(formula, PerCost) else 0, 0)


def said(found: Preview) -> Told:
    """The same of a preview."""
    told: Told = {}
    for one in found.kpis.changed:
        own = BY_NAME[one.kpi].labels
        by = next((label for label in one.labels if label not in own), "")
        if one.kpi not in OF_THE_PATH:
            told[f"{one.kpi}/{by}", tuple(one.labels.values())] = one.before, one.after
    return told


def alike(one: Amount, other: Amount, name: str) -> bool:
    """Whether two tell the same, but for a cent where files are rounded customer by customer."""
    within = 0.011 if name.startswith(ROUNDED) else 1e-9
    pairs = [(one.value, other.value), (one.numerator, other.numerator), (one.denominator, other.denominator)]
    return all(
        (a is None) is (b is None) and abs((a or 0) - (b or 0)) <= within * (2 if n else 1)
        for n, (a, b) in enumerate(pairs)
    )


@effort(150)
@given(st.integers(0, 1 << 32), st.sampled_from((0, 3, 20, 60)), st.sampled_from(WINDOWS))
def test_what_is_said_of_kpis_is_what_files_with_the_merge_come_to(seed: int, count: int, window: int) -> None:
    """Each KPI whose value, numerator or denominator differs is named, with both; and no other."""
    facts, rules = happened(seed, count), KEEP_ALL._replace(window=window)
    found = previewed(folded(facts, rules), rules)
    span = whole_days(day_of(NOW), window)
    right = differences(found_in(facts, rules, span), found_in([*facts, MERGED], rules, span))
    told = said(found)
    near = {key for key in told.keys() ^ right.keys() if key[0].startswith(ROUNDED)}
    assert told.keys() - near == right.keys() - near
    for key in told.keys() & right.keys():
        assert all(alike(a, b, key[0]) for a, b in zip(told[key], right[key], strict=True)), (
            key,
            told[key],
            right[key],
        )
    assert found.kpis.unknown == ()


@effort(80)
@given(st.integers(0, 1 << 32), st.sampled_from((0, 20, 60)))
def test_without_live_kpis_orders_and_stages_say_the_same(seed: int, count: int) -> None:
    """With kpis.live off what ledger and path hold is told alike, the rest is named; nothing else is claimed."""
    facts, on = happened(seed, count), KEEP_ALL._replace(window=90)
    off = on._replace(window=0)
    full, bare = previewed(folded(facts, on), on).kpis, previewed(folded(facts, off), off).kpis
    right = {(one.kpi, *one.labels.values()): one for one in full.changed}
    for one in bare.changed:
        due = right[one.kpi, *one.labels.values()]
        for told, known in ((one.before, due.before), (one.after, due.after)):
            assert told.value in (None, known.value)
            assert told.numerator in (None, known.numerator)
            assert told.denominator == known.denominator
    told_of = {one.kpi for one in bare.changed}
    assert told_of.isdisjoint(bare.unknown)
    lost = {one.kpi for one in full.changed if {*one.labels} <= {*BY_NAME[one.kpi].labels}} - told_of - {*bare.unknown}
    assert lost <= MAYBE_BY_NUMERATOR


def test_it_reads_as_a_person_asks() -> None:
    """Values with what they are made of, costs left out, cohorts in one line, and by channel only what differs there."""
    google = Context(source="google", medium="cpc")
    facts: list[Fact] = [
        order(1, "c0", 30, 1000, context=google),
        order(2, "c1", 120, 3000),
        order(2, "c0", 120, 3000),
        TicketCreated(time=START + 130 * DAY, source="desk", id="t1", ticket_id="t", customer_id="c1"),
        TicketSolved(time=START + 131 * DAY, source="desk", id="t2", ticket_id="t", by="bot", customer_id="c1"),
    ]
    rules = KEEP_ALL._replace(window=90)
    lines = [*kpi_lines(previewed(folded(facts, rules), rules).kpis)]
    assert "\n".join(lines) == (
        "kpis of theirs over the 90 days up to 2024-08-19, before -> after\n"
        "  new_customers                        1 -> 0\n"
        "  cac                                  costs ÷ 1 -> costs ÷ 0\n"
        "  support_assisted_conversion          0.0000 (0 ÷ 1) -> none (0 ÷ 0)\n"
        "  orders{EUR}                          2 -> 1\n"
        "  orders{EUR, channel direct}          1 -> 0\n"
        "  gross_revenue{EUR}                   60.00 -> 30.00\n"
        "  net_revenue{EUR}                     60.00 -> 30.00\n"
        "  net_revenue{EUR, channel direct}     30.00 -> 0.00\n"
        "  aov{EUR}                             30.00 (60.00 ÷ 2) -> 30.00 (30.00 ÷ 1)\n"
        "  aov{EUR, channel direct}             30.00 (30.00 ÷ 1) -> none (0.00 ÷ 0)\n"
        "  refund_rate{EUR}                     0.0000 (0.00 ÷ 60.00) -> 0.0000 (0.00 ÷ 30.00)\n"
        "  active_customers                     2 -> 1\n"
        "  rpr                                  0.0000 (0 ÷ 2) -> 0.0000 (0 ÷ 1)\n"
        "  rpr_by_orders                        0.0000 (0 ÷ 2) -> 0.0000 (0 ÷ 1)\n"
        "  clv_1{EUR}                           35.00 (70.00 ÷ 2) -> 40.00 (40.00 ÷ 1)\n"
        "  clv_3{EUR}                           35.00 (70.00 ÷ 2) -> 40.00 (40.00 ÷ 1)\n"
        "  clv_4{EUR}                           (70.00 - costs) ÷ 2 -> (40.00 - costs) ÷ 1\n"
        "  referral_rate                        0.0000 (0 ÷ 2) -> 0.0000 (0 ÷ 1)\n"
        "  referred_share                       0.0000 (0 ÷ 1) -> none (0 ÷ 0)\n"
        "  advocacy                             0.0000 (0 ÷ 2) -> 0.0000 (0 ÷ 1)\n"
        "  engagement_frequency                 0.50 (1 ÷ 2) -> 1.00 (1 ÷ 1)\n"
        "  stage_counts{conversion}             1 -> 0\n"
        "  transitions{none, conversion}        1 -> 0\n"
        "  funnel{acquisition}                  2 -> 1\n"
        "  funnel{conversion}                   2 -> 1\n"
        "  funnel{reach}                        2 -> 1\n"
        "  cohort_retention{2024-05, 00 to 02}  1.0000 (1 ÷ 1) -> none (0 ÷ 0)"
    )


def test_without_live_kpis_it_says_what_it_cannot_tell() -> None:
    """What has no numerator there has a question mark, what has nothing is named at the end."""
    rules = KEEP_ALL._replace(window=0)
    facts: list[Fact] = [order(1, "c0", 150, 1000), order(2, "c1", 160, 3000)]
    lines = [*kpi_lines(previewed(folded(facts, rules), rules).kpis)]
    assert "\n".join(lines) == (
        "kpis of theirs over the 90 days up to 2024-08-19, before -> after\n"
        "  new_customers                2 -> 1\n"
        "  cac                          costs ÷ 2 -> costs ÷ 1\n"
        "  support_assisted_conversion  ? ÷ 2 -> ? ÷ 1\n"
        "  active_customers             2 -> 1\n"
        "  rpr                          0.0000 (0 ÷ 2) -> 1.0000 (1 ÷ 1)\n"
        "  rpr_by_orders                0.0000 (0 ÷ 2) -> 1.0000 (1 ÷ 1)\n"
        "  clv_1{EUR}                   20.00 (40.00 ÷ 2) -> 40.00 (40.00 ÷ 1)\n"
        "  clv_3{EUR}                   20.00 (40.00 ÷ 2) -> 40.00 (40.00 ÷ 1)\n"
        "  clv_4{EUR}                   (? - costs) ÷ 2 -> (? - costs) ÷ 1\n"
        "  referral_rate                ? ÷ 2 -> ? ÷ 1\n"
        "  referred_share               ? ÷ 2 -> ? ÷ 1\n"
        "  advocacy                     ? ÷ 2 -> ? ÷ 1\n"
        "  engagement_frequency         ? ÷ 2 -> ? ÷ 1\n"
        "  stage_counts{conversion}     2 -> 0\n"
        "  stage_counts{retention}      0 -> 1\n"
        "  funnel{acquisition}          2 -> 1\n"
        "  funnel{conversion}           2 -> 1\n"
        "  funnel{reach}                2 -> 1\n"
        "  funnel{retention}            0 -> 1\n"
        "  not told are 37 KPIs, such as sessions, visitors, traffic_by_source: what they are made of is "
        "kept with kpis.live alone; --json names them"
    )
