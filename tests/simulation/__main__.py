"""Simulated histories from seeds: `python -m tests.simulation [--seeds N] [--first SEED] [--break NAME]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.breaks import BREAKS
from tests.simulation.history import shortened
from tests.simulation.runner import Progress, alike, run_many


def main() -> int:
    """Run, and tell: 0 when all came out right, or with `--break` when the break was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many histories (1,000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (0)")
    parser.add_argument("--break", dest="broken", choices=sorted(BREAKS), default="", help="take a guard out")
    given = parser.parse_args()
    began = time.monotonic()
    total = run_many(given.first, given.seeds, given.broken, Progress(given.seeds))
    sys.stderr.write("\n")
    passed = time.monotonic() - began
    print(
        f"{total.seeds:,} seeds, {total.steps:,} steps in {passed:.0f} s: {len(total.failures)} failed; "
        f"{total.found.records:,} log records, {total.found.profiles:,} profiles, {total.found.changes:,} changes, "
        f"{total.found.repeats:,} repeats"
    )
    print(", ".join(f"{count:,} {name}" for name, count in sorted(total.faults.items())))
    if total.failures:
        first = min(total.failures, key=lambda failure: failure.seed or 0)
        print(first.reason if given.broken else alike(shortened, first))
        again = f" --break {given.broken}" if given.broken else ""
        print(f"again: python -m tests.simulation --seeds 1 --first {first.seed}{again}")
    return 0 if bool(total.failures) == bool(given.broken) else 1


if __name__ == "__main__":
    sys.exit(main())
