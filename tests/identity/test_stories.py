"""What people do who go by several ids, told one by one, and what is known of them then."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from lifestage.change import Announced
from lifestage.decode import Decoder
from lifestage.facts import (
    Fact,
)
from lifestage.moments import parse
from lifestage.profile import Profile
from tests.core.histories import START
from tests.core.oracle import DAY
from tests.identity.judge import is_alias
from tests.identity.lives import QUIET, address
from tests.identity.offline import view
from tests.identity.told import Told, lived, of, soon
from tests.identity.world import World

SEEDS = range(10)


def counted(world: World, what: str) -> int:
    """How often something has happened to ids."""
    return sum(fold.marker.identity.get(what, 0) for fold in world.folds)


def visits(profile: Profile) -> int:
    """Visits, those that are no longer kept one by one, too."""
    mark = profile.marks.get("visits")
    return 0 if mark is None else mark.dropped + len(mark.kept)


def heard(world: World, key: str) -> list[Announced]:
    """What was told of one customer."""
    return [change for change in world.heard() if change.partitionkey == key]


def roots(world: World) -> Sequence[str]:
    """Who is a profile of their own."""
    return sorted(key for key, profile in world.profiles().items() if not is_alias(profile) and key != "identity:")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_visitor_on_two_devices_signs_up_and_buys(seed: int) -> None:
    """One profile with all twelve visits and the first touch; what comes later under each old id lands on it."""
    told = Told().visit("v1", 6, "spring").visit("v2", 6, "autumn").lead("@1 v1").linked("@1 v2")
    told.account("c1 @1").order("c1 @1 v2", "o1")
    world = lived(told, seed, QUIET, end=soon(told))
    assert roots(world) == ["c1"]
    assert visits(of(world, "c1")) == 12
    touch = of(world, "c1").touch
    assert touch is not None
    assert touch[3:] == ("ads", "cpc", "spring")
    assert of(world, "c1").stage == "buyer"
    assert {change.partitionkey for change in world.heard()} <= {"c1", address(1)}
    told.visit("v1").visit("v2").mail(" @1")
    later = lived(told, seed, QUIET, end=soon(told))
    assert roots(later) == ["c1"]
    assert visits(of(later, "c1")) == 14
    assert len(of(later, "c1").marks["email_clicks"].kept) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_what_time_alone_brought_before_a_merge_keeps_its_instant(seed: int) -> None:
    """In a backlog a merge may be heard before the clock has come to where a customer was gone: that is told of that day."""
    told = Told().order("c1", "o1").later(80).visit("c2").merged("c1", "c2")
    world = lived(told, seed, end=soon(told))
    gone = heard(world, "c1")[-1]
    assert (gone.data.stage, gone.data.kind, parse(gone.data.entered_at)) == ("churned", "churn", START + 60 * DAY)
    assert (gone.data.trigger.type, gone.data.trigger.due_at) == ("timer", gone.data.entered_at)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_shared_device_the_past_stays(seed: int) -> None:
    """Who used it first keeps what came so far; from when another is seen with it, all is that one's."""
    told = Told().visit("v1", 2).lead("c1 v1").visit("v1").lead("c2 v1").visit("v1", 3)
    world = lived(told, seed)
    assert (visits(of(world, "c1")), visits(of(world, "c2"))) == (3, 3)
    assert counted(world, "switched") == 1
    again = lived(told.lead("c1 v1").visit("v1"), seed)
    assert (visits(of(again, "c1")), visits(of(again, "c2"))) == (4, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mail_lands_on_the_customer_who_has_the_address(seed: int) -> None:
    """An event that knows only the address is the customer's, before and after the two were seen together."""
    world = lived(Told().mail("@1", "delivered").order("c1 @1", "o1").mail("@1").mail("@1", "opened"), seed)
    assert roots(world) == ["c1"]
    assert len(of(world, "c1").marks["email_clicks"].kept) == 1
    assert of(world, "c1").reach_at == START


def test_ids_that_name_nobody_link_nobody() -> None:
    """People who share only an id like `undefined` or zeros are not one person."""
    decoder, told = Decoder(b"secret" * 8), Told()
    blocked = ("", "0", "0000-0000", "-1", "null", "None", "NaN", "undefined", "anonymous", "GUEST", "true", "false")
    for n, nobody in enumerate((*blocked, "[object Object]")):
        for customer in ("a", "b"):
            event = {
                "id": f"{customer}{n}", "source": "shop", "type": "web.visit", "time": "2024-02-01T00:00:00Z", "url": "/",
                "customer_id": f"{customer}{n}", "anonymous_id": nobody, "email": nobody,
            }  # fmt: skip
            fact = decoder.decode(json.dumps(event).encode(), None)
            assert isinstance(fact, Fact), fact
            told.facts.append(fact)
    world = lived(told, 3)
    assert len(roots(world)) == len(told.facts)
    assert counted(world, "linked") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_of_ids_is_followed(seed: int) -> None:
    """From a device to an address to a customer to the one whom that was merged into: all of it is one person's."""
    told = Told().visit("v1").lead("@1 v1").order("c1 @1", "o1").order("c0", "o0").merged("c0", "c1").visit("v1", 2)
    world = lived(told, seed)
    assert roots(world) == ["c0"]
    assert (visits(of(world, "c0")), len(of(world, "c0").orders)) == (3, 2)
    last = heard(world, "c1")[-1].data
    assert (last.kind, last.stage, last.merged_into) == ("merge", None, "c0")


@pytest.mark.parametrize("seed", SEEDS)
def test_of_two_customers_one_has_an_address(seed: int) -> None:
    """Two are seen with one address at once: the first whom its owner hears of has it, the other is told no, and counted."""
    told = Told().mail("@1").order("c1 @1", "o1").order("c2 @1", "o2").mail("@1")
    world = lived(told, seed, orderly=False)
    assert roots(world) == ["c1", "c2"]
    clicks = [len(of(world, key).marks["email_clicks"].kept) for key in ("c1", "c2") if of(world, key).marks]
    assert clicks == [2]
    assert counted(world, "email_conflict") == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ring", [("c1", "c2"), ("c1", "c2", "c3"), ("c3", "c2", "c1", "c4")])
def test_merges_in_a_ring_come_to_an_end(ring: tuple[str, ...], seed: int) -> None:
    """Each is merged into the next, all at once, each way round: one is left, with everything."""
    told = Told()
    for n, customer in enumerate(ring):
        told.order(customer, f"o{n}").visit(customer)
    for one, other in zip(ring, (*ring[1:], ring[0]), strict=True):
        told.merged(one, other, into=other)
    told.visit(ring[0])
    world = lived(told, seed, orderly=False)
    (left,) = roots(world)
    assert (len(of(world, left).orders), visits(of(world, left))) == (len(ring), len(ring) + 1)
    assert counted(world, "merged") == len(ring) - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_merge_and_split_restore_both(seed: int) -> None:
    """Both have what they had, stages, facts and orders; what came under each meanwhile is theirs; seq goes on."""
    before = Told().visit("v1", 2).order("c1 @1 v1", "o1").later().order("c1", "o3")
    before.later().order("c2 v2", "o2", 500).visit("c2", 4)
    apart = lived(before, seed, end=soon(before))
    before.merged("c1", "c2")
    joined = lived(before, seed, end=soon(before))
    assert roots(joined) == ["c1"]
    assert of(joined, "c1").stage == "loyal"
    before.split("c2")
    split = lived(before, seed, end=soon(before))
    for key in ("c1", "c2"):
        assert view(of(split, key)) == view(of(apart, key))
        assert of(split, key).seq > of(apart, key).seq
    assert [change.data.trigger.type for change in heard(split, "c1")][-2:] == ["merge", "split"]
    assert [change.data.stage for change in heard(split, "c1")][-2:] == ["loyal", "buyer"]
    assert [change.data.kind for change in heard(split, "c2")][-2:] == ["merge", "split"]
    assert [change.data.stage for change in heard(split, "c2")][-2:] == [None, "buyer"]


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_split_off_takes_their_own_along(seed: int) -> None:
    """Devices and addresses that came through a customer go with that one, and stay with that one."""
    told = Told().visit("v1").order("c1 @1 v1", "o1").order("c2 @2 v2", "o2").visit("v2").merged("c1", "c2")
    told.visit("v2").mail("@2").split("c2").visit("v2").visit("v1")
    world = lived(told, seed)
    assert roots(world) == ["c1", "c2"]
    assert (visits(of(world, "c1")), visits(of(world, "c2"))) == (2, 3)
    assert len(of(world, "c2").marks["email_clicks"].kept) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_customers_can_be_merged_again(seed: int) -> None:
    """Merged, split, merged and split: nothing is lost or counted twice, and seq never starts again."""
    told = Told().order("c1", "o1").order("c2 v2", "o2")
    for _ in range(3):
        told.merged("c2", "c1", into="c2").visit("c1").visit("v2").split("c1").visit("c1")
    told.merged("c1", "c2")
    world = lived(told, seed)
    assert roots(world) == ["c1"]
    assert (visits(of(world, "c1")), len(of(world, "c1").orders)) == (9, 2)


def test_a_profile_has_at_most_a_hundred_other_ids() -> None:
    """The hundred and first device is refused and counted; its visits stay its own."""
    told = Told()
    for n in range(110):
        told.visit(f"v{n}").visit(f"c1 v{n}")
    world = lived(told, 4)
    kin = of(world, "c1").kin
    assert kin is not None
    assert len(kin.members) == 100
    assert counted(world, "alias_limit") == 10
    assert visits(of(world, "c1")) == 210
    assert len(roots(world)) == 11


@pytest.mark.parametrize("seed", SEEDS)
def test_a_refund_waits_for_its_order(seed: int) -> None:
    """A refund that names only the order comes first, waits, and is its customer's once the order has come."""
    told = Told().refund("", "o1").visit("c1", 2).order("c1", "o1").order("c1", "o2").refund("", "o2", 400)
    world = lived(told, seed, end=soon(told))
    assert sum(fold.marker.sums["EUR"][2] for fold in world.folds if fold.marker.sums) == 600
    assert of(world, "c1").stage == "buyer"
    accounts = [fold.marker.accounts.get("shop", {}).get("order.refunded", {}) for fold in world.folds]
    assert sum(found.get("accepted", 0) for found in accounts) == 2


def test_a_refund_whose_order_never_comes_is_suppressed_in_the_end() -> None:
    """It waits as long as a visitor without a name is kept, and is accounted for."""
    told = Told().refund("", "o1").visit("c1")
    world = lived(told)
    accounts = [fold.marker.accounts.get("shop", {}).get("order.refunded", {}) for fold in world.folds]
    assert [found for found in accounts if found] == [{"suppressed": 1}]


def of_a_chain() -> Told:
    """A device that belongs to a customer through an address, and is split off."""
    told = Told().visit("v1", 2).lead("@1 v1").order("c1 @1", "o1").linked("c1 v2").visit("c1 v2")
    return told.split("anon:v1")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("who", ["c1 v1", "@1 v1", "c1 @1 v1"])
def test_who_was_split_from_a_person_is_not_linked_to_them_by_another_id(seed: int, who: str) -> None:
    """Whichever of the person's ids an event names beside it, it stays apart, and is counted so; a merge brings it back."""
    told = of_a_chain().later().visit(who)
    world = lived(told, seed)
    assert roots(world) == ["anon:v1", "c1"]
    assert counted(world, "apart") == 1
    back = told.merged("c1", "anon:v1").visit("v1").visit(who)
    assert roots(lived(back, seed)) == ["c1"]
    assert visits(of(lived(back, seed), "c1")) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_it_stays_apart_from_who_the_person_becomes(seed: int) -> None:
    """Also when the person whom it was split from is merged into another, who has never had it."""
    told = of_a_chain().order("c0", "o0").merged("c0", "c1").visit("c0 v1").visit("c1 v1")
    world = lived(told, seed)
    assert roots(world) == ["anon:v1", "c0"]
    assert counted(world, "apart") >= 1
    assert roots(lived(told.merged("c0", "anon:v1"), seed)) == ["c0"]


@pytest.mark.parametrize("seed", SEEDS)
def test_another_may_have_what_was_split_off(seed: int) -> None:
    """Apart from one person an id is free for others, and free to go where it is seen next."""
    world = lived(of_a_chain().visit("c2 v1").visit("c1 v1").visit("v1"), seed)
    assert roots(world) == ["c1", "c2"]
    assert visits(of(world, "c2")) == 4


@pytest.mark.parametrize("seed", SEEDS)
def test_an_address_takes_along_what_was_split_from_it(seed: int) -> None:
    """A device that was split from an address is asked for no more by the customer who gets the address later."""
    told = Told().visit("v1").lead("@1 v1").split("anon:v1").order("c1 @1", "o1").later().visit("c1 v1")
    world = lived(told, seed)
    assert roots(world) == ["anon:v1", "c1"]
    assert counted(world, "apart") == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_one_event_with_all_ids_links_no_device_that_was_split_from_its_address(seed: int) -> None:
    """A customer is seen with an address for the first time, and with a device that was split from the address: that stays apart."""
    told = Told().visit("v1").lead("@1 v1").split("v1").order("c1 @1 v1", "o1").visit("v1")
    world = lived(told, seed)
    assert roots(world) == ["anon:v1", "c1"]
    assert counted(world, "apart") == 1
    assert visits(of(world, "anon:v1")) == 2
    assert roots(lived(told.merged("c1", "v1"), seed)) == ["c1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_who_has_had_an_address_asks_for_it_again_at_once(seed: int) -> None:
    """c0 was refused c1's address, had it by a merge, and both were split off: an event of an earlier day gives it to c0."""
    told = Told().visit("c1 @1").later(5).visit("c0 @1").merged("c0", "c1", into="c0").split("c1").split("@1")
    told.later(-4).visit("c0 @1").mail("@1")
    world = lived(told, seed)
    assert roots(world) == ["c0", "c1"]
    assert counted(world, "email_conflict") == 1
    assert len(of(world, "c0").marks["email_clicks"].kept) == 1
