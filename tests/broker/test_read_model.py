"""What stands in Redis: right, newest, told once, and in keeping with who owns what."""

from __future__ import annotations

import redis

from config.settings import Settings
from streams.connections import redis_async
from streams.embedded.redis import EmbeddedRedis
from streams.read_model import ReadModel
from streams.read_store import AliasView, CustomerView, IdView, customer, customers_per_stage, recent_changes
from tests.read_model import PREFIX, Start, Worker, change, eventually, view, written


async def test_what_is_submitted_can_be_read(start: Start, reader: redis.Redis) -> None:
    """Customers, counts over partitions and changes (newest first) are what the worker handed over."""
    worker = start()
    worker.submit(0, {"00004": view("00004", 7, "conversion"), "b": view("b", 8)}, 8, change(1), change(2))
    worker.submit(3, {"ü:c": view("ü:c", 5)}, 5)
    await eventually(written(worker))
    found = customer(reader, PREFIX, "00004")
    assert found is not None
    assert (found["stage"], found["applied"], found["partition"], found["plan"]) == ("conversion", 7, 0, "clm5")
    assert customer(reader, PREFIX, "ü:c") is not None
    assert customer(reader, PREFIX, "nobody") is None
    assert customers_per_stage(reader, PREFIX) == {"conversion": 1, "reach": 2}
    assert [told["id"] for told in recent_changes(reader, PREFIX, 5)] == ["change-2", "change-1"]
    assert recent_changes(reader, PREFIX, 0) == []
    assert 3 <= worker.model.written_total <= 6  # a partition seen for the first time is filled as well
    assert worker.model.pending == 0


async def test_an_older_write_never_replaces_a_newer_one(start: Start, reader: redis.Redis) -> None:
    """A worker that lost its partition writes late: customers, counts and gone customers stay as the successor left them."""
    successor = start()
    successor.submit(0, {"a": view("a", 20, "loyalty"), "b": view("b", 20)}, 20)
    successor.submit(0, {"b": None}, 21)
    await eventually(written(successor))
    zombie = start()
    zombie.submit(0, {"a": view("a", 19, "reach"), "b": view("b", 19), "c": view("c", 19)}, 19)
    await eventually(written(zombie))
    found = customer(reader, PREFIX, "a")
    assert found is not None
    assert found["stage"] == "loyalty"
    assert customer(reader, PREFIX, "b") is None
    assert customer(reader, PREFIX, "c") is not None
    assert customers_per_stage(reader, PREFIX) == {"loyalty": 1}


async def test_an_equal_version_is_written_again(start: Start, reader: redis.Redis) -> None:
    """A restarted worker repeats its last flush under the same offset, and that is no conflict."""
    worker = start()
    worker.submit(0, {"a": view("a", 9, "reach")}, 9)
    await eventually(written(worker))
    worker.submit(0, {"a": view("a", 9, "acquisition")}, 9)
    await eventually(written(worker))
    assert customers_per_stage(reader, PREFIX) == {"acquisition": 1}
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "acquisition"


async def test_the_newest_view_of_a_customer_wins_while_it_waits(start: Start, reader: redis.Redis) -> None:
    """A thousand states of one customer between two pipelines are one write."""
    worker = start()
    for offset in range(1000):
        worker.submit(0, {"a": view("a", offset, f"stage-{offset}")}, offset)
    assert worker.model.pending == 1
    await eventually(written(worker))
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "stage-999"
    assert worker.model.written_total <= 3


async def test_recent_changes_are_capped_and_told_once(start: Start, reader: redis.Redis) -> None:
    """A restarted worker repeats changes: none stands there twice, and only the newest `recent` are kept."""
    worker = start(recent=10)
    worker.submit(0, {}, 1, *map(change, range(8)))
    await eventually(written(worker))
    again = start(recent=10)
    again.submit(0, {}, 2, *map(change, range(4, 14)))
    await eventually(written(again))
    assert [told["id"] for told in recent_changes(reader, PREFIX, 99)] == [f"change-{n}" for n in range(13, 3, -1)]
    assert reader.hlen(PREFIX + "changes:ids") == 10
    again.submit(0, {}, 3, *map(change, range(1000)))
    await eventually(written(again))
    assert [told["id"] for told in recent_changes(reader, PREFIX, 2)] == ["change-999", "change-998"]


async def test_no_recent_changes_are_kept_when_none_are_wanted(start: Start, reader: redis.Redis) -> None:
    """`redis.recent_changes = 0` writes no changes at all."""
    worker = start(recent=0)
    worker.submit(0, {"a": view("a", 1)}, 1, change(1))
    await eventually(written(worker))
    assert not reader.exists(PREFIX + "changes")


async def test_a_dropped_partition_is_left_to_its_new_owner(
    server: EmbeddedRedis, start: Start, reader: redis.Redis
) -> None:
    """What waited for a revoked partition is not written; what waited for the others is."""
    server.stop()
    worker = start()
    worker.submit(0, {"a": view("a", 1)}, 1)
    worker.submit(1, {"b": view("b", 1)}, 1)
    await eventually(lambda: worker.model.failures_total > 0)
    worker.model.drop(0)
    assert worker.model.pending == 1
    server.start_again()
    await eventually(written(worker))
    assert customer(reader, PREFIX, "a") is None
    assert customer(reader, PREFIX, "b") is not None


