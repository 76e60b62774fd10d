"""The port of a worker: what it serves, what it refuses, and where it listens."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from config.errors import SettingsError
from config.settings import Settings
from streams.endpoint import REQUESTS_MAX, Endpoint
from tests.http import ask


@pytest.fixture
def registry() -> CollectorRegistry:
    """Something to serve."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


@pytest.fixture
def endpoint(registry: CollectorRegistry) -> Iterator[Endpoint]:
    """The port of a worker that recovers."""
    served = Endpoint("127.0.0.1", 0, registry, lambda: (False, "recovering 42 %"), alive_within_s=0.5)
    served.start()
    yield served
    served.stop()


def test_livez_fails_once_the_event_loop_stands_still(endpoint: Endpoint) -> None:
    """200 within the limit after a beat, 503 with the reason beyond it, 200 again with the next beat."""
    endpoint.beat()
    assert ask(endpoint, "/livez")[:2] == (200, "alive\n")
    time.sleep(0.6)
    status, body, _ = ask(endpoint, "/livez")
    assert (status, body) == (503, "the event loop has not turned for 1 s\n")
    endpoint.beat()
    assert ask(endpoint, "/livez")[0] == 200


def test_readyz_says_why_not(endpoint: Endpoint) -> None:
    """503 with the reason while the worker recovers, 200 when it does not."""
    assert ask(endpoint, "/readyz")[:2] == (503, "recovering 42 %\n")
    endpoint.ready = lambda: (True, "")
    assert ask(endpoint, "/readyz?verbose=1")[:2] == (200, "ready\n")


def test_nothing_else_is_served(endpoint: Endpoint) -> None:
    """Other paths are 404, other methods 405, HEAD has headers and no body, and no version of anything is told."""
    assert [ask(endpoint, path)[0] for path in ("/", "/metrics/", "/../etc/passwd", "/-/reload")] == [404] * 4
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, _, headers = ask(endpoint, "/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, body, headers = ask(endpoint, "/metrics", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 500
    assert headers["Server"] == "lifestage"


def test_idle_connections_take_no_more_than_their_places(endpoint: Endpoint) -> None:
    """Connections that say nothing are limited in number, and when they are gone scrapes are served again."""
    idle = [socket.create_connection(("127.0.0.1", endpoint.port), 5) for _ in range(REQUESTS_MAX * 2)]
    until = time.monotonic() + 5
    while sum(thread.name.startswith("Thread") for thread in threading.enumerate()) < REQUESTS_MAX:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert sum("process_request_thread" in thread.name for thread in threading.enumerate()) <= REQUESTS_MAX
    for connection in idle:
        connection.close()
    while True:
        try:
            assert ask(endpoint, "/metrics")[0] == 200
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_nothing_listens_beyond_this_machine_by_default(registry: CollectorRegistry) -> None:
    """With the default settings (but for a free port) the socket is bound to 127.0.0.1 and not to all addresses."""
    endpoint = Endpoint(Settings().metrics.host, 0, registry, lambda: (True, ""))
    try:
        assert endpoint._server.socket.getsockname() == ("127.0.0.1", endpoint.port)
        assert endpoint.url == f"http://127.0.0.1:{endpoint.port}"
    finally:
        endpoint.stop()


def test_a_taken_port_is_refused_with_what_to_do(endpoint: Endpoint, registry: CollectorRegistry) -> None:
    """Two workers on one machine with one port: the second says which setting, which address, and what to give."""
    with pytest.raises(
        SettingsError, match=rf"metrics\.port = {endpoint.port}: .*127\.0\.0\.1:{endpoint.port}.* 0 for"
    ):
        Endpoint("127.0.0.1", endpoint.port, registry, lambda: (True, ""))
    with pytest.raises(SettingsError, match=r"metrics\.host = '192\.0\.2\.1'"):
        Endpoint("192.0.2.1", 0, registry, lambda: (True, ""))


def test_a_stopped_endpoint_gives_its_port_back(registry: CollectorRegistry) -> None:
    """A worker that stops and one that starts may have the same port."""
    port = 0
    for _ in range(3):
        endpoint = Endpoint("127.0.0.1", port, registry, lambda: (True, ""))
        endpoint.start()
        assert ask(endpoint, "/livez")[0] == 200
        endpoint.stop()
        port = port or endpoint.port
        assert endpoint.port == port
