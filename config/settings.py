"""One frozen `Settings`, read once at start from defaults, a TOML file and the environment.

Order, later wins: the defaults below < the TOML file < variables `LIFESTAGE_<SECTION>_<NAME>`.
A wrong value is refused with the file and line (or the variable), the name, the value and what was meant.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from config.errors import SettingsError

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


class Kafka(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach Kafka. An empty `bootstrap` means: start an embedded broker (demo and development)."""

    bootstrap: str = ""
    group: str = "lifestage"
    security: Security = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    allow_plaintext: bool = False
    instance_id: str = ""
    """Static group membership: one stable name per worker, so that a quick restart moves no partitions."""
    session_timeout_s: float = 10.0
    request_timeout_s: float = 30.0
    compression: Literal["none", "gzip"] = "none"


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names and shapes of topics. `partitions` of the log can never change once facts are in it."""

    prefix: str = ""
    sources: tuple[str, ...] = ("visits", "emails", "purchases")
    partitions: int = 8
    replication: int = 1
    source_retention_days: int = 7
    log_retention_days: int = -1
    changes_retention_days: int = 365
    dead_letter_retention_days: int = 30


class Redis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The read model. An empty `url` means: start an embedded server (demo and development)."""

    url: str = ""
    prefix: str = "lifestage:"
    enabled: bool = True
    ca_file: str = ""
    allow_plaintext: bool = False
    timeout_s: float = 2.0
    recent_changes: int = 1000


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log's clock: what may move it, and how often a tick may be written."""

    mode: Literal["wall", "data"] = "wall"
    out_of_orderness_s: float = 5.0
    tick_interval_s: float = 10.0
    poll_interval_s: float = 1.0
    live_within_s: float = 300.0


