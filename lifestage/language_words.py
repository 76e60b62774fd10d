"""The words of a plan's text with their places, and the one error that a wrong text ends in."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from lifestage.money import DIGITS, minor

UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
DURATION_MAX = 36_525 * UNITS["d"]
"""A hundred years: beyond it is a slip of the finger, not a window."""
COUNT_MAX = 1_000_000_000
TEXT_MAX = 200
RESERVED = frozenset({"and", "or", "not", "in", "true", "false", "nowhere"})
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

_LEXEME = re.compile(
    r"(?P<text>\"[^\"]*\")|(?P<word>UTC[+-][0-9:]*|[^\W\d]\w*(?:\.\w+|:(?!\S))?)"
    r"|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?![\w-])|(?P<amount>-?[0-9]\w*(?:\.[0-9]\w*)?)"
    r"|(?P<arrow>->|(?<!\S)-(?!\S))|(?P<op>[<>=!]=|[<>])|(?P<bracket>[()])"
)
"""A word may have a second half, `trait.plan`, or end in a colon, as in `ben: visit`; a lone `-` stands for nothing."""
_MEANT = {
    "=": "write == to compare",
    "!": "write not, or !=",
    "&": "write and",
    "|": "write or",
    ",": "a decimal point is a point, and lists need nothing between their words",
    "%": "a share is a number from 0 to 1: 0.25",
    "€": "write the currency after the amount: 20.00 EUR",
    "$": "write the currency after the amount: 20.00 USD",
    "£": "write the currency after the amount: 20.00 GBP",
    "→": "write ->",
    "≥": "write >=",
    "≤": "write <=",
    "≠": "write !=",
    "\xa0": "it looks like a space and is none: type the space anew",
} | dict.fromkeys("'‘’“”„«»", 'texts stand between " and "')
"""What people write where the language has something else."""
_TURNED = {"=>": ">=", "=<": "<="}


class Place(NamedTuple):
    """Where something stands; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class PlanError(ValueError):
    """A plan's text was refused. As text it is one line: `file:line:column: what is wrong; what to do`."""

    def __init__(self, place: Place, problem: str, suggestion: str = "") -> None:
        super().__init__(place, problem, suggestion)
        self.file, self.line, self.column = place
        self.problem, self.suggestion = problem, suggestion

    def __str__(self) -> str:
        said = f"{self.file}:{self.line}:{self.column}: {self.problem}"
        return f"{said}; {self.suggestion}" if self.suggestion else said


class Word(NamedTuple):
    """One word of the text. `kind`: text, word, date, amount, arrow, op, bracket."""

    text: str
    kind: str
    place: Place


class Line(NamedTuple):
    """The words of a line that has any, and the number of spaces before the first."""

    indent: int
    words: list[Word]


def lines_of(text: str, file: str) -> list[Line]:
    """The lines that say something: without blank ones and comments. Raises `PlanError` for what is no word."""
    # a line may end as on any system, old ones included
    rows = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = [_line(row, Place(file, number, 1)) for number, row in enumerate(rows, 1)]
    return [line for line in found if line.words]


def _line(row: str, start: Place) -> Line:
    words: list[Word] = []
    at = indent = len(row) - len(row.lstrip(" "))
    while at < len(row) and row[at] != "#":
        place = start._replace(column=at + 1)
        if row[at] == " ":
            at += 1
            continue
        lexeme = _LEXEME.match(row, at)
        if lexeme is None:
            raise _no_word(row, at, place, [word.text for word in words])
        words.append(Word(lexeme[0], lexeme.lastgroup or "", place))
        at = lexeme.end()
    return Line(indent, words)


def _no_word(row: str, at: int, place: Place, before: list[str]) -> PlanError:
    """What is wrong where no word begins in a row; `before` are the words to the left of it."""
    character = row[at]
    if before and before[0] == "days":
        offset = re.search(r"[+-][0-9]{2}:[0-9]{2}", row)
        write = (
            f"write UTC{offset[0]}" if offset else "the names of zones are not read: write a fixed offset: UTC+01:00"
        )
        return PlanError(place, f"unexpected character {character!r}", write)
    said = row[at + 1 :].partition("#")[0].split()
    if character in "=:" and len(before) == 1 and len(said) == 1 and said[0][0] not in "=<>":
        return PlanError(place, f"unexpected character {character!r}", f"write: {before[0]} {said[0]}")
    if row[at : at + 2] in _TURNED:
        return PlanError(place, f"unexpected {row[at : at + 2]!r}", f"write {_TURNED[row[at : at + 2]]}")
    if character == "\t":
        return PlanError(place, "a tab", "write spaces: four for each step to the right")
    if character == '"':
        return PlanError(place, "a text that does not end", 'close it with " on the same line')
    return PlanError(place, f"unexpected character {character!r}", _MEANT.get(character, ""))


