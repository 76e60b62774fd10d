"""How a move of the path becomes an announced change, and how what was announced is corrected."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from lifestage import document
from lifestage.cause import Cause, Clock, Rules, Tally
from lifestage.change import Kind, PathStep, change_id, uuid_text
from lifestage.keys import ANONYMOUS, ORDER, TICKET
from lifestage.look import Look, before_falls
from lifestage.moments import iso
from lifestage.profile import Move, Profile


def earlier(a: int | None, b: int | None) -> int | None:
    """The earlier of two instants, either of which may be absent."""
    return a if b is None else b if a is None else min(a, b)


def is_hidden(key: str, rules: Rules) -> bool:
    """Whether the profile's moves are kept to ourselves."""
    return not rules.announce_anonymous and key.startswith(ANONYMOUS)


def forget_at(profile: Profile, key: str, rules: Rules) -> int | None:
    """When an anonymous visitor without an order will be forgotten; an instant that is past means: with the next tick."""
    silence = rules.plan.plan.forget_anonymous
    if (
        silence is None
        or profile.orders
        or profile.subscriptions
        or profile.seq
        or profile.newest is None
        or not (is_hidden(key, rules) or key.startswith((ORDER, TICKET)))
    ):
        return None
    return profile.newest + silence


def move(
    profile: Profile, key: str, stage: str | None, look: Look, cause: Cause, clock: Clock, rules: Rules, tally: Tally
) -> None:
    """Put one move, at the look's instant, at the end of the path, and announce it with its ordinary kind."""
    at, plan = look.t, rules.plan
    before = profile.stage
    since = profile.moves[-1].at if profile.moves else None
    hidden = is_hidden(key, rules)
    id = _stand(profile, key, stage, at, hidden, rules, tally)
    profile.moves.append(Move(at, stage, profile.seq, id))
    if len(profile.moves) > 8:
        _trim(profile, clock.time - rules.lateness, bool(rules.window) and not hidden)
    known = look if profile.newest is None or profile.newest <= at else rules.plan.look(profile, profile.newest)
    turn = settle(known, key, stage if known is look else rules.plan.stage_at(known, stage), rules)
    if hidden:
        return
    kind = document.kind_of(plan, before, stage, cause.due is None and _reverses(profile, at, before, stage, rules))
    change = document.document(
        profile, key, at, look, before, kind, cause, clock, rules, turn,
        time_in_previous=None if since is None else at - since,
        skipped=plan.between[before, stage] if kind in ("entry", "advance", "skip") else (),
    )  # fmt: skip
    tally.change(document.envelope(change, id, at, key, cause, rules))


def _stand(profile: Profile, key: str, stage: str | None, at: int, hidden: bool, rules: Rules, tally: Tally) -> bytes:
    """Let the profile stand in `stage`, and give the change that tells so its seq and id; none to a hidden one."""
    before, plan = profile.stage, rules.plan
    tally.leave(before)
    tally.enter(stage)
    profile.stage = stage
    if hidden:
        return b""
    profile.seq += 1
    return change_id(plan.plan.id, plan.hash, key, profile.seq, at, before, stage)


def settle(look: Look, key: str, stage: str | None, rules: Rules) -> tuple[int, str | None] | None:
    """Find what time alone brings after the look, where `stage` holds, and keep the instant as the profile's `due`."""
    turn = rules.plan.next_turn(look, stage)
    profile = look.profile
    profile.due = earlier(turn[0] if turn else None, forget_at(profile, key, rules))
    return turn


def _reverses(profile: Profile, at: int, before: str | None, stage: str | None, rules: Rules) -> bool:
    """Whether it takes a refund or cancellation of that very instant to come to `stage` at `at`."""
    otherwise = before_falls(profile, at)
    return otherwise is not None and rules.plan.judge(otherwise, at, before) != stage


def correct_from(
    profile: Profile,
    key: str,
    since: int,
    until: int,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    tally: Tally,
    present_only: bool = False,
) -> None:
    """Derive the path anew in [since, until] and announce the difference from what was announced.

    Only additions: each with its ordinary kind. Anything that no longer holds: one correction. With `present_only`
    (a fact older than the lateness) the difference is one correction, too.
    """
    if present_only:
        _set_floor(profile, clock.time - rules.lateness, until, rules)
    elif profile.floor is not None and since < profile.floor:
        # before it the ledger knows more than was announced then, and what was announced stays
        since = profile.floor
    tail, path = _derived(profile, since, until, rules)
    same = 0
    while same < len(tail) and same < len(path) and (tail[same].at, tail[same].stage) == path[same]:
        same += 1
    if same == len(tail) and not (present_only and len(path) > same):
        aged = rules.plan.aged(profile) if len(path) > same else set()
        for at, now in path[same:]:
            timed = at != since and at in aged and not _reverses(profile, at, profile.stage, now, rules)
            by = cause.timer(at) if timed else cause
            move(profile, key, now, rules.plan.look(profile, at), by, clock, rules, tally)
        settle(rules.plan.look(profile, until), key, profile.stage, rules)
        return
    _correct(profile, key, tail[same:], path[same:], since, until, cause, clock, rules, tally)


def _derived(profile: Profile, since: int, until: int, rules: Rules) -> tuple[list[Move], list[tuple[int, str | None]]]:
    """The announced moves from `since` on, and those that the facts give in [since, until]."""
    tail = [m for m in profile.moves if m.at >= since]
    earlier_moves = profile.moves[: len(profile.moves) - len(tail)]
    stage = earlier_moves[-1].stage if earlier_moves else None
    path: list[tuple[int, str | None]] = []
    for at in [since, *rules.plan.turns(profile, since, until)]:
        now = rules.plan.judge(profile, at, stage)
        if now != stage:
            path.append((at, now))
            stage = now
    return tail, path


