"""The JSON Schema (draft 2020-12) of a msgspec type, as far as the type says it.

Only words that mean the same in draft 7 are used (no `$defs`, `prefixItems`, `unevaluated…`), so that one schema serves
validators, registries and AsyncAPI. A type that may be several things is one flat schema with a list of `type`s:
a bound speaks of the type that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import NODEFAULT, inspect

from lifestage import money

Schema = dict[str, Any]

NUMERAL = r"^[0-9]{1,40}(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
MONEY: Schema = {
    "type": ["string", "number", "null"],
    "pattern": NUMERAL,
    "minimum": 0,
    "maximum": money.MAX_MINOR,
}
"""What `lifestage.amounts` reads, for a currency without digits after the point, which has the widest range."""


class Guide(NamedTuple):
    """What the types do not say.

    `words` says what a field means, by its place (`context.url`, `items[].qty`) or its bare name; `rules` adds to the
    schema at a place. `written`: the schema is of what we write, where a field with a default is always there.
    """

    words: Mapping[str, str]
    rules: Mapping[str, Schema]
    written: bool = False


def struct_schema(of: inspect.StructType, place: str, guide: Guide) -> Schema:
    """The object that a struct is on the wire. Fields that it does not name are allowed: they are ignored."""
    properties: Schema = {}
    if of.tag_field is not None:
        properties[of.tag_field] = {"const": of.tag}
    for field in of.fields:
        if isinstance(field.type, inspect.NoneType):  # a name that the parser keeps for itself
            continue
        at = f"{place}{field.encode_name}"
        found = value_schema(field.type, at, guide)
        said = guide.words.get(at) or guide.words.get(field.encode_name)
        properties[field.encode_name] = ({"description": said} if said else {}) | found | guide.rules.get(at, {})
    required = [
        field.encode_name for field in of.fields if field.required or (guide.written and not _is_left_out(field))
    ]
    tagged = [of.tag_field] if of.tag_field is not None else []
    return {"type": "object", "properties": properties} | ({"required": tagged + required} if tagged + required else {})


def value_schema(of: inspect.Type, place: str, guide: Guide) -> Schema:
    """The schema of any value. `TypeError` for a type that no event and no change has yet."""
    if isinstance(of, inspect.UnionType):
        return _any_of(of, place, guide)
    if isinstance(of, inspect.StructType):
        return struct_schema(of, f"{place}.", guide)
    if isinstance(of, inspect.CollectionType):
        return _array(of, f"{place}[]", guide)
    if isinstance(of, inspect.DictType):
        return _map(of, f"{place}.*", guide)
    if isinstance(of, inspect.LiteralType):
        return {"type": "string", "enum": list(of.values)}
    if isinstance(of, inspect.Metadata):
        return value_schema(of.type, place, guide) | (of.extra_json_schema or {})
    simple = _SIMPLE.get(type(of))
    if simple is None:
        raise TypeError(f"{place}: no schema is known for {of}; add it to lifestage.contract_types")
    return simple(of)


def _any_of(of: inspect.UnionType, place: str, guide: Guide) -> Schema:
    """One flat schema: types in the order of the union, null last, and the bounds of each."""
    types: list[str] = []
    found: Schema = {}
    for one in of.types:
        schema = dict(value_schema(one, place, guide))
        given = schema.pop("type", [])
        types += [name for name in ([given] if isinstance(given, str) else given) if name not in types]
        found |= schema
    if "number" in types and "integer" in types:
        types.remove("integer")
    types.sort(key=lambda name: name == "null")
    if "enum" in found and "null" in types:
        found["enum"] = [*found["enum"], None]
    return {"type": types[0] if len(types) == 1 else types} | found


def _array(of: inspect.CollectionType, place: str, guide: Guide) -> Schema:
    items = value_schema(of.item_type, place, guide) | guide.rules.get(place, {})
    return {"type": "array", "items": items} | _bounds(of, min_length="minItems", max_length="maxItems")


def _map(of: inspect.DictType, place: str, guide: Guide) -> Schema:
    values = value_schema(of.value_type, place, guide) | guide.rules.get(place, {})
    found = {"type": "object", "additionalProperties": values}
    names = value_schema(of.key_type, place, guide)
    if len(names) > 1:
        found["propertyNames"] = names
    return found | _bounds(of, min_length="minProperties", max_length="maxProperties")


def _string(of: inspect.StrType) -> Schema:
    return {"type": "string"} | _bounds(of, min_length="minLength", max_length="maxLength", pattern="pattern")


def _number(of: inspect.IntType | inspect.FloatType) -> Schema:
    kind = "integer" if isinstance(of, inspect.IntType) else "number"
    return {"type": kind} | _bounds(of, ge="minimum", gt="exclusiveMinimum", le="maximum", lt="exclusiveMaximum")


def _bounds(of: object, **keywords: str) -> Schema:
    """The bounds that a type has, under their names in JSON Schema; whole numbers without a point."""
    given = {keyword: getattr(of, name, None) for name, keyword in keywords.items()}
    return {
        keyword: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for keyword, bound in given.items()
        if bound is not None
    }


_SIMPLE: dict[type[inspect.Type], Callable[[Any], Schema]] = {
    inspect.StrType: _string,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.BoolType: lambda _: {"type": "boolean"},
    inspect.NoneType: lambda _: {"type": "null"},
    inspect.AnyType: lambda _: {},
    inspect.RawType: lambda _: dict(MONEY),
}


def _is_left_out(field: inspect.Field) -> bool:
    """Whether we may leave it out: its default is `UNSET`, which the inspection does not show."""
    return not field.required and field.default is NODEFAULT and field.default_factory is NODEFAULT
