"""What stands in Redis: keys, documents and scripts; and the reading side for commands and pages.

====================================  =======  ================================================================
`<prefix>customer:<key>`              string   one JSON document per known id
`<prefix>stages:<partition>`          hash     stage -> customers of that log partition, replaced whole
`<prefix>changes`                     stream   the newest changes, fields `id` and `change`; follow it with XREAD
`<prefix>changes:ids`                 hash     change id -> stream entry, so that a repeated change is not added
`<prefix>partitions`                  hash     partition -> version of its stages; `<p>:complete` -> written up to
`<prefix>epoch`                       string   which filling of this server it is; gone means that it was emptied
====================================  =======  ================================================================

A customer is a string and not a hash: `GET` shows the document as it is, and a hash of 18 fields, some beyond the 64
bytes of a listpack, takes twice the memory. The document begins with log, partition, plan and `applied`, so a script
compares versions by its head, without parsing JSON. A customer who is gone leaves a head with `gone` for a day: a late
write of an older state finds it and is refused. An id that belongs to another's profile has a document that names it,
`belongs_to`, which may belong to a third: whoever follows them answers by any known id. An address is in no key and no
document: `email:` and its keyed hash stand for it. One server (with replicas), no Redis Cluster: scripts touch many keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import redis

GONE_S: Final = 86_400
"""How long a gone customer's version is kept: far longer than a worker that lost its partitions can go on writing."""

_HEAD = '^{"log":"([^"]*)","partition":(%d+),"plan":"[^"]*","applied":(%d+)'

WRITE_CUSTOMERS: Final = f"""
local written = 0
for i, key in ipairs(KEYS) do
  local version, document = tonumber(ARGV[2 * i + 1]), ARGV[2 * i + 2]
  local log, _, applied = string.match(redis.call('GETRANGE', key, 0, 299), '{_HEAD}')
  if log ~= ARGV[1] or version >= tonumber(applied) then
    if ARGV[2] == '0' then redis.call('SET', key, document) else redis.call('SET', key, document, 'EX', ARGV[2]) end
    written = written + 1
  end
end
return written"""
"""KEYS documents; ARGV log id, seconds to live (0 = for ever), then version and document per key. Returns how many."""

PARTITIONS_OF: Final = f"""
local partitions = {{}}
for i, key in ipairs(KEYS) do
  local head = redis.call('GETRANGE', key, 0, 299)
  local _, partition = string.match(head, '{_HEAD}')
  partitions[i] = (partition and not string.find(head, '"gone":true', 1, true)) and tonumber(partition) or -1
end
return partitions"""
"""KEYS documents. Returns the log partition of each, -1 for what is no customer."""

WRITE_STAGES: Final = """
local log, version = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^(.*)/(%d+)$')
if log == ARGV[2] and tonumber(version) > tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1])
if #ARGV > 5 then redis.call('HSET', KEYS[1], unpack(ARGV, 6)) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. '/' .. ARGV[3])
if ARGV[4] ~= '' and redis.call('GET', KEYS[3]) == ARGV[5] then
  redis.call('HSET', KEYS[2], ARGV[1] .. ':complete', ARGV[4])
end
return 1"""
"""KEYS stages, partitions, epoch; ARGV partition, log id, version, complete mark (or empty), the epoch that the mark
is true of, then stage and count in turn. A server that was emptied since has another epoch and gets no mark."""

ADD_CHANGES: Final = """
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then
    redis.call('HSET', KEYS[2], ARGV[i], redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'change', ARGV[i + 1]))
  end
end
local over = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if over > 0 then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', over)) do
    redis.call('HDEL', KEYS[2], entry[2][2])
    redis.call('XDEL', KEYS[1], entry[1])
  end
end
return over"""
"""KEYS changes, ids; ARGV the cap, then id and change in turn, oldest first."""

ENTER: Final = """
local stored = redis.call('GET', KEYS[1])
if stored and string.sub(stored, 1, #ARGV[1] + 1) == ARGV[1] .. '/' then return stored end
if stored then redis.call('DEL', KEYS[2], KEYS[3], KEYS[4]) end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]"""
"""KEYS epoch, partitions, changes, ids; ARGV log id, a fresh epoch. Returns the epoch in force.

What another log left behind is cleared: its offsets say nothing about ours.
"""


class IdView(msgspec.Struct, frozen=True, gc=False):
    """One id of a customer besides their own."""

    id: str
    linked_to: str
    """The id that it came by: the customer's own or another of theirs."""
    past: bool = False
    """It has gone to another customer since; what came under it before stays here."""


