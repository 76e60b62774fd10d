"""The command line: quick to start, and quiet when it fails."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import aiokafka.errors
import kafka.errors
import pytest
import redis

import commands
from commands.main import COMMANDS, is_unreachable, main

ROOT = Path(__file__).parents[1]


def lifestage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LIFESTAGE_")}
    return subprocess.run(
        [Path(sys.prefix) / "bin" / "lifestage", *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_help_is_quick() -> None:
    """`lifestage --help` takes less than 0.3 s of processor time, and lists the commands that are there."""
    spent = []
    done = lifestage("--help")
    for _ in range(3):  # the best of three: others use this machine too
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        lifestage("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "config" in done.stdout
    assert done.returncode == 0
    assert min(spent) < 0.3


def test_the_help_imports_no_client() -> None:
    """Faust, the Kafka clients and Redis are imported by the command that needs them only."""
    script = (
        "import sys; sys.argv = ['lifestage', '--help']\n"
        "from commands.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('imported', *({'faust', 'mode', 'aiokafka', 'kafka', 'redis', 'rich', 'streams'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "imported"


def test_the_version_is_that_of_the_package() -> None:
    """`--version` says what pyproject.toml says."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert lifestage("--version").stdout == f"lifestage {tomllib.load(file)['project']['version']}\n"


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "commands").glob("*.py") if path.stem in COMMANDS)
)
def test_each_command_has_help(name: str) -> None:
    """Every command says what it does and where its settings come from."""
    done = lifestage(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: lifestage {name}" in done.stdout


@pytest.mark.parametrize("words", [(), ("dead-letters",)])
def test_no_line_of_a_list_of_commands_is_cut(words: tuple[str, ...]) -> None:
    """In a terminal of 80 columns each command is said to its end."""
    done = lifestage(*words, "--help", COLUMNS="80")
    listed = done.stdout.partition("Commands:")[2].splitlines()[1:]
    assert len(listed) == (3 if words else len(COMMANDS))
    assert [line for line in listed if not line.endswith(".")] == []
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("redrive", "--all", "--fix", "foo"), "--fix 'foo' is no field: write name=value"),
        (("redrive", "--all", "3:1"), "--all chooses all and LETTER some: give one of the two"),
        (("list", "--all", "--limit", "5"), "--all shows all and --limit the newest: give one of the two"),
        (("list", "--since", "yesterday"), "a date such as 2024-02-29 will do, too"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_kafka_is_asked(words: tuple[str, ...], said: str) -> None:
    """With no Kafka there, it is the words that are complained of."""
    done = lifestage("dead-letters", *words, LIFESTAGE_KAFKA_BOOTSTRAP="127.0.0.1:1", COLUMNS="200")
    assert done.returncode == 2
    assert said in done.stderr


def test_every_module_of_a_command_is_registered() -> None:
    """A file in commands/ with a function `run` is a command that the help lists."""
    modules = {path.stem for path in (ROOT / "commands").glob("*.py") if "\ndef run(" in path.read_text()}
    assert modules <= set(COMMANDS)


def test_a_misspelt_command_gets_a_suggestion() -> None:
    """The nearest command is named, and the exit code is that of a wrong use."""
    done = lifestage("confgi")
    assert done.returncode == 2
    assert "Did you mean 'config'?" in done.stderr


def test_a_refused_setting_is_one_line_and_exit_code_2() -> None:
    """A person who configures sees what is wrong, not where our code is."""
    done = lifestage("config", LIFESTAGE_KAFKA_GROUP="a b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lifestage: environment LIFESTAGE_KAFKA_GROUP: kafka.group = 'a b': must be")
    assert len(done.stderr.splitlines()) == 1


def test_the_file_may_be_named_before_or_after_the_command_or_in_the_environment(tmp_path: Path) -> None:
    """`--config` means the same on both sides; after the command it wins, and the environment comes last."""
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(f'[kafka]\ngroup = "{name}"\n')
    one, two, three = (str(tmp_path / name) for name in ("one", "two", "three"))
    assert 'group = "one"' in lifestage("--config", one, "config").stdout
    assert 'group = "two"' in lifestage("--config", one, "config", "--config", two, LIFESTAGE_CONFIG=three).stdout
    assert 'group = "one"' in lifestage("--config", one, "config", LIFESTAGE_CONFIG=three).stdout
    assert 'group = "three"' in lifestage("config", LIFESTAGE_CONFIG=three).stdout


def test_config_shows_what_is_in_force_and_can_be_read_back(tmp_path: Path) -> None:
    """`lifestage config` prints TOML that says where each value came from, with secrets as `…`."""
    shown = lifestage(
        "config",
        LIFESTAGE_KAFKA_PASSWORD="hunter2",
        LIFESTAGE_REDIS_URL="redis://:hunter2@127.0.0.1:1/0",
        LIFESTAGE_KAFKA_GROUP="mine",
    ).stdout
    assert "hunter2" not in shown
    tables = tomllib.loads(shown)
    assert (tables["kafka"]["group"], tables["kafka"]["password"]) == ("mine", "…")
    assert (tables["redis"]["url"], tables["topics"]["log_retention_days"]) == ("redis://…@127.0.0.1:1/0", -1)
    assert "# environment LIFESTAGE_KAFKA_GROUP" in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert tomllib.loads(lifestage("config", "--config", str(again)).stdout) == tables


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("no"),
        TimeoutError(),
        redis.ConnectionError("no"),
        redis.TimeoutError("no"),
        kafka.errors.KafkaConnectionError("no"),
        kafka.errors.KafkaTimeoutError(),
        aiokafka.errors.KafkaConnectionError("no"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_what_the_clients_raise_when_nobody_answers_is_known(error: Exception) -> None:
    """Each client's way to say that a server cannot be reached ends quietly."""
    assert is_unreachable(error)


@pytest.mark.parametrize("error", [ValueError(), redis.ResponseError("x"), kafka.errors.KafkaError(), OSError()])
def test_a_defect_is_not_taken_for_a_server_that_is_away(error: Exception) -> None:
    """Any other error keeps its traceback."""
    assert not is_unreachable(error)


@pytest.fixture
def dial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `dial` that does what its first line says."""
    (tmp_path / "dial.py").write_text(
        "import socket\n"
        "from config.errors import UserFacingError\n"
        "def run(how: str) -> None:\n"
        "    if how == 'closed':\n"
        "        with socket.socket() as free:\n"
        "            free.bind(('127.0.0.1', 0))\n"
        "            port = free.getsockname()[1]\n"
        "        socket.create_connection(('127.0.0.1', port))\n"
        "    if how == 'told':\n"
        "        raise UserFacingError('x is 3; it must be 4')\n"
        "    raise ValueError('a defect')\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    monkeypatch.setitem(COMMANDS, "dial", "Try it.")
    monkeypatch.delitem(sys.modules, "commands.dial", raising=False)


@pytest.mark.usefixtures("dial")
def test_how_a_command_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is away and an error meant for a person are one line and exit code 1; a defect is not hidden."""
    for how, line in (
        ("closed", "lifestage: [Errno 111] Connection refused; `lifestage config` shows the addresses in force\n"),
        ("told", "lifestage: x is 3; it must be 4\n"),
    ):
        monkeypatch.setattr(sys, "argv", ["lifestage", "dial", how])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code, capsys.readouterr().err) == (1, line)
    monkeypatch.setattr(sys, "argv", ["lifestage", "dial", "defect"])
    with pytest.raises(ValueError, match="a defect"):
        main()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("check", "clm5"), ("config",), ("contract",), ("--help",)])
def test_a_full_stdout_is_one_line(words: tuple[str, ...], unbuffered: str) -> None:
    """A disk that is full is no defect of ours: one line and exit code 1, whether Python buffers or not."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [Path(sys.prefix) / "bin" / "lifestage", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "lifestage: stdout: cannot be written (No space left on device)\n")


def test_a_refused_output_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """What would overwrite its own input is a wrong option, and the input is as it was, also when it comes from stdin."""
    (tmp_path / "e.jsonl").write_text("{}\n")
    name = str(tmp_path / "e.jsonl")
    with Path(name).open() as stdin:
        done = subprocess.run(
            [Path(sys.prefix) / "bin" / "lifestage", "replay", "-", "--output", name],
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    said = f"lifestage: --output {name}: the same file as stdin, which is read; name another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert Path(name).read_text() == "{}\n"
