"""Offline work on files: the same bytes in one process and in several, in memory and on disk; and bounded memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

from benchmarks.events import generate
from commands.main import application
from commands.progress import Lines
from config.errors import UserFacingError
from config.plan_files import sheet_of
from config.settings import Settings
from lifestage.change import encode_value
from lifestage.facts import Fact
from lifestage.replay import replay
from streams.doorway import decoder_of
from streams.files import lines
from streams.offline import Result, working
from streams.offline_parallel import Crew, Task
from streams.offline_work import Job
from streams.rules import rules_with
from tests.core.histories import START, thorough
from tests.core.oracle import DAY
from tests.core.samples import event
from tests.offline.some_events import some_event

ROOT = Path(__file__).parents[2]
SETTINGS = Settings()
CLM5 = sheet_of("clm5").plan
MB = 1 << 20
_LINES = bytes(b"\n\r \x0b ab"[byte % 7] for byte in range(256))


def told(files: Sequence[Path], job: Job, processes: int, piece: int = MB) -> tuple[bytes, list[str], dict[str, Any]]:
    """All that a run gives: its lines, its rejected lines, its counts."""
    with working(job, [str(file) for file in files], Lines(), processes, piece) as result:
        said = b"".join(bytes(line) + b"\n" for line in result.told())
        return said, [f"{place} {place.rejected.event}" for place in result.rejected()], counts(result)


def counts(result: Result) -> dict[str, Any]:
    """The numbers of a result."""
    names = ("events", "customers", "outcomes", "population", "moves", "differ")
    return {name: getattr(result, name) for name in names} | {"rejected": result.first_rejected()}


brief = settings(thorough, max_examples=max(60, thorough.max_examples // 5))


@st.composite
def inputs(draw: st.DrawFn) -> tuple[list[bytes], Random]:
    """Lines of a file, some of them no events and some blank, and where further choices come from."""
    random = Random(draw(st.integers(0, 1 << 32)))
    lines = [json.dumps(some_event(random)).encode() for _ in range(draw(st.integers(0, 60)))]
    lines += draw(st.lists(st.sampled_from((b"", b"  ", b"{", b'{"id": 3}', b"\xff")), max_size=5))
    random.shuffle(lines)
    return lines, random


def write(folder: Path, name: str, given: Sequence[bytes], end: bytes = b"\n") -> Path:
    """A file of lines."""
    path = folder / name
    path.write_bytes(end.join(given))
    return path


@brief
@given(inputs(), st.sampled_from((None, START + 90 * DAY)), st.booleans(), st.integers(1, 4000))
def test_tiny_limits_change_nothing(
    drawn: tuple[list[bytes], Random], until: int | None, two: bool, piece: int
) -> None:
    """Sorting on disk with 2 kB of memory, two runs at a time, in pieces of any size, gives the bytes of one go in memory."""
    given_lines, _ = drawn
    plans = (CLM5, replace(CLM5, stages=CLM5.stages[1:])) if two else (CLM5,)
    job = Job(SETTINGS, plans, ("a", "b"), until=until, aside=True)
    with TemporaryDirectory() as folder:
        file = write(Path(folder), "all.jsonl", given_lines)
        assert told([file], job._replace(memory=2_000, fan_in=2), 1, piece) == told([file], job, 1)


@brief
@given(inputs())
def test_no_order_of_lines_or_files_shows(drawn: tuple[list[bytes], Random]) -> None:
    """Events shuffled over two files, named in any order, are told the same, even where one id has two contents."""
    given_lines, random = drawn
    job = Job(SETTINGS, (CLM5,))
    with TemporaryDirectory() as name:
        folder = Path(name)
        once = told([write(folder, "all.jsonl", given_lines)], job, 1)
        random.shuffle(given_lines)
        half = random.randint(0, len(given_lines))
        files = [
            write(folder, "one.jsonl", given_lines[:half], b"\r\n"),
            write(folder, "two.jsonl", given_lines[half:]),
        ]
        again = told(files[:: random.choice((1, -1))], job, 1)
        assert again[0] == once[0]
        assert {**again[2], "rejected": None} == {**once[2], "rejected": None}


@brief
@given(inputs(), st.sampled_from((None, START + 90 * DAY)))
def test_it_is_the_file_replay_of_the_core(drawn: tuple[list[bytes], Random], until: int | None) -> None:
    """Line by line the changes of `lifestage.replay`, and its counts."""
    decode = decoder_of(SETTINGS).decode
    facts = [fact for line in drawn[0] if isinstance(fact := decode(line, None), Fact)]
    path = replay(facts, rules_with(SETTINGS, CLM5), until)
    with TemporaryDirectory() as folder:
        said, _, numbers = told([write(Path(folder), "all.jsonl", drawn[0])], Job(SETTINGS, (CLM5,), until=until), 1)
    assert said.splitlines() == [encode_value(change) for change in path.changes]
    assert +numbers["population"][0] == +path.population
    assert {name: numbers["outcomes"][name] for name in path.outcomes} == path.outcomes


@pytest.mark.parametrize("seed", range(3))
def test_two_processes_change_nothing(tmp_path: Path, seed: int) -> None:
    """Two processes on pieces of 700 bytes, sorting on disk, give the bytes of one process in memory."""
    random = Random(seed)
    given_lines = [json.dumps(some_event(random, 50)).encode() for _ in range(500)]
    given_lines += [b"{", b"", b'{"id": 3}', b"\xff"] * 3
    random.shuffle(given_lines)
    one, two = write(tmp_path, "one.jsonl", given_lines[:200]), write(tmp_path, "two.jsonl", given_lines[200:])
    job = Job(SETTINGS, (CLM5,), aside=True)
    alone = told([one, two], job, 1)
    assert told([one, two], job._replace(memory=4_000, fan_in=3), 2, 700) == alone
    assert len(alone[0].splitlines()) > 50
    assert len(alone[1]) == 9


@thorough
@given(st.binary(max_size=80).map(lambda raw: raw.translate(_LINES)), st.integers(1, 90))
def test_every_line_is_in_one_piece(content: bytes, piece: int) -> None:
    """However a file is cut, its lines come once each, in order, with their numbers."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lines"
        path.write_bytes(content)
        found = [(line.number, line.value) for line in lines([str(path)], most=piece)]
    assert found == [(n, line.strip()) for n, line in enumerate(content.split(b"\n"), 1) if line.strip()]


