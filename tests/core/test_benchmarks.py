"""The benchmark's own parts: what it draws, and what it takes for the same."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from typing import Any

import pytest

from benchmarks import full, memory, plot, simple
from benchmarks.__main__ import BEGIN, END, expected_of, replaced
from benchmarks.broker import EventSet
from benchmarks.compare import BrokenHistoryError, difference, outcome_of, transitions
from benchmarks.events import SourceEvent, customers_of, generate
from benchmarks.measuring import Run
from benchmarks.peers import full_fold
from benchmarks.peers.fold import NEW, fold
from benchmarks.table import ratios, render, spread
from lifestage.decode import Decoder
from lifestage.facts import Fact
from streams.doorway import partition_of


def change(seq: int, before: str | None, after: str | None, at: str, **more: Any) -> tuple[str, bytes]:
    """A change of customer c1 with id `i<seq>`, as a record of the topic."""
    fields = {"customer_id": "c1", "seq": seq, "stage": after, "previous_stage": before, "entered_at": at}
    return f"i{seq}", json.dumps({**fields, "kind": "advance", **more}).encode()


FIRST = change(1, None, "reach", "2026-01-02")
SECOND = change(2, "reach", "conversion", "2026-01-04")
CORRECTION = change(
    3, "conversion", "conversion", "2026-01-04", kind="correction", supersedes=["i1"],
    path=[{"stage": "acquisition", "previous_stage": None, "entered_at": "2026-01-01"}],
)  # fmt: skip


def test_the_same_seed_draws_the_same_bytes() -> None:
    """Two draws of a seed are equal, on any machine; another seed gives other events."""
    drawn = b"".join(key + value for _, key, value in generate(500))
    assert hashlib.sha256(drawn).hexdigest()[:16] == "38b77e5727e1cd5d"
    assert b"".join(key + value for _, key, value in generate(500, seed=2)) != drawn


def test_events_come_in_the_stated_shares_and_order() -> None:
    """75 % visits, 17 % emails, 8 % purchases; rising event time, no instant and no id twice; all within 60 days."""
    drawn = list(generate(2_000))
    assert Counter(event.topic for event in drawn) == {"visits": 1_500, "emails": 340, "purchases": 160}
    facts = [Decoder(b"secret").decode(event.value, None) for event in drawn]
    times = [fact.time for fact in facts if isinstance(fact, Fact)]
    assert len(times) == 2_000
    assert times == sorted(set(times))
    assert times[-1] - times[0] < 60 * 86_400_000
    assert len({fact.id for fact in facts if isinstance(fact, Fact)}) == 2_000
    assert len({event.key for event in drawn}) <= customers_of(2_000) == 300


def test_each_event_is_keyed_by_the_customer_it_names() -> None:
    """Every contestant may trust the record's key."""
    assert all(json.loads(event.value)["customer_id"].encode() == event.key for event in generate(300))


def test_a_set_keeps_each_partition_in_order() -> None:
    """Records stand by topic and partition, as Kafka's own producers would place them, in the order drawn."""
    drawn = list(generate(400))
    events = EventSet(drawn, 4)
    assert events.count == 400
    assert sorted(events.values()) == sorted(event.value for event in drawn)
    for topic, by_partition in events.topics.items():
        for partition, records in by_partition.items():
            mine = [e for e in drawn if e.topic == topic and partition_of(e.key, 4) == partition]
            assert [(key, value) for key, value, _ in records] == [(e.key, e.value) for e in mine]


def test_a_path_is_what_no_correction_has_taken_out() -> None:
    """Records in any order, some twice: superseded moves go, those of the correction stand in their place."""
    outcome = outcome_of([CORRECTION, SECOND, FIRST, SECOND])
    assert outcome.paths == {"c1": (("2026-01-01", "acquisition"), ("2026-01-04", "conversion"))}
    assert (outcome.announced, outcome.corrections) == (3, 1)
    assert transitions(outcome.paths) == {("", "acquisition"): 1, ("acquisition", "conversion"): 1}


