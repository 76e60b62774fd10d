"""Writes the dashboards to config/grafana/dashboards, one file each."""

from __future__ import annotations

from pathlib import Path

from config.dashboards.files import files

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"

if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
