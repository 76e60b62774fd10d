"""What an event must say beyond the form of its fields: scales, periods, currencies, traits, and whom it is about."""

from __future__ import annotations

from typing import Any

import pytest

from lifestage import facts
from lifestage.keys import email_key, key_of
from tests.core.samples import EVENTS, SECRET, accepted, refused

ANN, BOB = email_key("ann@example.com", SECRET), email_key("bob@example.com", SECRET)
SUBSCRIPTIONS = [kind for kind in EVENTS if kind.startswith("subscription.")]
REFERRALS = [kind for kind in EVENTS if kind.startswith("referral.")]
OF_NOBODY = ["ad.impression", "social.engagement", "cost.recorded"]
OF_THINGS = [
    "order.refunded",
    "order.cancelled",
    "ticket.created",
    "ticket.replied",
    "ticket.solved",
    "ticket.reopened",
]
OF_IDS = ["identity.linked", "identity.merged", "identity.split"]


@pytest.mark.parametrize(("metric", "lowest", "highest"), [("nps", 0.0, 10.0), ("csat", 1.0, 5.0), ("ces", 1.0, 7.0)])
def test_each_metric_has_its_scale(metric: str, lowest: float, highest: float) -> None:
    """Both ends are on it, what is beyond them is refused; an answer may name another scale, or one end of it."""
    for score in (lowest, highest):
        fact = accepted("feedback.received", metric=metric, score=score)
        assert (fact.score, fact.scale_min, fact.scale_max) == (score, lowest, highest)
    for score in (lowest - 0.5, highest + 0.5):
        refusal = refused("feedback.received", metric=metric, score=score)
        assert (refusal.reason, refusal.message) == (
            "out_of_range", f"$.score: expected a number from {lowest:g} to {highest:g}, got {score:g}",
        )  # fmt: skip
    fact = accepted("feedback.received", metric=metric, score=80, scale_min=0, scale_max=100)
    assert (fact.score, fact.scale_min, fact.scale_max) == (80.0, 0.0, 100.0)
    assert accepted("feedback.received", metric=metric, score=4, scale_max=4).scale_min == lowest
    assert accepted("feedback.received", metric=metric, score=4, scale_min=-4).scale_max == highest


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"scale_min": 5, "scale_max": 5}, "$.scale_max: expected a number above scale_min, 5, got 5"),
        ({"scale_min": 6, "scale_max": 5}, "$.scale_max: expected a number above scale_min, 6, got 5"),
        ({"scale_max": 0}, "$.scale_max: expected a number above scale_min, 0, got 0"),
        ({"scale_min": 10}, "$.scale_min: expected a number below scale_max, 10, got 10"),
    ],
)
def test_a_scale_goes_upwards(scale: dict[str, int], message: str) -> None:
    """Otherwise no score is on it; the end that was given is named."""
    refusal = refused("feedback.received", **scale)
    assert (refusal.reason, refusal.message) == ("out_of_range", message)


def test_a_cost_is_of_a_period_that_ends_after_it_begins() -> None:
    """One millisecond is one; none, or less, is refused."""
    accepted("cost.recorded", period_start="2024-03-01T00:00:00Z", period_end="2024-03-01T00:00:00.001Z")
    for start in ("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"):
        refusal = refused("cost.recorded", period_start=start)
        assert (refusal.reason, refusal.message) == (
            "out_of_range", f"$.period_end: expected an instant after period_start, {start}, got 2024-03-01T00:00:00Z",
        )  # fmt: skip
    assert refused("cost.recorded", period_start="May").message.startswith("$.period_start: expected an RFC 3339 time")
    assert refused("cost.recorded", amount="-1").reason == "bad_money"


@pytest.mark.parametrize(
    ("kind", "field"),
    [("cart.updated", "value"), ("checkout.step", "value"), *((kind, "mrr") for kind in SUBSCRIPTIONS)],
)
def test_an_amount_needs_the_currency_that_it_is_in(kind: str, field: str) -> None:
    """In major or in minor units; without an amount the currency may be absent, but not be none."""
    for given in ({field: 5}, {field: ..., f"{field}_minor": 500}):
        refusal = refused(kind, currency=..., **given)
        assert (refusal.reason, refusal.message) == (
            "missing_field", f"$.currency: expected the currency of {field}, got nothing",
        )  # fmt: skip
    assert accepted(kind, **{field: None, "currency": None}).currency is None
    assert refused(kind, **{field: None, "currency": "Euro"}).reason == "bad_money"
    assert refused(kind, **{field: "1.005", "currency": "EUR"}).reason == "bad_money"


