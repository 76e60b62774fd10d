"""No address comes out: one is sent in every event that may carry it, and looked for in all that is written and said."""

from __future__ import annotations

import base64
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from commands.main import application
from lifestage.keys import email_key
from lifestage.marker import MARKER_KEY, decode_marker
from lifestage.moments import iso, parse
from streams.embedded.kafka import KafkaServer
from streams.embedded.redis import EmbeddedRedis
from tests.core.samples import COMMON, EVENTS
from tests.pipeline import Deployment, deployment
from tests.quoting import quoting
from tests.wire import Record, produce
from tests.workers import Worker

pytestmark = pytest.mark.broker

MAILBOX, HOST = "lone.heron.q7x", "nest.example.org"
ADDRESS = f"{MAILBOX}@{HOST}"
SPELLINGS = (ADDRESS, ADDRESS.upper(), "Lone.Heron.q7x@Nest.example.org")
KEY = email_key(ADDRESS, b"a secret of the tests")
QUOTES = "quotes-it"
"""The source, or else in the id, of events that have the address in what says of nobody who they are: the log has it there."""
IN_A_LINK = f"https://shop.example/p?to={urllib.parse.quote(ADDRESS)}&lang=de"
START = parse("2024-02-01T00:00:00Z")


def forms() -> Iterator[bytes]:
    """The mailbox in each form that it could be written in: plain, in URLs, in base64 at any place, in hex, in UTF-16."""
    for name in (MAILBOX, MAILBOX.upper(), "Lone.Heron.q7x"):
        yield name.encode()
        yield name.replace(".", "%2E").encode()
        yield name.encode().hex().encode()
        yield name.encode("utf-16-le")
        for before in range(3):
            # what stands beside it decides on the first and the last character or two
            yield base64.b64encode(b"x" * before + name.encode())[before + (before > 0) : -4]


FORMS = tuple({form.lower() for form in forms()})
IN_BASE64 = tuple({form for form in forms() if form.lower() in FORMS})


def quotes(text: bytes) -> bool:
    """Whether some bytes have the address in any form; base64 as it is written, the others in any case."""
    return any(form in text for form in IN_BASE64) or any(form in text.lower() for form in FORMS)


def people() -> Iterator[dict[str, Any]]:
    """An event of each kind for each of its fields that may hold an address, in any spelling."""
    number = 0
    for kind, fields in EVENTS.items():
        for name in ("email", "customer_id", "customerId", "anonymous_id", "account_id", "plain"):
            given = {**COMMON, "type": kind, **fields}
            if name == "customerId":
                given.pop("customer_id")
            if name != "plain" and not (kind in {"identity.merged", "identity.split"} and name != "email"):
                given[name] = SPELLINGS[number % 3]
            yield {**given, **_named_inside(kind, number), "id": f"e{number}", "time": iso(START + number * 60_000)}
            number += 1


def quotes_of_it() -> Iterator[dict[str, Any]]:
    """Events that quote the address, in some spelling or in a link, in each field that takes a text."""
    wide = ADDRESS.replace("@", "＠")
    for n, text in enumerate((*SPELLINGS[1:], IN_A_LINK, f"write to {ADDRESS}, please", f"write to {wide}, please")):
        for number, given in enumerate(quoting(text, f"{QUOTES}-{n}")):
            yield {"time": iso(START + (5_000 + number) * 60_000)} | {
                name: value for name, value in given.items() if name != "time" or value == text
            }
    for number, name in enumerate(("customer_id", "anonymous_id", "account_id", "referrer_id", "referred_id")):
        kind = "referral.sent" if name.startswith("refer") else "order.completed"
        given = {**COMMON, **EVENTS[kind], "type": kind, "time": iso(START + number * 60_000)}
        yield {**given, name: urllib.parse.quote(SPELLINGS[number % 3]), "id": f"in-a-link-{number}"}
        yield {**given, name: wide, "id": f"with-a-wide-sign-{number}"}


def _named_inside(kind: str, number: int) -> dict[str, Any]:
    """What a kind of event has of its own that may be an address."""
    address = SPELLINGS[(number + 1) % 3]
    if kind == "email.event":
        return {"recipient": address}
    if kind.startswith("referral."):
        named = ("referrer_id", "referred_id")
        return {named[number % 2]: address, named[1 - number % 2]: "r1"}
    if kind == "profile.updated":
        return {"traits": {"mail": address, "note": f"write to {address}", "seats": 3}}
    if kind == "identity.linked":
        return {"ids": [address, "anon:a1"], "email": None, "customer_id": None, "anonymous_id": None}
    if kind == "identity.merged":
        return {"ids": [f"m{number}", address], "customer_id": None, "anonymous_id": None, "email": None}
    if kind == "identity.split":
        return {"ids": [address], "customer_id": None, "anonymous_id": None, "email": None}
    if kind.startswith(("order.", "ticket.")) and number % 2:
        return {f"{kind.partition('.')[0]}_id": address, "source": QUOTES}
    return {}


