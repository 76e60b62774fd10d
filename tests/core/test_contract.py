"""The contract as it is shipped and printed: current, valid, and complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from commands.main import VERSION
from config.sections import Settings, Topics
from lifestage import facts, wire
from lifestage.change import TYPE, Change
from lifestage.contract import BEYOND, LENIENT, STRUCTURED, event_types, schemas
from lifestage.contract_types import Guide, value_schema
from lifestage.contract_words import KINDS
from lifestage.decode import Decoder
from lifestage.facts import Fact
from streams.contract import BINARY, STRUCTURED_EVENT, asyncapi
from streams.contract_files import SHIPPED, contract, samples, text
from tests.core.contract_values import ROOT, SECRET, is_valid, lifestage, plain_samples, shipped_lines

DEFAULTS = Settings()
EXAMPLES = samples()
SCHEMAS = schemas(EXAMPLES)
DOCUMENT = asyncapi(DEFAULTS, VERSION, EXAMPLES)
AGAIN = "type  .venv/bin/lifestage contract --output config/contract"


def test_the_shipped_files_are_what_the_types_say() -> None:
    """Generated again they are the same bytes, and no file is left from before."""
    now = contract(DEFAULTS, VERSION)
    stale = [name for name, content in now.items() if _shipped(name) != content]
    assert not stale, f"out of date: {', '.join(stale)}: {AGAIN}"
    there = {path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.json")}
    gone = sorted(name for name in there - set(now) if not name.startswith(("released/", "sample.")))
    assert not gone, f"no type has these any more, delete them: {', '.join(gone)}"


def _shipped(name: str) -> str | None:
    path = SHIPPED / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def test_every_type_has_a_schema() -> None:
    """All kinds that become facts, and the change in both forms."""
    assert list(SCHEMAS) == [*facts.TYPES.values(), TYPE, STRUCTURED]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_takes_its_examples(name: str) -> None:
    """Against the metaschema of draft 2020-12; every type has an example at least."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["examples"]
    for example in SCHEMAS[name]["examples"]:
        jsonschema.validate(example, SCHEMAS[name])