def test_a_line_without_end_is_one_rejected_line(tmp_path: Path) -> None:
    """17 MB in a line are cut and refused as one event, in a file and in a stream; the neighbours and their numbers stay."""
    content = [json.dumps(event()).encode(), b"x" * (17 * MB), b"{", json.dumps(event(id="e2")).encode()]
    file = write(tmp_path, "long.jsonl", content)
    for piece in (MB, 40 * MB):
        said = told([file], Job(SETTINGS, (CLM5,)), 1, piece)[2]
        assert said["outcomes"] == {"accepted": 2, "rejected": 2}
        first, second = said["rejected"]
        assert first.startswith(f"{file}:2: too_large: $: expected at most 32768 bytes")
        assert second.startswith(f"{file}:3: unparsable")
    done = CliRunner().invoke(application(), ["replay", "-"], input=b"\n".join(content))
    assert "2 accepted, 2 rejected" in done.stderr
    assert "  stdin:2: too_large" in done.stderr
    assert "  stdin:3: unparsable" in done.stderr


class Heard:
    """Keeps what progress was reported."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, int | None]] = []
        self.reached: list[tuple[int, str]] = []

    def begin(self, what: str, total: int | None) -> None:
        """The next part."""
        self.parts.append((what, total))
        self.reached.append((0, ""))

    def reach(self, done: int, said: str = "") -> None:
        """So much of it."""
        self.reached[-1] = (done, said)


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_ends_at_the_total_with_a_rate(tmp_path: Path, processes: int) -> None:
    """Bytes while reading, facts while computing, up to the last; with the events and changes a second."""
    file = tmp_path / "e.jsonl"
    file.write_bytes(b"".join(one.value + b"\n" for one in generate(5_000)) + b"{\n")
    heard = Heard()
    with working(Job(SETTINGS, (CLM5,)), [str(file)], heard, processes) as result:
        changes = result.moves[0].total()
    assert heard.parts == [("reading", file.stat().st_size), ("computing", 5_000)]
    assert [done for done, _ in heard.reached] == [file.stat().st_size, 5_000]
    assert re.fullmatch(r"5,001 events, [0-9,]+ a second", heard.reached[0][1])
    assert re.fullmatch(rf"{changes:,} changes, [0-9,]+ a second", heard.reached[1][1])


def test_a_stream_is_divided_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events from a pipe through two processes are told as from a file."""
    monkeypatch.chdir(tmp_path)
    content = b"".join(one.value + b"\n" for one in generate(3_000))
    Path("e.jsonl").write_bytes(content)
    words = ["--processes", "2", "--memory", "1"]
    piped = CliRunner().invoke(application(), ["replay", "-", *words], input=content)
    assert piped.exit_code == 0, piped.stderr
    assert piped.stdout_bytes == CliRunner().invoke(application(), ["replay", "e.jsonl"]).stdout_bytes
    assert "3,000 accepted" in piped.stderr


def test_the_company_is_no_customer(tmp_path: Path) -> None:
    """Costs and impressions of nobody are accepted, and make neither a customer nor a change."""
    cost = {
        "id": "k1", "source": "ads", "type": "cost.recorded", "time": "2024-01-01T00:00:00Z", "cost_id": "k1",
        "amount": "10.00", "currency": "EUR", "category": "marketing",
        "period_start": "2024-01-01T00:00:00Z", "period_end": "2024-02-01T00:00:00Z",
    }  # fmt: skip
    file = write(tmp_path, "e.jsonl", [json.dumps(cost).encode(), json.dumps(event("order.completed")).encode()])
    said, _, numbers = told([file], Job(SETTINGS, (CLM5,)), 1)
    assert (numbers["customers"], numbers["outcomes"]["accepted"], len(said.splitlines())) == (1, 2, 1)


