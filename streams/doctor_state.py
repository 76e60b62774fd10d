"""Checks of who works and of what they have kept: the consumer group, its commits, and the ends of the changelog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from config.settings import Settings
from lifestage.cause import LONG_AGO, Rules
from lifestage.clock import Source
from lifestage.moments import iso
from lifestage.restored import Restored
from streams.doctor import Finding, Ground
from streams.doctor_kafka import survey
from streams.doctor_records import duration
from streams.rules import rules_of
from streams.survey import EARLIEST, LATEST, Commit, Group, Member, Survey, Tail, TopicPartition
from streams.topics import Topics, topics_of

LAG_S = 60.0
"""Records that wait longer than this are worth a word."""
NEW = "set another topics.prefix and kafka.group, and send the events again"


# -- the group -----------------------------------------------------------------------------------


def group(ground: Ground) -> Iterator[Finding]:
    """Who works: the state of the group, its members, strangers in it, and other groups on the same log."""
    with survey(ground) as asked:
        name = ground.settings.kafka.group
        yield from judge_group(ground.settings, asked.group(name))
        yield from _twins(asked)


def judge_group(settings: Settings, found: Group) -> Iterator[Finding]:
    """What is wrong with the members of a group. Pure."""
    name = settings.kafka.group
    workers = [one for one in found.members if one.client == f"{name}-worker"]
    strangers = sorted({f"{one.client} at {one.host}" for one in found.members if one not in workers})
    if strangers:
        means = "it is given partitions of ours, and their events are not taken in"
        yield Finding(
            "group",
            "FAIL",
            f"group {name}: {', '.join(strangers)} is no worker",
            means,
            "give that program another group.id, or lifestage another kafka.group",
        )
    if not workers:
        yield Finding(
            "group", "warn", f"group {name}: no worker runs", "events wait in the sources", "lifestage worker"
        )
        return
    if found.state != "Stable":
        means = "nothing is taken in until its members have agreed"
        yield Finding(
            "group",
            "warn",
            f"group {name}: {found.state}",
            means,
            "run this again; where it stays, see the workers' logs",
        )
        return
    yield from _owners(settings, workers, alone=not strangers)


def _owners(settings: Settings, workers: list[Member], *, alone: bool) -> Iterator[Finding]:
    log, name = topics_of(settings).log, settings.kafka.group
    owned = {number for one in workers for number in one.partitions.get(log.name, ())}
    lacking = sorted(set(range(log.partitions)) - owned)
    idle = sum(not one.partitions.get(log.name) for one in workers)
    if lacking:
        yield Finding(
            "group",
            "FAIL",
            f"group {name}: nobody owns {log.name}{lacking}",
            "their customers stand still",
            "restart the workers; see their logs",
        )
    if idle:
        means = f"there are {log.partitions} partitions, and each has one owner"
        yield Finding(
            "group",
            "warn",
            f"group {name}: {idle} of {len(workers)} workers own nothing",
            means,
            f"start at most {log.partitions} workers",
        )
    if not lacking and alone:
        yield Finding(
            "group", "ok", f"group {name}: {len(workers)} at work, who own all {log.partitions} partitions of the log"
        )


def _twins(asked: Survey) -> Iterator[Finding]:
    """Other groups that have a changelog for the same prefix, and have folded the same log."""
    ours, log = asked.topics.changelog.name, asked.topics.log.name
    end = ours.removeprefix(asked.settings.kafka.group)
    for name in sorted(asked.names() - {ours}):
        other = name.removesuffix(end)
        if not name.endswith(end) or not other or not any(tp.topic == log for tp in asked.commits(other)):
            continue
        members = asked.group(other).members
        if members:
            means = "two deployments write into one log: what comes in is counted twice, and announced twice"
            yield Finding(
                "group",
                "FAIL",
                f"group {other} works on {log}, too ({len(members)} members)",
                means,
                f"stop the workers of one of the two, or give one another topics.prefix (now {asked.settings.topics.prefix!r})",
            )
        else:
            means = "should its workers be started again, everything would be counted twice"
            yield Finding(
                "group",
                "warn",
                f"group {other} has worked on {log}, too",
                means,
                f"when it is not needed:  kafka-topics.sh --delete --topic {name}",
            )


# -- what waits ----------------------------------------------------------------------------------


def lag(ground: Ground) -> Iterator[Finding]:
    """What waits in the sources and the log, for how long, and commits that the topics do not have."""
    with survey(ground) as asked:
        names = [*(topic.name for topic in asked.topics.sources), asked.topics.log.name]
        found = asked.sources(ground.settings.kafka.group, names)
        committed = asked.commits(ground.settings.kafka.group)
        tps = [TopicPartition(one.topic, one.partition) for one in found]
        lost = [
            *judge_commits(
                committed, asked.offsets(tps, EARLIEST), asked.offsets(tps, LATEST), ground.settings.kafka.group
            )
        ]
        waiting = [one for one in found if one.committed < one.end]
        oldest = min(asked.waiting_since(waiting[:64]).values(), default=None)
    yield from lost
    records = sum(one.end - one.committed for one in waiting)
    if oldest is None or ground.now() - oldest / 1000 <= LAG_S:
        yield Finding("lag", "ok", f"{records:,} records wait")
        return
    means = "stages are late by that; records wait that nobody reads, or more come than are read"
    fix = "lifestage status --watch  shows whether it falls; start as many workers as there are partitions"
    yield Finding(
        "lag", "warn", f"{records:,} records wait, the oldest for {duration(ground.now() - oldest / 1000)}", means, fix
    )


def judge_commits(
    committed: Mapping[TopicPartition, Commit],
    firsts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    name: str,
) -> Iterator[Finding]:
    """Commits beyond the end of a topic, or before what is left of it: at both a worker stops. Pure."""
    for tp in sorted(firsts.keys() & committed.keys()):
        at, place = committed[tp].offset, f"{tp.topic}[{tp.partition}]"
        fix = f"stop the workers;  kafka-consumer-groups.sh --reset-offsets --to-earliest --execute --group {name} --topic {tp.topic}"
        if at > ends[tp]:
            told = f"the commit of {place} stands at {at}, and it ends at {ends[tp]}"
            yield Finding(
                "lag", "FAIL", told, "it was created anew or cut, or the commit was set by hand: workers stop", fix
            )
        elif at < firsts[tp]:
            told = f"{firsts[tp] - at:,} records of {place} were deleted before they were read"
            yield Finding(
                "lag",
                "FAIL",
                told,
                "retention took them: workers stop rather than leave them out",
                f"restore them, or take the loss: {fix}",
            )


# -- what is kept --------------------------------------------------------------------------------


def state(ground: Ground) -> Iterator[Finding]:
    """The changelog: can its ends be read, and were they folded from this log, with this plan and secret."""
    rules = rules_of(ground.settings)
    with survey(ground) as asked:
        log = asked.topics.log.name
        tails = asked.tails()
        described = asked.described(asked.names() & {log}).get(log, [])
        tps = [TopicPartition(log, one["partition_index"]) for one in described]
        firsts, ends = asked.offsets(tps, EARLIEST), asked.offsets(tps, LATEST)
    found = list(judge_state(ground, rules, tails, _numbers(firsts), _numbers(ends)))
    yield from found
    if not any(finding.level == "FAIL" for finding in found):
        kept = sum(tail.marker is not None for tail in tails)
        behind = sum(
            ends[tp] - 1 - tail.marker.offset for tp, tail in zip(sorted(tps), tails, strict=False) if tail.marker
        )
        plan = f"plan {rules.plan.plan.id} {rules.plan.hash}"
        yield Finding(
            "state",
            "ok",
            f"{kept} of {len(tails)} partitions hold state, folded with {plan}; {behind:,} records of the log are not in it yet",
        )


def _numbers(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {tp.partition: offset for tp, offset in offsets.items()}


def judge_state(
    ground: Ground, rules: Rules, tails: Iterable[Tail], firsts: Mapping[int, int], ends: Mapping[int, int]
) -> Iterator[Finding]:
    """What is wrong with the ends of changelog partitions, given where those of the log begin and end. Pure."""
    topics = topics_of(ground.settings)
    for tail in tails:
        marker, place = tail.marker, f"{topics.changelog.name}[{tail.number}]"
        first, end = firsts.get(tail.number, 0), ends.get(tail.number, 0)
        if tail.problem:
            what, _, fix = tail.problem.rpartition(": ")
            yield Finding("state", "FAIL", what, "workers do not start", fix)
        elif marker is None:
            yield from _without_marker(tail, place, first, end)
        elif (other := _other(rules, topics, tail)) is not None:
            yield other
        elif marker.offset >= end:
            told = f"{place} was folded up to {marker.offset + 1}, and the log ends at {end}"
            yield Finding(
                "state",
                "FAIL",
                told,
                "the log was created anew or cut: workers stop",
                f"restore {topics.log.name}, or {NEW}",
            )
        elif marker.offset + 1 < first:
            told = f"{place} was folded up to {marker.offset + 1}, and the log begins at {first}"
            yield Finding(
                "state",
                "FAIL",
                told,
                "retention took what was never folded: workers stop",
                f"restore {topics.log.name}, or {NEW}",
            )
        elif (ahead := marker.clock / 1000 - ground.now()) > ground.settings.intake.future_tolerance_s:
            told = f"{place}: the log's clock stands at {iso(marker.clock)}, {duration(ahead)} ahead of this machine's"
            yield Finding(
                "state",
                "warn",
                told,
                "till then nobody there falls silent",
                "a tick of a replay, or a clock that was wrong: for true time " + NEW,
            )


def _without_marker(tail: Tail, place: str, first: int, end: int) -> Iterator[Finding]:
    if first > 0 and not tail.records:
        means = "it has lost its records, and what came before cannot be folded again: workers stop"
        yield Finding(
            "state", "FAIL", f"{place} is empty, and the log begins at {first}", means, f"restore it, or {NEW}"
        )
    elif tail.records:
        means = "a flush is long, or its end is missing"
        yield Finding(
            "state",
            "warn",
            f"{place}: no marker among its newest records",
            means,
            "run this again; where it stays, see the workers' logs",
        )
    elif end > 0:
        means = "the next worker folds the log from its beginning"
        yield Finding(
            "state",
            "warn",
            f"{place} is empty, and the log holds {end:,} records",
            means,
            "nothing, when workers have not run yet",
        )


def _other(rules: Rules, topics: Topics, tail: Tail) -> Finding | None:
    """Another plan or secret than the configured one."""
    marker = tail.marker
    assert marker is not None
    configured = Restored(rules, topics.changelog.name, tail.number).marker
    place = f"{topics.changelog.name}[{tail.number}]"
    if marker.plan != configured.plan:
        told = (
            f"{place} was folded with plan {marker.plan}, and lifecycle.plan is {rules.plan.plan.id} {configured.plan}"
        )
        return Finding(
            "state",
            "FAIL",
            told,
            "workers do not start",
            f"set lifecycle.plan to the one that was used; for another one {NEW}",
        )
    if marker.ids not in ("", configured.ids):
        told = f"{place} was folded with another identity.secret"
        return Finding(
            "state",
            "FAIL",
            told,
            "workers do not start: every address would be a new customer",
            f"set the one that was used; for another one {NEW}",
        )
    return None


def clocks_of(tails: Iterable[Tail]) -> dict[int, int]:
    """By partition the log's clock, ms, where it has begun."""
    return {
        tail.number: tail.marker.clock for tail in tails if tail.marker is not None and tail.marker.clock > LONG_AGO
    }


def waiting(sources: Iterable[Source]) -> dict[str, int]:
    """By topic how many records wait."""
    counted: dict[str, int] = {}
    for one in sources:
        counted[one.topic] = counted.get(one.topic, 0) + one.end - one.committed
    return counted
