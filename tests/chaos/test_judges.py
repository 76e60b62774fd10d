"""The judges are judged: what is right passes, every kind of slip is found, and the table says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from config.settings import load
from lifestage import log
from lifestage.change import encode_value
from lifestage.partition import Partition
from lifestage.profile import decode, encode
from streams.doorway import Doorway, decoder_of
from streams.reconcile import Difference, Recounted
from streams.recounting import Outcome
from streams.rules import rules_of
from tests.chaos.__main__ import main
from tests.chaos.arena import END_MS, Arena
from tests.chaos.naive import Naive
from tests.chaos.poison import LATE_S, restarts
from tests.chaos.poison import late as delayed
from tests.chaos.recount import amiss
from tests.chaos.scenarios import Scenario
from tests.chaos.shop import Said, latecomers, shop
from tests.chaos.siege import Order
from tests.chaos.table import Row, markdown, plain
from tests.chaos.verdict import slips
from tests.pipeline import Deployment, Written
from tests.workers import Worker

SEED = 5
EVENTS = 6_000


def worked(said: list[Said], late: list[Said]) -> tuple[Written, int]:
    """What the product's own step makes of events, then of all time passing, then of what comes too late; and how many
    dead letters it writes."""
    settings = load(environment={"LIFESTAGE_IDENTITY_SECRET": "a secret of the tests"})
    doorway = Doorway(decoder_of(settings), ("visits", "emails", "purchases"), 1)
    partition, written, letters = Partition(rules_of(settings), "log", 0), Written(), 0
    records: list[tuple[int, bytes | None, bytes]] = []
    for at, one in enumerate([*said, None, *late]):
        if one is None:
            records.append((at, None, log.pack_tick(log.Tick(END_MS, live=False))))
            continue
        source = SimpleNamespace(
            topic=one.topic, partition=0, offset=at, timestamp=END_MS, key=None, value=one.value, headers=()
        )
        entry = doorway.enter(source)
        letters += entry.dead_letter is not None
        records.append((at, entry.key, entry.value))
    for change in partition.fold(records):
        written.newest[change.partitionkey] = encode_value(change.data)
    partition.checkpoint()
    written.profiles.update(partition.stored)
    written.markers[0] = partition.marker
    return written, letters


@pytest.fixture(scope="module")
def said() -> list[Said]:
    """A few thousand events of the shop."""
    return list(islice(shop(SEED), EVENTS))


@pytest.fixture(scope="module")
def late() -> list[Said]:
    """Visits that come too late."""
    return list(latecomers(SEED, 50))


def test_what_is_right_passes(said: list[Said], late: list[Said]) -> None:
    """The step of the product and the naive judge, who share no line of code, agree on every customer of five seeds."""
    assert slips(Naive().hear(said).hear(late), *worked(said, late)) == []
    for seed in range(4):
        others = list(islice(shop(100 + seed), EVENTS))
        assert slips(Naive().hear(others), *worked(others, [])) == []


def test_the_shop_has_everything_in_it(said: list[Said]) -> None:
    """Each fate, each kind of event and each way to end is there, so that none passes because it never happens."""
    naive = Naive().hear(said)
    ends = naive.customers().values()
    assert {one.fate for one in said} == {"accepted", "duplicate", "suppressed", "rejected"}
    assert {kind for _, kind, _ in naive.accounts} == {
        "web.visit", "email.event", "order.completed", "order.refunded", "order.cancelled", "unknown",
    }  # fmt: skip
    assert {end.stage for end in ends} == {"churned", "dormant"}
    assert {end.high_water for end in ends} == {"reach", "acquisition", "conversion", "retention", "loyalty"}
    assert any((stage == "acquisition" and number) for end in ends for number, (_, stage) in enumerate(end.path[1:]))


def _without(said: list[Said], fate: str, kind: str) -> list[Said]:
    at = next(at for at, one in enumerate(said) if one.fate == fate and one.event["type"] == kind)
    return said[:at] + said[at + 1 :]


@pytest.mark.parametrize(
    ("fate", "kind"),
    [("accepted", "order.completed"), ("accepted", "web.visit"), ("duplicate", "web.visit"), ("rejected", "web.visit")],
)
def test_a_lost_event_is_found(said: list[Said], fate: str, kind: str) -> None:
    """An event that was sent and never arrived shows, also one that would have changed no stage."""
    assert slips(Naive().hear(said), *worked(_without(said, fate, kind), [])) != []


def test_an_event_that_is_folded_twice_is_found(said: list[Said]) -> None:
    """A record that is put into the log twice without being known again counts as one too many."""
    assert slips(Naive().hear(said), *worked([*said, said[EVENTS // 2]], [])) != []


def _double_an_order(written: Written) -> None:
    key, profile = next((key, decode(value)) for key, value in written.profiles.items() if decode(value).orders)
    profile.orders.append(profile.orders[0])
    written.profiles[key] = encode(profile)


def _forget_a_customer(written: Written) -> None:
    del written.profiles[next(iter(written.profiles))]


def _forget_a_change(written: Written) -> None:
    del written.newest[next(iter(written.newest))]


def _change_a_stage(written: Written) -> None:
    key, value = next(iter(written.newest.items()))
    written.newest[key] = msgspec.json.encode({**msgspec.json.decode(value), "stage": "loyalty"})


def _change_money(written: Written) -> None:
    next(iter(written.markers[0].sums.values()))[2] += 1


@pytest.mark.parametrize(
    "spoil", [_double_an_order, _forget_a_customer, _forget_a_change, _change_a_stage, _change_money]
)
def test_each_wrong_output_is_found(said: list[Said], spoil: Callable[[Written], None]) -> None:
    """One wrong profile, change or sum among hundreds is found, and one only."""
    written, letters = worked(said, [])
    spoil(written)
    assert len(slips(Naive().hear(said), written, letters)) == 1


@pytest.mark.parametrize(
    ("compared", "differences", "uncounted", "wrong"),
    [
        ({"orders": 7}, [], {}, 0),
        ({"orders": 7}, [Difference(1, "orders", ("EUR",), 3, 2)], {}, 1),
        ({"orders": 7}, [], {3: "its state was kept without KPIs"}, 1),
        ({}, [], {}, 1),
    ],
)
def test_kpis_that_differ_or_were_not_compared_are_found(
    compared: dict[str, int], differences: list[Difference], uncounted: dict[int, str], wrong: int
) -> None:
    """A sum that is not the log's is found, a partition that keeps none, and a recount of a log in which nothing was compared."""
    outcome = Outcome(Recounted(Counter(compared), 90, 4, differences), {0: 89}, uncounted, "log", 1.0)
    assert len(amiss(outcome, "now")) == wrong


