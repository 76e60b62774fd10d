"""What a merge or split would change, against what the fold then does, and how it reads."""

from __future__ import annotations

from typing import Any

import pytest

from commands.identity_text import preview_lines
from lifestage import log
from lifestage.change import Announced
from lifestage.facts import Fact, IdentityMerged, IdentitySplit, OrderCompleted, WebVisit
from lifestage.keys import MERGES
from lifestage.partition import Partition
from lifestage.preview import Preview, preview
from tests.core.histories import RULES, START, record
from tests.core.oracle import DAY

EMAIL = "email:" + "0" * 32
NOW = START + 12 * DAY


def order(n: int, customer: str, day: float, **more: Any) -> OrderCompleted:
    """An order of 10 EUR, 9 of them net."""
    given: dict[str, Any] = {
        "order_id": f"o{n}",
        "customer_id": customer,
        "currency": "EUR",
        "total_minor": 1000,
        "net_minor": 900,
    }
    return OrderCompleted(time=START + round(day * DAY), source="shop", id=f"e{n}", **(given | more))


def merged(*ids: str, into: str | None = None) -> IdentityMerged:
    """The event that somebody would send now."""
    return IdentityMerged(time=NOW, source="shell", id="m1", ids=ids, into=into)


class World:
    """A partition that owns every key."""

    def __init__(self, *facts: Fact) -> None:
        self.partition = Partition(RULES, "customer-events", 0)
        self.fold(*facts)
        self.partition.fold([(self.partition.applied + 1, None, log.pack_tick(log.Tick(NOW, True)))])
        self.partition.checkpoint()

    def fold(self, *facts: Fact) -> list[Announced]:
        """Fold facts and what follows from them; the changes."""
        said = self.partition.fold([record(self.partition.applied + 1 + n, fact) for n, fact in enumerate(facts)])
        while posted := self.partition.take_posted():
            for key, value in posted:
                said += self.partition.fold([(self.partition.applied + 1, key, value)])
        return said

    def kept(self) -> list[tuple[bytes, bytes]]:
        """What the changelog has: pages before what names them."""
        return [*self.partition.shelf.pages.items(), *self.partition.stored.items()]

    def preview(self, fact: IdentityMerged | IdentitySplit) -> Preview:
        """What the event would change."""
        of = {MERGES, "ann", "bob", "anon:x", *fact.ids}
        kept = [(key, value) for key, value in self.kept() if key.partition(b"\0")[0].decode() in of]
        return preview(RULES, kept, fact, self.partition.clock)


def shop() -> World:
    """Ann with two orders, and a visit from another device; bob with one of hers and one of his own."""
    return World(
        order(1, "ann", 0),
        order(2, "ann", 5),
        WebVisit(time=START + 6 * DAY, source="web", id="v", url="/", customer_id="ann", anonymous_id="x"),
        order(2, "bob", 5),
        order(3, "bob", 10),
        order(4, "eve", 11),
    )


def told(changes: list[Announced] | tuple[Announced, ...]) -> list[Any]:
    """Changes without where in the log the event stands."""
    return [(c.id, c.time, c.data.customer_id, c.data.seq, c.data.stage, c.data.kind, c.data.supersedes, c.data.path,
             c.data.merged_into, c.data.metrics) for c in changes]  # fmt: skip


@pytest.mark.parametrize("fact", [merged("ann", "bob"), merged("ann", "bob", into="bob"), merged("ann", "bob", "eve")])
def test_a_merge_does_what_its_preview_says(fact: IdentityMerged) -> None:
    """The changes, the stages, the customers and the company's sums are those that the fold then brings about."""
    world = shop()
    found = world.preview(fact)
    marker = world.partition.marker
    stages, sums = dict(marker.population), list(marker.sums["EUR"])
    changes = world.fold(fact)
    assert told(found.changes) == told(changes)
    moved = {name: count - stages.get(name, 0) for name, count in marker.population.items()}
    assert found.population == {name: count for name, count in sorted(moved.items()) if count}
    assert found.customers == -len(fact.ids) + 1
    eur = found.revenue["EUR"]
    assert [eur.orders, eur.gross_minor, eur.net_minor] == [
        now - before for now, before in zip(marker.sums["EUR"], sums, strict=True)
    ]
    for side in found.after:
        profile = world.partition.profile(side.id.encode())
        assert profile is not None
        assert (profile.stage, len(profile.orders)) == (side.stage, side.facts["orders"])


