"""The plan language: a text that a marketer reads and changes becomes a `Plan`, and back.

`parse` refuses what is wrong with file, line, column and what was probably meant. docs/plans.md is the page for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lifestage import language_checks
from lifestage.language_policies import POLICIES, Block, names_of, policy
from lifestage.language_stages import ENTER_KINDS, LEAVE_KINDS, Written, stages_of
from lifestage.language_stories import Story, stories_of
from lifestage.language_words import Cursor, Line, Place, PlanError, integer, lines_of, meant, name
from lifestage.language_write import unparse
from lifestage.plan import Plan

__all__ = ["ENTER_KINDS", "LEAVE_KINDS", "STATEMENTS", "PlanError", "Sheet", "checked", "parse", "read", "unparse"]

STEP, STEPS = 4, (0, 4, 8)
"""Spaces: statements, what belongs to a block, the rest of a long line."""
WITH_LINES = ("windows", "options", "stage", "story")
STATEMENTS = ("plan", *POLICIES, *WITH_LINES)
"""The words that begin a statement."""
_DEFAULTS = Plan("", 1, ())


class Sheet(NamedTuple):
    """All that a text says: the plan and, beside it, what changes nothing of its hash: title, names, KPIs, stories."""

    plan: Plan
    title: str
    windows: dict[str, int]
    """Lengths of time by name, ms."""
    options: dict[str, bool]
    stages: tuple[Written, ...]
    """The stages with their places in the text and their KPIs."""
    stories: tuple[Story, ...]


def parse(text: str, file: str = "plan") -> Plan:
    """The plan of a text. Raises `PlanError`, and nothing else, for a text that is wrong or contradicts itself."""
    return checked(text, file).plan


def checked(
    text: str, file: str = "plan", windows: Mapping[str, int] | None = None, options: Mapping[str, bool] | None = None
) -> Sheet:
    """All that a text says, with the same promise as `parse`; `windows` and `options` as for `read`."""
    sheet = read(text, file, windows, options)
    language_checks.check([(written.place, written.when) for written in sheet.stages])
    return sheet


def read(
    text: str, file: str = "plan", windows: Mapping[str, int] | None = None, options: Mapping[str, bool] | None = None
) -> Sheet:
    """All that a text says, without the search for contradictions. Raises `PlanError`.

    `windows` (ms by name) and `options` take the place of those of the same name; another name is a `ValueError`.
    """
    blocks = _blocks(lines_of(text, file), Place(file, 1, 1))
    id, version = _header(blocks[0])
    names = names_of(blocks, windows or {}, options or {}, file)
    said: dict[str, object] = {}
    for block in blocks:
        policy(block, said)
    stages = stages_of(blocks, names, bool(said.get("forward_only")))
    stories = stories_of(blocks, {written.stage.name for written in stages})
    title = str(said.pop("title", ""))
    # what is said as it is by default is not said: the same plan has the same bytes, and so the same hash
    fields = {field: value for field, value in said.items() if value != getattr(_DEFAULTS, field)}
    plan = Plan(id, version, tuple(w.stage for w in stages), **fields)  # type: ignore[arg-type]
    return Sheet(plan, title, dict(names.windows), dict(names.options), stages, stories)


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
        elif not found or found[-1].head[0].text not in WITH_LINES:
            raise PlanError(place, f"{words[0].text!r} belongs to nothing", "only windows, options, stage and story have lines below them")  # fmt: skip
        elif indent == STEP:
            found[-1].body.append(words)
        elif not found[-1].body:
            raise PlanError(place, f"8 spaces before {words[0].text!r}", "only the rest of a long line stands so far right")  # fmt: skip
        else:
            found[-1].body[-1].extend(words)
    _check_order(found)
    return found


def _check_order(blocks: list[Block]) -> None:
    story = None
    for block in blocks:
        first = block.head[0]
        if first.text not in STATEMENTS:
            raise PlanError(first.place, f"unknown word {first.text!r}", meant(first.text, STATEMENTS))
        if first.text == "story":
            story = first.place.line
        elif story is not None:
            raise PlanError(first.place, f"{first.text!r} after the story in line {story}", "stories stand at the end")
    if blocks[0].head[0].text != "plan":
        raise PlanError(blocks[0].head[0].place, "the plan has no name yet", "begin with: plan NAME version 1")
    for block in blocks[1:]:
        if block.head[0].text == "plan":
            raise PlanError(block.head[0].place, "a second plan", "one plan a file")


def _header(block: Block) -> tuple[str, int]:
    cursor = Cursor(block.head)
    cursor.expect("plan")
    id = name(cursor.take("the name of the plan"), "plan")
    cursor.expect("version")
    version = integer(cursor.take("a version"), "version", 1)
    cursor.end()
    return id, version
