"""The whole page of a worker: at most 2,000 series, whatever events name, and what makes room for what."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families as parse_text

from lifestage.facts import TYPES
from lifestage.kpi_contribute import Sums
from lifestage.money import DIGITS
from streams.collector import WorkerMetrics
from streams.endpoint import Endpoint
from streams.exposition import FORMATS_MAX, Pages
from streams.kpi_families import PartitionSums, families, hidden_of, limited, series_of, summed, told_of
from streams.kpi_values import LIMITS
from streams.metrics import MONEY_MAX, OUTCOMES, SERIES_MAX
from tests.core.histories import CLM5
from tests.core.test_kpi_families import DAY, hostile, page, rich, value
from tests.core.test_metrics import LOG, Series, Worker, Writer, scrape, worker_metrics

PARTITIONS = 8
TOPICS = (LOG, "purchases", "visits", "mails")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def worker(*sums: PartitionSums) -> WorkerMetrics:
    """A worker that owns eight partitions of each of four topics, all of which hold the clock, with these KPIs."""
    numbers = range(PARTITIONS)
    found = worker_metrics()
    found.read_model = Writer()
    found.targets = {f"kpi{n}": 1 for n in range(40)}
    found.view = Worker(
        population=dict.fromkeys((stage.name for stage in CLM5.stages), 5),
        sums=dict.fromkeys(("CHF", "EUR", "GBP", "USD"), (1, 100, 100)),
        lags={(topic, n): 1 for topic in TOPICS for n in numbers},
        ticks={n: time.time() for n in numbers},
        partitions=dict.fromkeys(TOPICS, PARTITIONS),
        records=dict.fromkeys(numbers, 100),
        kpi_sums=dict(enumerate(sums)),
        kpi_expected=PARTITIONS,
        recovering=False,
    )
    return found


def with_events(of: WorkerMetrics, pairs: int, outcomes: tuple[str, ...]) -> None:
    """Events of so many pairs of source and type, counted by this process and kept with the state."""
    assert isinstance(of.view, Worker)
    types = sorted(TYPES.values())
    for n in range(pairs):
        for outcome in outcomes:
            of.counts.add(f"source{n}", types[n % len(types)], outcome)
            of.view.accounts[f"source{n}", types[n % len(types)], outcome] = 1


def usual() -> PartitionSums:
    """Of each label whose values events name what is told apart always."""
    names = (
        "leads/channel",
        "new_customers/channel",
        "messages_sent/campaign",
        "messages_opened/campaign",
        "social_engagement",
    )
    sums: Sums = Counter({(name, of): 3 for name in names for of in ("direct", "none", "other")})
    sums.update({("sessions_by_source", one, two): 3 for one in ("direct", "other") for two in ("none", "other")})
    return PartitionSums(DAY, 90, sums)


@pytest.fixture(scope="module")
def bad() -> PartitionSums:
    """A hundred thousand values of each label that events name."""
    days = hostile()
    return PartitionSums(DAY, 90, days.totals(), days.places)


def told(found: Series, label: str) -> set[str]:
    """The values of a label on a page."""
    return {dict(labels)[label] for _, labels in found if label in dict(labels)}


@pytest.mark.parametrize(("pairs", "most"), [(16, 4), (37, 3)])
def test_the_page_of_a_rich_deployment_has_room_to_spare(pairs: int, most: int) -> None:
    """Everything used, of events too: fewer than 1,950 series; four currencies, and of all kinds of events the three with the most orders."""
    rather = worker(*(PartitionSums(DAY, 90, rich()) for _ in range(PARTITIONS)))
    with_events(rather, pairs, ("accepted", "duplicate"))
    found = scrape(rather)
    assert 1_700 < len(found) < 1_950
    of = {dict(labels)["currency"] for (name, labels) in found if name == "lifestage_kpi_part_clv_1_sum"}
    assert len(of) == most
    assert len([1 for (name, _) in found if name == "lifestage_kpi_part_messages_sent_by_campaign"]) >= 3


@pytest.mark.parametrize("richer", [False, True], ids=["hostile", "rich and hostile"])
def test_a_page_is_bounded_whatever_events_name(bad: PartitionSums, richer: bool) -> None:
    """A hundred thousand sources, types, reasons, channels, campaigns, kinds and all currencies at once: 2,000 series that parse."""
    hated = worker(bad, usual(), *([PartitionSums(DAY, 90, rich())] if richer else []))
    with_events(hated, 100_000, ("accepted",))
    with_events(hated, 40, OUTCOMES)
    assert isinstance(hated.view, Worker)
    hated.view.sums = {code: (n, 100, 100) for n, code in enumerate(DIGITS)}
    for n in range(100_000):
        hated.counts.dead_letter(f"reason{n}")
        hated.counts.add(f"\x00 {n}\n", f'"type{n}"', "rejected")
    found = scrape(hated)
    assert len(found) <= SERIES_MAX
    assert value(found, "leads_by_channel", channel="other"), "nothing is lost"
    for kind, most in (("source", 75), ("type", 40), ("channel", 40), ("campaign", 10), ("currency", MONEY_MAX + 6)):
        assert len(told(found, kind)) <= most, kind


def test_what_is_counted_of_a_page_is_what_is_on_it(bad: PartitionSums) -> None:
    """Within any limits; and each is narrower than the one before."""
    given = summed([bad, usual(), PartitionSums(DAY, 90, rich())])
    before = SERIES_MAX
    for limits in LIMITS:
        made = limited(given, limits)
        parts = sum(len(family.samples) for family in families(made))
        assert series_of(made) == parts + len(hidden_of(made)) + len(told_of(made)), limits
        assert series_of(made) < before, limits
        before = series_of(made)


def test_who_has_little_of_everything_is_told_all_of_it() -> None:
    """Two currencies and twenty channels leave room: nothing is hidden."""
    sums = Counter({key: n for key, n in rich().items() if not {"CHF", "GBP"} & {*key}})
    metrics = worker(PartitionSums(DAY, 90, sums))
    with_events(metrics, 37, ("accepted", "duplicate"))
    found = scrape(metrics)
    assert [n for (name, _), n in found.items() if name == "lifestage_kpi_hidden_values"] == [0] * 5
    assert {key: n for key, n in found.items() if key[0].startswith("lifestage_kpi_part_")} == page(sums)


@pytest.mark.parametrize(
    "accept", ["", "text/plain;version=1.0.0", OPENMETRICS, OPENMETRICS + ";escaping=allow-utf-8", "*/*"]
)
def test_a_page_is_what_the_client_library_writes(bad: PartitionSums, accept: str) -> None:
    """To the byte, the first time and again, after values have changed: numbers of all sizes, and labels with all that is escaped."""
    metrics = worker(bad, PartitionSums(DAY, 90, rich()))
    registry = CollectorRegistry()  # without the process, whose numbers change by themselves
    registry.register(metrics)
    pages = Pages(registry)
    for n, count in enumerate((0, 1, 10**5, 10**6 - 1, 10**6, 10**17, 10**22, 7)):
        metrics.counts.add('a"b\\c\u00e9', "web.visit", "late", count)
        metrics.flush_seconds.observe((1e-7, 0.3, float("inf"), float("nan"), 5e6, -1.0, 1e300, 1e-5)[n])
        assert isinstance(metrics.view, Worker)
        metrics.view.ticks = {}
        encode, content_type = choose_encoder(accept)
        assert pages.page(accept) == (content_type, encode(registry))


def test_any_number_of_formats_may_be_asked_for() -> None:
    """What a client says that it takes is its own choice: few are remembered, all are answered."""
    metrics = worker_metrics()
    endpoint = Endpoint("127.0.0.1", 0, metrics.registry(), lambda: (True, ""))
    try:
        for n in range(5 * FORMATS_MAX):
            status, content_type, body = endpoint.answer("/metrics", f"application/openmetrics-text; version=1.{n}.0")
            assert status == 200
            assert f"version=1.{n}.0" in content_type
            assert body.endswith(b"# EOF\n")
        assert list(parse_text(endpoint.answer("/metrics", "")[2].decode()))
    finally:
        endpoint.stop()
