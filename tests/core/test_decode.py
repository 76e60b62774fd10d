"""The door of the core: what a good event becomes, and what a bad one is told."""

from __future__ import annotations

from typing import Any

import pytest

from lifestage import events, facts
from lifestage.decode import Decoder, Refusal
from lifestage.facts import Consent, Context, Experiment, Fact, Item
from lifestage.keys import claims, email_key, key_of, lower_ids
from tests.core.samples import EVENTS, SECRET, TIME_MS, accepted, decoded, encoded, refused

ENVELOPE: dict[str, Any] = {"time": TIME_MS, "source": "shop", "id": "e1", "customer_id": "c1"}
ANN = email_key("ann@example.com", SECRET)


@pytest.mark.parametrize(
    ("currency", "total", "minor"),
    [
        ("USD", b"0.1", 10), ("USD", b"1.10", 110), ("USD", b'"1.1"', 110), ("USD", b"12", 1200), ("JPY", b"1200", 1200),
        ("KWD", b"1.234", 1234), ("CLF", b"1.2345", 12345), ("USD", b"1.2e1", 1200), ("USD", b"4.35", 435),
        ("USD", b"9007199254740.993", None), ("USD", b"9007199254740.99", 900719925474099), ("USD", b"0", 0),
    ],
)  # fmt: skip
def test_a_json_number_is_read_as_the_decimal_it_is_written_as(currency: str, total: bytes, minor: int | None) -> None:
    """No float stands between the sender's digits and the minor units."""
    value = encoded("order.completed", currency=currency, total=0.123, tax=..., items=...).replace(b"0.123", total)
    result = decoded(value)
    if minor is None:
        assert isinstance(result, Refusal)
        assert result.message == "$.total: expected at most 2 digits after the point, got 9007199254740.993"
    else:
        assert isinstance(result, facts.OrderCompleted)
        assert result.total_minor == minor


def test_minor_units_may_stand_for_an_amount_or_beside_it() -> None:
    """`total_minor` says the same as `total`; where both are there they must agree."""
    assert accepted("order.completed", total=..., total_minor=11900) == accepted("order.completed")
    assert accepted("order.completed", total_minor=11900) == accepted("order.completed")
    assert refused("order.completed", total_minor=11901).message == (
        "$.total: expected the same as $.total_minor, 11901, got 119.00"
    )


def test_minor_units_of_a_refund_need_their_currency() -> None:
    """Without it nobody knows how many digits they have."""
    refusal = refused("order.refunded", amount=..., amount_minor=500, currency=...)
    assert (refusal.reason, refusal.message) == (
        "missing_field", "$.currency: expected a currency beside amount_minor, got nothing",
    )  # fmt: skip


def test_what_is_common_to_all_events_stands_in_the_fact() -> None:
    """Ids, context, consent, bot and experiment."""
    fact = accepted(
        customer_id=17,
        anonymous_id=18,
        account_id="acme",
        email="Ann@Example.com ",
        bot=True,
        context={"source": "google", "medium": "cpc", "device": "phone", "screen": {"width": 1}},
        consent={"marketing": False},
        experiment={"id": "x", "variant": "b"},
    )
    assert (fact.customer_id, fact.anonymous_id, fact.account_id, fact.email) == ("17", "18", "acme", ANN)
    assert fact.bot
    assert fact.context == Context(source="google", medium="cpc", device="phone")
    assert fact.consent == Consent(marketing=False)
    assert fact.experiment == Experiment("x", "b")


def test_what_an_event_does_not_say_has_its_default() -> None:
    """One page, one click, one piece, a human on the channel email."""
    assert accepted(pages=...).pages == 1
    assert accepted("ad.click").count == 1
    assert accepted("order.completed", items=[{}]).items == (Item(qty=1),)
    fact = accepted("email.event")
    assert (fact.channel, fact.machine, fact.bot) == ("email", False, False)


def test_the_context_keeps_each_field_in_its_place() -> None:
    """All eleven, none shifted."""
    context = {name: name for name in Context.__struct_fields__}
    assert accepted(context=context).context == Context(**context)


def test_the_recipient_of_a_message_is_its_email_unless_one_is_given() -> None:
    """On other channels what stands for an address counts, such as a number; a text that is no address does not."""
    other = email_key("bob@example.com", SECRET)
    assert accepted("email.event").email == ANN
    assert accepted("email.event", email="bob@example.com").email == other
    assert accepted("email.event", email="", recipient="bob@example.com").email == other
    assert accepted("email.event", channel="sms", recipient="+49 30 1234").email == email_key("+49 30 1234", SECRET)
    assert accepted("email.event", recipient="n/a").email is None
    assert refused("email.event", customer_id=..., recipient="n/a").reason == "no_identity"
    assert refused("email.event", customer_id=..., recipient="none", channel="sms").reason == "no_identity"


def test_an_email_without_an_at_sign_is_absent() -> None:
    """`n/a` in an email field does not make one customer of thousands, nor does it lose the order."""
    assert accepted(email="n/a").email is None
    assert refused(email="n/a", customer_id=...).reason == "no_identity"