OF_DRAFT_7 = {
    "type", "properties", "required", "items", "additionalProperties", "propertyNames", "enum", "const", "allOf", "anyOf",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "pattern",
    "description",
}  # fmt: skip
_HEAD = {"$schema", "$id", "title", "examples"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_uses_only_words_that_mean_the_same_in_draft_7(name: str) -> None:
    """So that it may stand in AsyncAPI and in registries as it is."""
    assert set().union(*_words(SCHEMAS[name])) <= OF_DRAFT_7 | _HEAD
    below = [words for field in SCHEMAS[name]["properties"].values() for words in _words(field)]
    assert not set().union(*below) & _HEAD


def _words(schema: dict[str, Any]) -> Iterator[set[str]]:
    """The words of a schema and of those in it."""
    if "type" in schema or "anyOf" in schema or "$schema" in schema:
        yield set(schema)
    below = [schema.get("items"), schema.get("additionalProperties"), schema.get("propertyNames")]
    below += [*schema.get("properties", {}).values(), *schema.get("allOf", ()), *schema.get("anyOf", ())]
    for one in below:
        if isinstance(one, dict):
            yield from _words(one)


@pytest.mark.parametrize("kind", event_types())
def test_every_field_of_an_event_says_what_it_means(kind: str) -> None:
    """The type and each field, those of context, consent, experiment and items too."""
    assert SCHEMAS[kind]["description"] == KINDS[kind]
    properties = dict(SCHEMAS[kind]["properties"])
    del properties["type"]
    nested = [properties.get(name, {}).get("properties", {}) for name in ("context", "consent", "experiment")]
    nested.append(properties.get("items", {}).get("items", {}).get("properties", {}))
    for fields in (properties, *nested):
        assert [name for name, field in fields.items() if not field.get("description")] == []


def test_every_field_of_a_change_says_what_it_means() -> None:
    """And each stands in the page on events."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    for name in Change.__struct_fields__:
        assert SCHEMAS[TYPE]["properties"][name]["description"]
        assert f"`{name}`" in page


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (wire.Id | None, {"type": ["string", "null"], "maxLength": 255}),
        (int | float | None, {"type": ["number", "null"]}),
        (wire.PageType | None, {"type": ["string", "null"],
                                "enum": ["account", "checkout", "content", "kb", "other", "pricing", "product", None]}),
        (list[bool], {"type": "array", "items": {"type": "boolean"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (wire.Instant, {"type": ["string", "number"]}),
        (wire.Duration, {"type": ["number", "null"], "minimum": 0, "maximum": 1_000_000_000}),
    ],
)  # fmt: skip
def test_a_type_becomes_one_flat_schema(annotation: Any, schema: dict[str, Any]) -> None:
    """Types in the order of the union with null last, and the bounds of each."""
    found = value_schema(msgspec.inspect.type_info(annotation), "x", Guide({}, {}))
    assert found == schema
    assert list(found["type"]) == list(schema["type"])


def test_a_type_that_no_schema_is_known_for_is_named() -> None:
    """The one who adds a field of a new sort is told where to say what it is."""
    with pytest.raises(TypeError, match=r"^\$\.x: no schema is known for .*; add it to lifestage.contract_types$"):
        value_schema(msgspec.inspect.type_info(timedelta), "$.x", Guide({}, {}))


def test_what_no_schema_says_is_in_the_docs_and_in_asyncapi() -> None:
    """Every entry of both lists, word for word."""
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    for name, said in (BEYOND | LENIENT).items():
        assert f"| {name} | {said} |" in page
        assert f"- {name}: {said}" in DOCUMENT["info"]["description"]


# The document as AsyncAPI 3.0 has it: what its own JSON Schema asks of the parts that are used here.


def test_the_asyncapi_document_has_the_parts_that_3_0_asks_for() -> None:
    """Version, info, servers, channels, operations; nothing at the top that 3.0 does not know."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert set(DOCUMENT) == {
        "asyncapi",
        "info",
        "defaultContentType",
        "servers",
        "channels",
        "operations",
        "components",
    }
    assert (DOCUMENT["info"]["title"], DOCUMENT["info"]["version"]) == ("lifestage", VERSION)
    assert set(DOCUMENT["servers"]["kafka"]) == {"host", "protocol", "variables"}
    assert set(DOCUMENT["components"]) == {"messages", "schemas"}


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Channels, messages and schemas that are referred to are there, and none stands there unused."""
    used = set(_references(DOCUMENT))
    for reference in used:
        _at(reference)
    components = DOCUMENT["components"]
    assert {f"#/components/{part}/{name}" for part in components for name in components[part]} <= used
    assert {f"#/channels/{name}" for name in DOCUMENT["channels"]} <= used


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            assert set(part) == {"$ref"}
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _references(one)


def _at(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_topic_is_a_channel_with_its_kafka_binding() -> None:
    """Sources, changes, newest stages, dead letters, and the log as internal."""
    channels = DOCUMENT["channels"]
    assert list(channels) == [
        *DEFAULTS.topics.sources, "stage-changes", "customer-stages", "dead-letters", "customer-events",
    ]  # fmt: skip
    for name, channel in channels.items():
        assert set(channel) <= {"address", "description", "messages", "bindings", "x-internal"}
        kafka = channel["bindings"]["kafka"]
        assert (channel["address"], kafka["topic"], kafka["partitions"]) == (name, name, 8)
        assert set(kafka["topicConfiguration"]) <= {"cleanup.policy", "retention.ms"}
    assert [name for name, channel in channels.items() if channel.get("x-internal")] == ["customer-events"]
    assert channels["customer-stages"]["bindings"]["kafka"]["topicConfiguration"] == {"cleanup.policy": ["compact"]}
    year = 365 * 86_400_000
    assert channels["stage-changes"]["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == year


def test_any_source_takes_any_event_in_each_of_three_forms() -> None:
    """Plain, in an envelope, and with the envelope in headers."""
    for source in DEFAULTS.topics.sources:
        messages = DOCUMENT["channels"][source]["messages"]
        assert set(messages) == {*event_types(), BINARY, STRUCTURED_EVENT}


def test_operations_are_those_of_the_program() -> None:
    """It receives from the sources and sends changes, newest stages and dead letters."""
    found = {(op["action"], op["channel"]["$ref"].rpartition("/")[2]) for op in DOCUMENT["operations"].values()}
    assert found == {
        *(("receive", source) for source in DEFAULTS.topics.sources),
        ("send", "stage-changes"), ("send", "customer-stages"), ("send", "dead-letters"),
        ("send", "customer-events"), ("receive", "customer-events"),
    }  # fmt: skip


def test_a_message_is_made_of_what_asyncapi_knows() -> None:
    """Fields of a message, and headers that are objects."""
    for name, message in DOCUMENT["components"]["messages"].items():
        assert set(message) <= {"name", "title", "summary", "contentType", "headers", "payload", "examples", "bindings"}
        assert message["name"] == name
        if "headers" in message:
            assert message["headers"]["type"] == "object"
            jsonschema.Draft7Validator.check_schema(message["headers"])
        if "$ref" not in message["payload"]:
            jsonschema.Draft7Validator.check_schema(message["payload"])


def test_the_examples_of_messages_are_of_their_kind() -> None:
    """Those in an envelope, which stand with their headers."""
    for name in (BINARY, STRUCTURED_EVENT):
        message = DOCUMENT["components"]["messages"][name]
        assert message["examples"]
        for one in message["examples"]:
            assert is_valid(message["payload"], one["payload"])
            assert is_valid(message.get("headers", {}), one.get("headers", {}))


def test_a_deployment_has_its_own_topics() -> None:
    """Names, partitions and retention follow the settings."""
    mine = msgspec.structs.replace(
        DEFAULTS, topics=Topics(prefix="eu.", sources=("all",), partitions=3, source_retention_days=-1)
    )
    channels = asyncapi(mine, VERSION, {})["channels"]
    assert list(channels) == [
        "eu.all",
        "eu.stage-changes",
        "eu.customer-stages",
        "eu.dead-letters",
        "eu.customer-events",
    ]
    kafka = channels["eu.all"]["bindings"]["kafka"]
    assert (kafka["partitions"], kafka["topicConfiguration"]["retention.ms"]) == (3, -1)


@pytest.mark.parametrize("event", shipped_lines(), ids=lambda event: event["id"])
def test_a_sample_in_an_envelope_is_one_of_the_messages(event: dict[str, Any]) -> None:
    """Structured as it is shipped, or as a plain one put into an envelope; the door reads it."""
    own = event if "specversion" in event else _structured(event)
    assert is_valid(DOCUMENT["components"]["messages"][STRUCTURED_EVENT]["payload"], own)
    assert isinstance(Decoder(SECRET).decode(json.dumps(own).encode(), None), Fact)


def _structured(event: dict[str, Any]) -> dict[str, Any]:
    attributes = {name: event[name] for name in ("id", "source", "type", "time")}
    data = {name: value for name, value in event.items() if name not in attributes}
    return {"specversion": "1.0", **attributes, "data": data}


@pytest.mark.parametrize("event", plain_samples().values(), ids=lambda event: event["type"])
def test_an_event_in_binary_mode_is_one_of_the_messages(event: dict[str, Any]) -> None:
    """Envelope in headers, the other fields as the value: the fact is that of the plain event."""
    envelope = _structured(event)
    headers = {f"ce_{name}": str(value) for name, value in envelope.items() if name != "data"}
    message = DOCUMENT["components"]["messages"][BINARY]
    assert is_valid(message["headers"], headers)
    assert is_valid(message["payload"], envelope["data"])
    pairs = [(name, value.encode()) for name, value in headers.items()]
    decoder = Decoder(SECRET)
    found = decoder.decode(json.dumps(envelope["data"]).encode(), None, pairs)
    assert isinstance(found, Fact)
    assert found == decoder.decode(json.dumps(event).encode(), None)


def test_the_command_prints_asyncapi_or_schemas(tmp_path: Path) -> None:
    """The document without a word, all schemas, one of them; each as it is shipped."""
    assert lifestage("contract").stdout == text(DOCUMENT)
    assert lifestage("contract", "order.completed").stdout == _shipped("events/order.completed.json")
    assert json.loads(lifestage("contract", "schemas").stdout) == SCHEMAS
    mine = tmp_path / "mine.toml"
    mine.write_text('[topics]\nprefix = "eu."\n')
    of_prefix = json.loads(lifestage("contract", "--config", str(mine)).stdout)
    assert "eu.stage-changes" in of_prefix["channels"]


def test_a_type_that_there_is_not_gets_a_suggestion() -> None:
    """One line on stderr, exit code 2."""
    done = lifestage("contract", "order.complete")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lifestage: no contract 'order.complete'; did you mean 'order.completed'?\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("order.completed --output new", "--output is for the whole contract: leave out 'order.completed'"),
        ("asyncapi --against new", "--against is for the whole contract: leave out 'asyncapi'"),
        ("--output new --against new", "--against compares, --output writes: give one of them"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words: str, said: str, tmp_path: Path) -> None:
    """Nothing that was typed is passed over, and nothing is written."""
    done = lifestage("contract", *(str(tmp_path / word) if word == "new" else word for word in words.split()))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"lifestage: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_what_is_shipped(tmp_path: Path) -> None:
    """The same files into a new folder; a folder that cannot be is one line."""
    done = lifestage("contract", "--output", str(tmp_path / "new"))
    assert (done.returncode, done.stderr) == (0, "")
    written = {path.relative_to(tmp_path / "new").as_posix(): path.read_text() for path in tmp_path.rglob("*.json")}
    assert written == contract(DEFAULTS, VERSION)
    assert done.stdout == f"{len(written)} files in {tmp_path / 'new'}\n"
    (tmp_path / "file").write_text("")
    refused = lifestage("contract", "--output", str(tmp_path / "file"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"lifestage: {tmp_path}/file/asyncapi.json: cannot be written (File exists)\n"
