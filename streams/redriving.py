"""Sends dead letters back to the source they came from, each once however often one asks, whatever dies in between.

Per run of letters: a mark in their partition of the dead letters that it has begun, with the ends of the sources; a look
whether another redrive was there first; the records, each with a header that names its letter; and a mark that they are
sent. A redrive that dies in between leaves the first mark alone: the next one looks for the header in what came in since,
and so knows which of the letters went out.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from config.errors import UserFacingError
from config.settings import Settings
from lifestage.decode import Decoder
from lifestage.refusal import Refusal
from streams.closing import Closing
from streams.dead_letters import MARK, PREFIX, REDRIVEN, Mark, Marked
from streams.letters import Letter, LetterReader, Marks, Place
from streams.outgoing import Fields, SendError, fields_of, fields_of_json

RUN_MAX, BYTES_MAX = 500, 16 << 20
"""Letters, and bytes of their values, between two marks: what is held in memory at a time."""
RECORD_MAX = 4 << 20
"""Bytes of one request: the topic takes 2 MiB a record."""

BEFORE = "was redriven before"

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one letter: `at`, where it is in its source; or `left`, why it was not sent."""

    letter: Letter
    at: Place | None = None
    left: str = ""

    @property
    def before(self) -> bool:
        """Whether it was left because it was sent by an earlier redrive: nothing is amiss."""
        return self.left.startswith(BEFORE)


@dataclass(frozen=True, slots=True)
class Fix:
    """Fields that are set in each event before it is sent back, as `name=value` words."""

    words: tuple[str, ...] = ()

    def apply(self, value: bytes | None) -> bytes | None:
        """The value with the fields in it, all else as it stands. Raises `SendError` when it is no JSON object."""
        if not self.words or value is None:
            return value
        event = fields_of_json(value)
        named = [word.partition("=")[2] for word in self.words if word.startswith("type=")]
        had = msgspec.json.decode(event["type"]) if "type" in event else ""
        type_ = named[-1] if named else had if isinstance(had, str) else ""
        given = fields_of(type_, [word for word in self.words if not word.startswith("type=")])
        if not named:
            del given["type"]
        return msgspec.json.encode(_merged(event, given))


def _merged(event: Fields, given: Mapping[str, Any]) -> Fields:
    found = dict(event)
    for name, value in given.items():
        found[name] = _merged(_object(name, found.get(name)), value) if isinstance(value, dict) else value
    return found


def _object(name: str, value: Any) -> Fields:
    try:
        return {} if value is None else fields_of_json(bytes(value))
    except SendError:
        raise SendError(f"{name} is no object, so nothing can be set in it") from None


def checker(decoder: Decoder) -> Callable[[Sequence[tuple[str, bytes]], bytes | None], str]:
    """What says why a record would be rejected again if it came in now; empty when it would not."""

    def check(headers: Sequence[tuple[str, bytes]], value: bytes | None) -> str:
        found = decoder.decode(value, int(time.time() * 1000), headers)
        if isinstance(found, Refusal) and found.outcome == "rejected":
            return f"would be rejected again ({found.reason}): {found.message}"
        return ""

    return check


@dataclass(slots=True)
class Plan:
    """What a redrive does with each letter."""

    marks: Marks
    fix: Fix = Fix()
    check: Callable[[Sequence[tuple[str, bytes]], bytes | None], str] | None = None
    again: bool = False
    """Also what was redriven before."""
    sources: frozenset[str] = frozenset()

    def prepared(self, letter: Letter) -> tuple[Headers, bytes | None] | str:
        """Headers and value to send, or why nothing is."""
        if not self.again and (there := self.marks.sent.get(letter.identity)):
            return f"{BEFORE}, to {there}"
        if letter.cut_from is not None:
            return f"only the beginning of its {letter.cut_from} bytes is kept: send it anew from its source"
        if letter.why.topic not in self.sources:
            return f"{letter.why.topic} is no source of this deployment (topics.sources)"
        # one without a value, which the client cannot send, becomes one of no bytes
        kept = [(name, value or b"") for name, value in letter.headers if not name.startswith(PREFIX)]
        try:
            value = self.fix.apply(letter.value)
        except SendError as error:
            return f"--fix: {error}"
        if self.check is not None and (problem := self.check(kept, value)):
            return problem
        return [*kept, (REDRIVEN, str(letter.place).encode())], value


@dataclass(slots=True)
class _Run:
    """Letters on their way between two marks."""

    ready: list[tuple[Letter, Headers, bytes | None]] = field(default_factory=list)
    size: int = 0


