"""Events that quote a text in one of their fields: every kind, and every field of it that takes a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from lifestage import aliases, wire
from tests.core.samples import COMMON, EVENTS

WHO = frozenset(
    {"customer_id", "anonymous_id", "account_id", "email", "recipient", "referrer_id", "referred_id", "into"}
)
"""Fields that say who somebody is: what they hold is no quote."""


def texts(of: type) -> list[str]:
    """The fields of an event, or of what stands in one, that take a text."""
    found = inspect.type_info(of)
    assert isinstance(found, inspect.StructType)
    return [field.encode_name for field in found.fields if _takes_text(field.type) and field.encode_name not in WHO]


def _takes_text(of: inspect.Type) -> bool:
    if isinstance(of, inspect.UnionType):
        return any(map(_takes_text, of.types))
    return isinstance(of, inspect.StrType)


def quoting(text: str, mark: str) -> Iterator[dict[str, Any]]:
    """Each is a customer's of their own, has `mark` in its id or source, and no time."""
    number = 0
    for event in aliases.EVENTS:
        kind = str(event.__struct_config__.tag)
        for given in [{name: text} for name in texts(event)] + _inside(kind, text):
            own = _own(kind, f"{mark}-{number}") | {"source": mark}
            yield {**COMMON, **EVENTS[kind], "type": kind, **own, **given}
            number += 1


def _own(kind: str, id: str) -> dict[str, Any]:
    """An id, and who the event is about."""
    if kind == "identity.linked":
        return {"id": id, "customer_id": id, "anonymous_id": id, "ids": None}
    if kind.startswith("identity."):
        return {"id": id, "customer_id": None, "ids": [f"anon:{id}", f"anon:{id}-b"], "into": None}
    if kind.startswith("referral."):
        return {"id": id, "customer_id": id, "referrer_id": id, "referred_id": None}
    return {"id": id, "customer_id": id}


def _inside(kind: str, text: str) -> list[dict[str, Any]]:
    """What stands deeper: who came how, experiments, traits, goods."""
    found: list[dict[str, Any]] = []
    if kind in {"web.visit", "order.completed", "email.event", "lead.captured"}:
        found += [{"context": {name: text}} for name in texts(wire.Context)]
        found += [{"experiment": {"id": "e", "variant": "v"} | {name: text}} for name in texts(wire.Experiment)]
    if kind.startswith("order.") and "items" in EVENTS[kind]:
        found += [{"items": [{name: text}]} for name in ("product_id", "name", "category")]
    if kind == "profile.updated":
        found += [{"traits": {"said": text}}]
    return found