async def test_a_log_that_was_created_anew_replaces_what_the_old_one_left(
    server: EmbeddedRedis, reader: redis.Redis
) -> None:
    """Offsets begin at 0 again: with another `log_id` the lower versions are written, counts and changes are cleared."""

    def model(log_id: str) -> ReadModel:
        return ReadModel(
            redis_async(Settings(), server.url), PREFIX, "clm5", 10, 0.5, log_id=log_id,
            lookup=lambda _, key: view(key, 1, "reach") if key == "a" else None,
            snapshot=lambda _: iter([("a", view("a", 1, "reach"))]),
        )  # fmt: skip

    for log_id, version, stage in (("one", 500, "loyalty"), ("two", 1, "reach")):
        writer = model(log_id)
        writer.start()
        writer.submit(0, {"a": view("a", version, stage)}, [change(version)], {stage: 1}, version)
        await writer.stop()
    assert (customer(reader, PREFIX, "a") or {})["stage"] == "reach"
    assert customers_per_stage(reader, PREFIX) == {"reach": 1}
    assert [told["id"] for told in recent_changes(reader, PREFIX, 9)] == ["change-1"]


async def test_stopping_writes_what_waits(server: EmbeddedRedis, reader: redis.Redis) -> None:
    """An orderly stop right after a flush leaves nothing unwritten."""
    worker = Worker(server.url, {})
    worker.model.start()
    worker.submit(0, {str(n): view(str(n), n) for n in range(3000)}, 3000)
    await worker.model.stop()
    assert reader.dbsize() == 3000 + 3


def alias(key: str, applied: int, whose: str) -> AliasView:
    """An id that belongs to another's profile."""
    return AliasView(applied=applied, customer_id=key, belongs_to=whose)


def who(reader: redis.Redis, key: str) -> str | None:
    """The customer that the read model names for an id."""
    found = customer(reader, PREFIX, key)
    return None if found is None else found["customer_id"]


async def test_every_known_id_leads_to_its_customer(start: Start, reader: redis.Redis) -> None:
    """A visitor of an address of a customer who was merged: each of the four answers with the survivor, who names them."""
    worker, email = start(), "email:" + "0" * 32
    ids = [IdView("anon:x", email), IdView("bob", "ann"), IdView(email, "bob")]
    ann = CustomerView(applied=9, customer_id="ann", stage="loyalty", since=None, ids=ids)
    worker.submit(0, {"ann": ann, "anon:x": alias("anon:x", 3, email)}, 9)
    worker.submit(1, {"bob": alias("bob", 8, "ann"), email: alias(email, 7, "bob")}, 8)
    await eventually(written(worker))
    assert [who(reader, key) for key in ("ann", "bob", email, "anon:x", "anon:y")] == ["ann"] * 4 + [None]
    assert (customer(reader, PREFIX, "anon:x") or {})["ids"][0] == {"id": "anon:x", "linked_to": email, "past": False}
    assert customers_per_stage(reader, PREFIX) == {"loyalty": 1}


async def test_an_id_that_is_split_off_answers_for_itself_again(start: Start, reader: redis.Redis) -> None:
    """The newer of pointer and view stands, whichever is written last."""
    worker = start()
    worker.submit(0, {"ann": view("ann", 1), "bob": alias("bob", 2, "ann")}, 2)
    await eventually(written(worker))
    assert who(reader, "bob") == "ann"
    worker.submit(0, {"bob": view("bob", 5)}, 5)
    await eventually(written(worker))
    assert who(reader, "bob") == "bob"
    zombie = start()
    zombie.submit(0, {"bob": alias("bob", 2, "ann")}, 4)
    await eventually(written(zombie))
    assert who(reader, "bob") == "bob"


async def test_a_ring_of_pointers_ends(start: Start, reader: redis.Redis) -> None:
    """While pointers of two partitions are of different moments they may form a ring: nobody is found, and soon."""
    worker = start()
    worker.submit(0, {"a": alias("a", 1, "b"), "b": alias("b", 2, "a")}, 2)
    await eventually(written(worker))
    assert who(reader, "a") is None


async def test_pointers_are_filled_again_after_a_loss(start: Start, server: EmbeddedRedis, reader: redis.Redis) -> None:
    """Emptied, Redis gets pointers and customers anew, and keeps what the sweep finds to be known."""
    worker = start()
    worker.submit(0, {"ann": view("ann", 1), "anon:x": alias("anon:x", 2, "ann")}, 2)
    await eventually(written(worker))
    server.kill()
    server.start_again()
    await eventually(lambda: worker.model.refills_total == 1 and written(worker)())
    assert [who(reader, key) for key in ("ann", "anon:x")] == ["ann", "ann"]
