"""The stories of all shipped plans, with names for tests, and how a story's facts look on the wire."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from lifestage.cause import Rules
from lifestage.facts import TYPES, EmailEvent, Fact, ReferralConverted, ReferralSent
from lifestage.language import Sheet, checked
from lifestage.language_stories import DAY, Story
from lifestage.plan import Compiled

PLANS = sorted((Path(__file__).parents[2] / "config/plans").glob("*.plan"))


class Told(NamedTuple):
    """A story, and the rules of its plan."""

    plan: str
    story: Story
    rules: Rules

    def __str__(self) -> str:
        return f"{self.plan}:{self.story.place.line}"


@cache
def sheet(path: Path) -> Sheet:
    """A shipped plan."""
    return checked(path.read_text(encoding="utf-8"), path.name)


def stories() -> list[Told]:
    """Every story of every shipped plan."""
    return [
        Told(path.stem, story, rules)
        for path in PLANS
        for rules in [Rules(Compiled(sheet(path).plan))]
        for story in sheet(path).stories
    ]


def renamed(story: Story, name: str) -> Story:
    """The same story about other customers, so that many can be told at once."""
    keys = {line.key: f"{name}-{line.key}" for line in story.lines if ":" not in line.key}
    keys |= {key: f"anon:{name}-{key[5:]}" for line in story.lines if (key := line.key).startswith("anon:")}
    keys |= {
        key: f"email:{name}{key[-20:]}@example.com" for line in story.lines if (key := line.key).startswith("email:")
    }
    return story._replace(
        lines=tuple(
            line._replace(key=keys[line.key], fact=None if line.fact is None else _of(line.fact, keys[line.key], name))
            for line in story.lines
        )
    )


def earlier(story: Story, days: int) -> Story:
    """The same story so many days earlier."""
    ms = days * DAY
    return story._replace(
        lines=tuple(
            line._replace(at=line.at - ms, fact=None if line.fact is None else _earlier(line.fact, ms))
            for line in story.lines
        )
    )


def _earlier(fact: Fact, ms: int) -> Fact:
    given = {name: getattr(fact, name, None) for name in ("time", "effective_at", "starts_at", "ends_at")}
    return replace(fact, **{name: at - ms for name, at in given.items() if at is not None})


def _of(fact: Fact, key: str, name: str) -> Fact:
    fact = replace(fact, source=f"story-{name}")
    if isinstance(fact, ReferralSent | ReferralConverted):
        fact = replace(fact, referrer_id=key)
    if fact.customer_id is not None:
        return replace(fact, customer_id=key, email=None if fact.email is None else f"email:{key}@example.com")
    if fact.anonymous_id is not None:
        return replace(fact, anonymous_id=key.removeprefix("anon:"))
    return replace(fact, email=key)


def event(fact: Fact) -> dict[str, Any]:
    """The event of a fact, as a sender would write it; what stands for an address is one."""
    fields = {name: value for name, value in asdict(fact).items() if value not in (None, ())}
    address = fields.pop("email", None)
    if address is not None:
        fields["recipient" if isinstance(fact, EmailEvent) else "email"] = address.removeprefix("email:")
    return {**fields, "type": TYPES[type(fact)]}
