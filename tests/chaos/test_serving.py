"""Redis goes wrong under load, small: what `make chaos` does for a minute with 100,000 profiles."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.serving import too_slow
from tests.chaos.table import plain

pytestmark = pytest.mark.broker


def test_an_outage_of_redis_neither_stops_the_stream_nor_leaves_a_difference(arena: Arena) -> None:
    """Frozen, full, and killed and back empty: events are folded all the while, and Redis says what the log says after."""
    row = SCENARIOS["redis_outage"].run_small(arena)
    assert row.ok, plain([row])
    assert row.proven == row.asked


def test_an_outage_that_is_too_long_fails_a_full_run() -> None:
    """A stream that stands still, or a Redis that shows the state too late, is a failure, each by itself."""
    assert too_slow("full", 9.9, 29.9) == []
    assert len(too_slow("full", 10.1, 29.9)) == 1
    assert len(too_slow("full", 10.1, 30.1)) == 2
