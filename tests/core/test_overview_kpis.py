"""What `lifestage status` says of KPIs: what a worker would say by the markers, and what workers say who have read all of it."""

from __future__ import annotations

import pytest

from config.sections import Kpis
from config.settings import Settings
from lifestage.cause import LONG_AGO
from lifestage.marker import KPI_SUMS, KpiMark, Marker, uncounted
from streams import overview
from streams.endpoint import Endpoint
from streams.overview import NOT_COUNTED, Worker, ask_worker
from streams.survey import Member
from tests.core.test_metrics import LOG, busy, worker_metrics

KEPT = KpiMark(window=90, since=20_000, anonymous=False, sums=KPI_SUMS)


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        (KEPT, ""),
        (KpiMark(window=90, since=20_000, sums=KPI_SUMS), ""),
        (None, "its changelog was written without them"),
        (KpiMark(window=30, since=0), "they are kept for a window of 30 days, not of 90 (kpis.window)"),
        (KpiMark(window=90, since=0), "its changelog was written by a release that counts other ones"),
        (
            KpiMark(window=90, since=0, anonymous=True, sums=KPI_SUMS),
            "they were counted with lifecycle.announce_anonymous = true",
        ),
    ],
)
def test_a_mark_says_why_it_is_not_gone_on_with(mark: KpiMark | None, why: str) -> None:
    """The window first, then whose sums they are, then how paths count; what an older release did not say is no reason."""
    assert uncounted(mark, 90, anonymous=False) == why


def test_status_says_what_workers_say_who_have_read_the_pages() -> None:
    """A worker that cannot read the sums of a partition says so by its metrics; where a marker says why, that is told."""
    metrics = worker_metrics()
    metrics.view = busy()
    metrics.view.recovering = False
    served = Endpoint("127.0.0.1", 0, metrics.registry(), lambda: (True, ""))
    served.start()
    try:
        member = Member("m", "one", "127.0.0.1", served.url, {LOG: (0, 1)})
        worker = ask_worker(member, LOG)
    finally:
        served.stop()
    assert worker.uncounted == (1,)
    assert worker.memory_mb
    settings = Settings(kpis=Kpis(live=True, window=90))
    markers = {
        0: Marker(offset=5, kpis=KEPT),
        1: Marker(offset=5, kpis=KEPT),
        2: Marker(offset=5),
        3: Marker(),
    }
    seen = overview._kpis(settings, markers, [worker, Worker("h", "", "ready", (2,), None, (2,))])
    assert seen.counted == (0,)
    assert seen.uncounted == {1: NOT_COUNTED, 2: "its changelog was written without them"}
    assert seen.as_of is None, f"no tick has come: {LONG_AGO}"
