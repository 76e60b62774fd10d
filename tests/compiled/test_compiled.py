"""The compiled core says byte for byte what the uncompiled one says, and runs only where it was made of these sources."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commands import compiled
from config.errors import SettingsError
from lifestage.facts import Fact
from lifestage.facts import encode as encode_fact
from tests.compiled.transcript import Given
from tests.core.cdnow import END, purchases
from tests.core.histories import Record, Tick, arrivals, records, restless, thorough
from tests.core.samples import EVENTS, TIME_MS, encoded
from tests.core.test_partition import logs

ROOT = Path(__file__).parents[2]
HISTORIES = 300
MACHINE_CODE = tuple(EXTENSION_SUFFIXES)


class Core(NamedTuple):
    """A copy of the checkout, to spoil, and where what was compiled from it is kept."""

    root: Path
    home: Path


class Transcript(NamedTuple):
    """Which core ran, in its own words; the file of each module; and all that the core said."""

    said: str
    files: dict[str, str]
    lines: list[str]


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _copy(root: Path, into: Path) -> Path:
    for name in sorted(path.parent.name for path in root.glob("*/__init__.py")):
        shutil.copytree(root / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
    return into


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The core as it is now, compiled: that of `make setup`, or else made here. Fails where there is no compiler."""
    root = _copy(ROOT, tmp_path_factory.mktemp("checkout"))
    if (compiled.HOME / compiled.digest(root / "lifestage")).is_dir():
        return Core(root, compiled.HOME)
    home, before = tmp_path_factory.mktemp("compiled"), _tree(root)
    try:
        compiled.build(root, home)
    except compiled.CompileError as error:
        pytest.fail(str(error), pytrace=False)
    assert _tree(root) == before, "something was written beside the sources"
    return Core(root, home)


