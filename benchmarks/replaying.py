"""What the product itself says of events offline: the reference where contestants are all the product."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import compare
from benchmarks.broker import EventSet
from benchmarks.measuring import DifferentError
from config.settings import Identity, Settings
from lifestage.change import encode_value
from lifestage.decode import Decoder
from lifestage.facts import Fact
from lifestage.replay import replay
from streams.rules import rules_of


def expected_of(events: EventSet) -> Mapping[str, compare.Moves]:
    """The path of every customer, by replaying the events in order of their time without Kafka."""
    decode = Decoder(b"bench").decode
    settings = Settings(identity=Identity(secret="bench"))  # noqa: S106 - it keys the hashes of made-up ids
    facts = []
    for value in events.values():
        fact = decode(value, None)
        if not isinstance(fact, Fact):
            raise DifferentError(f"the generator made an event that is refused: {fact.message}")
        facts.append(fact)
    told = replay(facts, rules_of(settings)).changes
    return compare.outcome_of((change.id, encode_value(change.data)) for change in told).paths
