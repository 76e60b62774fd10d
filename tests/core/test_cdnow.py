"""Real purchases of 2,357 customers: the numbers that replay, log and brute force agree on."""

from __future__ import annotations

from collections import Counter

import pytest

from lifestage.change import Announced, encode_value
from lifestage.facts import Fact
from lifestage.replay import replay
from tests.core import oracle
from tests.core.cdnow import END, MOVES, POPULATION, purchases
from tests.core.histories import RULES, Tick, partition, records, standing_moves

DOCUMENT = (
    '{"id":"bcf5fc56-bb17-5f31-bddf-a80321adc2bd","source":"/lifecycle/clm5","time":"1997-12-12T00:00:00Z","partitionkey":"00004","causationid":"cdnow-3",'
    '"data":{"customer_id":"00004","account_id":null,"seq":7,"stage":"loyalty","previous_stage":"at_risk",'
    '"entered_at":"1997-12-12T00:00:00Z","time_in_previous_s":3628800,"kind":"recovery","direction":"forward","skipped":[],'
    '"trigger":{"type":"event","event_id":"cdnow-3","event_type":"order.completed","due_at":null},'
    '"evidence":{"rule":"clm5.loyalty","condition":"order_days in 365d >= 3 or (order_days >= 2 and (referrals_converted in 365d >= 1 or nps in 180d >= 9))","operands":[{"name":"order_days","value":4,"op":">=","threshold":3,"window_s":31536000},{"name":"order_days","value":4,"op":">=","threshold":2,"window_s":null},{"name":"referrals_converted","value":0,"op":">=","threshold":1,"window_s":31536000},{"name":"nps","value":null,"op":">=","threshold":9,"window_s":15552000}],"positions":[],'
    '"ruled_out":[{"name":"since_last_purchase","value":0,"op":">=","threshold":15552000,"window_s":null},{"name":"subscription_lapsed","value":false,"op":"==","threshold":true,"window_s":null},{"name":"accounts_closed","value":false,"op":"==","threshold":true,"window_s":null},{"name":"customer","value":true,"op":"==","threshold":true,"window_s":null}]},'
    '"plan":{"id":"clm5","version":1,"hash":"066b98f797e4c33f"},"high_water_stage":"loyalty",'
    '"first_reached":{"conversion":"1997-01-01T00:00:00Z","retention":"1997-01-18T00:00:00Z","at_risk":"1997-04-18T00:00:00Z","churned":"1997-07-17T00:00:00Z","loyalty":"1997-08-02T00:00:00Z"},"times_entered":{"conversion":1,"retention":1,"at_risk":2,"churned":1,"loyalty":2},'
    '"next_due_at":"1998-01-18T00:00:00Z","next_due_stage":"retention",'
    '"metrics":{"orders":4,"order_days_365d":4,"net_revenue_minor":10050,"currency":"USD","last_order_at":"1997-12-12T00:00:00Z","last_seen_at":"1997-12-12T00:00:00Z"},'
    '"acquisition":{"source":null,"medium":null,"campaign":null},"consent":{},"supersedes":[],"path":[],"merged_into":null,"mode":"backfill"},'
    '"specversion":"1.0","type":"lifecycle.stage.changed.v1","datacontenttype":"application/json"}'
)
"""The seventh change of customer 00004, on one line."""


@pytest.fixture(scope="module")
def orders() -> list[Fact]:
    """The purchases, by customer as in the file."""
    return list(purchases())


@pytest.fixture(scope="module")
def offline(orders: list[Fact]) -> list[Announced]:
    """The changes of the file replay up to the end, exclusive."""
    return replay(orders, RULES, END).changes


def moves_of(changes: list[Announced]) -> Counter[tuple[str | None, str | None]]:
    """How often each move was announced."""
    return Counter((change.data.previous_stage, change.data.stage) for change in changes)


