"""Whose an id is, joining customers and splitting them, on a real Kafka and Redis with a worker at work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.keys import email_key
from lifestage.moments import iso, parse
from streams.embedded.kafka import KafkaServer
from streams.embedded.redis import EmbeddedRedis
from tests.pipeline import Deployment, deployment, samples
from tests.wire import produce
from tests.workers import Worker

pytestmark = pytest.mark.broker

DAY = 86_400_000
START = parse("2024-02-01T00:00:00Z")
ADDRESS = "ann@example.com"
EMAIL = email_key(ADDRESS, b"a secret of the tests")
Run = Callable[..., Result]


def event(id: str, kind: str, day: float, **fields: Any) -> dict[str, Any]:
    """An event on a day after the start; orders are of 20 EUR."""
    given: dict[str, Any] = {"url": "/"} if kind == "web.visit" else {"order_id": id}
    if kind == "order.completed":
        given |= {"currency": "EUR", "total": "20.00"}
    common = {"id": id, "source": "shop", "type": kind, "time": iso(START + round(day * DAY))}
    return {**common, **given, **fields}


EVENTS = [
    event("v1", "web.visit", 0, anonymous_id="x"),
    event("v2", "web.visit", 1, anonymous_id="x", email=ADDRESS),
    event("o1", "order.completed", 2, customer_id="ann", email=ADDRESS.upper()),
    event("o2", "order.completed", 3, customer_id="bob"),
    event("o1", "order.completed", 2, customer_id="bob"),
    event("o3", "order.completed", 4, customer_id="carl"),
    event("v3", "web.visit", 5, customer_id="carl", email=ADDRESS),
    event("v4", "web.visit", 5, customer_id="dora", anonymous_id="tab"),
]


def send(made: Deployment, *events: dict[str, Any]) -> None:
    """Put events in one after the other, each folded before the next comes."""
    for one in events:
        source = "purchases" if one["type"].startswith("order") else "visits"
        produce(made.bootstrap, made.prefix + source, [(b"k", msgspec.json.encode(one))])
        made.wait_done()


@pytest.fixture(scope="module")
def at_work(
    kafka: KafkaServer, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Worker]]:
    """A deployment whose worker has folded all events, and works on."""
    home = tmp_path_factory.mktemp("identity")
    settings = {"redis__enabled": "true", "redis__url": redis_server.url, "redis__prefix": f"{home.name}:"}
    with deployment(kafka.bootstrap, f"{home.name}.", home, **settings) as made, made.worker() as worker:
        worker.wait_ready()
        send(made, *EVENTS)
        yield made, worker


@pytest.fixture
def made(at_work: tuple[Deployment, Worker]) -> Deployment:
    """The deployment."""
    return at_work[0]


@pytest.fixture
def run(made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with the settings of the deployment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)
    for name, value in made.given.items():
        monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)

    def run(*words: str) -> Result:
        done = CliRunner().invoke(application(), [*words])
        assert "example.com" not in (done.stdout + done.stderr).lower()
        assert "\0" not in done.stdout, "the names of stays are for the program alone"
        assert "u0000" not in done.stdout
        return done

    return run


def until(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds: Redis follows the state within a second or so."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"not yet: {what}"
        time.sleep(0.2)


def shown(run: Run, id: str) -> dict[str, Any]:
    """What `lifestage identity show` says of an id."""
    done = run("identity", "show", id, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def facts(person: dict[str, Any]) -> dict[str, dict[str, int]]:
    """By id of a customer, how much came under it."""
    return {one["id"]: one["facts"] for one in person["ids"]}


def announced(made: Deployment, customer: str) -> list[tuple[int, str, str | None, str | None]]:
    """Every change of a customer in stage-changes: seq, kind, stage, and into whom they were merged."""
    records = [told for told in made.read(made.topics.changes.name) if told.key == customer.encode()]
    found = {data["seq"]: data for data in (json.loads(told.value or b"") for told in records)}
    return [(seq, data["kind"], data["stage"], data["merged_into"]) for seq, data in sorted(found.items())]


def test_any_id_shows_the_customer_and_where_each_id_came_from(run: Run) -> None:
    """Visitor, address and customer id answer alike, with what came under each and the event that joined it."""
    by_id = [shown(run, id) for id in ("ann", ADDRESS, "anon:x", EMAIL)]
    assert [one["customer_id"] for one in by_id] == ["ann"] * 4
    assert [len(one["asked_for"]) for one in by_id] == [1, 2, 3, 2]
    ann = by_id[0]
    assert facts(ann) == {
        "ann": {"orders": 1, "recent events": 1},
        "anon:x": {"recent events": 1},
        EMAIL: {"recent events": 1},
    }
    joined = {one["id"]: (one["linked_to"], one["by"], one["since"]) for one in ann["ids"]}
    assert joined == {
        "ann": (None, None, None),
        "anon:x": (EMAIL, "web.visit v2 of shop", iso(START + DAY)),
        EMAIL: ("ann", "order.completed o1 of shop", iso(START + 2 * DAY)),
    }
    assert shown(run, "carl")["asked"] == {EMAIL: iso(START + 5 * DAY)[:10]}
    told = run("identity", "show", "ANN@example.com").stdout.splitlines()
    assert told[0] == "customer   ann"
    assert told[1] == f"asked for  {EMAIL} -> ann"
    assert f"    {EMAIL} since {iso(START + 2 * DAY)} by order.completed o1 of shop:" in "\n".join(told)
    assert f"      anon:x since {iso(START + DAY)} by web.visit v2 of shop:" in "\n".join(told)


def test_an_id_that_nobody_had_heard_of_names_the_event_that_joined_it(run: Run) -> None:
    """Its owner has told nobody, since dora took it for hers; where that is decided is kept all the same."""
    tab = next(one for one in shown(run, "anon:tab")["ids"] if one["id"] == "anon:tab")
    assert (tab["linked_to"], tab["by"], tab["since"]) == ("dora", "web.visit v4 of shop", iso(START + 5 * DAY))
    assert tab["facts"] == {}


def test_redis_that_was_emptied_answers_by_any_id_again(made: Deployment, run: Run) -> None:
    """The worker fills it again, with what ids belong to whom."""
    with redis.Redis.from_url(made.settings.redis.url) as client:
        keys = [*client.scan_iter(f"{made.settings.redis.prefix}*")]
        # in one transaction, since the worker may have filled it again a moment later
        gone, left = client.pipeline().delete(*keys).exists(f"{made.settings.redis.prefix}customer:anon:x").execute()
    assert gone > 2
    assert left == 0
    until(lambda: run("customer", "anon:x").stdout.startswith("customer   ann\n"), "anon:x is ann in Redis again")
    until(lambda: run("customer", ADDRESS).stdout.startswith("customer   ann\n"), "the address is ann's in Redis again")


@pytest.mark.parametrize("id", ["ann", ADDRESS, "anon:x"])
def test_the_read_model_answers_by_any_known_id(run: Run, id: str) -> None:
    """`lifestage customer` shows the one customer, with the ids."""
    until(lambda: run("customer", id).exit_code == 0, f"{id} is known to Redis")
    done = run("customer", id)
    assert done.stdout.startswith("customer   ann\n")
    assert f"ids        also anon:x, {EMAIL}; `lifestage identity show ann`" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nobody"), "nothing is known of 'nobody' in"),
        (("show", "tab"), "anon:tab is known, if that is who you mean"),
        (("show", "nobody@example.com"), "nothing is known of 'email:"),
        (("merge", "ann", "nobody"), "nothing is known of 'nobody' in"),
        (("merge", "ann"), "name two customers or more"),
        (("merge", "bob", "bob"), "they are one already: all belong to bob"),
        (("merge", "ann", "guest"), "'guest' is blocked: it names nobody"),
        (("split", "undefined"), "'undefined' is blocked: it names nobody"),
        (("merge", "ann", "anon:x", ADDRESS), "they are one already: all belong to ann"),
        (("split", "ann"), f"what can be split off is what belongs to it: anon:x, {EMAIL}"),
        (("split", "bob"), "bob belongs to nobody else: there is nothing to split"),
        (("split", "nobody"), "nothing is known of 'nobody' in"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_line(run: Run, words: tuple[str, ...], said: str) -> None:
    """Unknown ids, ids that are one, and splits of whom nobody has joined: nothing is sent."""
    done = run("identity", *words)
    assert done.exit_code == 1
    assert said in str(done.exception)


def happened(worker: Worker) -> dict[str, float]:
    """What has happened to ids, as the worker's metrics say; only what has."""
    found = {
        dict(labels)["outcome"]: n
        for (name, labels), n in samples(worker).items()
        if name == "lifestage_identity_total"
    }
    return {outcome: n for outcome, n in found.items() if n}


