"""The stories of a plan's text: examples of what happens to a customer, line by line, and the moves that must follow.

line     when [who] happening [`->` move]
when     `day` N [12h …] | 2024-02-01 [12h …]
who      NAME`:` | `anonymous` NAME`:` | `email` NAME`:`
move     STAGE [KIND [`(skipped` STAGE …`)`]] | `nowhere` … | `-`
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from lifestage.change import KINDS
from lifestage.facts import Fact, OrderCancelled, OrderCompleted, OrderRefunded, OrderUpdated
from lifestage.keys import ANONYMOUS
from lifestage.language_happenings import MAIL, Scene, email_key, happening
from lifestage.language_policies import Block
from lifestage.language_words import (
    DURATION_MAX,
    Cursor,
    Place,
    PlanError,
    Word,
    duration,
    is_duration,
    meant,
    name,
    quoted,
    thousandths,
)
from lifestage.moments import parse

START = 1_706_745_600_000
"""Day 0 of a story: 2024-02-01T00:00:00Z, so that day 28 is a leap day."""
DAY = 86_400_000
LAST = 7_289_654_400_000
"""2201-01-01T00:00:00Z: a hundred years later, the longest window, there are still dates."""
CUSTOMER = "customer"
"""Whom a line is about that names nobody."""
NOWHERE = "nowhere"
TOLD_KINDS = tuple(kind for kind in KINDS if kind not in {"correction", "merge", "split", "plan_migration"})
"""Kinds of moves in a history that came in order."""
LINES_MAX = 1000


class Told(NamedTuple):
    """The move that a line tells. `kind` and `skipped` are None where it does not say."""

    stage: str | None
    kind: str | None = None
    skipped: tuple[str, ...] | None = None


class StoryLine(NamedTuple):
    """One line: its instant (ms), the customer's key, the fact (None: only time passes), and the move, if any."""

    place: Place
    at: int
    dated: bool
    key: str
    fact: Fact | None
    told: Told | None


class Story(NamedTuple):
    """One example, its lines in order of time."""

    name: str
    place: Place
    lines: tuple[StoryLine, ...]


def stories_of(blocks: list[Block], stages: Collection[str]) -> tuple[Story, ...]:
    """The stories of a text about a plan with these stages. Raises `PlanError`."""
    found: dict[str, Story] = {}
    for block in blocks:
        if block.head[0].text != "story":
            continue
        story = _story(block, stages)
        if story.name in found:
            line = found[story.name].place.line
            raise PlanError(story.place, f"a second story {story.name!r}", f"the first is in line {line}")
        found[story.name] = story
    return tuple(found.values())


def _story(block: Block, stages: Collection[str]) -> Story:
    cursor = Cursor(block.head)
    cursor.take("")
    title = quoted(cursor, "what the story shows")
    cursor.end()
    if not block.body:
        raise PlanError(block.head[0].place, "nothing happens in this story", "add lines below it, as in: day 0 visit -> reach entry")  # fmt: skip
    if len(block.body) > LINES_MAX:
        raise PlanError(block.body[LINES_MAX][0].place, f"more than {LINES_MAX} lines in a story", "make two of it")
    told = _Telling(stages)
    return Story(title.text, title.place, tuple(told.line(words) for words in block.body))


