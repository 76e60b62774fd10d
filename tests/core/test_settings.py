"""Settings: which value is in force, and how a wrong one is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from config.checks import require_secret
from config.settings import Settings, SettingsError, is_loopback, load, load_with_places
from config.wording import SECRETS, redacted

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
SETTINGS = [(section, name) for section, cls in get_type_hints(Settings).items() for name in cls.__struct_fields__]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A place for one settings file."""
    return tmp_path / "lifestage.toml"


def refusal(path: Path | None = None, /, **environment: str) -> str:
    """The message with which settings are refused; `KAFKA_GROUP="x"` is the variable LIFESTAGE_KAFKA_GROUP."""
    with pytest.raises(SettingsError) as caught:
        load(path, {f"LIFESTAGE_{name}": value for name, value in environment.items()})
    return str(caught.value)


def test_without_anything_given_the_defaults_hold() -> None:
    """No file and no variables give the defaults, which are all on this machine."""
    assert load() == Settings()
    assert is_loopback(load().metrics.host)


def test_the_file_wins_over_defaults_and_the_environment_over_the_file(toml: Path) -> None:
    """Of defaults, file and environment the later one wins, setting by setting, and each place is known."""
    toml.write_text('[kafka]\ngroup = "file"\ninstance_id = "one"\n')
    settings, places = load_with_places(toml, {"LIFESTAGE_KAFKA_GROUP": "environment"})
    assert (settings.kafka.group, settings.kafka.instance_id, settings.kafka.security) == (
        "environment",
        "one",
        "PLAINTEXT",
    )
    assert places == {
        ("kafka", "group"): "environment LIFESTAGE_KAFKA_GROUP",
        ("kafka", "instance_id"): f"{toml}:3",
    }


def test_every_kind_of_value_can_be_given_as_text() -> None:
    """Texts, lists, whole numbers, numbers and true or false all have a form as a variable."""
    settings = load(
        None,
        {
            "LIFESTAGE_TOPICS_SOURCES": "visits, purchases,",
            "LIFESTAGE_TOPICS_PARTITIONS": "3",
            "LIFESTAGE_REDIS_ENABLED": "No",
            "LIFESTAGE_CLOCK_TICK_INTERVAL_S": "2.5",
            "LIFESTAGE_CLOCK_MODE": "data",
        },
    )
    assert settings.topics.sources == ("visits", "purchases")
    assert (settings.topics.partitions, settings.redis.enabled) == (3, False)
    assert (settings.clock.tick_interval_s, settings.clock.mode) == (2.5, "data")


def test_other_variables_are_none_of_ours() -> None:
    """Variables of other programs, and the three of ours that are no settings, are left alone."""
    ours = {"LIFESTAGE_HOME": "/srv", "LIFESTAGE_CONFIG": "x.toml", "LIFESTAGE_COMPILED": "0"}
    assert load(None, {"PATH": "/bin", "MY_LIFESTAGE_KAFKA": "1", **ours}) == Settings()


