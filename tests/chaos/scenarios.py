"""All scenarios of faults by name: what `make chaos` runs large and the tests run small."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.chaos.arena import Arena
from tests.chaos.brokers import broker_faults, broker_faults_of_three
from tests.chaos.cuts import cuts
from tests.chaos.identities import identities
from tests.chaos.inputs import backlog, duplicates, hot_key, huge_customer
from tests.chaos.kills import kills, kills_in_recovery, named_points
from tests.chaos.members import rebalances, rolling_restart
from tests.chaos.odd_state import odd_state
from tests.chaos.poison import poison
from tests.chaos.serving import redis_outage
from tests.chaos.table import Row
from tests.chaos.teeth import teeth
from tests.simulation.scenario import simulation


class Scenario(NamedTuple):
    """A scenario and how often it does its fault."""

    run: Callable[[Arena, int], Row]
    full: int
    """In `make chaos`."""
    small: int
    """In the tests."""

    def run_small(self, arena: Arena) -> Row:
        """Run it as the tests do."""
        return self.run(arena, self.small)


SCENARIOS: dict[str, Scenario] = {
    "kills": Scenario(kills, 100, 20),
    "named_points": Scenario(named_points, 10, 1),
    "kills_in_recovery": Scenario(kills_in_recovery, 20, 4),
    "identities": Scenario(identities, 100, 6),
    "rebalances": Scenario(rebalances, 50, 10),
    "rolling_restart": Scenario(rolling_restart, 30, 3),
    "broker_faults": Scenario(broker_faults, 20, 2),
    "broker_faults_of_three": Scenario(broker_faults_of_three, 20, 2),
    "cuts": Scenario(cuts, 20, 4),
    "redis_outage": Scenario(redis_outage, 60, 3),
    "odd_state": Scenario(odd_state, 18, 3),
    "poison": Scenario(poison, 10_000, 400),
    "duplicates": Scenario(duplicates, 20, 2),
    "huge_customer": Scenario(huge_customer, 100_000, 12_000),
    "hot_key": Scenario(hot_key, 40_000, 400),
    "backlog": Scenario(backlog, 2_000_000, 20_000),
    "teeth": Scenario(teeth, 3, 1),
    "simulation": Scenario(simulation, 10_000, 50),
}
"""In the order in which they are run and stand in the table."""
