"""Real services that only the tests need, and real Kafka as the security tests need it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from streams.embedded.process import Child, free_ports

SYSTEM = Path(__file__).with_name("system.sh")


class MissingProgramError(RuntimeError):
    """A program that the tests need is not there. The message says what to type."""


def find_program(name: str) -> Path:
    """A program on PATH, such as `promtool`; where that is allowed it is installed, once. Raises `MissingProgramError`."""
    if found := shutil.which(name):
        return Path(found)
    done = subprocess.run(["bash", str(SYSTEM)], capture_output=True, text=True, check=False)
    if found := shutil.which(name):
        return Path(found)
    said = (done.stdout + done.stderr).strip() or f"tests/system.sh ended with status {done.returncode}"
    raise MissingProgramError(f"{name} is missing; {said}")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the real promtool. Raises `MissingProgramError`."""
    command = [str(find_program("promtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Prometheus:
    """A real Prometheus on 127.0.0.1."""

    def __init__(self, config: str, directory: Path) -> None:
        """Start it with `config` (the text of a prometheus.yml), its files in `directory`; ready on return."""
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "prometheus.yml"
        file.write_text(config, encoding="utf-8")
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(find_program("prometheus")),
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        self.child = Child(command, directory / "prometheus.log")
        self.child.wait_until(lambda: http_status(f"{self.url}/-/ready") == 200, "Prometheus", 30)

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query, as of now or of an instant: one `{"metric": labels, "value": [time, text]}` a series."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        found = self._get("query", query=expression, **when)["result"]
        assert isinstance(found, list), f"{expression} is a scalar: wrap it in vector()"
        return found

    def query_range(self, expression: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """The result of a range query: one `{"metric": labels, "values": [[time, text], …]}` a series."""
        found = self._get("query_range", query=expression, start=f"{begin:.3f}", end=f"{end:.3f}", step=f"{step}s")[
            "result"
        ]
        assert isinstance(found, list)
        return found

    def targets(self) -> list[dict[str, Any]]:
        """The active targets, each with `health` and `lastError`."""
        return list(self._get("targets")["activeTargets"])

    def stop(self) -> None:
        """Stop it; does nothing the second time."""
        self.child.stop(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own http://
            return dict(json.load(answer)["data"])


def start_prometheus(config: str, directory: Path) -> Prometheus:
    """Start a real Prometheus; `config` is the text of its prometheus.yml. Raises `MissingProgramError`."""
    return Prometheus(config, directory)


def http_status(address: str) -> int:
    """The status of a GET, 0 when nothing answers there."""
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - our own http://
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
    except OSError:
        return 0
