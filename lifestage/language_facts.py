"""A comparison of a plan's text: which fact, in which time, with which value, each in the fact's own unit; and back to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NamedTuple, cast

from lifestage.language_words import (
    COUNT_MAX,
    Cursor,
    PlanError,
    Word,
    duration,
    integer,
    is_duration,
    meant,
    money,
    quoted,
    thousandths,
)
from lifestage.operands import OPERANDS, Operand
from lifestage.plan import OPS, Compare, Op, constant
from lifestage.plan import duration as length_text

TRAIT, TRAIT_NUMBER = "trait", "trait_number"
"""What one word of the language, `trait.NAME`, becomes: a comparison of texts, or of numbers."""
TRAIT_NAME = re.compile(r"[a-z0-9_]{1,40}")
"""As events may name them."""
FLAGS = {"true": 1, "false": 0}
NEAR = 0.65
"""How alike an unknown fact and a known one are, of 1, for the one to be meant by the other."""
UNIT_SAYS = {
    "flag": "true or false",
    "count": "number",
    "ms": "length of time",
    "score": "score",
    "money": "money",
    "text": "text",
    "number": "number",
}
"""A unit as people call it, in docs and messages."""


class Names(NamedTuple):
    """What the text has given a name: windows in ms, and options with whether they are on."""

    windows: Mapping[str, int]
    options: Mapping[str, bool]


def is_fact(word: Word) -> bool:
    """Whether a word names a fact that can be asked."""
    return word.text in FACTS or word.text.startswith(TRAIT + ".")


def comparison(cursor: Cursor, word: Word, names: Names) -> Compare:
    """The comparison that begins with `word`, just taken. Raises `PlanError`."""
    if word.text.startswith(TRAIT + "."):
        return _trait(cursor, word)
    if word.text not in FACTS:
        raise _unknown(word, names)
    operand = OPERANDS[word.text]
    window = _window(cursor, word, operand, names.windows)
    if operand.unit == "flag" and not _compares(cursor):
        return Compare(operand.name, "==", 1)
    op = _op(cursor)
    value, of = _VALUES[operand.unit](cursor, operand, op, names.windows)
    found = Compare(operand.name, cast("Op", op.text), value, window, of)
    late = cursor.take_if("in")
    if late is not None:
        raise _late_window(late, cursor.take("a window"), found)
    return found


def _late_window(word: Word, length: Word, said: Compare) -> PlanError:
    if OPERANDS[said.operand].window == "no":
        return PlanError(word.place, f"{said.operand!r} has no window", "it is as of now; leave out: in WINDOW")
    if said.window is not None:
        return PlanError(word.place, f"a second window of {said.operand!r}", "one is enough")
    write = f"write: {said.operand} in {length.text} {said.op} {constant(said)}"
    return PlanError(word.place, "the window stands before the comparison", write)


def _unknown(word: Word, names: Names) -> PlanError:
    if word.text == TRAIT:
        return PlanError(word.place, "which trait?", 'write its name after a point: trait.plan == "pro"')
    if word.kind != "word":
        return PlanError(word.place, f"{word.text!r} where a fact is expected", "a comparison begins with its fact")
    known = [*FACTS, *names.options]
    if get_close_matches(word.text.lower(), known, n=1, cutoff=NEAR):
        hint = meant(word.text, known)
    else:
        # it may well be an option whose line is gone
        hint = f"`lifestage check` shows those of a plan, docs/plans.md all; an option is listed under options: {word.text} off"
    return PlanError(word.place, f"unknown fact {word.text!r}", hint)


def _compares(cursor: Cursor) -> bool:
    word = cursor.peek()
    return word is not None and word.kind == "op"


def _op(cursor: Cursor) -> Word:
    op = cursor.take("a comparison such as >=")
    if op.text not in OPS:
        raise PlanError(op.place, f"{op.text!r} where a comparison is expected", "one of >= > <= < == !=")
    return op


def _window(cursor: Cursor, fact: Word, operand: Operand, windows: Mapping[str, int]) -> int | None:
    word = cursor.take_if("in")
    if word is None:
        following = cursor.peek()
        if following is not None and following.text.lower() == "in":
            raise PlanError(following.place, f"{following.text!r} in capitals", "write in")
        if operand.window == "must":
            raise PlanError(fact.place, f"{operand.name!r} needs a window", f"say in which time: {operand.name} in 30d")
        return None
    if operand.window == "no":
        raise PlanError(word.place, f"{operand.name!r} has no window", "it is as of now; leave out: in WINDOW")
    length = cursor.take("a window")
    ms = length_of(length, windows)
    if ms == 0:
        raise PlanError(length.place, "a window of no length holds nothing", "write 1d or longer")
    return ms


def length_of(word: Word, windows: Mapping[str, int]) -> int:
    """A length of time, or that of a window's name, in ms."""
    if word.kind != "word":
        return duration(word)
    if word.text not in windows:
        raise PlanError(word.place, f"unknown window {word.text!r}", meant(word.text, windows) or "list it under windows")  # fmt: skip
    return windows[word.text]


