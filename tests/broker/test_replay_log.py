"""The live log is folded once more, on a real Kafka: what was announced comes out again, byte for byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage import log
from lifestage.change import Announced, headers
from lifestage.moments import parse
from streams.embedded.kafka import KafkaServer
from tests.pipeline import Deployment, deployment
from tests.wire import Record, produce

pytestmark = pytest.mark.broker

DAY = 86_400_000
START = parse("2024-02-01T00:00:00Z")
Told = tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]
"""Key, value and headers of a change, without the time at which it was sent."""


class Line(msgspec.Struct):
    """A line of offline output: the bytes under `data` are those of a record's value."""

    data: msgspec.Raw


def event(n: int, customer: str, day: float, kind: str = "web.visit", **fields: object) -> dict[str, object]:
    """An event of a customer on a day after the start."""
    time = START + round(day * DAY)
    given = {"url": "/"} if kind == "web.visit" else {}
    return {"id": f"e{n}", "source": "shop", "type": kind, "time": time, "customer_id": customer, **given, **fields}


def purchases() -> Iterator[dict[str, object]]:
    """Forty customers who buy, pay back, come late and fall silent; some events twice; several ids of some, who are told in messages."""
    n = 0
    for who in range(40):
        customer = f"c{who}"
        for order in range(who % 4 + 1):
            n += 1
            money = {"currency": "EUR", "total": "20.00", "order_id": f"{customer}-{order}"}
            bought = event(n, customer, who / 7 + order * 30, "order.completed", **money)
            yield bought
            if who % 5 == 0:
                yield bought
        if who % 3 == 0:
            n += 1
            yield event(n, customer, who / 7 + 1, "order.cancelled", order_id=f"{customer}-0")
    # these come after much later ones: some within the lateness, some beyond it
    for who in range(0, 40, 2):
        n += 1
        late = {"currency": "EUR", "total": "5.00", "order_id": f"late-{who}"}
        yield event(n, f"c{who}", who / 7 + 0.5, "order.completed", **late)
    # visitors who turn out to be customers, whose devices change hands, and customers who are one person
    for who in range(0, 40, 4):
        n += 3
        yield event(n - 2, "", 125, anonymous_id=f"d{who}")
        yield event(n - 1, f"c{who}", 126, anonymous_id=f"d{who}", email=f"p{who}@example.com")
        yield event(n, f"c{who + 1}", 127, anonymous_id=f"d{who}")
    for who in (3, 13):
        n += 1
        yield event(n, "", 128, "identity.merged", ids=[f"c{who}", f"c{who + 10}"])


