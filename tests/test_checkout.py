"""The checkout as a whole: whose names are imported, what a wheel holds, what the documents and files say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from commands.main import COMMANDS
from config.settings import Settings
from streams.topics import topics_of

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
CORE = ROOT / "lifestage"
LAUNCHER = Path(sys.prefix) / "bin" / "lifestage"
TRACKED = [
    ROOT / name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    if name and (ROOT / name).is_file()
]
DOCUMENTS = [
    path for path in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")) if path.exists()
]


def documented(words: str) -> bool:
    """Whether a document for users holds these words as code: between backticks, or in a block of code."""
    pattern = re.compile(rf"(?<![\w-]){re.escape(words)}(?![\w-])")
    return any(
        pattern.search(code)
        for document in DOCUMENTS
        for code in re.findall(r"```.*?```|`[^`\n]+`", document.read_text(encoding="utf-8"), re.DOTALL)
    )


def test_our_names_are_ours_when_started_by_the_launcher(tmp_path: Path) -> None:
    """Packages of the same names in the current folder or on PYTHONPATH do not come before the checkout's.

    One exception is made on purpose: a worker takes `lifestage` from .venv/compiled (tests/compiled/test_compiled.py).
    """
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('another package of our name')\n")
    # Python imports sitecustomize in every process it starts: here it says which packages the process will see.
    probe = f"import importlib.util as u\nfor n in {PACKAGES}: print(n, u.find_spec(n).origin)\n"
    (tmp_path / "sitecustomize.py").write_text(probe)
    link = tmp_path / "link"
    link.symlink_to(LAUNCHER)
    done = subprocess.run(
        [link, "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *seen, version = done.stdout.splitlines()
    assert seen == [f"{name} {ROOT / name / '__init__.py'}" for name in PACKAGES]
    assert version.startswith("lifestage ")


def test_the_launcher_is_the_one_of_this_checkout() -> None:
    """`make setup` installed commands/launcher.sh as it is now."""
    assert LAUNCHER.read_text() == (ROOT / "commands" / "launcher.sh").read_text()
    assert os.access(LAUNCHER, os.X_OK)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    out = copy / "out"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", out, copy], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_core_and_nothing_else(wheel: Path) -> None:
    """All of lifestage is in the wheel; agents, config and streams would overwrite other distributions' packages."""
    names = zipfile.ZipFile(wheel).namelist()
    ours = {path.relative_to(ROOT).as_posix() for end in ("*.py", "py.typed") for path in CORE.rglob(end)}
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert "lifestage/py.typed" in ours


def test_the_core_in_the_wheel_needs_msgspec_only(wheel: Path) -> None:
    """Every module of the wheel can be imported with no other distribution than msgspec."""
    files = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files]
    # msgspec takes typing_extensions where it is there; setuptools leaves a hook of its own in every process.
    allowed = {"lifestage", "msgspec", "typing_extensions", "_distutils_hack"}
    script = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import site, importlib\n"
        f"for name in {modules}: assert {wheel.name!r} in importlib.import_module(name).__spec__.origin\n"
        "foreign = {n.split('.')[0] for n, m in sys.modules.items() if 'site-packages' in str(getattr(m, '__file__', ''))}\n"
        f"print(*sorted(foreign - {allowed}))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", [name for name in COMMANDS if find_spec(f"commands.{name}")])
def test_each_command_stands_in_the_documents(name: str) -> None:
    """A person finds each command in the documents as they would type it."""
    assert documented(f"lifestage {name}")


@pytest.mark.parametrize("name", [topic.name for topic in topics_of(Settings()).all()])
def test_each_topic_stands_in_the_documents(name: str) -> None:
    """A person finds each topic that is provisioned in the documents."""
    assert documented(name)


def test_no_file_holds_a_path_of_one_machine_or_a_host_of_packages() -> None:
    """Nothing that is tracked depends on where it was written, or on where packages were fetched from."""
    # In pieces, so that this file does not find itself.
    paths = "|".join(("/ho" + r"me/\w", "/ro" + r"ot/\w", "/Us" + r"ers/\w", r"(?<![\w.])/wo" + r"rk/\w"))
    told = r"(?<!--no-emit-)"  # where a lock says that it names none
    hosts = "|".join(
        ("pypi" + r"\.org", "pythonhosted" + r"\.org", told + "index" + "-url", told + "find" + "-links [^-]")
    )
    wrong = re.compile(f"{paths}|{hosts}".encode())
    found = {str(path.relative_to(ROOT)): wrong.findall(path.read_bytes()) for path in TRACKED}
    assert {name: hits for name, hits in found.items() if hits and name != "Makefile"} == {}


def test_both_locks_have_hashes_and_agree() -> None:
    """Every line of the locks is exact with a hash, and the image runs the versions that were tested."""
    locks = {}
    for name in ("requirements.lock", "requirements-runtime.lock"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text())[1:]
        assert all(re.match(r"[a-z0-9.-]+==\S+.*\\\n +--hash=sha256:", block) for block in blocks)
        locks[name] = {block.split()[0] for block in blocks}
    assert locks["requirements-runtime.lock"] < locks["requirements.lock"]
    assert not any(line.startswith(("pytest", "ruff", "mypy=")) for line in locks["requirements-runtime.lock"])