def test_what_happens_to_ids_is_counted(at_work: tuple[Deployment, Worker], run: Run) -> None:
    """Links of the events, the address that stays whose it was, and a merge with its split, each once."""
    _, worker = at_work
    before = happened(worker)
    assert (before["linked"], before["email_conflict"]) == (3, 1)
    assert run("identity", "merge", "carl", "ann").exit_code == 0
    assert run("identity", "split", "carl").exit_code == 0
    due = before | {name: before.get(name, 0) + 1 for name in ("merged", "split")}
    until(lambda: happened(worker) == due, "counted")


def test_customers_are_joined_and_split_again(made: Deployment, run: Run) -> None:
    """Tried out, joined by any of their ids, split again: what is announced and kept is what was shown before."""
    before = {id: facts(shown(run, id)) for id in ("ann", "bob")}
    preview = json.loads(run("identity", "merge", "anon:x", "bob", "--dry-run", "--json").stdout)
    assert [side["id"] for side in preview["before"]] == ["ann", "bob"]
    assert [side["id"] for side in preview["after"]] == ["ann"]
    assert (preview["counted_once"], preview["customers"]) == ({"orders": 1, "recent events": 1}, -1)
    assert preview["revenue"] == {"EUR": {"orders": -1, "gross_minor": -2000, "net_minor": -2000}}
    assert shown(run, "bob")["customer_id"] == "bob"
    done = run("identity", "merge", "anon:x", "bob")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("anon:x belongs to ann, who is meant\n")
    assert done.stdout.splitlines()[1] == "done: bob now belongs to ann"
    until(lambda: run("customer", "bob").stdout.startswith("customer   ann\n"), "bob is ann in Redis")
    united = shown(run, "bob")
    assert (united["customer_id"], united["facts"]["orders"]) == ("ann", 2)
    due = [
        (c["data"]["seq"], c["data"]["kind"], c["data"]["stage"], c["data"]["merged_into"]) for c in preview["changes"]
    ]
    made.wait_done()
    assert set(due) <= {*announced(made, "ann"), *announced(made, "bob")}
    assert "they are one already" in str(run("identity", "merge", "ann", "bob").exception)

    preview = json.loads(run("identity", "split", "bob", "--dry-run", "--json").stdout)
    assert (preview["customers"], preview["revenue"]["EUR"]["orders"]) == (1, 1)
    done = run("identity", "split", "bob")
    assert done.exit_code == 0, done.stderr
    assert "done: bob is a customer of its own" in done.stdout
    assert {id: facts(shown(run, id)) for id in ("ann", "bob")} == before
    assert shown(run, "bob")["apart"] == ["ann"]
    until(lambda: run("customer", "bob").stdout.startswith("customer   bob\n"), "bob is a customer of his own in Redis")
    assert announced(made, "bob")[-1][1:] == ("split", "retention", None)
    again = run("identity", "merge", "bob", "ann", "--into", "bob", "--json")
    assert json.loads(again.stdout)["done"] is True
    assert shown(run, ADDRESS)["customer_id"] == "bob"
    assert run("identity", "split", "ann").exit_code == 0


