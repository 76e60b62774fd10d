"""Real purchases for the tests: the CDNOW sample in `data/`, each row an order."""

from __future__ import annotations

import csv
from pathlib import Path

from lifestage.facts import OrderCompleted
from lifestage.moments import parse

FILE = Path(__file__).parents[2] / "data" / "cdnow.csv"
END = parse("1998-07-01T00:00:00Z")
POPULATION = {"churned": 1843, "at_risk": 215, "loyalty": 198, "retention": 101}
MOVES = {
    (None, "conversion"): 2357,
    ("conversion", "retention"): 687,
    ("conversion", "at_risk"): 1670,
    ("retention", "loyalty"): 514,
    ("retention", "at_risk"): 750,
    ("loyalty", "at_risk"): 723,
    ("loyalty", "retention"): 124,
    ("at_risk", "churned"): 2331,
    ("at_risk", "loyalty"): 376,
    ("at_risk", "retention"): 221,
    ("churned", "retention"): 333,
    ("churned", "loyalty"): 155,
}
"""What is right of the purchases alone, ended by a tick at END: customers by stage, changes by (from, to)."""


def purchases() -> list[OrderCompleted]:
    """All rows in the order of the file (by customer): ids `cdnow-<line>`, orders `o<line>`, lines from 0, at 00:00Z."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for line, row in enumerate(rows):
        dollars, cents = row["dollars"].split(".")
        minor = int(dollars) * 100 + int(cents.ljust(2, "0"))
        found.append(
            OrderCompleted(
                time=parse(f"{row['date']}T00:00:00Z"),
                source="cdnow",
                id=f"cdnow-{line}",
                customer_id=row["customer"],
                order_id=f"o{line}",
                currency="USD",
                total_minor=minor,
                net_minor=minor,
            )
        )
    return found
