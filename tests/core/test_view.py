"""What others may read of a known id, as a worker's partition has it."""

from __future__ import annotations

from typing import Any

from lifestage.facts import IdentityMerged, OrderCompleted, OrderRefunded, WebVisit
from lifestage.keys import MERGES
from lifestage.partition import Partition
from streams.read_buffer import REREAD
from streams.read_store import AliasView, CustomerView, IdView
from streams.view import view_of, written_of
from tests.core.histories import RULES, START, records

EMAIL = "email:" + "0" * 32
SHOP: dict[str, Any] = {"source": "shop", "time": START}


def settled(partition: Partition) -> Partition:
    """A partition that has read the messages it wrote, as the owner of every key."""
    while posted := partition.take_posted():
        for key, value in posted:
            partition.fold([(partition.applied + 1, key, value)])
    return partition


def shown(partition: Partition) -> dict[str, CustomerView | AliasView | None]:
    """The view of every record of a partition."""
    found = {}
    for key in list(partition.keys()):
        profile = partition.shown(key)
        assert profile is not None
        found[key.decode()] = view_of(partition, key.decode(), profile)
    return found


def test_a_view_names_its_ids_and_each_id_names_its_customer() -> None:
    """One view for the customer with the ids and where they came from; of each other id only whose it is."""
    partition = Partition(RULES, "log", 0)
    facts = [
        WebVisit(id="1", url="/", anonymous_id="x", email=EMAIL, **SHOP),
        WebVisit(id="2", url="/", customer_id="ann", email=EMAIL, **SHOP),
    ]
    partition.fold(records(facts))
    views = shown(settled(partition))
    ann = views["ann"]
    assert isinstance(ann, CustomerView)
    assert ann.ids == [IdView("anon:x", EMAIL), IdView(EMAIL, "ann")]
    pointers = [view for view in (views[EMAIL], views["anon:x"]) if isinstance(view, AliasView)]
    assert [(one.customer_id, one.belongs_to) for one in pointers] == [(EMAIL, "ann"), ("anon:x", EMAIL)]


def test_records_that_are_nobodys_id_have_no_view() -> None:
    """Orders that nobody is known of, orders that found their customer, and the record of all merges stay inside."""
    partition = Partition(RULES, "log", 0)
    facts = [
        OrderRefunded(id="1", refund_id="r", order_id="lost", amount_minor=1, currency="EUR", **SHOP),
        OrderCompleted(id="2", order_id="o", currency="EUR", total_minor=1, net_minor=1, customer_id="ann", **SHOP),
        IdentityMerged(id="3", ids=("ann", "bob"), **SHOP),
    ]
    partition.fold(records(facts))
    views = shown(settled(partition))
    assert [key for key, view in views.items() if view is None] == ["order:shop lost", MERGES, "order:shop o"]
    ann = views["ann"]
    assert isinstance(ann, CustomerView)
    assert [one.id for one in ann.ids] == ["bob"]


def test_a_flush_writes_nothing_for_records_that_are_nobodys_id() -> None:
    """Of what a partition keeps of an order that was claimed, only its customer goes to the read model: the order's own record,
    of which each order leaves one, is neither written nor, when it is forgotten, said to be gone."""
    partition = Partition(RULES, "log", 0)
    placed = OrderCompleted(id="1", order_id="o", currency="EUR", total_minor=1, net_minor=1, customer_id="ann", **SHOP)
    partition.fold(records([placed]))
    kept = settled(partition).checkpoint().profiles
    assert set(kept) == {b"ann", b"order:shop o"}
    assert written_of(kept, ()) == {"ann": REREAD}
    assert written_of((), [b"anon:x", b"order:shop o", b"ticket:shop 1"]) == {"anon:x": None}
