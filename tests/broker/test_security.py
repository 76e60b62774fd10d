"""TLS and passwords on a real Kafka: every client gets in, and every mistake is told in one line."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka as aiokafka_package
import msgspec
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from commands.doctor import checks
from config.settings import Kafka, Settings, SettingsError, Topics
from streams.connections import (
    UnreachableError,
    aiokafka,
    check_kafka,
    faust_credentials,
    kafka_python,
)
from streams.doctor import Ground, examine
from streams.doctor_kafka import reach
from streams.embedded.kafka import KafkaServer, start_kafka_server
from streams.embedded.process import free_ports
from streams.provision import apply, plan
from tests.certificates import Certificate, encrypt_key, issue, make_authority
from tests.wire import create_topic

pytestmark = pytest.mark.broker

PASSWORD = "pa55-in-no-log"
WRONG = "n0-pa55-of-anybody"
LOGIN = "org.apache.kafka.common.security"


class Secured:
    """A Kafka with a listener for client certificates (SSL) and one for passwords over TLS (SASL_SSL)."""

    def __init__(self, server: KafkaServer, authority: Certificate, client: Certificate, stranger: Certificate) -> None:
        self.server, self.authority, self.client, self.stranger = server, authority, client, stranger
        self.plaintext, self.tls, self.sasl = (server.address(name) for name in ("PLAINTEXT", "SSL", "SASL_SSL"))

    def settings(self, mechanism: str = "SCRAM-SHA-512", **changes: str) -> Settings:
        """Settings that work on the SASL_SSL listener, but for the changes."""
        given = {
            "security": "SASL_SSL",
            "mechanism": mechanism,
            "username": "ann",
            "password": PASSWORD,
            "ca_file": str(self.authority.cert),
            **changes,
        }
        return Settings(kafka=msgspec.convert(given, Kafka))

    def certified(self, **changes: str) -> Settings:
        """Settings that work on the SSL listener with the client's certificate, but for the changes."""
        files = {"cert_file": str(self.client.cert), "key_file": str(self.client.key)}
        given = {"security": "SSL", "ca_file": str(self.authority.cert), **files, **changes}
        return Settings(kafka=msgspec.convert(given, Kafka))

    def way_in(self, name: str) -> tuple[Settings, str]:
        """Settings and address of one way that works."""
        return (self.certified(), self.tls) if name == "SSL" else (self.settings(name), self.sasl)


@pytest.fixture(scope="module")
def secured(real_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:  # noqa: ARG001 - a need
    """The secured Kafka of this module, its certificate valid for 127.0.0.1 and for no name."""
    home = tmp_path_factory.mktemp("secured")
    authority, stranger = make_authority(home, "authority"), make_authority(home, "stranger")
    broker, client = issue(home, "broker", authority, "IP:127.0.0.1"), issue(home, "client", authority)
    extra = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(broker.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.cert),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'{LOGIN}.plain.PlainLoginModule required user_ann="{PASSWORD}";'
        ),
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
    }
    with start_kafka_server(home, say=print, listeners=["SSL", "SASL_SSL"], extra=extra) as server:
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        try:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                told = admin.alter_user_scram_credentials(
                    [UserScramCredentialUpsertion("ann", mechanism, password=PASSWORD)]
                )
                assert told == {"ann": None}
        finally:
            admin.close()
        yield Secured(server, authority, client, stranger)


def problem(settings: Settings, bootstrap: str) -> str:
    """What `check_kafka` says: one line, without the password."""
    with pytest.raises(UnreachableError) as told:
        check_kafka(settings, bootstrap)
    assert "\n" not in str(told.value)
    assert PASSWORD not in str(told.value)
    return str(told.value)


WAYS_IN = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "SSL"]


@pytest.mark.parametrize("way", WAYS_IN)
def test_kafka_python_writes_and_reads(secured: Secured, topic_prefix: str, way: str) -> None:
    """Producer, admin and consumer of kafka-python get in, and the record comes back."""
    settings, bootstrap = secured.way_in(way)
    check_kafka(settings, bootstrap)
    options = {"bootstrap_servers": bootstrap, **kafka_python(settings)}
    admin = KafkaAdminClient(**options)
    admin.create_topics({topic_prefix: {"num_partitions": 1}}, wait_for_metadata=True)
    admin.close()
    producer = KafkaProducer(**options)
    producer.send(topic_prefix, b"hello").get(10)
    producer.close()
    consumer = KafkaConsumer(**options)
    consumer.assign([TopicPartition(topic_prefix, 0)])
    consumer.seek_to_beginning()
    records = [record.value for batch in consumer.poll(10_000).values() for record in batch]
    consumer.close()
    assert records == [b"hello"]