def test_the_sample_is_all_there(orders: list[Fact]) -> None:
    """2,357 customers, 6,919 purchases, from 1997-01-01 to 1998-06-30."""
    assert (len(orders), len({order.customer_id for order in orders})) == (6919, 2357)


def test_file_replay_gives_the_known_numbers(orders: list[Fact], offline: list[Announced]) -> None:
    """10,241 changes, by transition, and who stands where in the end."""
    path = replay(orders, RULES, END)
    assert len(path.changes) == 10_241
    assert moves_of(path.changes) == MOVES
    assert {stage: count for stage, count in path.population.items() if count} == POPULATION
    assert path.outcomes == {"accepted": 6919}
    assert path.sums == {"USD": [6919, 24_409_194, 24_409_194]}
    assert [change.id for change in path.changes] == [change.id for change in offline]
    assert len({change.id for change in offline}) == 10_241


def test_the_log_in_order_of_time_gives_the_same(orders: list[Fact], offline: list[Announced]) -> None:
    """Folded from the log in order of time and ended by a tick: the same changes with the same ids."""
    in_time = sorted(orders, key=lambda order: (order.time, order.source, order.id))
    whole = partition()
    changes = whole.fold(records([*in_time, Tick(END)]))
    changes.sort(key=lambda change: (change.time, change.partitionkey, change.data.seq))
    assert [change.id for change in changes] == [change.id for change in offline]
    assert {stage: count for stage, count in whole.marker.population.items() if count} == POPULATION
    assert whole.marker.sums == {"USD": [6919, 24_409_194, 24_409_194]}


def test_the_log_in_order_of_customers_ends_the_same(orders: list[Fact], offline: list[Announced]) -> None:
    """In the order of the file, by customer, and with a tick after all: each customer's path is the same."""
    changes = partition().fold(records([*reversed(orders), Tick(END)]))
    paths: dict[str, list[Announced]] = {}
    for change in changes:
        paths.setdefault(change.partitionkey, []).append(change)
    known: dict[str, list[Announced]] = {}
    for change in offline:
        known.setdefault(change.partitionkey, []).append(change)
    assert {key: standing_moves(path) for key, path in paths.items()} == {
        key: standing_moves(path) for key, path in known.items()
    }


def test_brute_force_agrees_customer_by_customer(orders: list[Fact], offline: list[Announced]) -> None:
    """Every fifth customer's path is what the table says at every instant."""
    by_customer: dict[str, list[Fact]] = {}
    for order in orders:
        by_customer.setdefault(str(order.customer_id), []).append(order)
    told: dict[str, list[Announced]] = {}
    for change in offline:
        told.setdefault(change.partitionkey, []).append(change)
    for customer in sorted(by_customer)[::5]:
        assert standing_moves(told[customer]) == oracle.path(by_customer[customer], END)


def test_a_change_of_a_customer_is_this_document(offline: list[Announced]) -> None:
    """The document of a change, byte for byte, with its id: consumers depend on every field."""
    changes = [change for change in offline if change.partitionkey == "00004"]
    assert encode_value(changes[6]).decode() == DOCUMENT


def test_a_live_change_says_where_in_the_log(orders: list[Fact], offline: list[Announced]) -> None:
    """From the log the same document has the position of its trigger and of its facts, and the mode of the tick in force."""
    mine = [order for order in orders if order.customer_id == "00004"]
    start = Tick(min(order.time for order in mine))
    changes = partition().fold(records([start, *mine, Tick(END)]))
    told = changes[6]
    assert (told.data.trigger.topic, told.data.trigger.partition, told.data.trigger.offset) == ("customer-events", 3, 4)
    assert told.data.evidence.positions == (1, 2, 3, 4)
    assert told.data.mode == "live"
    assert told.id == next(c.id for c in offline if c.partitionkey == "00004" and c.data.seq == 7)
    assert [change.data.trigger.offset for change in changes if change.data.trigger.type == "timer"][-1] == 5
