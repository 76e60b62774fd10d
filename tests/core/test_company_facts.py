"""Facts of nobody: costs and impressions are taken in, once each, and make no customer of the company."""

from __future__ import annotations

from lifestage import log
from lifestage.facts import AdImpression, CostRecorded, SocialEngagement, encode
from lifestage.keys import COMPANY, key_of
from tests.core.histories import START, at_day, partition, record

FACTS = (
    CostRecorded(time=START, source="books", id="c1", cost_id="c1", amount_minor=50_000, currency="EUR", category="marketing", period_start=START, period_end=START + 1000),
    AdImpression(time=START, source="ads", id="i1", campaign_id="spring", count=1000),
    SocialEngagement(time=START, source="ads", id="s1", campaign_id="spring", kind="share", count=3),
)  # fmt: skip


def test_a_fact_of_nobody_is_accepted_once_and_moves_nobody() -> None:
    """Each is counted under its source and type, the second time as a duplicate; no stage, no change, no timer comes of it."""
    made = partition()
    found = []
    for offset, fact in enumerate([*FACTS, *FACTS]):
        key = key_of(fact)
        assert key is not None
        assert key.startswith(COMPANY)
        value = log.pack(log.FACT, encode(fact), log.topic_code("costs"), 0, offset)
        found += made.fold([(offset, key.encode(), value)])
    found += made.fold([record(len(FACTS) * 2, at_day(400))])
    assert found == []
    assert made.marker.population == {}
    assert made.next_due is None
    assert made.marker.accounts == {
        "books": {"cost.recorded": {"accepted": 1, "duplicate": 1}},
        "ads": {
            "ad.impression": {"accepted": 1, "duplicate": 1},
            "social.engagement": {"accepted": 1, "duplicate": 1},
        },
    }


def test_the_company_s_records_are_spread_by_id() -> None:
    """Facts of nobody go to 64 keys by source and id, so that no partition and no record has them all; an id always to the same."""
    keys = {key_of(AdImpression(time=START, source="ads", id=f"i{n}", campaign_id="spring")) for n in range(5000)}
    assert len(keys) == 64
    assert key_of(FACTS[0]) == key_of(FACTS[0])
