"""`lifestage kpis` on files: the numbers of real purchases, the pipeline against the core, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from commands.main import application
from commands.progress import Lines
from config.plan_files import sheet_of
from config.settings import Settings
from lifestage.facts import Fact
from lifestage.kpi_contribute import Bought
from lifestage.kpi_follow import found_in
from lifestage.kpi_formulas import Row
from lifestage.kpi_gather import Span
from lifestage.kpis import BREAKDOWNS, DEFINITIONS
from streams.doorway import decoder_of
from streams.offline import working
from streams.offline_kpi_values import values
from streams.offline_kpis import NAMED, bought_in, bought_record, named_in, single_record, value_in
from streams.offline_work import Job
from streams.rules import rules_with
from tests.core.cdnow import FILE
from tests.core.effort import effort
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.core.samples import event
from tests.offline.some_events import some_event

SETTINGS = Settings()
CLM5 = sheet_of("clm5").plan


@pytest.fixture
def kpis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage kpis` in a folder of its own, with no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(application(), ["kpis", *words], input=stdin)

    return run


def write(name: str, *told: dict[str, Any]) -> None:
    """A file of events in the current folder."""
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in told))


# -- real purchases ----------------------------------------------------------------------------------------------


def rows() -> Iterator[tuple[str, date, int]]:
    """Customer, day and cents of each row of the sample."""
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["customer"], date.fromisoformat(row["date"]), round(float(row["dollars"]) * 100)


def by_hand(t: date, window: int) -> dict[str, Any]:
    """KPIs of the sample with sets of customers and dates, and nothing else."""
    all_rows = list(rows())
    t0 = t - timedelta(window)
    was, now = ({who for who, day, _ in all_rows if end - timedelta(90) < day <= end} for end in (t0, t))
    first = {who: min(day for one, day, _ in all_rows if one == who) for who in now | was}
    new = {who for who in now if t0 < first[who] <= t}
    within = [row for row in all_rows if t0 < row[1] <= t]
    days: dict[str, list[date]] = {}
    for who, day, _ in within:
        days.setdefault(who, []).append(day)
    revenue = sum(cents for *_, cents in within)
    return {
        "orders": {"USD": len(within)},
        "net_revenue": {"USD": revenue / 100},
        "aov": {"USD": round(revenue / len(within)) / 100},
        "active_customers": len(now),
        "rpr": sum(len(set(found)) > 1 for found in days.values()) / len(days),
        "rpr_by_orders": sum(len(found) > 1 for found in days.values()) / len(days),
        **({"crr": len(was & now) / len(was), "crr_naive": len(now - new) / len(was)} if was else {}),
        "reactivated": len(now - was - new),
    }


@pytest.mark.parametrize(
    ("at", "window", "pinned"),
    [
        ("1998-06-30", 365, {"orders": {"USD": 2715}, "net_revenue": {"USD": 97_963.70}, "aov": {"USD": 36.08},
                             "crr": 156 / 521, "crr_naive": 299 / 521, "reactivated": 143, "rpr": 483 / 812,
                             "rpr_by_orders": 486 / 812}),
        ("1998-06-30", 90, {"orders": {"USD": 509}, "crr": 170 / 385, "crr_naive": 299 / 385, "reactivated": 129}),
        ("1998-06-30", 600, {"orders": {"USD": 6919}, "net_revenue": {"USD": 244_091.94}, "aov": {"USD": 35.28},
                             "rpr": 1139 / 2357, "rpr_by_orders": 1152 / 2357, "active_customers": 299}),
        ("1997-06-30", 90, {"crr": 520 / 2346, "crr_naive": 521 / 2346, "reactivated": 1}),
    ],
)  # fmt: skip
def test_real_purchases_give_the_numbers_of_a_count_by_hand(
    kpis: Callable[..., Result], at: str, window: int, pinned: dict[str, Any]
) -> None:
    """CDNOW: retention by true overlap with the textbook's figure beside it, revenue, average order, repeats by days and by rows."""
    done = kpis(str(FILE), "--csv", "cdnow", "--plan", "clm5", "--at", at, "--window", f"{window}d", "--json")
    assert done.exit_code == 0, done.stderr
    found, expected = json.loads(done.stdout), by_hand(date.fromisoformat(at), window)
    assert expected | pinned == expected
    assert {name: found[name] for name in expected} == expected
    assert ("crr" in found) == ("crr" in expected)
    if at == "1998-06-30":
        assert found["stage_counts"] == {"at_risk": 215, "churned": 1843, "loyalty": 198, "retention": 101}


# -- the pipeline ------------------------------------------------------------------------------------------------


