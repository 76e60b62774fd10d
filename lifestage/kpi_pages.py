"""KPI sums as kept in the changelog: the marker says where they begin, pages hold them, and a flush writes what is new.

A page is named after its content, as those of large profiles are, so it is never changed. What a flush has to add is small,
and stands in the marker itself (`KpiMark.late`); when it has grown it becomes a page of the journal, and when that is long all
that has changed is written anew, by day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from lifestage.kpi_days import BASE, FLOWS, Days, Entries, Entry, IsPast, Name, Section
from lifestage.marker import KPI_SUMS, LIMIT, KpiMark
from lifestage.pages import NAME, name_of

OWNER = b"\0kpi"
"""In place of a customer in the keys of these pages."""
LATE_MAX = 60
"""Entries in a marker: 3 KB."""
JOURNAL_MAX = 48
"""Pages of the journal, and twice those of one flush: what is read of them at a recovery is about as much as the rest. In a backlog
a flush adds one of 450 entries, and half of what it takes with 24 went into writing all anew."""
ENTRIES_MAX = 400
"""Entries in a page: below 64 KB with the longest labels there are."""
JOURNAL_BYTES = 32_000
"""Bytes of a page of the journal up to which all that a flush adds is one page, so that the journal is not full of small ones."""
NAMES_MAX = 2_500
"""Names in a page of the index."""
PLACES: Section = (3, 0)
"""Of the page that tells which label values are told apart."""
T = TypeVar("T")


class Page(msgspec.Struct, array_like=True, gc=False):
    """Some sums of a section."""

    section: Section
    sums: list[tuple[Name, int]]


class Journal(msgspec.Struct, array_like=True, gc=False):
    """Entries that were added since the sections were written."""

    late: list[Entry]


class Written(NamedTuple):
    """What a flush keeps of KPI sums."""

    mark: KpiMark
    pages: dict[bytes, bytes]
    """Those that may not be kept yet, by key."""
    named: frozenset[bytes]
    """The keys of all that the mark needs."""


_encode = msgspec.msgpack.Encoder().encode
_page = msgspec.msgpack.Decoder(Page).decode
_journal = msgspec.msgpack.Decoder(Journal).decode


def key_of(name: bytes) -> bytes:
    """The key of a page."""
    return b"%b\0%b" % (OWNER, name)


def names_in(names: bytes) -> list[bytes]:
    """Names that stand one behind the other."""
    return [names[at : at + NAME] for at in range(0, len(names), NAME)]


def named(mark: KpiMark, pages: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """The keys of all pages that a mark needs, as far as the pages of its index are there."""
    keys = [key_of(name) for name in names_in(mark.index + mark.journal)]
    for name in names_in(mark.index):
        keys += [key_of(one) for one in names_in(pages.get(key_of(name), b""))]
    return frozenset(keys)


class KeptDays:
    """A partition's KPI sums by day, and the pages in which they are kept."""

    def __init__(self, days: Days) -> None:
        self.days = days
        self._since = days.day
        """The present day when the sections were written."""
        self._sections: dict[Section, tuple[bytes, ...]] = {}
        """The names of their pages."""
        self._index: tuple[bytes, ...] = ()
        self._journal: tuple[bytes, ...] = ()
        self._told = 0
        """How many places their page knows of."""

    def write(self) -> Written:
        """What a flush keeps."""
        days, pages = self.days, dict[bytes, bytes]()
        if len(days.late) > LATE_MAX:
            days.settle()
        late = narrow(days.unkept())
        if len(late) > LATE_MAX or days.told_else:
            runs = _journals(late)
            many = max(len(self._journal) + len(runs), 2 * len(runs))
            if many > JOURNAL_MAX or days.told_else:
                self._write_sections(pages)
            else:
                self._journal += tuple(_put(run, pages) for run in runs)
            days.keep()
            late = []
        places = list(days.places)[self._told :]
        mark = KpiMark(days.window, self._since, b"".join(self._index), b"".join(self._journal), late, places)
        mark.sums = KPI_SUMS
        return Written(mark, pages, self._named())

    @classmethod
    def read(cls, mark: KpiMark, pages: Mapping[bytes, bytes], is_past: IsPast) -> KeptDays:
        """The sums as a marker says.

        Raises `LookupError` where a page is missing, and `msgspec.MsgspecError` where one is none of ours.
        """
        days = Days(mark.window, mark.since, is_past)
        found = cls(days)
        found._index, found._journal = tuple(names_in(mark.index)), tuple(names_in(mark.journal))
        for name in [name for one in found._index for name in names_in(pages[key_of(one)])]:
            found._read(name, _page(pages[key_of(name)]))
        found._told = len(days.places)
        for place in mark.places:
            days.name_place(place)
        days.recount()
        for name in found._journal:
            days.add(_journal(pages[key_of(name)]).late)
        days.keep()
        days.add(mark.late)
        return found

    def _read(self, name: bytes, page: Page) -> None:
        days, (kind, day) = self.days, page.section
        self._sections[page.section] = (*self._sections.get(page.section, ()), name)
        if page.section == PLACES:
            for place, _ in page.sums:
                days.name_place(place)
        elif kind == BASE:
            _add(days.base, page.sums)
        else:
            _add((days.flows if kind == FLOWS else days.levels).setdefault(day, {}), page.sums)

    def _named(self) -> frozenset[bytes]:
        sections = (name for names in self._sections.values() for name in names)
        return frozenset(map(key_of, (*self._index, *self._journal, *sections)))

    def _write_sections(self, pages: dict[bytes, bytes]) -> None:
        days = self.days
        days.settle()
        for section in days.changed:
            sums = _sums_of(days, section)
            if sums:
                self._sections[section] = tuple(_put(_encode(Page(section, run)), pages) for run in _runs(sums))
            else:
                self._sections.pop(section, None)
        if len(days.places) > self._told or days.told_else:
            self._told, told = len(days.places), [(place, 1) for place in days.places]
            self._sections[PLACES] = tuple(_put(_encode(Page(PLACES, run)), pages) for run in _runs(told))
            days.told_else = False
        days.changed.clear()
        names = [name for section in sorted(self._sections) for name in self._sections[section]]
        runs = [names[at : at + NAMES_MAX] for at in range(0, len(names), NAMES_MAX)]
        self._index = tuple(_put(b"".join(run), pages) for run in runs)
        self._journal, self._since = (), days.day


