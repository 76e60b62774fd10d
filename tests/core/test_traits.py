"""What is said of a person, and by what they came, is kept as it was said, but for addresses."""

from __future__ import annotations

import pytest
from msgspec.json import encode

from lifestage.decode import Decoder, Refusal
from lifestage.facts import Context, OrderCompleted, ProfileUpdated, WebVisit
from lifestage.keys import email_key, order_key, text_key
from tests.core.samples import event

SECRET = b"a secret of the tests"
KEY = email_key("ann@example.com", SECRET)


def trait(given: object) -> object:
    """What is kept of one trait."""
    found = Decoder(SECRET).decode(encode(event("profile.updated", customer_id="ann", traits={"said": given})), None)
    assert isinstance(found, ProfileUpdated), found
    return found.traits["said"]


@pytest.mark.parametrize("given", ["ann@example.com", " Ann@Example.com"])
def test_an_address_stands_for_its_keyed_hash(given: str) -> None:
    """In any spelling the key that stands for it elsewhere, too."""
    assert trait(given) == KEY


@pytest.mark.parametrize("given", ["write to ann@example.com", "Ann <ann@example.com>", "a@b.co,c@d.co"])
def test_a_text_with_an_address_in_it_stands_for_its_keyed_hash(given: str) -> None:
    """The whole text: it can be compared, and not read."""
    assert trait(given) == email_key(given, SECRET)


@pytest.mark.parametrize("given", ["@ann", "3 @ 1.50 EUR", "ann@work", "pro", "", 5.0, True, None])
def test_what_is_no_address_is_kept_as_it_was_said(given: object) -> None:
    """Names, prices, numbers, truths and what was taken back."""
    assert trait(given) == given


def test_a_text_that_is_too_long_is_refused_all_the_same() -> None:
    """With an address in it as without."""
    wrong = event("profile.updated", customer_id="ann", traits={"said": "ann@example.com" + "x" * 300})
    found = Decoder(SECRET).decode(encode(wrong), None)
    assert isinstance(found, Refusal)
    assert found.reason == "out_of_range"
    assert "ann@" not in found.message


@pytest.mark.parametrize("name", ["source", "medium", "campaign", "term", "content"])
@pytest.mark.parametrize(
    "given", ["ann@example.com", "to ann@example.com", "ann%40example.com", "spring", "50% off", "@x"]
)
def test_by_what_somebody_came_no_address_is_told(name: str, given: str) -> None:
    """The first touch stands in changes, and in labels: with an address in it a text stands for its keyed hash."""
    said = {"url": "/", "context": {"locale": "de", name: given}}
    found = Decoder(SECRET).decode(encode(event("web.visit", customer_id="ann", **said)), None)
    assert isinstance(found, WebVisit), found
    kept = email_key(given, SECRET) if "example" in given else given
    assert found.context == Context(locale="de", **{name: kept})


@pytest.mark.parametrize("name", ["id", "source"])
@pytest.mark.parametrize(
    "given", ["ann@example.com", "Ann@example.com-17", "mailto:ann%40example.com", "e-17", "a@b", "100%"]
)
def test_what_an_event_and_its_source_are_called_is_told_without_an_address(name: str, given: str) -> None:
    """Changes and state have both: with an address in it each stands for its keyed hash, in exactly its spelling."""
    found = Decoder(SECRET).decode(encode(event("web.visit", customer_id="ann", **{name: given})), None)
    assert isinstance(found, WebVisit), found
    assert getattr(found, name) == (text_key(given, SECRET) if "example" in given else given)


def test_names_that_differ_in_case_are_two() -> None:
    """An event is known again by its id as it was sent, so what stands for it differs as it does."""
    ids = {Decoder(SECRET).decode(encode(event(id=one)), None).id for one in ("a@b.co", "A@b.co")}  # type: ignore[union-attr]
    assert len(ids) == 2


@pytest.mark.parametrize("wrong", [{"total": "x"}, {"test": True}, {"time": "x"}])
def test_a_refusal_names_no_source_that_may_be_an_address(wrong: dict[str, object]) -> None:
    """Refused events are counted by source, in the log and in the state."""
    given = event("order.completed", source="ann@example.com", **wrong)
    found = Decoder(SECRET).decode(encode(given), None)
    assert isinstance(found, Refusal)
    assert found.source in ("unknown", text_key("ann@example.com", SECRET))


@pytest.mark.parametrize("name", ["customer_id", "anonymous_id"])
@pytest.mark.parametrize("given", ["ann%40example.com", "Ann%40Example.com"])
def test_an_address_as_it_stands_in_a_link_is_that_address(name: str, given: str) -> None:
    """As an id it stands for its keyed hash, so that it is whoever has the address."""
    found = Decoder(SECRET).decode(encode(event("web.visit", **{"customer_id": None, name: given})), None)
    assert isinstance(found, WebVisit), found
    assert KEY in (found.email, found.anonymous_id)


@pytest.mark.parametrize("order", ["ann@example.com", "of ann%40example.com"])
def test_an_order_that_is_named_by_an_address_has_a_key_without_it(order: str) -> None:
    """Its name stays in the log, and its key is a hash."""
    found = Decoder(SECRET).decode(encode(event("order.completed", order_id=order)), None)
    assert isinstance(found, OrderCompleted), found
    assert found.order_id == order
    assert "example" not in str(order_key(found))