def test_a_whole_number_is_a_number(toml: Path) -> None:
    """A file may write 2 where 2.0 is meant."""
    toml.write_text("[redis]\ntimeout_s = 2\n")
    assert load(toml).redis.timeout_s == 2.0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[kafka]\n\nbootstap = "x"', 3, "unknown setting kafka.bootstap; did you mean 'bootstrap'?"),
        ("[kafka]\nzzzzzz = 1", 2, "unknown setting kafka.zzzzzz; known: bootstrap, group"),
        ("[redis]\n[kafak]\ngroup = 1", 2, "unknown section [kafak]; did you mean 'kafka'?"),
        ("\nkafka = 3", 2, "kafka must be a table: write [kafka]"),
        ("[kafka]\ngroup = 3", 2, "kafka.group = 3: expected a text, got a whole number"),
        ('[redis]\nurl = ""\n[topics]\npartitions = "8"', 4, "topics.partitions = '8': expected a whole number, got a"),
        ("[redis]\nenabled = 1", 2, "redis.enabled = 1: expected true or false"),
        ("[topics]\npartitions = 8.5", 2, "topics.partitions = 8.5: expected a whole number, got a number"),
        ('[topics]\nsources = "visits"', 2, "topics.sources = 'visits': expected a list, got a text"),
        ("[topics]\nsources = [1]", 2, "topics.sources = [1]: expected a text, got a whole number"),
        ('[kafka]\nsecurity = "TLS"', 2, "kafka.security = 'TLS': invalid enum value 'TLS'; one of PLAINTEXT, SSL"),
        ("[topics]\npartitions = 0", 2, "topics.partitions = 0: must be at least 1"),
        ("[clock]\ntick_interval_s = 0", 2, "clock.tick_interval_s = 0.0: must be above 0"),
        ("[clock]\ntick_interval_s = nan", 2, "clock.tick_interval_s = nan: must be a number, neither infinite nor"),
        ("[lifecycle]\nflush_interval_s = inf", 2, "lifecycle.flush_interval_s = inf: must be a number, neither"),
        ("[intake]\nfuture_tolerance_s = -1", 2, "intake.future_tolerance_s = -1.0: must be at least 0"),
        ("[topics]\nlog_retention_days = 0", 2, "topics.log_retention_days = 0: must be days, at least 1, or -1"),
        ("[metrics]\nport = 65536", 2, "metrics.port = 65536: must be a port, 1 to 65535, or 0"),
        ('[metrics]\nhost = ""', 2, "metrics.host = '': must be an address to listen on"),
        ("[topics]\nsources = []", 2, "topics.sources = (): must name at least one topic, each once"),
        ('[topics]\nsources = ["a", "a"]', 2, "must name at least one topic, each once"),
        ('[topics]\nsources = ["a b"]', 2, "'a b' is no topic name"),
        ('[topics]\nprefix = "a/"', 2, "topics.prefix = 'a/': must be at most 100 letters"),
        ('[kafka]\ngroup = ""', 2, "kafka.group = '': must be 1 to 100 letters"),
        ('kafka.group = "a b"', 1, "kafka.group = 'a b'"),
        ('kafka = { group = "a b" }', 1, "kafka.group = 'a b'"),
        ('[ kafka ]\n"group" = "a b"', 2, "kafka.group = 'a b'"),
    ],
)
def test_a_wrong_line_in_the_file_is_refused_with_its_number(toml: Path, text: str, line: int, words: str) -> None:
    """The message starts with file and line, then says the name, the value and what was meant."""
    toml.write_text(text)
    message = refusal(toml)
    assert message.startswith(f"{toml}:{line}: ")
    assert words in message


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TOPICS_PARTITIONS", "many", "topics.partitions = 'many': expected a whole number"),
        ("TOPICS_PARTITIONS", "", "topics.partitions = '': expected a whole number"),
        ("REDIS_TIMEOUT_S", "2s", "redis.timeout_s = '2s': expected a number"),
        ("REDIS_ENABLED", "perhaps", "redis.enabled = 'perhaps': expected true or false"),
        ("CLOCK_MODE", "sun", "clock.mode = 'sun': invalid enum value 'sun'; one of wall, data"),
        ("TOPICS_SOURCES", " , ", "topics.sources = (): must name at least one topic"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable: str, value: str, words: str) -> None:
    """The message names the variable, then the setting, the value and what was meant."""
    message = refusal(**{variable: value})
    assert message.startswith(f"environment LIFESTAGE_{variable}: ")
    assert words in message


def test_an_unknown_variable_is_refused_with_a_suggestion() -> None:
    """A misspelt variable would be silently without effect, so it is refused."""
    message = refusal(KAFKA_BOOTSTRAPS="x")
    assert "unknown variable LIFESTAGE_KAFKA_BOOTSTRAPS; did you mean 'LIFESTAGE_KAFKA_BOOTSTRAP'?" in message