def test_what_a_device_left_behind_and_a_split_id_are_shown(made: Deployment, run: Run) -> None:
    """A device that moved on is shown by both who had it, each with what came under it there; split off it is its own again."""
    again = [event(f"w{n}", "web.visit", 5 + n / 10, anonymous_id="pad") for n in range(1, 6)]
    flo, gus = (event(f"w{who}", "web.visit", 5, customer_id=who, anonymous_id="pad") for who in ("flo", "gus"))
    send(made, flo, again[0], again[1], gus, again[2])
    left, now = (next(one for one in shown(run, who)["ids"] if one["id"] == "anon:pad") for who in ("flo", "gus"))
    assert (left["past"], left["linked_to"], left["by"]) == (True, "flo", "web.visit wflo of shop")
    assert left["facts"] == {"recent events": 2}
    assert (now["past"], now["linked_to"], now["by"]) == (False, "gus", "web.visit wgus of shop")
    assert now["facts"] == {"recent events": 1}
    assert shown(run, "anon:pad")["customer_id"] == "gus"
    told = run("identity", "show", "flo").stdout
    assert f"    anon:pad since {iso(START + 5 * DAY)} by web.visit wflo of shop, has gone to another: 2 recent" in told
    until(lambda: "also anon:pad" in run("customer", "gus").stdout, "gus has it in Redis")
    assert run("explain", "flo").exit_code == run("explain", "gus", "--json").exit_code == 0

    assert run("identity", "split", "anon:pad").exit_code == 0
    send(made, again[3])
    own = shown(run, "anon:pad")
    assert (own["customer_id"], own["apart"], own["facts"]) == ("anon:pad", ["gus"], {"recent events": 2})
    assert "split from gus: events do not link them again" in run("identity", "show", "anon:pad").stdout
    assert [one["id"] for one in shown(run, "gus")["ids"]] == ["gus"]
    assert facts(shown(run, "flo")) == {"flo": {"recent events": 1}, "anon:pad": {"recent events": 2}}
    send(made, {**gus, "id": "w9"})
    assert shown(run, "anon:pad")["customer_id"] == "anon:pad"
    assert "there is nothing to split" in str(run("identity", "split", "flo").exception)