def test_a_history_with_a_hole_or_a_jump_is_no_history() -> None:
    """A missing seq, or a previous stage that was never announced, is not compared at all."""
    with pytest.raises(BrokenHistoryError, match="none with seq 2"):
        outcome_of([FIRST, CORRECTION])
    with pytest.raises(BrokenHistoryError, match="goes on from retention, after one to reach"):
        outcome_of([FIRST, change(2, "retention", "loyalty", "2026-01-04")])


def test_a_difference_names_a_customer() -> None:
    """One other instant, one customer too few or too many: each is found; the same in another order is none."""
    paths = outcome_of([FIRST, SECOND]).paths
    assert difference(paths, dict(reversed(list(paths.items())))) == ""
    assert "1 of 1 customers differ, such as c1" in difference(paths, {})
    assert "1 of 0 customers differ, such as c1" in difference({}, paths)
    assert "c1" in difference(paths, {"c1": (("2026-01-02", "reach"), ("2026-01-05", "conversion"))})


def test_what_arrives_late_ends_in_the_same_path() -> None:
    """The offline replay of a set does not depend on the order in which its events are given."""
    drawn = list(generate(1_500))
    forward = expected_of(EventSet(drawn, 8))
    backward = expected_of(EventSet(reversed(drawn), 8))
    assert len(forward) > 100
    assert difference(forward, backward) == ""


def test_a_refused_event_ends_the_benchmark() -> None:
    """An event that the door refuses would make the contestants differ: it is said before anything is measured."""
    with pytest.raises(RuntimeError, match="refused"):
        expected_of(EventSet([SourceEvent("visits", b"c1", b"{}")], 8))


def measured(rate: float) -> Run:
    """A run of 1,000 events at `rate`."""
    return Run(1_000, 1_000 / rate, 0.5, 100.0, 2.0, 7)


def test_ratios_come_first_and_round_by_round() -> None:
    """Each round is divided by the peer's of the same round, so that a slow minute hits both."""
    mine, theirs = [measured(100), measured(50), measured(90)], [measured(10), measured(10), measured(30)]
    assert ratios(mine, theirs) == pytest.approx((3, 5, 10))
    shown = render({"ours": mine, "peer": theirs}, ["ours"]).splitlines()
    assert shown[0] == "**ours: 5.0 times peer (3.0 to 10.0)**"
    assert shown[-2] == (
        "| ours | 1,000 | 90 (50 to 100) | 500.0 (500.0 to 500.0) | 100 (100 to 100) | 2.0 (2.0 to 2.0) "
        "| 0.0 (0.0 to 0.0) | 7 |"
    )
    assert spread([2000.0, 1.0, 3.0]) == "3 (1 to 2,000)"


def test_the_simple_jobs_fold_says_what_its_reference_says() -> None:
    """The reference, which keeps no state, and the peers' fold announce the same, field by field; and all stages occur."""
    drawn = list(simple.events_of(3_000))
    wanted = simple.expected(event.value for event in drawn)
    states: dict[bytes, list[int]] = {}
    said = [fold(states.setdefault(event.key, list(NEW)), json.loads(event.value)) for event in drawn]
    told = simple.told(json.dumps(change).encode() for change in said if change is not None)
    assert simple.difference(wanted, told) == ""
    assert {change[1] for changes in wanted.values() for change in changes} == {
        "reach", "acquisition", "conversion", "retention", "loyalty",
    }  # fmt: skip


def test_the_simple_jobs_rules_are_those_of_the_plan() -> None:
    """A replay of the same events by the product makes the same moves at the same instants."""
    events = EventSet(simple.events_of(3_000), 8)
    assert difference(expected_of(events), simple.moves(simple.expected(events.values()))) == ""


