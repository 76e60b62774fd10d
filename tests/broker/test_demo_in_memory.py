"""The demo on a machine without Java."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.broker.test_demo import COMMAND, figures, moves
from tests.core.test_replay_command import GOLDEN
from tests.workers import environment_of


def test_without_java_it_says_so_and_runs_in_memory(tmp_path: Path) -> None:
    """The same figures on a broker in memory, with a plain sentence about what is missing and how to get it."""
    path = tmp_path / "bin"
    path.mkdir()
    (path / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    environment = environment_of({}, tmp_path / "home") | {"PATH": str(path)}
    environment.pop("JAVA_HOME", None)
    command = [*COMMAND, "demo", "--purchases-only", "--speed", "max"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    assert "no real Kafka: Kafka needs Java 17 or newer, and there is no Java: `apt-get install" in done.stderr
    assert "in-memory broker (librdkafka mock): nothing is kept" in done.stderr
    assert figures(done.stdout)["changes"] == "10,241"
    assert moves(done.stdout) == GOLDEN
    assert "lifestage customer 00004" in done.stdout
    assert "lifestage send" not in done.stdout