class _Telling:
    """What has happened so far in one story."""

    def __init__(self, stages: Collection[str]) -> None:
        self.stages = stages
        self.last: int | None = None
        self.orders: dict[str, list[str]] = {}
        self.moved: set[tuple[str, int]] = set()

    def line(self, words: list[Word]) -> StoryLine:
        """The line that these words say."""
        cursor = Cursor(words)
        place, dated = words[0].place, words[0].kind == "date"
        at = when(cursor)
        if self.last is not None and at < self.last:
            raise PlanError(place, "this is earlier than the line above", "a story is told in order of time")
        self.last = at
        key, ids = _who(cursor)
        common: dict[str, object] = {"time": at, "source": "story", "id": f"{place.line:06}", **ids}
        orders = self.orders.setdefault(key, [])
        before = list(orders)
        fact = happening(cursor, Scene(at, common, orders, when))
        if isinstance(fact, OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled):
            _check_order(fact, words, before)
        told = None
        if cursor.take_if("->") is not None:
            told = self._told(cursor)
        cursor.end()
        if told is not None and (key, at) in self.moved:
            raise PlanError(place, "a second move at one instant", "all that happens at once is judged once: tell it in one line")  # fmt: skip
        if told is not None:
            self.moved.add((key, at))
        return StoryLine(place, at, dated, key, fact, told)

    def _told(self, cursor: Cursor) -> Told | None:
        word = cursor.take("a stage, or - for no move,")
        if word.text == "-":
            return None
        stage = None if word.text == NOWHERE else self._stage(word)
        if cursor.peek() is None:
            return Told(stage)
        kind = cursor.take("")
        if kind.text not in TOLD_KINDS:
            raise PlanError(kind.place, f"unknown kind {kind.text!r}", meant(kind.text, TOLD_KINDS))
        skipped: list[str] = []
        if cursor.take_if("(") is not None:
            cursor.expect("skipped")
            while not cursor.next_is(")"):
                skipped.append(self._stage(cursor.take("a stage or ')'")))
            cursor.take("")
        return Told(stage, kind.text, tuple(skipped))

    def _stage(self, word: Word) -> str:
        if word.text not in self.stages:
            raise PlanError(word.place, f"the plan has no stage {word.text!r}", meant(word.text, self.stages))
        return word.text


def _check_order(
    fact: OrderCompleted | OrderUpdated | OrderRefunded | OrderCancelled, words: list[Word], before: list[str]
) -> None:
    """Refuse a second order of one name, and what happens to an order that is not among those told `before`."""
    id = fact.order_id
    place = next((word.place for word in words if word.text == id), words[0].place)
    if isinstance(fact, OrderCompleted):
        if id in before:
            raise PlanError(place, f"a second order {id!r} of this customer", f"give it another name, or write: order changed {id} 35.00")  # fmt: skip
    elif id not in before:
        # one without a name is called after its line, and nobody means that
        named = [known for known in before if not known.startswith("order_0")]
        hint = meant(id, named) or f"tell it in a line above, as in: order {id} 40.00"
        raise PlanError(place, f"this customer has placed no order {id!r} yet", hint)


def when(cursor: Cursor) -> int:
    """The instant (ms) that `day 3`, `day 3 12h` or `2024-02-01 12h` says. Raises `PlanError`."""
    word = cursor.take("day N, or a date such as 2024-02-01,")
    if word.kind == "date":
        try:
            at = parse(f"{word.text}T00:00:00Z")
        except ValueError:
            raise PlanError(word.place, f"there is no day {word.text}", "write year-month-day") from None
    elif word.text == "day":
        given = cursor.take("the number of the day")
        since = thousandths(given, "day") * (DAY // 1000)
        if not 0 <= since <= DURATION_MAX:
            raise PlanError(given.place, f"{given.text!r} is no day of a story", "write a number from 0 to 36525")
        at = START + since
    else:
        raise PlanError(word.place, f"{word.text!r} where a day is expected", "a line begins with its day, as in: day 3 visit")  # fmt: skip
    while (following := cursor.peek()) is not None and is_duration(following):
        at += duration(cursor.take(""))
    if not 0 <= at <= LAST:
        raise PlanError(word.place, "no story is so far away in time", "tell it between 1970 and 2200")
    return at


def _who(cursor: Cursor) -> tuple[str, dict[str, object]]:
    """The key of the customer whom a line is about, and the id that its fact carries."""
    word = cursor.take_if("anonymous", "email", "anonymous:", "email:")
    how = word.text.removesuffix(":") if word is not None else CUSTOMER
    who = CUSTOMER
    following = cursor.peek()
    if following is not None and following.text.endswith(":"):
        given = cursor.take("")
        who = name(given._replace(text=given.text.removesuffix(":")), "customer")
    elif word is not None and word.text == "email" and following is not None and following.text in MAIL:
        raise PlanError(word.place, f"'email' before {following.text!r}", f"a message is a mail: write mail {following.text}")  # fmt: skip
    elif word is not None and not word.text.endswith(":"):
        raise PlanError(word.place, f"{word.text!r} without a name", f"write it as {how} x: visit, or {how}: visit")
    if how == "anonymous":
        return ANONYMOUS + who, {"anonymous_id": who}
    if how == "email":
        return email_key(who), {"email": email_key(who)}
    return who, {"customer_id": who}
