"""One person, several ids, several workers: what is said under any of the ids is due to the one profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifestage import profile as profiles
from lifestage.document import metrics_of
from lifestage.keys import email_key
from lifestage.profile import Profile
from streams.doorway import partition_of
from streams.embedded.kafka import KafkaServer
from streams.rules import rules_of
from tests.chaos.crew import PATIENCE_S
from tests.load import BEGIN_MS
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.wire import produce

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
ADDRESS = "ann@mail.example"
SLOW = {"kafka__session_timeout_s": "10", "topics__partitions": "4"}
Send = Callable[..., None]


class Shop:
    """Sends events one after the other, event time rising by a day; each is folded before the next is sent."""

    def __init__(self, made: Deployment, workers: list[Any]) -> None:
        self.made, self._workers, self.sent = made, workers, 0

    def send(self, type: str, **fields: Any) -> None:
        """An event, and everything that follows from it."""
        self.sent += 1
        event = {"id": f"e{self.sent}", "source": "shop", "type": type, "time": BEGIN_MS + self.sent * DAY_MS, **fields}
        topic = {"web": "visits", "email": "emails", "order": "purchases", "lead": "visits"}.get(
            type.split(".", maxsplit=1)[0]
        )
        place = self.made.prefix + (topic or "identity")
        produce(self.made.bootstrap, place, [(b"%d" % self.sent, msgspec.json.encode(event))])
        self.made.wait_done(PATIENCE_S, self._workers)

    def visit(self, **ids: str) -> None:
        """A visit."""
        self.send("web.visit", url="https://shop.example/", **ids)

    def order(self, cents: int, **ids: str) -> None:
        """An order, which is of nobody else."""
        self.send("order.completed", order_id=f"o{self.sent}", currency="USD", total_minor=cents, **ids)


def known(made: Deployment) -> dict[str, Profile]:
    """All profiles that are kept."""
    return {key.decode(): profiles.decode(value) for key, value in written_by(made).profiles.items()}


def alias_of(profile: Profile) -> str | None:
    """Whose an id is; None when it is a profile of its own."""
    return None if profile.kin is None else profile.kin.alias


def net(made: Deployment, profile: Profile) -> tuple[int, int]:
    """Orders, and what they come to."""
    assert profile.newest is not None
    told = metrics_of(rules_of(made.settings).plan.look(profile, profile.newest))
    return told.orders, told.net_revenue_minor


def moves(made: Deployment, key: str) -> list[tuple[int, str, str | None]]:
    """What was announced of an id: seq, kind, stage."""
    told = [msgspec.json.decode(value) for value in written_by(made).changes[key]]
    return [(change["seq"], change["kind"], change["stage"]) for change in told]


def test_a_visitor_on_two_devices_becomes_one_customer(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """12 visits on two devices, a sign-up, a purchase, and then an event under each old id: one profile on two workers."""
    address = email_key(ADDRESS, b"a secret of the tests")
    keys = ["ann", address, "anon:phone", "anon:desk"]
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **SLOW) as made:
        assert len({partition_of(key.encode(), 4) for key in keys}) > 1
        workers = [made.worker(name) for name in ("a", "b")]
        for worker in workers:
            worker.wait_ready(PATIENCE_S)
        made.wait_shared(workers, PATIENCE_S)
        shop = Shop(made, workers)
        for number in range(12):
            shop.visit(anonymous_id="phone" if number % 2 else "desk")
        shop.send("lead.captured", lead_id="l1", form="f", anonymous_id="phone", email=ADDRESS)
        shop.send("lead.captured", lead_id="l2", form="f", anonymous_id="desk", email=ADDRESS)
        shop.order(700, customer_id="ann", email=ADDRESS)
        shop.visit(anonymous_id="phone")
        shop.visit(anonymous_id="desk")
        shop.order(500, email=ADDRESS)
        for worker in workers:
            assert worker.terminate(60) == 0, worker.log()[-2000:]
        assert differences(made) == []
        found = known(made)
        roots = [key for key in found if alias_of(found[key]) is None and not key.startswith("order:")]
        assert roots == ["ann"]
        ann = found["ann"]
        assert net(made, ann) == (2, 1200)
        assert ann.first_seen == BEGIN_MS + DAY_MS
        assert ann.newest == BEGIN_MS + shop.sent * DAY_MS
        assert moves(made, address)[-1][1:] == ("merge", None)
        stages = written_by(made).newest
        assert address not in stages
        assert msgspec.json.decode(stages["ann"])["stage"] == "retention"
        identity = [marker.identity for marker in written_by(made).markers.values()]
        assert sum(of.get("forwarded", 0) for of in identity) == 3


def test_a_merge_and_a_split_go_through_the_log(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Two customers are merged and told apart again: each has its own orders once, and its seq has gone on."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **SLOW) as made:
        with made.worker() as worker:
            shop = Shop(made, [worker.wait_ready(PATIENCE_S)])
            shop.order(700, customer_id="c1")
            shop.order(500, customer_id="c2")
            shop.send("identity.merged", ids=["c1", "c2"])
            shop.order(300, customer_id="c2")
            merged = known(made)
            assert (alias_of(merged["c1"]), alias_of(merged["c2"])) == (None, "c1")
            assert net(made, merged["c1"]) == (3, 1500)
            shop.send("identity.split", ids=["c2"])
            shop.order(200, customer_id="c2")
            assert worker.terminate(60) == 0, worker.log()[-2000:]
        assert differences(made) == []
        apart = known(made)
        assert (alias_of(apart["c1"]), alias_of(apart["c2"])) == (None, None)
        assert net(made, apart["c1"]) == (1, 700)
        assert net(made, apart["c2"]) == (3, 1000)
        assert [seq for seq, _, _ in moves(made, "c2")] == list(range(1, len(moves(made, "c2")) + 1))
        assert [kind for _, kind, _ in moves(made, "c2")][:3] == ["entry", "merge", "split"]
