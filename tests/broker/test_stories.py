"""The stories of the shipped plans through a worker on a real Kafka: what is announced on the wire is what they tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.plan_files import shipped
from lifestage.facts import Fact
from lifestage.keys import key_of
from lifestage.language_stories import Story
from lifestage.moments import parse
from lifestage.stories import Move, differences, end_of, facts_of
from streams.doorway import decoder_of
from streams.embedded.kafka import KafkaServer
from tests.pipeline import Deployment, Written, deployment, written_by
from tests.pipeline import differences as contradictions
from tests.stories.shipped import earlier, event, renamed, sheet
from tests.wire import produce

pytestmark = pytest.mark.broker

TOPICS = {
    "email": "emails", "order": "purchases", "subscription": "purchases", "feedback": "feedback", "referral": "feedback",
    "review": "feedback", "community": "feedback", "loyalty": "feedback", "ticket": "feedback", "profile": "identity",
}  # fmt: skip
"""By the first half of an event's type; all others are visits."""
YEARS_AGO = 3653
"""Days. Stories may be long, and an event of the future is refused."""


def send(made: Deployment, stories: Iterable[Story]) -> None:
    """All that happens, each to its topic, in order of time; what happens at once to one, so that its order is known."""
    events: dict[str, list[tuple[bytes, dict[str, Any]]]] = defaultdict(list)
    for story in stories:
        topics: dict[tuple[str, int], str] = {}
        for line in story.lines:
            if line.fact is not None:
                told = event(line.fact)
                topic = TOPICS.get(told["type"].split(".")[0], "visits")
                events[topics.setdefault((line.key, line.at), topic)].append((line.key.encode(), told))
    for topic, sent in events.items():
        in_order = sorted(sent, key=lambda pair: int(pair[1]["time"]))
        produce(made.bootstrap, made.prefix + topic, [(key, msgspec.json.encode(told)) for key, told in in_order])


def keys_on_the_wire(made: Deployment, story: Story) -> dict[str, str]:
    """How the customers of a story are called in the output: addresses become keys."""
    decode = decoder_of(made.settings).decode
    found = {}
    for line in story.lines:
        if line.fact is not None:
            fact = decode(msgspec.json.encode(event(line.fact)), None)
            assert isinstance(fact, Fact), fact
            found[key_of(fact) or ""] = line.key
    return found


def moves_of(written: Written, keys: dict[str, str], until: int) -> list[Move]:
    """What was announced of these customers before a story's end; nothing was ever corrected."""
    found = []
    for key, name in keys.items():
        for value in written.changes.get(key, []):
            data = msgspec.json.decode(value)
            assert data["supersedes"] == []
            at = parse(data["entered_at"])
            if at < until:
                found.append(Move(name, at, data["stage"], data["kind"], tuple(data["skipped"])))
    return found


def tell(bootstrap: str, prefix: str, home: Path, plan: str) -> list[str]:
    """Tell all stories of a plan at once to one worker; what of them is not true."""
    stories = sheet(shipped()[plan]).stories
    told = [earlier(renamed(story, f"s{number}"), YEARS_AGO) for number, story in enumerate(stories)]
    with deployment(bootstrap, prefix, home, lifecycle__plan=plan) as made:
        # before there is a worker: what one topic still holds is not late then, however far another has been read
        send(made, told)
        worker = made.worker()
        try:
            worker.wait_ready()
            made.wait_taken_in(alive=[worker])
            made.end_tick(max(map(end_of, told)))
            made.wait_done(alive=[worker])
        finally:
            assert worker.terminate() == 0
        written = written_by(made)
        assert len(facts_of(told[0])) > 1
        assert contradictions(made) == []
        return [
            str(failure)
            for story in told
            for failure in differences(story, moves_of(written, keys_on_the_wire(made, story), end_of(story)))
        ]


@pytest.mark.parametrize("plan", sorted(shipped()))
def test_the_stories_are_true_on_a_real_kafka(kafka: KafkaServer, topic_prefix: str, tmp_path: Path, plan: str) -> None:
    """Every story of a shipped plan, told at once by other names, brings exactly its moves, and no correction."""
    assert tell(kafka.bootstrap, topic_prefix, tmp_path, plan) == []
