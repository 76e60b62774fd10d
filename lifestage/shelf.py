"""The shelf: the pages of a partition's large profiles, and which records a flush must write for them.

A page that is no longer named goes with a *later* flush than the record that ceased to name it: a flush that is cut off
anywhere leaves either the old record with all of its pages, or the new one with all of its own.

A flush writes pages before the record that names them, but a page that is written again, because a former owner removed it
late, stands behind it, and there compaction leaves it. So a record whose pages are not all there is kept until all is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lifestage import pages as paging
from lifestage.packed import Packed
from lifestage.profile import Profile, decode, encode

WARM_BYTES = 16_000_000
"""Encoded bytes of the large profiles that stay decoded between flushes: about 100 MB, for which no event decodes 4 MB."""


class Torn:
    """A customer's records whose pages were not all there when they were read."""

    def __init__(self) -> None:
        self.mains: dict[int, tuple[bytes, frozenset[bytes]]] = {}
        """What each has applied → the record, and the pages that it is known to name."""
        self.newest = -1, False
        """What the newest of all his records has applied, and whether it is a tombstone."""


NONE_LOST = 1 << 63
"""An offset beyond every log."""


class Mended(NamedTuple):
    """What has come of a customer's torn records."""

    main: bytes | None
    """The one to take."""
    lost: int
    """What the earliest that had more, and is not whole, has applied."""
    outdone: tuple[int, bool] | None
    """What the newest of his records has applied, and whether it is a tombstone, where that says less than this one."""


