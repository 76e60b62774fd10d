"""A dry run names the KPIs that a merge would change: what workers then count on a real Kafka is what it said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from commands.main import application
from lifestage.kpi_formulas import Count, PerCost, Ratio, Spread
from lifestage.kpi_parts import PREFIX
from lifestage.kpi_spread import COUNT, SUM
from lifestage.kpis import BY_NAME
from lifestage.moments import iso, parse
from streams.embedded.kafka import KafkaServer
from tests.pipeline import Deployment, deployment, samples
from tests.wire import produce
from tests.workers import Worker

pytestmark = pytest.mark.broker

DAY = 86_400_000
START = parse("2024-02-01T00:00:00Z")
Parts = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Metrics by name and labels."""
OF_FILES = frozenset({"clv_2", "clv_3", "clv_4", "cohort_retention"})
"""KPIs that workers expose no part of for themselves, or another one for each cohort."""


def event(id: str, kind: str, day: float, who: str, **fields: Any) -> dict[str, Any]:
    """An event of a customer on a day after the start."""
    common = {"id": id, "source": "shop", "type": kind, "time": iso(START + round(day * DAY)), "customer_id": who}
    return {**common, **fields}


def order(id: str, day: float, who: str, total: str, **fields: Any) -> dict[str, Any]:
    """An order in EUR."""
    return event(id, "order.completed", day, who, order_id=id, currency="EUR", total=total, **fields)


EVENTS = [
    event("v1", "web.visit", 0, "ann", url="/", session_id="s1", context={"source": "google", "medium": "cpc"}),
    event("v2", "web.visit", 1, "bob", url="/", session_id="s1"),
    event("l1", "lead.captured", 1, "bob", lead_id="l1", form="newsletter", qualified=True),
    order("o1", 2, "ann", "20.00"),
    order("o2", 3, "bob", "30.00", cost_of_goods="10.00"),
    order("o1", 2, "bob", "20.00"),
    event("t1", "ticket.created", 3, "bob", ticket_id="t1", by="customer"),
    event("t2", "ticket.solved", 3.5, "bob", ticket_id="t1", by="bot"),
    event("n1", "feedback.received", 4, "ann", survey_id="q", metric="nps", score=9),
    event("n2", "feedback.received", 5, "bob", survey_id="q", metric="nps", score=3),
    event("m1", "email.event", 5, "ann", message_id="m1", event="delivered", campaign_id="spring"),
    order("o9", 5, "eve", "70.00"),
]


@pytest.fixture(params=["true", "false"])
def at_work(
    request: pytest.FixtureRequest,
    kafka: KafkaServer,
    tmp_path: Path,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Deployment, Worker, bool]]:
    """A deployment with or without live KPIs, whose worker has folded all events and works on; commands have its settings."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, kpis__live=request.param) as made, made.worker() as worker:
        worker.wait_ready()
        for one in EVENTS:
            topic = "purchases" if "order_id" in one else "emails" if "message_id" in one else "visits"
            produce(made.bootstrap, made.prefix + topic, [(b"k", json.dumps(one).encode())])
            made.wait_done(alive=[worker])
        made.end_tick(START + 6 * DAY)
        made.wait_done(alive=[worker])
        monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
        for name, value in made.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        yield made, worker, request.param == "true"


def run(*words: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(application(), [*words])
    assert done.exit_code == 0, f"{done.stderr}{done.exception}"
    return done.stdout


def parts(worker: Worker) -> Parts:
    """The parts of KPIs that the worker exposes."""
    return {
        (name.removeprefix(PREFIX), labels): value
        for (name, labels), value in samples(worker).items()
        if name.startswith(PREFIX) and not name.endswith("_bucket")
    }


def used(one: dict[str, Any]) -> dict[str, str]:
    """The sums that a value is made of, by where they stand: what is divided, what is taken off that, by what it is divided."""
    formula = BY_NAME[one["kpi"]].formula_by(one["by"])
    match formula:
        case Count(of):
            return {"top": of}
        case Ratio(top, bottom, minus):
            return {"top": top, "bottom": bottom} | ({"minus": minus} if minus else {})
        case PerCost(_, bottom):
            return {"bottom": bottom}
        case Spread(of):
            return {"top": of + SUM, "bottom": of + COUNT}
    raise AssertionError(one)


def moved(one: dict[str, Any], before: Parts, after: Parts) -> dict[str, float]:
    """By how much the worker's numbers moved."""
    labels = frozenset(one["labels"].items())
    found = {}
    for place, of in used(one).items():
        name = of.replace("/", "_by_")
        found[place] = after.get((name, labels), 0) - before.get((name, labels), 0)
    return found


def said(one: dict[str, Any]) -> dict[str, float]:
    """By how much they were said to move."""
    before, after = one["before"], one["after"]
    if "denominator" not in before:
        return {"top": after["value"] - before["value"]}
    found = {"bottom": after["denominator"] - before["denominator"]}
    if "numerator" in before:
        found["top"] = after["numerator"] - before["numerator"]
    return found


def test_what_was_said_of_kpis_is_what_the_worker_counts(at_work: tuple[Deployment, Worker, bool]) -> None:
    """With live KPIs every part that moves was named, by as much; without, stages and orders are told all the same."""
    _, worker, live = at_work
    found = json.loads(run("identity", "merge", "ann", "bob", "--dry-run", "--json"))["kpis"]
    told = run("identity", "merge", "ann", "bob", "--dry-run")
    before = parts(worker)
    by_name = {(one["kpi"], *one["labels"].values()): one for one in found["changed"]}
    assert (found["window_days"], found["until"]) == (90, "2024-02-07")
    assert by_name["active_customers",]["before"] == {"value": 2}
    assert by_name["active_customers",]["after"] == {"value": 1}
    assert by_name["rpr",]["after"] == {"value": 1.0, "numerator": 1, "denominator": 1}
    assert by_name["clv_1", "EUR"]["after"] == {"value": 50.0, "numerator": 50.0, "denominator": 1}
    assert "  aov{EUR}  " in told
    assert " 23.33 (70.00 ÷ 3) -> 25.00 (50.00 ÷ 2)\n" in told
    assert bool(found["unknown"]) is not live
    assert ("nps" in {one["kpi"] for one in found["changed"]}) is live
    run("identity", "merge", "ann", "bob")
    if not live:
        assert before == {}
        return
    due = {key: one for key, one in by_name.items() if one["kpi"] not in OF_FILES}
    deadline = time.monotonic() + 30
    while (after := parts(worker)) == before:
        assert time.monotonic() < deadline, "nothing has moved"
    for key, one in due.items():
        really, expected = moved(one, before, after), said(one)
        really["top"] = really.get("top", 0) - really.pop("minus", 0)
        scale = 0.001 if one["kpi"] == "ces" else 1
        for place, number in expected.items():
            assert really[place] * scale == pytest.approx(number), (key, place)
    names = {of.replace("/", "_by_") for one in found["changed"] for of in used(one).values()}
    # of lifetime values, which are told as one; and one fewer who is active and new, which leaves the difference of both
    names |= {"new_active", "clv_orders_sum", "clv_orders_count", "clv_known_net", "clv_goods"}
    all_moved = {
        name
        for name, labels in before.keys() | after.keys()
        if before.get((name, labels), 0) != after.get((name, labels), 0)
    }
    assert all_moved <= names, all_moved - names
    assert {"buyers", "nps_answers", "leads_by_channel", "clv_1_sum", "stage_counts", "new_customers"} <= all_moved
