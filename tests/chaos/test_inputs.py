"""What comes in is bad, doubled, huge or all of one customer: small runs of the scenarios, and the guards taken out."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena
from tests.chaos.inputs import duplicates
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.table import plain
from tests.pipeline import Deployment
from tests.spoilt.workers import Careless

pytestmark = pytest.mark.broker


def test_poison_goes_aside_while_good_orders_flow(arena: Arena) -> None:
    """Every kind alone, mixed in and in bursts has its letter and reason, no worker ends, and each good order its change."""
    row = SCENARIOS["poison"].run_small(arena)
    print(plain([row]))
    assert row.ok, plain([row])


def test_events_that_come_again_count_once(arena: Arena) -> None:
    """Up to ten times, over topics and kills: customers, orders, money and accounts are as if each had come once."""
    row = SCENARIOS["duplicates"].run_small(arena)
    print(plain([row]))
    assert row.ok, plain([row])


def forgetful(made: Deployment, name: str) -> Careless:
    """A worker that does not know which events it has seen."""
    worker = Careless(made, "forgetful", name)
    worker.arm.touch()
    return worker


def test_the_judges_see_what_is_counted_twice(arena: Arena) -> None:
    """Without the memory of events that were seen, the same run is judged wrong."""
    assert duplicates(arena, 1, forgetful).failures


def test_a_huge_customer_is_kept_in_small_records(arena: Arena) -> None:
    """A customer with more events than a record can tell is kept in records of 64 KB; what is too large goes aside."""
    row = SCENARIOS["huge_customer"].run_small(arena)
    print(plain([row]))
    assert row.ok, plain([row])


def test_a_hot_customer_loses_nothing(arena: Arena) -> None:
    """Half of all events are one customer's, and every order of everybody is there."""
    row = SCENARIOS["hot_key"].run_small(arena)
    print(plain([row]))
    assert row.ok, plain([row])


def test_a_backlog_fits_into_memory(arena: Arena) -> None:
    """What waits does not matter to a worker's memory, and all of it is worked off."""
    row = SCENARIOS["backlog"].run_small(arena)
    print(plain([row]))
    assert row.ok, plain([row])
