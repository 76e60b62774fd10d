"""The plan language: a text that a marketer reads and changes becomes a `Plan`, and back.

`parse` refuses what is wrong with file, line, column and what was probably meant. docs/plans.md is the page for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lifestage import language_checks
from lifestage.language_conditions import Node, condition
from lifestage.language_words import Cursor, Line, Place, PlanError, Word, duration, integer, lines_of, meant, name
from lifestage.language_write import unparse
from lifestage.plan import Plan, Stage

__all__ = ["PlanError", "Sheet", "checked", "parse", "read", "unparse"]

ENTER_KINDS = ("at_risk", "churn", "dormancy")
LEAVE_KINDS = ("recovery", "reactivation")
STEP, STEPS = 4, (0, 4, 8)
"""Spaces: statements, what belongs to a block, the rest of a long line."""
STAGES_MAX = 50
ZONE_MAX_MINUTES = 14 * 60


class Block(NamedTuple):
    """A statement that begins in the first column, and the lines that belong to it."""

    head: list[Word]
    body: list[list[Word]]


class Written(NamedTuple):
    """A stage and where its name, its rank and its condition stand."""

    stage: Stage
    place: Place
    rank_place: Place | None
    when: Node


class Sheet(NamedTuple):
    """All that a text says: the plan, its title, its windows by name (ms), and the places of its stages."""

    plan: Plan
    title: str
    windows: dict[str, int]
    stages: tuple[Written, ...]


def parse(text: str, file: str = "plan") -> Plan:
    """The plan of a text. Raises `PlanError`, and nothing else, for a text that is wrong or contradicts itself."""
    return checked(text, file).plan


def checked(text: str, file: str = "plan", windows: Mapping[str, int] | None = None) -> Sheet:
    """All that a text says, with the same promise as `parse`; `windows` as for `read`."""
    sheet = read(text, file, windows)
    language_checks.check([(written.place, written.when) for written in sheet.stages])
    return sheet


def read(text: str, file: str = "plan", windows: Mapping[str, int] | None = None) -> Sheet:
    """All that a text says, without the search for contradictions. Raises `PlanError`.

    `windows` (ms by name) take the place of those of the same name; another name is a `ValueError`.
    """
    blocks = _blocks(lines_of(text, file), Place(file, 1, 1))
    id, version = _header(blocks[0])
    named = _windows(blocks)
    for given in windows or {}:
        if given not in named:
            raise ValueError(f"{file}: no window {given!r} to change; {meant(given, named)}")
    named.update(windows or {})
    options: dict[str, object] = {}
    for block in blocks:
        _option(block, options)
    stages = tuple(_stage(block, named) for block in blocks if block.head[0].text == "stage")
    _check_ladder(stages, blocks)
    title = str(options.pop("title", ""))
    return Sheet(Plan(id, version, tuple(w.stage for w in stages), **options), title, named, stages)  # type: ignore[arg-type]


def _blocks(lines: list[Line], start: Place) -> list[Block]:
    if not lines:
        raise PlanError(start, "the plan is empty", "begin with: plan NAME version 1")
    found: list[Block] = []
    for indent, words in lines:
        place = words[0].place
        if indent not in STEPS:
            raise PlanError(place, f"{indent} spaces before {words[0].text!r}", "0, 4 or 8: four for each step")
        if indent == 0:
            found.append(Block(words, []))
        elif not found or found[-1].head[0].text not in {"windows", "stage"}:
            raise PlanError(place, f"{words[0].text!r} belongs to nothing", "only windows and stage have lines below them")  # fmt: skip
        elif indent == STEP:
            found[-1].body.append(words)
        elif not found[-1].body:
            raise PlanError(place, f"8 spaces before {words[0].text!r}", "only the rest of a long line stands so far right")  # fmt: skip
        else:
            found[-1].body[-1].extend(words)
    for block in found:
        first = block.head[0]
        if first.text not in STATEMENTS:
            raise PlanError(first.place, f"unknown word {first.text!r}", meant(first.text, STATEMENTS))
    if found[0].head[0].text != "plan":
        raise PlanError(found[0].head[0].place, "the plan has no name yet", "begin with: plan NAME version 1")
    for block in found[1:]:
        if block.head[0].text == "plan":
            raise PlanError(block.head[0].place, "a second plan", "one plan a file")
    return found


def _header(block: Block) -> tuple[str, int]:
    cursor = Cursor(block.head)
    cursor.expect("plan")
    id = name(cursor.take("the name of the plan"), "plan")
    cursor.expect("version")
    version = integer(cursor.take("a version"), "version", 1)
    cursor.end()
    return id, version


def _windows(blocks: list[Block]) -> dict[str, int]:
    found: dict[str, int] = {}
    for block in blocks:
        if block.head[0].text != "windows":
            continue
        Cursor(block.head[1:]).end()
        if not block.body:
            raise PlanError(block.head[0].place, "no window is listed", "list them below, as in: at_risk 90d")
        for words in block.body:
            cursor = Cursor(words)
            word = cursor.take("")
            key = name(word, "window")
            if key in found:
                raise PlanError(word.place, f"a second window {key!r}", "give it another name")
            found[key] = duration(cursor.take("a length of time"))
            cursor.end()
    return found


def _option(block: Block, options: dict[str, object]) -> None:
    word = block.head[0]
    found = STATEMENTS[word.text]
    if found is None:
        return
    cursor = Cursor(block.head)
    cursor.take("")
    key, read_value = found
    value = read_value(cursor)
    cursor.end()
    if key in options:
        raise PlanError(word.place, f"{word.text!r} is said a second time", "once is enough")
    options[key] = value


def _title(cursor: Cursor) -> str:
    word = cursor.take('a text in "')
    if word.kind != "text":
        raise PlanError(word.place, f"{word.text!r} where a text is expected", 'put the title between " and "')
    return word.text[1:-1]


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


STATEMENTS: dict[str, tuple[str, Callable[[Cursor], object]] | None] = {
    "plan": None,
    "title": ("title", _title),
    "grace": ("grace", _grace),
    "days": ("day_zone", _days),
    "forget": ("forget_anonymous", _forget),
    "keep": ("forget_anonymous", _keep),
    "windows": None,
    "stage": None,
}
"""The words that begin a statement; with those that set a field of the plan, the field and how its value is read."""


def _stage(block: Block, windows: Mapping[str, int]) -> Written:
    cursor = Cursor(block.head)
    cursor.take("")
    word = cursor.take("the name of the stage")
    id = name(word, "stage")
    rank, rank_place = None, None
    if cursor.peek() is not None:
        cursor.expect("rank")
        given = cursor.take("a rank")
        rank, rank_place = integer(given, "rank", 1), given.place
    cursor.end()
    said: dict[str, Node | str] = {}
    for words in block.body:
        _said(words, said, windows)
    when = said.get("when")
    if not isinstance(when, Node):
        raise PlanError(word.place, f"stage {id!r} does not say when it holds", "add a line below it: when CONDITION")
    entering, leaving = said.get("entering"), said.get("leaving")
    stage = Stage(id, rank, when.condition, str(entering) if entering else None, str(leaving) if leaving else None)
    return Written(stage, word.place, rank_place, when)


def _said(words: list[Word], said: dict[str, Node | str], windows: Mapping[str, int]) -> None:
    cursor = Cursor(words)
    word = cursor.take("")
    if word.text in said:
        raise PlanError(word.place, f"{word.text!r} is said a second time", "join conditions with and, or")
    if word.text == "when":
        said["when"] = condition(cursor, windows)
    elif word.text in {"entering", "leaving"}:
        cursor.expect("is")
        kinds = ENTER_KINDS if word.text == "entering" else LEAVE_KINDS
        kind = cursor.take("the kind of the change")
        if kind.text not in kinds:
            raise PlanError(kind.place, f"unknown kind {kind.text!r}", meant(kind.text, kinds))
        said[word.text] = kind.text
    else:
        known = ("when", "entering", "leaving")
        raise PlanError(word.place, f"unknown word {word.text!r} in a stage", meant(word.text, known))
    cursor.end()


def _check_ladder(stages: tuple[Written, ...], blocks: list[Block]) -> None:
    names: dict[str, Place] = {}
    ranks: dict[int, str] = {}
    for written in stages:
        stage = written.stage
        if stage.name in names:
            line = names[stage.name].line
            raise PlanError(written.place, f"a second stage {stage.name!r}", f"the first is in line {line}")
        names[stage.name] = written.place
        if stage.rank is not None and written.rank_place is not None:
            if stage.rank in ranks:
                raise PlanError(written.rank_place, f"rank {stage.rank} is that of {ranks[stage.rank]!r}", "each stage has its own")  # fmt: skip
            ranks[stage.rank] = stage.name
    if len(stages) > STAGES_MAX:
        raise PlanError(stages[STAGES_MAX].place, f"more than {STAGES_MAX} stages", "join some")
    if not ranks:
        place = stages[0].place if stages else blocks[0].head[0].place
        raise PlanError(place, "no stage has a rank", "the way up needs one at least: stage NAME rank 1")
