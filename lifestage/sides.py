"""The facts that one event gives: one of whoever it is about, and of a referral one of the person who was referred, too."""

from __future__ import annotations

from lifestage.fact import Fact
from lifestage.facts import ReferralConverted, ReferralSent, Referred
from lifestage.keys import EMAIL, key_of

OF_TWO = frozenset({ReferralSent, ReferralConverted})
"""Kinds of facts that may say something of a second person."""


def facts_from(fact: Fact) -> tuple[Fact, ...]:
    """The fact itself, and behind it what it says of a second person. Nobody refers themselves."""
    if type(fact) not in OF_TWO:
        return (fact,)
    second = referred(fact)
    return (fact,) if second is None else (fact, second)


def referred(fact: Fact) -> Referred | None:
    """The referral `fact` as a fact about the person who was referred; None where it is none, or names nobody else."""
    if not isinstance(fact, ReferralSent | ReferralConverted) or fact.referred_id in (None, key_of(fact), fact.email):
        return None
    named = fact.referred_id
    is_email = named.startswith(EMAIL)
    return Referred(
        time=fact.time,
        source=fact.source,
        # an id of its own: should both sides prove to be one person, the one is no repeat of the other
        id=f"{fact.id}/referred",
        customer_id=None if is_email else named,
        email=named if is_email else None,
        bot=fact.bot,
        referral_id=fact.referral_id,
        referrer_id=fact.referrer_id,
        converted=isinstance(fact, ReferralConverted),
    )
