"""Fact sets on their way from one partition to another, and whether they bring what KPIs need to know of their facts."""

from __future__ import annotations

from lifestage.loads import decode_part
from lifestage.messages import Message, Restore, Unite
from lifestage.union import is_empty


def are_noted(message: Message, window: int) -> bool:
    """Whether of all facts that a message brings was kept what KPIs of a window of so many days need."""
    if not isinstance(message, Unite | Restore):
        return True
    for member in message.members:
        if member.facts:
            facts = decode_part(member.facts)
            if not is_empty(facts) and (facts.kpi is None or facts.kpi.window != window):
                return False
    return True
