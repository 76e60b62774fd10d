"""The path of a customer equals what the table of clm5 says at every instant, however the facts arrive."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lifestage.change import encode_value
from lifestage.facts import Fact
from lifestage.moments import parse
from lifestage.replay import Path, replay
from tests.core import oracle
from tests.core.histories import (
    RULES,
    WEEK,
    Tick,
    arrivals,
    at_day,
    facts,
    mail,
    order,
    partition,
    record,
    records,
    refund,
    standing_moves,
    thorough,
    visit,
)
from tests.core.oracle import DAY

ends = st.sampled_from((1, 2, DAY, 90 * DAY, 91 * DAY, 200 * DAY, 500 * DAY))


def replayed(history: list[Fact], end: int | None = None) -> Path:
    """File replay of the history under plan clm5."""
    return replay(history, RULES, end)


@thorough
@given(facts(), ends)
def test_file_replay_is_the_table(history: list[Fact], after: int) -> None:
    """A replay of a file has exactly the moves that the table gives, at their instants, and none twice."""
    end = max(fact.time for fact in history) + after
    moves = standing_moves(replayed(history, end).changes)
    assert moves == oracle.path(history, end)


@thorough
@given(facts(), ends)
def test_file_replay_judges_an_instant_once(history: list[Fact], after: int) -> None:
    """A file holds the past: all facts of an instant apply before the stage is judged, so nothing is ever corrected."""
    end = max(fact.time for fact in history) + after
    changes = replayed(history, end).changes
    assert [change.data.kind for change in changes if change.data.kind == "correction"] == []


@thorough
@given(facts(), st.randoms(use_true_random=False))
def test_files_may_be_in_any_order(history: list[Fact], chance: object) -> None:
    """The order of the rows of a file plays no part, down to the last byte."""
    shuffled = list(history)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert list(map(encode_value, replayed(history).changes)) == list(map(encode_value, replayed(shuffled).changes))


@thorough
@given(facts(), ends)
def test_live_in_order_of_time_is_file_replay(history: list[Fact], after: int) -> None:
    """Facts that arrive in the order of their times, then a tick: the moves of the file replay."""
    end = max(fact.time for fact in history) + after
    in_time = sorted(history, key=lambda f: (f.time, f.source, f.id))
    live = partition().fold(records([*in_time, Tick(end)]))
    assert standing_moves(live) == standing_moves(replayed(history, end).changes)


@thorough
@given(arrivals())
def test_any_order_of_arrival_ends_in_the_same_path(log: list[Fact | Tick]) -> None:
    """Within the lateness the order of arrival plays no part: with what is superseded taken out, the path is the table's."""
    end = max(item.time for item in log if isinstance(item, Tick))
    changes = partition().fold(records(log))
    path = oracle.path([item for item in log if not isinstance(item, Tick)], end)
    assert standing_moves(changes) == path
    assert (changes[-1].data.stage if changes else None) == (path[-1][1] if path else None)


@thorough
@given(arrivals())
def test_the_announced_history_is_the_path_after_every_record(log: list[Fact | Tick]) -> None:
    """After each record, not only in the end: announced is the path up to the newest fact or the last tick."""
    folded, changes, known = partition(), [], list[Fact]()
    reached = ticked = -1
    for offset, item in enumerate(log):
        changes += folded.fold([record(offset, item)])
        if isinstance(item, Tick):
            ticked = max(ticked, item.time - 1)
        else:
            known.append(item)
            reached = max(reached, item.time)
        assert standing_moves(changes) == oracle.path(known, max(reached, ticked) + 1)


@thorough
@given(arrivals())
def test_numbers_links_and_ids_of_changes(log: list[Fact | Tick]) -> None:
    """seq is 1, 2, 3 …; each change starts from the stage of the one before; ids differ, and are the same in each run."""
    changes = partition().fold(records(log))
    assert [change.data.seq for change in changes] == list(range(1, len(changes) + 1))
    before = [None, *(change.data.stage for change in changes)]
    assert [change.data.previous_stage for change in changes] == before[:-1]
    ids = [change.id for change in changes]
    assert len(set(ids)) == len(ids)
    assert list(map(encode_value, partition().fold(records(log)))) == list(map(encode_value, changes))
    moves = [at for at, _ in standing_moves(changes)]
    assert len(set(moves)) == len(moves)


@thorough
@given(arrivals())
def test_a_correction_says_which_and_why(log: list[Fact | Tick]) -> None:
    """What supersedes is a correction, one for one record; no other kind supersedes or carries a path."""
    folded, told = partition(), set[str]()
    for offset, item in enumerate(log):
        changes = folded.fold([record(offset, item)])
        kinds = [change.data.kind for change in changes]
        assert "correction" not in kinds or len(kinds) == 1
        for change in changes:
            data = change.data
            assert (data.kind == "correction") or not (data.supersedes or data.path)
            assert data.kind != "correction" or data.supersedes
            assert set(data.supersedes) <= told
            assert not data.path or (data.path[-1].stage, data.path[-1].entered_at) == (data.stage, data.entered_at)
        told |= {change.id for change in changes}


@thorough
@given(arrivals())
def test_kinds_directions_and_stages_skipped(log: list[Fact | Tick]) -> None:
    """The kind of every change in its time, with its direction and what it skipped, is the first that fits."""
    history = [item for item in log if not isinstance(item, Tick)]
    in_time = sorted({fact.time: fact for fact in history}.values(), key=lambda f: f.time)
    for change in replayed(list(in_time), max(item.time for item in log)).changes:
        data, at = change.data, parse(change.data.entered_at)
        assert data.stage is not None
        expected = oracle.kind(data.previous_stage, data.stage, oracle.is_reversal(in_time, at))
        assert data.kind == expected
        assert data.direction == oracle.direction(data.previous_stage, data.stage)
        assert list(data.skipped) == oracle.skipped(data.previous_stage, data.stage, expected)


