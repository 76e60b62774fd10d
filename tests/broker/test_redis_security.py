"""TLS and a password on a real Redis: both clients get in, and every mistake is told in one line."""

from __future__ import annotations

import gc
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from config.settings import Redis, Settings
from streams.connections import UnreachableError, check_redis, redis_async, redis_client
from streams.embedded.process import free_ports
from streams.embedded.redis import EmbeddedRedis
from tests.certificates import Certificate, issue, make_authority

PASSWORD = "pa55-in-no-log"


class TlsInFront:
    """A TLS port in front of a plaintext server, as stunnel is: the wheel's Redis is built without TLS of its own."""

    def __init__(self, certificate: Certificate, target: tuple[str, int]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._server.accept()
            except OSError:
                return
            try:
                outside = self._context.wrap_socket(raw, server_side=True)
            except OSError:
                raw.close()
                continue
            inside = socket.create_connection(self._target)
            self._open += [outside, inside]
            for source, sink in ((outside, inside), (inside, outside)):
                thread = threading.Thread(target=self._copy, args=(source, sink))
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and hang up."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in self._open:
            end.close()


class Secured(NamedTuple):
    """A Redis that wants TLS and the password of a user that may use it: working settings, its URL, another authority."""

    settings: Settings
    url: str
    stranger: Certificate


@pytest.fixture
def secured(redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Secured]:
    """The shared Redis behind TLS, with a user of its own; the certificate is valid for 127.0.0.1 and for no name."""
    port = int(re.split(r"[:/]", redis_server.url)[4])
    authority = make_authority(tmp_path, "authority")
    with redis.Redis(port=port) as admin:
        admin.acl_setuser("ann", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
    front = TlsInFront(issue(tmp_path, "redis", authority, "IP:127.0.0.1"), ("127.0.0.1", port))
    settings = Settings(redis=Redis(ca_file=str(authority.cert)))
    url = f"rediss://ann:{PASSWORD}@127.0.0.1:{front.port}/0"
    yield Secured(settings, url, make_authority(tmp_path, "stranger"))
    front.close()
    with redis.Redis(port=port) as admin:
        admin.acl_deluser("ann")


async def test_redis_is_reached_over_tls_with_a_password(secured: Secured, topic_prefix: str) -> None:
    """Both clients get in as the user of the URL, and what one writes the other reads."""
    settings, url, _ = secured
    check_redis(settings, url)
    with redis_client(settings, url) as client:
        assert client.acl_whoami() in (b"ann", "ann")
        assert PASSWORD not in repr(client)
        client.set(topic_prefix, "hello")
    async with redis_async(settings, url) as other:
        assert await other.get(topic_prefix) == b"hello"
        await other.delete(topic_prefix)


def redis_problem(settings: Settings, url: str) -> str:
    """What `check_redis` says: one line, without the password."""
    with pytest.raises(UnreachableError) as told:
        check_redis(settings, url)
    assert "\n" not in str(told.value)
    assert PASSWORD not in str(told.value)
    return str(told.value)


# redis-py lets go of the socket of a failed TLS handshake without closing it.
def test_each_mistake_with_redis_is_told(secured: Secured, redis_server: EmbeddedRedis) -> None:
    """Wrong password, user, authority, host name, protocol and address: one line each, with the setting to correct."""
    settings, url, stranger = secured
    address = url.rpartition("@")[2].removesuffix("/0")
    for wrong in (url.replace(PASSWORD, "wrong"), url.replace("ann:", "bob:")):
        told = redis_problem(settings, wrong)
        assert told.startswith(f"Redis at {address}: wrong user name or password")
    untrusting = Settings(redis=Redis(ca_file=str(stranger.cert)))
    assert "set redis.ca_file" in redis_problem(untrusting, url)
    assert "not for 'localhost'" in redis_problem(settings, url.replace("127.0.0.1", "localhost"))
    assert "TLS" in redis_problem(settings, url.replace("rediss:", "redis:"))
    assert "does the port speak TLS?" in redis_problem(settings, redis_server.url.replace("redis:", "rediss:"))
    assert "refused" in redis_problem(settings, f"redis://127.0.0.1:{free_ports(1)[0]}")
    assert "is unknown" in redis_problem(settings, "redis://no-such-host.invalid")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quick = Settings(redis=Redis(timeout_s=0.2))
        assert "timed out" in redis_problem(quick, f"redis://127.0.0.1:{silent.getsockname()[1]}")
    gc.collect()
