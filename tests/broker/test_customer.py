"""One customer from the read model, on a real Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis
from typer.testing import CliRunner, Result

from commands.main import application
from lifestage.keys import email_key
from streams.embedded.redis import EmbeddedRedis
from streams.read_store import AliasView, CustomerView, IdView, Keys, View, document, gone

VIEW = CustomerView(
    applied=7,
    customer_id="ann",
    stage="at_risk",
    since="2024-06-01T00:00:00Z",
    previous_stage="loyalty",
    seq=5,
    high_water_stage="loyalty",
    next_due_at="2024-08-30T00:00:00Z",
    next_due_stage="churned",
    orders=4,
    order_days_365d=3,
    net_revenue_minor=10050,
    currency="EUR",
    last_order_at="2024-03-03T00:00:00Z",
    last_seen_at="2024-03-04T00:00:00Z",
    first_seen_at="2024-01-01T00:00:00Z",
)
SECRET = "a secret of the tests"


class Store:
    """A read model under a prefix of its own, and the command that looks into it."""

    def __init__(self, client: redis.Redis, url: str, prefix: str, folder: Path) -> None:
        self.client, self.keys = client, Keys(prefix)
        self.prefix, self.file = prefix, folder / "l.toml"
        self.file.write_text(f'[redis]\nurl = "{url}"\nprefix = "{prefix}"\n[identity]\nsecret = "{SECRET}"\n')

    def put(self, view: View) -> None:
        """Store what a worker knows of an id, as it does."""
        self.client.set(self.keys.customers + view.customer_id, document(self.keys.head(0), view))

    def show(self, *words: str) -> Result:
        """Run `lifestage customer`."""
        return CliRunner().invoke(application(), ["customer", "--config", str(self.file), *words])


@pytest.fixture
def store(
    redis_server: EmbeddedRedis, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Store]:
    """A read model on the shared server."""
    monkeypatch.delenv("LIFESTAGE_CONFIG", raising=False)

    def make() -> Store:
        return Store(redis.Redis.from_url(redis_server.url), redis_server.url, topic_prefix, tmp_path)

    return make


def test_a_customer_is_shown_as_one_reads(store: Callable[[], Store]) -> None:
    """Stage and since when, what comes next, orders and money, and where to see the way there."""
    with (there := store()).client:
        there.put(VIEW)
        done = there.show("ann")
    assert done.exit_code == 0
    assert done.stdout == (
        "customer   ann\n"
        "stage      at_risk since 2024-06-01T00:00:00Z, before that loyalty\n"
        "           has been as far as loyalty\n"
        "next       churned at 2024-08-30T00:00:00Z, if nothing happens before\n"
        "orders     4 on 3 days of the last 365, 100.50 EUR net\n"
        "           the last at 2024-03-03T00:00:00Z\n"
        "seen       from 2024-01-01T00:00:00Z to 2024-03-04T00:00:00Z\n"
        "changes    5 announced; `lifestage tail stage-changes --from-beginning --customer ann`\n"
    )


def test_json_is_the_document(store: Callable[[], Store]) -> None:
    """--json prints what is stored, for programs."""
    with (there := store()).client:
        there.put(VIEW)
        shown = json.loads(there.show("ann", "--json").stdout)
    assert (shown["stage"], shown["net_revenue_minor"], shown["applied"]) == ("at_risk", 10050, 7)


def test_an_address_finds_whoever_is_known_by_it(store: Callable[[], Store]) -> None:
    """An email address in any spelling is looked up by the hash that stands for it, and not shown."""
    key = email_key("ann@example.com", SECRET.encode())
    with (there := store()).client:
        there.put(CustomerView(applied=1, customer_id=key, stage=None, since=None))
        done = there.show(" Ann@Example.com")
    assert done.stdout.startswith(
        f"customer   {key}\nstage      none yet\nnext       nothing changes without an event\n"
    )
    assert "orders     none\nseen       from ? to ?\n" in done.stdout
    assert "example" not in done.stdout.lower()


def test_any_id_of_theirs_finds_a_customer(store: Callable[[], Store]) -> None:
    """An anonymous id, and through it an address, show whose they are; what is shown of the customer names all ids."""
    key = email_key("ann@example.com", SECRET.encode())
    ids = [IdView(f"anon:{n}", "ann") for n in range(6)] + [IdView(key, "ann", past=True)]
    with (there := store()).client:
        there.put(msgspec.structs.replace(VIEW, ids=ids))
        there.put(AliasView(applied=1, customer_id="anon:5", belongs_to=key))
        there.put(AliasView(applied=1, customer_id=key, belongs_to="ann"))
        done, by_mail = there.show("anon:5"), there.show("ANN@example.com")
    assert done.stdout.startswith("customer   ann\nasked for  anon:5, which is theirs\nstage      at_risk since")
    assert (
        "\nids        also anon:0, anon:1, anon:2, anon:3, anon:4, and 1 more; `lifestage identity show ann`"
        in done.stdout
    )
    assert by_mail.stdout.startswith(f"customer   ann\nasked for  {key}, which is theirs\n")


def test_an_anonymous_id_that_is_an_address_is_found_by_its_hash(store: Callable[[], Store]) -> None:
    """As events that name it are kept: `anon:`, then the hash that stands for the address."""
    key = "anon:" + email_key("ann@example.com", SECRET.encode())
    with (there := store()).client:
        there.put(CustomerView(applied=1, customer_id=key, stage=None, since=None))
        done = there.show("anon:Ann@example.com")
    assert done.stdout.startswith(f"customer   {key}\nstage")


def test_an_address_that_nobody_has_is_not_repeated(store: Callable[[], Store]) -> None:
    """What is said of an unknown address has the hash that stands for it."""
    with (there := store()).client:
        done = there.show("nobody@example.com")
    assert done.exit_code == 1
    assert f"no customer '{email_key('nobody@example.com', SECRET.encode())}' in" in done.stderr
    assert "example" not in done.stderr


def test_who_is_not_there_is_said_so(store: Callable[[], Store]) -> None:
    """Never known or gone: one line and exit code 1."""
    with (there := store()).client:
        there.client.set(there.keys.customers + "left", gone(there.keys.head(0), 3))
        for name in ("nobody", "left"):
            done = there.show(name)
            assert done.exit_code == 1
            assert done.stderr.startswith(f"lifestage: no customer {name!r} in the read model {there.prefix!r}: ")


def test_without_a_read_model_it_says_so(store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """redis.enabled = false leaves nothing to look into."""
    monkeypatch.setenv("LIFESTAGE_REDIS_ENABLED", "false")
    with (there := store()).client:
        done = there.show("ann")
    assert (done.exit_code, str(done.exception)) == (
        1,
        "redis.enabled = false: there is no read model to look into",
    )