@thorough
@given(arrivals())
def test_kinds_do_not_depend_on_arrival(log: list[Fact | Tick]) -> None:
    """What is announced late for the first time has the kind that it would have had in its time."""
    folded, known = partition(), list[Fact]()
    for offset, item in enumerate(log):
        known += [] if isinstance(item, Tick) else [item]
        for change in folded.fold([record(offset, item)]):
            data = change.data
            assert data.stage is not None
            if data.kind != "correction":
                reversal = oracle.is_reversal(known, parse(data.entered_at))
                assert data.kind == oracle.kind(data.previous_stage, data.stage, reversal)


@thorough
@given(arrivals(), st.data())
def test_duplicates_add_nothing(log: list[Fact | Tick], data: st.DataObject) -> None:
    """Facts that come again, at any place behind the first, are counted as duplicates (or late) and change nothing."""
    doubled = list(log)
    for again in data.draw(st.lists(st.sampled_from([i for i in log if not isinstance(i, Tick)]), max_size=4)):
        doubled.insert(data.draw(st.integers(doubled.index(again) + 1, len(doubled))), again)
    once, twice = partition(), partition()
    expected = [(c.id, c.data.stage, c.data.kind) for c in once.fold(records(log))]
    assert [(c.id, c.data.stage, c.data.kind) for c in twice.fold(records(doubled))] == expected
    outcomes: dict[str, int] = {}
    for by_type in twice.marker.accounts["shop"].values():
        for outcome, events in by_type.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + events
    assert sum(outcomes.values()) == len(doubled) - sum(isinstance(item, Tick) for item in log)
    assert twice.marker.sums == once.marker.sums
    assert twice.marker.population == once.marker.population


@thorough
@given(arrivals(), st.data())
def test_two_halves_are_the_whole(log: list[Fact | Tick], data: st.DataObject) -> None:
    """Kept and taken up again between any two records, the changes are the same bytes."""
    cut = data.draw(st.integers(0, len(log)))
    first, second = partition(), partition()
    changes = first.fold(records(log)[:cut])
    kept = first.checkpoint()
    for key, value in kept.profiles.items():
        second.restore(key, value)
    second.restore(b"\x00marker", kept.marker)
    second.recovered()
    changes += second.fold(records(log))
    assert list(map(encode_value, changes)) == list(map(encode_value, partition().fold(records(log))))


@thorough
@given(arrivals())
def test_time_does_what_was_foretold(log: list[Fact | Tick]) -> None:
    """`next_due_at` is when the next change comes if nothing else does, `next_due_stage` is to where; none: never."""
    silent = partition()
    changes = silent.fold(records(log[:-1]))
    later = silent.fold([record(len(log), Tick(max(item.time for item in log) + 3650 * DAY))])
    last, newest = log[-2] if len(log) > 1 else None, changes[-1].data if changes else None
    if newest is None or last is None or newest.trigger.offset != len(log) - 2:
        return
    # a timer that fired before the last fact was folded knew nothing of it
    if newest.kind == "correction" or parse(newest.entered_at) >= last.time:
        then = (later[0].data.entered_at, later[0].data.stage) if later else (None, None)
        assert (newest.next_due_at, newest.next_due_stage) == then


@thorough
@given(facts())
def test_timers_carry_the_instant_at_which_they_were_due(history: list[Fact]) -> None:
    """A move between facts is stamped with its own instant and says so, however late the tick that fires it."""
    end = max(fact.time for fact in history) + 4000 * DAY
    in_time = sorted(history, key=lambda f: (f.time, f.source, f.id))
    instants = {fact.time for fact in history}
    for change in partition().fold(records([*in_time, Tick(end)])):
        if parse(change.data.entered_at) not in instants and change.data.kind != "correction":
            assert change.data.trigger.type == "timer"
            assert change.data.trigger.due_at == change.data.entered_at == change.time
            assert change.causationid is None


def test_lateness_of_the_tests_is_the_default() -> None:
    """What these properties call in time is what the product does."""
    assert RULES.lateness == WEEK


def test_a_mailing_that_nobody_opened_ages_beside_later_activity() -> None:
    """Dormant between a delivered mail and a first visit 91 days later stays true when another mail turns up late."""
    late = mail(88, "e3")
    changes = partition().fold(records([mail(0, "e1"), at_day(91), visit(91, "e2"), late, at_day(92)]))
    assert [(change.data.kind, change.data.stage) for change in changes] == [
        ("entry", "reach"),
        ("dormancy", "dormant"),
        ("recovery", "reach"),
    ]


def test_a_partial_refund_at_the_due_instant_is_not_why() -> None:
    """A refund that changes no stage, exactly 90 days after the order: time brings at_risk, and it is no reversal."""
    for changes in (
        partition().fold(records([order(0, "e1", "o1"), refund(90, "e2", "o1", 1)])),
        replayed([order(0, "e1", "o1"), refund(90, "e2", "o1", 1)]).changes,
    ):
        assert [change.data.kind for change in changes] == ["entry", "at_risk"]
        assert (changes[1].data.trigger.type, changes[1].causationid) == ("timer", None)


def test_offline_changes_stand_in_order_of_time() -> None:
    """A change one millisecond later stands later, though its time is written with more digits."""
    first, second = visit(0, "e1"), visit(0, "e2")
    then = msgspec.structs.replace(second, time=second.time + 1, customer_id="a first in the alphabet")
    assert [change.partitionkey for change in replayed([then, first]).changes] == ["c1", "a first in the alphabet"]
