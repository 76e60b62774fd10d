"""Where two outcomes differ, in words."""

from __future__ import annotations

from lifestage.marker import Marker


def first_difference(truth: list[bytes], told: list[bytes]) -> tuple[int, bytes, bytes]:
    """Where two lists first differ, and the beginning of what each has there."""
    for at, (due, was) in enumerate(zip(truth, told, strict=False)):
        if due != was:
            return at, due[:300], was[:300]
    at = min(len(truth), len(told))
    return at, b"".join(truth[at : at + 1])[:300], b"".join(told[at : at + 1])[:300]


def marker_differences(due: Marker, told: Marker) -> list[str]:
    """The fields in which two markers differ, with both values; where KPI sums stand depends on where flushes fell."""
    return [
        f"marker.{name}: {getattr(due, name)} became {getattr(told, name)}"
        for name in due.__struct_fields__
        if name != "kpis" and getattr(due, name) != getattr(told, name)
    ]
