"""The CDNOW purchases in `data/cdnow.csv` as events, as `data/README.md` says."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lifestage.moments import parse

FILE = Path(__file__).parents[1] / "data" / "cdnow.csv"
END = "1998-07-01T00:00:00Z"
"""The end of the sample, exclusive."""
END_MS = parse(END)


class Timed(NamedTuple):
    """An event on its way to a source topic (named without prefix); `time` is ms UTC."""

    time: int
    topic: str
    event: dict[str, Any]


def events() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every purchase as (source topic, event), in the order of the file: by customer, not by time."""
    with FILE.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file)):
            yield (
                "purchases",
                {
                    "id": f"cdnow-{line}",
                    "source": "cdnow",
                    "type": "order.completed",
                    "time": f"{row['date']}T00:00:00Z",
                    "customer_id": row["customer"],
                    "order_id": f"o{line}",
                    "currency": "USD",
                    "total": row["dollars"],
                },
            )


def timed() -> list[Timed]:
    """The same in order of event time, as a shop would have sent them."""
    found = [Timed(parse(event["time"]), topic, event) for topic, event in events()]
    return sorted(found, key=lambda one: one.time)
