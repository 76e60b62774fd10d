"""The files of the dashboards, as Grafana reads them."""

from __future__ import annotations

import json

from config.dashboards.engagement import ENGAGEMENT
from config.dashboards.lifecycle import LIFECYCLE
from config.dashboards.panels import written
from config.dashboards.pipeline import PIPELINE
from config.dashboards.value import VALUE

DASHBOARDS = {
    "lifecycle.json": LIFECYCLE,
    "value.json": VALUE,
    "engagement.json": ENGAGEMENT,
    "pipeline.json": PIPELINE,
}


def files() -> dict[str, str]:
    """The text of each file by its name."""
    return {
        name: json.dumps(written(dashboard), indent=2, ensure_ascii=False) + "\n"
        for name, dashboard in DASHBOARDS.items()
    }
