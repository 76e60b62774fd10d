"""Pages in the changelog that no profile names: what a flush leaves unnamed, the next flush of the partition takes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from lifestage.kpi_pages import OWNER as KPIS
from lifestage.marker import MARKER_KEY, PREPARED_KEY
from lifestage.pages import MissingError, is_page, is_paged, join, named, owner
from tests.wire import Record


class Leftovers:
    """Hears the changelog in its order, and says which pages ought to be gone."""

    def __init__(self) -> None:
        self._flushes: Counter[int] = Counter()
        """Partition → markers so far: each ends a flush."""
        self._touched: dict[bytes, int] = {}
        """Customer → the flush that last kept or removed the profile."""
        self._pages: dict[bytes, tuple[int, int]] = {}
        """Page → its partition, and the flush that wrote it."""

    def hear(self, record: Record) -> None:
        """Take in one record."""
        key, number = record.key, record.partition
        assert key is not None
        if key == MARKER_KEY:
            self._flushes[number] += 1
        elif key == PREPARED_KEY:
            return
        elif is_page(key) and owner(key) == KPIS:
            # a late marker of a former owner may name it: the next owner takes it away
            return
        elif not is_page(key):
            self._touched[key] = self._flushes[number]
        elif record.value is None:
            self._pages.pop(key, None)
        else:
            self._pages[key] = number, self._flushes[number]

    def among(self, named: Iterable[bytes]) -> list[str]:
        """Pages that are not `named`, although the partition has had a flush since their customer's last profile.

        What the newest flush no longer names goes with the next one, and what a cut-off one wrote with the next, too.
        """
        wanted = frozenset(named)
        return [
            f"a page of {owner(page)!r} is left over, and a later flush should have removed it"
            for page, (number, written) in self._pages.items()
            if page not in wanted
            and written < self._flushes[number]
            and self._touched.get(owner(page), -1) < self._flushes[number] - 1
        ]


def put_together(profiles: dict[bytes, bytes], pages: Mapping[bytes, bytes]) -> set[bytes]:
    """Replace records of profiles that are kept in pages by the profiles; returns the keys of all pages that are named.

    One whose pages are not all there stays a record that is no profile.
    """
    wanted: set[bytes] = set()
    for key, value in profiles.items():
        with suppress(MissingError):
            if is_paged(value):
                wanted |= named(key, value, pages)
                profiles[key] = join(key, value, pages)
    return wanted
