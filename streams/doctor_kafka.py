"""Checks of the brokers and the topics: every address, and each topic against what `lifestage provision` would make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from config.settings import Settings
from streams.connections import CREATE_TOPICS, aiokafka
from streams.dead_letters import VALUE_MAX
from streams.doctor import Finding, Ground, Look
from streams.provision_plan import Action, Existing, ProvisionError, decide
from streams.reachability import FAILURES, UnreachableError, ask_kafka, host_and_port, kafka_problem, quiet
from streams.running import bootstrap_of
from streams.survey import Survey
from streams.topics import topics_of

PROVISION = "lifestage provision"
LETTER_BYTES = 524_288
"""What a dead letter has beside the value of its record: key, headers and framing."""
MEANS = {
    "cleanup.policy": "records that are needed would be taken away",
    "retention.ms": "records are kept for another time than the settings say",
    "message.timestamp.type": "a producer's clock would say when a record came",
    "compression.type": "a record in lz4, snappy or zstd stops a reader that has no such library",
    "max.message.bytes": "a record of the size that the settings allow is refused",
    "min.insync.replicas": "a record that was acknowledged may stand on one disk alone",
}


class InMemoryError(Exception):
    """The broker is the in-memory one of a demo, of which there is nothing to check."""


def survey(ground: Ground) -> Survey:
    """Somebody to ask, once `reach` has found Kafka. Raises `InMemoryError`."""
    if CREATE_TOPICS not in ground.facts["calls"]:
        raise InMemoryError
    return Survey(ground.hasty, ground.bootstrap)


def with_a_real_broker(name: str, look: Look) -> Look:
    """A check that says so where the broker is the in-memory one."""

    def looked(ground: Ground) -> Iterable[Finding]:
        try:
            return list(look(ground))
        except InMemoryError:
            return [Finding(name, "ok", "the broker is a demo's, in memory: nothing to check")]

    return looked


# -- addresses -----------------------------------------------------------------------------------


def reach(ground: Ground) -> Iterator[Finding]:
    """Each address of `kafka.bootstrap`, and each that the brokers tell clients to use."""
    options = {**aiokafka(ground.settings), "request_timeout_ms": int(ground.hasty.kafka.request_timeout_s * 1000)}
    servers = [part for part in (part.strip() for part in ground.bootstrap.split(",")) if part]
    if not servers:
        bootstrap_of(ground.settings)  # says what to set
    with quiet("aiokafka"):
        asked = asyncio.run(_ask_all(servers, options))
        answers = [answer for answer in asked.values() if not isinstance(answer, BaseException)]
        advertised = sorted({f"{host}:{port}" for brokers, _ in answers for host, port in brokers} - set(servers))
        told = asyncio.run(_ask_all(advertised, options)) if answers else {}
    if not answers:
        for server, problem in asked.items():
            yield _unreached(f"Kafka at {server}", problem, "FAIL", options)
        return
    ground.facts["calls"] = frozenset.union(*(calls for _, calls in answers))
    for server, problem in asked.items():
        if isinstance(problem, BaseException):
            yield _unreached(f"one of the servers of kafka.bootstrap, {server}", problem, "warn", options)
    for server, problem in told.items():
        if isinstance(problem, BaseException):
            yield Finding(
                "kafka",
                "FAIL",
                f"a broker tells clients to use {server}, which does not work from here: "
                f"{kafka_problem(problem, host_and_port(server)[0], options).partition(': ')[0]}",
                "what that broker leads can be neither read nor written",
                "correct advertised.listeners of that broker, or the name service or firewall here",
            )
    brokers = {f"{host}:{port}" for found, _ in answers for host, port in found}
    if any(not isinstance({**asked, **told}[server], BaseException) for server in brokers):
        yield Finding("kafka", "ok", f"{_version(ground)} at {ground.bootstrap}; {_count(len(brokers), 'broker')}")


def _version(ground: Ground) -> str:
    try:
        with survey(ground) as asked:
            return "Kafka " + ".".join(map(str, asked.admin._manager.broker_version))
    except InMemoryError:
        return "librdkafka's in-memory broker"


def _unreached(what: str, error: Any, level: Any, options: dict[str, Any]) -> Finding:
    host = what.rpartition(" ")[2].rpartition(":")[0]
    known = isinstance(error, FAILURES) and not isinstance(error, UnreachableError)
    problem = kafka_problem(error, host, options) if known else str(error)
    found, _, fix = problem.rpartition(": ")
    means = "workers reach no broker" if level == "FAIL" else "it is no help when the others are away"
    return Finding("kafka", level, f"{what}: {found}", means, fix)


Answer = tuple[list[tuple[str, int]], frozenset[int]]


async def _ask_all(servers: Iterable[str], options: dict[str, Any]) -> dict[str, Answer | BaseException]:
    names = list(servers)
    asked = await asyncio.gather(*(_ask(name, options) for name in names), return_exceptions=True)
    return dict(zip(names, asked, strict=True))


async def _ask(server: str, options: dict[str, Any]) -> Answer:
    host, port = host_and_port(server)
    return await ask_kafka(host, port, options)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# -- topics --------------------------------------------------------------------------------------


def topics(ground: Ground) -> Iterator[Finding]:
    """Each topic: is it there, and as `lifestage provision` would leave it."""
    with survey(ground) as asked:
        names = [topic.name for topic in asked.topics.all()]
        existing = asked.existing(asked.described(asked.names() & set(names)))
    found = list(judge_topics(ground.settings, existing))
    yield from found
    if not any(finding.level == "FAIL" for finding in found):
        kept = f"{_count(len(names), 'topic')} as `{PROVISION}` makes them"
        yield Finding("topics", "ok", f"{kept}; {ground.settings.topics.partitions} partitions of the log")


def judge_topics(settings: Settings, existing: Mapping[str, Existing]) -> Iterator[Finding]:
    """What is wrong with topics as they are. Pure."""
    ours = topics_of(settings)
    sources = {topic.name for topic in ours.sources}
    fitting = dict(existing)
    for topic in ours.all():
        found = existing.get(topic.name)
        if found is not None and topic.name not in sources and found.partitions != topic.partitions:
            fitting[topic.name] = replace(found, partitions=topic.partitions)
            try:
                decide(settings, {topic.name: found})
            except ProvisionError as error:
                means, _, fix = str(error).partition(": ")[2].partition("; ")
                said = f"{topic.name} has {found.partitions} partitions, topics.partitions is {topic.partitions}"
                yield Finding("topics", "FAIL", said, means, fix)
    for action in decide(settings, fitting):
        yield from _of_action(action, existing.get(action.topic), source=action.topic in sources)


def _of_action(action: Action, found: Existing | None, *, source: bool) -> Iterator[Finding]:
    if found is None:
        means = "what is sent to it is refused, and workers do not start"
        yield Finding("topics", "FAIL", f"{action.topic} is not there", means, PROVISION)
        return
    if source and "compact" in found.configs.get("cleanup.policy", ""):
        fix = f"kafka-configs.sh --alter --entity-type topics --entity-name {action.topic} --add-config cleanup.policy=delete"
        means = "of events with one key all but the newest are taken away, perhaps before they are read"
        yield Finding("topics", "FAIL", f"{action.topic} is compacted", means, fix)
    if action.kind == "alter":
        told = str(replace(action, notes=())).partition(": ")[2].replace(" -> ", ", should be ")
        means = next(
            (MEANS[name] for name in action.configs if name in MEANS), "what is deleted or new is kept otherwise"
        )
        yield Finding("topics", "FAIL", f"{action.topic}: {told}", means, PROVISION)
    for note in action.notes:
        if "kafka-reassign-partitions" in note:
            means = "as many copies of its records survive the loss of brokers"
            fix = f"kafka-reassign-partitions.sh, or set topics.replication = {found.replication}"
            yield Finding("topics", "warn", f"{action.topic} has {_count(found.replication, 'copy')}", means, fix)


# -- copies --------------------------------------------------------------------------------------


def copies(ground: Ground) -> Iterator[Finding]:
    """Whether each partition has a leader and its copies, and whether acks=all can be had and is worth something."""
    with survey(ground) as asked:
        described = asked.described(asked.names() & {topic.name for topic in asked.topics.all()})
        existing = asked.existing(described)
        brokers = len(asked.admin.describe_cluster()["brokers"])
    least = {name: int(found.configs.get("min.insync.replicas", 1)) for name, found in existing.items()}
    found = [*judge_copies(described, least, brokers)]
    yield from found
    if not any(finding.level == "FAIL" for finding in found) and existing:
        copied = sorted({one.replication for one in existing.values()})
        waits = sorted(set(least.values()))
        yield Finding(
            "copies",
            "ok",
            f"each partition has a leader; {_numbers(copied)} of each, a write waits for {_numbers(waits)} (min.insync.replicas)",
        )


def _numbers(found: Iterable[int]) -> str:
    numbers = list(found)
    return f"{' or '.join(map(str, numbers))} {'copy' if numbers == [1] else 'copies'}"


def judge_copies(
    described: Mapping[str, list[dict[str, Any]]], least: Mapping[str, int], brokers: int
) -> Iterator[Finding]:
    """What is wrong with the copies of topics, by the numbers of brokers that hold them. Pure."""
    bare = [
        name for name, on in described.items() if brokers >= 3 and any(len(one["replica_nodes"]) == 1 for one in on)
    ]
    if bare:
        means = "the loss of one disk loses records, and the state that was made of them"
        fix = "set topics.replication = 3 for a new deployment, or kafka-reassign-partitions.sh for this one"
        yield Finding("copies", "warn", f"{_list(bare)}: 1 copy, and there are {brokers} brokers", means, fix)
    for name, on in described.items():
        wanted, copied = least[name], min(len(one["replica_nodes"]) for one in on)
        leaderless = [one["partition_index"] for one in on if one["leader_id"] < 0]
        short = [one["partition_index"] for one in on if len(one["isr_nodes"]) < len(one["replica_nodes"])]
        if leaderless:
            means, fix = "it can be neither read nor written", "start the brokers that hold it"
            yield Finding("copies", "FAIL", f"{name}{leaderless} has no leader", means, fix)
        elif wanted > copied:
            fix = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config min.insync.replicas={max(1, copied - 1)}"
            yield Finding(
                "copies", "FAIL", f"{name}: min.insync.replicas is {wanted}, of {copied}", "every write is refused", fix
            )
        elif any(len(one["isr_nodes"]) < wanted for one in on):
            means, fix = "writes are refused until it has caught up", "start the brokers that hold copies of it"
            yield Finding(
                "copies", "FAIL", f"{name}{short}: fewer copies in sync than min.insync.replicas, {wanted}", means, fix
            )
        elif short:
            yield Finding(
                "copies",
                "warn",
                f"{name}{short}: a copy is not in sync",
                "the loss of one more broker may stop it",
                "see to the brokers that are away",
            )
        elif wanted == copied > 1:
            fix = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config min.insync.replicas={copied - 1}"
            yield Finding(
                "copies",
                "warn",
                f"{name}: min.insync.replicas is {wanted}, of {copied}",
                "one broker that is away stops all writes",
                fix,
            )


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# -- sizes ---------------------------------------------------------------------------------------


def sizes(ground: Ground) -> Iterator[Finding]:
    """Whether each topic takes records as large as the topics before it let through."""
    with survey(ground) as asked:
        existing = asked.existing(asked.described(asked.names() & {topic.name for topic in asked.topics.all()}))
    ours, most = topics_of(ground.settings), ground.settings.intake.max_event_bytes
    limits = {name: int(found.configs["max.message.bytes"]) for name, found in existing.items()}
    sources = {topic.name: limits[topic.name] for topic in ours.sources if topic.name in limits}
    found = []
    for name, limit in sources.items():
        if limit < most + 1_000:
            means = "producers cannot send the largest events that would be taken in"
            fix = f"set intake.max_event_bytes = {max(1, limit - 1_000)}, or raise max.message.bytes of {name}"
            found.append(
                Finding(
                    "sizes", "warn", f"{name} takes {limit:,} bytes, intake.max_event_bytes is {most:,}", means, fix
                )
            )
    letters = limits.get(ours.dead_letters.name)
    needed = min(VALUE_MAX, max(sources.values(), default=0)) + LETTER_BYTES
    if letters is not None and letters < needed:
        means = "a large event that is rejected cannot be put aside, and the worker stops"
        found.append(
            Finding(
                "sizes",
                "FAIL",
                f"{ours.dead_letters.name} takes {letters:,} bytes, sources up to {needed - LETTER_BYTES:,}",
                means,
                PROVISION,
            )
        )
    yield from found
    if not found:
        yield Finding(
            "sizes",
            "ok",
            f"events up to {most:,} bytes (intake.max_event_bytes) fit their topics, and so do dead letters",
        )