class Shelf:
    """Pages by key, and the profiles that they belong to."""

    def __init__(self) -> None:
        self.pages: dict[bytes, bytes] = {}
        self.named: dict[bytes, frozenset[bytes]] = {}
        """Customer → the keys of its pages; only those that have any."""
        self.torn: dict[bytes, Torn] = {}
        """Customers with records whose pages were not all there, none of which is outdone by what is known of him."""
        self._warm: dict[bytes, tuple[Profile, int]] = {}
        self._warmth = 0
        self._new: dict[bytes, bytes] = {}
        self._unnamed: set[bytes] = set()
        self._again: set[bytes] = set()
        """Customers with a page that is to be written again."""

    # -- folding ---------------------------------------------------------------------------------

    def load(self, key: bytes, stored: bytes) -> Profile:
        """A large profile, to be folded into: as it was left by the last flush, or put together and decoded."""
        warm = self._warm.get(key)
        return decode(paging.join(key, stored, self.pages)) if warm is None else warm[0]

    def put(self, key: bytes, profile: Profile) -> bytes:
        """Encode a profile; what is to be kept under its key, while its pages, if it needs any, wait for `take`."""
        whole = encode(profile)
        if len(whole) <= paging.ABOVE:
            if key in self.named:
                self.drop(key)
            return whole
        self._chill(key)
        main, pages = paging.split(key, profile, whole)
        now = frozenset(pages)
        for page in self.named.get(key, frozenset()) - now:
            self._unname(page)
        for page in pages:
            if page not in self.pages:
                self.pages[page] = self._new[page] = pages[page]
        self.named[key] = now
        self._keep_warm(key, profile, len(whole))
        return main

    def drop(self, key: bytes) -> None:
        """A customer has no pages any more."""
        self._chill(key)
        for page in self.named.pop(key, frozenset()):
            self._unname(page)

    def keep(self, owner: bytes, pages: Mapping[bytes, bytes], named: frozenset[bytes]) -> None:
        """Let the pages of something that is no customer be those that are named; `pages` holds at least the new ones."""
        for page in self.named.get(owner, frozenset()) - named:
            self._unname(page)
        for page, content in pages.items():
            if page not in self.pages:
                self.pages[page] = self._new[page] = content
        self.named[owner] = named

    def begin(self) -> set[bytes]:
        """A flush begins: the keys of pages that no kept record names."""
        gone, self._unnamed = self._unnamed, set()
        return gone

    def again(self, kept: dict[bytes, bytes | None], stored: Packed) -> None:
        """Let a flush that writes a page again keep its customer's record, too, so that this stands behind it."""
        for key in sorted(self._again & stored.keys()):
            kept.setdefault(key, stored[key])
        self._again.clear()

    def take(self, gone: set[bytes]) -> dict[bytes, bytes | None]:
        """The page records that a flush writes before all others: new pages, then None for those of `gone` that stay so."""
        found: dict[bytes, bytes | None] = dict(self._new)
        found.update((page, None) for page in sorted(gone) if page not in self.pages)
        self._new = {}
        return found

    def _unname(self, page: bytes) -> None:
        self.pages.pop(page, None)
        self._new.pop(page, None)
        self._unnamed.add(page)

    def _keep_warm(self, key: bytes, profile: Profile, size: int) -> None:
        if size > WARM_BYTES:
            return
        self._warm[key] = profile, size
        self._warmth += size
        while self._warmth > WARM_BYTES:
            self._chill(next(iter(self._warm)))

    def _chill(self, key: bytes) -> None:
        warm = self._warm.pop(key, None)
        if warm is not None:
            self._warmth -= warm[1]

    # -- recovery --------------------------------------------------------------------------------

    def restore(self, page: bytes, content: bytes | None) -> None:
        """Take a page's record. One that a record names in force stays, whoever removes it late, and is written again."""
        if content is not None:
            self.pages[page] = content
            self._new.pop(page, None)
        elif page in self.pages and self._is_named(page):
            self._new[page] = self.pages[page]
        else:
            self.pages.pop(page, None)

    def _is_named(self, page: bytes) -> bool:
        key = paging.owner(page)
        if page in self.named.get(key, ()):
            return True
        torn = self.torn.get(key)
        return torn is not None and any(page in pages for _, pages in torn.mains.values())

    def name(self, key: bytes, main: bytes | None, applied: int, vouched: int) -> bool:
        """A record, which may name pages, or nothing takes a customer's place. False where not all pages are there: it
        is kept as torn. `vouched` is what the markers read so far have applied."""
        if main is None:
            self.named.pop(key, None)
        else:
            try:
                self.named[key] = paging.named(key, main, self.pages)
            except paging.MissingError as error:
                self._tear(key, main, applied, vouched, error.named)
                return False
        torn = self.torn.get(key)
        if torn is not None:
            torn.mains = {at: found for at, found in torn.mains.items() if at > applied}
            if not torn.mains:
                del self.torn[key]
        return True

    def _tear(self, key: bytes, main: bytes, applied: int, vouched: int, named: frozenset[bytes]) -> None:
        torn = self.torn.setdefault(key, Torn())
        torn.mains[applied] = main, named
        torn.newest = applied, False
        # One that a marker vouches for must come whole in the end, and outdoes all before it: so a few are kept at most.
        least = max((at for at in torn.mains if at <= vouched), default=-1)
        torn.mains = {at: found for at, found in torn.mains.items() if at >= least}

    def heard(self, key: bytes, applied: int, gone: bool) -> None:
        """A record of a customer was read, or a tombstone."""
        torn = self.torn.get(key)
        if torn is not None:
            torn.newest = applied, gone

    def mend(self, key: bytes, torn: Torn, furthest: int) -> Mended:
        """All records are read: find the furthest of a customer's torn records whose pages have all come after all."""
        lost = NONE_LOST
        for applied, (main, _) in sorted(torn.mains.items(), reverse=True):
            if applied <= furthest:
                break
            try:
                paging.named(key, main, self.pages)
            except paging.MissingError:
                lost = applied
            else:
                return Mended(main, lost, torn.newest if torn.newest[0] < applied else None)
        return Mended(None, lost, None)

    def recovered(self) -> None:
        """All records are read: what no record names goes with the first flush."""
        named = frozenset().union(*self.named.values())
        self._new = {page: content for page, content in self._new.items() if page in named}
        self._again = {paging.owner(page) for page in self._new}
        for page in [page for page in self.pages if page not in named]:
            self._unname(page)
        self.torn.clear()
