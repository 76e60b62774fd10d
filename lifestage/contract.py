"""The contract as JSON Schemas (draft 2020-12): what the door takes of each event, and what a change says.

A function of the types in `lifestage.events` and `lifestage.change`, and of the tables in `lifestage.contract_words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

from lifestage import change, events, wire
from lifestage.contract_types import Guide, Schema, struct_schema
from lifestage.contract_words import CHANGE_FIELDS, CHANGE_RULES, CURRENCY, FIELDS, INSTANT, KINDS, UUID, WRITTEN

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

Samples = Mapping[str, Sequence[Schema]]
"""Examples by type."""

STRUCTURED: Final = f"{change.TYPE}.structured"
"""A change with its envelope in one document, as `lifestage replay` writes them."""

BEYOND: Final = {
    "blocked ids": "An id that names nobody (empty, zeros and dashes, `null`, `guest`, …, and `intake.blocked_ids`) counts as absent; "
    "with no other id the event is refused, and so is one that has it in ids or into (no_identity).",
    "reserved ids": "A customer_id does not begin with `email:`, `anon:`, `order:`, `ticket:`, `company:` or `identity:`; in ids and into "
    "`email:` stands before 32 hex digits, `anon:` before an anonymous id (bad_id).",
    "ids of a link": "identity.linked names two ids that differ in class, and not two of one class (no_identity, bad_id).",
    "ids of a merge": "identity.merged names two different ids, into is of the highest class among them (out_of_range, bad_id).",
    "ids beside ids": "A customer_id, email or anonymous_id beside the ids of identity.merged and identity.split is one of them (bad_id).",
    "scales": "A score stands on its scale, a scale's minimum is below its maximum, a period begins before it ends (out_of_range).",
    "names": "Ids and names hold printable characters in Unicode form NFC; an id among ids has at most 128 characters, an integer id 128 digits (bad_id, out_of_range).",
    "currencies": "A currency is a code of ISO 4217, not only three letters (bad_money).",
    "digits": "An amount has no more digits than its currency, surplus zeros aside, and is at most 10^15 minor units; "
    "`x` and `x_minor`, where both are given, agree (bad_money).",
    "integers": "An integer is written without a point: 1, not 1.0 (wrong_type).",
    "calendar": "A time is a day that there is, in the years 1970 to 9999, also after it was corrected by sent_at and received_at "
    "(wrong_type, out_of_range).",
    "future": "An event is at most `intake.future_tolerance_s` ahead of the broker's clock (future_timestamp).",
    "size": "An event has at most `intake.max_event_bytes` bytes and `intake.max_depth` levels (too_large, too_deep).",
}
"""What the door asks beyond the schemas, with the reasons of its refusals."""

LENIENT: Final = {
    "envelopes": "CloudEvents 1.0, structured or in Kafka's binary mode: the envelope's id, source, type and time win, the other fields stand in the data.",
    "aliases": "camelCase names (`customerId`, `unitPrice`) are read like those of the schema, which win where both are there.",
    "rounding": "A Unix time is rounded to a millisecond before it is compared with its bounds.",
    "clocks": "sent_at and received_at are read together or not at all.",
    "test events": "`test: true` sets an event aside before its fields are compared with each other.",
}
"""What the door takes although a schema, which describes the plain form, does not."""


def schemas(samples: Samples) -> dict[str, Schema]:
    """The schema of every type, events first; `samples` become its examples."""
    found = {kind: event_schema(event, samples.get(kind, ())) for kind, event in event_types().items()}
    for name, announced in ((change.TYPE, change.Change), (STRUCTURED, change.Announced)):
        found[name] = change_schema(name, announced, samples.get(name, ()))
    return found


def event_types() -> dict[str, type[msgspec.Struct]]:
    """The struct of each type of event that is read, in the order of `events.AnyEvent`."""
    return {str(event.__struct_config__.tag): event for event in get_args(events.AnyEvent)}


def event_schema(event: type[msgspec.Struct], samples: Sequence[Schema] = ()) -> Schema:
    """What the door takes as an event of one type, in its plain form."""
    described = inspect.type_info(event)
    assert isinstance(described, inspect.StructType)
    kind = str(described.tag)
    names = [field.encode_name for field in described.fields]
    words = {f"{name}_minor": f"{said} In minor units." for name, said in FIELDS.items()}
    rules = {name: INSTANT for name in names if name == "time" or name.endswith("_at") or name.startswith("period_")}
    if "currency" in names:
        rules["currency"] = CURRENCY
    found = struct_schema(described, "", Guide({**words, **FIELDS}, rules))
    person = [PERSON_OF.get(kind, PERSON)] if getattr(event, "owner", "customer") == "customer" else []
    between = [*person, *BETWEEN.get(kind, ())]
    rule = {"allOf": between} if between else {}
    return _headed(kind, KINDS.get(kind) or event.__doc__ or kind, found | rule, samples)


def change_schema(name: str, announced: type[msgspec.Struct], samples: Sequence[Schema] = ()) -> Schema:
    """What every change that is sent looks like; a later version may add fields."""
    described = inspect.type_info(announced)
    assert isinstance(described, inspect.StructType)
    if announced is change.Change:
        guide = Guide(CHANGE_FIELDS, CHANGE_RULES, written=True)
    else:
        words = {f"data.{place}": said for place, said in CHANGE_FIELDS.items()}
        rules = {f"data.{place}": rule for place, rule in CHANGE_RULES.items()} | _ENVELOPE
        guide = Guide(words | _ENVELOPE_WORDS, rules, written=True)
    return _headed(name, KINDS[change.TYPE], struct_schema(described, "", guide), samples)


def _headed(name: str, meaning: str, schema: Schema, samples: Sequence[Schema]) -> Schema:
    head = {"$schema": DRAFT, "$id": f"urn:lifestage:{name}", "title": name, "description": meaning}
    return head | schema | ({"examples": list(samples)} if samples else {})


def _given(name: str, *types: str, **more: Any) -> Schema:
    """The rule that a field is there, and not null."""
    return {"required": [name], "properties": {name: {"type": types[0] if len(types) == 1 else list(types), **more}}}


def _amount(name: str) -> Schema:
    """The rule that an amount is there, in one of its two forms."""
    said = f"{name} or {name}_minor is there"
    return {"description": said, "anyOf": [_given(name, "string", "number"), _given(f"{name}_minor", "integer")]}


def _priced(name: str) -> Schema:
    """The rule that an amount needs its currency; of `x_minor` alone where the name is that."""
    forms = [name] if name.endswith("_minor") else [name, f"{name}_minor"]
    absent = {"properties": {form: {"type": "null"} for form in forms}}
    return {"description": f"{name} needs its currency", "anyOf": [absent, _given("currency", "string")]}


_IDS = [_given("customer_id", "string", "integer"), _given("email", "string", pattern="@"),
        _given("anonymous_id", "string", "integer")]  # fmt: skip
PERSON: Final[Schema] = {"description": "customer_id, email or anonymous_id says who", "anyOf": _IDS}
_OTHERS = [channel for channel in get_args(wire.Channel) if channel != "email"]
_ON_ANOTHER = {
    "required": ["recipient", "channel"],
    "properties": {"recipient": {"type": "string"}, "channel": {"enum": _OTHERS}},
}
PERSON_OF: Final[dict[str, Schema]] = {
    "email.event": {
        "description": "An id or the recipient says who; on channel email the recipient is an address",
        "anyOf": [*_IDS, _given("recipient", "string", pattern="@"), _ON_ANOTHER],
    }
}


def _both(*names: str) -> Schema:
    """The rule that each of the ids is there."""
    rules = [rule for rule in _IDS if rule["required"][0] in names]
    return {
        "required": [*names],
        "properties": {name: rule["properties"][name] for name, rule in zip(names, rules, strict=True)},
    }


BETWEEN: Final[dict[str, Sequence[Schema]]] = {
    "cart.updated": [_priced("value")],
    "checkout.step": [_priced("value")],
    "order.completed": [_amount("total")],
    "order.updated": [_amount("total")],
    "order.refunded": [_amount("amount"), _priced("amount_minor")],
    "subscription.started": [_priced("mrr")],
    "subscription.renewed": [_priced("mrr")],
    "subscription.changed": [_priced("mrr")],
    "subscription.cancelled": [_priced("mrr")],
    "cost.recorded": [_amount("amount")],
    "identity.linked": [
        {
            "description": "ids, or two of customer_id, email and anonymous_id, say what is linked",
            "anyOf": [
                _given("ids", "array"),
                _both("customer_id", "email"),
                _both("customer_id", "anonymous_id"),
                _both("email", "anonymous_id"),
            ],
        }
    ],
    "identity.merged": [
        {
            "description": "Two ids, or one beside into",
            "anyOf": [_given("ids", "array", minItems=2), _given("into", "string", "integer")],
        }
    ],
}
"""Rules between fields, by type."""

_ENVELOPE: dict[str, Schema] = {
    "id": UUID,
    "time": WRITTEN,
    "specversion": {"const": "1.0"},
    "type": {"const": change.TYPE},
    "datacontenttype": {"const": "application/json"},
}
_ENVELOPE_WORDS = {
    "id": "UUIDv5 of plan, plan hash, customer, seq, instant, from and to: a replay gives the same one.",
    "source": "/lifecycle/ and the plan's id.",
    "time": "The effective instant.",
    "partitionkey": "The customer's key.",
    "causationid": "The event that was the cause, if one was.",
    "data": "The change.",
}
