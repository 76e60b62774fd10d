"""The same simulation with hypothesis choosing: it looks for short histories, and cuts down one that fails."""

from __future__ import annotations

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.ending import quiesce
from tests.simulation.history import Failure
from tests.simulation.judge import judge
from tests.simulation.world import World

STRIKES = ("kill", "halt", "expire", "compact", "hold", "trickle", "release")
numbers = st.integers(0, (1 << 16) - 1)


class Simulation(RuleBasedStateMachine):
    """What can happen to a deployment, as rules; at the end all must be right."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World("data")
        self.world.__enter__()

    @initialize(who=numbers, workers=st.integers(1, 2))
    def begin(self, who: int, workers: int) -> None:
        """A worker or two, and something to do."""
        for _ in range(workers):
            self.world.take("start")
        self.world.take("produce", 35, who)

    @rule(kind=numbers, who=numbers)
    def produce(self, kind: int, who: int) -> None:
        """A source gets a record."""
        self.world.take("produce", kind, who)

    @rule(pick=numbers, count=numbers)
    def deliver(self, pick: int, count: int) -> None:
        """Some requests are done or answered."""
        self.world.take("deliver", pick, count)

    @rule(count=numbers)
    def flow(self, count: int) -> None:
        """All goes well for a while."""
        self.world.take("flow", count)

    @rule(count=numbers)
    def spin(self, count: int) -> None:
        """Some callbacks are run."""
        self.world.take("spin", count)

    @rule(number=numbers, name=st.sampled_from(("wait", "days", "beat", "start", "resume", "leave", "fail")))
    def happen(self, name: str, number: int) -> None:
        """Time passes, or somebody comes or goes."""
        self.world.take(name, number)

    @rule(number=numbers, how=numbers, name=st.sampled_from(STRIKES))
    def strike(self, name: str, number: int, how: int) -> None:
        """A fault."""
        self.world.take(name, number, how)

    def teardown(self) -> None:
        """The quiet end, and the judge."""
        world = self.world
        try:
            world.said.append("")
            quiesce(world)
            judge(world)
        except AssertionError as error:
            note(str(Failure(None, "data", world.steps, str(error), world.said, world.faults)))
            raise
        finally:
            world.__exit__()
