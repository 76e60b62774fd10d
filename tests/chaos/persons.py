"""The judge of who is who: what must have become of people with several ids, from what they sent and the words of the page.

It knows no log, no messages and none of the program's code. Each id is somebody's by the first event, or for a device by
the newest of an earlier round, that names it beside a higher one; merged are those who were merged last.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from lifestage.profile import decode
from tests.chaos.naive import Expected, Naive, expected_of
from tests.chaos.people import ROUND, Event
from tests.pipeline import Written

SECRET = b"a secret of the tests"


def email_key(address: str) -> str:
    """What stands for an address in all that is written."""
    return "email:" + hmac.digest(SECRET, address.encode(), "sha256").hex()[:32]


def ids_of(event: dict[str, Any]) -> list[str]:
    """The ids that an event names, the highest first."""
    address = event.get("email", event.get("recipient"))
    found = [event.get("customer_id"), address and email_key(address)]
    return [id for id in found if id] + (["anon:" + event["anonymous_id"]] if "anonymous_id" in event else [])


class Persons(Naive):
    """All that was sent, whose each id is, and what must have become of everybody."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: list[tuple[int, dict[str, Any]]] = []
        """Round, event: of those that count."""
        self._claims: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        """Id → the rounds in which it was seen beside a higher one, and beside which."""
        self._merged: dict[str, str] = {}
        self._ordered: dict[str, list[str]] = {}
        """Order → the ids that it was placed with."""
        self.tags: defaultdict[str, set[int]] = defaultdict(set)
        """Profile → the people whose events it must have, as those say who made them: one, if the judge is right."""

    def listen(self, said: Iterable[Event]) -> Persons:
        """Take in what was sent."""
        tagged = []
        for one in said:
            turn, event = self.sent // ROUND, one.event
            self.sent += 1
            if one.fate == "rejected":
                self.accounts["unknown", "unknown", "rejected"] += 1
                continue
            self.accounts[event["source"], event["type"], one.fate] += 1
            if one.fate != "accepted":
                continue
            if "ids" in event:
                self._decide(event)
                continue
            first, *lower = ids_of(event) or [""]
            for id in lower:
                self._claims[id].append((turn, first))
            if event["type"] == "order.completed":
                self._ordered[event["order_id"]] = ids_of(event)
            self._heard.append((turn, event))
            tagged.append(one.person)
        for (turn, event), person in zip(self._heard, tagged, strict=True):
            self.tags[self._whose(turn, event)].add(person)
        return self

    def _decide(self, event: dict[str, Any]) -> None:
        if event["type"] == "identity.split":
            for id in event["ids"]:
                self._merged.pop(id, None)
            return
        into = event.get("into", min(event["ids"]))
        self._merged |= {id: into for id in event["ids"] if id != into}

    def owner(self, id: str, turn: int) -> str:
        """The profile that an id belonged to in a round."""
        while True:
            claims = self._claims.get(id)
            if not claims:
                return self._merged.get(id, id)
            before = [(at, by) for at, by in claims if at < turn] if id.startswith("anon:") else []
            id = before[-1][1] if before else claims[0][1]

    def _whose(self, turn: int, event: dict[str, Any]) -> str:
        return self.owner((ids_of(event) or self._ordered[event["order_id"]])[0], turn)

    def profiles(self) -> dict[str, list[dict[str, Any]]]:
        """By profile, the events that it must have; also of visitors who are forgotten."""
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for turn, event in self._heard:
            found[self._whose(turn, event)].append(event)
        return found

    def customers(self) -> dict[str, Expected]:
        """What must be known of everybody who has a name."""
        return {key: expected_of(events) for key, events in self.profiles().items() if not key.startswith("anon:")}

    def absorbed(self) -> dict[str, set[str]]:
        """Ids that are no profile by themselves → the ids of those whom they have belonged to."""
        found = {}
        for id, claims in self._claims.items():
            found[id] = {self.owner(by, turn) for turn, by in claims} | {by for _, by in claims}
        for id, into in self._merged.items():
            found[id] = {into}
        return found


def misplaced(persons: Persons, written: Written) -> list[str]:
    """Where somebody has not the visits that were made, or an id that was joined to another lives on."""
    found = []
    for key, events in persons.profiles().items():
        kept = written.profiles.get(key.encode())
        if key.startswith("anon:"):
            found += [f"{key} had to be forgotten"] if kept is not None else []
            continue
        due = sum(event["type"] == "web.visit" for event in events)
        mark = None if kept is None else decode(kept).marks.get("visits")
        told = 0 if mark is None else mark.dropped + len(mark.kept)
        if told != due:
            found.append(f"{key} had to have {due} visits, and has {told}")
    for id, into in persons.absorbed().items():
        kept, changes = written.profiles.get(id.encode()), written.changes.get(id, [])
        if kept is None or (kin := decode(kept).kin) is None or kin.alias is None:
            found.append(f"{id} had to belong to one of {sorted(into)}, and is by itself")
        elif kin.alias not in into:
            found.append(f"{id} had to belong to one of {sorted(into)}, and does to {kin.alias}")
        last = msgspec.json.decode(changes[-1]) if changes else {"stage": None, "merged_into": ""}
        if last["stage"] is not None or last["merged_into"] not in into | {""}:
            found.append(f"the last change of {id}, of {sorted(into)}, is {last['stage']}, {last['merged_into']}")
    return found
