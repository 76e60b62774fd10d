"""What can be set, section by section, with the default of each. `docs/configuration.md` says what each means."""

from __future__ import annotations

from typing import Literal

import msgspec

from config.wording import redacted

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Section(msgspec.Struct, frozen=True):
    """A section whose secrets show in no traceback and no log: its repr goes by `config.wording.redacted`."""

    def __repr__(self) -> str:
        section = type(self).__name__.lower()
        given = ((name, redacted(section, name, getattr(self, name))) for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given)})"


class Kafka(Section, frozen=True, forbid_unknown_fields=True):
    """How to reach Kafka. An empty `bootstrap` means: that of the demo that runs, which starts one of its own."""

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


class Topics(Section, frozen=True, forbid_unknown_fields=True):
    """Names and shapes of topics. `partitions` of the log can never change once facts are in it."""

    prefix: str = ""
    sources: tuple[str, ...] = ("visits", "emails", "purchases", "feedback", "costs", "identity")
    partitions: int = 8
    replication: int = 1
    source_retention_days: int = 7
    log_retention_days: int = -1
    changes_retention_days: int = 365
    dead_letter_retention_days: int = 30


class Redis(Section, frozen=True, forbid_unknown_fields=True):
    """The read model. An empty `url` means: that of the demo that runs."""

    url: str = ""
    prefix: str = "lifestage:"
    enabled: bool = True
    ca_file: str = ""
    allow_plaintext: bool = False
    timeout_s: float = 2.0
    recent_changes: int = 1000


class Clock(Section, frozen=True, forbid_unknown_fields=True):
    """The log's clock: what may move it, and how often a tick may be written."""

    mode: Literal["wall", "data"] = "wall"
    out_of_orderness_s: float = 5.0
    tick_interval_s: float = 10.0
    poll_interval_s: float = 1.0
    live_within_s: float = 300.0


class Intake(Section, frozen=True, forbid_unknown_fields=True):
    """Limits of what is taken in."""

    max_event_bytes: int = 32_768
    max_depth: int = 20
    future_tolerance_s: float = 300.0
    blocked_ids: tuple[str, ...] = ()


class Lifecycle(Section, frozen=True, forbid_unknown_fields=True):
    """The plan that announces, and how its state is kept."""

    plan: str = "clm5"
    announce_anonymous: bool = False
    lateness_days: float = 7.0
    flush_interval_s: float = 0.2
    flush_profiles: int = 5_000
    stuck_after_s: float = 60.0
    """A partition that has work and has not moved for this long ends the worker."""


class Metrics(Section, frozen=True, forbid_unknown_fields=True):
    """Where /metrics, /livez and /readyz are served, on their own port from the start of the process."""

    host: str = "127.0.0.1"
    port: int = 9464


class Identity(Section, frozen=True, forbid_unknown_fields=True):
    """Who is who. `secret` turns an email address into a key: changing it makes every email a new customer."""

    secret: str = ""
    link: bool = True
    """Events with several ids say that these are one person's."""
    new_anonymous_per_minute: int = 60_000
    """Anonymous profiles that one source may bring into being in a minute, over all partitions; 0: any number."""


class Kpis(Section, frozen=True, forbid_unknown_fields=True):
    """The KPIs that workers keep with the state, as of the end of the present day."""

    live: bool = False
    """Whether they are kept."""
    window: int = 90
    """Whole days, the present one included."""


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
    kpis: Kpis = Kpis()
