"""The contract of a deployment as an AsyncAPI 3.0 document: channels, messages with headers, operations, Kafka bindings.

Topics are those of the settings, payloads those of `lifestage.contract`, headers those of `lifestage.change` and
`streams.dead_letters`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

from config.settings import Settings
from lifestage import change, refusal
from lifestage.contract import BEYOND, LENIENT, STRUCTURED, Samples, event_types, schemas
from lifestage.contract_types import Schema
from lifestage.contract_words import WRITTEN
from streams.dead_letters import PREFIX
from streams.outgoing import SOURCE_OF
from streams.topics import Topic, Topics, topics_of

Document = dict[str, Any]

KAFKA: Final = "0.5.0"
"""The version of AsyncAPI's Kafka bindings that is written."""
BINARY: Final = "event.binary"
STRUCTURED_EVENT: Final = "event.structured"
EXTENSIONS: Final = ("ce_customerid", "ce_anonymousid", "ce_accountid", "ce_email")
"""Extension attributes that may say who, where the data does not."""
DAY_MS: Final = 86_400_000

_TEXT: Schema = {"type": "string"}


def asyncapi(settings: Settings, version: str, samples: Samples) -> Document:
    """What flows in and out of a deployment with these settings; `version` is the program's."""
    topics, found = topics_of(settings), schemas(samples)
    del found[STRUCTURED]
    return {
        "asyncapi": "3.0.0",
        "info": _info(version),
        "defaultContentType": "application/json",
        "servers": {"kafka": _server()},
        "channels": _channels(topics, settings.topics.sources, [*event_types()]),
        "operations": _operations(topics, settings.kafka.group),
        "components": {
            "messages": _messages(samples),
            "schemas": {name: _embedded(schema) for name, schema in found.items()},
        },
    }


def _info(version: str) -> Document:
    said = [
        "Events in, changes of lifecycle stage out. A field that a schema does not name is ignored: what is added later breaks nobody.",
        "What the door asks beyond the schemas:",
        *(f"- {name}: {text}" for name, text in BEYOND.items()),
        "What it takes beside them:",
        *(f"- {name}: {text}" for name, text in LENIENT.items()),
    ]
    return {"title": "lifestage", "version": version, "description": "\n".join(said)}


def _server() -> Document:
    address = {"default": "localhost:9092", "description": "host:port, the setting kafka.bootstrap"}
    return {"host": "{bootstrap}", "protocol": "kafka", "variables": {"bootstrap": address}}


def _embedded(schema: Schema) -> Schema:
    """A schema as a part of the document, which says itself what it is a schema of."""
    return {word: value for word, value in schema.items() if word not in ("$schema", "$id")}


def _channels(topics: Topics, sources: Iterable[str], kinds: list[str]) -> Document:
    found = {}
    for topic, source in zip(topics.sources, sources, strict=True):
        own = [kind for kind in kinds if SOURCE_OF.get(kind.partition(".")[0]) == source]
        rest = [kind for kind in kinds if kind not in own]
        said = f"Events as they come in, keyed by anything, in any order; by custom {', '.join(own) or 'any'}."
        found[topic.name] = _channel(topic, said, [*own, *rest, BINARY, STRUCTURED_EVENT])
    said = "Every change of stage, in order per customer."
    found[topics.changes.name] = _channel(topics.changes, said, [change.TYPE])
    said = "The newest change of each customer; a tombstone where the customer is no more."
    found[topics.stages.name] = _channel(topics.stages, said, [change.TYPE, "tombstone"])
    said = "Rejected events as they came, with place and reason; they can be sent again."
    found[topics.dead_letters.name] = _channel(topics.dead_letters, said, ["dead-letter"])
    said = "Internal: the log of accepted facts and ticks. The workers' own; its format is no part of the contract."
    found[topics.log.name] = _channel(topics.log, said, ["log-record"]) | {"x-internal": True}
    return found


def _channel(topic: Topic, said: str, messages: Iterable[str]) -> Document:
    kept = topic.retention_days * DAY_MS if topic.retention_days >= 0 else -1
    shape: Document = {"cleanup.policy": [topic.cleanup]}
    if topic.cleanup == "delete":
        shape["retention.ms"] = kept
    return {
        "address": topic.name,
        "description": said,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": shape,
                "bindingVersion": KAFKA,
            }
        },
    }


def _operations(topics: Topics, group: str) -> Document:
    """`receive` and `send` are lifestage's: it receives events and sends changes."""
    reads = {"kafka": {"groupId": {"type": "string", "enum": [group]}, "bindingVersion": KAFKA}}
    found: Document = {}
    for topic in topics.sources:
        found[f"receive-{topic.name}"] = _operation("receive", topic, "Take events in.") | {"bindings": reads}
    found["announce"] = _operation("send", topics.changes, "Announce each change of stage.")
    found["keep-newest"] = _operation("send", topics.stages, "Keep the newest change of each customer.")
    found["reject"] = _operation("send", topics.dead_letters, "Put aside what is rejected, and say why.")
    found["log"] = _operation("send", topics.log, "Internal: write down each accepted fact.")
    found["fold"] = _operation("receive", topics.log, "Internal: compute stages from the log.") | {"bindings": reads}
    return found


