"""`lifestage customer`: one customer, from the read model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import ConfigFile, settings_of
from config.errors import UserFacingError

if TYPE_CHECKING:
    from config.settings import Settings

IDS_SHOWN = 5


def run(
    key: Annotated[
        str, typer.Argument(metavar="ID", help="A customer id, an email address, or anon: and an anonymous id.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The document as it is in Redis.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show where one customer stands, since when, and what comes next if nothing happens; by any of their ids.

    From the read model in Redis, which is behind the stream by less than a second while Redis is there. Why they are
    there, and why not further, says `lifestage explain`.
    """
    import json

    from streams.connections import check_redis, redis_client
    from streams.read_store import customer
    from streams.running import redis_of

    settings = settings_of(config)
    if not settings.redis.enabled:
        raise UserFacingError("redis.enabled = false: there is no read model to look into")
    url = redis_of(settings)
    check_redis(settings, url)
    with redis_client(settings, url) as client:
        asked = stored_key(settings, key)
        found = customer(client, settings.redis.prefix, asked)
    if found is None:
        typer.echo(
            f"lifestage: no customer {shown_id(settings, key)} in the read model {settings.redis.prefix!r}: "
            f"{names_ids(settings, key)}",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(told(found, asked)))


_MAILBOX = re.compile(r"[^\s@<>]+@[^\s@<>]+")


def stored_key(settings: Settings, given: str) -> str:
    """The key of what a person typed: as an event that names this id is keyed, so an address becomes the hash that stands for it.

    A mailbox whose domain has no dot may be an address or a customer id. It is taken for an address, which must not be shown.
    """
    from lifestage.keys import ANONYMOUS, address_of, email_key

    before = ANONYMOUS if given.startswith(ANONYMOUS) else ""
    name = given.removeprefix(before)
    address = address_of(name)
    if address is None and not before and _MAILBOX.fullmatch(name):
        address = name
    return before + (name if address is None else email_key(address, settings.identity.secret.encode()))


def shown_id(settings: Settings, given: str) -> str:
    """What a person typed, to be repeated: in quotes, and an address by the hash that stands for it."""
    from lifestage.keys import may_hold_address

    return repr(stored_key(settings, given) if may_hold_address(given) else given)


def names_ids(settings: Settings, given: str) -> str:
    """What to ask for in place of an id that nobody has."""
    return blocked_id(settings, given) or "name a customer id, an email address, or anon: and an anonymous id"


def blocked_id(settings: Settings, given: str) -> str | None:
    """Why what a person typed names nobody, where it is a blocked id, or the key of a blocked address; else None."""
    from lifestage.keys import ANONYMOUS, blocked_by, email_key, is_blocked

    secret, own = settings.identity.secret.encode(), blocked_by(settings.intake.blocked_ids)
    key = stored_key(settings, given).removeprefix(ANONYMOUS)
    if always_blocked(given):
        by = ""
    elif is_blocked(key, own) or key in {email_key(one, secret) for one in own if "@" in one}:
        by = " (intake.blocked_ids)"
    else:
        return None
    return f"{shown_id(settings, given)} is blocked{by}: it names nobody, and in an event it counts as absent"


def always_blocked(given: str) -> bool:
    """Whether what a person typed names nobody in any company, so that nothing can ever have come under it."""
    from lifestage.keys import ANONYMOUS, is_blocked

    return is_blocked(given.removeprefix(ANONYMOUS))


def told(view: Mapping[str, Any], asked: str) -> Iterator[str]:
    """A customer's document in lines; `asked` is the key that was asked for."""
    stage, since = view["stage"], view["since"]
    yield f"customer   {view['customer_id']}"
    if asked != view["customer_id"]:
        yield f"asked for  {asked}, which is theirs"
    before = f", before that {view['previous_stage']}" if view["previous_stage"] else ""
    yield f"stage      {stage} since {since}{before}" if stage else "stage      none yet"
    if view["high_water_stage"] not in (None, stage):
        yield f"           has been as far as {view['high_water_stage']}"
    if view["next_due_at"]:
        yield f"next       {view['next_due_stage'] or 'no stage'} at {view['next_due_at']}, if nothing happens before"
    else:
        yield "next       nothing changes without an event"
    yield f"orders     {orders(view)}"
    if view["last_order_at"]:
        yield f"           the last at {view['last_order_at']}"
    yield f"seen       from {view['first_seen_at'] or '?'} to {view['last_seen_at'] or '?'}"
    if ids := [one["id"] for one in view["ids"] if not one["past"]]:
        more = f", and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        yield f"ids        also {', '.join(ids[:IDS_SHOWN])}{more}; `lifestage identity show {view['customer_id']}`"
    yield f"changes    {view['seq']} announced; `lifestage tail stage-changes --from-beginning --customer {view['customer_id']}`"


def orders(view: Mapping[str, Any]) -> str:
    """How many, how often and for how much."""
    from lifestage.money import DIGITS, major

    if not view["orders"]:
        return "none"
    money = ""
    if view["currency"]:
        money = f", {major(view['net_revenue_minor'], DIGITS.get(view['currency'], 2))} {view['currency']} net"
    return f"{view['orders']} on {view['order_days_365d']} days of the last 365{money}"
