"""What changed between two versions of a schema, and whether it breaks anybody.

Of what we read (events) a sender breaks when something valid is valid no longer; of what we write (changes) a reader
breaks when something may come that could not come before. A field that is gone breaks both; a new one breaks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from lifestage.contract_types import Schema


class Flow(Enum):
    """Who writes what a schema describes."""

    IN = "events, which senders write"
    OUT = "changes, which we write"


class Effect(Enum):
    """What a change does to the set of documents that are valid."""

    NARROWER = "some are refused that were valid"
    WIDER = "some are valid that were refused"
    OTHER = "both"
    ADDED = "a field has got a meaning"
    REMOVED = "a field has lost its meaning"


class Difference(NamedTuple):
    """One change: where (`order.completed $.items[].qty`), what, and whether it breaks somebody."""

    place: str
    what: str
    breaking: bool

    def __str__(self) -> str:
        return f"{'BREAKING' if self.breaking else 'additive'}  {self.place}: {self.what}"


Found = Iterator[tuple[str, str, Effect]]

_BREAKS = {
    Flow.IN: {Effect.NARROWER, Effect.OTHER, Effect.REMOVED},
    Flow.OUT: {Effect.WIDER, Effect.OTHER, Effect.REMOVED},
}
_ALL_TYPES = frozenset({"string", "number", "integer", "boolean", "null", "array", "object"})
_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_OPAQUE = ("pattern", "format", "contentEncoding")
_SILENT = {"$schema", "$id", "title", "description", "examples", "deprecated"}
_KNOWN = {
    *_AT_LEAST, *_AT_MOST, *_OPAQUE, *_SILENT,
    "type", "enum", "const", "properties", "required", "items", "additionalProperties", "propertyNames", "allOf", "anyOf",
}  # fmt: skip


def differences(old: Mapping[str, Schema], new: Mapping[str, Schema], flow: Flow) -> list[Difference]:
    """All changes from `old` to `new`, schemas by type, in the order of the types."""
    found: list[Difference] = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            found.append(Difference(name, "is gone", breaking=True))
        elif name not in old:
            found.append(Difference(name, "is new", breaking=False))
        else:
            changed = compared(old[name], new[name], "$")
            found += [Difference(f"{name} {at}", what, effect in _BREAKS[flow]) for at, what, effect in changed]
    return found


def compared(old: Schema, new: Schema, at: str, *, rule: bool = False) -> Found:
    """The changes from one schema to another at a place. In a `rule` (a part of anyOf) a property is a condition.

    A word of JSON Schema that is not known here counts as a change that breaks.
    """
    yield from _choices(old, new, at)
    yield from _limits(old, new, at)
    yield from _presence(old, new, at)
    yield from _properties(old, new, at, rule=rule)
    for word, step in (("items", "[]"), ("additionalProperties", ".*"), ("propertyNames", " names")):
        if old.get(word) != new.get(word):
            yield from compared(_schema(old.get(word)), _schema(new.get(word)), at + step)
    yield from _rules(old, new, at)
    for word in sorted({*old, *new} - _KNOWN):
        if old.get(word) != new.get(word):
            yield at, f"{word} was {_said(old, word)}, is {_said(new, word)}", Effect.OTHER


def _choices(old: Schema, new: Schema, at: str) -> Found:
    """Types, and words of an enum (a const is an enum of one)."""
    before, after = _types(old), _types(new)
    yield from _gone_and_new(before - after, after - before, at, "type ")
    words, now = _words(old), _words(new)
    if words is not None and now is not None:
        yield from _gone_and_new(set(words) - set(now), set(now) - set(words), at, "")
    elif words is not None:
        yield at, f"is no longer one of {', '.join(words)}", Effect.WIDER
    elif now is not None:
        yield at, f"is now one of {', '.join(now)}", Effect.NARROWER


def _gone_and_new(gone: set[str], new: set[str], at: str, what: str) -> Found:
    if gone:
        yield at, f"{what}{', '.join(sorted(gone))} is no longer possible", Effect.NARROWER
    if new:
        yield at, f"{what}{', '.join(sorted(new))} is now possible", Effect.WIDER


def _types(schema: Schema) -> set[str]:
    given = schema.get("type", sorted(_ALL_TYPES))
    types = {given} if isinstance(given, str) else set(given)
    return types | {"integer"} if "number" in types else types


def _words(schema: Schema) -> list[str] | None:
    if "const" in schema:
        return [repr(schema["const"])]
    return [repr(word) for word in schema["enum"]] if "enum" in schema else None


def _limits(old: Schema, new: Schema, at: str) -> Found:
    for word in (*_AT_LEAST, *_AT_MOST, *_OPAQUE):
        before, after = old.get(word), new.get(word)
        if before != after:
            yield at, f"{word} was {_said(old, word)}, is {_said(new, word)}", _effect(word, before, after)


def _effect(word: str, before: Any, after: Any) -> Effect:
    if before is None or after is None:
        return Effect.NARROWER if before is None else Effect.WIDER
    if word in _OPAQUE:
        return Effect.OTHER
    return Effect.NARROWER if (after > before) == (word in _AT_LEAST) else Effect.WIDER


def _said(schema: Schema, word: str) -> str:
    return str(schema[word]) if word in schema else "not there"


def _presence(old: Schema, new: Schema, at: str) -> Found:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield f"{at}.{name}", "is now required", Effect.NARROWER
    for name in sorted(before - after):
        yield f"{at}.{name}", "is no longer required", Effect.WIDER


def _properties(old: Schema, new: Schema, at: str, *, rule: bool) -> Found:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name in after:
            yield from compared(before[name], after[name], f"{at}.{name}", rule=rule)
        else:
            yield f"{at}.{name}", "is gone", Effect.WIDER if rule else Effect.REMOVED
    for name in after:
        if name not in before:
            yield f"{at}.{name}", "is new", Effect.NARROWER if rule else Effect.ADDED


def _schema(given: Any) -> Schema:
    """A schema as an object: `false` allows nothing, `true` and absence anything."""
    return {"enum": []} if given is False else given if isinstance(given, dict) else {}


def _rules(old: Schema, new: Schema, at: str) -> Found:
    """The rules between fields: one that no old rule implies is new, one that no new rule implies is gone."""
    before, after = _groups(old), _groups(new)
    for group in after:
        if not any(_implies(other, group) for other in before):
            yield at, f"is now held to a rule: {_rule(group)}", Effect.NARROWER
    for group in before:
        if not any(_implies(other, group) for other in after):
            yield at, f"is no longer held to a rule: {_rule(group)}", Effect.WIDER


def _groups(schema: Schema) -> list[list[Schema]]:
    """The rules of a schema, each as its alternatives."""
    members = [*schema.get("allOf", ()), *([{"anyOf": schema["anyOf"]}] if "anyOf" in schema else [])]
    return [member.get("anyOf", [member]) for member in members]


def _implies(stronger: list[Schema], weaker: list[Schema]) -> bool:
    """Whether each alternative of the one is a case of some alternative of the other."""
    return all(any(_within(one, other) for other in weaker) for one in stronger)


def _within(one: Schema, other: Schema) -> bool:
    return all(effect == Effect.WIDER for _, _, effect in compared(one, other, "", rule=True))


def _rule(group: list[Schema]) -> str:
    return " or ".join(
        " and ".join(dict.fromkeys([*one.get("required", ()), *one.get("properties", {})])) or "anything"
        for one in group
    )