def _set_floor(profile: Profile, horizon: int, until: int, rules: Rules) -> None:
    """Where an act that came too late changes the path since the horizon, let no later fact derive it again from before `until`."""
    tail, path = _derived(profile, horizon, until, rules)
    if [(m.at, m.stage) for m in tail] != path:
        profile.floor = until


def _correct(
    profile: Profile,
    key: str,
    gone: list[Move],
    path: list[tuple[int, str | None]],
    since: int,
    until: int,
    cause: Cause,
    clock: Clock,
    rules: Rules,
    tally: Tally,
) -> None:
    hidden = is_hidden(key, rules)
    ids = list(dict.fromkeys(m.id for m in gone))
    # moves of a superseded correction that still hold are told again by this one
    restated = [(m.at, m.stage) for m in profile.moves if m.id in ids and m not in gone] if not hidden else []
    kept = [m for m in profile.moves if m not in gone and (hidden or m.id not in ids)]
    steps = [*restated, *path]
    before = profile.stage
    stage = steps[-1][1] if steps else kept[-1].stage if kept else None
    entered = steps[-1][0] if steps else kept[-1].at if kept else since
    id = _stand(profile, key, stage, entered, hidden, rules, tally)
    profile.moves = [*kept, *(Move(at, now, profile.seq, id) for at, now in steps)]
    look = rules.plan.look(profile, until)
    turn = settle(look, key, stage, rules)
    if hidden:
        return
    if rules.plan.plan.forward_only:
        # what once held need not hold now: the proof is that of the instant
        look = rules.plan.look(profile, entered)
    told: list[PathStep] = []
    previous = kept[-1].stage if kept else None
    for at, now in steps:
        told.append(PathStep(now, previous, iso(at)))
        previous = now
    change = document.document(
        profile, key, entered, look, before, _CORRECTIONS[cause.why], cause, clock, rules, turn,
        supersedes=tuple(uuid_text(raw) for raw in ids), path=tuple(told),
    )  # fmt: skip
    tally.change(document.envelope(change, id, entered, key, cause, rules))


_CORRECTIONS: Final[dict[str, Kind]] = {"": "correction", "link": "merge", "merge": "merge", "split": "split"}
"""The kind of a change that corrects, by what has happened to the customer's ids."""


def restate(
    profile: Profile, key: str, horizon: int, until: int, cause: Cause, clock: Clock, rules: Rules, tally: Tally
) -> None:
    """Derive the path up to `until` of a profile that is one again, and tell in one change what is different: that it had
    no stage, and what was told of the few facts that it had until it got all back."""
    first = until if profile.first_seen is None else profile.first_seen
    left = min((m.at for m in profile.moves if m.stage is None), default=first)
    since = min(left, max(horizon, first), until)
    tail, path = _derived(profile, since, until, rules)
    same = 0
    while same < len(tail) and same < len(path) and (tail[same].at, tail[same].stage) == path[same]:
        same += 1
    if same == len(tail) == len(path):
        settle(rules.plan.look(profile, until), key, profile.stage, rules)
    else:
        _correct(profile, key, tail[same:], path[same:], since, until, cause, clock, rules, tally)


def leave(
    profile: Profile, key: str, into: str, until: int, cause: Cause, clock: Clock, rules: Rules, tally: Tally
) -> None:
    """Announce that a profile goes on as a part of `into`: its last change for as long as it does.

    Nothing is told of a profile that nothing was told of.
    """
    before, moves = profile.stage, profile.moves
    if is_hidden(key, rules) or not profile.seq:
        tally.leave(before)
        profile.stage = None
        return
    # at one instant there is one change that holds: what was told of this one gives way
    at = max(until, moves[-1].at) if moves else until
    ids = list(dict.fromkeys(m.id for m in moves if m.at == at and m.id))
    since = next((m.at for m in reversed(moves) if m.id not in ids), None)
    id = _stand(profile, key, None, at, False, rules, tally)
    profile.due = None
    profile.moves.append(Move(at, None, profile.seq, id))
    change = document.document(
        profile, key, at, rules.plan.look(profile, at), before, "merge", cause, clock, rules, None,
        time_in_previous=None if since is None else at - since,
        supersedes=tuple(uuid_text(raw) for raw in ids), merged_into=into,
    )  # fmt: skip
    tally.change(document.envelope(change, id, at, key, cause, rules))


def _trim(profile: Profile, horizon: int, are_walked: bool) -> None:
    """Fold moves older than the horizon into sums; the last of them stays, as the stage to start from. `are_walked`: KPIs
    ask for the path."""
    moves = profile.moves
    last_old = -1
    for index, past in enumerate(moves):
        if past.at < horizon:
            last_old = index
    # a correction is superseded as a whole, so its moves stay until the last of them is old
    while last_old > 0 and moves[last_old].id and moves[last_old - 1].id == moves[last_old].id:
        last_old -= 1
    if last_old < 1:
        return
    for past, then in pairwise(moves[: last_old + 1]):
        first, times, spent = profile.before.get(past.stage or "", (past.at, 0, 0))
        profile.before[past.stage or ""] = (min(first, past.at), times + 1, spent + then.at - past.at)
        if are_walked and then.at != past.at:
            profile.walked.append((past.at, past.stage))
    del moves[:last_old]
