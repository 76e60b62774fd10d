"""Values as a schema describes them, right and wrong, for property tests of the contract; and the command's runner."""

from __future__ import annotations

import io
import json
import string
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
from hypothesis import strategies as st

from commands.main import main
from lifestage.contract_types import Schema
from lifestage.contract_words import CURRENCY, INSTANT
from lifestage.decode import Decoder, Refusal
from streams.contract_files import SAMPLES
from tests.core.effort import effort

ROOT = Path(__file__).parents[2]
SECRET = b"a secret of the tests, 32 bytes."

quick = effort(25)


def shipped_lines() -> list[dict[str, Any]]:
    """The shipped sample events, in every form."""
    return [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]


def plain_samples() -> dict[str, dict[str, Any]]:
    """The first shipped sample of each type that stands in no envelope."""
    found: dict[str, dict[str, Any]] = {}
    for event in shipped_lines():
        if "specversion" not in event:
            found.setdefault(event["type"], event)
    return found


def is_valid(schema: Schema, document: object) -> bool:
    """Whether a schema takes a document."""
    return jsonschema.Draft202012Validator(schema).is_valid(document)


def refusal_of(event: object) -> Refusal | None:
    """Why the door refuses an event; None where it takes it."""
    found = Decoder(SECRET).decode(json.dumps(event).encode(), None)
    return found if isinstance(found, Refusal) else None


_WORD = string.ascii_letters + string.digits + " -_./"
_TIMES = (
    "2024-02-29T12:00:00Z",
    "2024-02-29 12:00:00.123456789+01:00",
    "1999-12-31t23:59:60z",
    "2024-01-01T00:00:00-0500",
)
_AMOUNTS = ("0", "12", "12.5", "12.34", "12.3400", "1e2", "999999")


def right(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that a schema takes, and the door too: nothing of what the door asks beyond the schemas."""
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if "anyOf" in schema:
        return st.one_of(*map(right, schema["anyOf"]))
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return st.one_of(*(_RIGHT[name](schema) for name in types))


def _right_text(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("pattern") == INSTANT["pattern"]:
        return st.sampled_from(_TIMES)
    if schema.get("pattern") == CURRENCY["pattern"]:
        return st.just("EUR")
    if "pattern" in schema:
        return st.sampled_from(_AMOUNTS)
    longest = min(schema.get("maxLength", 400), 400) - 1
    ends = st.sampled_from((0, 1, longest))
    return st.one_of(st.text(_WORD, max_size=min(longest, 20)), ends.map(lambda n: "x" * n)).map(
        lambda text: f"k{text}"
    )


def _right_number(schema: Schema) -> st.SearchStrategy[Any]:
    if schema.get("pattern") not in (None, INSTANT["pattern"]):
        return st.sampled_from((0, 7, 12.5, 1e3))
    low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
    return st.one_of(st.sampled_from((low, high)), st.integers(low, high))


def _right_object(schema: Schema) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    if not properties:
        return st.dictionaries(st.sampled_from(("a", "b_2", "x" * 40)), right(schema["additionalProperties"]))
    required = {name: right(properties[name]) for name in schema.get("required", ())}
    optional = {
        name: right(found) for name, found in properties.items() if name not in required and "_minor" not in name
    }
    return st.fixed_dictionaries(required, optional=optional)


_RIGHT: dict[str, Any] = {
    "string": _right_text,
    "number": _right_number,
    "integer": lambda schema: st.integers(schema.get("minimum", 1), schema.get("maximum", 10**12)),
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
    "array": lambda schema: st.lists(right(schema["items"]), max_size=3),
    "object": _right_object,
}

_ANYTHING: tuple[Any, ...] = (None, True, False, 0, -1, 1, 1.5, -1e300, 10**20, 2**53, "", " ", "x", "0", "null", "paid", "email", "EUR", "XXX", "-1", "1,5",
             "+1", "1.", ".5", "1e999", "12.345", "2024-02-29", "2024-02-29T12:00:00", "2023-02-29T12:00:00Z", "2024-02-29T12:00Z", "ann@example.com",
             "k" * 100, "k" * 101, "k" * 128, "k" * 129, "k" * 255, "k" * 256, "k" * 321, [], [{}], [1], {}, {"a": "b"}, {"A": 1}, {"a": [1]},
             {"id": "x"}, [{"qty": 0}], [{"unit_price": "x"}], {"source": 1}, {"marketing": "yes"}, {"a": "x" * 257}, {"a": 1e16})  # fmt: skip


@st.composite
def near(draw: st.DrawFn, schema: Schema, sample: dict[str, Any]) -> dict[str, Any]:
    """A sample after one to three edits: fields that go, become right or wrong; bounds are met exactly and just missed."""
    event = dict(sample)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*schema["properties"], *schema["required"]]))
        event[name] = draw(
            st.one_of(
                st.sampled_from((..., None)),
                st.sampled_from(_edges(schema["properties"][name])),
                right(schema["properties"][name]),
            )
        )
    return {name: value for name, value in event.items() if value is not ...}


def _edges(schema: Schema) -> list[Any]:
    """Values at the bounds of a schema and beside them, and some of every sort."""
    bounds = [schema[word] for word in ("minimum", "maximum") if word in schema]
    lengths = [schema[word] for word in ("minLength", "maxLength") if word in schema]
    return [
        *_ANYTHING,
        *(bound + step for bound in bounds for step in (-1, 0, 1)),
        *("k" * max(0, length + step) for length in lengths for step in (-1, 0, 1)),
    ]


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def lifestage(*arguments: str) -> Done:
    """Run the command line in this process, which is ten times as quick as a new one."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["lifestage", *arguments]
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = before
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
