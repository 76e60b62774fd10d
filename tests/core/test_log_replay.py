"""A log of many customers read once more gives the same bytes, in whatever portions it is read and kept."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from config.plan_files import sheet_of, shipped
from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced, encode_value
from lifestage.facts import Fact
from lifestage.partition import Partition
from lifestage.plan import Compiled
from tests.core.histories import START, Record, Tick, partition, records
from tests.core.histories_all import histories, many
from tests.core.oracle_plans import DAY
from tests.core.plans_all import ALL_KINDS, kinds_asked, plans

SHIPPED = st.sampled_from([sheet_of(name).plan for name in shipped()])
CUSTOMERS = ("c1", "c2", "anon:v")
REFUSED = log.pack_refused(
    log.Refused("rejected", "shop", "web.visit", "missing_field"), log.topic_code("visits"), 2, 7
)


class Kept(NamedTuple):
    """A log as it stands on disk, and the rules it is read by."""

    rules: Rules
    records: list[Record]


@st.composite
def shared_logs(draw: st.DrawFn) -> Kept:
    """A log of three customers whose facts come in any order, late and too late, with ticks, refusals and source records again."""
    plan = draw(st.one_of(plans(), SHIPPED))
    items: list[Fact | Tick] = []
    for customer in CUSTOMERS:
        items += draw(histories([*kinds_asked(plan), *ALL_KINDS[:3]], 5, customer))
    items += draw(st.lists(st.integers(0, 500).map(lambda day: Tick(START + day * DAY)), max_size=4))
    found = records(draw(st.permutations(items)))
    again = draw(st.lists(st.sampled_from([*found, (0, None, REFUSED)]), max_size=3))
    rules = Rules(Compiled(plan), announce_anonymous=draw(st.booleans()))
    return Kept(rules, [(offset * 2, key, value) for offset, (_, key, value) in enumerate([*found, *again])])


def told(changes: list[Announced]) -> list[bytes]:
    """Changes as bytes, envelopes and all."""
    return list(map(encode_value, changes))


def read(kept: Kept) -> tuple[list[bytes], Partition]:
    """The log in one go."""
    whole = partition(kept.rules)
    return told(whole.fold(kept.records)), whole


@many
@given(shared_logs(), st.data())
def test_portions_do_not_show(kept: Kept, data: st.DataObject) -> None:
    """Read in portions, with all profiles made bytes between some of them: the same changes, counts and profiles."""
    expected, whole = read(kept)
    parts, changes, rest = partition(kept.rules), list[Announced](), kept.records
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        for some in parts.folding(rest[:size]):
            changes += some
        rest = rest[size:]
        if data.draw(st.booleans()):
            parts.checkpoint()
    assert told(changes) == expected
    whole.checkpoint()
    parts.checkpoint()
    assert (parts.stored, parts.marker) == (whole.stored, whole.marker)


@many
@given(shared_logs(), st.data())
def test_a_log_read_up_to_an_offset_tells_the_beginning(kept: Kept, data: st.DataObject) -> None:
    """What comes later in the log changes nothing that was told before."""
    expected, _ = read(kept)
    cut = data.draw(st.integers(0, len(kept.records)))
    beginning = told(partition(kept.rules).fold(kept.records[:cut]))
    assert expected[: len(beginning)] == beginning


@many
@given(shared_logs(), st.sampled_from(CUSTOMERS))
def test_customers_do_not_meet(kept: Kept, customer: str) -> None:
    """The changes of one customer are those of a log without the others, byte for byte."""
    whole, alone = partition(kept.rules), partition(kept.rules)
    changes = whole.fold(kept.records)
    own = alone.fold(r for r in kept.records if r[1] is None or r[1].decode() == customer)
    assert told([c for c in changes if c.partitionkey == customer]) == told(own)
    assert whole.profile(customer.encode()) == alone.profile(customer.encode())
