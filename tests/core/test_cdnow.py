"""The purchases that are shipped, and what is made up around them, as events."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from msgspec.json import encode as encode_json

from config.settings import Settings
from lifestage.decode import Refusal
from lifestage.facts import Fact
from streams.cdnow import END, END_MS, events, timed
from streams.doorway import decoder_of
from streams.synthetic import SOURCE, around, broken


def test_every_row_is_an_order() -> None:
    """6,919 purchases of 2,357 customers, ids and order ids by line from 0, as data/README.md says."""
    found = list(events())
    assert len(found) == 6919
    assert len({event["customer_id"] for _, event in found}) == 2357
    assert found[0] == (
        "purchases",
        {
            "id": "cdnow-0",
            "source": "cdnow",
            "type": "order.completed",
            "time": "1997-01-01T00:00:00Z",
            "customer_id": "00004",
            "order_id": "o0",
            "currency": "USD",
            "total": "29.33",
        },
    )
    assert (found[-1][1]["id"], found[-1][1]["order_id"]) == ("cdnow-6918", "o6918")
    assert sum(Decimal(event["total"]) == 0 for _, event in found) == 8


def test_sorted_by_time_nothing_is_lost() -> None:
    """The demo's order is that of time, within a day that of the file, and ends before the end of the sample."""
    found = timed()
    assert [one.time for one in found] == sorted(one.time for one in found)
    assert {one.event["id"] for one in found} == {event["id"] for _, event in events()}
    assert found[-1].time < END_MS
    assert END == "1998-07-01T00:00:00Z"


def test_what_is_made_up_says_so_and_is_the_same_each_time() -> None:
    """Seeded, of one source of its own, ids unique, all accepted, and all about customers who bought."""
    purchases = timed()
    made = around(purchases)
    assert made == around(purchases)
    assert made != around(purchases, seed=1)
    assert {one.event["source"] for one in made} == {SOURCE}
    assert len({one.event["id"] for one in made}) == len(made)
    assert 30_000 < len(made) < 60_000
    assert {one.event["customer_id"] for one in made} == {one.event["customer_id"] for one in purchases}
    assert max(one.time for one in made) < END_MS
    decode = decoder_of(Settings()).decode
    assert all(isinstance(decode(encode_json(one.event), None), Fact) for one in made)
    counted = Counter((one.topic, one.event.get("event")) for one in made)
    assert counted["visits", None] > counted["emails", "delivered"] > counted["emails", "opened"] > 0
    assert counted["emails", "clicked"] > counted["emails", "bounced"] > 0


def test_somebody_visits_before_buying_and_mail_comes_after() -> None:
    """Each purchase has a visit within the day before, and no mail of it comes earlier than a day after."""
    purchases = timed()
    visits: dict[str, list[int]] = {}
    mails: dict[str, list[int]] = {}
    for one in around(purchases):
        order = one.event["id"].split("-")[1]
        (visits if one.topic == "visits" else mails).setdefault(order, []).append(one.time)
    for purchase in purchases:
        order = purchase.event["order_id"]
        assert any(purchase.time - 86_400_000 < time < purchase.time for time in visits[order])
        assert all(time > purchase.time + 86_400_000 for time in mails.get(order, []))


def test_the_broken_events_are_rejected_each_for_its_own_reason() -> None:
    """Five mistakes, five reasons."""
    decode = decoder_of(Settings()).decode
    reasons = [decode(value, None) for _, _, value in broken()]
    assert all(isinstance(refusal, Refusal) for refusal in reasons)
    assert len({refusal.reason for refusal in reasons if isinstance(refusal, Refusal)}) == 5