async def _there_and_back(bootstrap: str, topic: str, options: dict[str, Any]) -> bytes:
    async with aiokafka_package.AIOKafkaProducer(bootstrap_servers=bootstrap, **options) as producer:
        await producer.send_and_wait(topic, b"hello")
    async with aiokafka_package.AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options
    ) as consumer:
        value = (await consumer.getone()).value
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("way", WAYS_IN)
async def test_aiokafka_writes_and_reads(secured: Secured, topic_prefix: str, way: str) -> None:
    """A plain aiokafka producer and consumer get in, and the record comes back."""
    settings, bootstrap = secured.way_in(way)
    create_topic(secured.plaintext, topic_prefix)
    assert await _there_and_back(bootstrap, topic_prefix, aiokafka(settings)) == b"hello"


@pytest.mark.parametrize("way", WAYS_IN)
async def test_fausts_credentials_write_and_read(secured: Secured, topic_prefix: str, way: str) -> None:
    """What Faust's driver makes of our credentials gets in, over TLS."""
    settings, bootstrap = secured.way_in(way)
    create_topic(secured.plaintext, topic_prefix)
    options = credentials_to_aiokafka_auth(faust_credentials(settings), None)
    assert options["security_protocol"] == settings.kafka.security
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert await _there_and_back(bootstrap, topic_prefix, options) == b"hello"


def test_fausts_credentials_never_fall_back_to_plaintext(secured: Secured) -> None:
    """Only settings that say PLAINTEXT give none, and only those that say SASL_PLAINTEXT send a password in the clear."""
    assert faust_credentials(Settings()) is None
    for settings in (secured.settings(), secured.settings("PLAIN"), secured.certified()):
        credentials = faust_credentials(settings)
        assert credentials is not None
        assert credentials.protocol.value in ("SSL", "SASL_SSL")
    clear = faust_credentials(secured.settings(security="SASL_PLAINTEXT"))
    assert clear is not None
    assert clear.protocol.value == "SASL_PLAINTEXT"


def test_an_authority_that_did_not_sign_is_refused(secured: Secured) -> None:
    """A certificate of another authority is not trusted, nor is it without any; the setting is named."""
    for ca_file in (str(secured.stranger.cert), ""):
        told = problem(secured.settings(ca_file=ca_file), secured.sasl)
        assert "certificate is not trusted" in told
        assert "set kafka.ca_file" in told


# kafka-python lets go of the socket of a failed TLS handshake without closing it.
def test_kafka_python_itself_refuses_that_authority(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    """Not only our check: the client never gets as far as sending its password."""
    options = {**kafka_python(secured.settings(ca_file=str(secured.stranger.cert))), "bootstrap_timeout_ms": 1000}
    refused = False
    try:
        KafkaAdminClient(bootstrap_servers=secured.sasl, **options)
    except kafka_errors.KafkaTimeoutError:
        refused = True
    gc.collect()
    assert refused
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_a_host_name_that_the_certificate_lacks_is_refused(secured: Secured) -> None:
    """The same broker under a name that its certificate does not hold is not trusted."""
    told = problem(secured.settings(), secured.sasl.replace("127.0.0.1", "localhost"))
    assert "the server's certificate is not for 'localhost'" in told
    assert "kafka.bootstrap" in told


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_a_wrong_password_or_user_is_told(secured: Secured, mechanism: str) -> None:
    """The user and the mechanism are named, the password never."""
    for change in ({"password": "wrong"}, {"username": "bob"}):
        settings = secured.settings(mechanism, **change)
        told = problem(settings, secured.sasl)
        assert f"wrong user name or password ({mechanism}, user {settings.kafka.username!r})" in told
        assert "correct kafka.username and kafka.password" in told


def test_a_missing_or_foreign_client_certificate_is_told(secured: Secured) -> None:
    """A listener that wants a client certificate of its own authority says so to who has none, or another's."""
    told = problem(secured.certified(cert_file="", key_file=""), secured.tls)
    assert "asks for a client certificate that it trusts: set kafka.cert_file and kafka.key_file" in told
    foreign = secured.certified(cert_file=str(secured.stranger.cert), key_file=str(secured.stranger.key))
    assert "asks for a client certificate that it trusts" in problem(foreign, secured.tls)


def test_the_wrong_kind_of_listener_is_told(secured: Secured) -> None:
    """Plaintext to a TLS port, TLS to a plaintext port, a password where none is asked: each names kafka.security or the port."""
    plain = Settings()
    assert "expects TLS or a password; kafka.security is PLAINTEXT" in problem(plain, secured.sasl)
    assert "expects TLS or a password; kafka.security is PLAINTEXT" in problem(plain, secured.tls)
    assert "the port may not speak TLS" in problem(secured.settings(), secured.plaintext)
    unasked = secured.settings(cert_file=str(secured.client.cert), key_file=str(secured.client.key))
    assert "asks for no password: set kafka.security to SSL" in problem(unasked, secured.tls)
    assert "or a password (kafka.security)" in problem(secured.certified(), secured.sasl)


def test_an_address_that_does_not_answer_is_told(secured: Secured) -> None:
    """Refused, unknown and silent are told apart; one server that works is enough."""
    assert "refused, nothing listens there" in problem(Settings(), f"127.0.0.1:{free_ports(1)[0]}")
    assert "the name 'no-such-host.invalid' is unknown" in problem(Settings(), "no-such-host.invalid:9092")
    assert "not host:port" in problem(Settings(), "kafka")
    check_kafka(Settings(), f"127.0.0.1:1, {secured.plaintext}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert f"Kafka at {address}: timed out" in problem(Settings(kafka=Kafka(request_timeout_s=0.5)), address)


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "SSL"])
def test_the_doctor_gets_in_and_shows_no_password(secured: Secured, topic_prefix: str, way: str) -> None:
    """All its clients of Kafka do; with a wrong password the first line says so, and what to correct."""
    settings, bootstrap = secured.way_in(way)
    settings = msgspec.structs.replace(settings, topics=Topics(prefix=topic_prefix, partitions=1))
    apply(settings, bootstrap, plan(settings, bootstrap))
    kafka = [check for check in checks() if "kafka" in (check.name, check.needs)]
    found = list(examine(kafka, Ground(settings, bootstrap, "", reach_s=30), 120))
    assert [one.check for one in found if one.level != "ok"] == ["group"]
    assert found[0].found.startswith("Kafka 4.")
    told, *_ = examine(kafka, Ground(secured.settings(password=WRONG), secured.sasl, "", reach_s=30), 120)
    assert told.fix == "correct kafka.username and kafka.password"
    assert WRONG not in repr(told)


