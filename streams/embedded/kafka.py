"""A real Apache Kafka on this machine, from jars and a Java of any make; or, plainly said, less than that."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from streams.embedded.java import KAFKA_VERSION, Java, find_java, kafka_jars
from streams.embedded.process import Child, Claim, ServiceError, free_ports

LOG4J = Path(__file__).with_name("kafka-log4j2.properties")
READY_S = 60.0
STOP_S = 20.0

# One node, one user: nothing to replicate to, nobody to wait for, old event times welcome.
SINGLE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # After kill -9 the broker may register again only when its old session is over; 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # The event times of a replay are decades old: neither refused nor, unless a topic says so, thrown away.
    "log.message.timestamp.before.max.ms": str(2**63 - 1),
    "log.message.timestamp.after.max.ms": str(2**63 - 1),
    "log.retention.ms": "-1",
    "log.segment.delete.delay.ms": "1000",
    # 32 MB hold 1.4 million keys a compaction; the default 128 MB would be a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
}


class EmbeddedKafka(Protocol):
    """A broker that this process started."""

    @property
    def bootstrap(self) -> str:
        """Its plaintext address, `127.0.0.1:PORT`."""

    @property
    def description(self) -> str:
        """What it is, in words for a person."""

    @property
    def durable(self) -> bool:
        """Whether an acknowledged record survives the broker's end."""

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs as a process of its own."""

    def stop(self) -> None:
        """Stop it in an orderly way; does nothing the second time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class KafkaServer:
    """A real Kafka: broker and controller in one Java process, on 127.0.0.1 only, its files in `home`/kafka."""

    durable = True

    def __init__(
        self,
        home: Path,
        java: Java,
        jars: Path,
        *,
        keep_data: bool = False,
        heap_mb: int = 512,
        port: int | None = None,
        listeners: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
        cluster_id: str = "",
    ) -> None:
        """Prepare a server; nothing runs before `start_again`. For the arguments see `start_kafka_server`.

        Servers of one cluster have one `cluster_id`, and in `extra` ids of their own and each other's addresses.
        """
        self.home = home / "kafka"
        self._data, self._owner = self.home / "data", os.getpid()
        self._java, self._jars, self._keep_data = java, jars, keep_data
        names = ["CONTROLLER", "PLAINTEXT", *listeners]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        if port is not None:
            self._ports["PLAINTEXT"] = port
        self.extra = dict(extra or {})
        """Server properties that win over ours, as of the next start."""
        self._cluster_id = cluster_id or new_cluster_id()
        # Of the cores that it shares with the workers this takes least: 0.3 to 0.9 s of CPU for 400,000 records where
        # the JVM's own choice took 0.8 to 2.0 s, at no lower rate, and it is ready half a second earlier.
        self._options = [f"-Xms{min(heap_mb, 128)}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._claim: Claim | None = None
        self._child: Child | None = None
        self.description = f"Apache Kafka {KAFKA_VERSION} (KRaft, Java {java.version})"

    @property
    def bootstrap(self) -> str:
        """Its plaintext address, `127.0.0.1:PORT`."""
        return self.address("PLAINTEXT")

    def address(self, listener: str) -> str:
        """`127.0.0.1:PORT` of a listener, such as "SASL_SSL"."""
        return f"127.0.0.1:{self._ports[listener]}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child and self._child.returncode is None else None

    def start_again(self, within_s: float = READY_S) -> None:
        """Start on the same ports with what data there is; returns when it serves. Raises `ServiceError`."""
        if self.pid is not None:
            return
        self._claim = self._claim or Claim(self.home, "Kafka")
        properties = self.home / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        if not (self._data / "meta.properties").is_file():
            self._format(properties)
        self._child = Child(self._command("kafka.Kafka", str(properties)), self.home / "server.log")
        atexit.register(self.stop)
        self._child.wait_until(self._says_ready, "Kafka", within_s)

    def kill(self) -> None:
        """Kill it where it stands (SIGKILL); its data stay for `start_again`."""
        if self._child:
            self._child.kill()

    def stop(self) -> None:
        """Stop in an orderly way, and remove the data unless they are to be kept; does nothing the second time."""
        if os.getpid() != self._owner:  # a fork of us that ends is not our end
            return
        atexit.unregister(self.stop)
        if self._child:
            self._child.stop(STOP_S)
        if self._claim:
            if not self._keep_data:
                self.clear()
            self._claim.release()
            self._claim = None

    def clear(self) -> None:
        """Remove the data of a server that does not run."""
        shutil.rmtree(self._data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _properties(self) -> dict[str, str]:
        """The server's settings; `extra` has the last word."""
        names = [name for name in self._ports if name != "CONTROLLER"]
        protocols = {"CONTROLLER": "PLAINTEXT"} | {name: name for name in names}
        return {
            **SINGLE_NODE,
            "log.dirs": str(self._data),
            "controller.quorum.voters": f"1@{self.address('CONTROLLER')}",
            "listeners": ",".join(f"{name}://{self.address(name)}" for name in self._ports),
            "advertised.listeners": ",".join(f"{name}://{self.address(name)}" for name in names),
            "listener.security.protocol.map": ",".join(f"{name}:{to}" for name, to in protocols.items()),
            **self.extra,
        }

    def _command(self, main: str, *arguments: str) -> list[str]:
        options = [*self._options, "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={LOG4J}"]
        return [str(self._java.program), *options, "-cp", f"{self._jars}/*", main, *arguments]

    def _format(self, properties: Path) -> None:
        """Give empty data directories their identity, as Kafka wants it before the first start."""
        words = ("format", "-t", self._cluster_id, "-c", str(properties))
        command = self._command("kafka.tools.StorageTool", *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ServiceError(f"Kafka could not prepare {self._data}: {(done.stderr or done.stdout).strip()}")

    def _says_ready(self) -> bool:
        # Printed once the broker is registered and unfenced. A listener that accepts says less: it opens before that.
        return self._child is not None and "Kafka Server started" in self._child.printed()


def new_cluster_id() -> str:
    """An identity for a cluster that is to be."""
    made = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # Kafka's own tool takes a leading dash for an option.
    return made.replace("-", "A", 1) if made.startswith("-") else made


def start_kafka_server(
    home: Path,
    *,
    say: Callable[[str], None],
    keep_data: bool = False,
    heap_mb: int = 512,
    port: int | None = None,
    listeners: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
) -> KafkaServer:
    """Start a real Kafka and return when it serves.

    `home` gets its files; without `keep_data` it starts empty and its data go at `stop`. `listeners` adds listeners
    beside PLAINTEXT, each named after its protocol ("SSL", "SASL_SSL"), on free ports; `extra` are server properties
    that win over ours. `say` gets a line at a time, only while something is downloaded.
    Raises `ServiceError` without Java 17 or newer, without jars and the Maven to fetch them, or if it does not start.
    """
    java = find_java()
    server = KafkaServer(
        home, java, kafka_jars(java, say),
        keep_data=keep_data, heap_mb=heap_mb, port=port, listeners=listeners, extra=extra,
    )  # fmt: skip
    if not keep_data:
        with Claim(server.home, "Kafka"):
            server.clear()
    try:
        server.start_again()
    except BaseException:
        server.stop()
        raise
    return server


def start_kafka(
    home: Path, *, say: Callable[[str], None], keep_data: bool = False, heap_mb: int = 512, port: int | None = None
) -> EmbeddedKafka:
    """Start the best broker that this machine can have: a real Kafka, else one in memory that keeps nothing.

    Arguments as for `start_kafka_server`; `say` also hears why it is not the real one.
    Raises `ServiceError` when there is neither, or when the real one is there and does not start.
    """
    try:
        java = find_java()
        kafka_jars(java, say)
    except ServiceError as lacking:
        from streams.embedded.kafka_memory import start_kafka_in_memory

        say(f"no real Kafka: {lacking}")
        return start_kafka_in_memory()
    return start_kafka_server(home, say=say, keep_data=keep_data, heap_mb=heap_mb, port=port)
