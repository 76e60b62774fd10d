"""Keys: which customer a fact is about."""

from __future__ import annotations

import re
import unicodedata

import pytest
from aiokafka.partitioner import murmur2 as kafkas
from hypothesis import given
from hypothesis import strategies as st

from commands.customer import blocked_id, shown_id, stored_key
from config.sections import Identity, Intake
from config.settings import Settings
from lifestage.decode import Decoder
from lifestage.facts import WebVisit
from lifestage.invalid import shown
from lifestage.keys import RESERVED, email_key, is_blocked, key_of, murmur2, quotes_address
from lifestage.kpi_gather import OTHER
from lifestage.wire import is_address
from streams.metrics import Labels
from streams.outgoing import record_of
from tests.core.samples import SECRET, accepted, encoded, refused


@pytest.mark.parametrize("before", ["", "anon:"])
@pytest.mark.parametrize(
    "name",
    [
        "c1",
        "ann@example.com",
        "Ann@Example.com",
        "ann%40example.com",
        "<x@y>",
        "x%40y",
        "@example.com",
        "a@",
        "50%",
        "a%40b@c.de",
        "ann＠example.com",
        "ann﹫example.com",
        "x＠y",
        "ann＠example．com",
        "ann@example．com",
        "＠ann@example.com",
    ],
)
def test_what_is_typed_has_the_key_of_an_event_that_names_it(before: str, name: str) -> None:
    """An address becomes the hash that stands for it, also as it stands in a link; what only has an @ stays as it is."""
    named = accepted(customer_id=None if before else name, anonymous_id=name)
    typed = stored_key(Settings(identity=Identity(secret=SECRET.decode())), before + name)
    assert typed == key_of(named)
    assert ("email:" in typed) is (name not in {"c1", "<x@y>", "x%40y", "@example.com", "a@", "50%", "x＠y"})


SIGNS = ("@", "%40", "＠", "﹫")


@pytest.mark.parametrize("sign", SIGNS)
def test_an_address_is_found_however_its_sign_is_written(sign: str) -> None:
    """One customer, and an address in no key, id, source, label or message: a wide and a small @ are an @, too."""
    settings, address = Settings(identity=Identity(secret=SECRET.decode())), f"ann{sign}example.com"
    fact = accepted(customer_id=address, id=f"order of {address}", source=f"shop/{address}")
    assert key_of(fact) == email_key("ann@example.com", SECRET)
    assert "example" not in f"{fact.id} {fact.source}"
    order = accepted("order.refunded", customer_id=..., order_id=address)
    assert (key_of(order) or "").startswith("order:")
    assert "example" not in f"{key_of(order)} {shown('$.url', address)} {shown_id(settings, address)}"
    assert Labels().of(address) == OTHER
    sent = {record_of("shop", {"type": "web.visit", "customer_id": f"ann{one}example.com"}).key for one in ("@", sign)}
    assert len(sent) == 1
    assert b"example" not in (sent.pop() or b"example")


@pytest.mark.parametrize("dot", ".．﹒｡")
@pytest.mark.parametrize("sign", [*SIGNS, "%40@", "@%40", "%40%40", "＠＠", "@＠"])
def test_no_text_quotes_an_address(sign: str, dot: str) -> None:
    """Also where the sign stands twice, or the dot is as wide as the sign."""
    text = f"to ann{sign}example{dot}com"
    assert quotes_address(text)
    assert "example" not in accepted(id=text).id


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("other", SIGNS)
def test_an_address_that_a_company_blocks_names_nobody_however_it_is_written(sign: str, other: str) -> None:
    """Neither where it is blocked nor where it is said."""
    blocked, name = f"NoReply{sign}example.com", f"noreply{other}Example.com"
    decoder = Decoder(SECRET, blocked_ids=(blocked,))
    fact = decoder.decode(encoded(customer_id=name, anonymous_id="v1"), None)
    assert isinstance(fact, WebVisit)
    assert key_of(fact) == "anon:v1"
    settings = Settings(identity=Identity(secret=SECRET.decode()), intake=Intake(blocked_ids=(blocked,)))
    assert "is blocked (intake.blocked_ids)" in (blocked_id(settings, name) or "")


