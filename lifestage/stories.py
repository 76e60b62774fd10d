"""Whether the stories of a plan are true: their facts are replayed, and what is announced is held against what they tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.facts import Fact
from lifestage.keys import ANONYMOUS
from lifestage.language_stories import CUSTOMER, DAY, NOWHERE, START, Story, StoryLine, Told
from lifestage.language_words import Place
from lifestage.moments import iso, parse
from lifestage.plan import duration
from lifestage.replay import replay


class Move(NamedTuple):
    """One move of a customer, as it was announced; `at` in ms."""

    key: str
    at: int
    stage: str | None
    kind: str
    skipped: tuple[str, ...] = ()


class Failure(NamedTuple):
    """Where a story is not true, and how."""

    place: Place
    problem: str

    def __str__(self) -> str:
        return f"{self.place.file}:{self.place.line}: {self.problem}"


def facts_of(story: Story) -> list[Fact]:
    """All that happens in a story."""
    return [line.fact for line in story.lines if line.fact is not None]


def end_of(story: Story) -> int:
    """When a story is over, ms, exclusive: after the instant of its last line."""
    return story.lines[-1].at + 1


def run(story: Story, rules: Rules) -> list[Failure]:
    """Replay a story and say where it is not true; nothing where it is."""
    return differences(story, moves_of(replay(facts_of(story), rules, end_of(story)).changes))


def moves_of(changes: Iterable[Announced]) -> list[Move]:
    """Announced changes as moves."""
    return [
        Move(change.partitionkey, parse(change.data.entered_at), change.data.stage, change.data.kind, change.data.skipped)
        for change in changes
    ]  # fmt: skip


def differences(story: Story, moves: Iterable[Move]) -> list[Failure]:
    """Where moves are not those that the story tells, in the order of its lines. All must be told, and no others."""
    came = {(move.key, move.at): move for move in moves}
    told = {(line.key, line.at): line for line in story.lines if line.told is not None}
    untold = {at: move for at, move in came.items() if at not in told}
    found: list[Failure] = []
    for at, line in told.items():
        move = came.get(at)
        if move is None:
            other = _elsewhere(line, untold.values())
            hint = ""
            if other is not None:
                # told of in this failure, so not once more for itself
                del untold[other.key, other.at]
                hint = f"; it comes at {_clock(other.at, line.dated)}"
            found.append(_failure(line, line, line.told, None, hint))
        elif not _is_told(move, line.told):
            found.append(_failure(line, line, line.told, move))
    for move in untold.values():
        line = _nearest(story, move)
        where = line._replace(key=move.key, at=move.at)
        found.append(_failure(line, where, None, move, "" if where == line else f"; add: {_line(where, move)}"))
    return sorted(found, key=lambda failure: failure.place.line)


def _failure(line: StoryLine, where: StoryLine, told: Told | None, move: Move | None, hint: str = "") -> Failure:
    who = _who(where.key).removesuffix(": ")
    when = f"{_clock(where.at, where.dated)} {who}".rstrip()
    return Failure(line.place, f"{when}: expected {_expected(told)}, got {_said(move)}{hint}")


def _is_told(move: Move, told: Told | None) -> bool:
    if told is None or move.stage != told.stage:
        return False
    return told.kind is None or (told.kind, told.skipped) == (move.kind, move.skipped)


def _expected(told: Told | None) -> str:
    if told is None:
        return "nothing"
    stage = told.stage or NOWHERE
    return stage if told.kind is None else f"{stage} {told.kind}{_skipped(told.skipped or ())}"


def _said(move: Move | None) -> str:
    return "nothing" if move is None else f"{move.stage or NOWHERE} {move.kind}{_skipped(move.skipped)}"


def _skipped(stages: tuple[str, ...]) -> str:
    return f" (skipped {' '.join(stages)})" if stages else ""


def _elsewhere(line: StoryLine, untold: Iterable[Move]) -> Move | None:
    """The move that a line tells, where it comes at another instant, and no line tells of it there."""
    for move in untold:
        if move.key == line.key and line.told is not None and move.stage == line.told.stage:
            return move
    return None


def _nearest(story: Story, move: Move) -> StoryLine:
    """The last line that is not after the move; of those at one instant one about the customer."""
    before = [line for line in story.lines if line.at <= move.at] or [story.lines[0]]
    return max(before, key=lambda line: (line.at, line.key == move.key))


def _line(where: StoryLine, move: Move) -> str:
    return f"{_clock(where.at, where.dated)} {_who(where.key)}nothing -> {_said(move)}"


def _who(key: str) -> str:
    """How a story names a customer: nothing for the only one."""
    if key == CUSTOMER:
        return ""
    if key.startswith(ANONYMOUS):
        return f"anonymous {key.removeprefix(ANONYMOUS)}: "
    if key.startswith("email:"):
        who = bytes.fromhex(key.removeprefix("email:")).lstrip(b"\0").decode(errors="replace")
        return f"email {who}: "
    return f"{key}: "


def _clock(at: int, dated: bool) -> str:
    """An instant as a story writes it."""
    days, rest = divmod(at, DAY) if dated else divmod(at - START, DAY)
    day = iso(at)[:10] if dated else f"day {days}"
    return f"{day} {duration(rest)}" if rest else day
