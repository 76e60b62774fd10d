"""docker-compose.yml and Dockerfile, checked without an engine: every path, variable, port and name is one that exists."""

from __future__ import annotations

import base64
import fnmatch
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyOptions

from commands.main import COMMANDS
from config.errors import SettingsError
from config.settings import Settings, load
from streams.topics import topics_of
from tests.deployment import COMPOSE, DASHBOARDS, PROMETHEUS, ROOT, SECRETS, compose, dashboards, interpolated

SERVICES: dict[str, Any] = compose()["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
TEXT = interpolated(COMPOSE.read_text(), SECRETS)
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def of_ours(service: str) -> dict[str, str]:
    """The settings that a service of ours is given."""
    return {k: v for k, v in SERVICES[service]["environment"].items() if k.startswith("LIFESTAGE_")}


def settings_of(service: str) -> Settings:
    """What the program would run with in that container."""
    return load(environment=of_ours(service))


def listens(service: str) -> set[int]:
    """The ports on which a service answers inside the network."""
    spec = SERVICES[service]
    published = {int(port.rpartition(":")[2]) for port in spec.get("ports", [])}
    listeners = re.findall(r":(\d+)", spec.get("environment", {}).get("KAFKA_LISTENERS", ""))
    return published | {int(port) for port in (*spec.get("expose", []), *listeners)}


def addresses(service: str) -> list[tuple[str, int]]:
    """Every host:port that a service's health check asks."""
    text = " ".join(SERVICES[service].get("healthcheck", {}).get("test", []))
    found = [(host, int(port)) for host, port in re.findall(r"([\w.]+):(\d+)", text)]
    return found + [("127.0.0.1", int(port)) for port in re.findall(r"-p (\d+)", text)]


def load_with_compose_spec(text: str) -> list[str]:
    """The names of the services, read and checked by the compose specification's own schema."""
    file = PyOptions(apply_merge=True).from_yaml(text)
    file.validate()
    return list(file.service_names())


def test_compose_spec_accepts_the_file() -> None:
    """The file is what the compose specification allows."""
    assert set(load_with_compose_spec(TEXT)) == set(SERVICES)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("hostname: kafka", "hostnme: kafka"),
        ("restart: unless-stopped", "restart: sometimes"),
        ("condition: service_healthy", "condition: service_fine"),
        ("interval: 10s", "interval: 10 parsecs"),
        ("127.0.0.1:9092:9092", "127.0.0.1:9092:90920"),
        ("profiles: [demo]", "profiles: demo"),
    ],
)
def test_the_check_finds_planted_errors(right: str, wrong: str) -> None:
    """A mistyped key, condition, duration, port or type is refused, so that the acceptance above means something."""
    assert right in TEXT
    with pytest.raises(ValueError, match=r".+"):
        load_with_compose_spec(TEXT.replace(right, wrong, 1))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_that_is_not_set_stops_compose(secret: str) -> None:
    """Neither secret has a default."""
    with pytest.raises(KeyError, match=secret):
        compose({name: value for name, value in SECRETS.items() if name != secret})


@pytest.mark.parametrize("service", OURS)
def test_our_services_get_settings_that_the_program_accepts(service: str) -> None:
    """Each LIFESTAGE_ variable is one that exists, with a value that is allowed, and its addresses are services here."""
    settings = settings_of(service)
    host, port = settings.kafka.bootstrap.split(":")
    assert int(port) in listens(host)
    assert f"INTERNAL://{host}:{port}" in SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    redis = urlsplit(settings.redis.url)
    assert redis.port in listens(str(redis.hostname))
    assert settings.identity.secret == SECRETS["LIFESTAGE_IDENTITY_SECRET"]


@pytest.mark.parametrize("variable", ["LIFESTAGE_KAFKA_ALLOW_PLAINTEXT", "LIFESTAGE_REDIS_ALLOW_PLAINTEXT"])
def test_plaintext_is_allowed_by_name_and_not_otherwise(variable: str) -> None:
    """Without the explicit permission the worker would refuse the network's plaintext."""
    given = {name: value for name, value in of_ours("worker").items() if name != variable}
    with pytest.raises(SettingsError, match="plaintext"):
        load(environment=given)


def test_kpis_are_counted_from_the_first_event_on() -> None:
    """The dashboards have something to show, and the recount reads the state of the worker."""
    assert settings_of("worker").kpis.live
    assert settings_of("reconcile") == settings_of("worker")


