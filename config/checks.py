"""What no type can say: ranges, names that Kafka takes, and combinations that would be unsafe."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from config.errors import SettingsError
from config.sections import Settings
from config.wording import shown

AT_LEAST = {
    ("topics", "partitions"): 1,
    ("topics", "replication"): 1,
    ("lifecycle", "flush_profiles"): 1,
    ("intake", "max_event_bytes"): 256,
    ("intake", "max_depth"): 1,
    ("redis", "recent_changes"): 0,
    ("clock", "out_of_orderness_s"): 0,
    ("intake", "future_tolerance_s"): 0,
    ("identity", "new_anonymous_per_minute"): 0,
}
ABOVE_ZERO = (
    ("kafka", "session_timeout_s"),
    ("kafka", "request_timeout_s"),
    ("clock", "tick_interval_s"),
    ("clock", "poll_interval_s"),
    ("clock", "live_within_s"),
    ("lifecycle", "flush_interval_s"),
    ("lifecycle", "lateness_days"),
    ("lifecycle", "stuck_after_s"),
    ("redis", "timeout_s"),
)
RETENTIONS = ("source_retention_days", "log_retention_days", "changes_retention_days", "dead_letter_retention_days")
NAME = r"[A-Za-z0-9._-]"
"""What Kafka allows in the name of a topic or a group."""


class Checker:
    """Reads settings and refuses them, with the place at which a person can change what is wrong."""

    def __init__(self, settings: Settings, places: Mapping[tuple[str, str], str]) -> None:
        self.settings = settings
        self.places = places

    def value(self, section: str, name: str) -> object:
        """The value of one setting."""
        return getattr(getattr(self.settings, section), name)

    def refuse(self, section: str, name: str, why: str, needed_by: tuple[str, str] | None = None) -> NoReturn:
        """Raise `SettingsError` about one setting.

        `needed_by` is the other half of a bad combination: where the setting itself was left at its default, that
        other half is what the person wrote and where they must look.
        """
        value = shown(section, name, self.value(section, name))
        if needed_by is None or needed_by not in self.places or (section, name) in self.places:
            raise SettingsError(f"{self._place(section, name)}: {section}.{name} = {value}: {why}")
        other = shown(*needed_by, self.value(*needed_by))
        raise SettingsError(
            f"{self._place(*needed_by)}: {'.'.join(needed_by)} = {other}, but {section}.{name} is {value} "
            f"(its default): {why}"
        )

    def _place(self, section: str, name: str) -> str:
        return self.places.get((section, name), "not set, so the default")


def check(settings: Settings, places: Mapping[tuple[str, str], str]) -> None:
    """Raise `SettingsError` for the first setting that cannot be used."""
    checker = Checker(settings, places)
    _check_numbers(checker)
    _check_names(checker)
    _check_kafka(checker)
    _check_redis(checker)
    if not settings.metrics.host:
        checker.refuse("metrics", "host", "must be an address to listen on, such as 127.0.0.1")


def require_secret(settings: Settings) -> None:
    """Raise `SettingsError` where a worker would turn addresses into keys that anybody could try addresses against."""
    servers = [server.strip() for server in settings.kafka.bootstrap.split(",") if server.strip()]
    if not settings.identity.secret and not all(map(is_loopback, servers)):
        raise SettingsError(
            f"identity.secret is not set, and Kafka ({settings.kafka.bootstrap}) is not on this machine: set "
            "LIFESTAGE_IDENTITY_SECRET to a long random text, the same for all workers, and keep it for good"
        )


def _check_numbers(checker: Checker) -> None:
    for (section, name), least in AT_LEAST.items():
        if not _number(checker, section, name) >= least:
            checker.refuse(section, name, f"must be at least {least}")
    for section, name in ABOVE_ZERO:
        if not _number(checker, section, name) > 0:
            checker.refuse(section, name, "must be above 0")
    for name in RETENTIONS:
        days = _number(checker, "topics", name)
        if days < 1 and days != -1:
            checker.refuse("topics", name, "must be days, at least 1, or -1 to keep for ever")
    if not 1 <= checker.settings.kpis.window <= 366:
        checker.refuse("kpis", "window", "must be whole days, 1 to 366")
    if not 0 <= checker.settings.metrics.port <= 65_535:
        checker.refuse("metrics", "port", "must be a port, 1 to 65535, or 0 for a free one")


def _number(checker: Checker, section: str, name: str) -> float:
    value = checker.value(section, name)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        checker.refuse(section, name, "must be a number, neither infinite nor nan")
    return value


def _check_names(checker: Checker) -> None:
    topics = checker.settings.topics
    for name in topics.sources:
        if not re.fullmatch(NAME + "{1,200}", name):
            checker.refuse("topics", "sources", f"{name!r} is no topic name: letters, digits, '.', '_' and '-' only")
    if not topics.sources or len(set(topics.sources)) != len(topics.sources):
        checker.refuse("topics", "sources", "must name at least one topic, each once")
    if not re.fullmatch(NAME + "{0,100}", topics.prefix):
        checker.refuse("topics", "prefix", "must be at most 100 letters, digits, '.', '_' or '-'")
    if not re.fullmatch(NAME + "{1,100}", checker.settings.kafka.group):
        checker.refuse("kafka", "group", "must be 1 to 100 letters, digits, '.', '_' or '-'")


def is_loopback(address: str) -> bool:
    """Whether `host` or `host:port` stays on this machine. A name other than `localhost` is not looked up."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::\d*)?", address)
    host = bracketed[1] if bracketed else address.rsplit(":", 1)[0] if address.count(":") == 1 else address
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_kafka(checker: Checker) -> None:
    kafka = checker.settings.kafka
    for server in filter(None, (s.strip() for s in kafka.bootstrap.split(","))):
        address = re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})", server)
        if not address or not 1 <= int(address[1]) <= 65_535:
            checker.refuse("kafka", "bootstrap", f"{server!r} is not host:port")
        if kafka.security in ("PLAINTEXT", "SASL_PLAINTEXT") and not is_loopback(server) and not kafka.allow_plaintext:
            checker.refuse(
                "kafka",
                "security",
                f"plaintext to {server}, which is not this machine; set kafka.security to SSL or SASL_SSL, "
                "or kafka.allow_plaintext = true if the network itself is trusted",
                needed_by=("kafka", "bootstrap"),
            )
    if kafka.security.startswith("SASL"):
        for name in ("username", "password"):
            if not checker.value("kafka", name):
                checker.refuse("kafka", name, f"is needed for {kafka.security}", needed_by=("kafka", "security"))
    if bool(kafka.cert_file) != bool(kafka.key_file):
        there, absent = ("cert_file", "key_file") if kafka.cert_file else ("key_file", "cert_file")
        checker.refuse("kafka", absent, "cert_file and key_file go together", needed_by=("kafka", there))
    for name in ("ca_file", "cert_file", "key_file"):
        _check_file(checker, "kafka", name)


def _check_redis(checker: Checker) -> None:
    redis = checker.settings.redis
    _check_file(checker, "redis", "ca_file")
    if not redis.url:
        return
    match = re.fullmatch(r"(rediss?)://(?:.*@)?(\[[0-9a-fA-F:]+\]|[^:/@\[\]]+)(:\d{1,5})?(/\d*)?", redis.url)
    if match is None:
        checker.refuse("redis", "url", "not a Redis address: redis://host:port/0, or rediss:// for TLS")
    if match[1] == "redis" and not is_loopback(match[2]) and not redis.allow_plaintext:
        checker.refuse(
            "redis",
            "url",
            f"plaintext to {match[2]}, which is not this machine; use rediss://, "
            "or redis.allow_plaintext = true if the network itself is trusted",
        )


def _check_file(checker: Checker, section: str, name: str) -> None:
    file = checker.value(section, name)
    if file and not Path(str(file)).is_file():
        checker.refuse(section, name, "no such file")
