"""Checks of this machine: ports and who holds them, open files, disk space, and whether the libraries are the pinned ones."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streams.doctor import Finding, Ground, Level
from streams.embedded.java import caches
from streams.pins import VERSIONS, changes
from streams.running import default_home

FILES_LEAST, FILES_GOOD = 256, 1_024
DISK_LEAST, DISK_GOOD = 200 << 20, 2 << 30
LOCK = Path(__file__).parents[1] / "requirements-runtime.lock"
PYTHON_LEAST = (3, 11)
SETUP = "make setup"
TMP = "/tmp"  # noqa: S108  # asked about, not written


# -- ports ---------------------------------------------------------------------------------------


def ports(ground: Ground) -> Iterator[Finding]:
    """The port of the metrics: free, held by a worker, or by somebody else."""
    host, port = ground.settings.metrics.host, ground.settings.metrics.port
    if port == 0:
        yield Finding("ports", "ok", "metrics.port = 0: each worker takes a free one")
        return
    problem = _bound(host, port)
    if problem is None:
        yield Finding("ports", "ok", f"metrics.port {port} is free on {host}")
    elif problem != errno.EADDRINUSE:
        told = f"nothing can listen on {host}:{port} ({os.strerror(problem)})"
        yield Finding(
            "ports",
            "FAIL",
            told,
            "workers do not start",
            "set metrics.host to an address of this machine, and metrics.port above 1023",
        )
    elif worker := worker_at(host, port):
        yield Finding(
            "ports",
            "ok",
            f"metrics.port {port} is held by a worker of ours{_by(port)} ({worker}); a second one here needs another",
        )
    else:
        told = f"metrics.port {port} is held by another program{_by(port)}"
        yield Finding(
            "ports", "FAIL", told, "workers do not start here", "set metrics.port to another one, or 0 for a free one"
        )


def _bound(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
            tried.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRINUSE
    return None


def worker_at(host: str, port: int, seconds: float = 2.0) -> str:
    """What a worker's metrics say of it, `clm5, hash …`; empty when it is no worker that answers there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    named = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{named}:{port}/metrics", timeout=seconds) as answer:
            text = answer.read(4 << 20).decode(errors="replace")
    except (OSError, ValueError, urllib.error.URLError):
        return ""
    found = re.search(r"^lifestage_worker_info\{(.*)\} 1", text, re.MULTILINE)
    if found is None:
        return ""
    labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
    return (
        f"version {labels.get('version', '?')}, plan {labels.get('plan', '?')} {labels.get('plan_hash', '')}".rstrip()
    )


def _by(port: int) -> str:
    """Which process listens on a port, as far as the kernel tells us: others' are not shown to everybody."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        rows = [line.split() for line in lines]
        inodes |= {row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            pid = link.parts[2]
            return f", {_name(pid)}, pid {pid}"
    return ""


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"


# -- what the system gives -----------------------------------------------------------------------


def files(_: Ground) -> Iterator[Finding]:
    """How many files and connections a process may have open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = "any number of open files" if soft == resource.RLIM_INFINITY else f"{soft:,} open files a process"
    if soft == resource.RLIM_INFINITY or soft >= FILES_GOOD:
        yield Finding("files", "ok", told)
        return
    means = "each connection to a broker is one, and so is each run that an offline command sorts on disk"
    fix = f"ulimit -n {FILES_GOOD * 4}  (LimitNOFILE= in a systemd unit)"
    yield Finding("files", "FAIL" if soft < FILES_LEAST else "warn", told, means, fix)


def disk(_: Ground) -> Iterator[Finding]:
    """Space where embedded services keep their data, where downloads are kept, and where files are sorted."""
    places = {
        "LIFESTAGE_HOME": default_home(),
        "XDG_CACHE_HOME": caches()[0],
        "TMPDIR": Path(os.environ.get("TMPDIR") or TMP),
    }
    free = {}
    for what, place in places.items():
        there = next(path for path in (place.resolve(), *place.resolve().parents) if path.exists())
        free[what] = place, shutil.disk_usage(there).free
    yield judge_disk(free)


def judge_disk(free: Mapping[str, tuple[Path, int]]) -> Finding:
    """Whether there is room; `free` is bytes by the variable that names the folder. Pure."""
    what, (place, least) = min(free.items(), key=lambda one: one[1][1])
    if least >= DISK_GOOD:
        told = (f"{bytes_ / (1 << 30):.1f} GB in {name} ({folder})" for name, (folder, bytes_) in free.items())
        return Finding("disk", "ok", "free: " + ", ".join(told))
    means = "the embedded Kafka, downloads and offline commands stop when it is full"
    fix = f"make room in {place}, or set {what} to a folder of a larger disk"
    level: Level = "FAIL" if least < DISK_LEAST else "warn"
    return Finding("disk", level, f"{least >> 20} MB free in {what} ({place})", means, fix)


# -- versions ------------------------------------------------------------------------------------


def versions(_: Ground, lock: Path = LOCK) -> Iterator[Finding]:
    """Python and the libraries, against what is pinned; of three also the sources of what we replace."""
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_LEAST:
        yield Finding(
            "versions",
            "FAIL",
            f"Python {python}",
            "3.11 is the oldest that works",
            "install Python 3.11 and  make setup",
        )
    pinned = list(changes())
    for told in pinned:
        yield Finding("versions", "FAIL", told, "workers replace private parts of it and do not start", SETUP)
    locked = dict(wanted_versions(lock))
    others = [told for name, wanted in locked.items() if name not in VERSIONS and (told := differing(name, wanted))]
    if others:
        told = "; ".join(others[:4]) + (f"; and {len(others) - 4} more" if len(others) > 4 else "")
        yield Finding("versions", "warn", told, "tests have run with the pinned ones only", SETUP)
    if not pinned and not others:
        yield Finding("versions", "ok", f"Python {python}; {len(locked) or len(VERSIONS)} libraries as pinned")


def wanted_versions(lock: Path) -> Iterator[tuple[str, str]]:
    """Names and versions of a lock file, of this system; none when it is not there."""
    if not lock.is_file():
        return
    for line in lock.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(;[^\\]*)?", line)
        if found is not None and "win32" not in (found[3] or ""):
            yield found[1], found[2]


def differing(name: str, wanted: str) -> str:
    """How an installed library differs from a pinned one; empty when it does not."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    return "" if found == wanted else f"{name} is {found}, not {wanted}"
