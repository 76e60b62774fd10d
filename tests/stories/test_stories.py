"""Stories: examples that a marketer can read, run as they stand, offline and through the log.

A line is a day, what happens (`visit ann`, `order ann o1 40.00`, `timer ann`: only time passes, `end`), and what is
announced: stage, kind, and in brackets what was skipped; `-` for nothing. All is announced that is written, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lifestage.change import Announced
from lifestage.facts import EmailEvent, Fact, LeadCaptured, OrderCancelled, OrderCompleted, OrderRefunded, WebVisit
from lifestage.moments import parse
from lifestage.replay import replay
from tests.core.histories import RULES, Tick, partition, records

STORIES = sorted(Path(__file__).parent.glob("*.story"))
LINE = re.compile(r"(\S+) +(end|(\S+) +(\S+)( \S+)?( [\d.]+)? {2,}(-|.*\S))")
KEYS = {"anon": "anonymous_id", "email": "email"}


class Story(NamedTuple):
    """What happens, until when, and what is to be announced, by day and customer."""

    facts: list[Fact]
    end: int
    told: list[str]


def fact(kind: str, common: dict[str, Any], order: str, minor: int) -> Fact:
    """One happening as a fact."""
    if kind.startswith("mail-"):
        return EmailEvent(message_id="m", event=kind[5:], **common)
    if kind == "order":
        return OrderCompleted(order_id=order, currency="EUR", total_minor=minor, net_minor=minor, **common)
    if kind == "refund":
        return OrderRefunded(refund_id=common["id"], order_id=order, amount_minor=minor, **common)
    if kind == "cancel":
        return OrderCancelled(order_id=order, **common)
    return {"visit": WebVisit(url="/", **common), "lead": LeadCaptured(lead_id="l", form="f", **common)}[kind]


def read(text: str) -> Story:
    """The story in a text. A line that cannot be read is an error that shows it."""
    facts: list[Fact] = []
    end, told = 0, []
    for number, line in enumerate(text.splitlines()):
        if not line or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        assert found, f"line {number + 1} of a story: {line!r}"
        day, what, kind, who, order, amount, expected = found.groups()
        end = parse(f"{day}T00:00:00Z") + 1
        if what == "end":
            continue
        key = {KEYS.get(who.split(":")[0], "customer_id"): who.removeprefix("anon:")}
        common = {"time": end - 1, "source": "story", "id": f"{number:03}", **key}
        if kind != "timer":
            minor = round(float(amount or 0) * 100)
            facts.append(fact(kind, common, (order or "").strip(), minor))
        if expected != "-":
            told.append(" ".join((day, who, *expected.split())))
    return Story(facts, end, told)


def telling(changes: list[Announced]) -> Iterator[str]:
    """Changes in the words of a story."""
    for change in changes:
        data = change.data
        skipped = f" ({' '.join(data.skipped)})" if data.skipped else ""
        yield f"{data.entered_at[:10]} {data.customer_id} {data.stage} {data.kind}{skipped}"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_is_true(path: Path) -> None:
    """Offline and through the log, what is announced is what the story says, in its order."""
    story = read(path.read_text(encoding="utf-8"))
    assert list(telling(replay(story.facts, RULES, story.end).changes)) == story.told
    live = partition().fold(records([*story.facts, Tick(story.end)]))
    live.sort(key=lambda change: change.time)
    assert list(telling(live)) == story.told


@pytest.mark.parametrize(
    "line",
    ["2024-02-01  visit ann              acquisition    entry", "2024-02-01  visit ann              -", ""],
)
def test_a_story_that_is_not_true_is_found(line: str) -> None:
    """Another stage, silence, or nothing at all: each differs from what is announced."""
    told = list(telling(replay(read("2024-02-01  visit ann  reach  entry").facts, RULES).changes))
    assert told == ["2024-02-01 ann reach entry"] != read(line).told
