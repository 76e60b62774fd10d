"""All scenarios of faults, large, on a Kafka of their own: prints the table, and fails if anything is wrong.

make chaos ARGS="--seed 19 --only kills --only rebalances --scale 0.2 --output table.md"
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from commands.progress import Progress, progress
from streams.embedded.kafka import start_kafka_server
from tests.chaos.arena import PROGRESS, Arena
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.table import Row, markdown, plain


def main(given: Sequence[str] | None = None, scenarios: Mapping[str, Scenario] = SCENARIOS) -> int:
    """Run what is asked for; 0 when all faults were done and proven and nothing is wrong."""
    asked = _arguments(given, list(scenarios))
    names = asked.only or list(scenarios)
    home = Path(tempfile.mkdtemp(prefix="lifestage-chaos-"))
    print(
        f"seed {asked.seed}: the same again with --seed {asked.seed}; logs are in {home}", file=sys.stderr, flush=True
    )
    rows = []
    with start_kafka_server(home / "kafka", say=lambda words: print(words, file=sys.stderr, flush=True)) as kafka:
        for name in names:
            with progress() as shown:
                arena = Arena(kafka.bootstrap, home, asked.seed, shown)
                rows.append(_run(name, scenarios[name], arena, asked.scale, shown))
            print(plain(rows[-1:]), file=sys.stderr, flush=True)
    print(plain(rows))
    if asked.output is not None:
        asked.output.write_text(markdown(rows), encoding="utf-8")
    if not all(row.ok for row in rows):
        return 1
    shutil.rmtree(home)
    return 0


def _arguments(given: Sequence[str] | None, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="default: any")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="so much of each fault's number, at least 1"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the table as Markdown")
    return parser.parse_args(given)


def _run(name: str, scenario: Scenario, arena: Arena, scale: float, shown: Progress) -> Row:
    """One scenario; what breaks it off is a failure in its row, and the others still run."""
    times = max(1, round(scenario.full * scale))
    shown.begin(name, PROGRESS)
    began = time.monotonic()
    try:
        row = scenario.run(arena, times)
        row.name = name
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the next one is run
        traceback.print_exc()
        row = Row(name, times, failures=[f"broke off: {error!r}"[:2_000]])
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    row.notes.insert(0, f"took {minutes} min {seconds} s")
    return row


if __name__ == "__main__":
    sys.exit(main())
