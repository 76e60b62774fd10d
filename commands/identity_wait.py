"""A merge or split on its way: sent to its source, then waited for until the workers have done it, or will not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from lifestage.announce import forget_at
from lifestage.facts import IdentityMerged, IdentitySplit
from lifestage.keys import MERGES
from lifestage.loads import decode_part
from lifestage.moments import iso
from lifestage.seen import has_seen, id_hash

if TYPE_CHECKING:
    from config.settings import Settings
    from lifestage.cause import Rules
    from lifestage.profile import Belongs, Kin, Profile
    from streams.kept_reader import KeptReader

POLL_S = 0.3
UNHEARD = "`lifestage status` says whether they keep up, `lifestage dead-letters list` whether it was rejected: id"
UNFIT = "refused: it no longer fits what was merged before; `lifestage identity show` says how they stand"
Wanted = IdentityMerged | IdentitySplit


class Kept(Protocol):
    """What is kept of ids, as of one moment."""

    def profile(self, key: str) -> Profile | None:
        """What is kept of an id."""

    def chain(self, key: str) -> tuple[str, ...]:
        """An id, the one that it belongs to, and so on."""


class Asked(NamedTuple):
    """What was asked for, and where it is."""

    fact: Wanted
    place: str

    def told(self) -> str:
        """What it is, in words."""
        if isinstance(self.fact, IdentitySplit):
            return f"the split of {', '.join(self.fact.ids)}"
        return f"the merge of {', '.join(self.fact.ids)}" + (f" into {self.fact.into}" if self.fact.into else "")


class Outcome(NamedTuple):
    """How it ended: `done` None while it is on its way."""

    done: bool | None
    said: list[str]


def event_of(fact: Wanted) -> dict[str, object]:
    """The event that becomes such a fact."""
    common = {"id": fact.id, "source": fact.source, "time": iso(fact.time), "ids": list(fact.ids)}
    if isinstance(fact, IdentitySplit):
        return {**common, "type": "identity.split"}
    return {**common, "type": "identity.merged", **({"into": fact.into} if fact.into else {})}


def sent(settings: Settings, fact: Wanted) -> str:
    """Put the event into its source; where it is. Raises `UserFacingError`, also for one that would be rejected."""
    from config.errors import UserFacingError
    from lifestage.refusal import Refusal
    from streams.doorway import decoder_of
    from streams.outgoing import Outgoing, SendError, send, topic_for
    from streams.running import bootstrap_of

    event = event_of(fact)
    value = msgspec.json.encode(event)
    found = decoder_of(settings).decode(value, int(time.time() * 1000))
    if isinstance(found, Refusal):
        raise UserFacingError(f"not sent, it would be rejected ({found.reason}): {found.message}")
    try:
        # one key, so that what one person asks for stays in its order
        record = Outgoing(topic_for(str(event["type"]), settings), MERGES.encode(), value)
        return str(next(iter([*send(settings, bootstrap_of(settings), [record])])))
    except SendError as error:
        raise UserFacingError(str(error)) from None


def waited(reader: KeptReader, settings: Settings, asked: Asked, wait_s: float) -> Outcome:
    """Look at what is kept until it is as was asked for, or never will be, for so long at the most."""
    from commands.progress import progress
    from streams.rules import rules_of

    rules, until = rules_of(settings), time.monotonic() + wait_s
    hashed = id_hash(asked.fact.source, asked.fact.id, rules.id_key)
    owed = owed_to(reader, asked.fact, rules, max(marker.clock for marker in reader.markers()))
    with progress() as shown:
        shown.begin("waiting for a worker", None)
        began = time.monotonic()
        while True:
            outcome = judged(reader, asked.fact, hashed, owed)
            if outcome.done is not None:
                return outcome
            if time.monotonic() > until:
                return Outcome(False, [f"not done after {wait_s:g} s: {outcome.said[0]}", *outcome.said[1:]])
            shown.reach(0, f"{time.monotonic() - began:.0f} s, {outcome.said[0]}")
            time.sleep(POLL_S)
            reader.catch_up()


def owed_to(reader: Kept, fact: Wanted, rules: Rules, clock: int) -> frozenset[str]:
    """The ids of a split that get facts back, as of before it; not those that are forgotten as soon as they have them."""
    if not isinstance(fact, IdentitySplit):
        return frozenset()
    whose = {id: _kin(reader, reader.chain(id)[-1]) for id in fact.ids}
    parts = {id: part for id, kin in whose.items() if kin is not None and (part := kin.parts.get(id))}
    until = {id: forget_at(decode_part(part), id, rules) for id, part in parts.items()}
    return frozenset(id for id, instant in until.items() if instant is None or instant > clock)


def judged(reader: Kept, fact: Wanted, hashed: bytes, owed: frozenset[str]) -> Outcome:
    """How far it has come, as of what was read; `owed` are the ids that get facts back."""
    merges = reader.profile(MERGES)
    if merges is None or not has_seen(merges, hashed, 0):
        return Outcome(
            None,
            [f"no worker has come to it yet ({UNHEARD} {fact.id})"],
        )
    if isinstance(fact, IdentitySplit):
        return _split(reader, fact, owed)
    return _merged(reader, fact, {} if merges.kin is None else merges.kin.members)


def _merged(reader: Kept, fact: IdentityMerged, forest: dict[str, Belongs]) -> Outcome:
    for id in fact.ids:
        whose = _kin(reader, id)
        if whose is not None and whose.alias not in (None, *fact.ids):
            return Outcome(False, [f"refused: {id} belongs to {whose.alias} meanwhile, which is to be split off first"])
    survivors = [id for id in fact.ids if id not in forest or forest[id].parent not in fact.ids]
    absorbed = [id for id in fact.ids if id not in survivors]
    if len(survivors) != 1 or (fact.into is not None and survivors != [fact.into]):
        return Outcome(False, [UNFIT])
    (into,) = survivors
    for id in absorbed:
        whose = _kin(reader, id)
        if whose is None or whose.alias is None:
            return Outcome(None, [f"{id} is about to be joined to {into}"])
        if whose.alias != into:
            return Outcome(False, [f"refused: {id} belongs to {whose.alias} meanwhile, which is to be split off first"])
    survivor = _kin(reader, into)
    if survivor is None or not all(id in survivor.members for id in absorbed):
        return Outcome(None, [f"the facts are on their way to {into}"])
    belong = "belong" if len(absorbed) > 1 else "belongs"
    return Outcome(True, [f"done: {', '.join(absorbed)} now {belong} to {into}", *_stands(reader, into)])


def _split(reader: Kept, fact: IdentitySplit, owed: frozenset[str]) -> Outcome:
    for id in fact.ids:
        profile = reader.profile(id)
        kin = None if profile is None else profile.kin
        if profile is None or kin is None:
            continue  # split off, and forgotten: it had been silent for so long
        if kin.alias is not None:
            return Outcome(None, [f"{id} is about to be split off"])
        if id in owed and profile.first_seen is None:
            return Outcome(None, [f"the facts are on their way back to {id}"])
        for other in kin.apart:
            whose = _kin(reader, reader.chain(other)[-1]) if reader.chain(other) else None
            if whose is not None and id in whose.members and not whose.members[id].past:
                return Outcome(None, [f"the facts are on their way back to {id}"])
    return Outcome(
        True, [line for id in fact.ids for line in (f"done: {id} is a customer of its own", *_stands(reader, id))]
    )


def _kin(reader: Kept, key: str) -> Kin | None:
    profile = reader.profile(key)
    return None if profile is None else profile.kin


def _stands(reader: Kept, key: str) -> list[str]:
    profile = reader.profile(key)
    if profile is None or profile.stage is None:
        return [f"{key} is in no stage"]
    since = f" since {iso(profile.moves[-1].at)}" if profile.moves else ""
    return [f"{key} is in {profile.stage}{since}"]
