"""Kept state is gone on with only where that is right, and what would lose or double something ends the process."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from faust.types import TP

from agents.lifecycle import check_next
from config.settings import Clock, Settings
from lifestage.cause import Rules
from lifestage.clock import Source
from lifestage.marker import MARKER_KEY, decode_marker, encode_marker
from lifestage.partition import Checkpoint, Partition
from lifestage.plan import Compiled
from lifestage.state import StateError
from streams import ticking
from streams.batches import BatchMessage, BatchSchema
from streams.engine import faust_app
from streams.outbox import OutRecord
from streams.profiles import ProfilesTable
from streams.stop import EXIT_STOPPED
from streams.ticking import Ticker
from streams.topics import topics_of
from tests.core.histories import CLM5, RULES, Tick, at_day, order, partition, record, records, visit

OTHER_PLAN = Compiled(msgspec.structs.replace(CLM5, grace=CLM5.grace + 1))


def kept() -> Checkpoint:
    """What a partition keeps after an order and a visit."""
    made = partition()
    made.fold(records([order(0, "e0", "o0"), visit(1, "e1", "c2")]))
    return made.checkpoint()


KEPT = kept()
STATE: list[tuple[bytes, bytes | None]] = [*KEPT.profiles.items(), (MARKER_KEY, KEPT.marker)]


def restored(rules: Rules, state: list[tuple[bytes, bytes | None]] = STATE) -> Partition:
    """A new process that has read what is kept, under rules of its own."""
    new = partition(rules)
    for key, value in state:
        new.restore(key, value)
    new.recovered()
    return new


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (RULES._replace(plan=OTHER_PLAN), "plan"),
        (RULES._replace(id_key=b"another secret"), r"identity\.secret"),
    ],
)
def test_kept_state_is_not_gone_on_with_under_other_rules(rules: Rules, what: str) -> None:
    """Another plan or another secret is refused with the partition, what differs and what to do."""
    message = rf"customer-events\[3\] was folded with another {what}: set the one that was used, or start a new "
    with pytest.raises(StateError, match=message + r"deployment with another topics\.prefix and kafka\.group"):
        restored(rules)


def test_kept_state_goes_on_under_the_same_rules() -> None:
    """The same plan and secret go on behind the last record, and so does state from before secrets were compared."""
    older = decode_marker(KEPT.marker)
    older.ids = ""
    for marker in (KEPT.marker, encode_marker(older)):
        new = restored(RULES, [*STATE[:-1], (MARKER_KEY, marker)])
        assert new.applied == 1
        (change,) = new.fold([record(2, order(2, "e2", "o2"))])
        assert (change.data.customer_id, change.data.seq, change.data.stage) == ("c1", 2, "retention")


def due_daily(customers: int) -> Partition:
    """A partition whose customers become due on one day after the other, the first 90 days after the start."""
    made = partition()
    made.fold(records([order(day, f"e{day}", f"o{day}", customer=f"c{day:02}") for day in range(customers)]))
    return made


def test_a_tick_is_bounded() -> None:
    """Of 35 timers at most ten fire with each tick, by their instants, and the last tick is what was asked for."""
    made, now = due_daily(35), at_day(150).time
    fired, at = [], 0
    for offset in range(100, 104):
        assert at < now
        at = made.bounded(now, 10)
        changes = made.fold([record(offset, Tick(at))])
        fired.append([change.data.customer_id for change in changes])
    assert at == now
    assert fired == [[f"c{n:02}" for n in range(first, min(first + 10, 35))] for first in (0, 10, 20, 30)]


class Ticks:
    """Stands where the broker is: nothing waits in any source, and what is sent to the log is folded at once."""

    def __init__(self, made: Partition) -> None:
        self.folded, self.fired = made, list[int]()

    async def read(self) -> list[Source]:
        """No source has any partition."""
        return []

    async def log_ends(self) -> dict[int, int]:
        """The log ends behind what is folded."""
        return {self.folded.number: self.folded.applied + 1}

    log_commits = log_ends

    async def send(self, _: str, number: int, sent: list[OutRecord], *, join: bool) -> list[Any]:
        """Fold what is sent, and remember how many changes followed."""
        assert join
        assert number == self.folded.number
        self.fired += [len(self.folded.fold([(self.folded.applied + 1, None, value or b"")])) for _, value, _ in sent]
        return []


async def test_what_a_bounded_tick_leaves_fires_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that comes back to 35 due customers ticks until all have fired, at most ten at a time, at every poll."""
    monkeypatch.setattr(ticking, "TIMERS_MAX", 10)
    settings, made = Settings(clock=Clock(mode="wall", tick_interval_s=3600)), due_daily(35)
    stand_in: Any = Ticks(made)
    profiles: Any = SimpleNamespace(owned={made.number: made})
    ticker = Ticker(stand_in, profiles, stand_in, topics_of(settings), settings)
    ticker.open = True
    for _ in range(8):
        await ticker.tick()
    # now is years later: each customer is at risk, then churned, and the timers of both are bounded together
    assert sum(stand_in.fired) == 70
    assert max(stand_in.fired) <= 10