def _operation(action: str, topic: Topic, said: str) -> Document:
    return {"action": action, "channel": {"$ref": f"#/channels/{topic.name}"}, "summary": said}


def _messages(samples: Samples) -> Document:
    found: Document = {kind: _event(kind) for kind in event_types()}
    found |= {BINARY: _binary(samples), STRUCTURED_EVENT: _structured(samples)}
    found[change.TYPE] = {
        "name": change.TYPE,
        "title": "A change of stage",
        "summary": "CloudEvents 1.0 in Kafka's binary mode: the envelope stands in headers. Drop what has a seq that you have seen.",
        "contentType": "application/json",
        "headers": change_headers(),
        "payload": {"$ref": f"#/components/schemas/{change.TYPE}"},
        "bindings": _keyed("The customer's key; all changes of a customer are in one partition."),
    }
    found["tombstone"] = {
        "name": "tombstone",
        "summary": "The customer is no more: an empty value.",
        "payload": {"type": "null"},
        "bindings": _keyed("The customer's key."),
    }
    found["dead-letter"] = {
        "name": "dead-letter",
        "summary": "A rejected record: key, value and headers as they came, and ours beside them.",
        "contentType": "application/octet-stream",
        "headers": dead_letter_headers(),
        "payload": {"description": "The bytes as they came."},
    }
    found["log-record"] = {
        "name": "log-record",
        "summary": "A fact, a tick or a message between partitions.",
        "contentType": "application/octet-stream",
        "payload": {"description": "A header of 24 bytes and a payload in MessagePack."},
        "bindings": _keyed("The customer's key."),
    }
    return found


def _event(kind: str) -> Document:
    return {
        "name": kind,
        "title": kind,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind}"},
    }


def _keyed(said: str) -> Document:
    return {"kafka": {"key": {"type": "string", "description": said}, "bindingVersion": KAFKA}}


def _binary(samples: Samples) -> Document:
    texts = {"ce_id": _TEXT, "ce_source": _TEXT, "ce_time": _TEXT, **dict.fromkeys(EXTENSIONS, _TEXT)}
    return {
        "name": BINARY,
        "title": "Any event, in CloudEvents binary mode",
        "summary": "id, source, type and time stand in headers, the other fields of the type's schema in the value.",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {"ce_specversion": {"const": "1.0"}, "ce_type": {"enum": [*event_types()]}, **texts},
            "required": ["ce_specversion"],
        },
        "payload": {"type": ["object", "null"]},
        "examples": [{"headers": one["headers"], "payload": one["value"]} for one in samples.get(BINARY, ())],
    }


def _structured(samples: Samples) -> Document:
    texts = {"id": _TEXT, "source": _TEXT, "time": _TEXT}
    return {
        "name": STRUCTURED_EVENT,
        "title": "Any event, in a CloudEvents envelope",
        "summary": "id, source, type and time stand in the envelope, the other fields of the type's schema in data.",
        "contentType": "application/cloudevents+json",
        "payload": {
            "type": "object",
            "properties": {
                "specversion": {"const": "1.0"},
                "type": {"enum": [*event_types()]},
                **texts,
                "data": {"type": ["object", "null"]},
            },
            "required": ["specversion", "data"],
        },
        "examples": [{"payload": one} for one in samples.get(STRUCTURED_EVENT, ())],
    }


def change_headers() -> Schema:
    """The headers of a change, as text. `ce_stage` and `ce_previousstage` are empty where there is none."""
    texts = dict.fromkeys(("ce_id", "ce_source", "ce_partitionkey", "ce_stage", "ce_previousstage"), _TEXT)
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_type": {"const": change.TYPE},
            "content-type": {"const": "application/json"},
            **texts,
            "ce_time": {"type": "string", "description": "The effective instant.", **WRITTEN},
            "ce_recordedtime": {"type": "string", "description": "When it was sent.", **WRITTEN},
            "ce_kind": {"type": "string", "enum": [*get_args(change.Kind)]},
            "ce_direction": {"type": "string", "enum": ["forward", "backward", "none"]},
            "ce_mode": {"type": "string", "enum": ["live", "backfill"]},
            "ce_causationid": {"type": "string", "description": "The event that was the cause, if one was."},
        },
        "required": [
            "ce_specversion", "ce_type", "content-type", *texts, "ce_time", "ce_recordedtime", "ce_kind", "ce_direction", "ce_mode",
        ],
    }  # fmt: skip


def dead_letter_headers() -> Schema:
    """Our headers of a dead letter, as text; those of the sender stay beside them."""
    properties: Schema = {
        "reason": {"type": "string", "enum": sorted(refusal.REASONS - {"test"})},
        "message": {"type": "string", "examples": ['$.total: expected a decimal ≥ 0, got "abc"']},
        "topic": _TEXT,
        "partition": {"type": "string", "pattern": "^[0-9]+$"},
        "offset": {"type": "string", "pattern": "^[0-9]+$"},
    }
    named = {PREFIX + name: schema for name, schema in properties.items()}
    return {"type": "object", "properties": named, "required": [*named]}