def meant(word: str, names: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest known one, else all of them."""
    known = list(names)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else ""


class Cursor:
    """The words of one line, taken one by one."""

    def __init__(self, words: list[Word]) -> None:
        self._words, self._at = words, 0

    def peek(self) -> Word | None:
        """The next word; None at the end."""
        return self._words[self._at] if self._at < len(self._words) else None

    @property
    def last(self) -> Word:
        """The word that was taken last; the first where none was."""
        return self._words[max(self._at - 1, 0)]

    def next_is(self, *texts: str) -> bool:
        """Whether the next word is one of these."""
        word = self.peek()
        return word is not None and word.text in texts

    def take(self, what: str) -> Word:
        """The next word. `what` says in the error what should stand here."""
        word = self.peek()
        if word is None:
            last = self._words[-1]
            place = last.place._replace(column=last.place.column + len(last.text))
            raise PlanError(place, f"after {last.text!r} {what} is missing")
        self._at += 1
        return word

    def take_if(self, *texts: str) -> Word | None:
        """The next word where it is one of these."""
        return self.take("") if self.next_is(*texts) else None

    def expect(self, *texts: str) -> Word:
        """The next word, which must be one of these."""
        wanted = " or ".join(repr(text) for text in texts)
        word = self.take(wanted)
        if word.text not in texts:
            raise PlanError(word.place, f"{word.text!r} where {wanted} is expected")
        return word

    def end(self) -> None:
        """Nothing may follow."""
        word = self.peek()
        if word is not None:
            raise PlanError(word.place, f"{word.text!r} is too much here", "one statement a line")


def name(word: Word, what: str) -> str:
    """A name that the text gives: small letters, digits, underscores. `what` is named in the error."""
    if NAME.fullmatch(word.text.removesuffix(":")) and word.text.endswith(":"):
        raise PlanError(word.place, f"a colon after {word.text[:-1]!r}", "leave it out")
    if not NAME.fullmatch(word.text):
        article = "an" if what[0] in "aeiou" else "a"
        raise PlanError(
            word.place, f"{word.text!r} is no name of {article} {what}", "at most 40 of a-z, 0-9 and _, a letter first"
        )
    if word.text in RESERVED:
        raise PlanError(word.place, f"{word.text!r} is a word of the language", f"give the {what} another name")
    return word.text


def integer(word: Word, what: str, least: int) -> int:
    """A whole number of at least `least` and at most `COUNT_MAX`."""
    if not re.fullmatch(r"-?[0-9]{1,12}", word.text) or not least <= int(word.text) <= COUNT_MAX:
        raise PlanError(word.place, f"{word.text!r} is no {what}", f"write a whole number from {least} to {COUNT_MAX}")
    return int(word.text)


def is_duration(word: Word) -> bool:
    """Whether a word looks like a length of time: a number with letters after it."""
    return word.kind == "amount" and not word.text[-1].isdigit()


def quoted(cursor: Cursor, what: str) -> Word:
    """The next word, which must be a text between quotes with something in it; returned without them."""
    word = cursor.take(f'{what} in "')
    if word.kind != "text":
        raise PlanError(word.place, f"{word.text!r} where a text is expected", f'put {what} between " and "')
    if not word.text[1:-1].strip():
        raise PlanError(word.place, "an empty text", f"write {what}")
    if len(word.text) > TEXT_MAX + 2:
        raise PlanError(word.place, f"a text of more than {TEXT_MAX} characters", "shorten it")
    return word._replace(text=word.text[1:-1])


def thousandths(word: Word, what: str) -> int:
    """A number with at most three digits after the point, such as 9 or 4.5, in thousandths; any sign."""
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,3})?", word.text) or abs(float(word.text)) > COUNT_MAX:
        raise PlanError(word.place, f"{word.text!r} is no {what}", f"write a number up to {COUNT_MAX}, as 9 or 4.5, with at most 3 digits after the point")  # fmt: skip
    whole, _, fraction = word.text.partition(".")
    return int(whole + fraction.ljust(3, "0"))


def money(cursor: Cursor, default: str | None = None) -> tuple[int, str]:
    """An amount and its currency, such as 500.00 EUR, in minor units. `default`: the currency where none is said."""
    word = cursor.take("an amount of money such as 20.00 EUR")
    if word.kind != "amount":
        raise PlanError(word.place, f"{word.text!r} where an amount of money is expected", "write it as 20.00 EUR")
    code, place = default, word.place
    following = cursor.peek()
    if default is None or (following is not None and following.text.isupper()):
        given = cursor.take("the currency, such as EUR,")
        code, place = given.text, given.place
    if code not in DIGITS:
        raise PlanError(place, f"{code!r} is no currency", meant_currency(str(code)))
    try:
        return minor(word.text, DIGITS[code]), code
    except ValueError as error:
        raise PlanError(word.place, f"{word.text!r} is no amount in {code}", f"expected {error}") from None


def meant_currency(code: str) -> str:
    """What to do about an unknown currency: capitals, or a code of ISO 4217."""
    return f"write {code.upper()}" if code.upper() in DIGITS else "write its ISO 4217 code, such as EUR"


def duration(word: Word) -> int:
    """A length of time such as 90d, 12h or 30m, in ms; not negative."""
    found = re.fullmatch(r"([0-9]{1,15})([a-z]+)", word.text)
    if found is None or found[2] not in UNITS:
        hint = "write days, hours, minutes or seconds: 90d, 12h, 30m, 45s"
        if found and found[2] in {"w", "week", "weeks", "mo", "month", "months", "y", "year", "years"}:
            hint = "weeks, months and years are written in days: 7d, 30d, 365d"
        raise PlanError(word.place, f"{word.text!r} is no length of time", hint)
    ms = int(found[1]) * UNITS[found[2]]
    if ms > DURATION_MAX:
        raise PlanError(word.place, f"{word.text!r} is longer than 100 years", "36525d at most")
    return ms
