"""Events about ids: which keys they name, what is refused and with which words; and the keys of orders and tickets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lifestage.decode import Refusal
from lifestage.facts import Fact, IdentityLinked, IdentityMerged, IdentitySplit
from lifestage.keys import (
    KEY_MAX,
    MERGES,
    ORDER,
    TICKET,
    claims,
    class_of,
    email_key,
    key_of,
    lower_ids,
    order_key,
    ticket_key,
)
from tests.core.samples import EVENTS, SECRET, TIME, accepted, decoded, encoded, refused

ANN = email_key("ann@example.com", SECRET)
OF_IDS = ("identity.linked", "identity.merged", "identity.split")
NOBODY: dict[str, Any] = {"customer_id": ...}
TWO_OF_THREE = "two of a customer id, an address and an anonymous id, in ids or in fields of their own"


# -- ids and keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_id", "key"),
    [
        ("c9", "c9"), (17, "17"), (-5, "-5"), ("@ann", "@ann"), ("shop:9", "shop:9"), ("Ann@Example.com", ANN), (ANN, ANN),
        ("anon:v1", "anon:v1"), ("anon:17", "anon:17"), ("k" * 128, "k" * 128), ("anon:" + "k" * 128, "anon:" + "k" * 128),
        ("a" * 180 + "@example.com", email_key("a" * 180 + "@example.com", SECRET)), ("größe", "größe"),
    ],
)  # fmt: skip
def test_each_form_of_an_id_is_its_key(given_id: str | int, key: str) -> None:
    """As customer_id, email and anonymous_id would have it; in every one of the three events, and in `into`."""
    assert accepted("identity.split", **NOBODY, ids=[given_id]).ids == (key,)
    assert accepted("identity.merged", ids=["c1", given_id], into=...).ids == ("c1", key)
    if class_of(key) == 3:
        assert accepted("identity.merged", **NOBODY, ids=["c1"], into=given_id).into == key
        assert accepted("identity.linked", **NOBODY, ids=[given_id, "anon:v2"]).customer_id == key
    else:
        linked = accepted("identity.linked", ids=["c1", given_id])
        assert lower_ids(linked) == (key,)


@pytest.mark.parametrize(
    ("given_id", "reason", "message"),
    [
        ("", "out_of_range", 'expected a string of length ≥ 1, got ""'),
        ("guest", "no_identity", "expected an id that names somebody, got one that names nobody"),
        (0, "no_identity", "expected an id that names somebody, got one that names nobody"),
        ("anon:", "no_identity", "expected an id that names somebody, got one that names nobody"),
        ("anon:NULL", "no_identity", "expected an id that names somebody, got one that names nobody"),
        ("k" * 129, "out_of_range", "expected at most 128 characters, got 129"),
        ("anon:" + "k" * 129, "out_of_range", "expected at most 128 characters, got 129"),
        ("k" * 321, "out_of_range", f'expected a string of length ≤ 320, got "{"k" * 40}"…'),
        (10**128, "out_of_range", "expected at most 128 digits, got 129"),
        ("a\u200bb", "bad_id", 'expected printable characters in Unicode form NFC, got "a\\u200bb"'),
        ("gro\u0308ße", "bad_id", 'expected printable characters in Unicode form NFC, got "gro\u0308ße"'),
        (["c1"], "wrong_type", "expected an integer or a string, got an array"),
        (None, "wrong_type", "expected an integer or a string, got null"),
        (1.5, "wrong_type", "expected an integer or a string, got 1.5"),
        *(
            (f"{prefix}x", "bad_id",
             "expected an id that does not begin with email:, anon:, order:, ticket:, company:, identity:, got one")
            for prefix in ("email:", "order:", "ticket:", "company:", "identity:")
        ),
        (ANN.upper().replace("EMAIL", "email"), "bad_id",
         "expected an id that does not begin with email:, anon:, order:, ticket:, company:, identity:, got one"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", OF_IDS)
def test_an_id_that_is_none_is_refused_at_its_place(kind: str, given_id: Any, reason: str, message: str) -> None:
    """The whole event: a merge of what is left would not be what was asked for."""
    refusal = refused(kind, ids=["c1", given_id], into=...)
    assert (refusal.reason, refusal.message, refusal.type) == (reason, f"$.ids[1]: {message}", kind)
    if kind == "identity.merged" and given_id is not None:
        refusal = refused(kind, ids=["c1"], into=given_id)
        assert refusal.reason == reason
        assert refusal.message.startswith("$.into: expected ")


@pytest.mark.parametrize("kind", OF_IDS)
def test_how_many_ids_may_stand_in_one_event(kind: str) -> None:
    """At most 20, and as few as mean something."""
    many = [f"c{n}" for n in range(20)]
    if kind == "identity.linked":
        many = ["c1", *["anon:v1"] * 19]
    assert isinstance(decoded(encoded(kind, **NOBODY, ids=many, into=...)), Fact)
    assert refused(kind, ids=[*many, "c1"], into=...).message.startswith("$.ids: expected an array of length ≤ 20")
    assert refused(kind, ids=[], into=...).message.startswith("$.ids: expected an array of length ≥ ")
    assert refused(kind, ids="c1", into=...).reason == "wrong_type"


def test_a_company_blocks_ids_in_events_about_ids_too() -> None:
    """Its own list, in any case, for customer ids, anonymous ids and addresses."""
    for id in ("Walk-In", "anon:walk-in", "noreply@example.com"):
        found = decoded(encoded("identity.split", **NOBODY, ids=[id]), blocked_ids=["walk-in", "noreply@example.com"])
        assert isinstance(found, Refusal)
        assert found.reason == "no_identity"


# -- linked ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"customer_id": "c1", "email": "ann@example.com", "anonymous_id": "v1"},
        {"customer_id": ..., "ids": ["anon:v1", "Ann@example.com", "c1"]},
        {"customer_id": "c1", "ids": ["ann@example.com", "anon:v1"]},
        {"customer_id": "c1", "anonymous_id": "v1", "ids": ["c1", ANN]},
        {"customer_id": "c1", "email": "ann@example.com", "ids": ["anon:v1", "anon:v1"]},
    ],
)
def test_a_link_says_the_same_in_ids_and_in_fields(said: dict[str, Any]) -> None:
    """Each id once, however it is given: the highest is the key, the others are asked for."""
    fact = accepted("identity.linked", **({"ids": ...} | said))
    assert isinstance(fact, IdentityLinked)
    assert (fact.customer_id, fact.email, fact.anonymous_id) == ("c1", ANN, "v1")
    assert (key_of(fact), lower_ids(fact)) == ("c1", (ANN, "anon:v1"))


@pytest.mark.parametrize(
    ("said", "place", "what"),
    [
        ({"ids": ["c1", "c2"]}, "$.ids[1]", "customer id"),
        ({"ids": ["c2", "anon:v1"], "customer_id": "c1"}, "$.ids[0]", "customer id"),
        ({"ids": ["ann@example.com", "bob@example.com"]}, "$.ids[1]", "address"),
        ({"ids": ["c1", "bob@example.com"], "email": "ann@example.com"}, "$.ids[1]", "address"),
        ({"ids": ["anon:v1", "anon:v2"]}, "$.ids[1]", "anonymous id"),
    ],
)
def test_two_ids_of_one_class_are_no_link(said: dict[str, Any], place: str, what: str) -> None:
    """The message says which, and what to send instead; an address is not shown."""
    refusal = refused("identity.linked", **(NOBODY | said))
    assert (refusal.reason, refusal.message) == (
        "bad_id",
        f"{place}: expected ids of different classes: two of one, such as this {what}, take identity.merged, got a second {what}",
    )


@pytest.mark.parametrize(
    "said",
    [
        {"customer_id": "c1", "ids": ...},
        {"customer_id": "guest", "anonymous_id": "v1", "ids": ...},
        {"customer_id": "c1", "email": "n/a", "ids": None},
        {"customer_id": ..., "ids": ["c1", "c1"]},
        {"customer_id": ..., "ids": ...},
    ],
)
def test_one_id_is_no_link(said: dict[str, Any]) -> None:
    """Nor one beside one that names nobody."""
    refusal = refused("identity.linked", **said)
    assert (refusal.reason, refusal.message) == (
        "no_identity",
        f"$: expected {TWO_OF_THREE}, got fewer that name somebody",
    )


# -- merged and split ------------------------------------------------------------------------------------------------


def test_merges_and_splits_stand_under_one_key() -> None:
    """Whoever they name, so that they have one order; no field of theirs is an id of a person, and none is lower."""
    merged, split = accepted("identity.merged", account_id="acme"), accepted("identity.split")
    assert isinstance(merged, IdentityMerged)
    assert isinstance(split, IdentitySplit)
    for fact in (merged, split):
        assert (key_of(fact), lower_ids(fact), claims(fact)) == (MERGES, (), None)
        assert (fact.customer_id, fact.email, fact.anonymous_id) == (None, None, None)
    assert merged.account_id == "acme"


def test_each_id_counts_once() -> None:
    """In whichever form it is given; a merge needs two, or one beside another in `into`."""
    assert accepted("identity.split", ids=["c1", "c1", 7, "7", "ANN@example.com", ANN]).ids == ("c1", "7", ANN)
    assert accepted("identity.merged", ids=["c2"], into="c1", customer_id="c1").ids == ("c2",)
    for said in ({"ids": ["c1"]}, {"ids": ["c1", "c1"]}, {"ids": ["c1"], "into": "c1"}, {"ids": [7, "7"], "into": 7}):
        refusal = refused("identity.merged", **(NOBODY | {"into": ...} | said))
        assert (refusal.reason, refusal.message) == (
            "out_of_range", "$.ids: expected two different ids, or one beside another in into, got one",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "into", "expected"),
    [
        (["c1"], "anon:v1", "here a customer id, got a lower one: an anonymous id"),
        (["c1", "anon:v1"], "ann@example.com", "here a customer id, got a lower one: an address"),
        (["ann@example.com"], "anon:v1", "here an address, got a lower one: an anonymous id"),
    ],
)
def test_a_profile_does_not_go_on_as_a_lower_id(ids: list[str], into: str, expected: str) -> None:
    """A customer would become an address: `into` is of the highest class."""
    refusal = refused("identity.merged", **NOBODY, ids=ids, into=into)
    assert (refusal.reason, refusal.message) == (
        "bad_id", f"$.into: expected one of the highest class among the ids, {expected}",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["identity.merged", "identity.split"])
def test_an_id_beside_ids_is_one_of_them(kind: str) -> None:
    """It says nothing more then; another one might be meant to be merged or split, too, so the event is refused."""
    ids = ["c1", "ann@example.com", "anon:v1"]
    usual = accepted(kind, ids=ids, into=..., customer_id=...)
    for same in ({"customer_id": "c1"}, {"email": "ANN@example.com"}, {"anonymous_id": "v1"}, {"customer_id": "guest"}):
        assert accepted(kind, **({"ids": ids, "into": ..., "customer_id": ...} | same)) == usual
    for field, other in (("customer_id", "c2"), ("email", "bob@example.com"), ("anonymous_id", "c1")):
        refusal = refused(kind, **({"ids": ids, "into": ..., "customer_id": ...} | {field: other}))
        assert (refusal.reason, refusal.message) == (
            "bad_id", f"$.{field}: expected one of $.ids, or none: they alone say who is meant, got another id",
        )  # fmt: skip
    if kind == "identity.merged":
        assert accepted(kind, ids=["c2"], into="c1").into == "c1"


def test_in_an_envelope_the_place_is_that_of_the_envelope() -> None:
    """As with every other field."""
    data = {"ids": ["c1", "guest"]}
    head = {"specversion": "1.0", "id": "e1", "source": "crm", "type": "identity.split", "time": TIME}
    found = decoded(json.dumps({**head, "data": data}).encode())
    assert isinstance(found, Refusal)
    assert found.message.startswith("$.data.ids[1]: expected an id that names somebody")


@pytest.mark.parametrize("kind", OF_IDS)
def test_no_address_gets_into_a_fact_about_ids(kind: str) -> None:
    """Wherever it stands, nor into the words of a refusal."""
    for spelling in ("canary@example.com", "Canary@Example.com", "anon:canary@example.com"):
        for ids in ([spelling, "c1"], [spelling, "order:1"], [spelling, "guest"], [spelling] * 21):
            assert "canary" not in repr(decoded(encoded(kind, ids=ids, into=...))).lower()


# -- orders and tickets ----------------------------------------------------------------------------------------------

THINGS = [kind for kind in EVENTS if kind.startswith(("order.", "ticket."))]
NAMES = {"order": ("order_id", ORDER, order_key), "ticket": ("ticket_id", TICKET, ticket_key)}


@pytest.mark.parametrize("kind", THINGS)
def test_whoever_is_named_claims_the_order_or_ticket(kind: str) -> None:
    """By stating the order, by anything that happens to the ticket; a refund or a cancellation gives the order to nobody."""
    field, prefix, key = NAMES[kind.partition(".")[0]]
    for person in ({"customer_id": "c1"}, {"email": "ann@example.com"}, {"anonymous_id": "v1"}):
        fact = accepted(kind, **({"customer_id": ..., field: "17"} | person))
        assert key(fact) == f"{prefix}shop 17"
        assert claims(fact) == (None if kind in ("order.refunded", "order.cancelled") else f"{prefix}shop 17")
        assert key_of(fact) != f"{prefix}shop 17"


def test_what_is_no_order_and_no_ticket_claims_nothing() -> None:
    """Every other kind."""
    for kind in EVENTS.keys() - {*THINGS}:
        fact = accepted(kind)
        assert (order_key(fact), ticket_key(fact), claims(fact)) == (None, None, None)
    assert ticket_key(accepted("order.refunded")) is order_key(accepted("ticket.created")) is None


_names = st.one_of(
    st.sampled_from(("a", "a b", "b", " ", "a@b", "x" * 128, "ö" * 128)), st.text(min_size=1, max_size=128)
)
_order_ids = st.one_of(_names, st.sampled_from(("b c", "c", "b c", "c", "x" * 255, "ö" * 255, "\U0001f600" * 255)))


@example(("a b", "c"), ("a", "b c"))
@example(("shop", "ann@example.com"), ("shop", "bob@example.com"))
@example(("ö" * 128, "ö" * 255), ("ö" * 128, "ö" * 254))
@given(st.tuples(_names, _order_ids), st.tuples(_names, _order_ids))
def test_two_orders_never_have_one_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever stands in source and order id; the key is short, and shows no address."""
    keys = []
    for source, order_id in (one, other):
        found = decoded(encoded("order.refunded", customer_id=..., source=source, order_id=order_id))
        if isinstance(found, Refusal):
            assert found.reason == "bad_id"
            return
        key = key_of(found)
        assert key is not None
        assert key.startswith(ORDER)
        assert len(key.encode()) <= KEY_MAX
        assert "@" not in key
        keys.append(key)
    assert (keys[0] == keys[1]) == (one == other)


def test_the_key_of_an_order_is_the_one_that_was_published() -> None:
    """Plain where it can be, else a hash: a change of it would lose refunds that wait for their order."""
    keys = [
        key_of(accepted("order.cancelled", customer_id=..., order_id=id)) for id in ("17", "x" * 255, "a@b.example")
    ]
    assert keys[0] == "order:shop 17"
    assert keys[1] == "order:shop " + "x" * 255
    assert keys[2] == "order:9b8a31b1fb7cd50986db95f4fba93a7d"
