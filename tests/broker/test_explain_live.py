"""A customer is explained from the live log, on a real Kafka: as announced, and as files say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage import log
from lifestage.facts import Fact
from lifestage.keys import email_key
from lifestage.moments import iso, parse
from streams.doorway import partition_of
from streams.embedded.kafka import KafkaServer
from tests.core.histories import order, record, visit
from tests.pipeline import Deployment, deployment
from tests.wire import produce

pytestmark = pytest.mark.broker

DAY = 86_400_000
START = parse("2024-02-01T00:00:00Z")
END = START + 150 * DAY


def event(id: str, customer: str, day: float, kind: str = "web.visit", **fields: Any) -> dict[str, Any]:
    """An event of a customer on a day after the start; orders are of 20 EUR."""
    given: dict[str, Any] = {"url": "/"} if kind == "web.visit" else {"order_id": f"{customer}-{id}"}
    if kind == "order.completed":
        given |= {"currency": "EUR", "total": "20.00"}
    common = {"id": f"{customer}-{id}", "source": "shop", "type": kind, "time": iso(START + round(day * DAY))}
    return {**common, "customer_id": customer, **given, **fields}


EVENTS = [
    event("1", "ann", 0),
    event("2", "ann", 1, "order.completed"),
    event("3", "ann", 2, "order.completed"),
    event("1", "bob", 3, "order.completed"),
    event("1", "bob", 3, "order.completed"),
    event("1", "cid", 3.5),
    event("4", "bob", 41, "order.completed"),
    event("4", "ann", 40),
    # comes after the clock has passed it, and takes back that bob's second order made two
    event("2", "bob", 39, "order.cancelled", order_id="bob-1"),
    event("3", "bob", 38),
    # a visitor on a device, who signs up there with an address, and is written to at that address
    *(event(str(n), "dee", 44 + n, customer_id="", anonymous_id="d9") for n in (1, 2, 3)),
    event("4", "dee", 48, anonymous_id="d9", email="Dee@example.com"),
    event("5", "dee", 49, customer_id="", anonymous_id="d9"),
    event("6", "dee", 50, customer_id="", email="dee@EXAMPLE.com"),
    event("7", "dee", 51, "order.completed"),
]


@pytest.fixture(scope="module")
def made(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose worker has announced all there is, and is stopped."""
    home = tmp_path_factory.mktemp("explain")
    with deployment(kafka.bootstrap, f"explain-{home.name}.", home) as made, made.worker() as worker:
        worker.wait_ready()
        for event in EVENTS:
            made.produce("purchases" if event["type"].startswith("order") else "visits", [event])
            made.wait_taken_in(alive=[worker])
            if event["id"] == "ann-4":
                made.end_tick(START + 42 * DAY)
                made.wait_done(alive=[worker])
        made.end_tick(END + 1)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0
        yield made


