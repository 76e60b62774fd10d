"""People with several ids on two workers that are killed, join and leave: one profile for each person, exact to the cent."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from lifestage import profile as profiles
from lifestage.document import metrics_of
from lifestage.profile import Profile
from streams.embedded.kafka import KafkaServer
from streams.rules import rules_of
from tests.broken_worker import DIED
from tests.broker.test_faults import Progress
from tests.chaos.crew import PATIENCE_S, Fragile
from tests.crowd import Crowd
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, written_by
from tests.workers import Worker

pytestmark = pytest.mark.broker

SEED, RATE, TRIES = 83, 300, 3
SLOW = {"kafka__session_timeout_s": "10"}
PIECE = 700


def persons_amiss(made: Deployment, crowd: Crowd) -> list[str]:
    """Where what the workers kept is not one profile for each person, with each order of theirs once."""
    compiled, kept = rules_of(made.settings).plan, written_by(made).profiles
    known = {key.decode(): profiles.decode(value) for key, value in kept.items()}
    roots = {key: profile for key, profile in known.items() if profile.kin is None or profile.kin.alias is None}
    found = [f"{key} is a profile of its own" for key in roots.keys() - set(crowd.customers)]
    for customer in crowd.customers:
        profile = roots.get(customer)
        if profile is None or profile.newest is None:
            found.append(f"{customer} has no profile")
            continue
        told = metrics_of(compiled.look(profile, profile.newest))
        if (told.orders, told.net_revenue_minor) != (crowd.orders[customer], crowd.spent[customer]):
            due = (crowd.orders[customer], crowd.spent[customer])
            found.append(f"{customer}: {told.orders} orders of {told.net_revenue_minor} in all, due are {due}")
    sums = sum_of(made)
    if sums != (crowd.orders.total(), crowd.spent.total()):
        found.append(f"all orders: {sums}, due are {(crowd.orders.total(), crowd.spent.total())}")
    return found + [f"{key} ends at {end}" for key, end in ends_of(known).items() if end not in crowd.customers]


def ends_of(known: dict[str, Profile]) -> dict[str, str]:
    """By address and device, the profile that it leads to."""
    found = {}
    for key in known:
        if key.startswith(("email:", "anon:")):
            end = key
            while (kin := known[end].kin) is not None and kin.alias is not None:
                end = kin.alias
            found[key] = end
    return found


def sum_of(made: Deployment) -> tuple[int, int]:
    """Orders and cents that the partitions count."""
    sums = [marker.sums.get("USD", [0, 0, 0]) for marker in written_by(made).markers.values()]
    return sum(of[0] for of in sums), sum(of[1] for of in sums)


def close(made: Deployment, crowd: Crowd, workers: list[Worker]) -> None:
    """Everybody names all ids once more; then everything is folded, and the workers stop in good order."""
    last = crowd.naming()
    with_all = Load(made.bootstrap, made.prefix, SEED, RATE, iter(last))
    with_all.send(len(last))
    with_all.close()
    made.wait_done(PATIENCE_S, workers)
    for worker in workers:
        assert worker.terminate(60) == 0, worker.log()[-2000:]


def test_people_stay_whole_while_workers_are_killed_join_and_leave(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    """Two kills at random with work in flight, one worker joining and one leaving: one profile a person, nothing twice."""
    crowd, chance = Crowd(SEED), random.Random(SEED)
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, **SLOW) as made:
        progress = Progress(made)
        crew = [made.worker(name) for name in ("a", "b")]
        for worker in crew:
            worker.wait_ready(PATIENCE_S)
        with Load(kafka.bootstrap, topic_prefix, SEED, RATE, crowd.events()):
            for number in range(2):
                made.wait_shared(crew, PATIENCE_S)
                progress.wait(300, PATIENCE_S)
                time.sleep(chance.uniform(0, 0.5))
                crew.pop(chance.randrange(2)).kill()
                progress.fault()
                crew.append(made.worker(f"c{number}").wait_ready(PATIENCE_S))
            crew.append(made.worker("d").wait_ready(PATIENCE_S))
            made.wait_shared(crew, PATIENCE_S)
            progress.wait(300, PATIENCE_S)
            assert crew.pop(0).terminate(60) == 0
            progress.fault()
            progress.wait(300, PATIENCE_S)
        close(made, crowd, crew)
        assert differences(made) == []
        assert persons_amiss(made, crowd) == []
        identity = [marker.identity for marker in written_by(made).markers.values()]
        assert sum(of.get("forwarded", 0) for of in identity) > 200, identity


def die_at(made: Deployment, load: Load, words: str, name: str) -> None:
    """A worker that has all partitions works in peace, and then dies with work in flight."""
    with Fragile(made, words, name) as worker:
        worker.wait_ready(PATIENCE_S)
        load.send(PIECE)
        made.wait_done(PATIENCE_S, alive=[worker])
        worker.arm.touch()
        load.send(PIECE)
        assert worker.child.wait(PATIENCE_S) == DIED, worker.log()[-3000:]


POINTS = ("messages_half_written", "messages_written", "changes_acknowledged", "profiles_kept", "marker_kept")


def run(bootstrap: str, prefix: str, home: Path, deaths: tuple[str, ...], broken: str = "") -> list[str]:
    """Die at one point after the other, then work off the rest; returns what is amiss in the end."""
    crowd = Crowd(SEED + 1)
    with deployment(bootstrap, prefix, home, **SLOW) as made:
        load = Load(bootstrap, prefix, SEED, RATE, crowd.events())
        for number, point in enumerate(deaths):
            die_at(made, load, f"{point},{broken}", f"w{number}")
        load.close()
        with Fragile(made, broken, "last") as worker:
            close(made, crowd, [worker.wait_ready(PATIENCE_S)])
        return differences(made) + persons_amiss(made, crowd)


def test_people_stay_whole_wherever_a_worker_dies(kafka: KafkaServer, topic_prefix: str, tmp_path: Path) -> None:
    """Between sending messages and keeping the state, and between that and the commit, a death loses and doubles nothing."""
    assert run(kafka.bootstrap, topic_prefix, tmp_path, POINTS) == []


@pytest.mark.parametrize(
    ("broken", "point"), [("messages_after_state", "marker_kept"), ("origins_off", "messages_written")]
)
def test_a_missing_guard_is_found(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, broken: str, point: str
) -> None:
    """Messages that go out after the state are lost by a death, and those that are read twice without their origin count twice."""
    for number in range(TRIES):
        home = tmp_path / str(number)
        home.mkdir()
        if run(kafka.bootstrap, f"{topic_prefix}{number}.", home, (point,), broken):
            return
    pytest.fail(f"{broken} was not found in {TRIES} runs")
