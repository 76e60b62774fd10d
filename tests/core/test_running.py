"""The entry by which commands find a running demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.sections import Kpis
from config.settings import Kafka, Redis, Settings, SettingsError, Topics
from streams.running import as_demo, bootstrap_of, clear, read, redis_of, settings_in, write


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Addresses come back as they were given, and nothing else with them."""
    write(tmp_path, kafka="127.0.0.1:1234", redis="redis://127.0.0.1:1235/0")
    assert read(tmp_path) == {"kafka": "127.0.0.1:1234", "redis": "redis://127.0.0.1:1235/0"}


def test_cleared_and_absent_are_empty(tmp_path: Path) -> None:
    """Clearing twice is fine, and a home where nothing ever ran says that nothing runs."""
    assert read(tmp_path) == {}
    write(tmp_path, kafka="127.0.0.1:1234")
    clear(tmp_path)
    clear(tmp_path)
    assert read(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"kafka": "x:1"}', '{"pid": "no", "kafka": "x:1"}'])
def test_a_damaged_entry_counts_as_none(tmp_path: Path, content: str) -> None:
    """Whatever stands in the file, reading it says at most that nothing runs."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "services.json").write_text(content)
    assert read(tmp_path) == {}


def test_the_entry_of_a_process_that_is_gone_counts_as_none(tmp_path: Path) -> None:
    """A demo killed with SIGKILL cannot clear its entry, so the entry ends with the process."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    write(tmp_path, kafka="127.0.0.1:1234")
    file = tmp_path / "run" / "services.json"
    entry = json.loads(file.read_text())
    assert entry["pid"] == os.getpid()
    file.write_text(json.dumps({**entry, "pid": int(ended.stdout)}))
    assert read(tmp_path) == {}


def test_the_settings_win_over_the_demo(tmp_path: Path) -> None:
    """A configured address is used even while a demo runs."""
    write(tmp_path, kafka="127.0.0.1:1234", redis="redis://127.0.0.1:1235/0")
    settings = Settings(kafka=Kafka(bootstrap="127.0.0.1:9"), redis=Redis(url="redis://127.0.0.1:8"))
    assert bootstrap_of(settings, tmp_path) == "127.0.0.1:9"
    assert redis_of(settings, tmp_path) == "redis://127.0.0.1:8"
    assert bootstrap_of(Settings(), tmp_path) == "127.0.0.1:1234"
    assert redis_of(Settings(), tmp_path) == "redis://127.0.0.1:1235/0"


def test_without_either_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting, the demo and the variable; the home is LIFESTAGE_HOME when that is set."""
    monkeypatch.setenv("LIFESTAGE_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=r"no kafka\.bootstrap is set and no demo is running") as refused:
        bootstrap_of(Settings())
    assert "`lifestage demo --keep`" in str(refused.value)
    assert "LIFESTAGE_KAFKA_BOOTSTRAP" in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    with pytest.raises(SettingsError, match="LIFESTAGE_REDIS_URL"):
        redis_of(Settings())


def test_what_leads_to_the_demo_has_its_settings(tmp_path: Path) -> None:
    """How long its changes are kept, and whether it counts KPIs; not where settings name a Kafka, or the entry is of another release."""
    mine = Settings(topics=Topics(changes_retention_days=-1), kpis=Kpis(live=True, window=30))
    write(tmp_path, kafka="127.0.0.1:1234")
    assert as_demo(Settings(), tmp_path) == Settings()
    write(tmp_path, kafka="127.0.0.1:1234", **settings_in(mine))
    assert as_demo(Settings(), tmp_path) == mine
    elsewhere = Settings(kafka=Kafka(bootstrap="127.0.0.1:9"))
    assert as_demo(elsewhere, tmp_path) == elsewhere
    clear(tmp_path)
    assert as_demo(Settings(), tmp_path) == Settings()
