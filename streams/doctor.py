"""How checks of a deployment are run: side by side, each with its own end, so that what is away delays no other.

A check gives findings; an error of it, or no answer in time, is a finding too. What it needs (Kafka, Redis) is checked
first, and when that is away the check is said not to have been made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from config.settings import Settings
from config.wording import redacted

Level = Literal["ok", "warn", "FAIL"]
LIMIT_S = 13.0
"""When every check has ended or is said to have given no answer."""
SHARE = 0.3
"""Of that time what one attempt to reach a server may take: one after the other is tried, and then there are questions."""
REACH_S = LIMIT_S * SHARE
ALIKE = 3
"""Findings that mean the same and are told one by one."""
RANK: dict[Level, int] = {"ok": 0, "warn": 1, "FAIL": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, what was found, and, unless it is well, what that means and what to type."""

    check: str
    level: Level
    found: str
    means: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is examined: the settings in force, the addresses that follow from them, and this machine's clock."""

    settings: Settings
    bootstrap: str
    redis_url: str
    now: Callable[[], float] = time.time
    reach_s: float = REACH_S
    """What one attempt to reach a server may take."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What one check has learnt and those that need it go by."""

    @property
    def hasty(self) -> Settings:
        """The settings, with no request that takes longer than one attempt may."""
        kafka, redis = self.settings.kafka, self.settings.redis
        return msgspec.structs.replace(
            self.settings,
            kafka=msgspec.structs.replace(kafka, request_timeout_s=min(kafka.request_timeout_s, self.reach_s)),
            redis=msgspec.structs.replace(redis, timeout_s=min(redis.timeout_s, self.reach_s / 2)),
        )

    def clean(self, text: str) -> str:
        """A message without what is secret, should a library have put it there."""
        kafka, url = self.settings.kafka, self.redis_url
        for secret in (kafka.password, self.settings.identity.secret):
            text = text.replace(secret, "…") if secret else text
        return text.replace(url, str(redacted("redis", "url", url))) if url else text


Look = Callable[[Ground], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what it looks with, and the name of the check without which it makes no sense."""

    name: str
    look: Look
    needs: str = ""


@dataclass(slots=True)
class _Run:
    check: Check
    done: threading.Event = field(default_factory=threading.Event)
    findings: tuple[Finding, ...] = ()

    @property
    def well(self) -> bool:
        """Whether something of it works: of three brokers one may be away."""
        return self.done.is_set() and any(finding.level == "ok" for finding in self.findings)


def examine(checks: Sequence[Check], ground: Ground, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """Run all checks at a time and give their findings in order, each as soon as those before it are there.

    It ends within `limit_s`: a check that has not answered by then is a failure that says so, and its thread, a daemon,
    is left to itself.
    """
    until = time.monotonic() + limit_s
    runs = {check.name: _Run(check) for check in checks}
    for run in runs.values():
        needed = runs[run.check.needs] if run.check.needs else None
        work = threading.Thread(target=_work, args=(run, needed, ground, until), name=run.check.name, daemon=True)
        work.start()
    for run in runs.values():
        if run.done.wait(max(0.0, until - time.monotonic())):
            yield from run.findings
        else:
            yield Finding(
                run.check.name,
                "FAIL",
                f"no answer within {limit_s:g} s",
                "what it asks hangs",
                "look at the line before, and run it again",
            )


def _work(run: _Run, needed: _Run | None, ground: Ground, until: float) -> None:
    if needed is not None:
        needed.done.wait(max(0.0, until - time.monotonic()))
        if not needed.well:
            run.findings = (Finding(run.check.name, "warn", f"not checked: {run.check.needs} is to be mended first"),)
            run.done.set()
            return
    try:
        found = tuple(run.check.look(ground))
    except Exception as error:  # noqa: BLE001  # whatever it is, the other checks are to go on
        found = (broken(run.check.name, error),)
    run.findings = tuple(
        Finding(one.check, one.level, *(ground.clean(text) for text in (one.found, one.means, one.fix)))
        for one in few(found)
    )
    run.done.set()


def few(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Of many findings that mean the same, as of each of a hundred partitions, the first ones, the last of them with how many more."""
    alike: dict[tuple[str, Level, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.check, finding.level, finding.means), []).append(finding)
    for same in alike.values():
        more = len(same) - ALIKE
        yield from same[: ALIKE - 1] if more > 0 else same
        if more > 0:
            yield replace(same[ALIKE - 1], found=f"{same[ALIKE - 1].found} (and {more} more like it)")


def broken(check: str, error: BaseException) -> Finding:
    """What an error says, with what to do about it where its message ends with that, as ours do."""
    text = " ".join(str(error).split()) or type(error).__name__
    found, colon, fix = text.rpartition(": ")
    if not colon or fix.count(")") > fix.count("("):  # the colon is one of a library's own words
        found, fix = text, ""
    return Finding(
        check,
        "FAIL",
        found,
        "this could not be checked",
        fix or "run it again; where it stays, look at the servers' logs",
    )


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of all; `ok` of none."""
    return max((finding.level for finding in findings), key=RANK.__getitem__, default="ok")
