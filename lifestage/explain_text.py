"""An explanation as lines for people: the conclusion first, the way there last and shortened in its middle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal

from lifestage.change import Announced
from lifestage.explain import Compared, Explanation, Finding, Instant, Joined, Next, Verdict
from lifestage.explain_words import length

LINES_MAX = 60
HISTORY_LINES_MIN = 12
IDS_MAX = 6


def told(explanation: Explanation) -> list[str]:
    """The explanation in at most `LINES_MAX` lines, as long as the plan leaves room for that."""
    said = list(_conclusion(explanation))
    history = list(_history(explanation))
    return [*said, *_shortened(history, max(LINES_MAX - len(said), HISTORY_LINES_MIN))]


def _conclusion(explanation: Explanation) -> Iterator[str]:
    yield _where(explanation)
    if explanation.asked is not None:
        since = f" since {explanation.asked.since}" if explanation.asked.since else ""
        yield f"{explanation.asked.id} belongs to {explanation.customer}{since}"
    if explanation.members:
        yield f"ids  {', '.join(_members(explanation))}"
    yield f"as of {explanation.at}, plan {explanation.plan.id} version {explanation.plan.version}"
    here = [one for one in explanation.stages if one.stage == explanation.stage]
    higher = list(_higher(explanation))
    if here:
        yield "why here"
        yield from _block(here, because)
    others = list(_ruled_out(explanation))
    if others:
        yield "what comes before it and does not hold" if here else "what does not hold"
        yield from _block(others, _ruling_out)
    if higher:
        yield "why not further"
        yield from _block(higher, _why_not)
    yield f"next        {_coming(explanation.next)}"
    for change in explanation.pending:
        yield f"not announced yet: {_move(change)} at {change.time}, which waits for the log's clock"


def _members(explanation: Explanation) -> Iterator[str]:
    shown = explanation.members if len(explanation.members) <= IDS_MAX else explanation.members[: IDS_MAX - 1]
    for one in shown:
        yield f"{one.id} (another's by now)" if one.past else one.id
    if len(explanation.members) > len(shown):
        yield f"and {len(explanation.members) - len(shown)} more"


def _where(explanation: Explanation) -> str:
    if explanation.forgotten:
        since = f" since {explanation.forgotten_at}" if explanation.forgotten_at else ""
        return f"{explanation.customer}  was anonymous, silent for long, and is forgotten{since}"
    if explanation.stage is None:
        return f"{explanation.customer}  is in no stage"
    return f"{explanation.customer}  is in {explanation.stage} since {explanation.since}"


def _ruled_out(explanation: Explanation) -> Iterator[Verdict]:
    """The stages that would come before the present one and are not among the higher ones, which have their own words."""
    for one in explanation.stages:
        if one.stage == explanation.stage:
            return
        if not one.higher:
            yield one


def _higher(explanation: Explanation) -> Iterator[Verdict]:
    """The stages above, the nearest first; not those that would give way to a higher one at once."""
    ranks = {one.stage: one.rank or 0 for one in explanation.stages}
    for one in sorted(explanation.stages, key=lambda one: one.rank or 0):
        if one.higher and all(ranks[name] < ranks[one.stage] for name in one.behind):
            yield one


def _block(verdicts: list[Verdict], lines: Callable[[Verdict], list[str]]) -> Iterator[str]:
    width = max(len(_name(one)) for one in verdicts)
    for one in verdicts:
        for number, line in enumerate(lines(one)):
            yield f"  {_name(one) if not number else '':<{width}}  {line}"


def _name(one: Verdict) -> str:
    return one.stage if one.rank is None else f"{one.stage} ({one.rank})"


def because(one: Verdict) -> list[str]:
    """Why a customer is in a stage: the comparisons that make it hold, a line each."""
    if not one.holds:
        return ["held once, and this plan only goes forward"]
    return _lines(_telling(one.finding))


def _ruling_out(one: Verdict) -> list[str]:
    return _lines(_telling(one.finding, briefly=True))


def _why_not(one: Verdict) -> list[str]:
    before, come = " and ".join(one.behind), "come" if len(one.behind) > 1 else "comes"
    if one.holds:
        return [f"holds as well, but {before} {come} before it"]
    return [*_lines(_telling(one.finding)), *([f"besides, {before} {come} before it, and must end"] if before else [])]


def _compared(finding: Compared) -> str:
    if finding.missing is not None:
        return f"{finding.condition}: {finding.missing}"
    # of what is true or false the condition says it all
    return finding.condition if finding.said in {"yes", "no"} else f"{finding.condition}: {finding.said}"


def _telling(finding: Finding, *, briefly: bool = False) -> Finding:
    """Only what makes a condition hold, or keeps it from holding, with brackets inside brackets resolved.

    `needs` then says how what is left hangs together. `briefly`: of several that each keep it, only one.
    """
    if isinstance(finding, Compared):
        return finding
    parts: list[Finding] = []
    needs: Literal["all", "any"] = "any" if finding.needs == "any" and not finding.holds else "all"
    for part in finding.parts:
        if part.holds == finding.holds:
            told = _telling(part, briefly=briefly)
            inner = told.parts if isinstance(told, Joined) and told.needs == needs else (told,)
            parts += [one for one in inner if one not in parts]
    if briefly and (finding.needs == "any") == finding.holds:
        return min(parts, key=lambda part: len(_lines(part)))
    return parts[0] if len(parts) == 1 else Joined(needs, finding.holds, tuple(parts))


def _lines(told: Finding) -> list[str]:
    """What is left of a finding, a comparison a line."""
    if isinstance(told, Compared):
        return [_compared(told)]
    word = "or " if told.needs == "any" else "and "
    found: list[str] = []
    for part in told.parts:
        first, *rest = _bracketed(_lines(part))
        start = word if found else ""
        found += [start + first, *(" " * len(start) + line for line in rest)]
    return found


def _bracketed(lines: list[str]) -> list[str]:
    """Several lines as one part of a longer list."""
    if len(lines) == 1:
        return list(lines)
    inner = [f"({lines[0]}", *(f" {line}" for line in lines[1:])]
    return [*inner[:-1], f"{inner[-1]})"]


def _coming(next: Next | None) -> str:
    if next is None:
        return "nothing changes without an event"
    what = "forgotten" if next.forgotten else next.stage or "no stage"
    return f"{what} at {next.at}, in {length(next.in_ms)}, if nothing happens before"


def _history(explanation: Explanation) -> Iterator[str]:
    """Facts that told the plan something new, and changes, by time; the others are counted.

    Of those that changed only how long ago something was, the newest is there: the next dates count from it.
    """
    seqs = {change.id: f"#{change.data.seq}" for change in explanation.changes}
    superseded = {
        gone: [f"superseded by #{change.data.seq}"] for change in explanation.changes for gone in change.data.supersedes
    }
    moved = {change.time for change in explanation.changes}
    newest = {effect.asked: one.at for one in explanation.history for effect in one.effects}
    moved |= {at for asked, at in newest.items() if _is_age(asked)}
    shown = [one for one in explanation.history if _is_news(one) or (one.effects and one.at in moved)]
    outcomes = ", ".join(f"{count:,} {name}" for name, count in sorted(explanation.outcomes.items()))
    more = "".join(f", {said}" for said in _left_out(explanation.history, {one.at for one in shown}))
    yield f"so far      {outcomes or 'no facts'}{more}; {_changes(len(explanation.changes))}"
    entries = [(one.at, 0, 0, _fact_line(one)) for one in shown]
    for change in explanation.changes:
        marks = [*_in_place(change, seqs), *superseded.get(change.id, [])]
        line = f"#{change.data.seq} {_move(change)}: {_reason(change)}{''.join(f' ({mark})' for mark in marks)}"
        entries.append((change.time, 1, change.data.seq, line))
    if explanation.forgotten_at is not None:
        entries.append((explanation.forgotten_at, 2, 0, "forgotten by time alone: nothing above counts any more"))
    for at, _, _, line in sorted(entries):
        yield f"  {at}  {line}"


def _in_place(change: Announced, seqs: dict[str, str]) -> list[str]:
    """What a correction takes the place of, and what stands there now."""
    if not change.data.supersedes:
        return []
    path = ", ".join(f"{step.stage or 'no stage'} at {step.entered_at}" for step in change.data.path)
    return [f"supersedes {', '.join(seqs.get(id, '?') for id in change.data.supersedes)}, now {path or 'nothing'}"]


def _changes(count: int) -> str:
    return f"{count:,} change{'' if count == 1 else 's'}"


def _left_out(history: Iterable[Instant], shown: Collection[str]) -> Iterator[str]:
    """How many facts are not among those of the instants `shown`, by what they told."""
    hidden = [one for one in history if one.at not in shown]
    aged = sum(len(one.facts) for one in hidden if one.effects)
    quiet = sum(len(one.facts) for one in hidden if not one.effects)
    if aged:
        yield f"{aged:,} of them changed only how long ago"
    if quiet:
        yield f"{quiet:,} of them told the plan nothing new"


def _is_age(asked: str) -> bool:
    return asked.startswith("since_")


def _is_news(one: Instant) -> bool:
    return any(not _is_age(effect.asked) for effect in one.effects) or any(fact.later for fact in one.facts)


def _fact_line(one: Instant) -> str:
    # what brings something later by itself is named whatever else there is
    facts = sorted(one.facts, key=lambda fact: fact.later is None)
    named = ", ".join(f"{fact.type} {fact.id}" for fact in facts[:3])
    more = f" and {len(facts) - 3} more" if len(facts) > 3 else ""
    told = [fact.later for fact in facts if fact.later]
    told += [f"{effect.asked} {effect.said[0]} → {effect.said[1]}" for effect in one.effects]
    return f"{named}{more}: {'; '.join(told)}"


def _move(change: Announced) -> str:
    data = change.data
    return f"{data.previous_stage or '-'} → {data.stage or '-'}"


def _reason(change: Announced) -> str:
    data = change.data
    trigger = data.trigger
    by = f"by {trigger.event_type} {trigger.event_id}" if trigger.type == "event" else "by time alone"
    return f"{data.kind} {by}, because {data.evidence.condition}"


def _shortened(lines: list[str], most: int) -> list[str]:
    """The first and the last of the lines, and how many were left out between them."""
    if len(lines) <= most:
        return lines
    first = most // 3
    last = most - first - 1
    return [
        *lines[:first],
        f"  … {len(lines) - first - last:,} lines left out here; --json has them all",
        *lines[-last:],
    ]
