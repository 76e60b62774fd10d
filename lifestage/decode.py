"""The pure door of the core: the bytes of a source record become a fact, or a refusal that says why not.

This runs for every event. A visit costs about 3 µs, a fifth of it in msgspec; all that explains a refusal is in
`lifestage.refusal`. Other spellings of an event, camelCase and CloudEvents, are rewritten to the plain one, and only
where the bytes or the headers hold a sign of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final
from unicodedata import is_normalized

import msgspec

from lifestage import aliases, envelopes, events, facts, moments, wire
from lifestage.envelopes import Headers, Opened
from lifestage.events_relations import TRAIT_TEXT_MAX
from lifestage.facts import Fact
from lifestage.invalid import InvalidError, shown
from lifestage.keys import (
    ANONYMOUS,
    EMAIL,
    RESERVED,
    address_of,
    blocked_by,
    email_key,
    is_blocked,
    names_mailbox,
    quotes_address,
    text_key,
)
from lifestage.refusal import REASONS, Refusal, refuse

__all__ = ["REASONS", "Decoder", "Refusal"]

# A string may end with the text: otherwise each quote of an unclosed one would start the search again.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))
_OPENING: Final = frozenset(b"[{")

# Looking for one byte as a number is memchr: 25 ns in 400 bytes, where looking for b"x" takes 110 and b"xyz" 350.
_BRACKET, _ESCAPE, _DELETE = b"[\\\x7f"

# Fields whose text is a name: printable and in one spelling, since it becomes a key, a label or a reference.
_NAMED: Final = {
    "id", "source", "channel", "form", "offer", "coupon", "referral_code", "bounce_type", "plan", "feature", "step", "name",
    "kind", "tier", "priority",
}  # fmt: skip
_NAMES: Final = {
    event: tuple(name for name in event.__struct_fields__ if name in _NAMED or name.endswith("_id"))
    for event in aliases.EVENTS
}
_read_names: Final[dict[type[wire.Event], Callable[[wire.Event], tuple[object, ...]]]] = {
    event: attrgetter(*names) for event, names in _NAMES.items()
}


_MAY_BE_NOBODYS: Final = frozenset({"anybody", "company", "thing", "ids"})
_SOMEBODY: Final = "a customer_id, an email or an anonymous_id that names somebody"
_SOMEBODY_UNLINKED: Final = _SOMEBODY + ": with identity.link = false nobody is found by an order or ticket"
_EMAIL_KEY: Final = re.compile(r"email:[0-9a-f]{32}")
_CONTEXT_FIELDS: Final = len(facts.Context.__struct_fields__)
_CAME_BY: Final = 5
"""The first fields of a context: source, medium, campaign, term and content."""
_WRONG: Final = (InvalidError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


ADDRESSES_MAX: Final = 50_000
"""Addresses whose key is remembered: about 10 MB."""


class Decoder:
    """Turns records into facts under one company's settings: any record, in any order; it remembers nothing that matters.

    `secret` is what email addresses are hashed with. `max_bytes` and `max_depth` bound an event. `future_ms`
    is how far ahead of the broker's append time an event may be (None: any). `blocked_ids` name nobody, in any case.
    Without `link` what is said of an order or a ticket must name a person: nothing would ever say whose the thing is.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        max_bytes: int = 32768,
        max_depth: int = 20,
        future_ms: int | None = 300_000,
        blocked_ids: Iterable[str] = (),
        link: bool = True,
    ) -> None:
        self._secret = secret
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._future_ms = future_ms
        self._blocked = blocked_by(blocked_ids)
        self._may_be_nobodys = _MAY_BE_NOBODYS if link else _MAY_BE_NOBODYS - {"thing"}
        self._addresses: dict[str, str | None] = {}
        self._parse: Callable[[bytes], wire.Event] = msgspec.json.Decoder(aliases.AnyEvent).decode

    def decode(self, value: bytes | None, appended_ms: int | None, headers: Headers = ()) -> Fact | Refusal:
        """The fact in `value`, the record's `headers` being its envelope where they say so. Never raises.

        `appended_ms` None (files) leaves out the check against the future.
        """
        if value is None:
            value = b""
        if headers and (mode := envelopes.mode(headers)):
            return self._enveloped(value, appended_ms, headers, mode)
        try:
            brackets = value.count(b"{") + (value.count(b"[") if _BRACKET in value else 0)
            if len(value) > self._max_bytes or brackets > self._max_depth:
                self._check_size(value)
            ascii_only = value.isascii()
            if not ascii_only:
                value.decode()
            event = self._parse(value)
            # What is ASCII, without escapes and without DEL holds no text that could fail this check.
            if not ascii_only or _ESCAPE in value or _DELETE in value:
                _check_names(event)
            if event.test:
                return Refusal("suppressed", "test", "$.test: a test event", self._name(event.source), _type_of(event))
            return event.fact(self._common(event, appended_ms))
        except _WRONG as error:
            if isinstance(error, msgspec.ValidationError):
                return self._respelled(value, appended_ms, error)
            return refuse(value, error)

    def _respelled(self, value: bytes, appended_ms: int | None, error: msgspec.ValidationError) -> Fact | Refusal:
        """As `decode`, of what is no plain event, and may be one in another spelling."""
        try:
            if envelopes.SIGN in value and (opened := envelopes.open_structured(value, announced=False)):
                return self._opened(opened, appended_ms)
            plain = aliases.plain(value)
        except _WRONG as wrong:
            return refuse(value, wrong)
        return refuse(value, error) if plain is None else self.decode(plain, appended_ms)

    def _enveloped(self, value: bytes, appended_ms: int | None, headers: Headers, mode: str) -> Fact | Refusal:
        """As `decode`, of what its headers say is a CloudEvent."""
        head: bytes | None = None
        try:
            self._check_size(value)
            if mode == "binary":
                head = msgspec.json.encode(envelopes.read_attributes(headers))
            value.decode()
            if mode == "structured":
                opened = envelopes.open_structured(value, announced=True)
            else:
                opened = envelopes.open_binary(value, headers)
        except _WRONG as error:
            return refuse(value, error, head)
        assert opened is not None
        return self._opened(opened, appended_ms)

    def _opened(self, opened: Opened, appended_ms: int | None) -> Fact | Refusal:
        decided = self.decode(opened.value, appended_ms)
        if isinstance(decided, Refusal):
            return decided._replace(message=opened.located(decided.message))
        return decided

    def _common(self, event: wire.Event, appended_ms: int | None) -> dict[str, Any]:
        """The fields that facts of every kind have."""
        time = self._time(event, appended_ms)
        owner = event.owner
        if owner != "customer":
            if owner == "referrer":
                self._name_referrer(event)
            elif owner == "ids":
                self._name_ids(event)
        elif isinstance(event, events.ProfileUpdated):
            self._name_traits(event)
        given, anonymous, account = event.customer_id, event.anonymous_id, event.account_id
        customer = self._customer(given, "$.customer_id") if given is not None else None
        named: str | None = None
        if customer is not None and customer.startswith(EMAIL):
            named = customer
            customer = None
        if anonymous is not None:
            anonymous = self._id(anonymous, "$.anonymous_id")
        if account is not None:
            account = self._id(account, "$.account_id")
        email = event.address() if named is None else None
        if email is not None:
            known = self._addresses.get(email, "")
            email = self._address(email) if known == "" else known
        elif named is not None:
            # whom a company names by address is who it is about, whatever address stands beside it
            email = named
        if customer is None and email is None and anonymous is None and owner not in self._may_be_nobodys:
            raise InvalidError("no_identity", "$", _SOMEBODY if owner != "thing" else _SOMEBODY_UNLINKED)
        source, id = event.source, event.id
        if "@" in id or "@" in source or "%" in id or "%" in source or not id.isascii() or not source.isascii():
            source, id = self._name(source), self._name(id)
        common: dict[str, Any] = {
            "time": time,
            "source": source,
            "id": id,
            "customer_id": customer,
            "email": email,
            "anonymous_id": anonymous,
            "account_id": account,
        }
        if event.bot or event.context is not None or event.consent is not None or event.experiment is not None:
            _say_further(event, common, self._secret)
        return common

    def _address(self, given: str) -> str | None:
        """The key of an address, None where it names nobody; kept, since a hash takes 1.6 µs and a customer has few addresses."""
        if len(self._addresses) >= ADDRESSES_MAX:
            self._addresses.clear()
        key = self._addresses[given] = None if is_blocked(given, self._blocked) else email_key(given, self._secret)
        return key

    def _name(self, given: str) -> str:
        """The name of an event or a source, which changes and state tell: one with an address in it stands for its keyed hash."""
        return text_key(given, self._secret) if quotes_address(given) else given

    def _name_referrer(self, event: wire.Event) -> None:
        """The referrer is the customer, and no other address is theirs than the one that names them."""
        assert isinstance(event, events.Referral)
        referrer = self._customer(event.referrer_id, "$.referrer_id")
        if referrer is None:
            raise InvalidError("no_identity", "$.referrer_id", "an id that names somebody", "one that names nobody")
        event.customer_id = event.referrer_id
        event.referrer_id = referrer
        if referrer.startswith(EMAIL):
            event.email = None
        if event.referred_id is not None:
            event.referred_id = self._customer(event.referred_id, "$.referred_id")

    def _name_traits(self, event: events.ProfileUpdated) -> None:
        """A text with an address in it stands for its keyed hash: traits are kept and shown as they were said."""
        for name, given in event.traits.items():
            if isinstance(given, str) and len(given) <= TRAIT_TEXT_MAX and quotes_address(given):
                event.traits[name] = email_key(given, self._secret)

    def _name_ids(self, event: wire.Event) -> None:
        """What stands in `ids` and `into` become keys."""
        assert isinstance(event, events.Identity)
        event.named([self._any_id(given, place) for place, given in event.given()])

    def _any_id(self, given: str | int, place: str) -> str:
        """The key of an id of any class: `anon:` and an anonymous id, an address or its key, or a customer id."""
        key: str | None
        if isinstance(given, str):
            _check_name(given, place)
            if _EMAIL_KEY.fullmatch(given):
                return given
        if isinstance(given, str) and given.startswith(ANONYMOUS):
            anonymous = self._id(given.removeprefix(ANONYMOUS), place)
            key = None if anonymous is None else ANONYMOUS + anonymous
        elif isinstance(given, str) and names_mailbox(given):
            key = self._address(given)
        else:
            key = self._customer(given, place)
        if key is None:
            raise InvalidError("no_identity", place, "an id that names somebody", "one that names nobody")
        return key

    def _time(self, event: wire.Event, appended_ms: int | None) -> int:
        time = moments.instant("$.time", event.time)
        if event.sent_at is not None and event.received_at is not None:
            # The sender's clock is off by received − sent, which it says itself.
            received = moments.instant("$.received_at", event.received_at)
            time += received - moments.instant("$.sent_at", event.sent_at)
            moments.check_range("$.time", time)
        if appended_ms is not None and self._future_ms is not None and time > appended_ms + self._future_ms:
            ahead = f"at most {self._future_ms / 1000:g} s after the append time {moments.iso(appended_ms)}"
            raise InvalidError("future_timestamp", "$.time", ahead, moments.iso(time))
        return time

    def _customer(self, given: str | int, place: str) -> str | None:
        if isinstance(given, str) and ":" in given and given.startswith(RESERVED):
            raise InvalidError("bad_id", place, f"an id that does not begin with {', '.join(RESERVED)}", "one")
        return self._id(given, place)

    def _id(self, given: str | int, place: str) -> str | None:
        name = given if isinstance(given, str) else str(given)
        if len(name) > wire.NAME_MAX:
            what = "characters" if isinstance(given, str) else "digits"
            raise InvalidError("out_of_range", place, f"at most {wire.NAME_MAX} {what}", f"{len(name)}")
        # Some companies name customers by their address. No address is ever a key, so it stands for its keyed hash.
        address = address_of(name)
        if is_blocked(name if address is None else address, self._blocked):
            return None
        return name if address is None else email_key(address, self._secret)

    def _check_size(self, value: bytes) -> None:
        if len(value) > self._max_bytes:
            raise InvalidError("too_large", "$", f"at most {self._max_bytes} bytes", f"{len(value)}")
        if not value.startswith(b"\0") and _depth(value) > self._max_depth:
            raise InvalidError("too_deep", "$", f"at most {self._max_depth} levels of nesting")


