"""What waits for the read model: the newest wins, nothing starves, and no slice holds up the event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis.asyncio

from streams.read_buffer import REREAD, Batch, Buffer, Stages
from streams.read_refill import Refill
from streams.read_store import CustomerView, Keys
from tests.read_model import Said


def view(applied: int) -> CustomerView:
    """A customer at a log offset."""
    return CustomerView(applied=applied, customer_id="x", stage="reach", since="1997-01-01T00:00:00Z")


def test_what_came_while_a_batch_was_under_way_is_newer() -> None:
    """A batch that failed comes back behind what was submitted since: views, counts; and changes keep their order."""
    buffer = Buffer(10, recent=3)
    buffer.add(0, {"a": view(1), "b": view(1)}, [Said("1"), Said("2")])
    buffer.count(0, Stages(1, {"reach": 2}))
    failed = buffer.take(10, 10)
    buffer.add(0, {"a": view(2)}, [Said("3"), Said("4")])
    buffer.count(0, Stages(2, {"reach": 3}))
    buffer.put_back(failed, {0: None})
    batch = buffer.take(10, 10)
    assert batch.customers == {0: {"a": view(2), "b": view(1)}}
    assert batch.stages[0].version == 2
    assert batch.changes == [Said("2"), Said("3"), Said("4")]


def test_a_batch_of_a_partition_that_was_revoked_meanwhile_does_not_come_back() -> None:
    """What could not be written for a partition that another worker has now is forgotten; its changes are not."""
    buffer = Buffer(10, recent=3)
    buffer.add(0, {"a": view(1)}, [Said("1")])
    buffer.add(1, {"b": view(1)}, [])
    failed = buffer.take(10, 10)
    buffer.put_back(failed, {1: None})
    batch = buffer.take(10, 10)
    assert batch.customers == {1: {"b": view(1)}}
    assert batch.changes == [Said("1")]


def test_no_partition_starves_another() -> None:
    """With more waiting than a batch takes, the partitions have their turns, and the longest waiting goes first."""
    buffer = Buffer(1000, recent=0)
    for partition in range(3):
        buffer.add(partition, {f"{n}": view(n) for n in range(20)}, [])
    turns = []
    while buffer:
        batch = buffer.take(8, 8)
        assert batch.size() <= 8
        turns.append(min(batch.customers))
        keys = [int(key) for key in next(iter(batch.customers.values()))]
        assert keys == sorted(keys)
    assert set(turns[:3]) == {0, 1, 2}


def test_only_a_batch_without_customers_says_that_all_is_written() -> None:
    """Counts go out at once, but the partition is drained only when what was taken before has been answered."""
    buffer = Buffer(10, recent=0)
    buffer.add(0, {"a": view(1)}, [])
    buffer.count(0, Stages(1, {"reach": 1}))
    first, second = buffer.take(10, 10), buffer.take(10, 10)
    assert (set(first.stages), first.drained) == ({0}, set())
    assert (set(second.stages), second.drained) == ({0}, {0})
    assert not buffer


def test_above_the_limit_only_keys_wait() -> None:
    """The entry that would be one too many holds no view, and replaces the view that waited under its key."""
    buffer = Buffer(2, recent=0)
    buffer.add(0, {"a": view(1), "b": view(1)}, [])
    buffer.add(0, {"a": view(2)}, [])
    assert buffer.take(10, 10).customers == {0: {"a": REREAD, "b": view(1)}}


def test_a_refill_of_views_that_stand_there_already_gives_the_loop_back() -> None:
    """A million views that need not be written are passed in slices of milliseconds, not in one go."""
    refill = Refill(redis.asyncio.Redis(), Keys("p:"), lambda _: iter(()), lambda *_: None)
    passed = 0

    def views() -> Iterator[tuple[str, CustomerView]]:
        nonlocal passed
        known = view(1)
        for passed in range(1_000_000):  # noqa: B007  # read by the test
            yield "a", known

    refill.ask(0, everything=False)
    refill._views, refill._since = views(), 5
    began = time.thread_time()
    batch = Batch()
    assert refill.fill(batch, 500, Buffer(10, recent=0)) is None
    assert time.thread_time() - began < 0.05
    assert 0 < passed < 900_000
    assert not batch


@pytest.mark.parametrize("name", ["a b", "x/y", 'q"', "é", "a" * 65])
def test_an_id_that_would_break_a_document_is_refused(name: str) -> None:
    """Plan and log ids stand unescaped at the head of every document, so they are plain."""
    with pytest.raises(ValueError, match="plan_id"):
        Keys("p:", plan_id=name)
    with pytest.raises(ValueError, match="log_id"):
        Keys("p:", log_id=name)
