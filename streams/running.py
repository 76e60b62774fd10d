"""Where a demo that is running on this machine can be reached: `<home>/run/services.json`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from msgspec.structs import replace

from config.errors import SettingsError
from config.settings import Settings


def default_home() -> Path:
    """`$LIFESTAGE_HOME`, or `.lifestage` in the working directory."""
    return Path(os.environ.get("LIFESTAGE_HOME") or ".lifestage")


def write(home: Path, **addresses: str) -> None:
    """Tell other commands where the services are; the entry ends with this process, however that ends.

    `addresses` are `kafka` (host:port), `redis` (redis://…), `metrics` (http://…), and what `settings_in` gives.
    """
    file = _file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({**addresses, "pid": os.getpid()}, indent=1) + "\n", encoding="utf-8")
    part.replace(file)  # a reader sees the whole file or none of it


def read(home: Path) -> dict[str, str]:
    """The addresses by name; empty when nothing runs, also when what wrote them was killed."""
    try:
        found = json.loads(_file(home).read_text(encoding="utf-8"))
        pid = int(found.pop("pid"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
    return {str(name): str(address) for name, address in found.items()} if _alive(pid) else {}


def settings_in(settings: Settings) -> dict[str, str]:
    """What other commands must know of a demo's settings, to be given to `write`: they have settings of their own."""
    kpis = settings.kpis
    return {
        "changes_retention_days": str(settings.topics.changes_retention_days),
        "kpis_live": str(int(kpis.live)),
        "kpis_window": str(kpis.window),
    }


def as_demo(settings: Settings, home: Path | None = None) -> Settings:
    """The settings with those of the running demo, where they give no Kafka and so lead to it."""
    found = {} if settings.kafka.bootstrap else read(home or default_home())
    try:
        days, live, window = (int(found[name]) for name in ("changes_retention_days", "kpis_live", "kpis_window"))
    except (KeyError, ValueError):
        return settings
    return replace(
        settings,
        topics=replace(settings.topics, changes_retention_days=days),
        kpis=replace(settings.kpis, live=bool(live), window=window),
    )


def clear(home: Path) -> None:
    """Forget the addresses; does nothing the second time."""
    with contextlib.suppress(OSError):
        _file(home).unlink()


def bootstrap_of(settings: Settings, home: Path | None = None) -> str:
    """Kafka's address: that of the settings, else that of the running demo. Raises `SettingsError` without either."""
    return settings.kafka.bootstrap or _address("kafka", "kafka.bootstrap", "LIFESTAGE_KAFKA_BOOTSTRAP", home)


def redis_of(settings: Settings, home: Path | None = None) -> str:
    """The URL of Redis: that of the settings, else that of the running demo. Raises `SettingsError` without either."""
    return settings.redis.url or _address("redis", "redis.url", "LIFESTAGE_REDIS_URL", home)


def _address(name: str, setting: str, variable: str, home: Path | None) -> str:
    home = home or default_home()
    found = read(home).get(name)
    if not found:
        raise SettingsError(
            f"no {setting} is set and no demo is running (looked in {_file(home)}): "
            f"start `lifestage demo --keep`, or set {variable}"
        )
    return found


def _file(home: Path) -> Path:
    return home / "run" / "services.json"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's process, but it runs
    except (OSError, OverflowError):
        return False
    return pid > 0
