"""What the demo shows while it runs: read from the worker's /metrics, as Prometheus would."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.request import urlopen

from commands.demo_feed import Feed
from lifestage.moments import iso
from streams import metrics as names

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_EVERY_S = 2.0
MOVES_SHOWN = 12


class Snapshot(NamedTuple):
    """The worker's numbers at a moment. Money is in major units by currency; `moves` are without corrections."""

    stages: dict[str, int]
    moves: Counter[tuple[str, str]]
    corrections: int
    outcomes: Counter[str]
    orders: int
    revenue: dict[str, float]
    lag: int
    unwritten: int

    @property
    def seen(self) -> int:
        """Events dealt with, whatever became of them."""
        return self.outcomes.total()

    @property
    def changes(self) -> int:
        """Changes announced, corrections among them."""
        return self.moves.total() + self.corrections


def scrape(url: str) -> Snapshot | None:
    """The numbers at `url`/metrics; None while nobody answers there."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        with urlopen(f"{url}/metrics", timeout=2) as answer:  # noqa: S310  # our own http://
            text = answer.read().decode()
    except OSError:
        return None
    return snapshot(sample for family in text_string_to_metric_families(text) for sample in family.samples)


def snapshot(samples: Any) -> Snapshot:
    """The numbers in samples of Prometheus' client."""
    now = Snapshot({}, Counter(), 0, Counter(), 0, {}, 0, 0)
    for sample in samples:
        labels, value = sample.labels, int(sample.value)
        if sample.name == names.CUSTOMERS.name:
            now.stages[labels["stage"]] = value
        elif sample.name == names.STAGE_CHANGES.name and labels["kind"] == "correction":
            now = now._replace(corrections=now.corrections + value)
        elif sample.name == names.STAGE_CHANGES.name and value:
            now.moves[labels["from_stage"], labels["to_stage"]] += value
        elif sample.name == names.ACCOUNTED.name:
            now.outcomes[labels["outcome"]] += value
        elif sample.name == names.ORDERS.name:
            now = now._replace(orders=now.orders + value)
        elif sample.name == names.REVENUE_GROSS.name:
            now.revenue[labels["currency"]] = sample.value
        elif sample.name == names.LAG_RECORDS.name:
            now = now._replace(lag=now.lag + value)
        elif sample.name == names.READ_PENDING.name:
            now = now._replace(unwritten=value)
    return now


class View(Protocol):
    """Shows how the feed and the worker stand. `close` leaves the screen to what is printed next."""

    def show(self, feed: Feed, now: Snapshot, doing: str = "") -> None:
        """The newest numbers; may be called often. `doing` is said in place of the time left."""

    def close(self) -> None:
        """Show no more; does nothing the second time."""


def view() -> View:
    """As suits what stdout is."""
    return Live() if sys.stdout.isatty() else Lines()


def day_of(feed: Feed) -> str:
    """The day that the feed has come to."""
    return iso(feed.reached)[:10]


def money(revenue: dict[str, float]) -> str:
    """`1,234.50 USD`, for each currency."""
    return ", ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(revenue.items())) or "-"


class Lines:
    """A plain line every two seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = 0.0

    def show(self, feed: Feed, now: Snapshot, doing: str = "") -> None:
        """See `View`."""
        at = time.monotonic()
        if at - self._said < PLAIN_EVERY_S:
            return
        self._said = at
        left = (at - self._began) * (feed.days_total - feed.days) / max(feed.days, 1)
        stages = ", ".join(f"{stage} {count:,}" for stage, count in now.stages.items() if count)
        words = [
            f"{day_of(feed)}  {100 * feed.days // max(feed.days_total, 1):3} %",
            f"{feed.sent:,} events in, {feed.sent / max(at - self._began, 0.1):,.0f} a second",
            f"{now.changes:,} changes",
            f"revenue {money(now.revenue)}",
            f"{now.lag:,} waiting",
            doing or f"{left:.0f} s left",
        ]
        print(", ".join(words) + (f"; {stages}" if stages else ""), flush=True)

    def close(self) -> None:
        """See `View`."""


class Live:
    """Numbers that move in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("{task.fields[day]}"),
            BarColumn(40),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}  {task.fields[left]}"),
        )
        self._task = self._bar.add_task("", total=None, day="", rate="", left="")
        self._began = time.monotonic()
        self._live = RichLive(self._bar, console=Console(), refresh_per_second=8, transient=True)
        self._live.start()

    def show(self, feed: Feed, now: Snapshot, doing: str = "") -> None:
        """See `View`."""
        from rich.columns import Columns
        from rich.console import Group

        spent = time.monotonic() - self._began
        left = spent * (feed.days_total - feed.days) / max(feed.days, 1)
        self._bar.update(
            self._task,
            total=feed.days_total,
            completed=feed.days,
            day=day_of(feed),
            rate=f"{feed.sent / spent:,.0f} events/s" if spent else "",
            left=doing or f"{left:.0f} s left",
        )
        tables = [_stages(now), _moves(now), _numbers(feed, now)]
        self._live.update(Group(self._bar, "", Columns(tables, padding=(0, 4))))

    def close(self) -> None:
        """See `View`."""
        self._live.stop()


def _table(title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1))
    table.add_column()
    table.add_column(justify="right")
    return table


def _stages(now: Snapshot) -> Table:
    table = _table("customers by stage")
    table.add_column()
    most = max([*now.stages.values(), 1])
    for stage, count in now.stages.items():
        table.add_row(stage, f"{count:,}", "▇" * round(20 * count / most))
    return table


def _moves(now: Snapshot) -> Table:
    table = _table("stage changes")
    for (before, after), count in now.moves.most_common(MOVES_SHOWN):
        table.add_row(f"{before} -> {after}", f"{count:,}")
    return table


def _numbers(feed: Feed, now: Snapshot) -> Table:
    table = _table("so far")
    for name, count in (
        ("events sent", f"{feed.sent:,}"),
        ("accepted", f"{now.outcomes['accepted']:,}"),
        ("rejected", f"{now.outcomes['rejected']:,}"),
        ("changes", f"{now.changes:,}"),
        ("orders", f"{now.orders:,}"),
        ("revenue", money(now.revenue)),
        ("records waiting", f"{now.lag:,}"),
    ):
        table.add_row(name, count)
    return table