def _collected(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """That many examples of a strategy, the same in every run."""
    found: list[Any] = []

    @settings(thorough, max_examples=count, phases=[Phase.generate], database=None)
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def _cdnow() -> list[Record]:
    rows: list[Fact | Tick] = []
    for number, fact in enumerate(sorted(purchases(), key=lambda fact: fact.time)):
        rows += [fact] if number % 100 else [fact, Tick(fact.time)]
    return records([*rows, Tick(END)])


def _events() -> list[bytes]:
    """Every sample: whole, with an alias, cut off at every byte, and with every byte replaced."""
    found: list[bytes] = []
    for kind in EVENTS:
        whole = encoded(kind)
        found += [whole, whole.replace(b"customer_id", b"customerId"), whole.replace(b"c1", b"ann@example.com")]
        found += [whole[:at] for at in range(len(whole))]
        found += [whole[:at] + bytes([(at * 37) % 256]) + whole[at + 1 :] for at in range(len(whole))]
    return found


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CDNOW and some hundred drawn histories as logs and as facts, foreign records, and events good and broken."""
    drawn = [records(items) for strategy in (arrivals(), restless()) for items in _collected(strategy, HISTORIES)]
    drawn += _collected(logs(), HISTORIES)
    foreign: list[list[Record]] = [[(0, b"c1", b"\x07nothing of ours")], [(0, None, drawn[0][0][2])]]
    facts = [encode_fact(fact) for fact in purchases()]
    file = tmp_path_factory.mktemp("material") / "given.msgpack"
    file.write_bytes(msgspec.msgpack.encode(Given([_cdnow(), *drawn, *foreign], facts, _events(), TIME_MS)))
    return file


def _python(core: Core, arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    environment = inherited | {"PYTHONPATH": str(core.root), "PYTHONIOENCODING": "utf-8"} | variables
    command = [sys.executable, "-P", "-B", *arguments]
    return subprocess.run(command, env=environment, cwd=core.root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def transcript(core: Core, material: Path) -> Callable[..., Transcript]:
    """Run tests/compiled/transcript.py in a process of its own."""

    def run(core: Core = core, **variables: str) -> Transcript:
        script = ROOT / "tests" / "compiled" / "transcript.py"
        done = _python(core, [str(script), str(core.home), str(material)], **variables)
        assert done.returncode == 0, done.stderr
        first, *lines = done.stdout.splitlines()
        said, files = json.loads(first)
        return Transcript(said, files, lines)

    return run


def test_compiled_and_uncompiled_say_the_same_byte_for_byte(transcript: Callable[..., Transcript]) -> None:
    """Changes, profiles, markers, replays and refusals are equal over CDNOW, drawn histories and broken events."""
    fast, plain = transcript(), transcript(LIFESTAGE_COMPILED="0")
    ours = [f"lifestage.{name}" for name in compiled.MODULES]
    assert all(fast.files[name].endswith(MACHINE_CODE) for name in ours)
    assert all(plain.files[name].endswith(".py") for name in ours)
    assert fast.lines == plain.lines
    kinds = [line.split()[0] for line in plain.lines]
    assert kinds.count("marker") > 3 * HISTORIES
    assert (kinds.count("error"), kinds.count("replay")) == (2, 1)
    assert sum("Refusal(" in line for line in plain.lines) > 1000
    changes = [json.loads(line)["data"]["kind"] for line in plain.lines if line.startswith("{")]
    assert set(changes) > {"entry", "advance", "skip", "correction", "reversal", "churn", "at_risk", "reactivation"}
    assert len(changes) > 10_000


def test_only_the_core_comes_from_elsewhere(core: Core, transcript: Callable[..., Transcript]) -> None:
    """With the compiled core every other package of ours is still the checkout's."""
    found = transcript()
    assert found.said == "the core runs compiled"
    assert found.files["lifestage"] == str(
        core.home / compiled.digest(core.root / "lifestage/") / "lifestage/__init__.py"
    )
    assert [found.files[name] for name in ("commands", "config")] == [
        str(core.root / name / "__init__.py") for name in ("commands", "config")
    ]


def test_an_edited_source_runs_as_it_is_written(
    core: Core, transcript: Callable[..., Transcript], tmp_path: Path
) -> None:
    """One comment more in the core, and the worker runs the sources; without it again, the compiled ones."""
    edited = Core(_copy(core.root, tmp_path), core.home)
    source = edited.root / "lifestage" / "marker.py"
    text = source.read_text()
    source.write_text(f"{text}# edited\n")
    found = transcript(edited)
    assert "uncompiled" in found.said
    assert "make setup" in found.said
    assert found.files["lifestage.step"] == str(edited.root / "lifestage" / "step.py")
    source.write_text(text)
    assert transcript(edited).said == "the core runs compiled"


@pytest.mark.parametrize("off", ["0", "false", "no"])
def test_it_can_be_turned_off(core: Core, off: str) -> None:
    """LIFESTAGE_COMPILED=0 leaves the import path as it is, and says so."""
    before = list(sys.path)
    assert compiled.use({"LIFESTAGE_COMPILED": off}, core.root, core.home) == (
        f"the core runs uncompiled: LIFESTAGE_COMPILED = {off}"
    )
    assert sys.path == before


def test_a_value_that_is_neither_on_nor_off_is_refused(core: Core) -> None:
    """The variable, the value and what was meant are named."""
    with pytest.raises(SettingsError, match="LIFESTAGE_COMPILED = 'maybe': expected 0 or 1"):
        compiled.use({"LIFESTAGE_COMPILED": "maybe"}, core.root, core.home)


def test_a_core_that_was_imported_is_never_mixed_with_another(core: Core) -> None:
    """Where the core was imported before, as it is in this process, it stays the one that it is."""
    before = list(sys.path)
    assert "imported before" in compiled.use({}, core.root, core.home)
    assert sys.path == before


@pytest.mark.parametrize(("value", "words"), [("1", "the core runs compiled"), ("0", "the core runs uncompiled")])
def test_a_worker_says_at_its_start_which_one_it_runs(core: Core, value: str, words: str) -> None:
    """One INFO line, before anything is connected; here nothing answers, so it ends with exit code 1."""
    code = (
        f"from pathlib import Path; from commands import compiled; compiled.HOME = Path({str(core.home)!r})\n"
        "from commands.main import main; main()"
    )
    closed = {"LIFESTAGE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "LIFESTAGE_REDIS_ENABLED": "0", "LIFESTAGE_COMPILED": value}
    done = _python(core, ["-c", code, "worker"], **closed)
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stderr.splitlines() if f"INFO lifestage: {words}" in line] != []


def test_without_a_compiler_setup_says_one_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to type is said, nothing is made, and it is no error."""
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(compiled, "HOME", tmp_path / "compiled")
    compiled.main()
    assert capsys.readouterr().out == (
        "no C compiler: the core runs uncompiled, about 6 µs more an event; to compile it type  sudo apt-get install gcc\n"
    )
    assert not (tmp_path / "compiled").exists()


def test_what_was_compiled_of_other_sources_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup keeps the core as it is now, a build at work beside it, and nothing else."""
    monkeypatch.setattr(compiled, "HOME", tmp_path)
    now = compiled.digest(ROOT / "lifestage")
    for name in (now, "0" * 32, ".at-work"):
        (tmp_path / name).mkdir()
    compiled.main()
    assert {path.name for path in tmp_path.iterdir()} == {now, ".at-work"}
