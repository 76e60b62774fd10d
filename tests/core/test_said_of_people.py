"""What people say of themselves: traits reach the profile, consent the change, under whichever of their ids it came."""

from __future__ import annotations

from typing import Any

from config.plan_files import sheet_of
from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.conditions import Any as Either
from lifestage.conditions import Compare, Plan, Stage
from lifestage.facts import Fact, encode
from lifestage.keys import key_of
from lifestage.partition import Partition
from lifestage.plan import Compiled
from tests.core.samples import accepted

TRAITS = Rules(
    Compiled(
        Plan(
            "traits",
            1,
            (
                Stage("big", 2, Compare("trait_number", ">=", 500_000, None, "seats")),
                Stage(
                    "known",
                    1,
                    Either((Compare("trait", "==", "pro", None, "plan"), Compare("trait", "==", "true", None, "vip"))),
                ),
            ),
        )
    )
)
CLM5 = Rules(Compiled(sheet_of("clm5").plan))
LOG = 1


class Alone:
    """A log of one partition, whose messages come back to it as they do from Kafka."""

    def __init__(self, rules: Rules) -> None:
        self.partition, self.offset = Partition(rules, "customer-events", 0, LOG), 0

    def take(self, kind: str, **said: Any) -> list[Announced]:
        """Let an event in through the door; what is announced once all messages have arrived."""
        number = self.offset
        fact: Fact = accepted(kind, **({"id": f"e{number}", "time": f"2024-02-{number + 1:02}T00:00:00Z"} | said))
        key = key_of(fact)
        assert key is not None
        waiting = [(key.encode(), log.pack(log.FACT, encode(fact), 2, 0, number))]
        changes: list[Announced] = []
        while waiting:
            to, value = waiting.pop(0)
            changes += self.partition.fold([(self.offset, to, value)])
            waiting += self.partition.take_posted()
            self.offset += 1
        return changes


def test_a_trait_moves_who_has_it() -> None:
    """Texts, numbers and truths, each by its latest word; null takes it back."""
    made = Alone(TRAITS)
    stages = []
    for traits in (
        {"plan": "pro", "other": 1},
        {"seats": 500},
        {"seats": 499.5},
        {"plan": None},
        {"vip": True},
        {"vip": False},
    ):
        stages += [change.data.stage for change in made.take("profile.updated", traits=traits)]
    assert stages == ["known", "big", "known", None, "known", None]


def test_a_trait_told_under_an_address_is_the_customers() -> None:
    """Before the address was known to be theirs as after it."""
    for linked_first in (False, True):
        made = Alone(TRAITS)
        if linked_first:
            made.take("identity.linked", customer_id="c1", email="ann@example.com", ids=None)
        changes = made.take("profile.updated", customer_id=None, email="ann@example.com", traits={"plan": "pro"})
        if not linked_first:
            changes += made.take("identity.linked", customer_id="c1", email="ann@example.com", ids=None)
        of_ann = [change.data.stage for change in changes if change.data.customer_id == "c1"]
        assert of_ann == ["known"]


def test_consent_stands_in_the_next_change() -> None:
    """The latest answer to each purpose, of `consent.changed` and of the consent that any event carries."""
    made = Alone(CLM5)
    made.take("consent.changed", purposes={"marketing": True, "profiling": False})
    (first,) = made.take("web.visit", consent={"analytics": True})
    assert first.data.consent == {"marketing": True, "profiling": False, "analytics": True}
    made.take("consent.changed", purposes={"marketing": False})
    (second,) = made.take("lead.captured")
    assert second.data.consent == {"marketing": False, "profiling": False, "analytics": True}


def test_consent_given_by_an_address_is_in_the_customers_change() -> None:
    """A withdrawal by the link in a mail, which knows the address alone, holds for the customer."""
    made = Alone(CLM5)
    made.take("order.completed", customer_id="c1", email="ann@example.com", consent={"marketing": True})
    made.take("consent.changed", customer_id=None, email="Ann@Example.com", purposes={"marketing": False})
    (change,) = made.take("order.completed", customer_id="c1", order_id="o2")
    assert (change.data.customer_id, change.data.stage, change.data.consent) == (
        "c1",
        "retention",
        {"marketing": False},
    )


def test_neither_is_activity() -> None:
    """Somebody's record in a CRM does not make them come, nor stay."""
    made = Alone(CLM5)
    assert made.take("profile.updated", traits={"plan": "pro"}) == []
    assert made.take("consent.changed", purposes={"marketing": True}) == []
    profile = made.partition.profile(b"c1")
    assert profile is not None
    assert (profile.stage, profile.recent, profile.activity) == (None, [], [])
