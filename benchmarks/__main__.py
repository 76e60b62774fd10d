"""`make bench`: events per second of one worker and of plain Faust, on the same Kafka, in turns, outputs compared."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import compare, core, table
from benchmarks.broker import EventSet
from benchmarks.contestants import CHECKOUT, Contestant, Measured, Ours, PlainFaust, measure
from benchmarks.events import SEED, customers_of, generate
from config.settings import Identity, Settings
from lifestage.change import encode_value
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.replay import replay
from streams.embedded.kafka import start_kafka_server
from streams.embedded.process import ServiceError
from streams.embedded.redis import start_redis
from streams.rules import rules_of

PARTITIONS = Settings().topics.partitions
PEER_SHARE = 10
"""Plain Faust gets a tenth of the events, and a tenth of the customers, so that it ends; rates are compared."""
DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"


_Paths = Mapping[str, compare.Moves]


class DifferentError(RuntimeError):
    """A contestant's output is not what the events mean: no figure may be shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table. Returns the exit code."""
    options = _options(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka tells of every leader that is not elected yet
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lifestage-bench-") as home:
        try:
            rounds = run(options.events, options.repeats, Path(home))
        except (ServiceError, DifferentError, compare.BrokenHistoryError) as error:
            print(f"the benchmark failed: {error}", file=sys.stderr)
            return 1
    say("the core alone, compiled and uncompiled")
    alone = core.rows(core.figures(options.events))
    found = f"{table.render(rounds, PlainFaust().name)}\n\n{table.machine(load)}\n\n{alone}"
    print(f"\n{found}")
    if options.write:
        DOCUMENT.write_text(document(found, options), encoding="utf-8")
        print(f"written to {DOCUMENT}")
    return 0


def run(events: int, repeats: int, home: Path) -> Mapping[str, Sequence[Measured]]:
    """All rounds, checked. Raises `ServiceError`, or `DifferentError` before any figure is known to anybody."""
    say(f"drawing {events:,} events of {customers_of(events):,} customers, seed {SEED}, and replaying them offline")
    large, small = (EventSet(generate(count), PARTITIONS) for count in (events, events // PEER_SHARE))
    expected = {large.count: expected_of(large), small.count: expected_of(small)}
    rounds: dict[str, list[Measured]] = {}
    with start_kafka_server(home, say=say) as kafka, start_redis(home / "redis") as redis:
        say(f"{kafka.description} at {kafka.bootstrap}")
        plain = Ours()
        turns: list[tuple[Contestant, EventSet]] = [(plain, large), (PlainFaust(), small), (Ours(redis.url), large)]
        _turn(plain, kafka.bootstrap, small, home, expected, "the same events as plain Faust")
        for number in range(1, repeats + 1):
            for contestant, given in turns:
                note = f"round {number} of {repeats}"
                found = _turn(contestant, kafka.bootstrap, given, home, expected, note)
                rounds.setdefault(contestant.name, []).append(found)
    return rounds


def _turn(
    contestant: Contestant, bootstrap: str, events: EventSet, home: Path, expected: Mapping[int, _Paths], note: str
) -> Measured:
    started = time.monotonic()
    measured = asyncio.run(measure(contestant, bootstrap, events, home / "runs"))
    wrong = compare.difference(expected[events.count], measured.outcome.paths)
    if wrong:
        raise DifferentError(f"{contestant.name} says something else than an offline replay of its events: {wrong}")
    say(
        f"{note}: {contestant.name}: {events.count:,} events, the paths of {len(measured.outcome.paths):,} customers "
        f"are right ({time.monotonic() - started:.0f} s with everything)"
    )
    return measured


def expected_of(events: EventSet) -> _Paths:
    """The path of every customer, by replaying the events in order of their time without Kafka."""
    decode = Decoder(b"bench").decode
    settings = Settings(identity=Identity(secret="bench"))  # noqa: S106 - it keys the hashes of made-up ids
    facts = []
    for value in events.values():
        fact = decode(value, None)
        if not isinstance(fact, Fact):
            raise DifferentError(f"the generator made an event that is refused: {fact.message}")
        facts.append(fact)
    told = replay(facts, rules_of(settings)).changes
    return compare.outcome_of((change.id, encode_value(change.data)) for change in told).paths


def document(found: str, options: argparse.Namespace) -> str:
    """`docs/benchmarks.md` with the table in it."""
    return f"""# Benchmarks

Made by `make bench` ({options.repeats} rounds in turns, {options.events:,} events for us, a tenth of them and of the
customers for plain Faust). Run it on your own machine: figures of shared cores are good for ratios, not for planning.

{found}

**The job.** JSON events of 310 bytes on average, 75 % visits, 17 % email events, 8 % orders with items, 6.7 a customer, in
three topics of 8 partitions keyed by customer, in Kafka before the clock starts. Each is folded into its customer's
profile, the stage is judged, changes go to `stage-changes`, profiles to a changelog. One process.

**lifestage** is `lifestage worker` with default settings and `clock.mode: data`: decoding with all limits, keys, the log
`customer-events` in between, `customer-stages`, timers, accounting, metrics; with Redis also the read model. Its time
ends when the log's offsets are committed, which they are only once profiles and changes are acknowledged.

**The core alone** (second table) decodes, folds and judges the same stream in one thread without Kafka, changes with their
documents included: CPU time, the best of three. In the stream of the job customers are new, so that one event in four
changes a stage; the other has {core.BUSY} events a customer.

**plain Faust** is `benchmarks/peers/plain_faust.py`: an agent a topic, `faust.Record` values, a table in memory with its
changelog, `topic.send`, default settings, and the same decisions by the same core. It refuses nothing, hashes no
address, has no log, timers or `customer-stages`. Its time ends with the last record of its table's changelog.

**Compared before any figure was shown**, in every run: for every customer each move with its instant, superseded
changes taken out, against an offline replay of the events; so both said the same. They read three topics each at its own
pace, so corrections (of what was announced before an older event came) differ in number.

**Apart from this table** `python -m benchmarks.identity` says what linking costs where every event carries an address and a
customer id (on against off, in turns, the fold alone and the whole worker), and `python -m benchmarks.flood` what a million
new ids in a minute do to the changes of known customers and to memory.
"""


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000, help="events for us; plain Faust gets a tenth")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each contestant once in each")
    parser.add_argument("--quick", action="store_true", help="60,000 events, one round: does it work, not how fast")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.events, options.repeats = 60_000, 1
    if options.events < PEER_SHARE or options.repeats < 1:
        parser.error(f"--events must be {PEER_SHARE} or more, --repeats 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