def offline(files: list[Path], job: Job, processes: int, by: str | None = None) -> dict[str, list[Row]]:
    """The rows of all KPIs that files give."""
    assert job.span is not None
    shown = Lines()
    with working(job, [str(file) for file in files], shown, processes, 2_000) as result:
        return values(result, job.span, by, shown=shown).rows


MORE = ("cost.recorded", "ad.click", "cart.updated", "feedback.received", "ticket.created", "ticket.solved",
        "referral.converted", "subscription.started", "trial.started", "ad.impression")  # fmt: skip


def lines_of(seed: int) -> list[bytes]:
    """Events of a few people by many ids, with repeats, merges, splits, refunds by their order alone, bots and tests."""
    draw = Random(seed)
    told = [some_event(draw) for _ in range(draw.randrange(60))]
    told += [
        event(draw.choice(MORE), id=f"m{n}", time=START + draw.choice((0, 60, 90, 100)) * DAY,
              customer_id=f"c{draw.randrange(5)}", bot=draw.random() < 0.1, test=draw.random() < 0.1)
        for n in range(draw.randrange(20))
    ]  # fmt: skip
    found = [json.dumps(one).encode() for one in [*told, *draw.choices(told, k=len(told) // 4)]] if told else []
    draw.shuffle(found)
    return found


@effort(60)
@given(st.integers(0, 1 << 40), st.sampled_from((30, 90, 400)), st.sampled_from((91, 181, 366)))
def test_files_give_what_the_core_gives(seed: int, window: int, day: int) -> None:
    """Sorted on disk with 2 kB of memory, or in one go: both are what the core makes of the decoded facts."""
    told = lines_of(seed)
    span = Span(START + (day - window) * DAY, START + day * DAY)
    decoder = decoder_of(SETTINGS)
    known = [fact for fact in (decoder.decode(line, None) for line in told) if isinstance(fact, Fact)]
    found = found_in(known, rules_with(SETTINGS, CLM5), span)
    expected = {one.name: theirs for one in DEFINITIONS if (theirs := one.formula.rows(found, one.unit))}
    job = Job(SETTINGS, (CLM5,), until=span.end + 1, span=span)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "all.jsonl"
        file.write_bytes(b"\n".join(told))
        assert offline([file], job, 1) == expected
        assert offline([file], job._replace(memory=2_000, fan_in=2), 1) == expected
        for by in BREAKDOWNS:
            told_by = {
                one.name: formula.rows(found, one.unit) for one in DEFINITIONS if (formula := one.formula_by(by))
            }
            assert len(told_by) >= 6
            assert offline([file], job, 1, by) == {k: v for k, v in (expected | told_by).items() if v}


def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    """Two workers, each with parts of the persons, add up to the same."""
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"\n".join(line for seed in range(9) for line in lines_of(seed)))
    job = Job(SETTINGS, (CLM5,), until=START + 181 * DAY + 1, span=Span(START + 91 * DAY, START + 181 * DAY))
    alone = offline([file], job, 1)
    assert len(alone) > 20
    assert offline([file], job, 2) == alone


def test_labels_that_events_name_take_no_more_memory_than_there_is(tmp_path: Path) -> None:
    """600 sources in memory for three sums: what is summed goes to disk again and again, and the 20 most frequent are exact."""
    count = {f"spam-{n:03}": 1 + (n % 97 == 0) * n for n in range(600)}
    told = [
        event(id=f"{source}-{n}", customer_id=f"{n % 7}-{source}", session_id=f"s{n}", context={"source": source})
        for source, times in count.items() for n in range(times)
    ]  # fmt: skip
    Random(1).shuffle(told)
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"\n".join(json.dumps(one).encode() for one in told))
    job = Job(SETTINGS, (CLM5,), until=START + 90 * DAY + 1, span=Span(START, START + 90 * DAY), memory=3_072)
    often = sorted(count, key=lambda source: (-count[source], source))[:20]
    expected = {(source, "none"): count[source] for source in often}
    expected["other", "other"] = sum(count.values()) - sum(expected.values())
    for processes in (1, 2):
        rows = offline([file], job, processes)["traffic_by_source"]
        assert {row.labels: row.value for row in rows} == expected
    with working(job, [str(file)], Lines(), 1, 2_000) as result:
        assert {key[0] for key in result.sums} & {"sessions_by_source"} == set()
        named = [named_in(record) for record in result.records() if record.startswith(NAMED)]
        assert sum(key == ("sessions_by_source", often[0], "none") for key, _ in named) > 1


# -- the command -------------------------------------------------------------------------------------------------


def test_the_instant_is_in_and_the_windows_begin_is_out(kpis: Callable[..., Result]) -> None:
    """An order at the instant counts, one a millisecond later does not; one at the window's begin is before it."""
    times = {
        "a": "2024-04-01T00:00:00.001Z",
        "b": "2024-04-01T00:00:00Z",
        "c": "2024-03-02T00:00:00.001Z",
        "d": "2024-03-02T00:00:00Z",
    }
    write("e.jsonl", *(event("order.completed", id=n, order_id=n, time=at, customer_id=n) for n, at in times.items()))
    done = kpis("e.jsonl", "--at", "2024-04-01", "--window", "30d", "--json")
    assert "3 accepted, 0 rejected, 1 after --at" in done.stderr
    found = json.loads(done.stdout)
    assert found["orders"] == {"EUR": 2}
    assert found["new_customers"] == 2
    assert found["active_customers"] == 3


def test_it_is_computed_up_to_the_end_of_time(kpis: Callable[..., Result]) -> None:
    """The last instant that can be written but one, over the longest window."""
    write(
        "e.jsonl",
        event("order.completed"),
        event("cost.recorded", id="e2", category="support", period_end="9999-12-31T00:00:00Z"),
    )
    done = kpis("e.jsonl", "--at", "9999-12-31T23:59:59.998Z", "--window", "36525d", "--json")
    assert done.exit_code == 0, done.stderr or done.exception
    found = json.loads(done.stdout)
    assert found["stage_counts"] == {"churned": 1}
    assert found["clv_1"]["EUR"]["mean"] == 100.0


def test_currencies_are_not_mixed_and_who_has_none_is_absent(kpis: Callable[..., Result]) -> None:
    """Money by currency, in its own major units; KPIs without a denominator are not in the object."""
    write(
        "e.jsonl",
        event("order.completed", currency="EUR", total="10.00", tax=..., items=...),
        event("order.completed", id="e2", order_id="o2", currency="JPY", total="1500", tax=..., items=...),
        event("order.refunded", id="e3", order_id="o1", amount="4.00", currency="EUR", customer_id=...),
    )
    found = json.loads(kpis("e.jsonl", "--at", "2024-03-01", "--json").stdout)
    assert found["aov"] == {"EUR": 6.0, "JPY": 1500.0}
    assert found["refund_rate"] == {"EUR": 0.4, "JPY": 0.0}
    assert found["gross_revenue"] == {"EUR": 10.0, "JPY": 1500.0}
    assert {"crr", "cac", "nps", "open_rate", "visitors"}.isdisjoint(found)


def test_the_greatest_amounts_add_up(kpis: Callable[..., Result]) -> None:
    """A customer with many orders of the greatest amount there is: more minor units than 63 bits hold; nor are 64 too many."""
    orders, great = 10_000, "10000000000000.00"
    write("e.jsonl", *(event("order.completed", id=f"e{n}", order_id=f"o{n}", total=great, tax=..., items=...) for n in range(orders)))  # fmt: skip
    done = kpis("e.jsonl", "--at", "2024-03-01", "--json")
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found["clv_1"]["EUR"] == found["clv_3"]["EUR"] == dict.fromkeys(("mean", "median", "p90"), 1e17)
    assert found["gross_revenue"] == {"EUR": 1e17}
    one = Bought("ann", "EUR", 1, 1 << 70, 1 << 69, 1 << 68, 0, "direct", (1, 2), True)
    assert bought_in(bought_record(one)[1:]) == one
    assert value_in(single_record("clv_1", "EUR", -(1 << 70))) == -(1 << 70)


def test_one_person_by_several_ids_counts_once_and_blocked_ids_bind_nobody(kpis: Callable[..., Result]) -> None:
    """Three devices of one customer are one visitor; two guests are two."""
    write(
        "e.jsonl",
        *(event(id=f"v{n}", customer_id="ann", anonymous_id=f"d{n}", session_id=f"s{n}") for n in range(3)),
        *(event(id=f"w{n}", customer_id=..., anonymous_id=f"d{n}", session_id=f"t{n}") for n in range(3)),
        *(event(id=f"x{n}", customer_id="guest", anonymous_id=f"g{n}", session_id="u") for n in range(2)),
        event(id="bot", customer_id="robot", bot=True),
        event(id="test", customer_id="tester", test=True),
    )
    found = json.loads(kpis("e.jsonl", "--at", "2024-03-01", "--json").stdout)
    assert (found["visitors"], found["sessions"]) == (3, 8)


def test_a_person_reads_a_table(kpis: Callable[..., Result]) -> None:
    """Units, what a value speaks of, the plan's stage and target, what has no value; who is worth most."""
    write("e.jsonl", event("order.completed", customer_id="ann"), event("feedback.received", id="e2"))
    done = kpis("e.jsonl", "--plan", "clm7", "--at", "2024-03-01")
    assert done.exit_code == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[0] == ["as", "of", "2024-03-01T00:00:00Z,", "over", "90d,", "plan", "clm7", "version", "1"]
    assert ["nps", "100.0", "1", "satisfaction", "30"] in table
    assert ["aov{EUR}", "100.00", "EUR", "1", "purchase"] in table
    assert "no value, as nothing to divide by or to count: sessions, " in done.stdout
    assert done.stdout.endswith("worth most  ann  100.00 EUR\n")
    assert "2 events" in done.stderr


def test_a_funnel_is_told_from_its_top(kpis: Callable[..., Result]) -> None:
    """Stages stand in the order of the plan's ranks, those without a rank after them."""
    write(
        "e.jsonl",
        event("order.completed", time="2024-03-20T00:00:00Z"),
        event("order.completed", id="e2", order_id="o2", customer_id="bob", time="2023-03-20T00:00:00Z"),
        event("lead.captured", id="e3", customer_id="eve", time="2024-03-20T00:00:00Z"),
    )
    told = [line.split()[0] for line in kpis("e.jsonl", "--at", "2024-04-01").stdout.splitlines()]
    assert [name for name in told if "{" in name and name.startswith(("stage_counts", "funnel"))] == [
        "stage_counts{acquisition}", "stage_counts{conversion}", "stage_counts{churned}",
        "funnel{reach}", "funnel{acquisition}", "funnel{conversion}",
    ]  # fmt: skip


def test_costs_by_channel(kpis: Callable[..., Result]) -> None:
    """`--by channel` divides each channel's cost by its own customers: February has 29 days, all of them in the window."""
    write(
        "e.jsonl",
        event("order.completed", customer_id="ann", context={"medium": "search"}),
        event("order.completed", id="e2", order_id="o2", customer_id="bob"),
        event("cost.recorded", id="e3", time="2024-02-01T00:00:00Z"),
    )
    assert json.loads(kpis("e.jsonl", "--at", "2024-03-01", "--json").stdout)["cac"] == {"EUR": 900.0}
    found = json.loads(kpis("e.jsonl", "--at", "2024-03-01", "--json", "--by", "channel").stdout)
    assert found["cac"] == {"EUR": {"search": 1800.0}}
    assert found["new_customers"] == {"direct": 1, "search": 1}
    ten_days = json.loads(kpis("e.jsonl", "--at", "2024-03-01", "--window", "10d", "--json").stdout)
    assert ten_days["cac"] == {"EUR": round(180_000 * 10 / 29 / 2) / 100}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--at TIME says as of when"),
        (("--at", "yesterday"), "--at 'yesterday': expected an RFC 3339 time with a zone"),
        (("--at", "1969-12-31"), "--at '1969-12-31': expected an instant from 1970-01-01T00:00:00Z"),
        (("--at", "2024-03-01", "--window", "many"), "--window 'many': "),
        (("--at", "2024-03-01", "--window", "0d"), "--window '0d': expected a length of time above 0"),
        (("--at", "2024-03-01", "--window", "-5d"), "--window '-5d': "),
        (("--at", "2024-03-01", "--by", "country"), "--by 'country': expected channel"),
        (("--at", "2024-03-01", "--plan", "klm5"), "no plan 'klm5'; did you mean 'clm5'?"),
    ],
)
def test_a_wrong_word_is_refused(kpis: Callable[..., Result], words: tuple[str, ...], said: str) -> None:
    """What is wrong is named, with what was expected."""
    write("e.jsonl", event())
    done = kpis("e.jsonl", *words)
    told = " ".join((done.stderr + str(done.exception or "")).replace("│", " ").split())
    assert said in told
    assert done.exit_code != 0
    assert done.stdout == ""


def test_files_are_needed(kpis: Callable[..., Result]) -> None:
    """Without files it is said what is to be named."""
    done = kpis("--at", "2024-03-01")
    assert done.exit_code == 2
    assert "name files, or - for stdin" in done.stderr


def test_the_page_is_printed(kpis: Callable[..., Result]) -> None:
    """`--page` prints docs/kpis.md, and needs no files."""
    page = Path(__file__).parents[2] / "docs" / "kpis.md"
    assert kpis("--page").stdout == page.read_text(encoding="utf-8")


def test_the_rules_are_printed(kpis: Callable[..., Result]) -> None:
    """`--rules` prints Prometheus' recording rules, and needs no files."""
    rules = Path(__file__).parents[2] / "config" / "prometheus" / "rules" / "kpis.yml"
    assert kpis("--rules").stdout == rules.read_text(encoding="utf-8")
