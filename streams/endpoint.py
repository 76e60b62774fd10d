"""The HTTP port of a worker: /metrics, /livez and /readyz, from the start of the process and during recovery.

It runs in threads of its own, so that a worker whose event loop hangs still says so.
"""

from __future__ import annotations

import errno
import http.server
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry

from config.errors import SettingsError
from streams.exposition import Pages

log = logging.getLogger(__name__)

ALIVE_WITHIN_S: Final = 30.0
"""The longest pause of a healthy event loop is a garbage collection or a slice of recovery, far below 1 s."""
REQUESTS_MAX: Final = 16
"""Requests served at a time: Prometheus, two probes and a person. More are closed, not queued, and hold no thread."""
REQUEST_S: Final = 10.0
TEXT: Final = "text/plain; charset=utf-8"


class Endpoint:
    """Serves one registry. Bound by the constructor, so that `port` is known at once; `start` answers.

    `port` 0 takes a free one. `ready()` says whether the worker processes what comes in, and if not, why; it is called
    from a thread. Raises `SettingsError` when the address cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        ready: Callable[[], tuple[bool, str]],
        alive_within_s: float = ALIVE_WITHIN_S,
    ) -> None:
        self.registry, self.ready = registry, ready
        self._pages = Pages(registry)
        self.host = host
        self._alive_within_s = alive_within_s
        self._beaten = time.monotonic()
        self._server = _bind(host, port, self)
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is reached from this machine, without a path."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and give the port back."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def beat(self) -> None:
        """Say that the event loop turns. To be called from it every few seconds."""
        self._beaten = time.monotonic()

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        match path:
            case "/metrics":
                return 200, *self._pages.page(accept)
            case "/livez":
                still = time.monotonic() - self._beaten
                if still > self._alive_within_s:
                    return 503, TEXT, f"the event loop has not turned for {still:.0f} s\n".encode()
                return 200, TEXT, b"alive\n"
            case "/readyz":
                ready, reason = self.ready()
                return (200, TEXT, b"ready\n") if ready else (503, TEXT, f"{reason or 'not ready'}\n".encode())
            case _:
                return 404, TEXT, b"there are /metrics, /livez and /readyz\n"


def _bind(host: str, port: int, endpoint: Endpoint) -> _Server:
    try:
        return _Server(host, port, endpoint)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"metrics.port = {port}: another process listens on {host}:{port}; each worker needs a port of its own: "
                "give another, or 0 for a free one"
            ) from None
        raise SettingsError(
            f"metrics.host = {host!r}, metrics.port = {port}: cannot listen there ({error.strerror}); "
            "give an address of this machine, such as 127.0.0.1, and a port above 1023"
        ) from None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 4 * REQUESTS_MAX  # beyond it the kernel drops, and the client asks again 1 s later

    def __init__(self, host: str, port: int, endpoint: Endpoint) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.endpoint = endpoint
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was to be had
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_S

    def _answer(self) -> None:
        try:
            status, content_type, body = self.server.endpoint.answer(
                self.path.partition("?")[0], self.headers.get("Accept", "")
            )
        except Exception:
            log.exception("metrics: %s failed", self.path.partition("?")[0])
            status, content_type, body = 500, TEXT, b"failed; the log of the worker says why\n"
        self._send(status, content_type, body)

    def _refuse(self) -> None:
        self._send(405, TEXT, b"GET or HEAD only\n", ("Allow", "GET, HEAD"))

    def _send(self, status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"), *headers,
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = _answer  # noqa: N815  # named by the standard library
    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _refuse  # noqa: N815

    def version_string(self) -> str:
        """Tell no versions to strangers."""
        return "lifestage"

    def log_message(self, *_: Any) -> None:
        """A scrape every few seconds is no news."""