WRONG: list[dict[str, Any]] = [
    {"total": ADDRESS, "type": "order.completed"},
    {"time": ADDRESS},
    {"type": ADDRESS},
    {"customer_id": [ADDRESS]},
    {"customer_id": f"email:{ADDRESS}"},
    {"type": "identity.merged", "ids": [ADDRESS, "null"]},
    {"type": "profile.updated", "traits": {ADDRESS: "yes"}},
]
"""Events that are rejected because of the address: it then stands in the dead letters, as it came."""


def wrong() -> Iterator[bytes]:
    """Rejected events, and bytes that are no event."""
    for number, given in enumerate(WRONG):
        yield json.dumps({**COMMON, **EVENTS["web.visit"], "type": "web.visit", "id": f"w{number}", **given}).encode()
    yield f"no event, {ADDRESS}".encode()


def in_topic(records: Iterable[Record]) -> list[str]:
    """Records that have the address in key, value or headers."""
    return [
        f"[{record.partition}]@{record.offset} {record.key!r} {record.value!r}"[:300]
        for record in records
        if quotes(b"\n".join([record.key or b"", record.value or b"", *(value for _, value in record.headers)]))
    ]


def in_redis(server: EmbeddedRedis, prefix: str) -> tuple[list[str], int]:
    """Keys that have the address in themselves or in what they hold; and how many there are in all."""
    found, count = [], 0
    with redis.Redis.from_url(server.url) as client:
        for key in client.scan_iter(prefix.replace("[", "[[]") + "*", count=1000):
            kind = client.type(key)
            held: Any = (
                client.get(key) if kind == b"string"
                else client.hgetall(key) if kind == b"hash"
                else client.xrange(key)
            )  # fmt: skip
            count += 1
            if quotes(key + b"\n" + repr(held).encode()):
                found.append(f"{key!r} {held!r}"[:300])
    return found, count


