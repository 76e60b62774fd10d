"""Offline commands: files of events in any order become changes, or customers who differ, in bounded memory.

Readers decode pieces of the files side by side and sort the facts by id and time into runs, by the hash of the id into
parts, and keep beside them which ids were seen together. From that it is worked out who belongs to whom, and facts that
came under another id go to the part of the person whose they are. Each part is merged and folded by one process. What is
told is merged last. Little input stays in this process and, as far as it fits, in memory; the result is the same to the byte.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from config.errors import UserFacingError
from streams.files import PIECE, Piece, pieces, size_of
from streams.offline_claims import Sorting
from streams.offline_fold import Folded, Moves
from streams.offline_gather import Gathered
from streams.offline_merge import merged
from streams.offline_parallel import Alone, Crew, Hands, Task
from streams.offline_read import SHOWN_REJECTED, Account, Rejected, rejected_of
from streams.offline_records import change_line, named_line
from streams.offline_regroup import moves_by_part
from streams.offline_spill import Run, Spool
from streams.offline_work import Job, Part

Name = TypeVar("Name")

SMALL = 32 << 20
"""Bytes of input below which further processes would cost more time than they save."""
PARTS_A_PROCESS = 4
"""So that the processes end at about the same time, though parts differ."""


class Shown(Protocol):
    """What progress is reported to: `commands.progress.Progress`."""

    def begin(self, what: str, total: int | None) -> None:
        """The next part of the work, and how much there is."""

    def reach(self, done: int, said: str = "") -> None:
        """So much of it is done."""


class Place(NamedTuple):
    """A rejected line with its number in its file."""

    file: str
    line: int
    rejected: Rejected

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rejected.reason}: {self.rejected.message}"


class Result:
    """What came of all files. Lines are to be taken while the temporary files are there: inside the `with` of `working`."""

    def __init__(
        self, job: Job, accounts: Sequence[Account], parts: Sequence[Folded], repeats: int, folder: Path
    ) -> None:
        self._job, self._parts = job, parts
        self.folder = folder
        """Where temporary files are."""
        self._accounts = sorted(accounts, key=lambda account: account.piece.number)
        self.events = sum(account.events for account in accounts)
        self.newest = _newest(accounts)
        """The time of the newest event that counts, ms."""
        self.until = job.until
        """Where time was to end, exclusive, ms; None: with the newest event, inclusive."""
        self.customers = sum(part.customers for part in parts)
        self.outcomes = _summed(account.outcomes for account in accounts) + _summed(part.outcomes for part in parts)
        if repeats:  # of merges and splits
            self.outcomes.update({"accepted": -repeats, "duplicate": repeats})
        sides = range(len(job.plans))
        self.population = [_summed(part.population[side] for part in parts) for side in sides]
        self.moves: list[Moves] = [_summed(part.moves[side] for part in parts) for side in sides]
        self.differ: Moves = _summed(part.differ for part in parts)
        self.sums = _summed(part.sums for part in parts)

    def told(self) -> Iterator[memoryview]:
        """Of one plan its changes by (time, customer, seq), of two the customers who differ by id: a JSON document each."""
        return map(change_line if len(self._job.plans) == 1 else named_line, self.records())

    def records(self) -> Iterator[bytes]:
        """What the parts tell, in the order of its bytes; each time from the first on."""
        runs = [run for part in self._parts for run in part.told]
        return merged(runs, self.folder / "told", self._job.fan_in)

    def spool(self, name: str) -> Spool:
        """A place to sort more, in as much memory as a process may take."""
        return Spool(self.folder, name, 1, self._job.memory)

    def first_rejected(self) -> list[str]:
        """The first rejected lines, as `file:line: reason: what is wrong`."""
        found = (place for account, base in self._bases() for place in _places(account.first_rejected, account, base))
        return [str(place) for place in itertools.islice(found, SHOWN_REJECTED)]

    def rejected(self) -> Iterator[Place]:
        """All rejected lines in order, where the job keeps them."""
        for account, base in self._bases():
            runs = rejected_of(account.rejected, self.folder / f"aside-{account.piece.number}")
            yield from _places(runs, account, base)

    def _bases(self) -> Iterator[tuple[Account, int]]:
        """Each account with the number of lines before it in its file."""
        before: defaultdict[int, int] = defaultdict(int)
        for account in self._accounts:
            yield account, before[account.piece.given]
            before[account.piece.given] += account.lines


def _newest(accounts: Iterable[Account]) -> int | None:
    return max((account.newest for account in accounts if account.newest is not None), default=None)


def _places(rejected: Iterable[Rejected], account: Account, base: int) -> Iterator[Place]:
    return (Place(account.piece.name, base + one.line, one) for one in rejected)


def _summed(counters: Iterable[Counter[Name]]) -> Counter[Name]:
    found: Counter[Name] = Counter()
    for counter in counters:
        found.update(counter)
    return found


@contextmanager
def working(
    job: Job, files: Sequence[str], shown: Shown, processes: int | None = None, piece: int = PIECE
) -> Iterator[Result]:
    """Do a job on files; `-` is stdin. One process for less than `SMALL` bytes, else one for each core, or `processes`.

    Raises `UserFacingError`. Nothing is left behind, however it ends.
    """
    size = size_of(files)
    coming = pieces(files, whole=job.mapping is not None, most=piece)
    if job.mapping is not None and size is None:
        count = 1  # rows of a stream cannot be divided
    elif processes is not None:
        count = processes
    else:
        coming, is_small = _peeked(coming)
        count = 1 if is_small else len(os.sched_getaffinity(0))
    job = job._replace(keep=count == 1, parts=1 if count == 1 else count * PARTS_A_PROCESS)
    with _folder() as folder, Alone(job, folder) if count == 1 else Crew(job, folder, count) as hands:
        accounts = _read(hands, coming, size, shown)
        work, repeats = _regrouped(hands, job, hands.all(Task("sort")), folder)
        yield Result(job, accounts, _fold(hands, job, work, accounts, shown), repeats, folder)


def _peeked(coming: Iterator[Piece]) -> tuple[Iterator[Piece], bool]:
    """The same pieces, and whether they are less than `SMALL` bytes in all. Of a stream no more than that is read ahead."""
    ahead, size = [], 0
    for piece in coming:
        ahead.append(piece)
        size += piece.size
        if size >= SMALL:
            return itertools.chain(ahead, coming), False
    return iter(ahead), True


@contextmanager
def _folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="lifestage-")
    except OSError as error:
        raise UserFacingError(f"no folder for temporary files ({error}); TMPDIR names one") from None
    with folder as path:
        yield Path(path)


def _read(hands: Hands, coming: Iterable[Piece], size: int | None, shown: Shown) -> list[Account]:
    shown.begin("reading", size)
    told = _Told(shown, "events")
    return list(hands.each((Task("read", (piece,)) for piece in coming), told))


def _regrouped(hands: Hands, job: Job, gathered: Sequence[Gathered], folder: Path) -> tuple[list[Part], int]:
    """What is to be folded, each fact where the person's are whose it is; and how many merges and splits were repeats."""
    parts = range(2 * job.parts)
    runs = [[run for one in gathered for run in one.facts[part]] for part in parts]
    sorting = Sorting(gathered, folder, job.memory, job.fan_in)
    claimed: list[Run] = []
    if sorting.asked.things or sorting.asked.contested:
        looking = (Task("claims", (part, runs[part], sorting.asked)) for part in parts if runs[part])
        claimed = [run for found in hands.each(looking, _unsaid) for run in found]
    resolver, repeats = sorting.resolved(claimed)
    moving = moves_by_part(resolver, Spool(folder, "moves", 2 * job.parts, job.memory), job.parts, runs)
    leaving = (Task("regroup", (part, runs[part], moving[part])) for part in parts if moving[part])
    for _ in hands.each(leaving, _unsaid):
        pass
    moved = hands.all(Task("moved"))
    work = [Part(part, runs[part], moving[part], [run for one in moved for run in one[part]]) for part in parts]
    return work, repeats


def _unsaid(_: int, __: int) -> None:
    """Work that is not shown."""


def _fold(hands: Hands, job: Job, work: Sequence[Part], accounts: Sequence[Account], shown: Shown) -> list[Folded]:
    end = job.until if job.until is not None else (_newest(accounts) or 0) + 1
    shown.begin("computing", sum(account.facts for account in accounts))
    return list(hands.each((Task("fold", (one, end)) for one in work), _Told(shown, "changes")))


class _Told:
    """Sums up what the processes tell, and shows it with the rate."""

    def __init__(self, shown: Shown, what: str) -> None:
        self._shown, self._what, self._began = shown, what, time.monotonic()
        self._done = self._count = 0

    def __call__(self, done: int, count: int) -> None:
        self._done += done
        self._count += count
        rate = self._count / max(time.monotonic() - self._began, 0.001)
        self._shown.reach(self._done, f"{self._count:,} {self._what}, {rate:,.0f} a second")