def _say_further(event: wire.Event, common: dict[str, Any], secret: bytes) -> None:
    """Add what most events do not say; without a word a fact has its defaults.

    By what somebody came is told in changes and labels: a text with an address in it stands for its keyed hash.
    """
    context, consent, experiment = event.context, event.consent, event.experiment
    if event.bot:
        common["bot"] = True
    if context is not None:
        said = msgspec.structs.astuple(context)[:_CONTEXT_FIELDS]
        came_by = [
            email_key(text, secret) if text is not None and quotes_address(text) else text for text in said[:_CAME_BY]
        ]
        common["context"] = facts.Context(*came_by, *said[_CAME_BY:])
    if consent is not None:
        common["consent"] = facts.Consent(consent.marketing, consent.analytics)
    if experiment is not None:
        common["experiment"] = facts.Experiment(experiment.id, experiment.variant)


def _type_of(event: wire.Event) -> str:
    return str(event.__struct_config__.tag)


def _depth(value: bytes) -> int:
    """How deep brackets are nested, those inside strings left out."""
    level = deepest = 0
    for bracket in _STRING.sub(b"", value).translate(None, _NO_BRACKETS):
        level += 1 if bracket in _OPENING else -1
        deepest = max(deepest, level)
    return deepest


def _check_names(event: wire.Event) -> None:
    """Names hold no control, zero-width or unassigned characters and stand in NFC. Raises `InvalidError`."""
    kind = type(event)
    for n, given in enumerate(_read_names[kind](event)):
        if given is not None:
            _check_name(given, f"$.{_NAMES[kind][n]}")
    if event.experiment is not None:
        _check_name(event.experiment.id, "$.experiment.id")
        _check_name(event.experiment.variant, "$.experiment.variant")
    if isinstance(event, events.Order):
        for n, item in enumerate(event.items or ()):
            _check_name(item.product_id, f"$.items[{n}].product_id")


def _check_name(given: object, place: str) -> None:
    if isinstance(given, str) and not (given.isprintable() and is_normalized("NFC", given)):
        raise InvalidError("bad_id", place, "printable characters in Unicode form NFC", shown(place, given))
