"""Pictures of the dashboards: a week of a company that does not exist, in a real Prometheus, drawn and photographed.

`python -m tests.pictures docs/pictures` makes them again. It needs Prometheus with promtool, and Chromium for the photographs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.backfill import CONFIG, Range, fill, record
from tests.company import DAY_S, TARGETS, WORKERS, Sample, kpis, recount
from tests.company_pipeline import Instant
from tests.dashboard_rules import Json
from tests.deployment import dashboard, dashboards
from tests.drawing import COLUMN, Drawn, Series, page
from tests.png import smaller
from tests.promql import without_macros
from tests.services import Prometheus

END = 1_773_836_700.0
"""2026-03-18T12:25:00Z: a Wednesday noon, when the day's mail has come in."""
NEW_PLAN = END - 42 * 3_600
PLANS = (("clm5", "3f1a9c20"), ("clm5", "8be04d17"))
RATE = {"now-7d": "3h", "now-6h": "10m", "now-30m": "1m"}
"""What stands for `$__rate_interval` where a dashboard looks back so far."""
Spans = dict[str, Range]
"""By how far back a dashboard looks: what it asks for."""


def spans(days: float = 7, step: float = 120) -> Spans:
    """A week by the hour, six hours by two minutes, half an hour as it is scraped."""
    return {
        "now-7d": Range(END - days * DAY_S, END, 3_600),
        "now-6h": Range(END - 6 * 3_600, END, step),
        "now-30m": Range(END - 1_800, END, 15),
    }


def workers(at: float) -> Iterator[Sample]:
    """All that workers show at an instant, but for the parts of KPIs; and the recount."""
    for instance, share in WORKERS.items():
        labels = {"job": "lifestage", "instance": instance}
        started = NEW_PLAN if at >= NEW_PLAN else END - 9 * DAY_S
        for one in Instant(at, started, share, PLANS[at >= NEW_PLAN]).samples():
            yield Sample(one.name, labels | one.labels, one.value)
        for one in kpis(at, share, TARGETS):
            if "_part_" not in one.name:
                yield Sample(one.name, labels | one.labels, one.value)
    for one in recount(at):
        yield Sample(one.name, {"job": "lifestage-reconcile", "instance": "10.0.0.13:9465"} | one.labels, one.value)


def parts(at: float) -> Iterator[Sample]:
    """The parts of KPIs that workers show at an instant."""
    for instance, share in WORKERS.items():
        for one in kpis(at, share, TARGETS):
            if "_part_" in one.name:
                yield Sample(one.name, {"job": "lifestage", "instance": instance} | one.labels, one.value)


def past(given: Spans) -> Iterator[tuple[float, Iterator[Sample]]]:
    """What there was to scrape: by the hour, of the last hours by the minute, of the last half hour as it is scraped."""
    week, hours, now = given.values()
    told = {*week.instants(), *hours.instants()}
    for at in sorted(
        {*told, *Range(hours.begin - 3_600, END, 60).instants(), *Range(now.begin - 300, END, 15).instants()}
    ):
        yield at, workers(at)
        if at in told:
            yield at, parts(at)


def asked(server: Prometheus, board: Json, given: Spans) -> list[Drawn]:
    """The panels of a dashboard with what Prometheus answers them, marks of new plans among it."""
    since = board["time"]["from"]
    span = given[since]
    notes = (without_macros(note["expr"]) for note in board["annotations"]["list"])
    marks = {found["values"][0][0] for note in notes for found in server.query_range(note, *span)}
    return [
        _drawn(server, panel, span, RATE[since], sorted(at for at in marks if at > span.begin))
        for panel in board["panels"]
    ]


def _drawn(server: Prometheus, panel: Json, span: Range, rate: str, marks: list[float]) -> Drawn:
    found = []
    for target in panel.get("targets", []):
        expression = without_macros(target["expr"], rate_interval=rate, range=f"{span.end - span.begin:.0f}s")
        answer = server.query_range(expression, *span) if target["range"] else server.query(expression, span.end)
        for series in answer:
            points = [(at, float(value)) for at, value in series.get("values") or [series["value"]]]
            labels = series["metric"]
            name = re.sub(r"{{\s*(\w+)\s*}}", lambda at, labels=labels: labels.get(at[1], ""), target["legendFormat"])  # type: ignore[misc]
            found.append(Series(name, labels, points))
    place, custom = panel["gridPos"], panel.get("fieldConfig", {}).get("defaults", {})
    options = (
        panel["transformations"][0]["options"] if panel["type"] == "table" else {"rowField": "", "columnField": ""}
    )
    return Drawn(
        panel["type"], panel["title"], custom.get("unit", ""), place["x"], place["y"], place["w"], place["h"],
        custom.get("custom", {}).get("stacking", {}).get("mode") == "normal", (options["rowField"], options["columnField"]), found, marks,
    )  # fmt: skip


def panels(folder: Path, given: Spans) -> dict[str, list[Drawn]]:
    """The panels of each dashboard, of data that is made in `folder`."""
    fill(folder, past(given))
    record(folder, [given["now-7d"], given["now-6h"]])
    with Prometheus(CONFIG, folder) as server:
        return {name: asked(server, board, given) for name, board in dashboards().items()}


def photograph(html: str, height: int, picture: Path) -> None:
    """A picture of a page, by Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(html, encoding="utf-8")
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-lcd-text",
            f"--user-data-dir={folder}/profile", f"--window-size={24 * COLUMN + 12},{height}", f"--screenshot={picture}", file.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    picture.write_bytes(smaller(picture.read_bytes()))


def main(folder: Path) -> None:
    """Make the pictures of all dashboards in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        for name, drawn in panels(Path(made), spans()).items():
            board = dashboard(name)
            html, height = page(board["title"], board["description"], drawn)
            photograph(html, height, (folder / f"dashboard-{name}.png").resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
