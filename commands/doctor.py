"""`lifestage doctor`: everything a deployment stands on, looked at once, with what to type where it is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import ConfigFile

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.doctor import Check, Finding, Ground

WIDTH = 8
"""Of the names of checks."""


def run(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings, too.")] = False,
    within: Annotated[
        float, typer.Option("--within", min=1, metavar="SECONDS", help="When all checks have to have answered.")
    ] = 13.0,
    config: ConfigFile = None,
) -> None:
    """Check configuration, Kafka, topics, records, clocks, group, state, Redis and this machine: ok, warn or FAIL.

    Each failure says what was found, what that means, and what to type. Nothing is written anywhere. It takes 15 s at
    the most, also when nothing answers (`--within`). Exit code 1 for failures.
    """
    from streams.doctor import worst
    from streams.reachability import quiet

    found = []
    with quiet(""):  # the clients' own words would stand between the lines
        for finding in findings(config, within):
            found.append(finding)
            if not as_json:
                for line in told(finding):
                    typer.echo(line)
                sys.stdout.flush()
    level = worst(found)
    if as_json:
        typer.echo(json.dumps(document(found), indent=1, ensure_ascii=False))
    else:
        typer.echo(summary(found))
    sys.stdout.flush()
    code = int(level == "FAIL" or (strict and level == "warn"))
    if any(finding.found.startswith("no answer within") for finding in found):
        os._exit(code)  # a thread that hangs in a name service would hold the process
    if code:
        raise typer.Exit(code)


def findings(config: Path | None, within: float) -> Iterator[Finding]:
    """What all checks find, in order, `within` so many seconds."""
    from config.errors import SettingsError
    from config.settings import load
    from streams.doctor import Finding, Ground, examine
    from streams.running import as_demo

    try:
        settings = load(config, os.environ)
    except (SettingsError, OSError) as error:
        yield Finding(
            "config",
            "FAIL",
            str(error),
            "no command starts, and no more can be checked than this machine",
            "correct that line",
        )
        from config.settings import Settings

        yield from examine(checks(local_only=True), Ground(Settings(), "", ""), within)
        return
    yield from examine(checks(), _ground(as_demo(settings), within), within)


def _ground(settings: Settings, within: float) -> Ground:
    from config.errors import SettingsError
    from streams.doctor import SHARE, Ground
    from streams.running import bootstrap_of, redis_of

    def had(of: Callable[[Settings], str]) -> str:
        try:
            return of(settings)
        except SettingsError:
            return ""  # the check of it says so

    return Ground(settings, had(bootstrap_of), had(redis_of), reach_s=within * SHARE)


def checks(*, local_only: bool = False) -> list[Check]:
    """Every check, in the order in which they are shown."""
    from streams import doctor_kafka as brokers
    from streams import doctor_machine as machine
    from streams import doctor_records as records
    from streams import doctor_state as kept
    from streams.doctor import Check
    from streams.doctor_redis import redis

    local = [
        Check("ports", machine.ports),
        Check("files", machine.files),
        Check("disk", machine.disk),
        Check("versions", machine.versions),
    ]
    if local_only:
        return local[1:]
    return [
        Check("config", configuration),
        Check("kafka", brokers.reach),
        *(
            Check(name, brokers.with_a_real_broker(name, look), needs="kafka")
            for name, look in (
                ("topics", brokers.topics),
                ("copies", brokers.copies),
                ("sizes", brokers.sizes),
                ("records", records.records),
                ("clock", records.clock),
                ("group", kept.group),
                ("lag", kept.lag),
                ("state", kept.state),
            )
        ),
        Check("redis", redis),
        *local,
    ]


def configuration(ground: Ground) -> Iterator[Finding]:
    """The settings have been read: the plan, its stories, and what a deployment cannot do without."""
    from commands.check import untrue
    from config.checks import require_secret
    from config.errors import SettingsError
    from config.plan_files import sheet_of
    from streams.doctor import Finding
    from streams.rules import rules_of

    settings = ground.settings
    try:
        require_secret(settings)
    except SettingsError as error:
        said, _, fix = str(error).partition(": ")
        yield Finding("config", "FAIL", said, "workers do not start", fix)
    try:
        rules = rules_of(settings)
    except SettingsError as error:
        yield Finding(
            "config", "FAIL", str(error), "workers do not start", f"lifestage check {settings.lifecycle.plan}"
        )
        return
    failures = untrue(sheet_of(settings.lifecycle.plan))
    for failure in failures[:3]:
        yield Finding(
            "config",
            "warn",
            str(failure),
            "the plan does not say what its stories tell",
            f"lifestage check {settings.lifecycle.plan}",
        )
    if not failures:
        plan = f"plan {rules.plan.plan.id} {rules.plan.hash}"
        yield Finding("config", "ok", f"settings read; {plan}, sources {', '.join(settings.topics.sources)}")


def told(finding: Finding) -> Iterator[str]:
    """A finding as a person reads it: what was found and what that means in one line, what to type in the next."""
    yield f"{finding.level:<4}  {finding.check:<{WIDTH}}  {'; '.join(filter(None, (finding.found, finding.means)))}"
    if finding.fix and finding.level != "ok":
        yield f"{'':<{WIDTH + 8}}-> {finding.fix}"


def summary(found: Iterable[Finding]) -> str:
    """The last line: how many of each."""
    levels = [finding.level for finding in found]
    warned = levels.count("warn")
    return f"{levels.count('FAIL')} failed, {warned} warning{'' if warned == 1 else 's'}, {levels.count('ok')} ok"


def document(found: Iterable[Finding]) -> dict[str, object]:
    """What `--json` prints."""
    listed = list(found)
    counts = {level: sum(one.level == level for one in listed) for level in ("ok", "warn", "FAIL")}
    return {**counts, "findings": [asdict(finding) for finding in listed]}
