"""The simulation as a scenario of faults: so many seeds, one row."""

from __future__ import annotations

from tests.chaos.arena import Arena
from tests.chaos.table import Row
from tests.simulation.history import shortened
from tests.simulation.runner import Total, alike, run_many

FIRST_BELOW = 1 << 30


def simulation(arena: Arena, times: int) -> Row:
    """Histories of `times` seeds, on all cores: the step, guard, clock, flush and recovery of the product, simulated I/O."""
    row = Row("simulated histories", times)
    first = arena.chance("simulation").randrange(FIRST_BELOW)

    def say(total: Total) -> None:
        arena.say(row, total.seeds, "seeds")

    total = run_many(first, times, say=say)
    row.proven, row.events, row.profiles = total.seeds, total.found.records, total.found.profiles
    row.repeats = total.found.repeats
    row.failures += [str(alike(shortened, failure)) for failure in total.failures[:1]]
    row.notes.append(f"seeds from {first}; {', '.join(f'{n:,} {name}' for name, n in sorted(total.faults.items()))}")
    return row