@pytest.fixture(scope="module")
def made(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose worker has announced all there is, corrections among it, and is stopped."""
    home = tmp_path_factory.mktemp("replay-log")
    prefix = f"replay-log-{home.name}."
    with deployment(kafka.bootstrap, prefix, home, clock__out_of_orderness_s="86400") as made, made.worker() as worker:
        worker.wait_ready()
        events = list(purchases())
        for part in (events[: len(events) // 2], events[len(events) // 2 :]):
            made.produce("purchases", part)
            made.wait_taken_in(alive=[worker])
        made.end_tick(START + 400 * DAY)
        made.wait_done(alive=[worker])
        assert worker.terminate() == 0
        yield made


@pytest.fixture
def replay(made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `lifestage replay --log` on the deployment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def run(*words: str, **settings: str) -> Result:
        for name, value in (made.given | settings).items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').replace('__', '_').upper()}", value)
        return CliRunner().invoke(application(), ["replay", "--log", *words])

    return run


def without_emission(pairs: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """The headers but for the time at which they were sent."""
    return tuple((name, value) for name, value in pairs if name != "ce_recordedtime")


def announced(made: Deployment) -> dict[int, list[Told]]:
    """What stands in stage-changes, by partition and in its order, each change once."""
    found: dict[int, dict[tuple[bytes, bytes], Record]] = defaultdict(dict)
    for record in made.read(made.topics.changes.name):
        assert record.key is not None
        found[record.partition].setdefault((record.key, dict(record.headers)["ce_id"]), record)
    return {
        number: [(r.key or b"", r.value or b"", without_emission(r.headers)) for r in records.values()]
        for number, records in found.items()
    }


def replayed(lines: bytes) -> list[Told]:
    """What the lines of offline output stand for on the wire."""
    found = []
    for line in lines.splitlines():
        change = msgspec.json.decode(line, type=Announced)
        value = bytes(msgspec.json.decode(line, type=Line).data)
        found.append((change.partitionkey.encode(), value, without_emission(tuple(headers(change, b"-")))))
    return found


def in_order(by_partition: dict[int, list[Told]]) -> list[Told]:
    """One partition after the other."""
    return [told for number in sorted(by_partition) for told in by_partition[number]]


def test_every_change_comes_out_again_byte_for_byte(made: Deployment, replay: Callable[..., Result]) -> None:
    """Value, headers and order within each partition are those on the topic, corrections and reversals included."""
    done = replay()
    assert done.exit_code == 0, done.stderr
    due = in_order(announced(made))
    assert replayed(done.stdout_bytes) == due
    kinds = {msgspec.json.decode(value)["kind"] for _, value, _ in due}
    assert {"entry", "advance", "correction", "at_risk", "churn", "reversal"} <= kinds
    assert f"{len(due):,} changes\n" in done.stderr
    assert f"{sum(made.ends([made.topics.log.name]).values()):,} records of 4 partitions in " in done.stderr


def test_it_is_the_same_in_little_memory(
    made: Deployment, replay: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few records are read at a time and however few profiles are held decoded, the same comes out."""
    monkeypatch.setattr("commands.replay_log.DIRTY_MAX", 2)
    monkeypatch.setattr("streams.log_reader.RECORDS_A_POLL", 3)
    assert replayed(replay().stdout_bytes) == in_order(announced(made))


def test_it_takes_no_part_in_the_group(made: Deployment, replay: Callable[..., Result]) -> None:
    """The commits of the workers' group are what they were, and nobody joined it."""
    before = made.committed()
    admin = KafkaAdminClient(bootstrap_servers=made.bootstrap)
    try:
        groups = {str(group) for group in admin.list_groups()}
        assert replay().exit_code == 0
        assert {str(group) for group in admin.list_groups()} == groups
    finally:
        admin.close()
    assert made.committed() == before


def test_a_partition_may_end_earlier(made: Deployment, replay: Callable[..., Result]) -> None:
    """--until-offset is exclusive: what the records before it brought comes out, of that partition alone."""
    ends = {tp.partition: end for tp, end in made.ends([made.topics.log.name]).items()}
    done = replay("--until-offset", f"1:{ends[1] - 1}", "--output", "some.jsonl")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    due = announced(made)
    before = [told for told in due[1] if msgspec.json.decode(told[1])["trigger"]["offset"] < ends[1] - 1]
    assert 0 < len(before) < len(due[1])
    assert replayed(Path("some.jsonl").read_bytes()) == in_order(due | {1: before})


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--until-offset", "9:1"], 1, "--until-offset 9:1: {log} has partitions 0 to 3"),
        (["--until-offset", "0:999999"], 1, "--until-offset 0:999999: {log}[0] ends at {end}"),
        (["--until-offset", "one"], 2, "--until-offset 'one': write PARTITION:OFFSET, such as 3:1200"),
        (["--until-offset", "1:1", "--until-offset", "1:2"], 2, "--until-offset '1:2': partition 1 is named twice"),
        (["--output", "no/where"], 1, "no/where: cannot be written (No such file or directory)"),
        (["--output", "/dev/full"], 1, "/dev/full: cannot be written (No space left on device)"),
        (["e.jsonl"], 2, "--log takes no FILE"),
        (["--plan", "clm6"], 1, "no plan 'clm6'; did you mean 'clm"),
    ],
)
def test_a_wrong_word_is_one_line(
    made: Deployment, replay: Callable[..., Result], words: list[str], code: int, said: str
) -> None:
    """A partition, offset, file or plan that is not there is named."""
    end = made.ends([made.topics.log.name])[TopicPartition(made.topics.log.name, 0)]
    done = replay(*words)
    shown = done.stderr if code == 2 else str(done.exception)
    assert done.exit_code == code
    assert said.format(log=made.topics.log.name, end=end) in " ".join(shown.split())


def test_a_log_that_is_not_there_is_said_so(replay: Callable[..., Result]) -> None:
    """The topic is named, with the command that makes it."""
    done = replay(topics__prefix="nowhere.")
    assert str(done.exception) == "topic nowhere.customer-events is not there: `lifestage provision` makes it"


def test_a_log_without_its_beginning_is_refused(kafka: KafkaServer, tmp_path: Path, topic_prefix: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Which partition is cut, and of when the oldest record left is; nothing is written."""
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        for name, value in made.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        tick = log.pack_tick(log.Tick(START, live=False))
        for at in (START, START + DAY):
            produce(made.bootstrap, made.topics.log.name, [(None, tick)], partition=2, timestamp_ms=at)
        cut(made, TopicPartition(made.topics.log.name, 2), 1)
        output = tmp_path / "out.jsonl"
        done = CliRunner().invoke(application(), ["replay", "--log", "--output", str(output)])
        assert done.exit_code == 1
        assert str(done.exception) == (
            f"the beginning of {made.topics.log.name}[2] is gone (topics.log_retention_days?), the oldest record left "
            "is offset 1 of 2024-02-02T00:00:00Z: what was announced follows from the whole log alone"
        )
        assert not output.exists()


def test_a_record_of_somebody_else_is_named(kafka: KafkaServer, tmp_path: Path, topic_prefix: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """What no version of the program wrote ends it with its place."""
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as made:
        for name, value in made.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        tick = log.pack_tick(log.Tick(START, live=False))
        produce(made.bootstrap, made.topics.log.name, [(None, tick), (None, b"hello")], partition=3)
        done = CliRunner().invoke(application(), ["replay", "--log"])
        assert done.exit_code == 1
        assert str(done.exception).startswith(f"{made.topics.log.name}[3]@1: not a record that this version can read")


def cut(made: Deployment, partition: TopicPartition, before: int) -> None:
    """Let Kafka delete the records before an offset, as its retention does."""
    admin = KafkaAdminClient(bootstrap_servers=made.bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=made.bootstrap, enable_auto_commit=False)
    try:
        admin.delete_records({partition: before})
        assert consumer.beginning_offsets([partition]) == {partition: before}
    finally:
        consumer.close()
        admin.close()
