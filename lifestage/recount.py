"""Whose facts are whose, by the log alone: a partition that is folded again and tells of each accepted fact whom it belongs to.

Facts travel between partitions as sets, not one by one. So each id's facts at a profile are a *stretch*, which ends when its
set is sent away; whoever takes the set in then has the stretch. What is told: facts by stretch, which sets were sent, and
which were taken in. `owners` puts that together for all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lifestage import log
from lifestage.cause import Rules
from lifestage.fact import Fact
from lifestage.keys import ANONYMOUS
from lifestage.messages import Forwarded, Member, Message, Restore, Unite, decode_message
from lifestage.partition import Partition
from lifestage.profile import Profile

Sent = tuple[int, int, int, str]
"""A set on its way: the partition, the offset of the record that sent it, which message of that it was, and the set's id."""
Stretch = tuple[bytes, str, int, bool]
"""The facts of an id at a profile: the person (`person_of`), the id, how many of its sets were sent before, and whether they came
after the state that is recounted."""
LIVES_MIN = 10_000
"""When each visitor came is known of so many beside those who are kept."""
Person = tuple[int, bytes]
"""The partition of a profile and its name there: as `person_of` gives it."""
Hear = Callable[[Stretch, Fact], None]


def person_of(key: bytes, life: int) -> bytes:
    """A profile's name; a visitor who was forgotten and came back is another person."""
    return b"%b\1%d" % (key, life)


def key_of_person(person: bytes) -> str:
    """The key of a person's profile."""
    return person[: person.rindex(b"\1")].decode()


def _stay(member: Member) -> str:
    """What a member's facts go by."""
    return _named(member.key, member.at)


def _named(id: str, since: int) -> str:
    return f"{id}\2{since}"


class Whole(NamedTuple):
    """The stretches that a set was made of when it was sent: its own, and those of sets that had been taken in."""

    own: tuple[Stretch, ...]
    taken: tuple[Sent, ...]


class Holding(NamedTuple):
    """Who has which stretches in a partition, as of some offset."""

    sent: frozenset[Stretch]
    """Those that are gone from where they came."""
    taken: Mapping[bytes, tuple[Sent, ...]]
    """By person the sets that were taken in, and have not been sent on."""