def test_the_full_jobs_fold_says_what_its_reference_says() -> None:
    """Event by event and timer by timer the peers' fold announces what the reference does; and every stage and refusal occurs."""
    drawn = list(full.draw(5_000))
    wanted, count = full.reference(EventSet(drawn, 8))
    states: defaultdict[str, list[int]] = defaultdict(lambda: list(full_fold.NEW))
    said, refused = [], Counter[bytes]()
    for event in drawn:
        try:
            needed = full_fold.checked(json.loads(event.value))
        except (full_fold.RefusedError, json.JSONDecodeError):
            refused[event.value] += 1
            continue
        said += full_fold.add(states[needed["customer_id"]], needed)
    for customer, state in states.items():
        said += full_fold.advance(customer, state, full.END)
    assert refused == wanted.refused
    assert refused.total() == 50
    assert len(said) == count
    assert simple.difference(wanted.changes, full.told(json.dumps(change).encode() for change in said)) == ""
    moves = {(change[2], change[1]) for changes in wanted.changes.values() for change in changes if change[4] == ""}
    assert {("loyalty", "retention"), ("conversion", "at_risk"), ("at_risk", "churned"), ("reach", "dormant")} <= moves


def test_the_full_jobs_rules_are_those_of_the_plan() -> None:
    """The product refuses the same events, and its replay of the others makes the same moves until the last event."""
    events = EventSet(full.draw(3_000), 8)
    wanted, _ = full.reference(events)
    decode = Decoder(b"secret").decode
    refused = Counter(value for value in events.values() if not isinstance(decode(value, None), Fact))
    assert refused == wanted.refused
    sound = [SourceEvent("events", b"", value) for value in events.values() if value not in refused]
    replayed = {
        customer: tuple(move for move in moves if move[0] < "2025-08-01")
        for customer, moves in expected_of(EventSet(sound, 8)).items()
    }
    told = {
        customer: tuple(move for move in moves if move[0] < "2025-08-01")
        for customer, moves in full.moves(wanted.changes).items()
    }
    assert difference(told, replayed) == ""


@pytest.mark.parametrize("field", range(len(simple.FIELDS)))
def test_one_wrong_field_of_a_change_is_found(field: int) -> None:
    """Whatever a contestant gets wrong of a change, the comparison names the customer."""
    wanted = simple.expected(event.value for event in simple.events_of(200))
    customer = next(iter(wanted))
    first, *rest = wanted[customer]
    wrong = (*first[:field], "other", *first[field + 1 :])
    assert f"such as {customer}" in simple.difference(wanted, {**wanted, customer: (wrong, *rest)})
    assert f"such as {customer}" in simple.difference(wanted, {**wanted, customer: (first, *rest, first)})


def test_the_picture_has_a_bar_as_long_as_each_median() -> None:
    """Bars of a group are in proportion, ours in another colour; names with signs of markup do no harm."""
    picture = plot.svg({"a & b": {"ours": [measured(100), measured(300)], "<peer>": [measured(50)]}}, ["ours"])
    root = ET.fromstring(picture)  # noqa: S314 - our own
    bars = [one.attrib for one in root if one.tag.endswith("rect") and "x" in one.attrib]
    assert [float(bar["width"]) for bar in bars] == pytest.approx([340.0, 85.0], abs=0.1)
    assert bars[0]["fill"] != bars[1]["fill"]
    assert [one.text for one in root if one.tag.endswith("text")] == ["a & b", "ours", "200/s", "<peer>", "50/s"]


def test_the_table_goes_between_its_marks() -> None:
    """What others have written into the page stays; a page without marks is refused."""
    assert replaced(f"before\n{BEGIN}old\n{END}after\n", "new\n") == f"before\n{BEGIN}new\n{END}after\n"
    with pytest.raises(ValueError, match="to write between"):
        replaced("before\nafter\n", "new\n")


def test_blocks_of_the_memory_benchmark_share_nobody() -> None:
    """A second block brings as many customers, addresses and orders as the first: none is taken for one of the first."""
    shop = memory.Shop(200)
    seen = []
    for block in range(2):
        shop.fold(shop.facts(block))
        keys = [key for partition in shop.partitions for key in partition.stored]
        seen.append(Counter("customer" if memory.is_customer(key) else key.partition(b":")[0].decode() for key in keys))
    first, both = seen
    assert set(first) == {"customer", "email", "order"}
    assert 190 < first["customer"] <= 200
    assert both == Counter({name: 2 * count for name, count in first.items()})
