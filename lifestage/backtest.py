"""Backtest: two plans over the same facts, and which customers they place differently at the end."""

from __future__ import annotations

import msgspec

from lifestage.cause import Rules
from lifestage.change import Evidence
from lifestage.evidence import evidence_of
from lifestage.moments import iso
from lifestage.profile import Profile


class Standing(msgspec.Struct, frozen=True):
    """Where a customer stands under one plan, since when (RFC 3339), and why. `stage` None: nowhere yet, or no longer."""

    stage: str | None
    entered_at: str | None
    evidence: Evidence


def standing(profile: Profile, rules: Rules, end: int) -> Standing:
    """Where a profile stands before `end` (ms, exclusive), which it has reached; the evidence is read at its last instant."""
    entered = profile.moves[-1].at if profile.moves else None
    look = rules.plan.look(profile, end - 1)
    return Standing(
        profile.stage, None if entered is None else iso(entered), evidence_of(rules.plan, profile.stage, look)
    )


def standings(
    before: tuple[Profile, Rules], after: tuple[Profile, Rules], end: int
) -> tuple[Standing, Standing] | None:
    """How two plans place one customer before `end` (ms, exclusive); None where both give the same stage."""
    if before[0].stage == after[0].stage:
        return None
    return standing(*before, end), standing(*after, end)
