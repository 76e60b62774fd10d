"""Ids, and what a merge or split would change, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from commands.identity_kpis import kpi_lines
from commands.offline import counted
from lifestage.money import DIGITS, major

if TYPE_CHECKING:
    from commands.person import OneId, Person
    from lifestage.change import Announced
    from lifestage.preview import Preview, Side, Sums

OUTCOMES = {
    "void": "nothing is to be done: they are as is asked for already",
    "refused_merge": "refused: one of them belongs to somebody else, or --into is a lower kind of id",
    "alias_limit": "refused: events link at most 100 ids to a customer",
}
"""What is said of what happens to ids besides what was asked for."""


def person_lines(person: Person) -> Iterator[str]:
    """A customer's ids as a tree, each with what came under it."""
    yield f"customer   {person.customer_id}"
    if len(person.asked_for) > 1:
        yield f"asked for  {' -> '.join(person.asked_for)}"
    since = f" since {person.stage_since}" if person.stage_since else ""
    yield f"stage      {person.stage}{since}" if person.stage else "stage      none"
    yield f"together   {_holding(person)}"
    if person.first_seen_at:
        yield f"seen       {_seen(person)}"
    yield f"ids        {len({one.id for one in person.ids})}"
    own, *members = person.ids
    yield f"  {own.id}: {_holding(own)}"
    yield from _tree(own.id, members, "    ")
    placed = _below(own.id, members)
    for one in members:  # linked to an id that has gone since
        if one.id not in placed:
            yield f"    {_member(one)}, linked to {one.linked_to}"
    if person.asked:
        yield "not theirs, though events named them"
        yield from (f"  {name}, last on {day}" for name, day in person.asked.items())
    if person.apart:
        yield f"split from {', '.join(person.apart)}: events do not link them again"


def _tree(parent: str, members: list[OneId], indent: str) -> Iterator[str]:
    told: set[str] = set()
    for one in members:
        if one.linked_to == parent:
            yield indent + _member(one)
            if one.id not in told:  # of one that has come back what it brought is told once
                yield from _tree(one.id, members, indent + "  ")
            told.add(one.id)


def _below(parent: str, members: list[OneId]) -> set[str]:
    found: set[str] = set()
    for one in members:
        if one.linked_to == parent and one.id not in found:
            found |= {one.id} | _below(one.id, members)
    return found


def _member(one: OneId) -> str:
    since = f" since {one.since} by {one.by}" if one.since else ""
    past = ", has gone to another" if one.past else ""
    return f"{one.id}{since}{past}: {_holding(one)}"


def _holding(held: Person | OneId | Side) -> str:
    """What is known one by one; where that is nothing, from when to when something was seen; `no facts` where never."""
    told = [_counted(held.facts)] if held.facts else []
    told += [f"{_major(amounts.net_minor, currency)} {currency} net" for currency, amounts in held.sums.items()]
    if not told and held.first_seen_at:
        return f"nothing recent, seen {_seen(held)}"
    return ", ".join(told) or "no facts"


def _seen(held: Person | OneId | Side) -> str:
    active = getattr(held, "last_active_at", None)
    before = f", last active at {active}" if active not in (None, held.last_seen_at) else ""
    return f"from {held.first_seen_at} to {held.last_seen_at}{before}"


def _counted(facts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name if count != 1 else name.removesuffix('s')}" for name, count in facts.items())


def preview_lines(found: Preview) -> Iterator[str]:
    """What would change, before and after, and what it comes to for the company."""
    yield f"as of {found.as_of}; nothing is changed"
    for word, sides in (("before", found.before), ("after", found.after)):
        for side in sides:
            yield from _side(word, side)
            word = ""  # noqa: PLW2901 - said once
    if found.counted_once:
        yield f"counted once  {_counted(found.counted_once)}: the same in both"
    yield "announced"
    yield from (f"  {_change(change)}" for change in found.changes)
    if not found.changes:
        yield "  nothing"
    yield "the company"
    yield f"  customers by stage  {_differences(found.population) or 'unchanged'}"
    yield f"  customers           {found.customers:+,}" if found.customers else "  customers           unchanged"
    yield f"  revenue             {_revenue(found.revenue)}"
    yield from kpi_lines(found.kpis)
    for outcome in found.outcomes.keys() & OUTCOMES.keys():
        yield OUTCOMES[outcome]


def _side(word: str, side: Side) -> Iterator[str]:
    stage = f"{side.stage} since {side.since}" if side.stage and side.since else side.stage or "no stage"
    more = f", and {counted(side.members, 'id')} of theirs" if side.members else ""
    yield f"{word:<8}{side.id}: {stage}{more}"
    if side.stage and side.because:
        first, *rest = side.because
        yield f"          because {first}"
        yield from (f"                  {line}" for line in rest)
    yield f"          {_holding(side)}"


def _change(change: Announced) -> str:
    data = change.data
    into = f", into {data.merged_into}" if data.merged_into else ""
    return f"{data.customer_id} #{data.seq} {data.previous_stage or '-'} -> {data.stage or '-'}: {data.kind}{into}"


def _differences(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:+,}" for name, count in counts.items())


def _revenue(sums: Mapping[str, Sums]) -> str:
    told = [
        f"{currency} net {_signed(amounts.net_minor, currency)}, gross {_signed(amounts.gross_minor, currency)}, "
        f"{amounts.orders:+,} {'order' if abs(amounts.orders) == 1 else 'orders'}"
        for currency, amounts in sums.items()
    ]
    return "; ".join(told) or "unchanged"


def _major(amount: int, currency: str) -> str:
    text = major(abs(amount), DIGITS.get(currency, 2))
    return f"-{text}" if amount < 0 else text


def _signed(amount: int, currency: str) -> str:
    return ("+" if amount > 0 else "") + _major(amount, currency)