def test_the_demo_shares_nothing_with_the_worker() -> None:
    """Its topics, group and read model are its own, so 1997's customers never stand among a company's."""
    demo, worker = settings_of("demo"), settings_of("worker")
    assert not {t.name for t in topics_of(demo).all()} & {t.name for t in topics_of(worker).all()}
    assert demo.kafka.group != worker.kafka.group
    assert not demo.redis.prefix.startswith(worker.redis.prefix)
    assert not worker.redis.prefix.startswith(demo.redis.prefix)
    assert (demo.clock.mode, worker.clock.mode) == ("data", "wall")


@pytest.mark.parametrize("service", OURS)
def test_our_services_run_commands_that_exist(service: str) -> None:
    """The first word of each command is one of the program's commands."""
    assert SERVICES[service]["command"][0] in COMMANDS


def test_worker_and_provision_agree_on_every_setting() -> None:
    """The topics that are made are those that are read."""
    assert settings_of("provision") == settings_of("worker")


def test_published_ports_are_of_this_machine_only() -> None:
    """Nothing is published beyond 127.0.0.1, and no two services publish one port."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


@pytest.mark.parametrize("variable", re.findall(r"\$\{(\w+_PORT):-", COMPOSE.read_text()))
def test_a_busy_port_is_changed_by_one_variable(variable: str) -> None:
    """Each host port can be moved from outside, Kafka's advertised address with it, and the page names the variable."""
    moved = compose({**SECRETS, variable: "45678"})["services"]
    assert any(port.startswith("127.0.0.1:45678:") for service in moved.values() for port in service.get("ports", []))
    if variable == "KAFKA_PORT":
        assert "HOST://127.0.0.1:45678" in moved["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert variable in (ROOT / "docs/operations.md").read_text()


def test_the_worker_can_be_scaled() -> None:
    """No service has a fixed name, and the worker publishes no port that a second one would want."""
    assert not any("container_name" in service for service in SERVICES.values())
    assert "ports" not in SERVICES["worker"]
    assert settings_of("worker").kafka.instance_id == ""


def test_images_are_pinned_to_a_version() -> None:
    """Every image that is pulled names a full version; none floats."""
    pulled = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    pulled += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(pulled) >= 6
    for image in pulled:
        assert re.search(r":v?\d+\.\d+\.\d+", image), f"{image} is not pinned"


def test_every_mounted_path_exists() -> None:
    """Each folder that is mounted is in the repository and read-only; each named volume is declared and used."""
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, options = volume.partition(":")
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
                assert options.endswith(":ro"), f"{source} can be written by a container"
            else:
                used.add(source)
    assert used == set(compose()["volumes"])


def test_every_service_is_watched_or_one_shot() -> None:
    """What runs on has a health check and comes back; what ends does not."""
    for name, service in SERVICES.items():
        if service["restart"] == "no":
            assert name in {"provision", "demo"}
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name


def test_nothing_starts_before_what_it_needs() -> None:
    """Waiting is for health, or for the end of a one-shot job; the worker waits for Kafka, Valkey and the topics."""
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[needed]["restart"] == "no"
            else:
                assert how["condition"] == "service_healthy"
                assert "healthcheck" in SERVICES[needed]
    assert {name: how["condition"].removeprefix("service_") for name, how in SERVICES["worker"]["depends_on"].items()} == {
        "kafka": "healthy", "valkey": "healthy", "provision": "completed_successfully",
    }  # fmt: skip
    assert SERVICES["provision"]["depends_on"]["kafka"]["condition"] == "service_healthy"


@pytest.mark.parametrize("service", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_health_checks_ask_a_port_that_is_there(service: str) -> None:
    """Each check asks its own container, on a port on which it listens."""
    asked = addresses(service)
    assert asked
    for host, port in asked:
        assert host in {"127.0.0.1", service}
        assert port in listens(service)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_worker_is_healthy_only_when_it_says_so(status: int | None, *, healthy: bool) -> None:
    """The very command of the check ends with 0 on 200, and with 1 on 503 or where nothing listens."""

    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 500 if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    if status is None:
        server.server_close()
    else:
        thread.start()
    try:
        kind, program, *arguments = SERVICES["worker"]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        assert f":{settings_of('worker').metrics.port}/readyz" in arguments[-1]
        command = [sys.executable, *(argument.replace(":9464/", f":{port}/") for argument in arguments)]
        assert (subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0) is healthy
    finally:
        if status is not None:
            server.shutdown()
            thread.join()
            server.server_close()


def test_prometheus_scrapes_services_on_their_ports() -> None:
    """Each scrape target is a service of the file, on the port that its settings name, however many run."""
    assert "./config/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    jobs = {job["job_name"]: job for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    for job, service in (("lifestage", "worker"), ("lifestage-demo", "demo")):
        (found,) = jobs[job]["dns_sd_configs"]
        assert (found["names"], found["type"]) == ([service], "A")
        assert found["port"] == settings_of(service).metrics.port
        assert found["port"] in listens(service)
        assert settings_of(service).metrics.host == "0.0.0.0"
    (found,) = jobs["lifestage-reconcile"]["dns_sd_configs"]
    assert found["names"] == ["reconcile"]
    assert found["port"] in listens("reconcile")
    assert f"0.0.0.0:{found['port']}" in SERVICES["reconcile"]["command"]
    assert {int(t.rpartition(":")[2]) for t in jobs["prometheus"]["static_configs"][0]["targets"]} <= listens(
        "prometheus"
    )


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    """Its data source is the Prometheus here, with the same scrape interval, and its folder is the one mounted."""
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    inside = {target: ROOT / source for source, target in mounts.items() if source.startswith(".")}
    (source,) = yaml.safe_load((ROOT / "config/grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    address = urlsplit(source["url"])
    assert address.port in listens(str(address.hostname))
    scraped = yaml.safe_load(PROMETHEUS.read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    (provider,) = yaml.safe_load((ROOT / "config/grafana/provisioning/dashboards/lifestage.yml").read_text())[
        "providers"
    ]
    assert inside[provider["options"]["path"]] == DASHBOARDS
    # Grafana refuses a dashboard that is called like its folder.
    assert provider["folder"] not in {"", *(one["title"] for one in dashboards().values())}
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (inside[str(home.parent)] / home.name).is_file()


def test_grafana_shows_to_all_and_lets_change_by_password_only() -> None:
    """Anonymous visitors are viewers; nobody signs up; the password comes from outside."""
    given = SERVICES["grafana"]["environment"]
    assert (given["GF_AUTH_ANONYMOUS_ENABLED"], given["GF_AUTH_ANONYMOUS_ORG_ROLE"]) == ("true", "Viewer")
    assert given["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert given["GF_SECURITY_ADMIN_PASSWORD"] == SECRETS["GRAFANA_ADMIN_PASSWORD"]


def test_kafka_is_one_node_that_keeps_its_data() -> None:
    """Its data is on the named volume, every replication factor is 1, and each listener has a protocol."""
    given = SERVICES["kafka"]["environment"]
    assert f"kafka-data:{given['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"]
    factors = {name: value for name, value in given.items() if name.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}
    assert len(factors) == 5
    assert set(factors.values()) == {"1"}
    assert len(base64.urlsafe_b64decode(given["CLUSTER_ID"] + "==")) == 16
    names = re.findall(r"(\w+)://", given["KAFKA_LISTENERS"])
    assert set(names) == {pair.split(":")[0] for pair in given["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert set(re.findall(r"(\w+)://", given["KAFKA_ADVERTISED_LISTENERS"])) == set(names) - {"CONTROLLER"}


def test_the_image_holds_every_package_of_the_service() -> None:
    """Each copied path exists and is let through to the build; no package of ours is forgotten."""
    copied = {source for source, _ in re.findall(r"^COPY (?!--from)(\S+) (\S+)", DOCKERFILE, re.MULTILINE)}
    assert all((ROOT / source).exists() for source in copied), copied
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert ours | {"data", "requirements-runtime.lock"} == copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    kept_out = [line for line in ignored[2:] if line and not line.startswith("!")]
    for secret in (".env", ".git", ".venv", "tests"):
        assert secret not in copied
    assert not any(fnmatch.fnmatch("config/settings.py", pattern) for pattern in kept_out)


def test_the_image_runs_as_nobody_and_installs_by_hash() -> None:
    """Packages come by hash, the user is not root, and the program starts as it does from a checkout."""
    assert "--require-hashes" in DOCKERFILE
    shipped = DOCKERFILE[DOCKERFILE.rindex("\nFROM") :]
    assert re.search(r"^USER (?!root|0)\w+", shipped, re.MULTILINE)
    assert "PYTHONPATH=/app" in shipped
    assert 'ENTRYPOINT ["python", "-P", "-m", "commands"]' in shipped
    assert 'CMD ["worker"]' in shipped
    assert f"EXPOSE {settings_of('worker').metrics.port}" in shipped
    assert "curl" not in shipped
