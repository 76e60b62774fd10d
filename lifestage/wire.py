"""What every event on the wire may say, and the kinds of field it is made of.

A field that the contract does not have is ignored; null counts as absent. Lengths and ranges that stand here are
checked while parsing.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from lifestage import money
from lifestage.facts import Fact

NAME_MAX: Final = 128
ID_MAX: Final = 255

EventId = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(max_length=NAME_MAX)]
RequiredName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Id = Annotated[str, Meta(max_length=ID_MAX)]
RequiredId = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]
Address = Annotated[str, Meta(max_length=320)]
"""64 octets before the @ and 255 after it is the longest that mail can carry."""
CustomerId = Annotated[str, Meta(max_length=NAME_MAX)] | int | None
IDS_MAX: Final = 20
AnyId = Annotated[str, Meta(min_length=1, max_length=320)] | int
"""An id of any class: a customer id, an address or its key, or `anon:` and an anonymous id."""
RequiredCustomerId = RequiredName | int
Instant = str | int | float
RequiredText = Annotated[str, Meta(min_length=1)]
Minor = Annotated[int, Meta(ge=0, le=money.MAX_MINOR)] | None
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)] | None
Duration = Annotated[float, Meta(ge=0, le=1e9)] | None
RequiredScore = Annotated[float, Meta(ge=-1e9, le=1e9)]
Score = RequiredScore | None
_KEYS = {"pattern": "^[a-z0-9_]{1,40}$"}
Traits = Annotated[
    dict[str, Any],
    Meta(
        max_length=100,
        extra_json_schema={
            "propertyNames": _KEYS,
            "additionalProperties": {
                "anyOf": [
                    {"type": "string", "maxLength": 256},
                    {"type": "number", "minimum": -1e15, "maximum": 1e15},
                    {"type": "boolean"},
                    {"type": "null"},
                ]
            },
        },
    ),
]
Purposes = Annotated[
    dict[str, Any],
    Meta(max_length=100, extra_json_schema={"propertyNames": _KEYS, "additionalProperties": {"type": "boolean"}}),
]
"""Names and values of both are checked where the fact is made, which can name the place of the wrong one."""

PageType = Literal["content", "product", "pricing", "checkout", "kb", "account", "other"]
Happening = Literal[
    "queued", "sent", "delivered", "deferred", "bounced", "rejected", "failed", "opened", "clicked", "complained",
    "unsubscribed", "subscribed", "autoresponded",
]  # fmt: skip
Channel = Literal["email", "sms", "push", "in_app", "chat", "phone"]
Status = Literal["paid"]
SocialKind = Literal["like", "comment", "share", "follow", "mention"]
Metric = Literal["nps", "csat", "ces"]
Actor = Literal["agent", "bot", "customer"]
CostCategory = Literal["marketing", "sales", "retention", "support", "other"]

Owner = Literal["customer", "anybody", "company", "referrer", "thing", "ids"]
"""Whom an event is about: a customer, who must be named; a customer if one is named, else the company; always the
company; whoever `referrer_id` names; a customer if one is named, else whoever an order or ticket turns out to belong to;
or those whom `ids` name."""


class Context(msgspec.Struct, gc=False):
    """`context` of an event; the fields stand in the order of `facts.Context`."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None
    referrer: str | None = None
    url: str | None = None
    user_agent: str | None = None
    locale: str | None = None
    timezone: str | None = None
    device: str | None = None


class Consent(msgspec.Struct, gc=False):
    """`consent` of an event; the fields stand in the order of `facts.Consent`."""

    marketing: bool | None = None
    analytics: bool | None = None


class Experiment(msgspec.Struct, gc=False):
    """`experiment` of an event; the fields stand in the order of `facts.Experiment`."""

    id: RequiredName
    variant: RequiredName


def is_address(text: str) -> bool:
    """Whether something stands on both sides of an @."""
    mailbox, _, host = text.strip().partition("@")
    return bool(mailbox) and bool(host)


class Event(msgspec.Struct, kw_only=True, gc=False, tag_field="type"):
    """What an event of any type may say."""

    owner: ClassVar[Owner] = "customer"

    id: EventId
    source: RequiredName
    time: Instant
    customer_id: CustomerId = None
    anonymous_id: CustomerId = None
    account_id: CustomerId = None
    email: Address | None = None
    sent_at: Instant | None = None
    received_at: Instant | None = None
    context: Context | None = None
    consent: Consent | None = None
    test: bool | None = None
    bot: bool | None = None
    experiment: Experiment | None = None

    def address(self) -> str | None:
        """The email address of whom the event is about. A text without two sides of an @ is none: `n/a` is not one customer."""
        return self.email if self.email is not None and is_address(self.email) else None

    def fact(self, common: dict[str, Any]) -> Fact:
        """The fact, given the fields of `facts.Fact`. Raises `InvalidError`."""
        raise NotImplementedError
