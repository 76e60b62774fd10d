"""The marker: all that is kept of a log partition besides its profiles."""

from __future__ import annotations

import msgspec
from msgspec import structs

from lifestage.cause import LONG_AGO

MARKER_KEY = b"\x00marker"
PREPARED_KEY = b"\x00prepared"
FORMAT = 1
"""Second field of an encoded marker: raised when an older program could not go on with what a newer one wrote."""
BITS, SUMS = 62, 3
LIMIT = 1 << BITS
"""What is as large as this or larger is written in parts: an integer of msgpack has 64 bits."""
KPI_SUMS = 2
"""Raised whenever there are other KPI sums, or the same are counted otherwise: what was kept of them is not gone on with."""
SOURCES_MAX = 100
"""Distinct sources that are counted by name in a partition; the rest is `other`."""


class KpiMark(msgspec.Struct, array_like=True, gc=False):
    """Where the KPI sums of a partition are (`lifestage.kpi_pages`), as of the marker's offset."""

    window: int
    """Days."""
    since: int
    """The present day when the pages of the index were written."""
    index: bytes = b""
    """Names of the pages that name all others."""
    journal: bytes = b""
    """Names of the pages with what was added since."""
    late: list[tuple[tuple[str, ...], int, int]] = []
    """What was added after these: name, day, amount."""
    places: list[tuple[str, ...]] = []
    """Label values that are told apart since."""
    anonymous: bool | None = None
    """Whether anonymous visitors are announced, as their paths count by it; None: an older release did not say."""
    sums: int = 0
    """Which sums they are: `KPI_SUMS` of the release."""


def uncounted(mark: KpiMark | None, window: int, *, anonymous: bool) -> str:
    """Why KPIs that are kept so are not counted on for a window of days, with `lifecycle.announce_anonymous` or without; empty where
    they are, as far as the marker says."""
    if mark is None:
        return "its changelog was written without them"
    if mark.window != window:
        return f"they are kept for a window of {mark.window} days, not of {window} (kpis.window)"
    if mark.sums != KPI_SUMS:
        return "its changelog was written by a release that counts other ones"
    if mark.anonymous not in (None, anonymous):
        return f"they were counted with lifecycle.announce_anonymous = {str(mark.anonymous).lower()}"
    return ""


class Marker(msgspec.Struct, array_like=True):
    """What is kept of a partition besides its profiles: where the fold stands, and every count, as of `offset`."""

    offset: int = -1
    """The newest log record whose effects are all in the changelog."""
    format: int = FORMAT
    plan: str = ""
    """Hash of the plan that announced."""
    clock: int = LONG_AGO
    live: bool = False
    newest: int = LONG_AGO
    """Time of the newest fact, ms."""
    origins: dict[int, dict[int, int]] = {}
    """Source topic code → partition → the highest (offset × 65536 + n) that came in from there."""
    accounts: dict[str, dict[str, dict[str, int]]] = {}
    """source → type → outcome → events."""
    reasons: dict[str, int] = {}
    """Why events were rejected: reason → events."""
    population: dict[str, int] = {}
    sums: dict[str, list[int]] = {}
    """currency → [orders, gross minor, net minor]."""
    moves: dict[str, int] = {}
    """`from→to→kind` → changes announced."""
    forgotten: int = 0
    dedupe_overflow: int = 0
    reread: int = 0
    """Log records that were dropped because their origin had come in before."""
    ids: str = ""
    """Fingerprint of the key that ids are hashed with: under another nothing kept would be recognised."""
    identity: dict[str, int] = {}
    """What happened to ids, and how often (`lifestage.identity`): linked, merged, split, email_conflict, …"""
    fresh: dict[str, list[int]] = {}
    """source → [minute since 1970, anonymous profiles that were new in it, …]: its newest minutes, in order."""
    kpis: KpiMark | None = None
    """None: no KPIs are kept of this partition."""

    def count(self, source: str, type: str, outcome: str) -> None:
        """One more event of a source and type ended like this."""
        by_type = self.accounts.get(source)
        if by_type is None:
            if len(self.accounts) >= SOURCES_MAX:
                source = "other"
            by_type = self.accounts.setdefault(source, {})
        by_outcome = by_type.get(type)
        if by_outcome is None:
            by_outcome = by_type[type] = {}
        by_outcome[outcome] = by_outcome.get(outcome, 0) + 1


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Marker).decode


def encode_marker(marker: Marker) -> bytes:
    """A marker as bytes. Sums of more than 62 bits stand in several parts, one behind the other."""
    if any(not -LIMIT < n < LIMIT for sums in marker.sums.values() for n in sums):
        marker = structs.replace(marker, sums={currency: _parted(sums) for currency, sums in marker.sums.items()})
    return _encode(marker)


def decode_marker(value: bytes) -> Marker:
    """A marker that was kept. Raises `msgspec.MsgspecError` for what is none."""
    marker = _decode(value)
    for sums in marker.sums.values():
        if len(sums) > SUMS:
            sums[:] = [
                sum(part << n * BITS for n, part in enumerate(sums[place::SUMS])) for place in range(SUMS)
            ]  # fmt: skip
    return marker


def _parted(sums: list[int]) -> list[int]:
    found: list[int] = []
    rest = sums
    while any(not -LIMIT < n < LIMIT for n in rest):
        found += [n & LIMIT - 1 for n in rest]
        rest = [n >> BITS for n in rest]
    return found + rest