@pytest.mark.parametrize(
    ("kind", "field"),
    [("trial.started", "starts_at"), ("trial.ended", "ends_at"), *((kind, "effective_at") for kind in SUBSCRIPTIONS)],
)
def test_a_planned_instant_is_one(kind: str, field: str) -> None:
    """Text with a zone or a Unix time, in ms; null is none; it may lie in the future."""
    assert getattr(accepted(kind, **{field: "2999-01-01T00:00:00Z"}), field) == 32_472_144_000_000
    assert getattr(accepted(kind, **{field: 1.5}), field) == 1500
    assert getattr(accepted(kind, **{field: None}), field) is None
    assert refused(kind, **{field: "2024-01-01"}).message.startswith(f"$.{field}: expected an RFC 3339 time")
    assert refused(kind, **{field: -1}).message == f"$.{field}: expected an instant in the years 1970 to 9999, got -1"


@pytest.mark.parametrize("kind", ["account.created", "account.closed"])
def test_an_account_is_one_that_has_a_name(kind: str) -> None:
    """A blocked id names no account, and a customer must be there as well."""
    assert accepted(kind, account_id=17).account_id == "17"
    refusal = refused(kind, account_id="null")
    assert (refusal.reason, refusal.message) == (
        "no_identity", "$.account_id: expected an id that names an account, got one that names nobody",
    )  # fmt: skip
    assert refused(kind, customer_id=...).reason == "no_identity"


@pytest.mark.parametrize("kind", REFERRALS)
def test_a_referral_is_the_referrers(kind: str) -> None:
    """Whatever customer the envelope names; the other ids of the envelope stay beside it."""
    for envelope in ({}, {"customer_id": ...}, {"customer_id": "c9"}, {"customer_id": "guest"}):
        fact = accepted(kind, **envelope, referrer_id="c1", anonymous_id="a1")
        assert (key_of(fact), fact.customer_id, fact.referrer_id, fact.anonymous_id) == ("c1", "c1", "c1", "a1")
    assert accepted(kind, email="ann@example.com").email == ANN
    assert accepted(kind, referrer_id=5).referrer_id == "5"


@pytest.mark.parametrize("kind", REFERRALS)
def test_an_address_of_a_referral_is_a_hash_in_the_fact(kind: str) -> None:
    """The referrer's goes before any other of the envelope; the referred person's is hashed as well."""
    fact = accepted(kind, referrer_id="Ann@example.com", email="cid@example.com", referred_id="bob@example.com")
    assert (key_of(fact), fact.referrer_id, fact.referred_id, fact.customer_id) == (ANN, ANN, BOB, None)
    assert accepted(kind, referred_id="none").referred_id is None


@pytest.mark.parametrize("kind", REFERRALS)
def test_the_ids_of_a_referral_are_ids(kind: str) -> None:
    """A referrer who is nobody, or an id that poses as a key, is refused at its own place."""
    refusal = refused(kind, referrer_id="guest", email="ann@example.com")
    assert (refusal.reason, refusal.message) == (
        "no_identity", "$.referrer_id: expected an id that names somebody, got one that names nobody",
    )  # fmt: skip
    for field in ("referrer_id", "referred_id"):
        refusal = refused(kind, **{field: "email:0123"})
        assert (refusal.reason, refusal.message.partition(":")[0]) == ("bad_id", f"$.{field}")


@pytest.mark.parametrize("kind", OF_NOBODY)
def test_what_is_of_no_customer_is_the_companys(kind: str) -> None:
    """It needs no id of a person, and its key is one of 64 by source and id, the same each time."""
    keys = {key_of(accepted(kind, customer_id=..., id=f"e{n}")) for n in range(1000)}
    assert keys == {f"company:{n:02x}" for n in range(64)}
    assert key_of(accepted(kind, customer_id=...)) == "company:07"
    assert key_of(accepted(kind, customer_id=..., source="other")) == "company:23"


@pytest.mark.parametrize("kind", ["ad.impression", "social.engagement"])
def test_an_impression_with_a_person_is_that_persons(kind: str) -> None:
    """As any other event."""
    assert key_of(accepted(kind)) == "c1"
    assert key_of(accepted(kind, customer_id=..., anonymous_id="a1")) == "anon:a1"


