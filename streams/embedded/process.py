"""Child processes that outlive neither us nor our orderly stop: what the embedded services stand on."""

from __future__ import annotations

import fcntl
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Self

DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")

# Below every common ephemeral range (Linux starts at 32768, macOS at 49152): a client that keeps dialling the port of a
# stopped server can otherwise be given that very port as its own, connect to itself and keep the server from coming back.
PORTS = range(15_000, 30_000)


class ServiceError(RuntimeError):
    """An embedded service cannot be had. The message says which, why, and what to type."""


class Child:
    """One running program with its output in a file.

    It has its own session, so Ctrl-C in the terminal reaches us and not it; on Linux the kernel kills it when we die.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start `command`, appending what it prints to `log`. Raises `ServiceError` when it cannot be started."""
        guarded = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid()), *command]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.log_from = out.tell()
            self._process = _spawner.start(guarded, out, environment)
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, or None while it runs; negative is the signal that killed it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM) and return at once."""
        if self.returncode is None:
            self._process.terminate()

    def stop(self, grace_s: float) -> int:
        """Ask it to stop, wait `grace_s` seconds, then kill it. Returns how it ended."""
        self.terminate()
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """Kill it (SIGKILL) and wait until it is gone."""
        if self.returncode is None:
            self._process.kill()
        return self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(timeout_s)

    def printed(self) -> str:
        """What it has printed since it was started."""
        with self.log.open("rb") as file:
            file.seek(self.log_from)
            return file.read().decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Poll `ready` every 20 ms. Raises `ServiceError` with the last lines printed if it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.returncode is not None:
                raise ServiceError(f"{what} ended with status {self.returncode}; {self._last_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceError(f"{what} was not ready after {timeout_s:.0f} s; {self._last_lines()}")
            time.sleep(0.02)

    def _last_lines(self) -> str:
        lines = self.printed().strip().splitlines()[-15:]
        return "\n  ".join([f"the end of {self.log}:", *lines]) if lines else f"it printed nothing to {self.log}"


class _Spawner:
    """Starts children on one thread that never ends: the kernel's "parent died" means the thread that forked."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]]
        self._wanted = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(
        self, command: Sequence[str], out: IO[bytes], environment: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        def spawn() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
            )

        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork copies us without the thread
                self._thread = threading.Thread(target=self._run, name="embedded-services", daemon=True)
                self._thread.start()
        started: Future[subprocess.Popen[bytes]] = Future()
        self._wanted.put((started, spawn))
        return started.result()

    def _run(self) -> None:
        while True:
            started, spawn = self._wanted.get()
            try:
                started.set_result(spawn())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
                started.set_exception(error)


_spawner = _Spawner()


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nothing listens on now, none of them ephemeral."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            # As the servers themselves do: connections of an earlier server in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise ServiceError(f"no {count} free ports between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


class Claim:
    """A directory that one process uses at a time; the claim ends with the process, however it ends."""

    def __init__(self, directory: Path, what: str, *, wait: bool = False) -> None:
        """Claim `directory`, made if missing. Raises `ServiceError` when somebody else has it, unless `wait`."""
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / ".claim").open("wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ServiceError(
                f"{what} is already running from {directory}: stop it, or choose another directory"
            ) from None

    def release(self) -> None:
        """Let go; does nothing the second time."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
