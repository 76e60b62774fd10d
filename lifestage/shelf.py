"""The shelf: the pages of a partition's large profiles, and which records a flush must write for them.

A page that is no longer named goes with a *later* flush than the record that ceased to name it: a flush that is cut off
anywhere leaves either the old record with all of its pages, or the new one with all of its own.
"""

from __future__ import annotations

from lifestage import pages as paging
from lifestage.profile import Profile, decode, encode

WARM_BYTES = 16_000_000
"""Encoded bytes of the large profiles that stay decoded between flushes: about 100 MB, for which no event decodes 4 MB."""


class Shelf:
    """Pages by key, and the profiles that they belong to."""

    def __init__(self) -> None:
        self.pages: dict[bytes, bytes] = {}
        self.named: dict[bytes, frozenset[bytes]] = {}
        """Customer → the keys of its pages; only those that have any."""
        self.torn: dict[bytes, int] = {}
        """Customers with a record whose pages were not all there, and the offset that it has applied."""
        self._warm: dict[bytes, tuple[Profile, int]] = {}
        self._warmth = 0
        self._new: dict[bytes, bytes] = {}
        self._unnamed: set[bytes] = set()

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

    def begin(self) -> set[bytes]:
        """A flush begins: the keys of pages that no kept record names."""
        gone, self._unnamed = self._unnamed, set()
        return gone

    def take(self, gone: set[bytes]) -> dict[bytes, bytes | None]:
        """The page records that a flush writes before all others: new pages, and None for those of `gone` that stay so."""
        found: dict[bytes, bytes | None] = {page: None for page in sorted(gone) if page not in self.pages}
        found.update(self._new)
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
        elif page in self.named.get(paging.owner(page), ()):
            self._new[page] = self.pages[page]
        else:
            self.pages.pop(page, None)

    def name(self, key: bytes, main: bytes | None, applied: int = -1) -> bool:
        """A record, which may name pages, or nothing takes a customer's place. False where not all pages are there."""
        if main is None:
            self.named.pop(key, None)
            return True
        try:
            self.named[key] = paging.named(key, main, self.pages)
        except paging.MissingError:
            self.torn[key] = max(applied, self.torn.get(key, -1))
            return False
        return True

    def recovered(self) -> None:
        """All records are read: what no record names goes with the first flush."""
        named = frozenset().union(*self.named.values())
        self._new = {page: content for page, content in self._new.items() if page in named}
        for page in [page for page in self.pages if page not in named]:
            self._unname(page)
        self.torn.clear()