MEASURE = (
    "import resource, sys\n"
    "from commands.main import application\n"
    "if __name__ == '__main__':\n"
    "    try: application()(sys.argv[1:])\n"
    "    except SystemExit: pass\n"
    "    own = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
    "    print(int(own.split()[1]) // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)\n"
)


def peaks(folder: Path, *words: str) -> tuple[int, int]:
    """The most memory of the command's own process and of its largest worker, MB."""
    script = folder / "measure.py"
    script.write_text(MEASURE)
    done = subprocess.run(
        [sys.executable, script, "replay", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LIFESTAGE_COMPILED": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    own, workers = map(int, done.stdout.split())
    return own, workers


def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    """150,000 events (45 MB) with 8 MB each: no process takes more than 85 MB, a half of them the interpreter; in memory
    it takes 130 and more, and gives the same bytes."""
    file, small, large = tmp_path / "e.jsonl", tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    with file.open("wb") as out:
        out.writelines(one.value + b"\n" for one in generate(150_000))
    bounded = peaks(tmp_path, str(file), "--memory", "8", "--processes", "2", "--output", str(small))
    assert max(bounded) < 85, bounded
    assert bounded[1] > 30, "workers have done it"
    free = peaks(tmp_path, str(file), "--memory", "1000", "--processes", "1", "--output", str(large))
    assert free[0] > 130
    assert small.read_bytes() == large.read_bytes()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A replay by two processes that waits for more events, once it has sorted some of them on disk."""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp"), "LIFESTAGE_COMPILED": "0"}
    command = [
        sys.executable,
        "-P",
        "-m",
        "commands",
        "replay",
        "-",
        "--memory",
        "1",
        "--processes",
        "2",
        "--output",
        "o",
    ]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        for one in generate(60_000):
            process.stdin.write(one.value.decode() + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list((tmp_path / "tmp").glob("lifestage-*/facts-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
        process.kill()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_ended(tmp_path: Path, running: subprocess.Popen[str], sent: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the workers, remove the temporary files, and show no traceback."""
    children = children_of(running.pid)
    assert len(children) >= 2
    running.send_signal(sent)
    assert running.wait(20) != 0
    assert list((tmp_path / "tmp").iterdir()) == []
    deadline = time.monotonic() + 10  # Python's own helper goes a moment after the process that it helped
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()


def test_a_killed_worker_is_one_line(tmp_path: Path) -> None:
    """A worker that the system has killed, as when memory runs out, ends the command with what to do."""
    others = children_of(os.getpid())
    with Crew(Job(SETTINGS, (CLM5,), parts=1, keep=False), tmp_path, 1) as crew:
        crew.all(Task("sort"))  # it has begun
        (worker,) = [child for child in children_of(os.getpid()) if child not in others and is_worker(child)]
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(
            UserFacingError, match="a worker process ended with status -9; if memory ran out, give --memory"
        ):
            crew.all(Task("sort"))


def is_worker(pid: int) -> bool:
    """Whether a process is one of ours that was started anew; the other is Python's own, that counts shared resources."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """No room for the output or for temporary files: the file or folder, why, and what to do."""
    file = tmp_path / "e.jsonl"
    file.write_bytes(b"".join(one.value + b"\n" for one in generate(8_000)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "LIFESTAGE_COMPILED": "0"}

    def ended(*words: str, limit: int = -1) -> tuple[int, str]:
        command = [sys.executable, "-P", "-c", LIMITED, str(limit), "replay", str(file), "--memory", "1", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert not list(tmp_path.glob("lifestage-*"))
        return done.returncode, done.stderr

    assert ended("--output", "/dev/full") == (1, "lifestage: /dev/full: cannot be written (No space left on device)\n")
    for processes in ("1", "2"):
        code, said = ended("--processes", processes, limit=200_000)
        assert code == 1
        assert re.fullmatch(
            rf"lifestage: {tmp_path}/lifestage-\w+: no temporary file can be written \(File too large\); "
            r"TMPDIR names another folder\n", said,
        ), said  # fmt: skip


LIMITED = (
    "import resource, sys\n"
    "limit = int(sys.argv.pop(1))\n"
    "if limit > 0: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
    "from commands.main import main\n"
    "main()\n"
)


def test_whose_ids_come_first_counts_where_they_are_too_many(tmp_path: Path) -> None:
    """Of 105 devices that are seen with one customer the earliest hundred are theirs, in the core and over all parts."""
    lines = []
    for n in reversed(range(105)):
        device = {"anonymous_id": f"d{n:03}", "time": START + n * 1000}
        lines += [event(id=f"a{n}", customer_id=..., **device), event(id=f"b{n}", customer_id="ann", **device)]
    file = write(tmp_path, "e.jsonl", [json.dumps(one).encode() for one in lines])
    for processes in (1, 2):
        numbers = told([file], Job(SETTINGS, (CLM5,)), processes, 5_000)[2]
        assert (numbers["customers"], numbers["outcomes"]["accepted"]) == (6, 210)