class Left(BaseException):
    """The process would have ended with this status."""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process would end at once, `Left` is raised."""

    def leave(status: int) -> NoReturn:
        raise Left(status)

    monkeypatch.setattr(os, "_exit", leave)


def run_of(topic: str, number: int, *found: tuple[int, bytes | None, bytes | None]) -> BatchMessage:
    """A run of records (offset, key, value) as the consumer hands it out."""
    tp = TP(topic, number)
    run = BatchMessage(topic, number, found[-1][0], 0.0, 0, [], None, b"", None, tp=tp)
    run.records = [SimpleNamespace(offset=offset, key=key, value=value) for offset, key, value in found]
    return run


@pytest.mark.usefixtures("endless")
async def test_the_changelog_of_a_partition_that_is_gone_is_not_taken_in(tmp_path: Path) -> None:
    """A run that was buffered before a revocation leaves no trace; the run beside it, of an owned partition, does."""
    app = faust_app(Settings(), "127.0.0.1:9", tmp_path)
    topic = app.topic("a-changelog", schema=BatchSchema(), partitions=4, acks=False)
    table = ProfilesTable(app, name="profiles", partitions=4, changelog_topic=topic)
    table.prepare(RULES, "customer-events")
    both = {TP("a-changelog", 2), TP("a-changelog", 3)}
    await table.on_rebalance(both, set(), both)
    gone = {TP("a-changelog", 2)}
    await table.on_rebalance(both - gone, gone, set())
    state = [(offset, key, value) for offset, (key, value) in enumerate(STATE)]
    table.apply_changelog_batch(SimpleNamespace(message=run_of("a-changelog", number, *state)) for number in (2, 3))
    assert table.persisted_offset(TP("a-changelog", 2)) is None
    assert table.persisted_offset(TP("a-changelog", 3)) == len(STATE) - 1
    assert table.owned.keys() == {3}
    assert set(table.owned[3].keys()) == {b"c1", b"c2"}
    assert table.restored == len(STATE)


@pytest.mark.usefixtures("endless")
async def test_why_no_kpis_are_counted_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the state is read that was kept without them, and not again with every run that is folded; nothing where they count."""
    app = faust_app(Settings(), "127.0.0.1:9", tmp_path)
    topic = app.topic("a-changelog", schema=BatchSchema(), partitions=4, acks=False)
    table = ProfilesTable(app, name="profiles", partitions=4, changelog_topic=topic)
    table.prepare(RULES._replace(window=90), "customer-events")
    both = {TP("a-changelog", 2), TP("a-changelog", 3)}
    await table.on_rebalance(both, set(), both)
    state = [(offset, key, value) for offset, (key, value) in enumerate(STATE)]
    table.apply_changelog_batch([SimpleNamespace(message=run_of("a-changelog", 3, *state))])
    await table.on_recovery_completed(both, set())
    for number in (2, 3):
        table.say_uncounted(table.owned[number])
    assert [one.getMessage() for one in caplog.records if "KPIs" in one.getMessage()] == [
        "customer-events[3]: no KPIs are counted, as its changelog was written without them"
    ]


@pytest.mark.usefixtures("endless")
def test_a_log_that_skips_ends_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    """A run that begins behind the next offset ends the process and says which; a first, a next or a repeated one goes on."""
    made = partition()
    check_next(made, run_of("customer-events", 3, (7, None, None)))
    made.fold([record(7, visit(0, "e0"))])
    for first in (7, 8):
        check_next(made, run_of("customer-events", 3, (first, None, None), (first + 1, None, None)))
    assert capfd.readouterr().err == ""
    with pytest.raises(Left) as left:
        check_next(made, run_of("customer-events", 3, (9, None, None)))
    assert left.value.args == (EXIT_STOPPED,)
    said = capfd.readouterr().err
    assert said == "lifestage: stopped: customer-events[3]: offset 9 came where 8 was expected\n"