@pytest.fixture
def explain(made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage explain` with the settings of a deployment, that of `made` where none is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, on: Deployment = made, **settings: str) -> Result:
        for name, value in (on.given | {name.replace("__", "."): text for name, text in settings.items()}).items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        return CliRunner().invoke(application(), ["explain", *words])

    return run


def announced(made: Deployment, customer: str) -> list[tuple[str, dict[str, Any]]]:
    """Id and document of every change of a customer in stage-changes, each once."""
    found = {}
    for told in made.read(made.topics.changes.name):
        if told.key == customer.encode():
            found[dict(told.headers)["ce_id"].decode()] = json.loads(told.value or b"")
    return list(found.items())


@pytest.mark.parametrize("customer", ["ann", "bob", "cid", "dee"])
def test_the_log_says_what_was_announced(made: Deployment, explain: Callable[..., Result], customer: str) -> None:
    """As of the log's clock: every change that stands in stage-changes, corrections too, and the stage of the last of them."""
    done = explain(customer, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    due = announced(made, customer)
    assert [(change["id"], change["data"]) for change in found["changes"]] == due
    newest = due[-1][1]
    assert (found["at"], found["stage"], found["pending"]) == (iso(END), newest["stage"], [])
    due_next = newest["next_due_at"], newest["next_due_stage"]
    assert ((found["next"]["at"], found["next"]["stage"]) if found["next"] else (None, None)) == due_next


@pytest.mark.parametrize("customer", ["ann", "bob", "cid"])
@pytest.mark.parametrize("day", [3.5, 41, 150])
def test_the_log_and_a_file_say_the_same_of_any_instant(
    explain: Callable[..., Result], customer: str, day: float
) -> None:
    """With --at the text is that of a file of the same events, line by line, but for what was left out as a duplicate."""
    Path("events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in EVENTS))
    at = iso(START + round(day * DAY))
    live = explain(customer, "--at", at)
    filed = explain(customer, "events.jsonl", "--at", at)
    assert live.exit_code == filed.exit_code == 0, live.stderr
    assert live.stdout == filed.stdout
    assert live.stdout.splitlines()[1] == f"as of {at}, plan clm5 version 1"


def test_a_correction_says_what_it_supersedes(made: Deployment, explain: Callable[..., Result]) -> None:
    """What was announced and no longer holds is shown with what took its place; a duplicate is counted."""
    corrections = [data for _, data in announced(made, "bob") if data["kind"] == "correction"]
    assert len(corrections) == 1
    told = explain("bob").stdout
    assert "(superseded by #3)\n" in told
    assert (
        "  2024-03-13T00:00:00Z  #3 retention → conversion: correction by order.cancelled bob-2, because customer "
        "(supersedes #2, now acquisition at 2024-03-11T00:00:00Z, conversion at 2024-03-13T00:00:00Z)\n"
    ) in told
    assert "4 accepted, 1 duplicate" in told


def test_who_is_not_there_is_one_line(made: Deployment, explain: Callable[..., Result]) -> None:
    """Never seen: the partition where they would be is named; not yet: the instant of their first event."""
    number = partition_of(b"nobody", 4)
    done = explain("nobody")
    assert (done.exit_code, str(done.exception)) == (
        1,
        f"no events of customer 'nobody' in {made.topics.log.name}[{number}]",
    )
    done = explain("ann", "--at", "2024-01-01")
    assert str(done.exception).endswith(
        f"in {made.topics.log.name}[{partition_of(b'ann', 4)}]: the first is of 2024-02-01T00:00:00Z"
    )


def write(made: Deployment, customer: str, items: list[Fact | bytes], key: bytes | None = None, first: int = 0) -> None:
    """Facts, or raw values, into a customer's partition of the log, in place of intake; `first` is the source's offset."""
    number = partition_of(customer.encode(), 4)
    values = [item if isinstance(item, bytes) else record(at, item)[2] for at, item in enumerate(items, first)]
    produce(
        made.bootstrap,
        made.topics.log.name,
        [(key or customer.encode(), value) for value in values],
        partition=number,
    )


def test_what_time_has_brought_and_nobody_announced_yet_is_told(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, explain: Callable[..., Result]
) -> None:
    """With a wall clock the explanation is of now: what the log's clock has not come to is told apart."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, clock__mode="wall") as made:
        write(made, "dan", [order(0, "e1", "o1", customer="dan"), order(5, "e2", "o2", customer="dan")])
        done = explain("dan", on=made)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith("dan  is in churned since 2024-08-04T00:00:00Z\nas of 20")
        assert (
            "not announced yet: retention → at_risk at 2024-05-06T00:00:00Z, which waits for the log's clock\n"
            "not announced yet: at_risk → churned at 2024-08-04T00:00:00Z, which waits for the log's clock\n"
        ) in done.stdout
        assert "so far      2 accepted; 2 changes\n" in done.stdout


def test_what_came_too_late_counts_as_little_as_it_did(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, explain: Callable[..., Result]
) -> None:
    """A visit older than the lateness was left out then, and is left out now, of any instant; it is counted."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        write(made, "dan", [order(90, "e1", "o1", customer="dan")])
        made.end_tick(START + 100 * DAY)
        write(made, "dan", [visit(91, "e2", customer="dan"), visit(94, "e3", customer="dan")], first=1)
        for words in ((), ("--at", iso(START + 99 * DAY))):
            told = explain("dan", *words, on=made).stdout
            assert "so far      2 accepted, 1 late; 1 change\n" in told
            assert "web.visit e3: reached no → yes" in told
            assert "e2" not in told


def test_records_of_others_are_not_even_decoded(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, explain: Callable[..., Result]
) -> None:
    """What is broken of somebody else in the same partition does no harm; what is broken of the customer is named."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        write(made, "dan", [b"not a record"], key=b"somebody else")
        write(made, "dan", [visit(0, "e1", customer="dan")])
        assert explain("dan", on=made).stdout.startswith("dan  is in reach since 2024-02-01T00:00:00Z\n")
        write(made, "dan", [log.pack(log.FACT, b"\xc1")])
        place = f"{made.topics.log.name}[{partition_of(b'dan', 4)}]@2"
        assert str(explain("dan", on=made).exception).startswith(f"{place}: not a record that this version can read")


def test_a_log_without_its_beginning_explains_nobody(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, explain: Callable[..., Result]
) -> None:
    """Half a history would explain another stage than was announced; customers of whole partitions are explained."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        write(made, "dan", [visit(0, "e1", customer="dan"), visit(1, "e2", customer="dan")])
        write(made, "eve", [visit(0, "e1", customer="eve")])
        admin = KafkaAdminClient(bootstrap_servers=made.bootstrap)
        try:
            admin.delete_records({TopicPartition(made.topics.log.name, partition_of(b"dan", 4)): 1})
        finally:
            admin.close()
        done = explain("dan", on=made)
        assert done.exit_code == 1
        assert str(done.exception).startswith(
            f"the beginning of {made.topics.log.name}[{partition_of(b'dan', 4)}] is gone (topics.log_retention_days?), "
            "the oldest record left is offset 1 of 20"
        )
        assert partition_of(b"dan", 4) != partition_of(b"eve", 4)
        assert explain("eve", on=made).stdout.startswith("eve  is in reach")


def test_an_address_finds_whoever_is_known_by_it(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, explain: Callable[..., Result]
) -> None:
    """Looked up by the hash that stands for it, and not shown; a topic that is not there is named."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        key = email_key("ann@example.com", made.settings.identity.secret.encode())
        write(made, key, [order(0, "e1", "o1", customer=key)])
        assert explain("Ann@example.COM ", on=made).stdout.startswith(f"{key}  is in conversion since 2024-02-01")
        done = explain("ann", on=made, topics__prefix="nowhere.")
        assert str(done.exception) == "topic nowhere.customer-events is not there: `lifestage provision` makes it"


def test_any_id_of_a_customer_is_asked_for(made: Deployment, explain: Callable[..., Result]) -> None:
    """A device and an address are their customer's, wherever in the log they stand: one answer, all facts, whose it is."""
    address = email_key("dee@example.com", made.settings.identity.secret.encode())
    done = {id: explain(id, "--json") for id in ("dee", "anon:d9", "DEE@example.com")}
    assert [str(one.exception) for one in done.values() if one.exception is not None] == []
    found = {id: json.loads(one.stdout) for id, one in done.items()}
    for one in found.values():
        assert (one["customer"], one["since"]) == ("dee", iso(START + 141 * DAY))
        assert [member["id"] for member in one["members"]] == ["anon:d9", address]
        assert [fact["id"] for instant in one["history"] for fact in instant["facts"]] == [
            f"dee-{n}" for n in range(1, 8)
        ]
    assert found["dee"]["asked"] is None
    assert found["anon:d9"]["asked"] == {"id": "anon:d9", "since": iso(START + 48 * DAY), "past": False}
    assert f"anon:d9 belongs to dee since {iso(START + 48 * DAY)}" in explain("anon:d9").stdout
