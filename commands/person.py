"""One customer's ids as the workers keep them: where each came from, since when, and what came under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from config.errors import UserFacingError
from lifestage.preview import Sums, facts_of, sums_of

if TYPE_CHECKING:
    from lifestage.messages import Link, Occasion
    from lifestage.profile import Belongs, Kin, Profile
    from streams.kept_reader import KeptReader


class OneId(msgspec.Struct, frozen=True):
    """One id of a customer, and what came under it."""

    id: str
    linked_to: str | None
    """The id that it came by; None for the customer's own."""
    past: bool
    """It has gone to another customer since: what came before stays here."""
    since: str | None
    """Time of the event by which it came; None for the customer's own, and where that is no longer known."""
    by: str | None
    """That event: type, id and source."""
    facts: dict[str, int]
    sums: dict[str, Sums]
    first_seen_at: str | None
    last_seen_at: str | None
    """Time of its newest fact."""
    last_active_at: str | None
    """When somebody last did something under it; a mail that was delivered is a fact and no activity."""


class Person(msgspec.Struct, frozen=True):
    """A customer with all their ids."""

    customer_id: str
    asked_for: tuple[str, ...]
    """The id that was asked for, the one that it belongs to, and so on to the customer's own."""
    stage: str | None
    stage_since: str | None
    ids: tuple[OneId, ...]
    """The customer's own first."""
    facts: dict[str, int]
    """Of all ids together, each counted once."""
    sums: dict[str, Sums]
    first_seen_at: str | None
    last_seen_at: str | None
    last_active_at: str | None
    asked: dict[str, str]
    """Ids that events named and that do not belong here: the day of the event that did so last."""
    apart: tuple[str, ...]
    """Customers that this one was split from: events do not link them again."""


def person_of(reader: KeptReader, chain: tuple[str, ...]) -> Person:
    """The customer at the end of a chain of ids. Raises `UserFacingError` while that is on the way to another."""
    from lifestage.moments import iso
    from lifestage.profile import DAY, Kin

    key = chain[-1]
    profile, horizon = reader.profile(key), reader.horizon
    assert profile is not None, "a chain ends with what is known"
    kin = profile.kin or Kin()
    if kin.alias is not None:
        raise UserFacingError(f"{key} is being joined to {kin.alias} at this moment: try again")
    members = sorted(kin.members)
    return Person(
        customer_id=key,
        asked_for=chain,
        stage=profile.stage,
        stage_since=iso(profile.moves[-1].at) if profile.moves else None,
        ids=(_own(key, profile, kin, horizon), *(_member(reader, name, kin) for name in members)),
        facts=facts_of(profile, horizon),
        sums=sums_of(profile),
        first_seen_at=_told(profile.first_seen),
        last_seen_at=_told(profile.newest),
        last_active_at=_told(_last_active(profile)),
        asked={name: iso(day * DAY)[:10] for name, day in sorted(kin.asked.items()) if name not in kin.members},
        apart=tuple(sorted(kin.apart)),
    )


def _own(key: str, profile: Profile, kin: Kin, horizon: int) -> OneId:
    from lifestage.loads import decode_part
    from lifestage.members import OWN

    return _id(key, None, decode_part(kin.parts.get(OWN)) if kin.parts else profile, horizon)


def _member(reader: KeptReader, name: str, kin: Kin) -> OneId:
    from lifestage.loads import decode_part
    from lifestage.stays import id_of

    belongs, id = kin.members[name], id_of(name)
    occasion = _occasion(reader, id, belongs)
    part = decode_part(kin.parts.get(name))
    return _id(id, id_of(belongs.parent), part, reader.horizon, past=belongs.past, occasion=occasion)


def _occasion(reader: KeptReader, name: str, belongs: Belongs) -> Occasion | None:
    """The event by which an id was joined: what the log has where its owner decided that, if it is still kept.

    Of one that has gone to another since it is the last decision for this customer before that.
    """
    from lifestage.stays import id_of

    target, owned = id_of(belongs.parent), reader.profile(name)
    since = owned.kin.since if owned is not None and owned.kin is not None else -1
    newest = belongs.at if since < 0 else since
    value = reader.log_record(name, newest)
    link = None if value is None else _link(value)
    if link is not None and link.target == target:
        return link.occasion
    before = (_link(one) for one in reader.log_before(name, newest))
    return next((one.occasion for one in before if one is not None and one.target == target), None)


def _link(value: bytes) -> Link | None:
    from lifestage import log
    from lifestage.messages import Link, decode_message

    message = decode_message(value[log.HEADER_SIZE :]) if log.header(value).kind == log.MESSAGE else None
    return message if isinstance(message, Link) else None


def _id(
    key: str, parent: str | None, facts: Profile, horizon: int, *, past: bool = False, occasion: Occasion | None = None
) -> OneId:
    from lifestage.moments import iso

    return OneId(
        id=key,
        linked_to=parent,
        past=past,
        since=None if occasion is None else iso(occasion.time),
        by=None if occasion is None else f"{occasion.type} {occasion.id} of {occasion.source}",
        facts=facts_of(facts, horizon),
        sums=sums_of(facts),
        first_seen_at=_told(facts.first_seen),
        last_seen_at=_told(facts.newest),
        last_active_at=_told(_last_active(facts)),
    )


def _last_active(facts: Profile) -> int | None:
    return max([*facts.recent[-1:], *facts.activity[-1:]], default=None)


def _told(at: int | None) -> str | None:
    from lifestage.moments import iso

    return None if at is None else iso(at)