@pytest.mark.parametrize(
    ("customer", "email", "anonymous", "key"),
    [
        ("c1", "email:ab", "a1", "c1"),
        (None, "email:ab", "a1", "email:ab"),
        (None, None, "a1", "anon:a1"),
        (None, None, None, None),
    ],
)
def test_the_highest_id_is_the_key(
    customer: str | None, email: str | None, anonymous: str | None, key: str | None
) -> None:
    """Customer id before email before anonymous id, and no key without any."""
    fact = WebVisit(time=0, source="s", id="i", customer_id=customer, email=email, anonymous_id=anonymous, url="/")
    assert key_of(fact) == key


@given(st.emails())
def test_spellings_of_one_address_are_one_key(address: str) -> None:
    """Case, margins and Unicode form of an address do not make another customer."""
    key = email_key(address, SECRET)
    assert re.fullmatch(r"email:[0-9a-f]{32}", key)
    assert email_key(f" {address.upper()}\n", SECRET) == email_key(address.lower(), SECRET) == key
    assert email_key(unicodedata.normalize("NFD", "jürgen@example.com"), SECRET) == email_key(
        "JÜRGEN@example.com", SECRET
    )


def test_an_email_key_is_the_one_that_was_published() -> None:
    """HMAC-SHA256, first 128 bits: a change of it would make every email a new customer."""
    assert email_key("ann@example.com", b"secret") == "email:beac5748fe881f214ea8b8f7b35dd245"


def test_without_the_secret_the_key_is_another() -> None:
    """Two companies with the same customer share no key."""
    assert email_key("ann@example.com", b"one") != email_key("ann@example.com", b"two")


@pytest.mark.parametrize(
    "given_id",
    [
        "", " ", "0", "000", "-", "0-0", "00000000-0000-0000-0000-000000000000", "-1", "null", "NULL", "None", "NaN",
        "undefined", "anonymous", "Guest", "true", "False", "[object Object]", " null ",
    ],
)  # fmt: skip
def test_an_id_that_names_nobody_counts_as_absent(given_id: str) -> None:
    """Such an event goes to the next lower id, and is refused when there is none."""
    assert is_blocked(given_id, frozenset())
    assert accepted(customer_id=given_id, anonymous_id="a1").customer_id is None
    assert key_of(accepted(customer_id=given_id, anonymous_id="a1")) == "anon:a1"
    assert refused(customer_id=given_id).reason == "no_identity"
    assert refused(customer_id=..., anonymous_id=given_id).reason == "no_identity"


@pytest.mark.parametrize("given_id", ["1", "10", "-2", "nullable", "c0", "guest1", "a-0"])
def test_an_ordinary_id_is_no_blocked_one(given_id: str) -> None:
    """Only the whole id counts, not a part of it."""
    assert not is_blocked(given_id, frozenset())
    assert key_of(accepted(customer_id=given_id)) == given_id


def test_a_company_can_block_more_ids() -> None:
    """Extra ids count in any case."""
    assert is_blocked("Walk-In", frozenset({"walk-in"}))
    assert not is_blocked("Walk-In", frozenset())


@pytest.mark.parametrize("prefix", RESERVED)
def test_a_customer_id_cannot_pose_as_another_kind_of_key(prefix: str) -> None:
    """An id that begins like an email key would be that customer: it is refused."""
    refusal = refused(customer_id=f"{prefix}0123456789abcdef0123456789abcdef")
    assert (refusal.outcome, refusal.reason) == ("rejected", "bad_id")
    assert refusal.message.startswith("$.customer_id: expected an id that does not begin with email:")


@pytest.mark.parametrize("text", ["@", "a@", "@host", " @ "])
def test_an_address_has_two_sides(text: str) -> None:
    """What has nothing before or after its @ names nobody: not all who say so are one customer."""
    assert not is_address(text)
    assert is_address("a@host")


@pytest.mark.parametrize("typed", ["root@localhost", "a@b", "Ann@EXAMPLE"])
def test_an_address_of_a_domain_without_a_dot_is_found_and_not_shown(typed: str) -> None:
    """An event takes it for an address; so does who asks for it, and says its hash."""
    settings = Settings(identity=Identity(secret=SECRET.decode()))
    assert stored_key(settings, typed) == key_of(accepted(customer_id=None, email=typed))
    assert typed not in shown_id(settings, typed)


@given(st.binary(max_size=300))
def test_the_hash_of_a_key_is_kafkas(key: bytes) -> None:
    """Whatever a producer of Kafka sends under a key, and what we send, come to one partition."""
    assert murmur2(key) == kafkas(key)