@pytest.mark.parametrize(
    "kind", ["order.refunded", "order.cancelled", *(kind for kind in EVENTS if kind.startswith("ticket."))]
)
def test_what_happens_to_an_order_or_ticket_may_name_nobody(kind: str) -> None:
    """It belongs to the order or ticket until that names its customer; an id that names nobody counts as absent here, too."""
    key = "order:shop o1" if kind.startswith("order.") else "ticket:shop i1"
    for nobody in (..., None, "guest"):
        fact = accepted(kind, customer_id=nobody)
        assert (key_of(fact), lower_ids(fact), claims(fact)) == (key, (), None)


@pytest.mark.parametrize("kind", ["order.completed", "order.updated"])
def test_an_order_that_names_nobody_is_refused(kind: str) -> None:
    """What somebody bought is nobody's history without them: it waits in the dead letters, where it can be mended."""
    refusal = refused(kind, customer_id=...)
    assert (refusal.reason, refusal.type) == ("no_identity", kind)


def test_the_senders_clock_is_corrected_by_what_it_says_of_itself() -> None:
    """time = received_at − (sent_at − time), when both are there; the corrected time is what is checked."""
    ahead = {"time": "2024-02-29T13:00:00Z", "sent_at": "2024-02-29T13:00:10Z"}
    assert accepted(**ahead, received_at=1_709_208_070).time == TIME_MS + 60_000
    assert refused(**ahead).reason == "future_timestamp"
    assert refused(time=1000, sent_at=2000, received_at=500).message == (
        "$.time: expected an instant in the years 1970 to 9999"
    )
    assert refused(sent_at="soon", received_at=1).message.startswith("$.sent_at: expected an RFC 3339 time")


def test_the_future_is_judged_by_the_brokers_clock_and_not_in_files() -> None:
    """Up to 5 minutes ahead passes; without an append time, or without a limit, anything does."""
    value = encoded(time=TIME_MS)
    assert isinstance(decoded(value, TIME_MS - 300_000), Fact)
    refusal = decoded(value, TIME_MS - 300_001)
    assert isinstance(refusal, Refusal)
    assert refusal.message == (
        "$.time: expected at most 300 s after the append time 2024-02-29T11:54:59.999Z, got 2024-02-29T12:00:00Z"
    )
    assert isinstance(decoded(value, None), Fact)
    assert isinstance(decoded(value, 0, future_ms=None), Fact)


def test_a_test_event_is_suppressed_and_not_rejected() -> None:
    """Nothing is wrong with it, so it is counted apart, under its own source and type."""
    assert refused("ad.click", test=True) == Refusal("suppressed", "test", "$.test: a test event", "shop", "ad.click")
    assert accepted(test=False) == accepted()


@pytest.mark.parametrize("kind", sorted(events.UNSUPPORTED))
def test_a_type_of_the_contract_that_is_not_read_yet_is_refused_as_such(kind: str) -> None:
    """It is never accepted and ignored; its name is known, so it may be a label."""
    refusal = refused(kind)
    assert (refusal.reason, refusal.type) == ("unsupported", kind)


def test_the_types_of_the_contract_are_known() -> None:
    """37 that become facts, and 2 that do not yet."""
    assert tuple(EVENTS) == events.KINDS
    assert (len(events.KINDS), len(events.UNSUPPORTED)) == (37, 2)
    assert not events.UNSUPPORTED & set(events.KINDS)


def test_a_company_sets_its_own_limits() -> None:
    """Size, depth and blocked ids come from the settings; a blocked id counts in any case."""
    value = encoded()
    assert isinstance(decoded(value, max_bytes=len(value)), Fact)
    for settings in ({"max_bytes": len(value) - 1}, {"max_depth": 0}, {"blocked_ids": ["C1"]}):
        assert isinstance(decoded(value, **settings), Refusal)


def test_an_address_given_as_an_id_becomes_no_key() -> None:
    """A company that names customers by address gets the address's keyed hash as the key, also for accounts and visitors."""
    decoder = Decoder(b"secret")
    base = b'{"id":"1","source":"s","type":"web.visit","time":"2026-01-01T00:00:00Z","url":"/",%s}'
    by_id = decoder.decode(base % b'"customer_id":"Ann@Example.com"', None)
    by_email = decoder.decode(base % b'"email":"ann@example.com"', None)
    assert isinstance(by_id, Fact)
    assert isinstance(by_email, Fact)
    assert (by_id.customer_id, by_id.email) == (None, by_email.email)
    other = decoder.decode(base % b'"anonymous_id":"a@b.example","account_id":"c@d.example"', None)
    assert isinstance(other, Fact)
    assert "@" not in repr(other)
    handle = decoder.decode(base % b'"customer_id":"@ann"', None)
    assert isinstance(handle, Fact)
    assert handle.customer_id == "@ann"


def test_whom_a_company_names_by_address_is_who_an_event_is_about() -> None:
    """An address as `customer_id` goes before the address of an order's bill, or of a mail's recipient."""
    base = '{"id":"1","source":"s","time":"2026-01-01T00:00:00Z","customer_id":"Ann@Example.com",%s}'
    for more in (
        '"type":"order.completed","order_id":"o","currency":"EUR","total":"1","email":"office@example.org"',
        '"type":"email.event","message_id":"m","event":"opened","recipient":"office@example.org"',
        '"type":"web.visit","url":"/","email":null',
    ):
        fact = Decoder(b"secret").decode((base % more).encode(), None)
        assert isinstance(fact, Fact)
        assert (fact.customer_id, fact.email) == (None, email_key("ann@example.com", b"secret"))
