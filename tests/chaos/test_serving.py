"""Redis goes wrong under load, small: what `make chaos` does for a minute with 100,000 profiles."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena
from tests.chaos.serving import redis_outage
from tests.chaos.table import plain

pytestmark = pytest.mark.broker

SECONDS = 3
"""5,000 profiles."""


def test_an_outage_of_redis_neither_stops_the_stream_nor_leaves_a_difference(arena: Arena) -> None:
    """Frozen, full, and killed and back empty: events are folded all the while, and Redis says what the log says after."""
    row = redis_outage(arena, SECONDS)
    assert row.ok, plain([row])
    assert row.proven == row.asked
