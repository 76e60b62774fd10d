"""`lifestage status`: one screen of who works, what waits, how far time has got, and where customers stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import ConfigFile, settings_of

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.overview import Clock, Kpis, Overview, Waiting, Worker
    from streams.survey import Survey

CLEAR = "\x1b[H\x1b[J"
"""The cursor to the upper left, and what is below it away."""
PARTITIONS = 16
"""Partitions that are told one by one."""


def run(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with --watch one a line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, with rates, until ^C.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.2, metavar="SECONDS", help="With --watch: how often.")] = 2.0,
    config: ConfigFile = None,
) -> None:
    """Show workers, what waits and for how long, the log's clock, customers by stage and the newest changes.

    It asks Kafka, and each worker that can be asked from here; workers and Redis may be off. With --watch one screen that is
    refreshed; where that goes to no terminal, a line a look.
    """
    from streams.reachability import quiet

    settings = settings_of(config)
    try:
        with quiet("kafka"):  # it repeats what is said here, in the middle of the screen
            _show(settings, every if watch else None, as_json=as_json)
    except KeyboardInterrupt:
        if not watch:
            raise


def _show(settings: Settings, every: float | None, *, as_json: bool) -> None:
    import msgspec

    before: Overview | None = None
    watch = every is not None
    for seen in _looks(settings, every):
        if as_json:
            text = msgspec.json.encode(seen) if watch else msgspec.json.format(msgspec.json.encode(seen), indent=1)
            typer.echo(text.decode())
        elif watch and not sys.stdout.isatty():
            typer.echo(one_line(seen, before))
        else:
            typer.echo((CLEAR if watch else "") + "\n".join(told(seen, before)))
        sys.stdout.flush()
        before = seen


def _looks(settings: Settings, every: float | None) -> Iterator[Overview]:
    """One look, or one after the other for ever; Kafka may go away between them, and is said to have."""
    from config.errors import SettingsError, UserFacingError
    from streams.connections import UnreachableError, reach_kafka
    from streams.overview import look
    from streams.running import bootstrap_of, redis_of
    from streams.survey import Survey

    bootstrap = bootstrap_of(settings)
    try:
        redis_url = redis_of(settings) if settings.redis.enabled else ""
    except SettingsError:
        redis_url = ""
    asked: Survey | None = None
    try:
        while True:
            try:
                if asked is None:
                    if not reach_kafka(settings, bootstrap).creates_topics:
                        raise UserFacingError(
                            f"the broker at {bootstrap} is a demo's, in memory, and does not say who works and what waits: "
                            "the demo's own view and /metrics of its worker do"
                        )
                    asked = Survey(settings, bootstrap)
                yield look(asked, settings, redis_url, time.time())
            except UnreachableError as error:
                if every is None:
                    raise
                typer.echo(str(error), err=True)
                if asked is not None:
                    asked.close()
                asked = None
            if every is None:
                return
            time.sleep(every)
    finally:
        if asked is not None:
            asked.close()


# -- as text -------------------------------------------------------------------------------------


def told(seen: Overview, before: Overview | None = None) -> Iterator[str]:
    """What a look has shown, in lines; with rates since the one before."""
    yield f"Kafka {seen.kafka}, group {seen.group}"
    yield f"workers   {_crew(seen)}"
    for worker in seen.workers:
        yield _worker(worker)
    for topic in seen.waiting:
        yield _waiting(topic) + _rates(topic, seen, before)
    yield f"clock     {_clock(seen.clock)}"
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(seen.events.items()))
    yield f"events    {sum(seen.events.values()):,}" + (f": {counted}" if counted else "")
    yield f"customers {sum(seen.stages.values()):,} in stages"
    for stage, count in seen.stages.items():
        yield f"  {stage:<24}{count:>10,} customers"
    if seen.problem:
        yield f"  not all are counted: {seen.problem}"
    yield from _kpis(seen.kpis, seen.partitions)
    if seen.redis != "connected":
        yield f"Redis     {seen.redis or 'off (redis.enabled = false)'}: no customer can be looked up"
    rate = "" if before is None else f", {_per_second(seen.announced - before.announced, seen, before)}"
    yield f"  newest changes{rate}{'' if seen.changes else ': none'}"
    for change in seen.changes:
        move = f"{change.previous_stage or '-'} -> {change.stage or '-'}"
        corrected = "  correction" if change.kind == "correction" else ""
        yield f"    {change.entered_at}  {change.customer_id:<12}  {move}{corrected}"


def _kpis(kpis: Kpis, partitions: int) -> Iterator[str]:
    if not kpis.live:
        yield "KPIs      off (kpis.live = false)"
        return
    whose = f"all {partitions}" if len(kpis.counted) == partitions else f"{len(kpis.counted)} of {partitions}"
    up_to = f" up to {kpis.as_of}" if kpis.as_of else ""
    yet = partitions - len(kpis.counted) - len(kpis.uncounted)
    new = f"; of {yet} nothing is kept yet" if yet else ""
    yield f"KPIs      counted in {whose} partitions, over {kpis.window} days{up_to}{new}"
    if kpis.uncounted:
        yield "  none has a value: one of some partitions would be of some customers"
    for why in dict.fromkeys(kpis.uncounted.values()):
        numbers = [number for number, theirs in kpis.uncounted.items() if theirs == why]
        yield f"  not counted in {_listed(numbers)}: {why}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:PARTITIONS])) + (", …" if len(numbers) > PARTITIONS else "")


def _crew(seen: Overview) -> str:
    if not seen.workers:
        return "none runs: what comes in waits; `lifestage worker` starts one"
    owned = {number for worker in seen.workers for number in worker.partitions}
    share = f"{len(owned)} of {seen.partitions} partitions of the log have an owner"
    return f"{len(seen.workers)}, {share}" + ("" if seen.state == "Stable" else f"; the group is in {seen.state}")


def _worker(worker: Worker) -> str:
    memory = f"  {worker.memory_mb:,} MB" if worker.memory_mb is not None else ""
    place = worker.metrics.removeprefix("http://") or worker.host
    return f"  {place:<24}{worker.state:<22}  owns {_listed(worker.partitions) or 'nothing'}{memory}"


def _waiting(topic: Waiting) -> str:
    if not topic.there:
        return f"  {topic.topic:<24} is not there: `lifestage provision` makes it"
    line = f"  {topic.topic:<24}{topic.records:>10,} waiting"
    return line if topic.oldest_s is None else f"{line}, the oldest for {_span(topic.oldest_s)}"


def _rates(topic: Waiting, seen: Overview, before: Overview | None) -> str:
    for was in () if before is None else before.waiting:
        if was.topic == topic.topic and topic.there:
            came = _per_second(topic.written - was.written, seen, before)
            return f", {came} in, {_per_second(topic.done - was.done, seen, before)} done"
    return ""


def _per_second(count: int, seen: Overview, before: Overview | None) -> str:
    from lifestage.moments import parse

    ms = parse(seen.at) - parse(before.at) if before is not None else 0
    return f"{max(0, count) * 1000 / max(1, ms):,.0f}/s"


def _clock(clock: Clock) -> str:
    held = f", held by {clock.held_by}" if clock.held_by else ""
    if clock.time is None:
        return f"has not begun{held}"
    behind = f"{_span(clock.behind_s)} behind" if clock.behind_s else "up to date"
    return f"{clock.time}, {behind}{held}"


def _span(seconds: float) -> str:
    from streams.doctor_records import duration

    return duration(seconds)


def one_line(seen: Overview, before: Overview | None = None) -> str:
    """A look in one line, as for a log."""
    ready = sum(worker.state == "ready" for worker in seen.workers)
    oldest = max((topic.oldest_s for topic in seen.waiting if topic.oldest_s is not None), default=None)
    parts = [
        f"{len(seen.workers)} worker{'' if len(seen.workers) == 1 else 's'}, {ready} ready",
        f"{sum(topic.records for topic in seen.waiting):,} waiting"
        + ("" if oldest is None else f" for {_span(oldest)}"),
        f"clock {_clock(seen.clock)}",
        f"{sum(seen.stages.values()):,} customers",
    ]
    if before is not None:
        events = sum(seen.events.values()) - sum(before.events.values())
        parts += [
            f"{_per_second(events, seen, before)} events",
            f"{_per_second(seen.announced - before.announced, seen, before)} changes",
        ]
    return f"{seen.at}  " + "; ".join(parts)
