"""The conditions of a plan's text: `standing_orders >= 1 and (reached or acquired)`, each part with its place.

condition   term, or terms joined by `and` alone or by `or` alone; a mixture needs brackets
term        `not` term | `(` condition `)` | comparison
comparison  flag | flag (== !=) (true false) | fact op constant | fact `in` window op constant
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from lifestage.language_words import Cursor, Place, PlanError, Word, duration, integer, is_duration, meant
from lifestage.look import OPERANDS, Operand
from lifestage.plan import OPS, All, Any, Compare, Condition, Not, Op

DEPTH_MAX = 20
"""Brackets and nots inside each other. People lose the thread at three; Python's own compiler at about a hundred."""
FLAGS = {"true": 1, "false": 0}


class Node(NamedTuple):
    """A part of a condition and where its text begins."""

    condition: Condition
    place: Place
    parts: tuple[Node, ...] = ()

    def inside_out(self) -> Iterator[Node]:
        """The parts of the parts first, this one last."""
        for part in self.parts:
            yield from part.inside_out()
        yield self


def condition(cursor: Cursor, windows: Mapping[str, int], depth: int = 0) -> Node:
    """The condition that begins at the cursor; ends at a closing bracket or the end. Raises `PlanError`."""
    first = _term(cursor, windows, depth)
    parts, joint = [first], None
    while cursor.next_is("and", "or"):
        word = cursor.take("")
        if joint is not None and word.text != joint:
            raise PlanError(word.place, f"{word.text!r} after {joint!r} can be read in two ways", "put brackets around one of them")  # fmt: skip
        joint = word.text
        parts.append(_term(cursor, windows, depth))
    if joint is None:
        return first
    kind = All if joint == "and" else Any
    return Node(kind(tuple(part.condition for part in parts)), first.place, tuple(parts))


def _term(cursor: Cursor, windows: Mapping[str, int], depth: int) -> Node:
    word = cursor.take("a condition")
    if depth > DEPTH_MAX:
        raise PlanError(word.place, f"more than {DEPTH_MAX} brackets and nots inside each other", "say it more simply")
    if word.text == "not":
        # a bracket after `not` counts with it: `not (a)` is no deeper than `not a`
        part = _term(cursor, windows, depth if cursor.next_is("(") else depth + 1)
        return Node(Not(part.condition), word.place, (part,))
    if word.text == "(":
        inner = condition(cursor, windows, depth + 1)
        cursor.expect(")")
        return inner._replace(place=word.place)
    return _comparison(cursor, word, windows)


def _comparison(cursor: Cursor, word: Word, windows: Mapping[str, int]) -> Node:
    operand = OPERANDS.get(word.text)
    if operand is None:
        if word.kind != "word":
            raise PlanError(word.place, f"{word.text!r} where a fact is expected", "a comparison begins with its fact")
        raise PlanError(word.place, f"unknown fact {word.text!r}", meant(word.text, OPERANDS))
    window = _window(cursor, operand, windows)
    if operand.unit == "flag" and not _compares(cursor):
        return Node(Compare(operand.name, "==", 1), word.place)
    op = cursor.take("a comparison such as >=")
    if op.text not in OPS:
        raise PlanError(op.place, f"{op.text!r} where a comparison is expected", "one of >= > <= < == !=")
    value = _value(cursor, operand, op, windows)
    return Node(Compare(operand.name, cast("Op", op.text), value, window), word.place)


def _compares(cursor: Cursor) -> bool:
    word = cursor.peek()
    return word is not None and word.kind == "op"


def _window(cursor: Cursor, operand: Operand, windows: Mapping[str, int]) -> int | None:
    if not cursor.next_is("in"):
        return None
    word = cursor.take("")
    if not operand.windowed:
        able = ", ".join(name for name, known in OPERANDS.items() if known.windowed)
        raise PlanError(word.place, f"{operand.name!r} has no window", f"facts with one: {able}")
    length = cursor.take("a window")
    ms = _length(length, windows)
    if ms == 0:
        raise PlanError(length.place, "a window of no length holds nothing", "write 1d or longer")
    return ms


def _value(cursor: Cursor, operand: Operand, op: Word, windows: Mapping[str, int]) -> int:
    if operand.unit in {"flag", "ms"} and (op.text in {"==", "!="}) != (operand.unit == "flag"):
        hint = (
            f"write {operand.name} or not {operand.name}"
            if operand.unit == "flag"
            else "an instant has no length: write >= > <= or <"
        )
        raise PlanError(op.place, f"{operand.name!r} cannot be compared by {op.text}", hint)
    word = cursor.take({"flag": "true or false", "ms": "a length of time", "count": "a whole number"}[operand.unit])
    if operand.unit == "flag":
        if word.text not in FLAGS:
            raise PlanError(word.place, f"{operand.name!r} is true or false, not {word.text!r}", f"write {operand.name} or not {operand.name}")  # fmt: skip
        return FLAGS[word.text]
    if operand.unit == "ms":
        if word.kind == "amount" and not is_duration(word):
            raise PlanError(word.place, f"{operand.name!r} is a length of time, not the number {word.text}", f"{word.text}d?")  # fmt: skip
        return _length(word, windows)
    if is_duration(word) or word.text in windows:
        raise PlanError(word.place, f"{operand.name!r} is a number, not the length of time {word.text}", "write a whole number")  # fmt: skip
    return integer(word, "whole number", -999_999_999)


def _length(word: Word, windows: Mapping[str, int]) -> int:
    if word.kind != "word":
        return duration(word)
    if word.text not in windows:
        raise PlanError(word.place, f"unknown window {word.text!r}", meant(word.text, windows) or "list it under windows")  # fmt: skip
    return windows[word.text]
