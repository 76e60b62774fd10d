"""CSV files as events by a mapping: the same events as by hand, and each mistake at its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from commands.main import application
from config.errors import UserFacingError
from lifestage.decode import Decoder
from lifestage.facts import Fact
from streams import cdnow
from streams.files import pieces
from streams.offline_csv import csv_rows
from streams.offline_mapping import mapping_of
from tests.core.samples import SECRET

ORDER = """
[constants]
source = "shop"
type = "order.completed"
currency = "EUR"

[columns]
Nr = "id"
"Customer" = "customer_id"
"Placed at" = { field = "time", time = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
Total = "total"

[templates]
order_id = "o-{Nr}"
"""
HEADER = "Nr,Customer,Placed at,Total\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, with no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)


def rows(text: str | bytes, mapping: str = ORDER) -> list[Any]:
    """(line, fact or message) of each row that is not blank."""
    Path("m.toml").write_text(mapping)
    Path("rows.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    (piece,) = pieces(["rows.csv"], whole=True)
    return [
        (row.number, row.decided if isinstance(row.decided, Fact) else f"{row.decided.reason}: {row.decided.message}")
        for row in csv_rows(piece, mapping_of("m.toml"), Decoder(SECRET))
        if row.decided is not None
    ]


def test_cdnow_gives_the_very_events() -> None:
    """The shipped mapping reads data/cdnow.csv as the events that the demo sends."""
    (piece,) = pieces([str(cdnow.FILE)], whole=True)
    decoder = Decoder(SECRET)
    found = [row.decided for row in csv_rows(piece, mapping_of("cdnow"), decoder) if row.decided is not None]
    assert found == [decoder.decode(json.dumps(event).encode(), None) for _, event in cdnow.events()]
    assert len(found) == 6919


def test_a_row_becomes_an_event() -> None:
    """Columns, constants and templates give the fields; a time of a zone with summer time is read as of its day."""
    (first, second) = rows(HEADER + '17,c1,01.07.2024 10:30,"19.90"\n18,c2,01.01.2024 10:30,5\n')
    assert first[0] == 2
    assert (first[1].id, first[1].order_id, first[1].customer_id, first[1].total_minor) == ("17", "o-17", "c1", 1990)
    assert first[1].time == 1_719_822_600_000  # 08:30Z
    assert second[1].time == 1_704_101_400_000  # 09:30Z


LEAD = """
delimiter = ";"
encoding = "cp1252"
names = ["id", "who", "when", "form", "good", "points", "where", "spare"]

[constants]
type = "lead.captured"
source = "crm"
context = { medium = "cpc" }

[columns]
who = "email"
when = "time"
form = "form"
good = { field = "qualified", as = "boolean" }
points = { field = "score", as = "number" }
where = "context.source"

[templates]
id = "{file}-{row}-{line}"
lead_id = "l{id}"
"""


def test_the_whole_format() -> None:
    """Other separators and encodings, no header, numbers, booleans, fields in fields; what is empty gives nothing."""
    text = '1;ann@example.com;2024-01-01T00:00:00Z;"tea\npage";Yes;7.5;Zürich;x\n\n2;bob@example.com;2024-01-01T00:00:00Z;b;;;;x\n'
    first, second = rows(text.encode("cp1252"), LEAD)
    assert (first[0], second[0]) == (1, 4)
    assert first[1] == "bad_id: column 'form': $.form: expected printable characters in Unicode form NFC, got \"tea\\npage\""  # fmt: skip
    assert (second[1].id, second[1].lead_id, second[1].form) == ("rows-1-4", "l2", "b")
    assert (second[1].qualified, second[1].score, second[1].context.medium) == (None, None, "cpc")
    (fine,) = rows(text.replace("\n", " ", 1).encode("cp1252"), LEAD)[:1]
    assert (fine[1].qualified, fine[1].score, fine[1].context.source) == (True, 7.5, "Zürich")


NO_TIME = "wrong_type: column 'Placed at': expected a time as %d.%m.%Y %H:%M, got"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("17,c1,2024-07-01,5", f'{NO_TIME} "2024-07-01"'),
        ("17,c1,ann@example.com,5", f"{NO_TIME} a text that is not shown"),
        ("17,c1,ann＠example．com,5", f"{NO_TIME} a text that is not shown"),
        ("17,c1,01.07.2024 10:30,five", "bad_money: column 'Total': $.total: expected"),
        ("17,c1,01.07.2024 10:30", "unparsable: row: expected 4 columns, got 3"),
        ('17,"c"1,01.07.2024 10:30,5', "unparsable: row: "),
        ("17,,01.07.2024 10:30,5", "no_identity: $: expected a customer_id"),
        ("17,c1,,5", "missing_field: column 'Placed at': $.time: expected a value"),
        (b"17,c\xff,01.07.2024 10:30,5", "unparsable: column 'Customer': expected text in the encoding of the mapping"),
        ('17,"' + "x" * 140_000 + '",1,5', "unparsable: row: field larger than field limit"),
    ],
)
def test_a_wrong_row_is_refused_at_its_column(row: str | bytes, said: str) -> None:
    """The neighbours of a wrong row are events all the same."""
    fine = "1,c1,01.07.2024 10:30,5\n"
    raw = row if isinstance(row, bytes) else row.encode()
    found = rows(HEADER.encode() + fine.encode() + raw + b"\n" + fine.encode())
    assert [number for number, _ in found] == [2, 3, 4]
    assert found[1][1].startswith(said), found[1][1]
    assert isinstance(found[0][1], Fact)
    assert isinstance(found[2][1], Fact)


def test_an_open_quote_at_the_end_is_one_row() -> None:
    """What is after it belongs to it, and it is refused where it begins."""
    found = rows(HEADER + '1,c1,01.07.2024 10:30,5\n17,"c1,01.07.2024\n1,2,3,4\n')
    assert [found[0][0], found[1]] == [2, (3, "unparsable: row: unexpected end of data")]


def test_times_are_read_as_the_mapping_says() -> None:
    """RFC 3339 as it stands, seconds since 1970 as a number, and any other with its zone."""
    column = '{ field = "time", time = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }'
    for said, text in (
        ('"time"', "2024-07-01T10:30:00+02:00"),
        ('{ field = "time", as = "number" }', "1719822600"),
        ('{ field = "time", time = "%Y%m%d%H%M", zone = "-05:30" }', "202407010300"),
        ('{ field = "time", time = "%Y-%m-%d %H:%M %z" }', "2024-07-01 12:30 +0400"),
    ):
        ((_, found),) = rows(HEADER + f"1,c1,{text},5\n", ORDER.replace(column, said))
        assert found.time == 1_719_822_600_000, text


def test_a_byte_order_mark_and_margins_are_no_part_of_a_name() -> None:
    """Files as spreadsheets write them."""
    (found,) = rows("\ufeff" + HEADER.replace("Nr,", "Nr ,") + "1, c1 ,01.07.2024 10:30, 5\r\n")
    assert found[1].customer_id == "c1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Total = ", "Totals = "), "rows.csv:1: no column 'Totals', which the mapping has for 'total'; did you mean 'Total'?"),
        (('"o-{Nr}"', '"o-{No}"'), "rows.csv:1: no column 'No', which the mapping has for 'order_id'; did you mean 'Nr'?"),
        (('= "customer_id"', '= "custmer_id"'), "m.toml:9:1: order.completed has no field 'custmer_id'; did you mean 'customer_id'?"),
        (('"order.completed"', '"order.complete"'), "m.toml:4:1: no type 'order.complete'; did you mean 'order.completed'?"),
        (('Total = "total"', 'Total = "id"'), "m.toml:11:1: field 'id' is given a second time, first by columns.Nr"),
        (('zone = "Europe/Berlin"', 'zone = "Mars"'), "m.toml:10:1: no zone 'Mars'; UTC, +02:00, or a name such as Europe/Berlin"),
        (("%d.%m.%Y %H:%M", "date"), "m.toml:10:1: 'date' is no format of a time; such as %Y-%m-%d %H:%M"),
        (("%d.%m.%Y %H:%M", "%Q"), "m.toml:10:1: '%Q' is no format of a time: 'Q' is a bad directive; such as %Y-%m-%d %H:%M"),
        (("%d.%m.%Y %H:%M", "%d.%"), "m.toml:10:1: '%d.%' is no format of a time: stray %"),
        (("%d.%m.%Y %H:%M", "%G-%V"), "m.toml:10:1: '%G-%V' is no format of a time: ISO year directive '%G' must be used with"),
        (("[templates]", "[template]"), "m.toml:13:1: unknown word 'template'; did you mean 'templates'?"),
        (('order_id = "o-{Nr}"', ""), "m.toml: nothing gives 'order_id', which order.completed needs; add a column, a constant or a template"),
        (('type = "order.completed"', ""), 'm.toml: nothing gives the type of the event; such as [constants] type = "order.completed"'),
        (("[constants]", "[constants"), "m.toml:2:11: "),
        (("\n[constants]", 'encoding = "utf-16"\n[constants]'), "m.toml:1:1: cannot read 'utf-16'; give utf-8, latin-1, cp1252 or the like"),
        (("\n[constants]", 'delimiter = ", "\n[constants]'), "m.toml:1:1: ', ' separates no columns; one character, such as ; or \\t"),
        (("\n[constants]", "delimiter = 3\n[constants]"), "m.toml:1:1: Expected `str`, got `int`"),
        (('"total"', '{ feld = "total" }'), "m.toml:11:1: unknown word 'feld'; did you mean 'field'?"),
        (('"total"', '{ field = "total", as = "money" }'), "m.toml:11:1: Invalid enum value 'money'"),
        (('currency = "EUR"', 'currency = "EUR"\n"context" = "x"\n"context.source" = "y"'), "m.toml:6:1: field 'context' is given whole, and 'context.source' in it as well"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_one_line(change: tuple[str, str], said: str) -> None:
    """File, line and column of the mistake, and what was probably meant."""
    mapping = ORDER.replace(*change)
    assert mapping != ORDER
    with pytest.raises(UserFacingError) as refused:
        rows(HEADER + "1,c1,01.07.2024 10:30,5\n", mapping)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M", "%Y%m%d%H%M%S%f", "%b %d %y %I:%M %p", "%A %d %B %Y", "%j/%Y", "%a, %d %b %Y %H:%M:%S %z", "%G-W%V-%u", "%c", "%x %X", "%Y-%m-%dT%H:%M:%S %Z"])  # fmt: skip
def test_a_format_that_reads_times_is_no_mistake(form: str) -> None:
    """Every directive that a time can be read by is taken."""
    Path("m.toml").write_text(ORDER.replace("%d.%m.%Y %H:%M", form))
    column = mapping_of("m.toml").column("Placed at")
    assert column.time == form


@pytest.mark.parametrize(("sign", "said"), [(";", '";"'), ("\t", r'"\t"'), ("|", '"|"')])
def test_another_delimiter_is_seen_in_the_header(sign: str, said: str) -> None:
    """A header that is one column names what separates its columns, and where the mapping says so."""
    with pytest.raises(UserFacingError) as refused:
        rows(HEADER.replace(",", sign) + "1,c1,01.07.2024 10:30,5\n".replace(",", sign))
    assert str(refused.value) == (
        "rows.csv:1: no column 'Nr', which the mapping has for 'id'; its columns seem to be separated by "
        f"{said}: put  delimiter = {said}  on top of the mapping"
    )
    assert len(rows(HEADER.replace(",", sign) + "1,c1,01.07.2024 10:30,5\n".replace(",", sign), f"delimiter = {said}\n{ORDER}")) == 1  # fmt: skip


def test_no_such_mapping_names_the_shipped_ones() -> None:
    """A file that is not there is named with what there is."""
    with pytest.raises(UserFacingError, match=r"^no mapping 'cdnov'; did you mean 'cdnow'\?$"):
        mapping_of("cdnov")


def test_rejected_rows_are_kept_with_their_place() -> None:
    """`replay --csv` counts rows, names a wrong one by file and line, and keeps it as it was written."""
    Path("m.toml").write_text(ORDER)
    Path("rows.csv").write_text(HEADER + '1,c1,01.07.2024 10:30,5\n2,"c\n2",never,5\n\n3,c3,02.07.2024 10:30,-5\n')
    for name, more in (("rows.csv", []), ("rows.csv", ["--processes", "2"]), ("-", [])):
        done = CliRunner().invoke(
            application(),
            ["replay", name, "--csv", "m.toml", "--rejected", "aside.jsonl", *more],
            input=Path("rows.csv").read_bytes(),
        )
        assert done.exit_code == 0, done.stderr
        shown = "stdin" if name == "-" else name
        assert "3 events" in done.stderr
        assert "1 accepted, 2 rejected" in done.stderr
        assert f"  {shown}:3: wrong_type: column 'Placed at': expected a time as" in done.stderr
        assert f"  {shown}:6: " in done.stderr
        aside = [json.loads(line) for line in Path("aside.jsonl").read_text().splitlines()]
        assert [(one["line"], one["event"]) for one in aside] == [
            (3, '2,"c\n2",never,5'),
            (6, "3,c3,02.07.2024 10:30,-5"),
        ]
        assert len(done.stdout.splitlines()) == 1