class CustomerView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What others may read of one customer. Times are RFC 3339 with `Z`, money is minor units of `currency`.

    `applied` is the log offset of the last record, fact or tick, that changed this view.
    """

    applied: int
    customer_id: str
    stage: str | None
    since: str | None
    previous_stage: str | None = None
    seq: int = 0
    high_water_stage: str | None = None
    next_due_at: str | None = None
    next_due_stage: str | None = None
    orders: int = 0
    order_days_365d: int = 0
    net_revenue_minor: int = 0
    currency: str | None = None
    last_order_at: str | None = None
    last_seen_at: str | None = None
    first_seen_at: str | None = None
    ids: list[IdView] = []
    """The other ids of this customer."""


class AliasView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What others may read of an id that belongs to another's profile: whose."""

    applied: int
    customer_id: str
    """This id."""
    belongs_to: str
    """The id to ask for next: the customer's own, or one that has since been joined to theirs."""


View = CustomerView | AliasView
HOPS_MAX: Final = 100
"""Ids that are followed to whom they belong: a visitor is three away from a merged customer, each further merge one more."""


_encode = msgspec.json.Encoder().encode


class Keys:
    """The keys under one prefix, and the documents of one plan on one log.

    `log_id` tells a log from another of the same name that was created anew; `plan_id` may carry the plan's hash. Both
    are up to 64 letters, digits, `.`, `_`, `:` or `-`; anything else is a `ValueError`.
    """

    def __init__(self, prefix: str, plan_id: str = "", log_id: str = "") -> None:
        for name, value in (("plan_id", plan_id), ("log_id", log_id)):
            if not re.fullmatch(r"[A-Za-z0-9._:-]{0,64}", value):
                raise ValueError(f"{name} = {value!r}: up to 64 letters, digits, '.', '_', ':' or '-'")
        self.prefix, self.plan_id, self.log_id = prefix, plan_id, log_id
        self.changes, self.change_ids = f"{prefix}changes", f"{prefix}changes:ids"
        self.partitions, self.epoch = f"{prefix}partitions", f"{prefix}epoch"
        self.customers = f"{prefix}customer:"

    def stages(self, partition: int) -> str:
        """The key of one partition's customers by stage."""
        return f"{self.prefix}stages:{partition}"

    def head(self, partition: int) -> bytes:
        """How each document of a partition begins."""
        return f'{{"log":"{self.log_id}","partition":{partition},"plan":"{self.plan_id}",'.encode()

    def complete(self, version: int) -> str:
        """The mark that everything up to `version` is written, for this plan on this log."""
        return f"{self.log_id}/{self.plan_id}/{version}"

    def since(self, mark: bytes | str | None) -> int:
        """The version in a mark, or -1 when there is none or it is of another plan or log."""
        log_id, _, rest = _text(mark or "").partition("/")
        plan_id, _, version = rest.partition("/")
        return int(version) if version.isdigit() and (log_id, plan_id) == (self.log_id, self.plan_id) else -1


def document(head: bytes, view: View) -> bytes:
    """The JSON document of a known id."""
    return head + _encode(view)[1:]


def gone(head: bytes, version: int) -> bytes:
    """What stands for a customer who is gone."""
    return head + b'"applied":%d,"gone":true}' % version


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def customer(client: redis.Redis, prefix: str, key: str) -> dict[str, Any] | None:
    """The document of a customer by any of their ids, or None when there is none. Raises `redis.RedisError`.

    None, too, for the moment in which an id is known to belong to a profile that is not written yet.
    """
    keys = Keys(prefix)
    for _ in range(HOPS_MAX):
        stored = client.get(keys.customers + key)
        if stored is None:
            return None
        read: dict[str, Any] = msgspec.json.decode(stored)
        if read.get("gone"):
            return None
        if "belongs_to" not in read:
            return read
        key = read["belongs_to"]
    return None


def customers_per_stage(client: redis.Redis, prefix: str) -> dict[str, int]:
    """How many customers stand in each stage, over all partitions, at one instant. Raises `redis.RedisError`."""
    keys = Keys(prefix)
    fields = (_text(field) for field in client.hkeys(keys.partitions))
    with client.pipeline(transaction=True) as pipeline:
        for partition in filter(str.isdigit, fields):
            pipeline.hgetall(keys.stages(int(partition)))
        counted: list[Mapping[bytes | str, bytes | str]] = pipeline.execute()
    total: dict[str, int] = {}
    for stages in counted:
        for stage, count in stages.items():
            total[_text(stage)] = total.get(_text(stage), 0) + int(count)
    return total


def recent_changes(client: redis.Redis, prefix: str, n: int) -> list[dict[str, Any]]:
    """The newest `n` changes, newest first. Raises `redis.RedisError`."""
    if n < 1:
        return []
    entries: Any = client.xrevrange(Keys(prefix).changes, count=n)
    return [msgspec.json.decode(fields.get(b"change") or fields.get("change")) for _, fields in entries]