def test_a_file_that_is_not_there_or_no_toml_is_refused(tmp_path: Path, toml: Path) -> None:
    """A missing file, a folder, a syntax error and other encodings are each named for what they are."""
    assert "cannot be read (No such file or directory); give an existing file" in refusal(tmp_path / "absent.toml")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    toml.write_text("[kafka]\ngroup = \n")
    assert re.search(r"lifestage\.toml: not TOML: .*line 2", refusal(toml))
    toml.write_bytes(b'[kafka]\ngroup = "\xff"\n')
    assert "not UTF-8 at byte 17" in refusal(toml)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9092", "127.9.9.9", "localhost:1", "LOCALHOST", "::1", "[::1]:9092", "[::1]"]
)
def test_loopback_addresses_stay_on_this_machine(host: str) -> None:
    """Loopback is 127.0.0.0/8, ::1 and the name localhost, with or without a port."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["127.evil.example:9092", "localhost.evil.example:1", "10.0.0.1:1", "0.0.0.0", "[::2]:1", "kafka:9092", ""]
)
def test_what_only_looks_like_loopback_is_none(host: str) -> None:
    """A name that begins like loopback, or an address that listens everywhere, leaves this machine."""
    assert not is_loopback(host)


@pytest.mark.parametrize("security", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_plaintext_to_another_machine_is_refused_unless_allowed(security: str) -> None:
    """Kafka without TLS leaves this machine only with kafka.allow_plaintext."""
    given = {
        "KAFKA_BOOTSTRAP": "127.0.0.1:9092,kafka:9092",
        "KAFKA_SECURITY": security,
        "KAFKA_USERNAME": "u",
        "KAFKA_PASSWORD": "p",
    }
    message = refusal(**given)
    assert message.startswith(
        f"environment LIFESTAGE_KAFKA_SECURITY: kafka.security = '{security}': plaintext to kafka"
    )
    allowed = {f"LIFESTAGE_{k}": v for k, v in given.items()} | {"LIFESTAGE_KAFKA_ALLOW_PLAINTEXT": "true"}
    assert load(None, allowed).kafka.allow_plaintext


def test_a_default_at_fault_is_reported_at_what_the_person_wrote() -> None:
    """Where a default does not fit what was set, the message starts at the line that was written."""
    assert refusal(KAFKA_BOOTSTRAP="kafka:9092").startswith(
        "environment LIFESTAGE_KAFKA_BOOTSTRAP: kafka.bootstrap = 'kafka:9092', but kafka.security is 'PLAINTEXT' "
        "(its default): plaintext to kafka:9092, which is not this machine; set kafka.security to SSL or SASL_SSL"
    )


def test_a_worker_needs_a_secret_off_this_machine() -> None:
    """Keys of addresses are only as safe as the secret: none is fine on loopback, and refused elsewhere."""
    require_secret(load(None, {"LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:9092"}))
    there = {"LIFESTAGE_KAFKA_BOOTSTRAP": "kafka.example:9093", "LIFESTAGE_KAFKA_SECURITY": "SSL"}
    with pytest.raises(SettingsError, match=r"identity.secret is not set, and Kafka \(kafka.example:9093\)"):
        require_secret(load(None, there))
    require_secret(load(None, there | {"LIFESTAGE_IDENTITY_SECRET": "s" * 32}))


def test_tls_may_go_anywhere() -> None:
    """SSL and rediss need no further permission."""
    environment = {
        "LIFESTAGE_KAFKA_BOOTSTRAP": "kafka:9093",
        "LIFESTAGE_KAFKA_SECURITY": "SSL",
        "LIFESTAGE_REDIS_URL": "rediss://redis:6379/0",
    }
    assert load(None, environment).redis.url == "rediss://redis:6379/0"


@pytest.mark.parametrize("bootstrap", ["kafka", "kafka:", "http://kafka:1", "127.0.0.1:99999", "127.0.0.1:0", "a b:1"])
def test_a_bootstrap_that_is_no_address_is_refused(bootstrap: str) -> None:
    """Each server is host:port, with a port that exists."""
    assert f"{bootstrap!r} is not host:port" in refusal(KAFKA_BOOTSTRAP=bootstrap)


def test_sasl_needs_user_and_password() -> None:
    """A login without a name or a password is refused before any connection."""
    assert refusal(KAFKA_SECURITY="SASL_SSL").endswith("but kafka.username is '' (its default): is needed for SASL_SSL")
    message = refusal(KAFKA_SECURITY="SASL_SSL", KAFKA_USERNAME="u")
    assert message.endswith("but kafka.password is '' (its default): is needed for SASL_SSL")


def test_files_must_exist_and_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """Files named for TLS are looked for at start, and half a client certificate is refused."""
    pem = tmp_path / "some.pem"
    pem.touch()
    assert "kafka.ca_file = '/none.pem': no such file" in refusal(KAFKA_CA_FILE="/none.pem")
    assert "redis.ca_file = '/none.pem': no such file" in refusal(REDIS_CA_FILE="/none.pem")
    assert "kafka.key_file is '' (its default): cert_file and key_file go together" in refusal(KAFKA_CERT_FILE=str(pem))
    assert "kafka.cert_file is '' (its default): cert_file and key_file go together" in refusal(KAFKA_KEY_FILE=str(pem))


@pytest.mark.parametrize("url", ["redis", "http://127.0.0.1", "redis://", "redis://127.0.0.1:port", "redis://h:1/x"])
def test_a_redis_url_that_is_none_is_refused(url: str) -> None:
    """Only redis:// and rediss:// with a host, a port and a database number are addresses."""
    assert f"redis.url = {url!r}: not a Redis address: redis://host:port/0" in refusal(REDIS_URL=url)


