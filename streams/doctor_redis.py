"""Checks of the read model's Redis: what it is, what it does when its memory is full, and whether it takes writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.connections import UnreachableError, check_redis, redis_client
from streams.doctor import Finding, Ground
from streams.running import redis_of

OLDEST = (6, 2)


def redis(ground: Ground) -> Iterator[Finding]:
    """Redis: reached, its version and role, its memory policy, its persistence. It is asked two questions."""
    settings = ground.hasty
    if not settings.redis.enabled:
        yield Finding("redis", "ok", "off (redis.enabled = false): no customer can be looked up")
        return
    try:
        check_redis(settings, ground.redis_url or redis_of(settings))
    except UnreachableError as error:
        found, _, fix = str(error).rpartition(": ")
        means = "stages are computed and announced, and lookups fail or are of old"
        yield Finding("redis", "FAIL", found, means, fix)
        return
    with redis_client(settings, ground.redis_url) as client:
        info: Any = client.info()
    yield from judge_redis(info)


def judge_redis(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with a server by what it says of itself. Pure."""
    found = [*_kind(info), *_memory(info), *_writes(info)]
    yield from found
    if not any(finding.level == "FAIL" for finding in found):
        used = int(info.get("used_memory", 0)) / (1 << 20)
        most = int(info.get("maxmemory", 0)) >> 20
        kept = "append-only file" if info.get("aof_enabled") else "in memory, filled anew after a restart"
        limit = f"of {most:,} MB" if most else "without a limit"
        yield Finding(
            "redis", "ok", f"{_name(info)}; {used:,.0f} MB used {limit}, {info.get('maxmemory_policy', '?')}; {kept}"
        )


def _name(info: Mapping[str, Any]) -> str:
    valkey = info.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', '?')}"


def _kind(info: Mapping[str, Any]) -> Iterator[Finding]:
    known = [int(part) for part in str(info.get("redis_version", "")).split(".")[:2] if part.isdigit()]
    if known and tuple(known) < OLDEST:
        yield Finding("redis", "warn", _name(info), "tests have run with 6.2 and newer only", "install a newer one")
    if int(info.get("cluster_enabled", 0)):
        means = "one write touches several keys, which a cluster keeps apart"
        yield Finding(
            "redis",
            "FAIL",
            f"{_name(info)} is a cluster",
            means,
            "set redis.url to a single server, with replicas if you like",
        )
    if info.get("role", "master") != "master":
        yield Finding(
            "redis",
            "FAIL",
            f"{_name(info)} is a replica",
            "it takes no writes",
            f"set redis.url to its master, {info.get('master_host')}:{info.get('master_port')}",
        )


def _memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy, most, used = (
        str(info.get("maxmemory_policy", "noeviction")),
        int(info.get("maxmemory", 0)),
        int(info.get("used_memory", 0)),
    )
    if policy.startswith("allkeys"):
        means = "customers are dropped when memory is full, and are missing until their next event"
        fix = "redis-cli CONFIG SET maxmemory-policy noeviction  (and in redis.conf)"
        yield Finding("redis", "FAIL" if most else "warn", f"maxmemory-policy is {policy}", means, fix)
    elif policy != "noeviction":
        means = "what stands for customers who are gone is dropped early when memory is full, and a late write may bring them back"
        yield Finding(
            "redis",
            "warn",
            f"maxmemory-policy is {policy}",
            means,
            "redis-cli CONFIG SET maxmemory-policy noeviction  (and in redis.conf)",
        )
    if most and used > 0.9 * most:
        means = "when it is full writes are refused, and lookups are of old"
        fix = f"redis-cli CONFIG SET maxmemory {most * 2 >> 20}mb  (and in redis.conf)"
        yield Finding("redis", "warn", f"{used >> 20:,} of {most >> 20:,} MB are used", means, fix)


def _writes(info: Mapping[str, Any]) -> Iterator[Finding]:
    if int(info.get("loading", 0)):
        yield Finding(
            "redis",
            "warn",
            "it is loading its data",
            "it answers nothing until that is done",
            "wait, and run this again",
        )
    for what, key in (("rdb_last_bgsave_status", "a snapshot"), ("aof_last_write_status", "its append-only file")):
        if info.get(what, "ok") != "ok":
            means = "while that fails it may refuse writes (stop-writes-on-bgsave-error), and lookups are of old"
            yield Finding(
                "redis",
                "FAIL",
                f"it could not write {key}",
                means,
                "see its log: mostly the disk is full, or not writable",
            )
