"""What changed between two contracts: each breakage is found, with its place, and nothing else is called one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifestage.change import TYPE
from lifestage.contract import schemas
from lifestage.contract_differences import Difference, Flow, differences
from lifestage.contract_types import Schema
from streams.contract_files import FOLDERS, SHIPPED, by_flow, compared, text, write
from tests.core.contract_values import lifestage

NOW = schemas({})
RELEASED = sorted(path for path in (SHIPPED / "released").iterdir() if path.is_dir())

Edit = Callable[[Schema], object]


def changed(kind: str, edit: Edit, flow: Flow) -> list[tuple[str, str]]:
    """What is said of one schema after an edit: each place, and `breaking` or `additive`."""
    old, new = {kind: NOW[kind]}, {kind: copy.deepcopy(NOW[kind])}
    edit(new[kind])
    return [(found.place, "breaking" if found.breaking else "additive") for found in differences(old, new, flow)]


def at(*steps: str, **words: Any) -> Edit:
    """An edit that sets words of the schema of a field; a word that becomes None goes."""

    def edit(schema: Schema) -> None:
        for step in steps:
            schema = schema["items"] if step == "[]" else schema["properties"][step]
        for word, value in words.items():
            schema[word] = value
        for word in [word for word, value in words.items() if value is None]:
            del schema[word]

    return edit


def without(*steps: str) -> Edit:
    """An edit that takes a field away, and out of what is required."""

    def edit(schema: Schema) -> None:
        for step in steps[:-1]:
            schema = schema["properties"][step]
        del schema["properties"][steps[-1]]
        if steps[-1] in schema.get("required", ()):
            schema["required"].remove(steps[-1])

    return edit


def requiring(name: str, *, properties: bool = False) -> Edit:
    """An edit by which a field is required, one that is new as well if `properties`."""

    def edit(schema: Schema) -> None:
        schema["required"].append(name)
        if properties:
            schema["properties"][name] = {"type": "string"}

    return edit


def optional(name: str) -> Edit:
    """An edit by which a field is no longer always there."""
    return lambda schema: schema["required"].remove(name)


IN: list[tuple[str, Edit, list[str]]] = [
    ("web.visit", without("pages"), ["$.pages"]),
    ("web.visit", without("url"), ["$.url"]),
    ("web.visit", without("context", "medium"), ["$.context.medium"]),
    ("web.visit", requiring("title"), ["$.title"]),
    ("web.visit", requiring("tenant", properties=True), ["$.tenant"]),
    ("web.visit", at("context", required=["source"]), ["$.context.source"]),
    ("web.visit", at("page_type", enum=["content", "product", None]), ["$.page_type"]),
    ("web.visit", at("page_type", const="content", enum=None), ["$.page_type"]),
    ("web.visit", at("title", enum=["a"]), ["$.title"]),
    ("web.visit", at("type", const="page.view"), ["$.type"]),
    ("web.visit", at("customer_id", type=["string", "null"]), ["$.customer_id"]),
    ("web.visit", at("customer_id", type=["string", "integer"]), ["$.customer_id"]),
    ("web.visit", at("duration_s", type=["integer", "null"]), ["$.duration_s"]),
    ("web.visit", at("pages", type="string"), ["$.pages"]),
    ("web.visit", at("id", maxLength=99), ["$.id"]),
    ("web.visit", at("id", minLength=2), ["$.id"]),
    ("web.visit", at("pages", minimum=2), ["$.pages"]),
    ("web.visit", at("pages", maximum=10), ["$.pages"]),
    ("web.visit", at("pages", exclusiveMinimum=0), ["$.pages"]),
    ("web.visit", at("title", maxLength=5), ["$.title"]),
    ("web.visit", at("url", pattern="^https:"), ["$.url"]),
    ("web.visit", at("url", format="uri"), ["$.url"]),
    ("web.visit", at(additionalProperties=False), ["$.*"]),
    ("web.visit", at("context", additionalProperties={"type": "string"}), ["$.context.*"]),
    ("web.visit", at("title", **{"not": {"const": "x"}}), ["$.title"]),
    ("order.completed", at("total", pattern="^[0-9]+$"), ["$.total"]),
    ("order.completed", at("total", type=["string", "null"]), ["$.total"]),
    ("order.completed", at("items", minItems=1), ["$.items"]),
    ("order.completed", at("items", "[]", "qty", maximum=9), ["$.items[].qty"]),
    ("order.completed", at("items", "[]", required=["product_id"]), ["$.items[].product_id"]),
    ("order.completed", lambda schema: schema["allOf"].append({"required": ["coupon"]}), ["$"]),
    ("order.completed", lambda schema: schema["allOf"][0]["anyOf"].pop(), ["$"]),
    ("order.completed", lambda schema: schema["allOf"][1]["anyOf"].pop(1), ["$"]),
    ("profile.updated", at("traits", maxProperties=5), ["$.traits"]),
    ("profile.updated", at("traits", propertyNames={"pattern": "^[a-z]$"}), ["$.traits names"]),
    ("consent.changed", at("purposes", additionalProperties={"const": True}), ["$.purposes.*"]),
]
"""Edits of what we read that break a sender, each with all the places that break."""

OUT: list[tuple[Edit, list[str]]] = [
    (without("account_id"), ["$.account_id", "$.account_id"]),
    (without("trigger", "topic"), ["$.trigger.topic"]),
    (without("trigger", "due_at"), ["$.trigger.due_at", "$.trigger.due_at"]),
    (optional("stage"), ["$.stage"]),
    (at("mode", enum=["backfill", "live", "shadow"]), ["$.mode"]),
    (at("kind", enum=None), ["$.kind"]),
    (at("customer_id", type=["string", "null"]), ["$.customer_id"]),
    (at("seq", type="number"), ["$.seq"]),
    (at("seq", type="string"), ["$.seq"]),
    (at("seq", minimum=0), ["$.seq"]),
    (at("seq", minimum=None), ["$.seq"]),
    (at("entered_at", pattern=None), ["$.entered_at"]),
    (at("entered_at", pattern="^[0-9]+$"), ["$.entered_at"]),
    (at("evidence", "positions", maxItems=20), ["$.evidence.positions"]),
    (at("evidence", "positions", "[]", type="string"), ["$.evidence.positions[]"]),
    (at("evidence", "operands", "[]", "value", type=["array"]), ["$.evidence.operands[].value"]),
    (at("times_entered", additionalProperties={"type": "number"}), ["$.times_entered.*"]),
    (at("consent", additionalProperties=None), ["$.consent.*"]),
]
"""Edits of what we write that break a reader."""

ADDITIVE: list[tuple[str, Edit, Flow]] = [
    ("web.visit", lambda schema: schema["properties"].update(tags={}), Flow.IN),
    ("web.visit", optional("url"), Flow.IN),
    ("web.visit", at("page_type", enum=[*NOW["web.visit"]["properties"]["page_type"]["enum"], "landing"]), Flow.IN),
    ("web.visit", at("page_type", enum=None), Flow.IN),
    ("web.visit", at("title", type=["string", "number", "null"]), Flow.IN),
    ("web.visit", at("pages", type=["number", "null"]), Flow.IN),
    ("web.visit", at("id", maxLength=200), Flow.IN),
    ("web.visit", at("pages", minimum=0, maximum=None), Flow.IN),
    ("order.completed", lambda schema: schema["allOf"].pop(), Flow.IN),
    ("order.completed", lambda schema: schema["allOf"][0]["anyOf"].append({"required": ["phone"]}), Flow.IN),
    (TYPE, requiring("tenant", properties=True), Flow.OUT),
    (TYPE, lambda schema: schema["properties"].update(score={"type": "number"}), Flow.OUT),
    (TYPE, at("mode", enum=["live"]), Flow.OUT),
    (TYPE, at("seq", minimum=5), Flow.OUT),
    (TYPE, at("account_id", type="string"), Flow.OUT),
]

SILENT: list[Edit] = [
    at("title", description="Another description."),
    lambda schema: schema["properties"].update(title=dict(reversed(schema["properties"]["title"].items()))),
    at("customer_id", type=["null", "integer", "string"]),
    at(examples=[{"a": 1}], description="Another."),
    lambda schema: schema["allOf"][0].update(description="Another."),
    lambda schema: schema["required"].reverse(),
    lambda schema: schema["allOf"][0]["anyOf"].reverse(),
]


@pytest.mark.parametrize(("kind", "edit", "places"), IN, ids=[f"{n}-{kind}" for n, (kind, _, _) in enumerate(IN)])
def test_what_breaks_a_sender_is_found_with_its_place(kind: str, edit: Edit, places: list[str]) -> None:
    """A field that is gone, a new required one, a narrower type, enum, range, pattern or rule, at any depth."""
    breaking = [place for place, effect in changed(kind, edit, Flow.IN) if effect == "breaking"]
    assert breaking == [f"{kind} {place}" for place in places]


@pytest.mark.parametrize(("edit", "places"), OUT, ids=[f"{n}-{places[0]}" for n, (_, places) in enumerate(OUT)])
def test_what_breaks_a_reader_is_found_with_its_place(edit: Edit, places: list[str]) -> None:
    """A field that is gone or no longer always there, a wider type, enum or range, at any depth."""
    breaking = [place for place, effect in changed(TYPE, edit, Flow.OUT) if effect == "breaking"]
    assert set(breaking) == {f"{TYPE} {place}" for place in places}


@pytest.mark.parametrize(("kind", "edit", "flow"), ADDITIVE, ids=range(len(ADDITIVE)))
def test_what_breaks_nobody_is_called_additive(kind: str, edit: Edit, flow: Flow) -> None:
    """New fields, wider input, narrower output."""
    assert {effect for _, effect in changed(kind, edit, flow)} == {"additive"}


@pytest.mark.parametrize("edit", SILENT, ids=range(len(SILENT)))
def test_what_means_the_same_is_no_difference(edit: Edit) -> None:
    """Descriptions, examples and order."""
    assert changed("web.visit", edit, Flow.IN) == []


def test_a_type_that_is_gone_breaks_and_a_new_one_does_not() -> None:
    """Whole schemas come and go."""
    some = {"web.visit": NOW["web.visit"]}
    assert differences(some, {}, Flow.IN) == [Difference("web.visit", "is gone", breaking=True)]
    assert differences({}, some, Flow.OUT) == [Difference("web.visit", "is new", breaking=False)]


def test_nothing_differs_from_itself() -> None:
    """Every schema of today, against itself."""
    for flow in Flow:
        assert differences(NOW, NOW, flow) == []


def test_a_difference_reads_as_one_line() -> None:
    """What a person sees: whether it breaks, where, what it was and is."""
    old, new = {"web.visit": NOW["web.visit"]}, {"web.visit": copy.deepcopy(NOW["web.visit"])}
    at("id", maxLength=64)(new["web.visit"])
    requiring("title")(new["web.visit"])
    assert [str(found) for found in differences(old, new, Flow.IN)] == [
        "BREAKING  web.visit $.title: is now required",
        "BREAKING  web.visit $.id: maxLength was 100, is 64",
    ]


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.name)
def test_the_contract_only_grew_since_each_release(released: Path) -> None:
    """Nothing in it breaks who wrote or read by a contract that was released."""
    assert [str(found) for found in compared(released) if found.breaking] == []


def test_there_is_a_baseline() -> None:
    """The contract of the first release is kept, whole."""
    assert [path.name for path in RELEASED][:1] == ["0.1.0"]
    for flow, some in by_flow({}).items():
        kept = {path.stem for path in (RELEASED[0] / FOLDERS[flow]).iterdir()}
        assert kept <= set(some)


def test_the_command_compares_with_a_folder(tmp_path: Path) -> None:
    """Exit code 1 and a line for each difference where something breaks, 0 where nothing does."""
    write({f"{folder}/{name}.json": text(schema) for folder, name, schema in _all()}, tmp_path)
    same = lifestage("contract", "--against", str(tmp_path))
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    visit = tmp_path / "events" / "web.visit.json"
    schema = json.loads(visit.read_text())
    at("id", maxLength=200)(schema)
    del schema["properties"]["title"]
    visit.write_text(json.dumps(schema))
    done = lifestage("contract", "--against", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "BREAKING  web.visit $.id: maxLength was 200, is 100",
        "additive  web.visit $.title: is new",
    ]
    assert done.stderr == f"2 differences from {tmp_path}, 1 of them breaking\n"


def _all() -> list[tuple[str, str, Schema]]:
    return [(FOLDERS[flow], name, schema) for flow, some in by_flow({}).items() for name, schema in some.items()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such folder; name one that `lifestage contract --output` wrote"),
        ("", "no schemas (*.json) in it"),
        ("{", "cannot be read as JSON"),
        ("[1]", "no schema: it holds [1]"),
    ],
)
def test_a_folder_that_holds_no_contract_is_refused_in_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    """Exit code 1, and the place."""
    if content is not None:
        (tmp_path / "events").mkdir()
        if content:
            (tmp_path / "events" / "web.visit.json").write_text(content)
    done = lifestage("contract", "--against", str(tmp_path))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert f"{tmp_path}/events" in done.stderr
    assert said in done.stderr