def test_a_cost_keeps_no_id_of_a_person() -> None:
    """Whoever booked it is no customer of ours by that."""
    fact = accepted("cost.recorded", customer_id="c1", email="ann@example.com", anonymous_id="a1")
    assert (fact.customer_id, fact.email, fact.anonymous_id) == (None, None, None)
    assert refused("cost.recorded", customer_id="company:00").reason == "bad_id"


@pytest.mark.parametrize(
    "kind", [kind for kind in EVENTS if kind not in {*OF_NOBODY, *OF_THINGS, *OF_IDS, *REFERRALS, "email.event"}]
)
def test_any_other_event_needs_a_person(kind: str) -> None:
    """Without an id that names somebody it cannot be given to anybody."""
    refusal = refused(kind, customer_id=...)
    assert (refusal.reason, refusal.message) == (
        "no_identity", "$: expected a customer_id, an email or an anonymous_id that names somebody",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("traits", "reason", "message"),
    [
        ({"Plan": 1}, "bad_id", '$.traits: expected names of 1 to 40 of a-z, 0-9 and _, got "Plan"'),
        ({"": 1}, "bad_id", '$.traits: expected names of 1 to 40 of a-z, 0-9 and _, got ""'),
        ({"a" * 41: 1}, "bad_id", f'$.traits: expected names of 1 to 40 of a-z, 0-9 and _, got "{"a" * 40}"…'),
        ({"ok": 1, "a\n": 1}, "bad_id", '$.traits: expected names of 1 to 40 of a-z, 0-9 and _, got "a\\n"'),
        ({"a": []}, "wrong_type", "$.traits.a: expected a string, a number, true, false or null, got an array"),
        ({"a": {"b": 1}}, "wrong_type", "$.traits.a: expected a string, a number, true, false or null, got an object"),
        ({"a": "x" * 257}, "out_of_range", "$.traits.a: expected at most 256 characters, got 257"),
        ({"a": 10**16}, "out_of_range", "$.traits.a: expected a number from -1e15 to 1e15, got 10000000000000000"),
        ({"a": -1e300}, "out_of_range", "$.traits.a: expected a number from -1e15 to 1e15, got -1e+300"),
        ({f"a{n}": n for n in range(101)}, "out_of_range", "$.traits: expected an object of length ≤ 100, got an object"),
        ([1], "wrong_type", "$.traits: expected an object, got an array"),
        ({"email": ["ann@example.com"]}, "wrong_type", "$.traits.email: expected a string, a number, true, false or null, got an array"),
    ],
)  # fmt: skip
def test_a_trait_is_small_and_plain(traits: Any, reason: str, message: str) -> None:
    """A text, a number, a truth or null under a short name; anything else is refused at its place."""
    refusal = refused("profile.updated", traits=traits)
    assert (refusal.reason, refusal.message) == (reason, message)


def test_traits_pass_up_to_their_bounds() -> None:
    """A hundred of them, names of 40, texts of 256 characters, numbers up to 1e15; integers become floats."""
    bounds = {"a" * 40: "é" * 256, "n": 10**15, "m": -1e15, "t": False, "x": None, **{f"b{n}": n for n in range(95)}}
    fact = accepted("profile.updated", traits=bounds)
    assert fact.traits == bounds
    assert {type(fact.traits[name]) for name in ("n", "m", "b0")} == {float}
    assert facts.decode(facts.encode(fact)) == fact


@pytest.mark.parametrize(
    ("purposes", "message"),
    [
        ({"marketing": 1}, "$.purposes.marketing: expected true or false, got 1"),
        ({"marketing": None}, "$.purposes.marketing: expected true or false, got null"),
        ({"marketing": "yes"}, '$.purposes.marketing: expected true or false, got "yes"'),
        ({"e-mail": True}, '$.purposes: expected names of 1 to 40 of a-z, 0-9 and _, got "e-mail"'),
        ({f"a{n}": True for n in range(101)}, "$.purposes: expected an object of length ≤ 100, got an object"),
    ],
)
def test_a_purpose_is_allowed_or_not(purposes: dict[str, Any], message: str) -> None:
    """Nothing between, as nobody may guess at a consent."""
    assert refused("consent.changed", purposes=purposes).message == message
