"""The stages of a plan's text: name, rank, condition, kinds of change, KPIs; and whether they make one ladder."""

from __future__ import annotations

import re
from typing import NamedTuple

from lifestage.kpi_gather import NONE
from lifestage.kpi_names import BOUNDS, KPIS
from lifestage.language_conditions import Node, condition
from lifestage.language_facts import Names
from lifestage.language_policies import Block
from lifestage.language_words import Cursor, Place, PlanError, Word, duration, integer, is_duration, meant, name
from lifestage.plan import Stage

ENTER_KINDS = ("at_risk", "churn", "dormancy")
LEAVE_KINDS = ("recovery", "reactivation")
LINES = ("when", "entering", "leaving", "kpi")
STAGES_MAX = 50
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")


class Label(NamedTuple):
    """A KPI that belongs to a stage, and its target (ratio, seconds, major units …) where one is said."""

    name: str
    target: float | None = None


class Written(NamedTuple):
    """A stage, where its name, its rank and its condition stand, and its KPIs."""

    stage: Stage
    place: Place
    rank_place: Place | None
    when: Node
    kpis: tuple[Label, ...]


def stages_of(blocks: list[Block], names: Names, forward_only: bool) -> tuple[Written, ...]:
    """The stages of a text in precedence. Raises `PlanError`."""
    stages = tuple(_stage(block, names) for block in blocks if block.head[0].text == "stage")
    _check_ladder(stages, blocks, forward_only)
    return stages


class _Said:
    """What the lines of one stage have said so far."""

    def __init__(self) -> None:
        self.when: Node | None = None
        self.kinds: dict[str, str] = {}
        self.kpis: dict[str, Label] = {}


def _stage(block: Block, names: Names) -> Written:
    cursor = Cursor(block.head)
    cursor.take("")
    word = cursor.take("the name of the stage")
    id = name(word, "stage")
    if id == NONE:
        raise PlanError(word.place, "'none' is what metrics call it where a customer has no stage", "give the stage another name; who fits no stage has none without a line")  # fmt: skip
    rank, rank_place = None, None
    if cursor.peek() is not None:
        cursor.expect("rank")
        given = cursor.take("a rank")
        rank, rank_place = integer(given, "rank", 1), given.place
    cursor.end()
    said = _Said()
    for words in block.body:
        _line(words, said, names)
    when = said.when
    if when is None:
        raise PlanError(word.place, f"stage {id!r} does not say when it holds", "add a line below it: when CONDITION")
    if isinstance(when.condition, bool):
        holds = "holds for everybody" if when.condition else "can never hold"
        raise PlanError(when.place, f"this condition {holds} as the options stand", "switch one, or ask for a fact, too")  # fmt: skip
    stage = Stage(id, rank, when.condition, said.kinds.get("entering"), said.kinds.get("leaving"))
    return Written(stage, word.place, rank_place, when, tuple(said.kpis.values()))


def _line(words: list[Word], said: _Said, names: Names) -> None:
    cursor = Cursor(words)
    word = cursor.take("")
    if word.text == "when":
        if said.when is not None:
            raise PlanError(word.place, "'when' is said a second time", "join conditions with and, or")
        said.when = condition(cursor, names)
    elif word.text in {"entering", "leaving"}:
        if word.text in said.kinds:
            raise PlanError(word.place, f"{word.text!r} is said a second time", "once is enough")
        cursor.expect("is")
        kinds = ENTER_KINDS if word.text == "entering" else LEAVE_KINDS
        kind = cursor.take("the kind of the change")
        if kind.text not in kinds:
            raise PlanError(kind.place, f"unknown kind {kind.text!r}", meant(kind.text, kinds))
        said.kinds[word.text] = kind.text
    elif word.text == "kpi":
        _kpi(cursor, said)
    else:
        raise PlanError(word.place, f"unknown word {word.text!r} in a stage", meant(word.text, LINES))
    cursor.end()


def _kpi(cursor: Cursor, said: _Said) -> None:
    word = cursor.take("the name of a KPI")
    if word.text not in KPIS:
        hint = meant(word.text, KPIS)
        raise PlanError(word.place, f"unknown KPI {word.text!r}", hint if "mean" in hint else "docs/plans.md lists them")  # fmt: skip
    if word.text in said.kpis:
        raise PlanError(word.place, f"KPI {word.text!r} is said a second time", "once is enough")
    target = _target(cursor, word.text) if cursor.take_if("target") else None
    said.kpis[word.text] = Label(word.text, target)


def _target(cursor: Cursor, kpi: str) -> float:
    word = cursor.take("a number")
    unit = KPIS[kpi].unit
    if unit not in BOUNDS:
        raise PlanError(word.place, f"{kpi!r} is not one number and has no target", "leave it out")
    if unit == "seconds":
        if not is_duration(word):
            raise PlanError(word.place, f"the target of {kpi!r} is a length of time, not {word.text!r}", "write it as 4h or 30m")  # fmt: skip
        return duration(word) / 1000
    low, high = BOUNDS[unit]
    if not _NUMBER.fullmatch(word.text) or not low <= float(word.text) <= high:
        hint = f"write a number from {low:g} to {high:g}" + (", 0.25 for 25 in 100" if unit == "ratio" else "")
        raise PlanError(word.place, f"{word.text!r} is no target of {kpi!r}", hint)
    return float(word.text)


def _check_ladder(stages: tuple[Written, ...], blocks: list[Block], forward_only: bool) -> None:
    names: dict[str, Place] = {}
    ranks: dict[int, str] = {}
    targets: set[str] = set()
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
        elif forward_only:
            raise PlanError(written.place, f"stage {stage.name!r} has no rank, and this plan goes forward only", "give it a rank, or leave out: forward only")  # fmt: skip
        for label in written.kpis:
            if label.target is not None and label.name in targets:
                raise PlanError(written.place, f"a second target of {label.name!r} in this stage", "a KPI has one target in a plan")  # fmt: skip
            if label.target is not None:
                targets.add(label.name)
    if len(stages) > STAGES_MAX:
        raise PlanError(stages[STAGES_MAX].place, f"more than {STAGES_MAX} stages", "join some")
    if not ranks:
        place = stages[0].place if stages else blocks[0].head[0].place
        raise PlanError(place, "no stage has a rank", "the way up needs one at least: stage NAME rank 1")