class Intake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of what is taken in."""

    max_event_bytes: int = 32_768
    max_depth: int = 20
    future_tolerance_s: float = 300.0
    alignment_s: float = 86_400.0
    """A source partition this far ahead in event time of the slowest one waits for it."""
    blocked_ids: tuple[str, ...] = ()


class Lifecycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plan that announces, and how its state is kept."""

    plan: str = "clm5"
    announce_anonymous: bool = False
    lateness_days: float = 7.0
    flush_interval_s: float = 0.1
    flush_profiles: int = 5_000


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where /metrics, /livez and /readyz are served, on their own port from the start of the process."""

    host: str = "127.0.0.1"
    port: int = 9464


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The secret that turns an email address into a key. Changing it makes every email a new customer."""

    secret: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a company decides about one deployment."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    redis: Redis = Redis()
    clock: Clock = Clock()
    intake: Intake = Intake()
    lifecycle: Lifecycle = Lifecycle()
    metrics: Metrics = Metrics()
    identity: Identity = Identity()


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force.

    `path` is a TOML file with one table per section; `environment` is usually `os.environ`.
    Raises `SettingsError` for an unknown name, a value of the wrong type or out of range, or an unsafe combination.
    """
    given: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, str], str] = {}
    if path is not None:
        _read_file(path, given, places)
    _read_environment(environment or {}, given, places)
    settings = _build(given, places)
    _check(settings, places)
    return settings


def _sections() -> dict[str, type[msgspec.Struct]]:
    return get_type_hints(Settings)


def _meant(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _read_file(path: Path, given: dict[str, dict[str, Any]], places: dict[tuple[str, str], str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give an existing file with --config") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    sections = _sections()
    for section, table in tables.items():
        line = _line_of(text, section, None)
        if section not in sections:
            raise SettingsError(f"{path}:{line}: unknown section [{section}]{_meant(section, list(sections))}")
        if not isinstance(table, dict):
            raise SettingsError(f"{path}:{line}: {section} must be a table: write [{section}]")
        for name, value in table.items():
            place = f"{path}:{_line_of(text, section, name)}"
            known = list(sections[section].__struct_fields__)
            if name not in known:
                raise SettingsError(f"{place}: unknown setting {section}.{name}{_meant(name, known)}")
            given.setdefault(section, {})[name] = value
            places[section, name] = place


def _line_of(text: str, section: str, name: str | None) -> int:
    here = False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[{re.escape(section)}\]", line):
            here = True
            if name is None:
                return number
        elif line.lstrip().startswith("["):
            here = False
        elif here and name is not None and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
            return number
        elif name is None and re.match(rf"\s*{re.escape(section)}\s*=", line):
            return number
    return 1


def _read_environment(
    environment: Mapping[str, str], given: dict[str, dict[str, Any]], places: dict[tuple[str, str], str]
) -> None:
    known = {f"LIFESTAGE_{s}_{f}".upper(): (s, f) for s, cls in _sections().items() for f in cls.__struct_fields__}
    for variable, text in environment.items():
        if not variable.startswith("LIFESTAGE_") or variable in ("LIFESTAGE_CONFIG", "LIFESTAGE_HOME"):
            continue
        if variable not in known:
            raise SettingsError(f"environment: unknown variable {variable}{_meant(variable, list(known))}")
        section, name = known[variable]
        given.setdefault(section, {})[name] = _from_text(get_type_hints(_sections()[section])[name], text, variable)
        places[section, name] = f"environment {variable}"


def _from_text(kind: Any, text: str, variable: str) -> Any:
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise SettingsError(f"environment {variable}: {text!r} is not true or false")
        return text.lower() in ("true", "1", "yes")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise SettingsError(
                f"environment {variable}: {text!r} is not {'a whole number' if kind is int else 'a number'}"
            ) from None
    return text


def _build(given: dict[str, dict[str, Any]], places: dict[tuple[str, str], str]) -> Settings:
    built: dict[str, Any] = {}
    for section, cls in _sections().items():
        hints = get_type_hints(cls)
        for name, value in given.get(section, {}).items():
            try:
                msgspec.convert(value, hints[name])
            except msgspec.ValidationError as error:
                wanted = get_args(hints[name])
                choices = f"; one of {', '.join(map(str, wanted))}" if get_origin(hints[name]) is Literal else ""
                shown = "…" if name in ("password", "secret") else repr(value)
                raise SettingsError(f"{places[section, name]}: {section}.{name} = {shown}: {error}{choices}") from None
        built[section] = msgspec.convert(given.get(section, {}), cls)
    return Settings(**built)


def _check(settings: Settings, places: dict[tuple[str, str], str]) -> None:
    def refuse(section: str, name: str, meant: str) -> None:
        value = getattr(getattr(settings, section), name)
        shown = "…" if name in ("password", "secret") else repr(value)
        place = places.get((section, name), "default")
        raise SettingsError(f"{place}: {section}.{name} = {shown}: {meant}")

    for section, name, least in (
        ("topics", "partitions", 1), ("topics", "replication", 1), ("lifecycle", "flush_profiles", 1),
        ("intake", "max_event_bytes", 256), ("intake", "max_depth", 1), ("redis", "recent_changes", 0),
    ):  # fmt: skip
        if getattr(getattr(settings, section), name) < least:
            refuse(section, name, f"must be at least {least}")
    for section, name in (
        ("kafka", "session_timeout_s"), ("kafka", "request_timeout_s"), ("clock", "tick_interval_s"),
        ("clock", "poll_interval_s"), ("lifecycle", "flush_interval_s"), ("lifecycle", "lateness_days"),
        ("redis", "timeout_s"),
    ):  # fmt: skip
        if not getattr(getattr(settings, section), name) > 0:
            refuse(section, name, "must be above 0")
    for section, name in (("clock", "out_of_orderness_s"), ("intake", "future_tolerance_s"), ("intake", "alignment_s")):
        if not getattr(getattr(settings, section), name) >= 0:
            refuse(section, name, "must be 0 or more")
    if not 0 <= settings.metrics.port <= 65_535:
        refuse("metrics", "port", "must be a port, 1 to 65535, or 0 for a free one")
    for name in ("source_retention_days", "log_retention_days", "changes_retention_days", "dead_letter_retention_days"):
        if getattr(settings.topics, name) < 1 and getattr(settings.topics, name) != -1:
            refuse("topics", name, "must be days, at least 1, or -1 to keep for ever")
    for name in settings.topics.sources:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name):
            refuse("topics", "sources", f"{name!r} is no topic name: letters, digits, '.', '_' and '-' only")
    if not settings.topics.sources or len(set(settings.topics.sources)) != len(settings.topics.sources):
        refuse("topics", "sources", "must name at least one topic, each once")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", settings.topics.prefix):
        refuse("topics", "prefix", "letters, digits, '.', '_' and '-' only")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", settings.kafka.group):
        refuse("kafka", "group", "must be 1 to 100 letters, digits, '.', '_' or '-'")
    _check_kafka_security(settings, refuse)
    _check_redis_security(settings, refuse)


def is_loopback(address: str) -> bool:
    """Whether `host:port` stays on this machine."""
    return address.startswith(LOOPBACK)


def _check_kafka_security(settings: Settings, refuse: Any) -> None:
    kafka = settings.kafka
    for server in filter(None, (s.strip() for s in kafka.bootstrap.split(","))):
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}", server):
            refuse("kafka", "bootstrap", f"{server!r} is not host:port")
        if kafka.security in ("PLAINTEXT", "SASL_PLAINTEXT") and not is_loopback(server) and not kafka.allow_plaintext:
            refuse(
                "kafka", "security",
                f"plaintext to {server}, which is not this machine: set kafka.security to SSL or SASL_SSL, "
                "or kafka.allow_plaintext = true if the network itself is trusted",
            )  # fmt: skip
    if kafka.security.startswith("SASL") and not (kafka.username and kafka.password):
        refuse("kafka", "username" if not kafka.username else "password", f"is needed for {kafka.security}")
    if bool(kafka.cert_file) != bool(kafka.key_file):
        refuse("kafka", "cert_file" if not kafka.cert_file else "key_file", "cert_file and key_file go together")
    for name in ("ca_file", "cert_file", "key_file"):
        file = getattr(kafka, name)
        if file and not Path(file).is_file():
            refuse("kafka", name, "no such file")


def _check_redis_security(settings: Settings, refuse: Any) -> None:
    redis = settings.redis
    if not redis.url:
        return
    match = re.fullmatch(r"(rediss?)://(?:[^@/]*@)?(\[[0-9a-fA-F:]+\]|[^:/\[\]]+)(:\d{1,5})?(/\d*)?", redis.url)
    if match is None:
        raise SettingsError("redis.url: not a Redis address: redis://host:port/0, or rediss:// for TLS")
    if match[1] == "redis" and not is_loopback(match[2]) and not redis.allow_plaintext:
        raise SettingsError(
            f"redis.url: plaintext to {match[2]}, which is not this machine: use rediss://, "
            "or redis.allow_plaintext = true if the network itself is trusted"
        )
    if redis.ca_file and not Path(redis.ca_file).is_file():
        refuse("redis", "ca_file", "no such file")
