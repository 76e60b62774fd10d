"""What a step reports of one partition of the log, beside the profile: changes, messages, and every count."""

from __future__ import annotations

from lifestage import log
from lifestage.cause import Rules
from lifestage.change import Announced
from lifestage.messages import Message, Posted, encode_message
from lifestage.profile import Profile
from lifestage.restored import Restored


class Reported(Restored):
    """The tally and the desk of a partition (`lifestage.cause.Tally`, `lifestage.members.Desk`). `code` is that of the log itself."""

    def __init__(self, rules: Rules, topic: str, number: int, code: int = log.NO_TOPIC) -> None:
        super().__init__(rules, topic, number)
        self.code = code
        self.changes: list[Announced] = []
        self.posted: list[Posted] = []
        self._at, self._n = -1, 0
        """Of the record at hand: its offset, and how many messages it has brought."""
        self._hand: Profile | None = None
        """The profile at hand, where KPIs are counted."""

    def change(self, announced: Announced) -> None:
        """Part of the tally: a change to send."""
        self.changes.append(announced)
        data = announced.data
        name = f"{data.previous_stage or ''}→{data.stage or ''}→{data.kind}"
        self.marker.moves[name] = self.marker.moves.get(name, 0) + 1

    def _told(self) -> list[Announced]:
        changes, self.changes = self.changes, []
        return changes

    def enter(self, stage: str | None) -> None:
        """Part of the tally: one more stands in `stage`."""
        if stage is not None:
            self.marker.population[stage] = self.marker.population.get(stage, 0) + 1

    def leave(self, stage: str | None) -> None:
        """Part of the tally: one fewer stands in `stage`."""
        if self.kpis is not None and self._hand is not None:
            self.kpis.leaving(self._hand)
        if stage is not None:
            self.marker.population[stage] = self.marker.population.get(stage, 0) - 1

    def money(self, currency: str, orders: int, gross_minor: int, net_minor: int) -> None:
        """Part of the tally: the company's sums."""
        sums = self.marker.sums.setdefault(currency, [0, 0, 0])
        sums[0] += orders
        sums[1] += gross_minor
        sums[2] += net_minor

    @property
    def forgotten(self) -> int:
        """Part of the tally: anonymous visitors forgotten so far."""
        return self.marker.forgotten

    @forgotten.setter
    def forgotten(self, count: int) -> None:
        self.marker.forgotten = count

    def post(self, message: Message) -> None:
        """Part of the desk: a message to send."""
        value = log.pack(log.MESSAGE, encode_message(message), self.code, self.number, self._at, self._n)
        self.posted.append(Posted(message.to.encode(), value))
        self._n += 1

    def count(self, what: str) -> None:
        """Part of the desk: something has happened to an id."""
        self.marker.identity[what] = self.marker.identity.get(what, 0) + 1

    def take_posted(self) -> list[Posted]:
        """The messages since the last time, in their order: each is for the partition of its key."""
        posted, self.posted = self.posted, []
        return posted

    @property
    def dedupe_overflow(self) -> int:
        """Part of the tally: event ids that left the horizon early."""
        return self.marker.dedupe_overflow

    @dedupe_overflow.setter
    def dedupe_overflow(self, count: int) -> None:
        self.marker.dedupe_overflow = count
