"""The contract in files: `asyncapi.json`, a schema for each type in `events/` and `changes/`, samples in `samples.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.errors import UserFacingError
from config.settings import Settings
from lifestage import change
from lifestage.cause import Rules
from lifestage.contract import STRUCTURED, Samples, schemas
from lifestage.contract_differences import Difference, Flow, differences
from lifestage.contract_types import Schema
from lifestage.facts import OrderCompleted
from lifestage.replay import replay
from streams.contract import BINARY, STRUCTURED_EVENT, asyncapi
from streams.rules import rules_of

SHIPPED = Path(__file__).parents[1] / "config" / "contract"
SAMPLES = SHIPPED / "samples.jsonl"
SAMPLE_BINARY = SHIPPED / "sample.binary.json"
LINE_MAX = 200
FOLDERS = {Flow.IN: "events", Flow.OUT: "changes"}


def samples() -> dict[str, list[Schema]]:
    """The shipped events by type, those in an envelope apart, and a change of the default plan in both of its forms."""
    found: dict[str, list[Schema]] = {}
    for line in SAMPLES.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        found.setdefault(STRUCTURED_EVENT if "specversion" in event else event["type"], []).append(event)
    announced = _a_change(rules_of(Settings()))
    binary = json.loads(SAMPLE_BINARY.read_text(encoding="utf-8"))
    return found | {BINARY: [binary], change.TYPE: [announced["data"]], STRUCTURED: [announced]}


def _a_change(rules: Rules) -> Schema:
    """The change that a second order of 40 EUR brings about, a month after the first."""
    orders = [
        OrderCompleted(time=time, source="shop", id=f"o-{n}", customer_id="ann", order_id=f"{n}", currency="EUR",
                       total_minor=4000, net_minor=4000)
        for n, time in ((1001, 1_795_338_900_000), (1002, 1_797_930_900_000))
    ]  # fmt: skip
    found: Schema = json.loads(change.encode_value(replay(orders, rules).changes[-1]))
    return found


def contract(settings: Settings, version: str) -> dict[str, str]:
    """Every file of the contract but the samples: its text by its path in the folder."""
    examples = samples()
    found = {"asyncapi.json": text(asyncapi(settings, version, examples))}
    for folder, some in by_flow(examples).items():
        found |= {f"{FOLDERS[folder]}/{name}.json": text(schema) for name, schema in some.items()}
    return found


def by_flow(examples: Samples) -> dict[Flow, dict[str, Schema]]:
    """The schemas of what comes in and of what goes out."""
    every = schemas(examples)
    out = {name: every.pop(name) for name in (change.TYPE, STRUCTURED)}
    return {Flow.IN: every, Flow.OUT: out}


def text(document: Mapping[str, Any]) -> str:
    """A document as it stands in a file: the same bytes for the same content, what fits on a line on one line."""
    return _json(document, "") + "\n"


def _json(value: Any, margin: str) -> str:
    short = json.dumps(value, ensure_ascii=False)
    flat = not isinstance(value, dict) and not (
        isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)
    )
    if not value or flat or (margin and len(margin) + len(short) <= LINE_MAX):
        return short
    deeper = margin + "  "
    if isinstance(value, list):
        parts, (begin, end) = [_json(item, deeper) for item in value], "[]"
    else:
        begin, end = "{}"
        parts = [f"{json.dumps(name, ensure_ascii=False)}: {_json(item, deeper)}" for name, item in value.items()]
    inside = ",\n".join(deeper + part for part in parts)
    return f"{begin}\n{inside}\n{margin}{end}"


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write the files. Raises `UserFacingError` naming the one that cannot be written."""
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise UserFacingError(f"{path}: cannot be written ({error.strerror})") from None


def compared(folder: Path) -> list[Difference]:
    """What changed from the schemas in `folder`, such as those of a release, to ours. Raises `UserFacingError`."""
    found: list[Difference] = []
    for flow, ours in by_flow({}).items():
        found += differences(_read(folder / FOLDERS[flow]), ours, flow)
    return found


def _read(folder: Path) -> dict[str, Schema]:
    if not folder.is_dir():
        raise UserFacingError(f"{folder}: no such folder; name one that `lifestage contract --output` wrote")
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            schema = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserFacingError(f"{path}: cannot be read as JSON ({error})") from None
        if not isinstance(schema, dict):
            raise UserFacingError(f"{path}: no schema: it holds {json.dumps(schema)[:40]}")
        found[path.stem] = schema
    if not found:
        raise UserFacingError(f"{folder}: no schemas (*.json) in it")
    return found