@pytest.mark.parametrize(
    "wrong", [{"proven": 9}, {"wrong": 1}, {"missing": 1}, {"conflicting": 1}, {"gaps": 1}, {"failures": ["so"]}]
)
def test_a_row_is_ok_only_when_all_of_it_is(wrong: dict[str, Any]) -> None:
    """A fault that was not proven fails a row as much as anything that a judge found; repeats and remarks do not."""
    good = Row("a", 10, proven=10, repeats=3, notes=["quick"])
    assert good.ok
    row = replace(good, **wrong)
    assert not row.ok
    assert "WRONG" in plain([row])
    assert "WRONG" in markdown([row])


def test_the_command_fails_when_a_scenario_does(tmp_path: Path) -> None:
    """A scenario that breaks off is a failed row and not the end: the next one runs, the table is written, the exit code
    is 1; with none of that it is 0."""

    def good(arena: Arena, times: int) -> Row:
        return Row("good", times, proven=times, events=arena.chance("good").randrange(1, 100))

    def broken(_: Arena, __: int) -> Row:
        raise LookupError("the broker has gone")

    scenarios = {"broken": Scenario(broken, 10, 1), "good": Scenario(good, 10, 1)}
    file = tmp_path / "table.md"
    assert main(["--seed", "1", "--output", str(file)], scenarios) == 1
    table = file.read_text()
    assert "the broker has gone" in table
    assert "| good | 10 | 10 |" in table
    assert main(["--seed", "1", "--only", "good", "--scale", "0.5", "--output", str(file)], scenarios) == 0
    assert "| good | 5 | 5 |" in file.read_text()


class Blind(Order):
    """Something that nobody has thought of happens with the first look."""

    def _connect(self) -> None:
        raise ArithmeticError("blind")


def test_who_looks_no_more_says_so() -> None:
    """An unexpected error does not pass for an order that was kept."""
    blind = Blind(cast("Deployment", None))
    with blind:
        blind._thread.join(60)
    assert "blind" in blind.ahead[0]


def test_good_orders_that_wait_too_long_are_found() -> None:
    """Of a hundred orders in a phase none may wait for as long as the limit, of two hundred one may."""
    assert delayed({"few": [0.1] * 99 + [LATE_S], "one": [0.1] * 199 + [LATE_S]}) == [
        "few: p99 is 1.00 s, not below 1.0 s"
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[^Agent: lifecycle]: Crashed reason=ValueError('x')", 1),
        ("[^Agent: lifecycle]: Giving up on crashed services: [lifecycle]", 1),
        ("[^Agent: lifecycle]: Crashed reason=CancelledError()", 0),
        ("ready", 0),
    ],
)
def test_an_agent_that_failed_in_a_living_worker_is_found(line: str, found: int) -> None:
    """Faust keeps the process, so its log is read: a failed agent counts as a restart, one that a rebalance cancels not."""
    worker = SimpleNamespace(running=True, log=lambda: f"started\n{line}\nfolded")
    assert len(restarts(cast("Worker", worker))) == found