Value = tuple[int | str, str | None]
"""The constant, and the currency where it is money."""


def _flag(cursor: Cursor, operand: Operand, op: Word, _: Mapping[str, int]) -> Value:
    write = f"write {operand.name} or not {operand.name}"
    if op.text not in {"==", "!="}:
        raise PlanError(op.place, f"{operand.name!r} cannot be compared by {op.text}", write)
    word = cursor.take("true or false")
    if word.text not in FLAGS:
        raise PlanError(word.place, f"{operand.name!r} is true or false, not {word.text!r}", write)
    return FLAGS[word.text], None


def _ms(cursor: Cursor, operand: Operand, op: Word, windows: Mapping[str, int]) -> Value:
    if op.text in {"==", "!="}:
        raise PlanError(op.place, f"{operand.name!r} cannot be compared by {op.text}", "an instant has no length: write >= > <= or <")  # fmt: skip
    word = cursor.take("a length of time")
    if word.kind == "amount" and not is_duration(word):
        raise PlanError(word.place, f"{operand.name!r} is a length of time, not the number {word.text}", f"{word.text}d?" if word.text.isdigit() else "write it as 90d or 12h")  # fmt: skip
    return length_of(word, windows), None


def _count(cursor: Cursor, operand: Operand, _: Word, windows: Mapping[str, int]) -> Value:
    word = cursor.take("a whole number")
    if is_duration(word) or word.text in windows:
        raise PlanError(word.place, f"{operand.name!r} is a number, not the length of time {word.text}", "write a whole number")  # fmt: skip
    return integer(word, "whole number", 1 - COUNT_MAX), None


def _score(cursor: Cursor, operand: Operand, _: Word, windows: Mapping[str, int]) -> Value:
    word = cursor.take("a number")
    if is_duration(word) or word.text in windows:
        raise PlanError(word.place, f"{operand.name!r} is a number, not the length of time {word.text}", "write a number")  # fmt: skip
    return thousandths(word, "number"), None


def _money(cursor: Cursor, _: Operand, __: Word, ___: Mapping[str, int]) -> Value:
    return money(cursor)


_VALUES: dict[str, Callable[[Cursor, Operand, Word, Mapping[str, int]], Value]] = {
    "flag": _flag, "ms": _ms, "count": _count, "score": _score, "number": _score, "money": _money,
}  # fmt: skip

FACTS = tuple(name for name in OPERANDS if name not in {TRAIT, TRAIT_NUMBER})
"""The facts that stand in a text by their own name."""


def _trait(cursor: Cursor, word: Word) -> Compare:
    name = word.text.partition(".")[2]
    if not TRAIT_NAME.fullmatch(name):
        raise PlanError(word.place, f"{name!r} is no name of a trait", "1 to 40 of a-z, 0-9 and _")
    if cursor.next_is("in"):
        raise PlanError(cursor.take("").place, "a trait has no window", "its latest value counts; leave out: in WINDOW")
    op = _op(cursor)
    given = cursor.peek()
    if given is not None and given.kind == "amount":
        return Compare(TRAIT_NUMBER, cast("Op", op.text), thousandths(cursor.take(""), "number"), None, name)
    text = _text(cursor)
    if op.text not in {"==", "!="}:
        raise PlanError(op.place, f"texts cannot be compared by {op.text}", "write == or !=")
    return Compare(TRAIT, cast("Op", op.text), text, None, name)


def _text(cursor: Cursor) -> str:
    flag = cursor.take_if(*FLAGS)
    if flag is not None:
        return flag.text
    word = cursor.peek()
    if word is not None and word.kind == "word":
        raise PlanError(word.place, f"{word.text!r} where a value is expected", f'texts stand in quotes: "{word.text}"')
    return quoted(cursor, "the value").text


def fact_name(leaf: Compare) -> str:
    """What a comparison asks, as the language writes it."""
    return f"{TRAIT}.{leaf.of}" if leaf.operand in {TRAIT, TRAIT_NUMBER} else leaf.operand


def comparison_text(leaf: Compare) -> str:
    """A comparison in the plan language. Raises `ValueError` for what it cannot say."""
    unit = OPERANDS[leaf.operand].unit
    if unit == "flag":
        if leaf.op == "==" and leaf.value == 1:
            return leaf.operand
        if leaf.value not in {0, 1}:
            raise ValueError(f"{leaf.operand} is true or false, not {leaf.value}")
        return f"{leaf.operand} {leaf.op} {'true' if leaf.value else 'false'}"
    window = f" in {length_text(leaf.window)}" if leaf.window is not None else ""
    if isinstance(leaf.value, str) and ('"' in leaf.value or "\n" in leaf.value or not leaf.value.strip()):
        raise ValueError(f"{leaf.value!r} cannot stand between quotes")
    return f"{fact_name(leaf)}{window} {leaf.op} {constant(leaf)}"
