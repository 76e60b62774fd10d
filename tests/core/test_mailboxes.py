"""Who runs a mailbox: a closed list by the domain of an address, whatever stands there; at the door, and nowhere behind it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifestage import facts
from lifestage.decode import Decoder
from lifestage.facts import EmailEvent
from lifestage.mailboxes import GROUPS, group_of
from tests.core.effort import effort

DECODE = Decoder(b"secret").decode


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("ann@gmail.com", "gmail"), ("Ann.B+x@GoogleMail.com ", "gmail"), ("a@gmail.com.", "gmail"), ("a@hotmail.co.uk", "outlook"),
        ("a@live.fr", "outlook"), ("a@outlook.com.br", "outlook"), ("a@msn.com", "outlook"), ("a@yahoo.co.jp", "yahoo"), ("a@aol.com", "yahoo"),
        ("a@icloud.com", "apple"), ("a@me.com", "apple"), ("a@gmx.net", "gmx"), ("a@web.de", "gmx"), ("a@proton.me", "proton"), ("a@pm.me", "proton"),
        ("a@me.example", "other"), ("a@web.com", "other"), ("a@gmail.com.evil.example", "other"), ("a@gmail", "other"), ("a@shop.gmail.com", "other"),
        ("a@b@gmail.com", "gmail"), ("gmail.com", "gmail"), ("", "other"), ("@", "other"), ("a@live.stream", "other"),
    ],
)  # fmt: skip
def test_a_domain_is_its_providers(address: str, group: str) -> None:
    """With the endings of countries and companies; nothing that only looks like one."""
    assert group_of(address) == group


@effort(300)
@given(st.text(max_size=60), st.sampled_from(("", "@gmail.com", "@", "@gmx.\u00e4")))
def test_whatever_an_address_is_its_group_is_one_of_a_few(name: str, domain: str) -> None:
    """No text of it ever comes through."""
    assert group_of(name + domain) in GROUPS


def mail(**said: object) -> EmailEvent:
    """The fact of an event of a message."""
    event = {
        "type": "email.event",
        "id": "e",
        "source": "esp",
        "time": "2024-03-01T00:00:00Z",
        "message_id": "m",
        "event": "sent",
    }
    found = DECODE(json.dumps({**event, **said}).encode(), None)
    assert isinstance(found, EmailEvent), found
    return found


def test_the_door_tells_the_group_and_lets_no_address_in() -> None:
    """The recipient's before any other address; of what is no mail, and where none is told, there is none."""
    secret = "ann.secret@gmail.com"
    one = mail(recipient=secret, email="ann@corp.example")
    assert one.mailbox == "gmail"
    assert b"secret" not in facts.encode(one)
    assert b"gmail.com" not in facts.encode(one)
    assert mail(email="ann@corp.example").mailbox == "other"
    assert mail(customer_id="c").mailbox is None
    assert mail(recipient="no address", customer_id="c").mailbox is None
    assert mail(recipient="+491234@gmail.com", channel="sms").mailbox is None
