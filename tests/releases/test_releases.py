"""Workers of earlier code and of today's in one group, in turns, and back: nothing is lost, doubled or misread."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from streams.embedded.kafka import KafkaServer
from tests.broker.test_faults import Progress, finish
from tests.load import Load
from tests.pipeline import Deployment, deployment, differences, samples
from tests.workers import Worker

pytestmark = pytest.mark.broker

ARCHIVE = Path(__file__).with_name("before_fences_pages_and_rebuilds.tar.xz")
"""The packages as they were before sends waited at a fence, profiles had pages and lost state was made again: by
`git archive`. No release has been made yet, so both call themselves 0.1.0."""
SEED, RATE = 67, 400
UNKNOWN = {"identity.link", "kpis.live"}
"""Settings that the earlier code does not know, and would refuse."""
FENCED = "lifestage_sends_held_total"
"""A metric that came with the fence."""


class Earlier(Worker):
    """A worker of the earlier code, on the libraries of today: the locks name the same."""

    def __init__(self, made: Deployment, checkout: Path, name: str) -> None:
        known = {name: value for name, value in made.given.items() if name not in UNKNOWN}
        super().__init__(known, made.home, name, environment={"PYTHONPATH": str(checkout)})
        made.hire(self)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The earlier code, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "earlier", filter="data")
    return tmp_path / "earlier"


def is_fenced(worker: Worker) -> bool:
    """Whether a worker runs code that knows the fence; all say which plan they run."""
    names = {name for name, _ in samples(worker)}
    assert "lifestage_worker_info" in names
    return FENCED in names


def test_earlier_code_works_beside_todays_and_in_turns(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path, earlier: Path
) -> None:
    """Old, old beside new, new alone after a kill, back to old beside new and to old alone, then new: the outcome is exact."""
    # the earlier code cannot read what partitions tell each other: as long as it runs beside, nobody is linked
    # nor go on with a profile that is counted in KPIs
    with deployment(kafka.bootstrap, topic_prefix, tmp_path, identity__link="false", kpis__live="false") as made:
        progress = Progress(made)

        def go_on(*workers: Worker) -> None:
            """These alone share the partitions, and get on with the load."""
            made.wait_shared(workers, 90)
            progress.fault()
            progress.wait(300, 90)

        with Load(kafka.bootstrap, topic_prefix, SEED, RATE):
            old = Earlier(made, earlier, "old").wait_ready(120)
            go_on(old)
            new = made.worker("new").wait_ready(120)
            assert (is_fenced(old), is_fenced(new)) == (False, True)
            go_on(old, new)
            old.kill()
            go_on(new)
            back = Earlier(made, earlier, "back").wait_ready(120)
            assert not is_fenced(back)
            go_on(new, back)
            assert new.terminate(60) == 0, new.log()[-2000:]
            go_on(back)
            last = made.worker("last").wait_ready(120)
            go_on(back, last)
            assert back.terminate(60) == 0, back.log()[-2000:]
            go_on(last)
        finish(made, [last])
        assert differences(made) == []
