"""How each client reaches Kafka and Redis, from the settings: TLS, SASL, timeouts, and what to say when it cannot.

All three Kafka clients get the same `ssl.SSLContext`, so that a certificate one of them refuses is refused by all.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.errors import SettingsError
from config.settings import Settings
from streams.reachability import UnreachableError, check_kafka_with, check_redis_with

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

__all__ = [
    "Reached",
    "UnreachableError",
    "aiokafka",
    "check_kafka",
    "check_redis",
    "faust_credentials",
    "kafka_python",
    "reach_kafka",
    "redis_async",
    "redis_client",
    "tls_context",
]

CLIENT_ID = "lifestage"
CREATE_TOPICS = 19
"""The number of the call in Kafka's protocol."""


class Secret(str):
    """A password that shows itself to the wire only: clients log their whole configuration at level DEBUG."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS side of Kafka's connections: None for the plaintext protocols.

    TLS 1.2 or newer; the broker's certificate and host name are always checked. Without `kafka.ca_file` the system's
    authorities are trusted. Raises `SettingsError` when a certificate or key file cannot be used.
    """
    kafka = settings.kafka
    if kafka.security not in ("SSL", "SASL_SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"kafka.ca_file = {kafka.ca_file!r}: no certificate in PEM form ({_reason(error)})"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if kafka.cert_file:
        try:
            # An encrypted key would make OpenSSL ask at the terminal; an empty password makes it an error instead.
            context.load_cert_chain(kafka.cert_file, kafka.key_file, password=lambda: b"")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"kafka.cert_file = {kafka.cert_file!r}, kafka.key_file = {kafka.key_file!r}: not a certificate with "
                f"its own unencrypted key, both in PEM form ({_reason(error)})"
            ) from None
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


def _security(settings: Settings) -> dict[str, Any]:
    kafka = settings.kafka
    given: dict[str, Any] = {"security_protocol": kafka.security}
    context = tls_context(settings)
    if context is not None:
        given["ssl_context"] = context
    if kafka.security.startswith("SASL"):
        given |= {
            "sasl_mechanism": kafka.mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": Secret(kafka.password),
        }
    return given


def kafka_python(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for `KafkaProducer`, `KafkaConsumer` and `KafkaAdminClient`; `bootstrap_servers` is yours.

    Raises `SettingsError` for an unusable certificate or key file.
    """
    # KafkaConsumer refuses a request timeout outside 0.5 s (its fetch wait) to 540 s (its idle limit).
    milliseconds = int(min(max(settings.kafka.request_timeout_s, 1.0), 500.0) * 1000)
    return {
        "client_id": CLIENT_ID,
        "request_timeout_ms": milliseconds,
        "bootstrap_timeout_ms": milliseconds,
        **_security(settings),
    }


def aiokafka(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's producer, consumer and admin client.

    `bootstrap_servers` and timeouts are yours. Raises `SettingsError` for an unusable certificate or key file.
    """
    return {"client_id": CLIENT_ID, **_security(settings)}


def faust_credentials(settings: Settings) -> CredentialsT | None:
    """What Faust's app takes as `broker_credentials`: None for plaintext without a password.

    Raises `SettingsError` for an unusable certificate or key file.
    """
    from faust.auth import SASLCredentials, SSLCredentials  # half a second of imports that most commands do not need

    kafka, context = settings.kafka, tls_context(settings)
    if kafka.security == "PLAINTEXT":
        return None
    credentials: CredentialsT
    if kafka.security == "SSL":
        credentials = SSLCredentials(context)
    else:
        credentials = SASLCredentials(
            username=kafka.username,
            password=Secret(kafka.password),
            ssl_context=context,
            mechanism=kafka.mechanism,
        )
    # Faust takes a missing TLS context for SASL_PLAINTEXT, which would send the password in the clear.
    if credentials.protocol.value != kafka.security:
        raise RuntimeError(f"kafka.security = {kafka.security} would become {credentials.protocol.value} in Faust")
    return credentials


def _redis_options(settings: Settings, url: str) -> dict[str, Any]:
    timeout = settings.redis.timeout_s
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 30,
        "client_name": CLIENT_ID,
    }
    if url.startswith("rediss:"):
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if settings.redis.ca_file:
            options["ssl_ca_certs"] = settings.redis.ca_file
    return options


def redis_client(settings: Settings, url: str) -> redis.Redis:
    """A client of the read model. Nothing is connected yet; every call ends within `redis.timeout_s`, tried twice.

    Twice, because the first call after a restart of the server meets a pooled connection that is gone.
    """
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), **_redis_options(settings, url))


def redis_async(settings: Settings, url: str) -> redis.asyncio.Redis:
    """`redis_client` for asyncio."""
    return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 1), **_redis_options(settings, url))


def check_kafka(settings: Settings, bootstrap: str) -> None:
    """Connect, authenticate and read the cluster's addresses once, or raise `UnreachableError`.

    `bootstrap` is `host:port[,host:port…]`; one that works is enough. Blocks for at most 10 s an address, and
    runs an event loop of its own: from async code call it with `asyncio.to_thread`.
    """
    _known_calls(settings, bootstrap)


def _known_calls(settings: Settings, bootstrap: str) -> frozenset[int]:
    return check_kafka_with(aiokafka(settings), bootstrap, seconds=min(settings.kafka.request_timeout_s, 10.0))


class Reached(NamedTuple):
    """A Kafka that answered: what kafka-python's clients take to reach it, and whether it makes topics on demand."""

    options: dict[str, Any]
    creates_topics: bool


def reach_kafka(settings: Settings, bootstrap: str) -> Reached:
    """`check_kafka`, then `kafka_python` with `bootstrap_servers` for exactly this cluster. Raises as `check_kafka`."""
    creates_topics = CREATE_TOPICS in _known_calls(settings, bootstrap)
    options = {"bootstrap_servers": [part.strip() for part in bootstrap.split(",")], **kafka_python(settings)}
    if not creates_topics:
        # The in-memory broker of a demo: kafka-python 3 cannot read its answer to the question for its version.
        options["api_version"] = (2, 3)
    return Reached(options, creates_topics)


def check_redis(settings: Settings, url: str) -> None:
    """Connect, authenticate and ping once, or raise `UnreachableError`."""
    with redis_client(settings, url) as client:
        check_redis_with(client, url)
