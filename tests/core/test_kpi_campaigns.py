"""Campaigns come and go: what a partition tells apart of them follows, in bounds, and no sum is ever taken back elsewhere than it was added."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from lifestage.kpi_contribute import BY_CAMPAIGN
from lifestage.kpi_days import CAMPAIGNS_KNOWN, SHUT, SHUT_DAYS, Days
from lifestage.kpi_live_path import is_past
from lifestage.kpi_pages import KeptDays
from streams.kpi_families import PartitionSums, hidden_of
from tests.company import shown

DAY, WINDOW = 20_000, 5
NAME = "messages_sent" + BY_CAMPAIGN


def told(days: Days) -> dict[str, int]:
    """The sums by campaign."""
    return {name[1]: n for name, n in days.totals().items() if name[0] == NAME}


def hidden(days: Days) -> float:
    """How many campaigns a worker of this partition hides, at least."""
    given = shown([PartitionSums(days.day, WINDOW, days.totals(), days.places)])
    return dict(hidden_of(given))["campaign",]


def again(kept: KeptDays, pages: dict[bytes, bytes]) -> KeptDays:
    """The same as it is read back after a kill; what is written is added to the pages."""
    written = kept.write()
    pages |= written.pages
    found = KeptDays.read(written.mark, {key: pages[key] for key in written.named}, is_past)
    found.days.turn(kept.days.day)
    return found


def test_new_campaigns_have_the_places_of_those_that_are_over() -> None:
    """Thirty a day for a hundred days, of which a window knows 150: each is told apart, to the last."""
    days = Days(WINDOW, DAY, is_past)
    for day in range(DAY, DAY + 100):
        days.turn(day)
        days.add([((NAME, f"c{day}-{n}"), day, 1) for n in range(30)])
        assert "other" not in told(days), day
        assert len(days.places) <= CAMPAIGNS_KNOWN
    assert told(days) == {f"c{day}-{n}": 1 for day in range(DAY + 95, DAY + 100) for n in range(30)}


def test_after_too_many_at_once_none_is_told_apart_until_these_are_over() -> None:
    """What was refused would be taken back from `other`; so whatever is new is there, too, while any of it can be."""
    days = Days(WINDOW, DAY, is_past)
    days.add([((NAME, f"c{n}"), DAY, 1) for n in range(CAMPAIGNS_KNOWN + 100)])
    assert told(days)["other"] == 100
    assert hidden(days) > 0
    opens = DAY + WINDOW + SHUT_DAYS + 1
    for day in (DAY + 1, DAY + WINDOW, opens - 1):
        days = again(KeptDays(days), {}).days
        days.turn(day)
        assert (SHUT, str(DAY)) in days.places
        assert hidden(days) > 0
    days.turn(opens)
    days.add([((NAME, "new"), opens, 1)])
    assert told(days) == {"new": 1}
    assert hidden(days) == 0


@pytest.mark.parametrize("seed", range(12))
def test_what_was_added_is_taken_back_where_it_is(seed: int) -> None:
    """By chance, many and few, with kills: no sum is below 0, all together are what there is, and a campaign that is told apart is whole."""
    chance = Random(seed)
    kept, pages = KeptDays(Days(WINDOW, DAY, is_past)), dict[bytes, bytes]()
    alive: list[tuple[str, int]] = []
    for day in range(DAY, DAY + 120):
        days = kept.days
        days.turn(day)
        for _ in range(chance.choice((0, 3, 30, 80))):
            one = (
                f"c{(day - DAY) // chance.choice((1, 3)) * 100 + chance.randrange(60)}",
                chance.choice((day, day, max(DAY, day - 2))),
            )
            alive.append(one)
            days.add([((NAME, one[0]), one[1], 1)])
        chance.shuffle(alive)
        for one in [alive.pop() for _ in range(min(len(alive), chance.randrange(20)))]:
            days.add([((NAME, one[0]), one[1], -1)])
        alive = [one for one in alive if one[1] > day - WINDOW]
        truth, found = Counter(name for name, _ in alive), told(days)
        assert min(found.values(), default=0) >= 0
        assert sum(found.values()) == len(alive)
        whole = {name: n for name, n in found.items() if name != "other"}
        assert whole == {name: truth[name] for name in whole}
        if chance.random() < 0.2:
            kept = again(kept, pages)
            assert told(kept.days) == found
            # what has no sums any more may go a day earlier
            assert kept.days.places.keys() <= days.places.keys()
            assert (days.places.keys() - kept.days.places.keys()).isdisjoint({(BY_CAMPAIGN, name) for name in found})