def said_by_commands(made: Deployment, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What commands print that were asked by address, in several spellings: by command."""
    for name, value in made.given.items():
        monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
    asked = [
        ["customer", ADDRESS],
        ["customer", ADDRESS, "--json"],
        ["customer", "other." + ADDRESS],
        ["identity", "show", ADDRESS.upper()],
        ["identity", "show", ADDRESS, "--json"],
        ["identity", "show", "other." + ADDRESS],
        ["identity", "merge", ADDRESS, "lost", "--dry-run"],
        ["identity", "merge", ADDRESS, "c1", "--dry-run"],
        ["identity", "split", ADDRESS, "--dry-run"],
        ["identity", "split", "other." + ADDRESS],
        ["explain", ADDRESS],
        ["explain", ADDRESS, "--json"],
        ["explain", "other." + ADDRESS],
        ["send", "web.visit", f"customer_id={ADDRESS}", "url=/", f"time={iso(START)}"],
        ["tail", "stage-changes", "--from-beginning", "--count", "1", "--json"],
        ["tail", "customer-events", "--from-beginning", "--count", "20"],
        ["tail", "visits", "--from-beginning", "--count", "3"],
        ["status"],
    ]
    said = {}
    for words in asked:
        shown = io.StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            done = CliRunner().invoke(application(), words)
        said[" ".join(words)] = f"{done.stdout}{done.stderr}{shown.getvalue()}{done.exception or ''}"
    return said


@pytest.fixture(scope="module")
def worked(
    kafka: KafkaServer, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Worker]]:
    """A deployment whose worker has dealt with all of them, through a restart, and works on."""
    home = tmp_path_factory.mktemp("addresses")
    settings = {"redis__enabled": "true", "redis__url": redis_server.url, "redis__prefix": f"{home.name}:"}
    settings |= {"kpis__live": "true"}
    # one who is named by an address alone is announced, too
    with deployment(kafka.bootstrap, f"{home.name}.", home, lifecycle__announce_anonymous="true", **settings) as made:
        with made.worker("first") as first:
            first.wait_ready()
            events = [*people(), *quotes_of_it()]
            for half in (events[: len(events) // 2], events[len(events) // 2 :]):
                produce(made.bootstrap, made.prefix + "visits", [(b"k", json.dumps(one).encode()) for one in half])
                made.wait_done(alive=[first])
            produce(made.bootstrap, made.prefix + "emails", [(b"k", value) for value in wrong()])
            made.wait_done(alive=[first])
            made.end_tick(START + 400 * 86_400_000)
            made.wait_done(alive=[first])
        with made.worker("second") as second:
            second.wait_ready()
            made.wait_done(alive=[second])
            yield made, second


def test_the_address_was_taken_in_everywhere(worked: tuple[Deployment, Worker]) -> None:
    """Events of every kind were accepted, the wrong ones rejected, and the sources and dead letters do hold the address."""
    made, _ = worked
    kept = made.read(made.topics.changelog.name)
    counts = [decode_marker(one.value).accounts for one in kept if one.key == MARKER_KEY and one.value is not None]
    by_kind = [by_kind for by_source in counts for by_kind in by_source.values()]
    assert {kind for one in by_kind for kind, outcomes in one.items() if outcomes.get("accepted")} == set(EVENTS)
    letters = made.read(made.topics.dead_letters.name)
    assert len(letters) >= len([*wrong()])
    assert len(in_topic(letters)) >= len(WRONG)
    assert len(in_topic(made.read(made.prefix + "visits"))) >= 1_000


@pytest.mark.parametrize("what", ["log", "changelog", "changes", "stages"])
def test_no_topic_of_ours_has_it(worked: tuple[Deployment, Worker], what: str) -> None:
    """Not in keys, values or headers; the log has it only where an event quotes it in what is no id of a person."""
    made, _ = worked
    records = made.read(getattr(made.topics, what).name)
    if what == "log":
        quoting = [record for record in records if QUOTES.encode() in (record.value or b"")]
        assert quoting
        records = [record for record in records if record not in quoting]
    assert in_topic(records) == []
    assert any(KEY.encode() in (record.key or b"") for record in records)


def test_no_key_of_any_topic_has_it(worked: tuple[Deployment, Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those of the sources, when `lifestage send` sends an event of somebody who is named by it."""
    made, _ = worked
    said_by_commands(made, monkeypatch)
    made.wait_done()
    keys = [record.key or b"" for topic in made.topics.all() for record in made.read(topic.name)]
    assert len(keys) > 500
    assert [key for key in keys if quotes(key)] == []


def test_redis_has_it_nowhere(worked: tuple[Deployment, Worker], redis_server: EmbeddedRedis) -> None:
    """Not in keys, documents, counts or changes."""
    made, _ = worked
    found, count = in_redis(redis_server, made.settings.redis.prefix)
    assert count > 10
    assert found == []


def test_metrics_logs_and_files_have_it_nowhere(worked: tuple[Deployment, Worker]) -> None:
    """Nor has any file that the workers wrote, their logs among them."""
    made, worker = worked
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as answer:  # noqa: S310 - our own http://
        assert not quotes(answer.read())
    files = [path for path in made.home.rglob("*") if path.is_file()]
    assert {"first.log", "second.log"} <= {path.name for path in files}
    assert [path for path in files if quotes(path.read_bytes())] == []


def test_no_command_says_it(worked: tuple[Deployment, Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked by address, commands answer with the key that stands for it, whether somebody has it or nobody."""
    made, _ = worked
    said = said_by_commands(made, monkeypatch)
    assert [words for words, text in said.items() if quotes(text.encode())] == []
    assert all(text.strip() for text in said.values()), said
    assert KEY in said[f"identity show {ADDRESS.upper()}"]


@pytest.mark.parametrize(
    "written",
    [
        ADDRESS.encode(),
        ADDRESS.upper().encode(),
        b"x?u=" + urllib.parse.quote(ADDRESS).encode(),
        *(base64.b64encode(b"x" * n + ADDRESS.encode()) for n in range(4)),
        *(base64.b64encode(b"x" * n + ADDRESS.upper().encode()) for n in range(4)),
        ADDRESS.encode().hex().encode(),
        ADDRESS.encode("utf-16-le"),
    ],
)
def test_the_search_finds_it_however_it_is_written(written: bytes) -> None:
    """Plain, in capitals, in a URL, in base64 at any place, in hex and in UTF-16; and not where it is not."""
    assert quotes(b"before " + written + b" after")
    assert not quotes(KEY.encode())
    assert not quotes(b"heron@example.org " * 100)
