"""The same job in plain Faust, as its documentation shows it: records, an agent a topic, a table, topic.send.

Runs as `python -m benchmarks.peers.plain_faust worker --without-web`; it reads its addresses from PEER_BROKER,
PEER_PREFIX and PEER_DATADIR. Every decision is the same pure `lifestage.step.take` that our own worker runs.

What it is spared: it refuses nothing, links nothing, hashes no address, has no timers, and writes no `customer-stages`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import faust
import msgspec

from config.plan_files import sheet_of
from lifestage import facts, profile
from lifestage.cause import Cause, Clock, Rules
from lifestage.change import Announced
from lifestage.plan import Compiled
from lifestage.step import take

PREFIX = os.environ.get("PEER_PREFIX", "")
PARTITIONS = 8
RULES = Rules(Compiled(sheet_of("clm5").plan))

app = faust.App(
    f"{PREFIX}plain-faust",
    broker=f"kafka://{os.environ.get('PEER_BROKER', '127.0.0.1:9092')}",
    store="memory://",
    datadir=os.environ.get("PEER_DATADIR", ".plain-faust"),
    topic_partitions=PARTITIONS,
    web_enabled=False,
)


class Context(faust.Record):
    """Where a visitor came from."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    device: str | None = None


class Visit(faust.Record):
    """`web.visit`."""

    id: str
    source: str
    time: str
    customer_id: str
    url: str
    session_id: str | None = None
    path: str | None = None
    title: str | None = None
    duration_s: float | None = None
    pages: int = 1
    page_type: str | None = None
    product_id: str | None = None
    entry: bool | None = None
    context: Context | None = None


class Email(faust.Record):
    """`email.event`."""

    id: str
    source: str
    time: str
    customer_id: str
    message_id: str
    event: str
    recipient: str | None = None
    campaign_id: str | None = None
    list_id: str | None = None
    click_url: str | None = None
    machine: bool = False


class Purchase(faust.Record):
    """`order.completed`; amounts are decimal text."""

    id: str
    source: str
    time: str
    customer_id: str
    order_id: str
    currency: str
    total: str
    tax: str | None = None
    shipping: str | None = None
    items: list[dict[str, Any]] | None = None
    channel: str | None = None
    coupon: str | None = None


visits = app.topic(f"{PREFIX}visits", value_type=Visit)
emails = app.topic(f"{PREFIX}emails", value_type=Email)
purchases = app.topic(f"{PREFIX}purchases", value_type=Purchase)
changes = app.topic(f"{PREFIX}stage-changes", key_type=bytes)
# JSON values, as everywhere in Faust's documentation: what a table's changelog holds can be read by anybody.
profiles = app.Table("profiles", key_type=str, partitions=PARTITIONS)


class Said:
    """What one step reports."""

    forgotten = 0
    dedupe_overflow = 0

    def __init__(self) -> None:
        self.changes: list[Announced] = []

    def change(self, announced: Announced) -> None:
        """Keep it, to send it."""
        self.changes.append(announced)

    def enter(self, stage: str | None) -> None:
        """Not counted here."""

    def leave(self, stage: str | None) -> None:
        """Not counted here."""

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """Not counted here."""


async def apply(fact: facts.Fact, topic: str, partition: int, offset: int) -> None:
    """Fold one fact into its customer, keep the customer, and send what follows."""
    key = str(fact.customer_id)
    stored = profiles.get(key)
    customer = profile.Profile() if stored is None else msgspec.convert(stored, profile.Profile)
    said = Said()
    if take(customer, key, fact, Cause(fact, topic, partition, offset), Clock(), RULES, said) == "accepted":
        profiles[key] = msgspec.to_builtins(customer)
    for change in said.changes:
        about = {"ce_id": change.id.encode(), "ce_type": change.type.encode(), "ce_time": change.time.encode()}
        await changes.send(key=key.encode(), value=msgspec.to_builtins(change.data), headers=about)


def ms(time: str) -> int:
    """An instant in milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def minor(amount: str | None) -> int:
    """Cents."""
    return 0 if amount is None else int(Decimal(amount) * 100)


@app.agent(visits)
async def on_visit(stream: AsyncIterable[Any]) -> None:
    """Visits, one after the other."""
    async for event in stream.events():  # type: ignore[attr-defined]
        visit, message = event.value, event.message
        context = visit.context
        fact = facts.WebVisit(
            time=ms(visit.time), source=visit.source, id=visit.id, customer_id=visit.customer_id,
            context=context and facts.Context(context.source, context.medium, context.campaign, device=context.device),
            url=visit.url, session_id=visit.session_id, path=visit.path, title=visit.title, entry=visit.entry,
            duration_s=visit.duration_s, pages=visit.pages, page_type=visit.page_type, product_id=visit.product_id,
        )  # fmt: skip
        await apply(fact, message.topic, message.partition, message.offset)


@app.agent(emails)
async def on_email(stream: AsyncIterable[Any]) -> None:
    """Email events, one after the other."""
    async for event in stream.events():  # type: ignore[attr-defined]
        email, message = event.value, event.message
        fact = facts.EmailEvent(
            time=ms(email.time), source=email.source, id=email.id, customer_id=email.customer_id,
            message_id=email.message_id, event=email.event, campaign_id=email.campaign_id, list_id=email.list_id,
            click_url=email.click_url, machine=email.machine,
        )  # fmt: skip
        await apply(fact, message.topic, message.partition, message.offset)


@app.agent(purchases)
async def on_purchase(stream: AsyncIterable[Any]) -> None:
    """Orders, one after the other."""
    async for event in stream.events():  # type: ignore[attr-defined]
        order, message = event.value, event.message
        total, tax, shipping = minor(order.total), minor(order.tax), minor(order.shipping)
        fact = facts.OrderCompleted(
            time=ms(order.time), source=order.source, id=order.id, customer_id=order.customer_id,
            order_id=order.order_id, currency=order.currency, total_minor=total,
            net_minor=max(0, total - tax - shipping), tax_minor=tax, shipping_minor=shipping, channel=order.channel,
            coupon=order.coupon,
            items=tuple(
                facts.Item(item["product_id"], qty=item["qty"], unit_price_minor=minor(item["unit_price"]))
                for item in order.items or ()
            ),
        )  # fmt: skip
        await apply(fact, message.topic, message.partition, message.offset)


if __name__ == "__main__":
    app.main()