class Redriver(Closing):
    """Sends letters back. One producer, one reader."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        """Connect, before the letters are looked at: what another redrive marks from now on is seen.

        Raises `UnreachableError`, or `UserFacingError` when the topic of the dead letters is not there.
        """
        self._reader = reader = LetterReader(settings, bootstrap)
        self._timeout_s = settings.kafka.request_timeout_s
        self.doubt_s = 2 * self._timeout_s
        """For so long what another redrive has begun may still be on its way."""
        self._name = uuid.uuid4().hex
        self._producer = KafkaProducer(
            acks="all",
            linger_ms=5,
            compression_type="gzip" if settings.kafka.compression == "gzip" else None,
            max_request_size=RECORD_MAX,
            allow_auto_create_topics=False,
            enable_idempotence=True,
            # a record that is still waiting after a minute would be taken for one that never went out
            delivery_timeout_ms=reader.options["request_timeout_ms"] + 1_000,
            **reader.options,
        )

    def send(self, letters: Iterable[Letter], plan: Plan) -> Iterator[Told]:
        """Send what can be sent, and tell for each letter, once it is safe, where it is or why it was left.

        Raises `UserFacingError` when a topic does not take a record: what was told before is sent.
        """
        run = _Run()
        for letter in letters:
            prepared = plan.prepared(letter)
            if isinstance(prepared, str):
                yield Told(letter, left=prepared)
                continue
            run.ready.append((letter, *prepared))
            run.size += len(prepared[1] or b"")
            if len(run.ready) >= RUN_MAX or run.size >= BYTES_MAX:
                yield from self._send(run, plan)
                run = _Run()
        if run.ready:
            yield from self._send(run, plan)

    def _send(self, run: _Run, plan: Plan) -> Iterator[Told]:
        ends = {topic: self._reader.ends_of(topic) for topic in {letter.why.topic for letter, _, _ in run.ready}}
        for letter in [one[0] for one in run.ready if one[0].why.partition not in ends[one[0].why.topic]]:
            yield Told(letter, left=f"{letter.why.topic} has no partition {letter.why.partition} any more")
        run.ready = [one for one in run.ready if one[0].why.partition in ends[one[0].why.topic]]
        if not plan.again:
            yield from self._settle(run, plan.marks, ends)
        if not run.ready:
            return
        self._mark(run, {id(letter): ends[letter.why.topic][letter.why.partition] for letter, _, _ in run.ready})
        taken = self._taken(plan.marks)
        futures = []
        for letter, headers, value in run.ready:
            if not plan.again and letter.identity in taken:
                yield Told(letter, left="another redrive has it in hand: look again when that has ended")
                continue
            why = letter.why
            sent = self._producer.send(why.topic, key=letter.key, value=value, headers=headers, partition=why.partition)
            futures.append((letter, headers, value, sent))
        self._flush()
        done = [(letter, headers, value, self._acknowledged(sent, letter)) for letter, headers, value, sent in futures]
        run.ready = [(letter, headers, value) for letter, headers, value, _ in done]
        self._mark(run, {id(letter): offset for letter, _, _, offset in done}, sent=True)
        for letter, _, _, offset in done:
            yield Told(letter, Place(letter.why.topic, letter.why.partition, offset))

    def _settle(self, run: _Run, marks: Marks, ends: Mapping[str, Mapping[int, int]]) -> Iterator[Told]:
        """Take out of the run what an earlier redrive has begun, and that has gone out or may be going out now."""
        doubtful: dict[tuple[str, int], list[tuple[Letter, int]]] = defaultdict(list)
        kept, late = [], int((time.time() - self.doubt_s) * 1000)
        for one in run.ready:
            begun = marks.begun.get(one[0].identity)
            if begun is None:
                kept.append(one)
            elif begun.written > late:
                yield Told(one[0], left="another redrive has begun with it just now: look again in a minute")
            else:
                doubtful[one[0].why.topic, one[0].why.partition].append((one[0], begun.end))
                kept.append(one)
        out: dict[int, Place] = {}
        for (topic, number), pairs in doubtful.items():
            at = self._went_out(topic, number, min(end for _, end in pairs), ends[topic][number])
            out |= {id(letter): at[str(letter.place)] for letter, _ in pairs if str(letter.place) in at}
        if out:
            went = _Run([one for one in kept if id(one[0]) in out])
            self._mark(went, {id(one[0]): out[id(one[0])].offset for one in went.ready}, sent=True)
            for letter, _, _ in went.ready:
                yield Told(letter, left=f"{BEFORE}, to {out[id(letter)]}")
        run.ready = [one for one in kept if id(one[0]) not in out]

    def _went_out(self, topic: str, number: int, begin: int, end: int) -> dict[str, Place]:
        """Which letters stand in a source partition: the letter's place → its place there."""
        return {
            value.decode(errors="replace"): Place(topic, number, record.offset)
            for record in self._reader.records(topic, number, begin, end)
            for name, value in record.headers
            if name == REDRIVEN
        }

    def _taken(self, marks: Marks) -> set[str]:
        """Identities of letters that another redrive has marked since we last looked, before we did."""
        before, ours, others = self._reader.refresh(), set[int](), set[str]()
        for found in self._reader.scan(before):
            if isinstance(found, Letter):
                continue
            mark, place, timestamp = found
            if mark.run == self._name:
                if not mark.sent:  # of the run before, which is no claim to these
                    ours.add(place.partition)
            elif place.partition not in ours or mark.sent:
                others |= {marked.identity for marked in mark.letters}
            if mark.run != self._name:
                marks.take(mark, timestamp)
        return others

    def _mark(self, run: _Run, at: Mapping[int, int], *, sent: bool = False) -> None:
        by_partition: dict[int, list[Marked]] = defaultdict(list)
        for letter, _, _ in run.ready:
            why, place = letter.why, letter.place
            marked = Marked(place.offset, letter.identity, why.topic, why.partition, at[id(letter)])
            by_partition[place.partition].append(marked)
        futures = [
            self._producer.send(
                self._reader.topic,
                value=msgspec.json.encode(Mark(self._name, sent, letters)),
                headers=[(MARK, b"sent" if sent else b"begun")],
                partition=number,
            )
            for number, letters in by_partition.items()
        ]
        self._flush()
        for future in futures:
            self._acknowledged(future, None)

    def _flush(self) -> None:
        with suppress(kafka_errors.KafkaTimeoutError):  # each future then says so for itself
            self._producer.flush(2 * self._timeout_s)

    def _acknowledged(self, future: Any, letter: Letter | None) -> int:
        try:
            return int(future.get(timeout=self._timeout_s).offset)
        except kafka_errors.KafkaError as error:
            what = f"{letter.place} was not taken by {letter.why.topic}" if letter else "no mark could be written"
            raise UserFacingError(
                f"{what} ({type(error).__name__}: {error}): call it again, what has gone out is not sent twice"
            ) from error

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(self._timeout_s)
        self._reader.close()
