"""The end tick of a replay, on a real Kafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from typer.testing import CliRunner, Result

from commands.main import application
from config.settings import Settings, load
from lifestage import log
from lifestage.moments import parse
from streams.embedded.kafka import KafkaServer
from streams.provision import apply, plan
from tests.wire import produce, read_all

pytestmark = pytest.mark.broker

T = "1998-07-01T00:00:00Z"


class Deployment:
    """A provisioned deployment on the shared broker, without a worker."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, mode: str = "data") -> None:
        self.file = folder / f"{mode}.toml"
        self.file.write_text(
            f'[kafka]\nbootstrap = "{bootstrap}"\ngroup = "{prefix}group"\n[clock]\nmode = "{mode}"\n'
            f'[topics]\nprefix = "{prefix}"\npartitions = 3\n[redis]\nenabled = false\n'
        )
        self.bootstrap, self.prefix = bootstrap, prefix
        self.settings: Settings = load(self.file)

    def run(self, *words: str) -> Result:
        """Run a command to its end."""
        return CliRunner().invoke(application(), [words[0], "--config", str(self.file), *words[1:]])

    def read_to_the_end(self) -> None:
        """Commit every source, as a worker does that has read all."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.settings.kafka.group, enable_auto_commit=False
        )
        for source in self.settings.topics.sources:
            partitions = [TopicPartition(self.prefix + source, n) for n in range(3)]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            consumer.commit({p: OffsetAndMetadata(end, "", -1) for p, end in ends.items()})
        consumer.close()


@pytest.fixture
def deploy(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Deployment]:
    """Makes a deployment."""
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def make(mode: str = "data", *, provisioned: bool = True) -> Deployment:
        made = Deployment(kafka.bootstrap, topic_prefix, tmp_path, mode)
        if provisioned:
            apply(made.settings, kafka.bootstrap, plan(made.settings, kafka.bootstrap))
        return made

    return make


def test_a_tick_stands_in_every_partition_of_the_log(deploy: Callable[..., Deployment]) -> None:
    """One record a partition, without a key, that says the time and that it is not live; sources that are empty lag not."""
    deployment = deploy()
    done = deployment.run("tick", T)
    assert (done.exit_code, done.output) == (
        0,
        f"tick {T} written to 3 partitions of {deployment.prefix}customer-events\n",
    )
    records = read_all(deployment.bootstrap, deployment.prefix + "customer-events")
    assert [(record.partition, record.key) for record in records] == [(0, None), (1, None), (2, None)]
    assert {log.tick(record.value or b"") for record in records} == {log.Tick(parse(T), live=False)}
    assert {log.header(record.value or b"").kind for record in records} == {log.TICK}


def test_it_is_refused_while_events_wait_unread(deploy: Callable[..., Deployment]) -> None:
    """Nothing is written until the group has read every source; the error says how much waits and where."""
    deployment = deploy()
    placed = produce(deployment.bootstrap, deployment.prefix + "purchases", [(b"a", b"{}"), (b"b", b"{}")])
    done = deployment.run("tick", T, "--wait", "0.3")
    assert done.exit_code == 1
    said = str(done.exception)
    assert said.startswith("2 events wait unread in the sources after 0.3 s (")
    for partition in {partition for partition, _ in placed}:
        count = sum(of == partition for of, _ in placed)
        assert f"{deployment.prefix}purchases[{partition}] at 0 of {count}" in said
    assert f"is a worker of group '{deployment.prefix}group' running? --wait SECONDS waits longer" in said
    assert read_all(deployment.bootstrap, deployment.prefix + "customer-events") == []
    deployment.read_to_the_end()
    assert deployment.run("tick", T, "--wait", "0").exit_code == 0


def test_it_is_refused_while_the_log_is_not_folded(deploy: Callable[..., Deployment]) -> None:
    """What stands in the log may put an event into another partition of it: a tick waits until all of it is folded."""
    deployment = deploy()
    produce(
        deployment.bootstrap, deployment.prefix + "customer-events", [(b"a", b"fact"), (b"b", b"fact")], partition=1
    )
    done = deployment.run("tick", T, "--wait", "0.3")
    assert done.exit_code == 1
    log_1 = f"{deployment.prefix}customer-events[1] at 0 of 2"
    assert str(done.exception).startswith(f"2 records wait in the log after 0.3 s ({log_1}), so nothing was written: ")


def test_where_the_clock_moves_time_there_is_no_tick(deploy: Callable[..., Deployment]) -> None:
    """With clock.mode wall a tick could declare everybody churned: refused, with the setting to change."""
    done = deploy("wall", provisioned=False).run("tick", T)
    assert done.exit_code == 1
    assert str(done.exception).startswith("clock.mode = 'wall': there time moves by itself")
    assert "LIFESTAGE_CLOCK_MODE=data" in str(done.exception)


def test_without_topics_it_says_what_makes_them(deploy: Callable[..., Deployment]) -> None:
    """The first topic that is not there is named."""
    deployment = deploy(provisioned=False)
    done = deployment.run("tick", T)
    assert done.exit_code == 1
    assert str(done.exception) == f"topic {deployment.prefix}visits is not there: `lifestage provision` makes it"
