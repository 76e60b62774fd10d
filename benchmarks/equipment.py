"""What the peers run with: an environment of its own for each, from a lock with hashes; jars, and what is compiled of ours.

Made on first use in the user's cache, never in `.venv`: there is nothing of a peer in the product.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from streams.embedded.java import KAFKA_VERSION, Jars, caches, fetched_jars, find_java
from streams.embedded.process import Claim, ServiceError

PEERS = Path(__file__).parent / "peers"
STREAMS = Jars(PEERS / "streams-pom.xml", f"streams-{KAFKA_VERSION}", f"Kafka Streams {KAFKA_VERSION}", 110)
SUMS = PEERS / "streams-jars.sha256"
JAVAC = ("-m", "jdk.compiler/com.sun.tools.javac.Main")
JDK = "apt-get install openjdk-17-jdk-headless"

Say = Callable[[str], None]


def python_of(peer: str, say: Say) -> Path:
    """The interpreter of a peer's own environment, which holds what `peers/PEER.lock` names and nothing else.

    Raises `ServiceError` with pip's last words when that cannot be installed.
    """
    lock = PEERS / f"{peer}.lock"
    digest = sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = caches()[0] / f"peer-{peer}-{digest}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.is_file():
        return python
    with Claim(home.parent, "A download", wait=True):
        if not ready.is_file():
            say(f"{peer}: making an environment of its own, once (kept in {home})")
            shutil.rmtree(home, ignore_errors=True)
            _do([sys.executable, "-m", "venv", str(home)], f"{peer}'s environment")
            install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
            _do([str(python), "-m", "pip", *install], f"{peer}'s packages")
            ready.touch()
    return python


def streams_command(main: str, heap_mb: int, say: Say) -> list[str]:
    """How to run a Kafka Streams program of `peers/`. Raises `ServiceError` when jars or a compiler cannot be had."""
    java = find_java()
    jars = fetched_jars(STREAMS, java, say)
    found = _checked(jars)
    source = PEERS / f"{main}.java"
    classes = jars.parent / f"streams-classes-{sha256(source.read_bytes() + SUMS.read_bytes()).hexdigest()[:12]}"
    path = os.pathsep.join(str(jar) for jar in found)
    if not (classes / f"{main}.class").is_file():
        modules = subprocess.run([java.program, "--list-modules"], capture_output=True, text=True, check=True).stdout
        if "jdk.compiler" not in modules:
            raise ServiceError(f"{java.program} has no compiler, and Kafka Streams is Java: `{JDK}`")
        _do(
            [str(java.program), *JAVAC, "--release", "17", "-cp", path, "-d", str(classes), str(source)], f"{main}.java"
        )
    options = [f"-Xmx{heap_mb}m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return [str(java.program), *options, "-cp", f"{classes}{os.pathsep}{path}", main]


def _checked(jars: Path) -> list[Path]:
    """The jars, each with the hash that is written down, and no others."""
    wanted = {name: digest for digest, name in (line.split() for line in SUMS.read_text(encoding="utf-8").splitlines())}
    found = sorted(jars.glob("*.jar"))
    wrong = [jar.name for jar in found if wanted.get(jar.name) != sha256(jar.read_bytes()).hexdigest()]
    wrong += sorted({*wanted} - {jar.name for jar in found})
    if wrong:
        raise ServiceError(f"{jars}: {', '.join(wrong)} is not what {SUMS.name} says; remove that folder")
    return found


def _do(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ServiceError(f"{what} cannot be made: {' / '.join(words)}")
