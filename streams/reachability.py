"""Why an address cannot be reached, in one line that names the address, what failed and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis
from aiokafka import errors as kafka_errors
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

FAILURES = (kafka_errors.KafkaError, OSError, EOFError)
"""What one attempt can meet: Kafka's refusals, the network's and TLS's (`OSError`), a hang-up in the middle (`EOFError`)."""

GOODBYE_S = 0.2
_QUIET: dict[str, tuple[int, int]] = {}
"""Of loggers that are quiet now the level before, and how often that was asked for."""
_QUIET_LOCK = threading.Lock()


class UnreachableError(ConnectionError):
    """Kafka or Redis cannot be used. The message is one line: the address, what failed, what to do."""


def check_kafka_with(options: dict[str, Any], bootstrap: str, seconds: float) -> frozenset[int]:
    """The numbers of the calls that Kafka knows, from the first bootstrap server that can be used.

    Raises `UnreachableError` when there is none, or when none of the brokers that it names can be used.
    `options` are those of an aiokafka client; `seconds` is the limit for each address.
    """
    with quiet("aiokafka"):
        return asyncio.run(_check_kafka({**options, "request_timeout_ms": int(seconds * 1000)}, bootstrap))


async def _check_kafka(options: dict[str, Any], bootstrap: str) -> frozenset[int]:
    problems: list[str] = []
    for server in filter(None, (part.strip() for part in bootstrap.split(","))):
        host, port = host_and_port(server)
        try:
            brokers, calls = await ask_kafka(host, port, options)
        except FAILURES as error:
            problems.append(f"Kafka at {server}: {kafka_problem(error, host, options)}")
            continue
        await _check_advertised(server, brokers, options)
        return calls
    raise UnreachableError("; ".join(problems) or "no Kafka address given: set kafka.bootstrap to host:port")


async def _check_advertised(server: str, brokers: list[tuple[str, int]], options: dict[str, Any]) -> None:
    problems: list[str] = []
    for host, port in brokers:
        try:
            await ask_kafka(host, port, options)
        except FAILURES as error:
            problems.append(f"{host}:{port}: {kafka_problem(error, host, options)}")
        else:
            return
    named = "; ".join(problems) or "no broker at all"
    raise UnreachableError(
        f"Kafka at {server} answers, but the address it tells clients to use does not work from here ({named}): "
        "correct advertised.listeners of the broker"
    )


async def ask_kafka(host: str, port: int, options: dict[str, Any]) -> tuple[list[tuple[str, int]], frozenset[int]]:
    """The cluster's brokers as one server names them, and the numbers of the calls it knows."""
    limit = options["request_timeout_ms"] / 1000
    connection = AIOKafkaConnection(host, port, **options)
    try:
        async with asyncio.timeout(limit):
            await connection.connect()
            answer = await connection.send(MetadataRequest([]))
            brokers = [(str(broker[1]), int(broker[2])) for broker in answer.brokers]
            versions = await connection.send(ApiVersionRequest())
            return brokers, frozenset(int(call[0]) for call in versions.api_versions)
    finally:
        # TLS says goodbye in both directions; a future of a connection that never came about is never done.
        await asyncio.wait([connection.close()], timeout=GOODBYE_S)