def test_a_merge_from_the_shell_is_dated_by_the_data(made: Deployment, run: Run) -> None:
    """Where data moves the clock it has the time of the newest event, and moves no clock: nobody grows silent by it."""
    assert run("identity", "merge", "carl", "bob").exit_code == 0
    assert run("identity", "split", "carl").exit_code == 0
    made.wait_done()
    records = [told for told in made.read(made.topics.changes.name) if told.key in (b"ann", b"bob", b"carl")]
    dated = {json.loads(told.value or b"")["entered_at"] for told in records}
    assert max(dated) == iso(START + 5 * DAY)


def test_without_waiting_it_is_sent_and_where_is_told(made: Deployment, run: Run) -> None:
    """--no-wait says where the event is; the workers do it all the same."""
    done = run("identity", "merge", "carl", "bob", "--no-wait")
    assert done.stdout.startswith(f"sent the merge of carl, bob to {made.prefix}identity[")
    made.wait_done()
    assert shown(run, "carl")["customer_id"] == "bob"
    assert run("identity", "split", "carl").exit_code == 0


def test_what_a_company_has_blocked_is_shown_with_what_came_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that is blocked later keeps what came under it, which is said, until it is split off; an unknown one is nobody."""
    monkeypatch.setenv("LIFESTAGE_INTAKE_BLOCKED_IDS", f"till 7,bob,{ADDRESS}")
    done = run("identity", "show", "bob")
    assert done.stdout.startswith("customer   bob\n")
    assert done.stderr.startswith("'bob' is blocked (intake.blocked_ids): it names nobody")
    assert done.stderr.endswith("; what is kept of it came before it was blocked\n")
    assert run("explain", "bob").stdout.startswith("bob  is in ")
    assert f"{EMAIL}' is blocked (intake.blocked_ids)" in run("identity", "split", ADDRESS, "--dry-run").stderr
    for words in (("identity", "show", "Till 7"), ("explain", "Till 7")):
        done = run(*words)
        assert done.exit_code == 1
        assert "'Till 7' is blocked (intake.blocked_ids): it names nobody" in str(done.exception)


def test_what_is_kept_of_long_ago_is_shown(
    kafka: KafkaServer, tmp_path: Path, topic_prefix: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visits that are not known one by one any more: when each id was first and last seen, and active, in place of counts."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as other, other.worker() as worker:
        worker.wait_ready()
        mail = event("m1", "email.event", 2, email=ADDRESS, message_id="m", event="delivered")
        visits = [event(f"v{day}", "web.visit", day, anonymous_id="x", email=ADDRESS) for day in (0, 1)]
        send(other, *visits, mail, *(event(f"o{day}", "order.completed", day, customer_id="bob") for day in (4, 20)))
        other.end_tick(START + 20 * DAY)
        other.wait_done()
        for name, value in other.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        told = run("identity", "show", "anon:x").stdout.splitlines()
        seen = f"from {iso(START)} to {iso(START + 2 * DAY)}, last active at {iso(START + DAY)}"
        assert f"together   nothing recent, seen {seen}" in told
        assert f"seen       {seen}" in told
        assert f"  {EMAIL}: nothing recent, seen {seen}" in told
        assert told[-1].endswith(": no facts")
        ids = shown(run, "anon:x")["ids"]
        assert [one["last_active_at"] for one in ids] == [iso(START + DAY), None]
        bob = run("identity", "show", "bob").stdout
        assert "together   2 orders, 1 recent event, 40.00 EUR net\n" in bob
        assert f"seen       from {iso(START + 4 * DAY)} to {iso(START + 20 * DAY)}\n" in bob


def test_nobody_who_works_is_said_in_the_end(
    kafka: KafkaServer, tmp_path: Path, topic_prefix: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no worker the wait ends with what to look at, and exit code 1."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path) as other:
        with other.worker() as worker:
            worker.wait_ready()
            send(other, *EVENTS[2:4])
        for name, value in other.given.items():
            monkeypatch.setenv(f"LIFESTAGE_{name.replace('.', '_').upper()}", value)
        done = run("identity", "merge", "ann", "bob", "--wait", "1")
        assert done.exit_code == 1
        assert "not done after 1 s: no worker has come to it yet" in done.stderr
