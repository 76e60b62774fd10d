"""One real Kafka, or three that hold every record twice over, to be stopped, killed and started again on their data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from streams.embedded.java import find_java, kafka_jars
from streams.embedded.kafka import KafkaServer, new_cluster_id
from tests.chaos.proxy import Counts, Kind, Proxy

READY_S = 180.0
"""A broker is ready after 3 s on a quiet machine; three at once on two busy cores take ten times that."""
HEAP_MB = 320
OF_THREE = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


class Lane:
    """A way to the cluster that leads through proxies, one a broker: what happens to it happens to all of them."""

    def __init__(self, name: str, proxies: Sequence[Proxy]) -> None:
        self.name, self._proxies = name, proxies
        self.bootstrap = ",".join(proxy.address for proxy in proxies)
        """What a client is given that is to take this way."""
        self._before = [proxy.snapshot() for proxy in proxies]

    def fault(self, kind: Kind) -> None:
        """Let a fault begin."""
        self._before = [proxy.snapshot() for proxy in self._proxies]
        for proxy in self._proxies:
            proxy.fault(kind)

    def restore(self) -> None:
        """Let it end."""
        for proxy in self._proxies:
            proxy.restore()

    def done(self) -> Counts:
        """What was done to connections since the last fault began."""
        each = [proxy.snapshot().since(before) for proxy, before in zip(self._proxies, self._before, strict=True)]
        return Counts(**{name: sum(getattr(counts, name) for counts in each) for name in vars(Counts())})


class Cluster:
    """Brokers, each a controller too, on 127.0.0.1; running from `with` to its end."""

    def __init__(self, home: Path, count: int = 1, lanes: Sequence[str] = (), seed: int = 0) -> None:
        """`count` brokers, with a listener for each of `lanes` (any names) that is advertised as its proxy."""
        java, cluster_id = find_java(), new_cluster_id()
        jars = kafka_jars(java, print)
        listeners = [lane.upper() for lane in lanes]
        self.nodes = [
            KafkaServer(
                home / f"broker-{number}", java, jars,
                keep_data=True, heap_mb=HEAP_MB, listeners=listeners, cluster_id=cluster_id,
            )
            for number in range(1, count + 1)
        ]  # fmt: skip
        self._proxies = {
            listener: [Proxy(node.address(listener), seed + at) for at, node in enumerate(self.nodes)]
            for listener in listeners
        }
        self.lanes = {lane: Lane(lane, self._proxies[lane.upper()]) for lane in lanes}
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)
        """The way past all proxies: for the tests' own loads and readers."""
        for number, node in enumerate(self.nodes, 1):
            node.extra |= (OF_THREE if count > 1 else {}) | self._places(number, node)

    def _places(self, number: int, node: KafkaServer) -> dict[str, str]:
        """Who this node is, where the others are, and what each listener says it is reached at."""
        advertised = {"PLAINTEXT": node.bootstrap}
        advertised |= {listener: proxies[number - 1].address for listener, proxies in self._proxies.items()}
        voters = [f"{at}@{other.address('CONTROLLER')}" for at, other in enumerate(self.nodes, 1)]
        return {
            "node.id": str(number),
            "controller.quorum.voters": ",".join(voters),
            "advertised.listeners": ",".join(f"{name}://{address}" for name, address in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in ("CONTROLLER", *advertised)),
        }

    def start(self) -> None:
        """Start every broker that does not run; returns when all serve and every copy is in sync."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:  # none is ready before most of them are there
            for started in [pool.submit(node.start_again, READY_S) for node in self.nodes]:
                started.result()
        self.wait_in_sync()

    def wait_in_sync(self, timeout_s: float = READY_S) -> None:
        """Return when every partition has a leader and all of its copies in sync: one more broker may then be lost."""
        deadline = time.monotonic() + timeout_s
        while True:
            lagging = self._lagging()
            if not lagging:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in sync after {timeout_s:.0f} s: {lagging[:5]}")
            time.sleep(0.25)

    def _lagging(self) -> list[str]:
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=10_000)
            try:
                topics = admin.describe_topics()
            finally:
                admin.close()
        except kafka_errors.KafkaError as error:
            return [f"no answer: {error}"]
        return [
            f"{topic['name']}[{partition['partition_index']}]"
            for topic in topics
            for partition in topic["partitions"]
            if partition["leader_id"] < 0 or len(partition["isr_nodes"]) < len(partition["replica_nodes"])
        ]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all of it. The brokers are killed: nobody reads their data again, and an orderly stop takes seconds."""
        for node in self.nodes:
            node.kill()
            node.stop()
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.close()
