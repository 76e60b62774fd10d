"""The scenario of spoilt state in its small size."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.table import plain

pytestmark = pytest.mark.broker


def test_spoilt_state_is_put_right(arena: Arena) -> None:
    """A changelog emptied, offsets at 0 and a corrupt record, each after a kill at work: the outcome is exact."""
    row = SCENARIOS["odd_state"].run_small(arena)
    assert row.ok, plain([row])
