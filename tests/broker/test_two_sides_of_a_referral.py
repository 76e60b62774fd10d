"""Referrals, refunds and merges through a real Kafka: what one source record puts into several partitions is there once."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifestage import log
from lifestage.facts import Referred, decode
from lifestage.fold import REFERRED_BY
from lifestage.keys import MERGES
from lifestage.profile import decode as decode_profile
from streams.embedded.kafka import KafkaServer
from tests.broken_worker import DIED
from tests.chaos.crew import Fragile
from tests.chaos.kills import ALONE
from tests.pipeline import Deployment, deployment, differences, truth_of, written_by
from tests.wire import produce

pytestmark = pytest.mark.broker

REFERRALS = 300
TIME = "2024-02-29T12:00:00Z"


def send(made: Deployment, source: str, *events: dict[str, Any]) -> None:
    """Put events into a source, all in one of its partitions."""
    values = [
        msgspec.json.encode({"id": f"{source}-{n}", "source": "shop", "time": TIME} | one)
        for n, one in enumerate(events)
    ]
    produce(made.bootstrap, made.prefix + source, [(b"k", value) for value in values], partition=0)


def referrals(made: Deployment) -> None:
    """Every customer refers somebody else."""
    events = [
        {"type": "referral.sent", "referral_id": f"f{n}", "referrer_id": f"a{n}", "referred_id": f"b{n}"}
        for n in range(REFERRALS)
    ]
    send(made, "feedback", *events)


def sides(made: Deployment) -> dict[int, set[int]]:
    """Which of its two records the log has, by the offset of the referral."""
    found: dict[int, set[int]] = defaultdict(set)
    for record in made.read(made.topics.log.name):
        header = log.header(record.value or b"")
        if header.kind == log.FACT:
            found[header.offset].add(header.n)
            assert isinstance(decode((record.value or b"")[log.HEADER_SIZE :]), Referred) == (header.n == 1)
    return found


def test_a_death_between_the_two_records_loses_neither(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """A worker dies with one partition of a round in the log and not the others: the next writes both again, each is folded
    once, and everybody who was referred knows by whom."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **ALONE) as made:
        referrals(made)
        with Fragile(made, "log_half_written", "w1") as dying:
            dying.arm.touch()
            assert dying.child.wait(120) == DIED, dying.log()[-2000:]
        torn = Counter(map(len, sides(made).values()))
        assert torn[1] > 0, "the death met no referral of which one record is in the log"
        assert made.lag([topic_prefix + "feedback"]) == REFERRALS, (
            "the dead worker had committed: nothing is read again"
        )
        with made.worker("w2") as worker:
            made.wait_done(120, alive=[worker.wait_ready()])
        assert sides(made) == {offset: {0, 1} for offset in range(REFERRALS)}
        assert truth_of(made).accounted == {("shop", "referral.sent", "accepted"): REFERRALS}
        profiles = written_by(made).profiles
        for n in range(REFERRALS):
            said = decode_profile(profiles[f"b{n}".encode()]).said
            assert [one.value for one in said[REFERRED_BY]] == [f"a{n}"]
        assert differences(made) == []


def test_refunds_find_their_customer_and_merges_their_order(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """A refund that names only its order is the customer's, whichever came first; two customers are one after a merge that
    stands under the key of all merges; nothing is rejected."""
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **ALONE) as made:
        order = {"type": "order.completed", "currency": "EUR", "total": "10.00"}
        back = {"type": "order.refunded", "amount": "10.00", "currency": "EUR"}
        send(
            made,
            "purchases",
            back | {"refund_id": "r1", "order_id": "o1", "time": "2024-03-01T00:00:00Z"},
            order | {"order_id": "o1", "customer_id": "ann"},
            order | {"order_id": "o2", "customer_id": "bob"},
            back | {"refund_id": "r2", "order_id": "o2", "time": "2024-03-01T00:00:00Z"},
            order | {"order_id": "o3", "customer_id": "bobby"},
        )
        send(made, "identity", {"type": "identity.merged", "ids": ["bob", "bobby"], "time": "2024-03-02T00:00:00Z"})
        with made.worker("w1") as worker:
            made.wait_done(120, alive=[worker.wait_ready()])
        profiles = {key: decode_profile(value) for key, value in written_by(made).profiles.items()}
        refunds = {name: sorted(len(one.refunds) for one in profiles[name].orders) for name in (b"ann", b"bob")}
        assert refunds == {b"ann": [1], b"bob": [0, 1]}
        bobby = profiles[b"bobby"].kin
        assert bobby is not None
        assert bobby.alias == "bob"
        assert MERGES.encode() in profiles
        assert {outcome for _, _, outcome in truth_of(made).accounted} == {"accepted"}
        assert differences(made) == []
