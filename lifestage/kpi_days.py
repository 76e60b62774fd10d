"""KPI sums by day: what persons add to them, from which day on, and what they come to over the last days.

A day is a UTC day, counted since 1970. KPIs are as of the end of the present day D over the window of the days D − W + 1 .. D.
Two kinds of entries make them. A *flow* belongs to its day, and counts while that is in the window. A *level*, whose name
begins with `LEVEL`, counts from its day on for good; what ceases to hold has an entry with the opposite amount. Both may lie
in the future, and wait for their day. Flows and levels of one name are one sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lifestage.kpi_contribute import BY_CAMPAIGN, BY_CHANNEL, Sums
from lifestage.kpi_gather import DIRECT, NONE, OTHER, Span
from lifestage.kpi_labels import in_other, place_of
from lifestage.moments import DAY_MS

Name = tuple[str, ...]
"""The name of a sum and its label values; with `LEVEL` before it the entry is a level."""
Entry = tuple[Name, int, int]
"""Name, day, amount."""
Entries = list[Entry]
Section = tuple[int, int]
"""`BASE`, `FLOWS` or `LEVELS`, and the day."""
BASE: Final = 0
FLOWS: Final = 1
LEVELS: Final = 2
IsPast = Callable[[Name, int], bool]
"""Whether nobody will ask for a sum any more from a day on."""
LEVEL: Final = "~"
COST: Final = "cost"
PLACES_MAX = 50
"""Values that are told apart in a partition of each label that events name freely: first come; the rest is `other` for good."""
CAMPAIGNS_KNOWN = 200
"""The same of campaigns, which come and go: what has no sums any more is let go of, and others have its place."""
SHUT, SHUT_DAYS = "/campaign?", 30
"""In place of a label beside a day: since when no campaign is told apart that was not before, for the window and so many days more.
What was counted in `other` is to be taken back there."""


def places_max(kind: str) -> int:
    """How many values of a label are told apart in a partition."""
    return CAMPAIGNS_KNOWN if kind == BY_CAMPAIGN else PLACES_MAX


def day_of(ms: int) -> int:
    """The day of an instant."""
    return ms // DAY_MS


def end_of_day(day: int) -> int:
    """The last instant of a day, ms."""
    return (day + 1) * DAY_MS - 1


def whole_days(day: int, window: int) -> Span:
    """The window of so many days up to the end of one, of which it is not known how much is over."""
    return Span(end_of_day(day - window), end_of_day(day), end_of_day(day - 1))


def level(name: Name) -> Name:
    """The name of a level that adds to a sum."""
    return LEVEL + name[0], *name[1:]


_USUAL = frozenset({DIRECT, NONE, OTHER})
"""Label values that are told apart always."""


def _never(_name: Name, _day: int) -> bool:
    return False


TOGETHER_MAX = 4_000
"""Groups of names that are remembered as counted together."""


class Total:
    """A sum as of the end of the present day, which whoever adds to it holds."""

    __slots__ = ("amount",)

    def __init__(self, amount: int) -> None:
        self.amount = amount


NEVER: Final = -(1 << 60)
"""In place of a day: before all of them."""
SLOTS: Final = 192
"""Days around the one at hand of which amounts stand in a list: there an amount is added with a fifth of the instructions that it takes
in a dict. 1.5 KB for each name that is counted on several days between two flushes."""
HALF: Final = 96


class Known:
    """A name, while the present day lasts: as it is kept, its sum and that sum's total, whether it is a level, and what was added to it
    lately: on one day, and by day on those before that came."""

    __slots__ = ("amount", "begin", "day", "far", "lasts", "marked", "name", "next", "plain", "slots", "then", "total")

    def __init__(self, name: Name, plain: Name, lasts: bool, total: Total) -> None:
        self.name, self.plain, self.lasts, self.total = name, plain, lasts, total
        self.day, self.amount = NEVER, 0
        self.next, self.then = NEVER, 0
        """One number for the day that came first, which comes again and again, and one for the second: between two flushes of a
        backlog a day passes."""
        self.begin, self.slots, self.marked = 0, _NO_SLOTS, list[int]()
        """Amounts of `SLOTS` days from one on, once there are any, and which of them are not empty."""
        self.far: dict[int, int] = {}
        """Of all other days."""

    def add(self, day: int, amount: int, free: list[list[int]]) -> None:
        """Add an amount on another day than the first two; of the free slots some are taken where there are none yet."""
        if self.next == NEVER:
            self.next, self.then = day, amount
            return
        if self.slots is _NO_SLOTS:
            self.begin, self.slots = self.day - HALF, free.pop() if free else [0] * SLOTS
        at = day - self.begin
        if 0 <= at < SLOTS:
            was = self.slots[at]
            self.slots[at] = was + amount
            if not was:
                self.marked.append(at)
        else:
            self.far[day] = self.far.get(day, 0) + amount

    def by_day(self) -> list[tuple[int, int]]:
        """What was added lately, by day."""
        slots = self.slots
        found = [(self.day, self.amount), (self.next, self.then)]
        # one that came back to nothing may be there twice
        found += [(self.begin + at, slots[at]) for at in dict.fromkeys(self.marked)]
        found += self.far.items()
        return [one for one in found if one[1]]


_NO_SLOTS: Final[list[int]] = []


class Days:
    """What a partition's persons add, and its sums as of the end of the present day, which never goes back."""

    def __init__(self, window: int, day: int, is_past: IsPast = _never) -> None:
        self.window, self.day, self._is_past = window, day, is_past
        self.levels: dict[int, dict[Name, int]] = {}
        """Levels to come, by their day, under the names of their sums."""
        self.base: dict[Name, int] = {}
        """Levels that have come."""
        self.flows: dict[int, dict[Name, int]] = {}
        """Of the window and to come, by their day."""
        self._settled: Entries = []
        """What is in them and was not kept yet."""
        self.places: dict[Name, None] = {}
        """The label values that are told apart, each with what counts them (`kpi_labels.place_of`)."""
        self.changed: set[Section] = set()
        """What of them differs from what it was when this was last emptied."""
        self.told_else = False
        """Whether of these any went, which `told` pages do not know of yet."""
        self._shut = -1
        """The day on which a campaign was refused last."""
        self._told_apart: Counter[str] = Counter()
        self._sums: dict[Name, Total] = {}
        self._names: dict[Name, Known] = {}
        """Names as they were given."""
        self.late: list[Known] = []
        """Those with entries that are not in the three above yet."""
        self._free: list[list[int]] = []
        """`SLOTS` zeros each, of names that were put where they belong: to make them anew takes as long as to count 40 amounts."""
        self.together: dict[object, list[Known]] = {}
        """What is counted together, while the present day lasts (`remember`)."""

    def add(self, entries: Iterable[Entry], sign: int = 1) -> None:
        """Count entries; with sign −1 take them back."""
        names = self._names
        for given, day, amount in entries:
            known = names.get(given)
            if known is None:
                known = self._learn(given)
            self.count_one(known, day, amount if sign > 0 else -amount)

    def known(self, given: Name) -> Known:
        """A name, to be counted while the present day lasts."""
        known = self._names.get(given)
        return self._learn(given) if known is None else known

    def remember(self, of: object, given: Iterable[Name]) -> list[Known]:
        """Names that are counted together often, under what they are counted for: to be found in `together`."""
        if len(self.together) >= TOGETHER_MAX:
            self.together.clear()
        found = self.together[of] = [self.known(name) for name in given]
        return found

    def count(self, some: list[Known], day: int, amount: int) -> None:
        """Count an amount for each of some names on one day."""
        for known in some:
            self.count_one(known, day, amount)

    def count_one(self, known: Known, day: int, amount: int) -> None:
        """Count an amount for a name."""
        today = self.day
        if day <= today:
            if known.lasts:
                day = today  # whatever was before is in the present alike
            elif day <= today - self.window:
                return
            known.total.amount += amount
        if day == known.day:
            known.amount += amount
        elif day == known.next:
            known.then += amount
        elif known.day == NEVER:
            self.late.append(known)
            known.day, known.amount = day, amount
        else:
            known.add(day, amount, self._free)

    def count_span(self, flow: Known, level: Known, begin: int, end: int, amount: int) -> None:
        """Count an amount for a name from a day until another: as a flow, where that is as long as the window, else as a level."""
        if end - begin == self.window:
            self.count_one(flow, begin, amount)
        elif begin < end:
            self.count_one(level, begin, amount)
            self.count_one(level, end, -amount)

    def totals(self) -> Sums:
        """The sums as of the end of the present day; none that is 0."""
        # a copy is made in one go, also while another thread asks
        return Counter({name: total.amount for name, total in self._sums.copy().items() if total.amount})

    def turn(self, day: int) -> None:
        """It is another day, unless it was that or later before."""
        if day <= self.day:
            return
        self.settle()
        # whoever reads them meanwhile sees the day before; in a `Counter` to set one takes ten times as long
        sums = {name: total.amount for name, total in self._sums.items()}
        for come in [at for at in self.levels if at <= day]:
            for name, amount in self.levels.pop(come).items():
                _add(self.base, name, amount)
                sums[name] = sums.get(name, 0) + amount
            self.changed |= {(LEVELS, come), (BASE, 0)}
        for at in [at for at in self.flows if at <= day]:
            flows = self.flows[at]
            gone, counted = at <= day - self.window, self.day - self.window < at <= self.day
            if gone:
                del self.flows[at]
                self.changed.add((FLOWS, at))
            if gone is counted:
                for name, amount in flows.items():
                    sums[name] = sums.get(name, 0) + (-amount if gone else amount)
        self.day = day
        for name in [name for name in self.base if self._is_past(name, day)]:
            del self.base[name]
            sums.pop(name, None)
            self.changed.add((BASE, 0))
        if self._told_apart[BY_CAMPAIGN] > CAMPAIGNS_KNOWN // 2 or self._shut >= 0:
            self._let_campaigns_go()
        self._put(sums)

    def _put(self, sums: Mapping[Name, int]) -> None:
        self._sums = {name: Total(amount) for name, amount in sums.items() if amount}
        self._names = {}
        self.together = {}

    def settle(self) -> None:
        """Put what was added where it belongs."""
        flows, levels = set[int](), set[int]()
        for known in self.late:
            changed = levels if known.lasts else flows
            if known.amount:
                self._settle(known, known.day, known.amount, changed)
            if known.then:
                self._settle(known, known.next, known.then, changed)
            known.day, known.amount, known.next, known.then = NEVER, 0, NEVER, 0
            if known.marked:
                begin, slots = known.begin, known.slots
                for at in known.marked:
                    amount = slots[at]
                    # one that came back to nothing may be there twice
                    if amount:
                        slots[at] = 0
                        self._settle(known, begin + at, amount, changed)
                known.slots, known.marked = _NO_SLOTS, []
                self._free.append(slots)
            if known.far:
                for day, more in known.far.items():
                    if more:
                        self._settle(known, day, more, changed)
                known.far = {}
        self.late = []
        self.changed.update([(FLOWS, day) for day in flows])
        self.changed.update([(BASE, 0) if day == NEVER else (LEVELS, day) for day in levels])

    def _settle(self, known: Known, day: int, amount: int, changed: set[int]) -> None:
        """Put an amount where it belongs, and note its day; of a level that has come `NEVER`."""
        plain = known.plain
        if not plain:
            return
        if known.lasts and day <= self.day:
            sums = self.base
            changed.add(NEVER)
        else:
            if not known.lasts and day <= self.day - self.window:
                return
            sections = self.levels if known.lasts else self.flows
            sums = sections.get(day) or sections.setdefault(day, {})
            changed.add(day)
        total = sums.get(plain, 0) + amount
        if total:
            sums[plain] = total
        else:
            del sums[plain]
        self._settled.append((known.name, day, amount))

    def _pending(self) -> Entries:
        return [(known.name, day, amount) for known in self.late if known.plain for day, amount in known.by_day()]

    def unkept(self) -> Entries:
        """What was added since `keep`, but for flows that have left the window."""
        return self._settled + self._pending()

    def keep(self) -> None:
        """All that was added so far is kept elsewhere."""
        self.settle()
        self._settled = []

    def recount(self) -> None:
        """Add the sums up anew from what is kept."""
        sums = Counter(self.base)
        for day, flows in self.flows.items():
            if self.day - self.window < day <= self.day:
                sums.update(flows)
        late, self.late = self._pending(), []
        self._put(sums)
        self.add(late)

    def name_place(self, place: Name) -> bool:
        """Whether a label value is told apart: if it was before, or there is room."""
        if place not in self.places:
            kind = place[0]
            if kind == SHUT:
                self._shut = int(place[1])
            elif self._told_apart[kind] >= places_max(kind) or (kind == BY_CAMPAIGN and self._shut >= 0):
                if kind == BY_CAMPAIGN and self._shut < self.day:
                    self.places.pop((SHUT, str(self._shut)), None)
                    self.places[SHUT, str(self.day)] = None
                    self._shut, self.told_else = self.day, True
                return False
            self.places[place] = None
            self._told_apart[kind] += 1
        return True

    def _let_campaigns_go(self) -> None:
        """Let go of the campaigns that have no sums any more."""
        sections = (self.base, *self.flows.values(), *self.levels.values())
        used = {name[-1] for sums in sections for name in sums if name[0].endswith(BY_CAMPAIGN)}
        gone = [place for place in self.places if place[0] == BY_CAMPAIGN and place[1] not in used]
        if 0 <= self._shut < self.day - self.window - SHUT_DAYS:
            gone.append((SHUT, str(self._shut)))
            self._shut = -1
        for place in gone:
            del self.places[place]
            self._told_apart[place[0]] -= 1
            self.told_else = True

    def _learn(self, given: Name) -> Known:
        lasts = given[0].startswith(LEVEL)
        plain: Name = (given[0][1:], *given[1:]) if lasts else given
        if self._is_past(plain, self.day):
            known = self._names[given] = Known(given, (), lasts, Total(0))
            return known
        place = (BY_CHANNEL, plain[3]) if plain[0] == COST else place_of(plain)
        if place is not None and not _USUAL.issuperset(place[1:]) and not self.name_place(place):
            # not remembered: there may be any number of them
            plain = _other(plain)
            given = level(plain) if lasts else plain
            if given in self._names:
                return self._names[given]
        known = self._names[given] = Known(given, plain, lasts, self._sums.setdefault(plain, Total(0)))
        return known


def _other(name: Name) -> Name:
    if name[0] == COST:
        return *name[:3], OTHER, *name[4:]
    return in_other(name)


def _add(sums: dict[Name, int], name: Name, amount: int) -> None:
    total = sums.get(name, 0) + amount
    if total:
        sums[name] = total
    else:
        del sums[name]
