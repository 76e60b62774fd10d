"""Simulated histories: the whole product comes through them, and without any one of its guards it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.breaks import BREAKS, FOUND
from tests.simulation.directed import directed
from tests.simulation.history import Failure, run, shortened
from tests.simulation.machine import Simulation
from tests.simulation.runner import SAME_HASHES, Total, alike, end_other, run_seeds, until_found

SEEDS = 100
EXAMPLES = 5 if os.environ.get("QUICK") else 20


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    """The process of all these histories ends with them."""
    yield
    end_other()


@pytest.mark.parametrize("first", range(0, SEEDS, 25))
def test_histories_come_out_right(first: int) -> None:
    """Each of 100 seeds' histories gives the state, the changes and the counts of one process that was never disturbed."""
    total: Total = alike(run_seeds, first, 25)
    assert not total.failures, str(alike(shortened, total.failures[0]))
    assert total.seeds == 25
    for fault in ("kills", "takeovers", "stops", "leaves", "fail-stops", "held writes", "messages"):
        assert total.faults[fault], f"no {fault} among {total.faults}"
    assert total.found.changes
    assert total.found.records


def test_hypothesis_finds_no_history_that_goes_wrong() -> None:
    """Steps that hypothesis chooses, looking for what fails, come out right, too."""
    run_state_machine_as_test(
        Simulation,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_break_is_looked_for() -> None:
    """No guard can be taken out without a bound within which that is found, and the bound is 50 seeds at the most."""
    assert FOUND.keys() == BREAKS.keys()
    assert max(count for _, count in FOUND.values()) <= 50


def test_some_histories_have_an_aim() -> None:
    """Of the seeds about three in ten have a history with an aim, of each aim some, and no two are alike."""
    aimed = [tuple(steps) for seed in range(400) if (steps := directed(seed)) is not None]
    assert 90 <= len(aimed) <= 150
    assert len(set(aimed)) == len(aimed)
    releases = sum(("release", 0, 0) in steps for steps in aimed)
    assert 0.2 < releases / len(aimed) < 0.5


@pytest.mark.parametrize("name", list(FOUND))
def test_a_missing_guard_is_found(name: str) -> None:
    """With a guard taken out the history of one of a few seeds goes wrong, which with it comes out right."""
    first, count = FOUND[name]
    total: Total = alike(until_found, first, count, name)
    assert total.failures, f"{name} was not found within {count} seeds from {first} on"
    seed = total.failures[0].seed
    assert seed is not None
    assert not alike(run_seeds, seed, 1).failures


def test_a_seed_is_a_history() -> None:
    """The same seed gives the same steps, and they the same course to the last word, in every process."""
    found: Total = alike(run_seeds, 3, 1, "gate_off")
    first = found.failures[0]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, patch.dict(os.environ, SAME_HASHES):
        second = pool.submit(run_seeds, 3, 1, "gate_off").result().failures[0]
    assert first.steps == second.steps
    assert first.said == second.said
    assert first.reason == second.reason


def test_a_failure_is_cut_down_and_told() -> None:
    """What is left of a failed history still fails, is shorter, and is told step by step with its seed."""
    failed = run_seeds(3, 1, "gate_off").failures[0]
    with BREAKS["gate_off"]():
        short = shortened(failed, 60)
        again = run(short.mode, short.steps)
    assert isinstance(again, Failure)
    assert len(short.steps) < len(failed.steps)
    assert "seed 3: " in str(short)
    assert "produce" in str(short)
