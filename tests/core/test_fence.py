"""Whom the fence ends when the group knows a member no more."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from streams.fence import Fence
from streams.stop import EXIT_STOPPED


def member(*, joining: bool, assigned: set[str]) -> Any:
    """An aiokafka coordinator in generation 3, which has been refused and is told to join anew."""
    found = SimpleNamespace(
        group_id="group", generation=3, _closing=SimpleNamespace(done=lambda: False), _send_req=None,
        _performed_join_prepare=joining,
        _subscription=SimpleNamespace(assigned_partitions=lambda: assigned),
    )  # fmt: skip

    def reset() -> None:
        found.generation = -1

    found.reset_generation = reset
    return found


@pytest.mark.parametrize(
    ("joining", "assigned", "ends"),
    [
        pytest.param(True, set(), False, id="joins, had nothing"),
        pytest.param(True, {"log"}, True, id="joins, holds what another one may have changed"),
        pytest.param(False, {"log"}, True, id="works"),
        pytest.param(False, set(), True, id="waits, and may have been replaced"),
    ],
)
def test_who_holds_nothing_joins_again(*, joining: bool, assigned: set[str], ends: bool) -> None:
    """A broker that restarts between a join and its sync knows the member no more: that ends only who holds a state."""
    pid = os.fork()
    if not pid:
        coordinator = member(joining=joining, assigned=assigned)
        Fence(10.0).watch(coordinator)
        coordinator.reset_generation()
        os._exit(0 if coordinator.generation == -1 else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (EXIT_STOPPED if ends else 0)