def host_and_port(server: str) -> tuple[str, int]:
    """The two parts of an address. Raises `UnreachableError` for what is none."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdigit():
        raise UnreachableError(f"Kafka at {server}: not host:port: correct kafka.bootstrap")
    return host.strip("[]"), int(port)


def kafka_problem(error: BaseException, host: str, options: dict[str, Any]) -> str:
    """Why one attempt failed, and what to do, in words for a person."""
    security, mechanism = options["security_protocol"], options.get("sasl_mechanism")
    if isinstance(error, kafka_errors.UnsupportedSaslMechanismError):
        return f"the broker does not offer {mechanism}: set kafka.mechanism to one that it offers"
    if isinstance(error, kafka_errors.SaslAuthenticationFailed):
        return (
            f"wrong user name or password ({mechanism}, user {options['sasl_plain_username']!r}): "
            "correct kafka.username and kafka.password"
        )
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return f"the listener asks for no password: set kafka.security to {security.removeprefix('SASL_')}"
    general = _network_problem(error, host, "kafka.bootstrap", "kafka.ca_file")
    if general is not None:
        return general
    if "SSL" in security and not isinstance(error, kafka_errors.KafkaError):
        return (
            f"hung up during the TLS handshake ({_short(error)}): the port may not speak TLS, correct kafka.bootstrap"
        )
    if "SSL" in security:
        return f"the connection was dropped after the TLS handshake ({_short(error)}): {_after_tls(security)}"
    return (
        f"the listener hung up ({_short(error)}): it probably expects TLS or a password; "
        f"kafka.security is {security}, set it to SSL or SASL_SSL"
    )


def _after_tls(security: str) -> str:
    if security == "SSL":
        return "it may want a client certificate (kafka.cert_file, kafka.key_file) or a password (kafka.security)"
    return "it may ask for no password: try kafka.security = SSL"


def _network_problem(error: BaseException, host: str, address: str, authority: str) -> str | None:
    """What every client's connection can meet; None when the cause is none of it. `address` is a setting's name."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return f"the name {host!r} is unknown: correct {address}, or the name service"
        if isinstance(cause, ssl.SSLCertVerificationError):
            if "ostname mismatch" in str(cause) or "IP address mismatch" in str(cause):
                return (
                    f"TLS handshake failed, the server's certificate is not for {host!r}: "
                    f"put a name that is in the certificate into {address}"
                )
            return (
                f"TLS handshake failed, the server's certificate is not trusted ({cause.verify_message}): "
                f"set {authority} to the certificate of the authority that signed it"
            )
        if isinstance(cause, ssl.SSLError):
            return f"TLS handshake failed ({_short(cause)}): {_tls_advice(cause, address)}"
        if isinstance(cause, ConnectionRefusedError):
            return f"refused, nothing listens there: start it, or correct {address}"
        if isinstance(cause, TimeoutError | redis.exceptions.TimeoutError):
            return f"timed out: is {address} right, does a firewall drop the packets, does the port speak TLS?"
    return None


def _tls_advice(cause: ssl.SSLError, address: str) -> str:
    told = str(cause).lower().replace("_", " ")
    if address.startswith("kafka") and "alert" in told and ("certificate" in told or "unknown ca" in told):
        return (
            "the server asks for a client certificate that it trusts: set kafka.cert_file and kafka.key_file to one "
            "signed by its authority"
        )
    return f"the port may not speak TLS: correct the port in {address}, or use plaintext on a trusted network"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _short(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


def check_redis_with(client: redis.Redis, url: str) -> None:
    """Raise `UnreachableError` unless the server behind `client` answers a ping. `url` may hold a password."""
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or 6379}"
    try:
        client.ping()
    except (redis.exceptions.RedisError, OSError) as error:
        raise UnreachableError(f"Redis at {address}: {_redis_problem(error, str(parts.hostname))}") from None


def _redis_problem(error: BaseException, host: str) -> str:
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"the user may not do this ({_short(error)}): give it the rights of the read model"
    if isinstance(error, redis.exceptions.AuthenticationError):
        return f"wrong user name or password, or none given ({_short(error)}): correct redis.url, redis://user:password@host"
    general = _network_problem(error, host, "redis.url", "redis.ca_file")
    return general or f"{_short(error)}: is it Redis, and does the port speak TLS (rediss://) or not (redis://)?"


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """The client's own log lines repeat the problem in worse words, or stand between lines that are read; "" is all clients.

    Of several at a time, in threads or in one another, the last that ends brings the level back that was there before all.
    """
    logger = logging.getLogger(name)
    with _QUIET_LOCK:
        before, asked = _QUIET.get(name, (logger.level, 0))
        _QUIET[name] = before, asked + 1
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _QUIET_LOCK:
            before, asked = _QUIET.pop(name)
            if asked > 1:
                _QUIET[name] = before, asked - 1
            else:
                logger.setLevel(before)
