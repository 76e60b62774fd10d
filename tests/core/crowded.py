"""Sums with more values of each label than a worker tells apart."""

from __future__ import annotations

from collections import Counter

from lifestage.kpi_contribute import Sums

CROWDED: Sums = Counter({("active",): 4, ("leads",): 25, ("social_engagement", "like"): 9})
CROWDED.update({("orders", code): 2 for code in ("EUR", "USD", "CHF", "PLN", "CZK")})
for number in range(25):
    CROWDED["leads/channel", f"c{number:02}"] = 1
    CROWDED["sessions_by_source", f"s{number:02}", "cpc"] = 1
    CROWDED["social_engagement", f"k{number:02}"] = 1
"""More values of each label than a worker tells apart."""