class Recount(Partition):
    """A partition folded again. `hear` is told of each fact that was accepted, and `sets` of each that was sent."""

    def __init__(self, rules: Rules, topic: str, number: int, hear: Hear, sets: dict[Sent, Whole]) -> None:
        super().__init__(rules, topic, number)
        self._hear, self._sets = hear, sets
        self._after = False
        self._key = b""
        self._coming: tuple[int, int, int] | None = None
        """Of the record at hand, if it brings sets: who sent it."""
        self._going: set[str] = set()
        """The sets that the record at hand has sent away."""
        self._going_on: set[Sent] = set()
        """Of the sets that it brings those that go on to somebody else."""
        self._came: dict[str, set[str]] = {}
        """By id, the sets that it brings."""
        self._sent: set[Stretch] = set()
        self._counts: dict[tuple[bytes, str], int] = {}
        self._lives: dict[bytes, int] = {}
        """Of visitors without a name when they came: where the record is, and one; of those who are there, and a few others."""
        self._unborn: set[bytes] = set()
        """Those of whom there were sets before there was a fact."""
        self._taken: dict[bytes, dict[str, tuple[Sent, ...]]] = {}

    def mark(self) -> Holding:
        """Who has what now: what comes after it is told apart."""
        self._after = True
        taken = {
            person: tuple(one for sets in theirs.values() for one in sets) for person, theirs in self._taken.items()
        }
        return Holding(frozenset(self._sent), {person: sets for person, sets in taken.items() if sets})

    def _take(self, profile: Profile, name: str, fact: Fact, offset: int, message: Forwarded | None = None) -> bool:
        new, forgotten = profile.newest is None, self.forgotten
        if not super()._take(profile, name, fact, offset, message):
            return False
        key = name.encode()
        if name.startswith(ANONYMOUS) and (new or self.forgotten > forgotten):
            self._born(key, again=self.forgotten > forgotten)
        stay = name if message is None or message.via == name else _named(message.via, message.since)
        self._hear(self._stretch(key, stay), fact)
        return True

    def _born(self, key: bytes, *, again: bool) -> None:
        """A visitor came, who is another one than who went by that id before; unless sets of theirs came before them."""
        if key in self._unborn and not again:
            self._unborn.discard(key)
            return
        if len(self._lives) > 2 * (len(self.stored) + len(self.dirty)) + LIVES_MIN:
            self._lives = {key: life for key, life in self._lives.items() if key in self.stored or key in self.dirty}
            self._unborn &= self._lives.keys()
        self._lives[key] = self._at + 1

    def _stretch(self, key: bytes, name: str) -> Stretch:
        count = self._counts.get((key, name), 0) if self._counts else 0
        return person_of(key, self._lives.get(key, 0)), name, count, self._after

    def post(self, message: Message) -> None:
        """Part of the desk: a message to send, which may take sets along."""
        at, n = self._at, self._n
        super().post(message)
        if isinstance(message, Unite | Restore):
            for member in message.members:
                self._sets[self.number, at, n, _stay(member)] = self._whole(member)

    def _whole(self, member: Member) -> Whole:
        """What goes as a member's set: what has just come as that, and what was here, unless that is the profile's own."""
        coming, name, came = self._coming, _stay(member), self._came.get(member.key, set())
        if not member.facts and not came:
            # an id goes on its own, of which nothing is known here any more: what was counted of it stays where it was
            return Whole((), ())
        if member.key == self._key.decode():
            if coming is not None:
                # handed on, to where it was joined since
                handed = tuple((*coming, one) for one in sorted(came))
                self._going_on.update(handed)
                return Whole((), handed)
            name = member.key
        self._going.add(name)
        person, _, count, _ = self._stretch(self._key, name)
        own = (person, name, count, False), (person, name, count, True)
        taken = self._taken.get(person, {}).get(name, ())
        return Whole(own, (*taken, (*coming, name)) if coming is not None and name in came else taken)

    def _message(self, offset: int, key: bytes | None, value: bytes) -> None:
        assert key is not None
        message = decode_message(value[log.HEADER_SIZE :])
        self._key, self._going, self._going_on, self._came = key, set(), set(), {}
        if not isinstance(message, Unite | Restore):
            super()._message(offset, key, value)
            self._let_go(key)
            return
        _, _, _, partition, at, n, _, _ = log.unpack_header(value)
        profile, name = self.dirty.get(key) or self._load(key), key.decode()
        passes_on = profile.kin is not None and profile.kin.alias is not None
        if name.startswith(ANONYMOUS) and profile.newest is None and not passes_on and key not in self._unborn:
            self._born(key, again=False)
            self._unborn.add(key)
        for member in message.members:
            self._came.setdefault(member.key, set()).add(_stay(member))
        self._coming = partition, at, n
        super()._message(offset, key, value)
        self._coming = None
        self._let_go(key)
        if passes_on:
            return
        theirs = self._taken.setdefault(self._stretch(key, "")[0], {})
        for member in message.members:
            here, sent = name if member.key == name else _stay(member), (partition, at, n, _stay(member))
            if member.facts and here not in self._going and sent not in self._going_on:
                theirs[here] = (*theirs.get(here, ()), sent)

    def _let_go(self, key: bytes) -> None:
        """Whatever sets the record at hand has sent, are here no more."""
        for name in self._going:
            person, _, count, _ = self._stretch(key, name)
            self._sent.add((person, name, count, False))
            self._counts[key, name] = count + 1
            self._taken.get(person, {}).pop(name, None)


def owners(holdings: Mapping[int, Holding], sets: Mapping[Sent, Whole]) -> dict[Stretch, list[Person]]:
    """Whom stretches belong to that were sent, of all partitions; the others belong to the person that they name, unless
    they came after what is recounted."""
    known: dict[Sent, frozenset[Stretch]] = {}
    found: dict[Stretch, set[Person]] = {}
    for number, holding in holdings.items():
        for person, taken in holding.taken.items():
            for sent in taken:
                for stretch in _resolved(sent, sets, known):
                    found.setdefault(stretch, set()).add((number, person))
    return {stretch: sorted(persons) for stretch, persons in found.items()}


def _resolved(sent: Sent, sets: Mapping[Sent, Whole], known: dict[Sent, frozenset[Stretch]]) -> frozenset[Stretch]:
    """The stretches of a set and of all that it was made of. No set is made of itself, however far that goes."""
    waiting = [sent]
    while waiting:
        one = waiting[-1]
        if one in known:
            waiting.pop()
            continue
        whole = sets.get(one, Whole((), ()))
        lacking = [other for other in whole.taken if other not in known]
        if lacking:
            waiting += lacking
        else:
            known[one] = frozenset(whole.own).union(*(known[other] for other in whole.taken))
            waiting.pop()
    return known[sent]
