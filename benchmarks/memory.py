"""What a customer costs a worker in memory: ten facts each of a million, decoded, folded and kept as by a worker, without Kafka.

`python -m benchmarks.memory` folds a block of customers after the other into the partitions of one worker, with the
messages that come of it, and prints what the process has grown by, over the customers.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from commands import compiled

if TYPE_CHECKING:
    from lifestage.partition import Partition

FACTS_EACH = 10
"""Facts of a customer, on the average."""
BLOCK = 40_000
"""Customers who are drawn, and folded again and again under other names: five digits of a customer's six."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST = BLOCK * len(LETTERS) ** 2
RUN, FLUSH = 400, 2_000
"""Facts that are folded at a time, and facts of a partition after which what has changed is kept."""


class Room(NamedTuple):
    """What was measured."""

    customers: int
    others: int
    """Records of addresses and of orders, by which they are found: linking keeps them beside the customers."""
    facts: int
    grown: int
    """Bytes of memory that the process takes more than before the first fact."""
    most: int
    """The same at its peak."""
    cpu_s: float

    def __str__(self) -> str:
        records = self.customers + self.others
        return (
            f"{self.customers:,} customers of {self.facts / self.customers:.1f} facts and {self.others:,} records of their "
            f"addresses and orders: {self.grown / records:.0f} bytes a record, {self.most / records:.0f} at the peak, "
            f"{self.grown / self.customers:.0f} a customer with all that is kept of it; "
            f"{1e6 * self.cpu_s / self.facts:.1f} µs of CPU time a fact, decoded, folded and kept"
        )


def memory(name: str) -> int:
    """`VmRSS` or `VmHWM` of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def is_customer(key: bytes) -> bool:
    """Whether a key is a customer's, as `Shop.facts` names them: others begin with what they are."""
    return len(key) == len(b"caa00000") and key[3:].isdigit()


class Shop:
    """The partitions of one worker, and what they write into the log for each other."""

    def __init__(self, profiles: int) -> None:
        # After `compiled.use`: what is imported before it would stay uncompiled.
        from benchmarks.events import generate
        from config.settings import Identity, Settings
        from lifestage.decode import Decoder
        from lifestage.partition import Partition
        from streams.doorway import partition_of
        from streams.rules import rules_of
        from streams.topics import topics_of

        settings = Settings(identity=Identity(secret="the benchmark hashes no real address"))  # noqa: S106 - nobody's
        topics = topics_of(settings)
        self._block = min(BLOCK, profiles)
        self._drawn = list(generate(FACTS_EACH * self._block, customers=self._block))
        self._decode = Decoder(settings.identity.secret.encode()).decode
        rules, name = rules_of(settings), topics.log.name
        self.partitions: list[Partition] = [Partition(rules, name, n, 1) for n in range(topics.log.partitions)]
        self._number_of: Callable[[bytes], int] = lambda key: partition_of(key, len(self.partitions))
        self._next = [0] * len(self.partitions)
        self._waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in self.partitions]
        self._unkept = [0] * len(self.partitions)
        for partition in self.partitions:
            partition.recovered()

    def facts(self, block: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and log records of a block's customers, whose ids, addresses, orders and mails nobody else has."""
        from lifestage import facts, log
        from lifestage.fact import Fact

        name = "".join(LETTERS[at] for at in divmod(block, len(LETTERS))).encode()
        for event in self._drawn:
            customer = b"c" + name + event.key[2:]
            value = event.value.replace(event.key, customer)
            value = value.replace(b'"o-00', b'"o-' + name).replace(b'"m-00', b'"m-' + name)
            fact = self._decode(value, None)
            if not isinstance(fact, Fact):
                raise TypeError(f"an event of the benchmark is refused: {fact}")
            yield customer, log.pack(log.FACT, facts.encode(fact))

    def fold(self, records: Iterator[tuple[bytes, bytes]]) -> None:
        """Fold records with all that comes of them, and keep it."""
        for key, value in records:
            self._put(key, value)
        while any(self._waiting):
            for number in range(len(self.partitions)):
                self._run(number)
        for partition in self.partitions:
            partition.checkpoint()

    def _put(self, key: bytes, value: bytes) -> None:
        number = self._number_of(key)
        self._waiting[number].append((key, value))
        if len(self._waiting[number]) >= RUN:
            self._run(number)

    def _run(self, number: int) -> None:
        partition, run, at = self.partitions[number], self._waiting[number], self._next[number]
        self._waiting[number] = []
        partition.fold((at + n, key, value) for n, (key, value) in enumerate(run))
        self._next[number] += len(run)
        for posted in partition.take_posted():
            self._waiting[self._number_of(posted.key)].append((posted.key, posted.value))
        self._unkept[number] += len(run)
        if self._unkept[number] >= FLUSH:
            self._unkept[number] = 0
            partition.checkpoint()


def measured(profiles: int) -> Room:
    """Fold so many customers in this process, a block at a time."""
    gc.set_threshold(20_000, 200, 100)  # as a worker
    shop = Shop(profiles)
    size = min(BLOCK, profiles)
    blocks = -(-profiles // size)
    gc.collect()
    before, began, cpu = memory("VmRSS"), time.monotonic(), time.process_time()
    for block in range(blocks):
        shop.fold(shop.facts(block))
        took = time.monotonic() - began
        done = (block + 1) * FACTS_EACH * size
        print(
            f"{done:,} of {blocks * FACTS_EACH * size:,} facts, {done / took:,.0f}/s, "
            f"{took / (block + 1) * (blocks - block - 1) / 60:.0f} min left, {(memory('VmRSS') - before) >> 20} MB",
            file=sys.stderr,
            flush=True,
        )
    cpu = time.process_time() - cpu
    gc.collect()
    records = sum(len(partition.stored) for partition in shop.partitions)
    found = sum(is_customer(key) for partition in shop.partitions for key in partition.stored)
    return Room(
        found, records - found, blocks * FACTS_EACH * size, memory("VmRSS") - before, memory("VmHWM") - before, cpu
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure once and say so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--profiles", type=int, default=1_000_000, help=f"customers, in blocks of {BLOCK:,}")
    options = parser.parse_args(arguments)
    if not 0 < options.profiles <= MOST:
        parser.error(f"--profiles: between 1 and {MOST:,}")
    print(compiled.use(os.environ), file=sys.stderr)
    print(measured(options.profiles))
    return 0


if __name__ == "__main__":
    sys.exit(main())
