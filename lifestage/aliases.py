"""Names in camelCase: `customerId` for `customer_id`, and so on for every field of the contract.

Nobody looks for them: the structs that are parsed (`AnyEvent`) hold a trap under each alias, which costs nothing until it
springs, and only then is the event rewritten. `specversion`, the sign of a CloudEvent, is such a trap. Values are moved
as the text they are, so decimals keep their digits. Names that a sender chooses, as those of traits, stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Any, Final, get_args

import msgspec
from msgspec import Raw

from lifestage import events, events_purchases, wire

Fields = dict[str, Raw]
"""The fields of a JSON object, each as the text it is."""

read_fields = msgspec.json.Decoder(Fields).decode
"""The fields of a JSON object. Raises `msgspec.MsgspecError`, and `RecursionError` for what is nested too deeply."""
_read_list = msgspec.json.Decoder(list[Raw]).decode


def _camel(name: str) -> str:
    first, *further = name.split("_")
    return first + "".join(part.capitalize() for part in further)


def _aliases(names: Iterable[str]) -> dict[str, str]:
    return {_camel(name): name for name in names if "_" in name}


ALIASES: Final = _aliases(name for kind in get_args(events.AnyEvent) for name in kind.__struct_fields__)
"""Each alias of a field of an event, and its name."""
_IN_CONTEXT = _aliases(wire.Context.__struct_fields__)
_IN_ITEM = _aliases(events_purchases.Item.__struct_fields__)


def _with_traps(kind: Any, fields: Iterable[Any], names: Iterable[str]) -> Any:
    traps = [(name, None, None) for name in names]
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(kind.__name__, [*fields, *traps], bases=(kind,), kw_only=True, gc=False, tag=tag)


_context = _with_traps(wire.Context, (), _IN_CONTEXT)
_items = GenericAlias(list, (_with_traps(events_purchases.Item, (), _IN_ITEM),))


def _event_with_traps(kind: Any) -> Any:
    fields = [("context", _context | None, None)]
    if issubclass(kind, events.Order):
        fields.append(("items", _items | None, None))
    return _with_traps(kind, fields, [*_aliases(kind.__struct_fields__), "specversion"])


EVENTS: Final[tuple[type[wire.Event], ...]] = tuple(_event_with_traps(kind) for kind in get_args(events.AnyEvent))
AnyEvent: Final[Any] = reduce(or_, EVENTS)
"""What to parse: an event of any type that has no field in camelCase and no envelope."""

# Capitals as A, beside quotes and colons; all else goes. A name in camelCase then ends in A":, and no value does.
_CAPITALS_AS_A = bytes(65 if 65 <= byte <= 90 else byte for byte in range(256))
_NO_SHAPE = bytes(byte for byte in range(256) if byte not in b'":' and not 65 <= byte <= 90)
_SIGN = b'A":'


def plain(value: bytes) -> bytes | None:
    """The same event in snake_case, which wins where both names are there; None if nothing is in camelCase.

    Raises as `read_fields`.
    """
    if _SIGN not in value.translate(_CAPITALS_AS_A, _NO_SHAPE):
        return None
    given = read_fields(value)
    fields = named(given)
    return msgspec.json.encode(fields) if fields != given else None


def named(given: Fields) -> Fields:
    """The fields of an event in snake_case, those of its context and items too; the very same if they were."""
    fields = _renamed(given, ALIASES)
    context, items = _text(fields, "context"), _text(fields, "items")
    if context.startswith(b"{"):
        fields["context"] = _one(context, _IN_CONTEXT)
    if items.startswith(b"["):
        found = _read_list(items)
        changed = [_one(bytes(item), _IN_ITEM) for item in found]
        if changed != found:
            fields["items"] = Raw(msgspec.json.encode(changed))
    return fields


def _one(text: bytes, aliases: Mapping[str, str]) -> Raw:
    if not text.startswith(b"{"):
        return Raw(text)
    given = read_fields(text)
    fields = _renamed(given, aliases)
    return Raw(text if fields == given else msgspec.json.encode(fields))


def _renamed(given: Fields, aliases: Mapping[str, str]) -> Fields:
    fields = {name: raw for name, raw in given.items() if name not in aliases}
    for name, raw in given.items():
        if name in aliases:
            fields.setdefault(aliases[name], raw)
    return fields


def _text(fields: Fields, name: str) -> bytes:
    return bytes(fields[name]) if name in fields else b""
