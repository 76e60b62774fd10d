"""The topics of a deployment, made and kept as the settings say. Doing it twice does nothing the second time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kafka import KafkaAdminClient, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from config.settings import Settings
from lifestage.log import topic_code
from streams.connections import Reached, UnreachableError, reach_kafka
from streams.provision_plan import Action, Existing, ProvisionError, decide
from streams.topics import Topics, topics_of

__all__ = ["Action", "ProvisionError", "apply", "check_codes", "check_topics", "plan", "topic_ids"]

IN_FORCE_S = 10.0


def plan(settings: Settings, bootstrap: str) -> list[Action]:
    """What `apply` would do now, a topic each.

    Raises `UnreachableError` when Kafka cannot be used, `ProvisionError` when a topic has another partition count.
    """
    reached = reach_kafka(settings, bootstrap)
    if not reached.creates_topics:
        return [
            Action("touch", topic.name, topic.partitions, 1, notes=("in memory, so no configs and no copies",))
            for topic in topics_of(settings).all()
        ]
    with _admin(reached, bootstrap) as admin:
        return decide(settings, _existing(admin, [topic.name for topic in topics_of(settings).all()]))


def apply(settings: Settings, bootstrap: str, actions: Iterable[Action]) -> None:
    """Do it, and return when every new topic has leaders and every altered config is in force.

    A topic that somebody else made in between is no error. Raises `UnreachableError`, or `ProvisionError` with the
    broker's own words when it refuses.
    """
    todo = [action for action in actions if action.kind != "keep"]
    if not todo:
        return
    reached = reach_kafka(settings, bootstrap)
    if not reached.creates_topics:
        _touch(reached, [action for action in todo if action.kind == "touch"])
        return
    with _admin(reached, bootstrap) as admin:
        made = _create(admin, [action for action in todo if action.kind == "create"])
        keep_apart(admin, settings, made)
        _alter(admin, [action for action in todo if action.kind == "alter"])


def check_topics(settings: Settings, bootstrap: str) -> dict[str, str]:
    """The id of each topic by name (UUID text; empty when the broker tells none), once all topics are there and fit.

    Raises `ProvisionError` naming what is missing, has another partition count or the code of another, and
    `UnreachableError` without a broker.
    """
    topics = topics_of(settings)
    with _admin(reach_kafka(settings, bootstrap), bootstrap) as admin:
        there = set(admin.list_topics())
        missing = [topic.name for topic in topics.all() if topic.name not in there]
        if missing:
            raise ProvisionError(f"topics are missing on {bootstrap}: {', '.join(missing)}; type  lifestage provision")
        found = {topic["name"]: topic for topic in admin.describe_topics([topic.name for topic in topics.all()])}
    _check_counts(topics, {name: len(topic["partitions"]) for name, topic in found.items()})
    ids = {name: str(topic.get("topic_id") or "") for name, topic in found.items()}
    check_codes(topics, ids)
    return ids


def _check_counts(topics: Topics, counts: Mapping[str, int]) -> None:
    """Our own topics have as many partitions as the settings say, else `ProvisionError`."""
    ours, wanted = topics.all()[len(topics.sources) :], topics.log.partitions
    wrong = [topic.name for topic in ours if counts[topic.name] != wanted]
    if not wrong:
        return
    told = f"{wrong[0]} has {counts[wrong[0]]} partitions, topics.partitions is {wanted}: a key would be looked for where it is not; "
    if len(wrong) == len(ours):
        raise ProvisionError(f"{told}set topics.partitions to what the topics have")
    raise ProvisionError(
        f"{told}partitions were added to it, and Kafka cannot take them back: start with another topics.prefix and "
        "kafka.group, and send the events again"
    )


def check_codes(topics: Topics, ids: Mapping[str, str], code: Callable[[str, str], int] = topic_code) -> None:
    """What the log has from a source is told from what it has from itself and from the others, else `ProvisionError`."""
    known: dict[int, str] = {}
    for name in _named_in_the_log(topics):
        other = known.setdefault(code(name, ids[name]), name)
        if other != name:
            raise ProvisionError(
                f"topics {other} and {name} have the same code, by which the log knows where a record is from: delete "
                f"the source {name if name != topics.log.name else other} when all of it is read, and type  lifestage provision"
            )


def _named_in_the_log(topics: Topics) -> list[str]:
    """The topics that records of the log name as their origin: itself first, then the sources."""
    return [topics.log.name, *(topic.name for topic in topics.sources)]


def topic_ids(settings: Settings, bootstrap: str) -> dict[str, str]:
    """The id of each topic of ours that is there, by name (UUID text; empty when the broker tells none)."""
    names = {topic.name for topic in topics_of(settings).all()}
    with _admin(reach_kafka(settings, bootstrap), bootstrap) as admin:
        return _ids(admin, sorted(names & set(admin.list_topics())))


def _ids(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, str]:
    return {topic["name"]: str(topic.get("topic_id") or "") for topic in admin.describe_topics(names)}


def _touch(reached: Reached, actions: Sequence[Action]) -> None:
    """The in-memory broker makes a topic when a producer first names it, with as many partitions as it likes."""
    producer = KafkaProducer(**reached.options)
    try:
        for action in actions:
            made = len(producer.partitions_for(action.topic))
            if made != action.partitions:
                raise ProvisionError(
                    f"the in-memory broker makes topics of {made} partitions and topics.partitions is "
                    f"{action.partitions}: set topics.partitions = {made}"
                )
    finally:
        producer.close()


def _create(admin: KafkaAdminClient, actions: Sequence[Action]) -> list[Action]:
    """Create the topics; returns those that were not there, and so are empty."""
    if not actions:
        return []
    wanted = {
        action.topic: {
            "num_partitions": action.partitions,
            "replication_factor": action.replication,
            "configs": dict(action.configs),
        }
        for action in actions
    }
    answer = admin.create_topics(wanted, raise_errors=False)
    codes = {topic["name"]: kafka_errors.for_code(topic["error_code"]) for topic in answer["topics"]}
    refused = [
        f"topic {topic['name']} was not created: {topic.get('error_message') or code.__name__}{_advice(code)}"
        for topic in answer["topics"]
        if (code := codes[topic["name"]]) not in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError)
    ]
    if refused:
        raise ProvisionError("\n".join(refused))
    admin.wait_for_topics(list(wanted))
    return [action for action in actions if codes[action.topic] is kafka_errors.NoError]


def keep_apart(
    admin: KafkaAdminClient,
    settings: Settings,
    made: Sequence[Action],
    code: Callable[[str, str], int] = topic_code,
) -> None:
    """Make a source, or the log, that was `made` just now once more, under another id, while another has its code.

    A code is 16 bits of the name and of the id that Kafka chose: of 3,100 deployments with six sources one is hit, and
    its workers would refuse to start.
    """
    there = set(admin.list_topics())
    named = [name for name in _named_in_the_log(topics_of(settings)) if name in there]
    while (again := clash(_ids(admin, named), [action.topic for action in made], code)) is not None:
        admin.delete_topics([again])
        deadline = time.monotonic() + IN_FORCE_S
        while again in admin.list_topics() and time.monotonic() < deadline:
            time.sleep(0.05)
        _create(admin, [action for action in made if action.topic == again])


def clash(ids: Mapping[str, str], made: Collection[str], code: Callable[[str, str], int] = topic_code) -> str | None:
    """The name of a topic among the `made` ones whose code another one has, too, or None."""
    taken = [code(name, id) for name, id in ids.items() if name not in made]
    for name in sorted(set(made) & ids.keys()):
        mine = code(name, ids[name])
        if mine in taken:
            return name
        taken.append(mine)
    return None


def _advice(code: type[Exception]) -> str:
    if code is kafka_errors.InvalidReplicationFactorError:
        return ": set topics.replication to at most the number of brokers"
    if issubclass(code, kafka_errors.AuthorizationError):
        return ": give kafka.username the right Create on it, or let an administrator run `lifestage provision`"
    return ""


def _alter(admin: KafkaAdminClient, actions: Sequence[Action]) -> None:
    if not actions:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, action.topic, dict(action.configs)) for action in actions]
    answer = admin.alter_configs(resources)["topic"]
    refused = [f"topic {name} was not altered: {told}" for name, told in answer.items() if told != "OK"]
    if refused:
        raise ProvisionError("\n".join(refused))
    _await_configs(admin, {action.topic: action.configs for action in actions})


def _await_configs(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """The controller answers before the brokers have heard of it, usually by less than 0.1 s."""
    deadline = time.monotonic() + IN_FORCE_S
    while True:
        found = _existing(admin, list(wanted))
        lacking = [name for name, configs in wanted.items() if not configs.items() <= found[name].configs.items()]
        if not lacking:
            return
        if time.monotonic() > deadline:
            raise ProvisionError(
                f"{', '.join(lacking)}: altered, but not in force after {IN_FORCE_S:.0f} s; run it again"
            )
        time.sleep(0.05)


def _existing(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, Existing]:
    there = set(admin.list_topics())
    present = [name for name in names if name in there]
    if not present:
        return {}
    configs = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in present], config_filter="all"
    )["topic"]
    return {
        topic["name"]: Existing(
            partitions=len(topic["partitions"]),
            replication=min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
            configs={name: entry["value"] for name, entry in configs[topic["name"]].items()},
        )
        for topic in admin.describe_topics(present)
    }


@contextmanager
def _admin(reached: Reached, bootstrap: str) -> Iterator[KafkaAdminClient]:
    try:
        admin = KafkaAdminClient(**reached.options)
        try:
            yield admin
        finally:
            admin.close()
    except kafka_errors.KafkaError as error:
        raise UnreachableError(
            f"Kafka at {bootstrap}: the request failed ({type(error).__name__}: {error}): try again, "
            "and look at the broker's log if it stays"
        ) from error
