"""`lifestage worker` as a process of its own, as it runs in production."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from streams.embedded.process import Child, free_ports
from tests.services import http_status

CHECKOUT = Path(__file__).parent.parent


def environment_of(settings: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment of a command of ours with `settings`, such as `{"kafka.bootstrap": "127.0.0.1:9092"}`, and no others.

    `home` becomes LIFESTAGE_HOME, so that a demo running in the checkout is not found.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    given = {f"LIFESTAGE_{name.replace('.', '_').upper()}": value for name, value in settings.items()}
    return inherited | given | {"LIFESTAGE_HOME": str(home), "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}


class Worker:
    """One worker process. It is stopped at the end of a `with`, and dies with the tests in any case."""

    def __init__(
        self,
        settings: Mapping[str, str],
        directory: Path,
        name: str = "worker",
        program: Sequence[str] = ("commands",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it with `settings` (see `environment_of`), its log in `directory`; /metrics gets a free port.

        `program` is the module that is run in place of `commands`, and what comes before the command; `environment` has
        the last word.
        """
        (self.port,) = free_ports(1)
        self.name = name
        settings = {**settings, "metrics.port": str(self.port)}
        self.child = Child(
            [sys.executable, "-P", "-m", *program, "worker"],
            directory / f"{name}.log",
            environment_of(settings, directory / name) | dict(environment or {}),
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    @property
    def url(self) -> str:
        """Where /metrics, /livez and /readyz are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self.child.returncode is None

    def wait_ready(self, timeout_s: float = 60) -> Self:
        """Return when /readyz says 200. Raises `ServiceError` with the end of the log if the worker ends or is too slow."""
        self.child.wait_until(lambda: http_status(f"{self.url}/readyz") == 200, self.name, timeout_s)
        return self

    def kill(self) -> None:
        """Kill it where it stands (SIGKILL) and wait until it is gone."""
        self.child.kill()

    def terminate(self, grace_s: float = 30) -> int:
        """Ask it to stop and wait; returns how it ended, −9 if it had to be killed after `grace_s`."""
        return self.child.stop(grace_s)

    def log(self) -> str:
        """All that it has printed since it was started."""
        return self.child.printed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()
