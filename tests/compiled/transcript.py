"""All that the core says of the input in a file, as lines: `python -P tests/compiled/transcript.py HOME INPUT`.

HOME is where compiled cores are kept. The core is chosen as a worker chooses it; the first line says which one it was.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from commands import compiled

Record = tuple[int, bytes | None, bytes]


class Given(msgspec.Struct):
    """Logs to fold, each with a partition of its own; facts to replay; events for the door, with their append time."""

    logs: list[list[Record]]
    facts: list[bytes]
    events: list[bytes]
    appended: int


def folded(records: list[Record]) -> Iterator[str]:
    """Changes, profiles and marker of one log, kept once in the middle and once at the end; or why it cannot be read."""
    from config.plan_files import sheet_of
    from lifestage import log
    from lifestage.cause import Rules
    from lifestage.change import encode_value
    from lifestage.partition import Partition
    from lifestage.plan import Compiled

    partition = Partition(Rules(Compiled(sheet_of("clm5").plan)), "customer-events", 3)
    half = len(records) // 2
    for part in (records[:half], records[half:]):
        try:
            for change in partition.fold(part):
                yield encode_value(change).decode()
        except log.LogFormatError as error:
            yield f"error {error}"
            return
        kept = partition.checkpoint()
        yield from (f"profile {key.hex()} {value.hex() if value else value}" for key, value in kept.profiles.items())
        yield f"marker {kept.offset} {kept.final} {kept.marker.hex()} due {partition.next_due}"


def lines(given: Given) -> Iterator[str]:
    """What is said of all of it."""
    from config.plan_files import sheet_of
    from lifestage.cause import Rules
    from lifestage.change import encode_value
    from lifestage.decode import Decoder
    from lifestage.facts import decode
    from lifestage.plan import Compiled
    from lifestage.replay import replay

    for records in given.logs:
        yield from folded(records)
    path = replay([decode(raw) for raw in given.facts], Rules(Compiled(sheet_of("clm5").plan)))
    yield from (encode_value(change).decode() for change in path.changes)
    yield f"replay {sorted(path.population.items(), key=str)} {path.sums} {path.forgotten} {dict(path.outcomes)}"
    door = Decoder(b"a secret of the tests, 32 bytes.")
    yield from (f"door {door.decode(event, given.appended)!r}" for event in given.events)


def main() -> None:
    """Choose a core, say which, and print the transcript."""
    said = compiled.use(os.environ, home=Path(sys.argv[1]))
    modules = ["commands", "config", "lifestage", *(f"{compiled.PACKAGE}.{name}" for name in compiled.MODULES)]
    print(json.dumps([said, {name: importlib.import_module(name).__file__ for name in modules}]))
    given = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=Given)
    for line in lines(given):
        print(line)


if __name__ == "__main__":
    main()
