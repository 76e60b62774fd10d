"""`lifestage demo`: real purchases through Kafka, with the stages moving before one's eyes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import ConfigFile
from config.errors import UserFacingError

if TYPE_CHECKING:
    from commands.demo_feed import Feed, Parcel
    from commands.demo_services import Services
    from commands.demo_view import Snapshot, View
    from streams.backlog import Waiting

SHOW_EVERY_S = 0.25
SETTLE_S = 60.0
SPEED = 20.0
"""Simulated days a second: the 547 days of the sample in 27 s."""


def run(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
    speed: Annotated[
        str, typer.Option("--speed", metavar="DAYS", help="Simulated days a second, or max.")
    ] = f"{SPEED:g}",
    events: Annotated[int | None, typer.Option("--events", min=1, metavar="N", help="Only the first N events.")] = None,
    purchases_only: Annotated[
        bool, typer.Option("--purchases-only", help="Only what is real: no made-up visits and emails.")
    ] = False,
    events_only: Annotated[
        bool, typer.Option("--events-only", help="Print the events, one a line, and do nothing else.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Replay 6,919 real purchases of 1997-98 through Kafka, with made-up visits and emails around them.

    Starts Kafka, Redis and a worker on this machine where the settings give no address, and stops them at the end.
    """
    days_per_second = _speed(speed)
    with _interruptible():
        from commands.demo_feed import parcels

        todo = parcels(events, purchases_only=purchases_only)
        if events_only:
            for parcel in todo:
                sys.stdout.buffer.write(parcel.value + b"\n")
            sys.stdout.buffer.flush()
            return
        _demo(config, todo, days_per_second, keep=keep)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise typer.BadParameter(f"{text!r}: expected simulated days a second, such as 20, or max")
    return speed


@contextmanager
def _interruptible() -> Iterator[None]:
    """End at SIGINT, SIGTERM and SIGHUP with 128 + the signal's number, once what was started is stopped."""
    number = 0

    def end(signum: int, _: Any) -> None:
        nonlocal number
        number = signum
        for name in names:  # a second Ctrl-C must not cut the tidying short
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    names = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
        names.append(signal.SIGHUP)
    before = {name: signal.signal(name, end) for name in names}
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(128 + number) from None
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _demo(config: Path | None, todo: list[Parcel], days_per_second: float | None, *, keep: bool) -> None:
    from commands.demo_report import closing, opening
    from commands.demo_services import started

    with started(config, lambda line: typer.echo(line, err=True)) as services:
        began = time.monotonic()
        typer.echo(opening(todo))
        try:
            now, sent = _play(services, todo, days_per_second)
            typer.echo(closing(services, todo, now, sent, time.monotonic() - began, keep=keep))
            while keep:
                services.check()
                time.sleep(SHOW_EVERY_S)
        except KeyboardInterrupt:
            typer.echo("stopping", err=True)
            raise
    typer.echo("stopped", err=True)


def _play(services: Services, todo: list[Parcel], days_per_second: float | None) -> tuple[Snapshot, int]:
    """Send, end the replay with a tick, and wait until all of it is processed: the last numbers, and the events sent."""
    from commands.demo_feed import Feed
    from commands.demo_view import view
    from streams.backlog import Backlog, write_tick
    from streams.cdnow import END_MS
    from streams.topics import topics_of

    topics = topics_of(services.settings)
    sources = [topic.name for topic in topics.sources]
    with Backlog(services.settings, services.bootstrap, services.extra) as backlog:
        before = backlog.ends(sources)
        if before:
            typer.echo(
                f"the topics {', '.join(sources)} hold {before:,} events of an earlier run: they are not sent again. "
                "To begin anew, delete the topics or give other names (topics.prefix, kafka.group, redis.prefix)"
            )
            todo = []
        feed = Feed(services.settings, services.bootstrap, todo, days_per_second, services.extra)
        shown = view()
        try:
            look = _looking(services, feed, shown)
            feed.start()
            while feed.is_alive():
                look("")
                feed.join(SHOW_EVERY_S)
            if feed.error is not None:
                raise feed.error
            # the log, too: what one of its partitions sends on to another must be there before the last day ends
            _emptied(backlog.wait([*sources, topics.log.name], SETTLE_S, lambda _: look("reading the rest")))
            write_tick(services.settings, services.bootstrap, END_MS, services.extra)
            _emptied(backlog.wait([topics.log.name], SETTLE_S, lambda _: look("last day")))
            return _settled(look, before + feed.sent), feed.sent
        finally:
            feed.stop()
            shown.close()


def _looking(services: Services, feed: Feed, shown: View) -> Callable[[str], Snapshot | None]:
    """What fetches the worker's numbers and shows them, at most every `SHOW_EVERY_S`, as long as the worker runs."""
    from commands.demo_view import scrape

    last, at = scrape(services.metrics), 0.0

    def look(doing: str) -> Snapshot | None:
        nonlocal last, at
        services.check()
        if time.monotonic() - at >= SHOW_EVERY_S:
            last, at = scrape(services.metrics) or last, time.monotonic()
            if last is not None:
                shown.show(feed, last, doing)
        return last

    return look


def _emptied(left: list[Waiting]) -> None:
    if left:
        raise UserFacingError(
            f"the worker has not finished after {SETTLE_S:g} s: {', '.join(map(str, left[:3]))}; is this machine very busy? "
            "A lower --speed gives it more time"
        )


def _settled(look: Callable[[str], Snapshot | None], events: int) -> Snapshot:
    """The numbers once all `events` are accounted for and all customers are in Redis; those of now if that takes long."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        time.sleep(SHOW_EVERY_S)  # so that the next look is a new one, after what was waited for
        now = look("last customers to Redis")
        done = now is not None and now.seen >= events and not now.unwritten
        if now is not None and (done or time.monotonic() > deadline):
            return now
