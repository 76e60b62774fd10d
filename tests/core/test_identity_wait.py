"""How far a merge or split has come, judged after each record that the workers fold."""

from __future__ import annotations

from collections.abc import Iterator

from commands.identity_wait import Outcome, Wanted, judged, owed_to
from lifestage import log
from lifestage.facts import Fact, IdentityMerged, IdentitySplit, OrderCompleted, WebVisit
from lifestage.partition import Partition
from lifestage.profile import Profile
from lifestage.seen import id_hash
from tests.core.histories import RULES, START, record
from tests.core.oracle import DAY

EMAIL = "email:" + "0" * 32


class Owner:
    """A partition that owns every key, fold by fold, and what is kept there."""

    def __init__(self, *facts: Fact) -> None:
        self.partition = Partition(RULES, "customer-events", 0)
        for fact in facts:
            for _ in self.take(fact):
                """All of it."""

    def take(self, fact: Fact) -> Iterator[None]:
        """Fold a fact and all that follows from it, record by record."""
        waiting = [record(self.partition.applied + 1, fact)[1:]]
        while waiting:
            key, value = waiting.pop(0)
            self.partition.fold([(self.partition.applied + 1, key, value)])
            waiting += [(posted.key, posted.value) for posted in self.partition.take_posted()]
            yield

    def tick(self, time: int) -> None:
        """Let time pass."""
        self.partition.fold([(self.partition.applied + 1, None, log.pack_tick(log.Tick(time, live=True)))])

    def watched(self, asked: Wanted) -> list[Outcome]:
        """Fold what is asked for; how far it has come, before it and after each record, up to where nothing more is to come."""
        owed = owed_to(self, asked, RULES, self.partition.clock.time)
        said = [self.judged(asked, owed), *(self.judged(asked, owed) for _ in self.take(asked))]
        while said[-2].done is not None:  # records that change nothing of it any more
            assert said.pop() == said[-1]
        return said

    def judged(self, asked: Wanted, owed: frozenset[str]) -> Outcome:
        """How far it has come."""
        return judged(self, asked, id_hash(asked.source, asked.id, RULES.id_key), owed)

    def profile(self, key: str) -> Profile | None:
        """What is kept of an id."""
        return self.partition.profile(key.encode())

    def chain(self, key: str) -> tuple[str, ...]:
        """An id, the one that it belongs to, and so on."""
        profile = self.profile(key)
        if profile is None:
            return ()
        whose = profile.kin.alias if profile.kin is not None else None
        return (key,) if whose is None else (key, *self.chain(whose))


def order(n: int, customer: str, email: str | None = None) -> OrderCompleted:
    """The nth order."""
    return OrderCompleted(
        time=START + n, source="shop", id=f"o{n}", order_id=f"o{n}", customer_id=customer, email=email, currency="EUR",
        total_minor=1000, net_minor=900,
    )  # fmt: skip


def merged(n: int, *ids: str, into: str | None = None) -> IdentityMerged:
    """The nth merge."""
    return IdentityMerged(time=START + n, source="shell", id=f"m{n}", ids=ids, into=into)


def split(n: int, *ids: str) -> IdentitySplit:
    """The nth split."""
    return IdentitySplit(time=START + n, source="shell", id=f"s{n}", ids=ids)


def ended(said: list[Outcome]) -> tuple[bool | None, str]:
    """How it ended, while all before was on its way."""
    assert [outcome.done for outcome in said[:-1]] == [None] * (len(said) - 1)
    return said[-1].done, said[-1].said[0]


def test_a_merge_is_done_when_the_facts_have_come() -> None:
    """On its way until the survivor has taken in what the others brought, whichever message was the last."""
    said = Owner(order(1, "ann"), order(2, "bob"), order(3, "eve")).watched(merged(1, "ann", "bob", "eve"))
    assert said[0].said[0].startswith("no worker has come to it yet")
    assert "is about to be joined to ann" in said[1].said[0]
    assert ended(said) == (True, "done: bob, eve now belong to ann")
    assert said[-1].said[1] == "ann is in conversion since 2024-02-01T00:00:00.001Z"


def test_a_split_is_done_when_the_facts_are_back() -> None:
    """On its way until the id has its own facts again, and the other has let it go."""
    owner = Owner(order(1, "ann"), order(2, "bob"), merged(1, "ann", "bob"))
    said = owner.watched(split(1, "bob"))
    assert ended(said) == (True, "done: bob is a customer of its own")
    bob = owner.profile("bob")
    assert bob is not None
    assert len(bob.orders) == 1
    assert len(said) >= 5


def test_a_split_of_an_id_without_facts_waits_for_none() -> None:
    """An address that only ever stood beside a customer id has nothing to get back."""
    owner = Owner(order(1, "ann", EMAIL))
    assert owed_to(owner, split(1, EMAIL), RULES, START) == frozenset()
    assert ended(owner.watched(split(1, EMAIL))) == (True, f"done: {EMAIL} is a customer of its own")


def test_a_split_of_a_visitor_who_is_forgotten_at_once_waits_for_nothing() -> None:
    """The facts of a visitor who was silent for a month come back and go again: nobody may see them in between."""
    owner, late = Owner(WebVisit(time=START, source="web", id="v", url="/", anonymous_id="x")), START + 60 * DAY
    list(owner.take(WebVisit(time=START, source="web", id="w", url="/", customer_id="ann", anonymous_id="x")))
    asked = split(60 * DAY, "anon:x")
    assert owed_to(owner, asked, RULES, START) == {"anon:x"}
    owner.tick(late)
    owed = owed_to(owner, asked, RULES, late)
    assert owed == frozenset()
    assert not owner.judged(asked, owed).done
    list(owner.take(asked))
    assert owner.judged(asked, owed).done
    owner.tick(late + 1)
    forgotten = owner.profile("anon:x")
    assert forgotten is None or forgotten.kin is None
    assert owner.judged(asked, owed) == Outcome(
        True, ["done: anon:x is a customer of its own", "anon:x is in no stage"]
    )


def test_what_no_longer_fits_is_refused() -> None:
    """Merged the other way round meanwhile: said as soon as the merges' owner has decided."""
    owner = Owner(order(1, "ann"), order(2, "bob"), merged(1, "ann", "bob"))
    said = owner.watched(merged(2, "ann", "bob", into="bob"))
    assert ended(said) == (
        False,
        "refused: it no longer fits what was merged before; `lifestage identity show` says how they stand",
    )


def test_an_id_that_an_event_gave_to_another_meanwhile_is_refused() -> None:
    """The owner of the id has said no, and the one whose it is is named."""
    owner = Owner(
        WebVisit(time=START, source="web", id="v", url="/", email=EMAIL), order(1, "ann"), order(2, "carl", EMAIL)
    )
    said = owner.watched(merged(1, EMAIL, "ann"))
    assert said[-1] == Outcome(False, [f"refused: {EMAIL} belongs to carl meanwhile, which is to be split off first"])