def test_plaintext_redis_on_another_machine_is_refused_unless_allowed() -> None:
    """Redis without TLS leaves this machine only with redis.allow_plaintext."""
    message = refusal(REDIS_URL="redis://redis:6379/0")
    assert "plaintext to redis, which is not this machine; use rediss://" in message
    environment = {"LIFESTAGE_REDIS_URL": "redis://redis:6379/0", "LIFESTAGE_REDIS_ALLOW_PLAINTEXT": "yes"}
    assert load(None, environment).redis.allow_plaintext


@pytest.mark.parametrize(
    "given",
    [
        {"REDIS_URL": "redis://:hunter2@redis:6379/0"},
        {"REDIS_URL": "redis://user:hun@hunter2@redis/0"},
        {"REDIS_URL": "redis://user:hunter2@"},
        {"REDIS_URL": "redis://redis:1/0?password=hunter2"},
        {"KAFKA_PASSWORD": "hunter2", "KAFKA_SECURITY": "SASL_SSL"},
        {"KAFKA_PASSWORD": "hunter2", "KAFKA_BOOTSTRAP": "kafka:1"},
    ],
)
def test_no_refusal_shows_a_secret(given: dict[str, str]) -> None:
    """A password stays out of messages, wherever in an address it stands."""
    assert "hunter2" not in refusal(**given)


def test_a_secret_of_the_wrong_type_is_refused_without_showing_it(toml: Path) -> None:
    """A password that was written as a number is refused as `…`."""
    toml.write_text("[kafka]\npassword = 271828\n")
    message = refusal(toml)
    assert "kafka.password = '…': expected a text" in message
    assert "271828" not in message


def test_every_setting_that_sounds_secret_is_one() -> None:
    """A new password, secret or token is redacted from its first day, and an empty one shows that it is empty."""
    secret = {(s, n) for s, n in SETTINGS if re.search("password|secret|token", n)}
    assert secret == SECRETS
    assert all(redacted(*which, "x") == "…" and redacted(*which, "") == "" for which in secret)


def _documented() -> dict[tuple[str, str], tuple[str, str]]:
    """Default and meaning of each setting as the document's tables have them."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    section = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## `\[(\w+)\]`", line):
            section = heading[1]
        elif row := re.match(r"\| `(\w+)` \| `(.*?)` \| (.*) \|$", line):
            found[section, row[1]] = (row[2], row[3])
    return found


@pytest.mark.parametrize(("section", "name"), SETTINGS)
def test_each_setting_stands_in_the_document_with_its_default_and_meaning(section: str, name: str) -> None:
    """docs/configuration.md says of each setting what its default is and what it means."""
    default, meaning = _documented()[section, name]
    assert json.loads(default) == json.loads(msgspec.json.encode(getattr(getattr(Settings(), section), name)))
    assert len(meaning) >= 15


def test_the_document_names_no_setting_that_does_not_exist() -> None:
    """A setting that was removed leaves the document too."""
    assert set(_documented()) == set(SETTINGS)


def test_no_repr_shows_a_secret() -> None:
    """Settings may end up in a traceback: passwords and the secret are not in their repr."""
    given = load(
        None,
        {
            "LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
            "LIFESTAGE_KAFKA_SECURITY": "SASL_PLAINTEXT",
            "LIFESTAGE_KAFKA_USERNAME": "user",
            "LIFESTAGE_KAFKA_PASSWORD": "hidden-1",
            "LIFESTAGE_REDIS_URL": "redis://:hidden-2@127.0.0.1:6379/0",
            "LIFESTAGE_IDENTITY_SECRET": "hidden-3",
        },
    )
    assert "hidden" not in repr(given) + repr(given.kafka) + repr(given.redis) + str(given.identity)
    assert "user" in repr(given)