def test_a_split_does_what_its_preview_says() -> None:
    """Both are shown as they will be: as they were before they were merged."""
    world = shop()
    before = world.preview(merged("ann", "bob")).before
    world.fold(merged("ann", "bob"))
    world.partition.checkpoint()
    fact = IdentitySplit(time=NOW + 1, source="shell", id="s1", ids=("bob",))
    found = world.preview(fact)
    assert [(side.id, side.facts, side.sums) for side in found.after] == [
        (side.id, side.facts, side.sums) for side in before
    ]
    assert found.customers == 1
    assert found.counted_once == {}
    assert told(found.changes) == told(world.fold(fact))


def test_a_preview_changes_nothing() -> None:
    """What is kept is the same bytes afterwards, and nothing was announced or counted."""
    world = shop()
    kept, moves = world.kept(), dict(world.partition.marker.moves)
    world.preview(merged("ann", "bob"))
    assert (world.kept(), world.partition.marker.moves) == (kept, moves)
    assert world.partition.checkpoint().profiles == {}


def test_what_is_kept_in_pages_is_merged_too() -> None:
    """A customer of 2,000 orders, whose record names pages, is put together, and cut again."""
    world = World(*(order(n, "ann", n / 200) for n in range(2_000)), order(7, "bob", 7), order(2_001, "bob", 8))
    assert world.partition.shelf.named
    found = world.preview(merged("ann", "bob"))
    assert [side.facts["orders"] for side in (*found.before, *found.after)] == [2_000, 2, 2_001]
    assert found.counted_once["orders"] == 1


def test_what_is_so_already_changes_nothing() -> None:
    """Merged before: no change, no revenue, and the reason in words."""
    world = shop()
    world.fold(merged("ann", "bob"))
    world.partition.checkpoint()
    again = IdentityMerged(time=NOW, source="shell", id="m2", ids=("ann", "bob"))
    found = world.preview(again)
    assert (found.changes, found.population, found.revenue, found.outcomes) == ((), {}, {}, {"void": 1})
    assert found.kpis.changed == ()
    lines = [*preview_lines(found)]
    assert [*lines[-7:-2], lines[-1]] == [
        "  customers by stage  unchanged",
        "  customers           unchanged",
        "  revenue             unchanged",
        "kpis of theirs over the 90 days up to 2024-02-13, before -> after",
        "  unchanged",
        "nothing is to be done: they are as is asked for already",
    ]


def test_a_preview_reads_as_a_person_asks() -> None:
    """Before and after with why, what counts once, what is announced, and what it comes to for the company."""
    lines = [*preview_lines(shop().preview(merged("ann", "bob")))]
    assert "\n".join(lines[: lines.index("kpis of theirs over the 90 days up to 2024-02-13, before -> after")]) == (
        "as of 2024-02-13T00:00:00Z; nothing is changed\n"
        "before  ann: retention since 2024-02-06T00:00:00Z, and 1 id of theirs\n"
        "          because order_days >= 2: 2\n"
        "          2 orders, 2 recent events, 18.00 EUR net\n"
        "        bob: retention since 2024-02-11T00:00:00Z\n"
        "          because order_days >= 2: 2\n"
        "          2 orders, 2 recent events, 18.00 EUR net\n"
        "after   ann: loyalty since 2024-02-11T00:00:00Z, and 2 ids of theirs\n"
        "          because order_days in 365d >= 3: 3\n"
        "          3 orders, 3 recent events, 27.00 EUR net\n"
        "counted once  1 order, 1 recent event: the same in both\n"
        "announced\n"
        "  bob #3 retention -> -: merge, into ann\n"
        "  ann #3 retention -> loyalty: advance\n"
        "the company\n"
        "  customers by stage  loyalty +1, retention -2\n"
        "  customers           -1\n"
        "  revenue             EUR net -9.00, gross -10.00, -1 order"
    )


def test_who_was_there_long_ago_is_not_said_to_have_no_facts() -> None:
    """Visits before the lateness are not known one by one any more: from when to when something was seen is."""
    visits = [
        WebVisit(time=START + day * DAY, source="web", id=f"v{day}", url="/", customer_id="ann") for day in (0, 1)
    ]
    lines = list(preview_lines(World(*visits, order(1, "bob", 0)).preview(merged("ann", "bob"))))
    assert lines[1].startswith("before  ann: reach since ")
    assert "          nothing recent, seen from 2024-02-01T00:00:00Z to 2024-02-02T00:00:00Z" in lines
    assert "          1 order, 9.00 EUR net" in lines
    assert not any("no facts" in line for line in lines)
