"""The document that announces a change of stage, and its identity. Final: consumers depend on every field.

The value is a function of the log alone; the time of emission (`recordedtime`) is added on the wire, in a header.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Literal

import msgspec

Kind = Literal[
    "entry", "advance", "skip", "demotion", "reversal", "at_risk", "churn", "dormancy", "recovery", "reactivation",
    "correction", "merge", "split", "plan_migration",
]  # fmt: skip
KINDS: tuple[str, ...] = (
    "entry", "advance", "skip", "demotion", "reversal", "at_risk", "churn", "dormancy", "recovery", "reactivation",
    "correction", "merge", "split", "plan_migration",
)  # fmt: skip

TYPE = "lifecycle.stage.changed.v1"


class Trigger(msgspec.Struct, frozen=True, gc=False):
    """What brought the change about. Position is that of the log record; absent offline."""

    type: Literal["event", "timer", "link", "merge", "split", "plan"]
    event_id: str | None = None
    event_type: str | None = None
    topic: str | msgspec.UnsetType = msgspec.UNSET
    partition: int | msgspec.UnsetType = msgspec.UNSET
    offset: int | msgspec.UnsetType = msgspec.UNSET
    due_at: str | None = None


class OperandSeen(msgspec.Struct, frozen=True, gc=False):
    """One comparison with the value it had, null where there was none. Durations are seconds, money is minor units."""

    name: str
    value: int | float | bool | str | None
    op: str
    threshold: int | float | bool | str
    window_s: int | float | None = None
    currency: str | msgspec.UnsetType = msgspec.UNSET
    """Of money."""


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """Why the stage holds: the rule that is true, what it read, and where in the log the facts stand."""

    rule: str
    condition: str
    operands: tuple[OperandSeen, ...]
    positions: tuple[int, ...] = ()
    ruled_out: tuple[OperandSeen, ...] = ()
    """Comparisons, beside those of the rule, by which no stage before it in precedence holds."""


class PlanRef(msgspec.Struct, frozen=True, gc=False):
    """Which plan, exactly."""

    id: str
    version: int
    hash: str


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """The customer in numbers at the instant of the change. Money without refunds, in minor units of `currency`."""

    orders: int
    order_days_365d: int
    net_revenue_minor: int
    currency: str | None
    last_order_at: str | None
    last_seen_at: str | None


class Acquisition(msgspec.Struct, frozen=True, gc=False):
    """The first touch."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None


class PathStep(msgspec.Struct, frozen=True, gc=False):
    """One move of a corrected path."""

    stage: str | None
    previous_stage: str | None
    entered_at: str


class Change(msgspec.Struct, frozen=True, gc=False):
    """The value of a record in `stage-changes`. Times are RFC 3339 UTC."""

    customer_id: str
    account_id: str | None
    seq: int
    stage: str | None
    previous_stage: str | None
    entered_at: str
    time_in_previous_s: int | float | None
    kind: Kind
    direction: Literal["forward", "backward", "none"]
    skipped: tuple[str, ...]
    trigger: Trigger
    evidence: Evidence
    plan: PlanRef
    high_water_stage: str | None
    first_reached: dict[str, str]
    times_entered: dict[str, int]
    next_due_at: str | None
    next_due_stage: str | None
    metrics: Metrics
    acquisition: Acquisition
    consent: dict[str, bool]
    supersedes: tuple[str, ...]
    path: tuple[PathStep, ...]
    merged_into: str | None
    mode: Literal["live", "backfill"]


class Announced(msgspec.Struct, frozen=True, gc=False):
    """A change with its envelope: what a consumer gets. `time` is the effective instant."""

    id: str
    source: str
    time: str
    partitionkey: str
    causationid: str | None
    data: Change
    specversion: str = "1.0"
    type: str = TYPE
    datacontenttype: str = "application/json"


encode_value = msgspec.json.Encoder().encode
"""A `Change` as the bytes of a record's value, or an `Announced` as one line of offline output."""

_NAMESPACE = bytes.fromhex("6f0d6a3c1d0b5a5c9f0e2d7b41c8a905")
"""The UUID namespace of lifestage's changes: drawn once, never changed."""


_VERSION_5 = 0x5 << 76 | 0x2 << 62
_FREE = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)


def change_id(
    plan_id: str, plan_hash: str, key: str, seq: int, at: int, before: str | None, after: str | None
) -> bytes:
    """UUIDv5 (RFC 9562 §5.5) of (plan, hash, customer key, seq, effective instant in ms, from, to), as 16 bytes."""
    name = f"{plan_id}\x1f{plan_hash}\x1f{key}\x1f{seq}\x1f{at}\x1f{before or ''}\x1f{after or ''}"
    raw = int.from_bytes(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16], "big")
    return (raw & _FREE | _VERSION_5).to_bytes(16, "big")


def uuid_text(raw: bytes) -> str:
    """The 36-character form of a 16-byte UUID."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_named: dict[tuple[str | None, ...], tuple[tuple[str, bytes], ...]] = {}
_FIXED = (("ce_specversion", b"1.0"), ("ce_type", TYPE.encode()), ("content-type", b"application/json"))


def headers(announced: Announced, recorded: bytes) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 binary-mode headers for Kafka; stage, kind, direction and mode too, to filter without parsing.

    `recorded` is the time of emission (RFC 3339), the one thing that a replay does not give again.
    """
    data = announced.data
    what = (data.stage, data.previous_stage, data.kind, data.direction, data.mode)
    named = _named.get(what)
    if named is None:
        # as many as a plan has moves: some hundreds
        named = _named[what] = tuple(
            (name, (text or "").encode())
            for name, text in zip(
                ("ce_stage", "ce_previousstage", "ce_kind", "ce_direction", "ce_mode"), what, strict=True
            )
        )
    pairs = [
        *_FIXED,
        *named,
        ("ce_id", announced.id.encode()),
        ("ce_source", announced.source.encode()),
        ("ce_time", announced.time.encode()),
        ("ce_recordedtime", recorded),
        ("ce_partitionkey", announced.partitionkey.encode()),
    ]
    if announced.causationid is not None:
        pairs.append(("ce_causationid", announced.causationid.encode()))
    return pairs
