"""The conditions of a plan's text: `standing_orders >= 1 and (reached or acquired)`, each part with its place.

condition   term, or terms joined by `and` alone or by `or` alone; a mixture needs brackets
term        `not` term | `(` condition `)` | comparison | option
comparison  flag | flag (== !=) (true false) | fact op constant | fact `in` window op constant

An option is true or false once for all, so it is worked out while reading: what is left is the condition without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lifestage.language_facts import Names, comparison
from lifestage.language_words import Cursor, Place, PlanError
from lifestage.plan import All, Any, Condition, Not

DEPTH_MAX = 20
"""Brackets and nots inside each other. People lose the thread at three; Python's own compiler at about a hundred."""


class Node(NamedTuple):
    """A part of a condition and where its text begins; true or false where options alone decide it."""

    condition: Condition | bool
    place: Place
    parts: tuple[Node, ...] = ()

    def inside_out(self) -> Iterator[Node]:
        """The parts of the parts first, this one last."""
        for part in self.parts:
            yield from part.inside_out()
        yield self


def condition(cursor: Cursor, names: Names, depth: int = 0) -> Node:
    """The condition that begins at the cursor; ends at a closing bracket or the end. Raises `PlanError`."""
    first = _term(cursor, names, depth)
    parts, joint = [first], None
    while cursor.next_is("and", "or"):
        word = cursor.take("")
        if joint is not None and word.text != joint:
            raise PlanError(word.place, f"{word.text!r} after {joint!r} can be read in two ways", "put brackets around one of them")  # fmt: skip
        joint = word.text
        parts.append(_term(cursor, names, depth))
    shouted = cursor.peek()
    if shouted is not None and shouted.text.lower() in {"and", "or"}:
        raise PlanError(shouted.place, f"{shouted.text!r} in capitals", f"write {shouted.text.lower()}")
    if joint is None:
        return first
    return Node(_joined(parts, joint == "and"), first.place, tuple(parts))


def _joined(parts: list[Node], every: bool) -> Condition | bool:
    """Parts that options decide go: one of them decides all, or it says nothing."""
    found = [part.condition for part in parts]
    if (not every) in found:
        return not every
    left = tuple(part for part in found if not isinstance(part, bool))
    if len(left) < 2:
        return left[0] if left else every
    return All(left) if every else Any(left)


def _term(cursor: Cursor, names: Names, depth: int) -> Node:
    word = cursor.take("a condition")
    if depth > DEPTH_MAX:
        raise PlanError(word.place, f"more than {DEPTH_MAX} brackets and nots inside each other", "say it more simply")
    if word.text == "not":
        # a bracket after `not` counts with it: `not (a)` is no deeper than `not a`
        part = _term(cursor, names, depth if cursor.next_is("(") else depth + 1)
        inner = part.condition
        return Node(not inner if isinstance(inner, bool) else Not(inner), word.place, (part,))
    if word.text.lower() == "not":
        raise PlanError(word.place, f"{word.text!r} in capitals", "write not")
    if word.text == "(":
        found = condition(cursor, names, depth + 1)
        cursor.expect(")")
        return found._replace(place=word.place)
    if word.text in names.options:
        return Node(names.options[word.text], word.place)
    return Node(comparison(cursor, word, names), word.place)
