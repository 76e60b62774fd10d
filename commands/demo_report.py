"""What the demo says before and after."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from commands.demo_view import Snapshot, money
from config.settings import Settings
from lifestage.moments import iso
from streams.cdnow import END
from streams.synthetic import SOURCE

if TYPE_CHECKING:
    from commands.demo_feed import Parcel
    from commands.demo_services import Services

PURCHASES = "purchases"
SHOWN = ("accepted", "rejected")
AFTER_THE_END = "1998-07-02T12:00:00Z"
CUSTOMER = "00004"
"""The first of the sample: four purchases, then silence."""


def opening(todo: Sequence[Parcel]) -> str:
    """What will be seen."""
    made_up = f" and visits and emails made up around them (source {SOURCE!r})" if _made_up(todo) else ""
    months = f"{iso(todo[0].time)[:7]} to {iso(todo[-1].time)[:7]}"
    return f"replaying {len(todo):,} events of {months}: real purchases (CDNOW, Fader & Hardie 2001){made_up}"


def _made_up(todo: Sequence[Parcel]) -> bool:
    return any(parcel.topic != PURCHASES for parcel in todo)


def closing(services: Services, todo: Sequence[Parcel], now: Snapshot, sent: int, seconds: float, *, keep: bool) -> str:
    """The figures, what they mean, and what to do next."""
    meaning = _meaning(now, made_up=_made_up(todo))
    return "\n".join((*_figures(now, sent, seconds), "", *meaning, "", *_next(services, keep=keep)))


def _figures(now: Snapshot, sent: int, seconds: float) -> Iterator[str]:
    others = "".join(
        f", {count:,} {name}" for name, count in sorted(now.outcomes.items()) if count and name not in SHOWN
    )
    yield f"events     {sent:,} in, {now.outcomes['accepted']:,} accepted, {now.outcomes['rejected']:,} rejected{others}"
    yield f"           in {seconds:.0f} s, {sent / seconds:,.0f} a second" if sent else "           none sent"
    yield f"orders     {now.orders:,}"
    yield f"revenue    {money(now.revenue)}"
    stages = sorted(now.stages.items(), key=lambda pair: (-pair[1], pair[0]))
    yield f"customers  {', '.join(f'{stage} {count:,}' for stage, count in stages if count) or 'none'}"
    corrected = f", {now.corrections:,} of them corrections" if now.corrections else ""
    yield f"changes    {now.changes:,}{corrected}"
    for (before, after), count in sorted(now.moves.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"  {('-' if before == 'none' else before) + ' -> ' + after:<28}{count:>7,}"


def _meaning(now: Snapshot, *, made_up: bool) -> Iterator[str]:
    yield f"Time ended at {END}, by a tick after the last event."
    if made_up:
        yield "The purchases are real, the visits and emails are not: they bring a customer to reach before the first purchase."
        yield "Every move from conversion on is decided by purchases and by silence alone; --purchases-only leaves the rest out."
    if now.corrections:
        yield "Corrections: on a busy machine one topic was read later than another, and a customer's past was put right."
    if now.outcomes["rejected"]:
        yield "The rejected events are broken on purpose; they are in the topic dead-letters, each with place and reason."


def _next(services: Services, *, keep: bool) -> Iterator[str]:
    names = _names(services.settings)
    if keep:
        yield f"metrics    {services.metrics}/metrics"
        yield "It goes on running until Ctrl-C. To try in another terminal:"
    elif services.own:
        yield f"metrics    {services.metrics}/metrics until now: all of it ends here and nothing is kept."
        yield "`make demo ARGS=--keep` leaves it running, to try in another terminal:"
    else:
        yield f"metrics    {services.metrics}/metrics until now: the worker ends here, its topics stay. To try:"
    yield f"  {names}lifestage customer {CUSTOMER}"
    if services.extra:
        return  # the in-memory cluster does not understand the clients of the other commands
    yield f"  {names}lifestage tail stage-changes --from-beginning --customer {CUSTOMER}"
    if not keep and not services.own:
        return  # there will be no worker
    order = f"lifestage send order.completed customer_id={CUSTOMER} order_id=mine total=20.00 currency=USD"
    # After the end of the sample: an event of today would move the data's clock by decades.
    yield f"  {names}{order} time={AFTER_THE_END}"
    if services.settings.kpis.live:
        yield f"  {names}lifestage reconcile"


def _names(settings: Settings) -> str:
    """The variables that another terminal needs to find the demo, where it runs under names of its own."""
    default = Settings()
    differ = {
        "LIFESTAGE_TOPICS_PREFIX": (settings.topics.prefix, default.topics.prefix),
        "LIFESTAGE_KAFKA_GROUP": (settings.kafka.group, default.kafka.group),
        "LIFESTAGE_REDIS_PREFIX": (settings.redis.prefix, default.redis.prefix),
    }
    return "".join(f"{name}={shlex.quote(mine)} " for name, (mine, theirs) in differ.items() if mine != theirs)
