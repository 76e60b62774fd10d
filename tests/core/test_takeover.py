"""What the new owner of a partition writes again after a former owner has written late."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lifestage.pages import is_page, owner
from streams.profiles import applied_of
from streams.takeover import Watched
from tests.core.histories import records
from tests.core.test_pages import grown, shrink
from tests.core.test_restore import Kept, flushes, read


def taken(key: bytes, value: bytes | None) -> Any:
    """A record as it is read of the changelog."""
    return SimpleNamespace(key=key, value=value, headers=[])


def compacted(changelog: list[Kept]) -> list[Kept]:
    """What compaction leaves: the newest record of each key, in its place."""
    newest = {one.key: at for at, one in enumerate(changelog)}
    return [one for at, one in enumerate(changelog) if newest[one.key] == at]


@pytest.mark.parametrize("several", [False, True], ids=["a page", "all pages"])
def test_a_page_that_is_written_again_stands_before_its_record(monkeypatch: pytest.MonkeyPatch, several: bool) -> None:
    """A former owner removes pages late: they are written again, then the record that names them, once, as it stands."""
    with monkeypatch.context() as patched:
        shrink(patched)
        history = records(grown(120))
        changelog = [one for flush in flushes(history, 40) for one in flush]
        found = read(changelog)
        pages = sorted(found.shelf.pages)
        assert len(pages) > 1
        late = [Kept(page, None) for page in (pages if several else pages[:1])]
        watched = Watched(0.0, found.marker.offset)
        for one in late:
            watched.kept(found, taken(one.key, one.value))
        again = [Kept(key or b"", value, applied_of(headers)) for key, value, headers in watched.lacking(found)]
        named = owner(pages[0])
        assert {one.key for one in again[:-1]} == {one.key for one in late}
        assert all(one.value == found.shelf.pages[one.key] for one in again[:-1])
        assert (again[-1].key, again[-1].value) == (named, found.stored[named])
        left = compacted([*changelog, *late, *again])
        assert [one.key for one in left if one.key == named or is_page(one.key)][-1] == named
        assert dict(read(left).whole()) == dict(found.whole())