@pytest.mark.usefixtures("real_kafka")
def test_a_broker_that_sends_its_clients_elsewhere_is_told(tmp_path: Path) -> None:
    """Kafka answers under one address and tells clients to use another that does not work from here."""
    extra = {"advertised.listeners": "PLAINTEXT://no-such-host.invalid:9092"}
    with start_kafka_server(tmp_path, say=print, heap_mb=256, extra=extra) as server:
        told = problem(Settings(), server.bootstrap)
        (found,) = reach(Ground(Settings(), server.bootstrap, ""))
    assert told.startswith(f"Kafka at {server.bootstrap} answers, but the address it tells clients to use")
    assert "no-such-host.invalid:9092: the name 'no-such-host.invalid' is unknown" in told
    assert told.endswith("correct advertised.listeners of the broker")
    assert found.level == "FAIL"
    assert found.found.startswith(
        "a broker tells clients to use no-such-host.invalid:9092, which does not work from here"
    )
    assert found.fix.startswith("correct advertised.listeners of that broker")


def test_files_that_are_no_certificates_are_refused(secured: Secured, tmp_path: Path) -> None:
    """A wrong file is named with its setting before anything is connected, and nobody is asked for a passphrase."""
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    with pytest.raises(SettingsError, match=r"kafka\.ca_file = .*junk\.pem"):
        aiokafka(secured.settings(ca_file=str(junk)))
    locked = encrypt_key(secured.client, PASSWORD)
    for key_file in (str(junk), str(locked), str(secured.stranger.key)):
        with pytest.raises(SettingsError, match=r"kafka\.key_file = .*unencrypted"):
            kafka_python(secured.certified(key_file=key_file))


def test_no_password_is_in_any_log_or_repr(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    """Even at level DEBUG, at which clients log their whole configuration, and when the login fails."""
    caplog.set_level(logging.DEBUG)
    settings = secured.settings()
    KafkaAdminClient(bootstrap_servers=secured.sasl, **kafka_python(settings)).close()
    KafkaProducer(bootstrap_servers=secured.sasl, **kafka_python(settings)).close()
    check_kafka(settings, secured.sasl)
    problem(secured.settings("PLAIN", username="bob"), secured.sasl)
    assert "KafkaAdminClient with configuration" in caplog.text
    assert PASSWORD not in caplog.text
    shown = [repr(kafka_python(settings)), repr(aiokafka(settings)), repr(faust_credentials(settings))]
    assert not [text for text in shown if PASSWORD in text]
