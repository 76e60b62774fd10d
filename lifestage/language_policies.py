"""The statements of a plan's text that are no stage and no story: its title, its policies, its windows and options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from lifestage.language_facts import FACTS, Names
from lifestage.language_words import Cursor, PlanError, Word, duration, meant, money, name, quoted

ZONE_MAX_MINUTES = 14 * 60
SWITCH = {"on": True, "off": False}
Value = TypeVar("Value")


class Block(NamedTuple):
    """A statement that begins in the first column, and the lines that belong to it."""

    head: list[Word]
    body: list[list[Word]]


def names_of(blocks: list[Block], windows: Mapping[str, int], options: Mapping[str, bool], file: str) -> Names:
    """The windows and options of a text; what is given here takes the place of those of the same name, which must be there."""
    found = Names(_listed(blocks, "windows", _window), _listed(blocks, "options", _option))
    for what, given, known in (("window", windows, found.windows), ("option", options, found.options)):
        for key in given:
            if key not in known:
                raise ValueError(f"{file}: no {what} {key!r} to change; {meant(key, known) or f'the plan has no {what}s'}")  # fmt: skip
    return Names({**found.windows, **windows}, {**found.options, **options})


def _listed(blocks: list[Block], head: str, read: Callable[[Word, Cursor], Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    what = head.removesuffix("s")
    for block in blocks:
        if block.head[0].text != head:
            continue
        Cursor(block.head[1:]).end()
        if not block.body:
            example = {"windows": "at_risk 90d", "options": "engaged_visitor off"}[head]
            raise PlanError(block.head[0].place, f"no {what} is listed", f"list them below, as in: {example}")
        for words in block.body:
            cursor = Cursor(words)
            word = cursor.take("")
            if word.text.endswith(":") and len(words) == 2:
                bare = word.text.removesuffix(":")
                raise PlanError(word.place, f"a colon after {bare!r}", f"write: {bare} {words[1].text}")
            key = name(word, what)
            if key in found:
                raise PlanError(word.place, f"a second {what} {key!r}", "give it another name")
            found[key] = read(word, cursor)
            cursor.end()
    return found


def _window(_: Word, cursor: Cursor) -> int:
    return duration(cursor.take("a length of time"))


def _option(word: Word, cursor: Cursor) -> bool:
    if word.text in FACTS:
        raise PlanError(word.place, f"{word.text!r} is the name of a fact", "give the option another name")
    given = cursor.take("on or off")
    if given.text not in SWITCH:
        raise PlanError(given.place, f"{given.text!r} where 'on' or 'off' is expected", "an option is on or off")
    return SWITCH[given.text]


def policy(block: Block, said: dict[str, object]) -> None:
    """What a block sets in the plan is entered in `said`; a block of another kind sets nothing."""
    word = block.head[0]
    found = POLICIES.get(word.text)
    if found is None:
        return
    cursor = Cursor(block.head)
    cursor.take("")
    key, read_value = found
    value = read_value(cursor)
    cursor.end()
    if key in said:
        raise PlanError(word.place, f"{word.text!r} is said a second time", "once is enough")
    said[key] = value


def _title(cursor: Cursor) -> str:
    return quoted(cursor, "the title").text


def _grace(cursor: Cursor) -> int:
    return duration(cursor.take("a length of time"))


def _days(cursor: Cursor) -> int:
    cursor.expect("in")
    word = cursor.take("UTC or an offset from it")
    if word.text == "UTC":
        return 0
    found = re.fullmatch(r"UTC([+-])([0-9]{2}):([0-5][0-9])", word.text)
    minutes = int(found[2]) * 60 + int(found[3]) if found else ZONE_MAX_MINUTES + 1
    if found is None or minutes > ZONE_MAX_MINUTES:
        raise PlanError(word.place, f"{word.text!r} is no fixed offset", "write UTC, or UTC+02:00, at most 14 hours")
    return minutes * 60_000 * (1 if found[1] == "+" else -1)


def _forget(cursor: Cursor) -> int:
    cursor.expect("anonymous")
    cursor.expect("after")
    word = cursor.take("a length of time")
    length = duration(word)
    if length == 0:
        raise PlanError(word.place, "forgetting at once", "write 1d or longer, or: keep anonymous")
    return length


def _keep(cursor: Cursor) -> None:
    cursor.expect("anonymous")


def _forward(cursor: Cursor) -> bool:
    cursor.expect("only")
    return True


def _least_order(cursor: Cursor) -> tuple[int, str]:
    cursor.expect("order")
    cursor.expect("net")
    word = cursor.peek()
    amount = money(cursor)
    if amount[0] == 0 and word is not None:
        raise PlanError(word.place, "every order is worth that", "write an amount above 0, or leave the line out")
    return amount


POLICIES: dict[str, tuple[str, Callable[[Cursor], object]]] = {
    "title": ("title", _title),
    "grace": ("grace", _grace),
    "days": ("day_zone", _days),
    "forget": ("forget_anonymous", _forget),
    "keep": ("forget_anonymous", _keep),
    "forward": ("forward_only", _forward),
    "min": ("min_order_net", _least_order),
}
"""By its first word: the field of the plan that a statement sets, and how its value is read."""
