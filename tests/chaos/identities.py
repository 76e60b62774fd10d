"""People with several ids, under kills and rebalances: each ends as one profile, with all that was done under any id."""

from __future__ import annotations

import threading
import time
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from config.plan_files import shipped
from tests.chaos.arena import Arena
from tests.chaos.crew import Named, Watch
from tests.chaos.kills import FULL, RATE, RATE_SMALL, kill_one
from tests.chaos.people import ROUND, people
from tests.chaos.persons import Persons, misplaced
from tests.chaos.table import Row
from tests.chaos.verdict import letters_of, slips
from tests.load import Load
from tests.pipeline import Deployment, written_by
from tests.workers import Worker

JOIN_EVERY = 5
"""Kills after which a third worker joins, and leaves again."""
FOR_KILLS = "when acquired or"
COUNTING = "when acquired or visits >= 1000000 or"
"""A condition that holds for nobody, for which every visit of a customer is counted."""


def counting_plan(home: Path) -> Path:
    """A file with plan clm5, in which a customer's visits are counted."""
    text = shipped()["clm5"].read_text(encoding="utf-8")
    assert text.count(FOR_KILLS) == 1
    file = home / "counting.plan"
    file.write_text(text.replace(FOR_KILLS, COUNTING), encoding="utf-8")
    return file


class Rounds(Load):
    """A load from `tests.chaos.people`: after each round nothing more is sent until all is folded, messages and all."""

    def __init__(self, made: Deployment, seed: int, rate: int) -> None:
        self._seed, self._made = seed, made.apart()
        super().__init__(
            made.bootstrap, made.prefix, seed, rate, ((one.topic, one.key, one.value) for one in people(seed))
        )
        self.most = ROUND
        self._pauses = threading.Thread(target=self._pause, name="rounds", daemon=True)

    def _pause(self) -> None:
        made = self._made
        try:
            while not self._stop.wait(0.1):
                if self.sent >= self.most and made.lag(made.sources) == 0 and made.is_folded():
                    self.most += ROUND
        except BaseException as error:  # noqa: BLE001 - raised at the end of the `with`
            self._failed.append(error)

    def persons(self) -> Persons:
        """What must have become of all that was sent."""
        return Persons().listen(islice(people(self._seed), self.sent))

    def __enter__(self) -> Self:
        self._pauses.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pauses.join(300)
        self._made.close()
        if error is not None:
            error.add_note(f"the load had sent {self.sent:,} of {self.most:,}, and failed with {self._failed}")
        super().__exit__(kind, error, trace)


def identities(arena: Arena, times: int) -> Row:
    """One of two workers is killed at a random moment, again and again, now and then a third one joins and leaves, while
    people come under one id after the other, share devices, and are merged and told apart."""
    row, chance = Row("identities", times), arena.chance("identities")
    plan = counting_plan(arena.home)
    with arena.deployment("identities", lifecycle__plan=str(plan)) as made:
        watch = Watch(made)
        crew: dict[str, Worker] = {name: Named(made, name) for name in ("a", "b")}
        load = Rounds(made, chance.randrange(1 << 32), RATE if times >= FULL else RATE_SMALL)
        moved = 0
        with load:
            for attempt in count():
                assert attempt <= 2 * times + 10, f"{row.proven} of {attempt} kills met work"
                undone, seconds = kill_one(made, watch, crew, chance)
                row.proven += undone > 0
                row.slowest(seconds)
                arena.say(row, row.proven, f"{load.sent:,} events")
                if attempt % JOIN_EVERY == JOIN_EVERY - 1:
                    moved += _join(made, watch, crew)
                if row.proven == times:
                    break
        arena.finish(made, list(crew.values()))
        arena.judge(made, row)
        _judge(made, row, load.persons())
    row.notes.append(f"{moved} times a third worker joined and left")
    return row


def _join(made: Deployment, watch: Watch, crew: dict[str, Worker]) -> int:
    """A third worker takes partitions that have work in flight, and gives them back in good order."""
    watch.wait_spread(2, list(crew.values()))
    watch.wait_work(range(made.topics.log.partitions), list(crew.values()))
    third = Named(made, f"c{time.monotonic_ns()}")
    workers = [*crew.values(), third]
    watch.wait_spread(3, workers)
    watch.wait_moving(workers)
    status = third.terminate(60)
    assert status == 0, f"{third.name} ended with {status}:\n{third.log()[-2000:]}"
    watch.wait_spread(2, list(crew.values()))
    watch.fault()
    return 1


def _judge(made: Deployment, row: Row, persons: Persons) -> None:
    """Add what the judge of who is who finds, and what ids have gone through."""
    written = written_by(made)
    found = slips(persons, written, letters_of(made.read(made.topics.dead_letters.name))) + misplaced(persons, written)
    row.wrong += len(found)
    row.failures += found[:20]
    happened: dict[str, int] = {}
    for marker in written.markers.values():
        for name, times in marker.identity.items():
            happened[name] = happened.get(name, 0) + times
    row.notes.append(", ".join(f"{times:,} × {name}" for name, times in sorted(happened.items())))
    for name in ("linked", "switched", "merged", "split", "forwarded"):
        if not happened.get(name):
            row.failures.append(f"no id was {name}: the load is not what it should be")