def _sums_of(days: Days, section: Section) -> list[tuple[Name, int]]:
    kind, day = section
    sums = days.base if kind == BASE else (days.flows if kind == FLOWS else days.levels).get(day, {})
    found = sorted(sums.items())
    if _is_narrow([*sums.values()]):
        return found
    return [(name, amount) for name, _, amount in narrow([(name, day, amount) for name, amount in found])]


def narrow(entries: Entries) -> Entries:
    """The same entries, of amounts of more than 62 bits several: an integer of msgpack has 64."""
    if _is_narrow([amount for _, _, amount in entries]):
        return entries
    found: Entries = []
    for name, day, amount in entries:
        while not -LIMIT < amount < LIMIT:
            part = LIMIT - 1 if amount > 0 else 1 - LIMIT
            found.append((name, day, part))
            amount -= part  # noqa: PLW2901
        found.append((name, day, amount))
    return found


def _is_narrow(amounts: list[int]) -> bool:
    """Whether each amount is one integer; to ask one by one took half of the time of writing all sums."""
    return not amounts or (min(amounts) > -LIMIT and max(amounts) < LIMIT)


def _add(sums: dict[Name, int], more: Iterable[tuple[Name, int]]) -> None:
    for name, amount in more:
        sums[name] = sums.get(name, 0) + amount


def _runs(some: Sequence[T]) -> Iterator[list[T]]:
    for at in range(0, len(some), ENTRIES_MAX):
        yield [*some[at : at + ENTRIES_MAX]]


def _journals(late: Entries) -> list[bytes]:
    """The pages of entries: one, unless that is too large."""
    whole = _encode(Journal(late))
    return [whole] if len(whole) <= JOURNAL_BYTES else [_encode(Journal(run)) for run in _runs(late)]


def _put(content: bytes, pages: dict[bytes, bytes]) -> bytes:
    name = name_of(content)
    pages[key_of(name)] = content
    return name
