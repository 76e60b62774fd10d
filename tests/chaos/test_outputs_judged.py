"""The comparison of envelopes, dead letters and pages is judged: what is right passes, and each slip is found."""

from __future__ import annotations

import pytest

from lifestage import log
from lifestage.marker import MARKER_KEY
from streams.dead_letters import MARK, Why, headers
from tests.envelopes import Envelope, Of, envelope_of, envelopes_amiss
from tests.leftovers import Leftovers
from tests.letters import Place, letters_amiss, rejected
from tests.wire import Record

CODE = 7
HEADERS = [("ce_id", b"a"), ("ce_stage", b"reach"), ("ce_recordedtime", b"2024-01-01T00:00:00.000Z")]
NAMED, OTHER = b"big\0" + b"n" * 16, b"big\0" + b"o" * 16


def told(*pairs: tuple[str, bytes]) -> dict[Of, Envelope]:
    """One change, with other headers where `pairs` say so."""
    return {("c", 1): envelope_of((dict(HEADERS) | dict(pairs)).items())}


def test_another_id_or_header_is_found() -> None:
    """Id and every header but the time of writing must be those of the fold."""
    assert envelopes_amiss(told(), told(("ce_recordedtime", b"later"))) == []
    assert envelopes_amiss(told(), told(("ce_id", b"b"))) == ["c seq 1 is due as b'a' and was told as b'b'"]
    assert envelopes_amiss(told(), told(("ce_stage", b"loyalty"))) == ["headers of c seq 1 are not those that are due"]


def entry(at: int, outcome: str, reason: str = "") -> Record:
    """The log's entry for the record at an offset of the source."""
    value = log.pack_refused(log.Refused(outcome, "shop", "web.visit", reason), CODE, 0, at)
    return Record(0, at, 0, None, value, ())


def letter(at: int, reason: str) -> Record:
    """A dead letter."""
    return Record(0, at, 0, None, b"{", tuple(headers(Why(reason, "so", "visits", 0, at))))


DUE = rejected(
    [entry(0, "rejected", "unparsable"), entry(1, "late"), entry(2, "rejected", "too_large"), entry(2, "late")],
    {CODE: "visits"},
)
RIGHT = [letter(0, "unparsable"), letter(2, "too_large"), letter(0, "unparsable")]


def test_letters_that_are_due_pass() -> None:
    """A letter for each rejected record is right, also when one is there twice; marks are no letters."""
    assert dict(DUE) == {Place("visits", 0, 0): "unparsable", Place("visits", 0, 2): "too_large"}
    mark = Record(0, 9, 0, None, b"{}", ((MARK, b"begun"),))
    assert letters_amiss([*RIGHT, mark], DUE) == []


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        (RIGHT[:1], "visits[0]@2 was rejected and has no dead letter"),
        ([*RIGHT, letter(1, "unparsable")], "visits[0]@1 has a dead letter and was not rejected"),
        ([RIGHT[0], letter(2, "unparsable")], "visits[0]@2 has a dead letter with another reason than the log"),
        ([*RIGHT, Record(1, 4, 0, None, b"{", ())], "dead letters[1]@4: no dead letter"),
    ],
)
def test_each_wrong_letter_is_found(letters: list[Record], words: str) -> None:
    """As many letters as rejected records are not enough: each must be of its place, and say its reason."""
    (found,) = letters_amiss(letters, DUE)
    assert found.startswith(words)


def left_after(*keys: tuple[bytes, bytes | None]) -> list[str]:
    """What is found of a changelog of one partition, when `NAMED` alone is named."""
    leftovers = Leftovers()
    for at, (key, value) in enumerate(keys):
        leftovers.hear(Record(0, at, 0, key, value, ()))
    return leftovers.among({NAMED})


def test_a_page_that_stays_for_ever_is_found() -> None:
    """A page may outlast the flush that ceased to name it, and no other flush after that."""
    first = ((NAMED, b"1"), (OTHER, b"2"), (b"big", b"x"), (MARKER_KEY, b"m"))
    again = (b"big", b"y"), (MARKER_KEY, b"m")
    later = (b"small", b"z"), (MARKER_KEY, b"m")
    assert left_after(*first) == []
    assert left_after(*first, *again) == []
    assert len(left_after(*first, *again, *later)) == 1
    assert left_after(*first, *again, (OTHER, None), *later) == []
