"""What must be among the dead letters: one place and reason for each record that the log says was rejected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lifestage import log
from streams.dead_letters import MARK, why
from tests.wire import Record

SHOWN = 5


class Place(NamedTuple):
    """Where a record stands in a source."""

    topic: str
    partition: int
    offset: int


def rejected(records: Iterable[Record], codes: Mapping[int, str]) -> dict[Place, str]:
    """By place in a source, the reason for which the log says that the record was rejected: of several entries the first
    counts, as it does in the fold. `codes` says which source has which code."""
    decided: dict[Place, str] = {}
    for record in records:
        assert record.value is not None
        header = log.header(record.value)
        if header.topic in codes:
            reason = ""
            if header.kind == log.REFUSED and (refused := log.refused(record.value)).outcome == "rejected":
                reason = refused.reason
            decided.setdefault(Place(codes[header.topic], header.partition, header.offset), reason)
    return {place: reason for place, reason in decided.items() if reason}


def letters_amiss(letters: Iterable[Record], due: Mapping[Place, str]) -> list[str]:
    """Rejected records without a letter of their reason, letters that nothing was rejected for, and records that are
    neither letter nor mark. A letter that a killed worker wrote twice is no slip."""
    told: dict[Place, set[str]] = {}
    found = []
    for letter in letters:
        headers = dict(letter.headers)
        if MARK in headers:
            continue
        try:
            said = why(headers)
        except ValueError as error:
            found.append(f"dead letters[{letter.partition}]@{letter.offset}: {error}")
            continue
        told.setdefault(Place(said.topic, said.partition, said.offset), set()).add(said.reason)
    found += _some("was rejected and has no dead letter", due.keys() - told.keys())
    found += _some("has a dead letter and was not rejected", told.keys() - due.keys())
    wrong = [place for place, reason in due.items() if place in told and reason not in told[place]]
    return found + _some("has a dead letter with another reason than the log", wrong)


def _some(what: str, places: Iterable[Place]) -> list[str]:
    found = [f"{place.topic}[{place.partition}]@{place.offset} {what}" for place in sorted(places)]
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more of which each {what}"]
