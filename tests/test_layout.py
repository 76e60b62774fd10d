"""Architecture is a test: who may import whom, how pure the core is, how long files and functions may be."""

from __future__ import annotations

import ast
import io
import os
import shutil
import statistics
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
PRODUCT = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
ALL = [*PRODUCT, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN = 10
LONG_FILES: dict[str, str] = {}
"""Files that may be longer than `FILE_LINES_MAX` lines of code, each with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A path as it is written in the repository."""
    return path.relative_to(ROOT).as_posix()


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml on the packages in a folder."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of our packages and of pyproject.toml, to spoil."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_go_one_way_and_the_core_imports_no_io() -> None:
    """The contracts in pyproject.toml hold for the code as it is."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_contracts_break_when_they_should(copied: Path) -> None:
    """An import against the direction, or of I/O into the core, even through a third module, is found."""
    (copied / "config" / "upwards.py").write_text("import streams.topics\n")
    (copied / "agents" / "upwards.py").write_text("from commands import main\n")
    (copied / "lifestage" / "upwards.py").write_text("import config.settings\n")
    (copied / "lifestage" / "clock.py").write_text("import time\n")
    (copied / "lifestage" / "hidden.py").write_text("def f():\n    from asyncio import sleep\n    return sleep\n")
    (copied / "config" / "reader.py").write_text("import redis.asyncio\n")
    done = lint_imports(copied)
    assert done.returncode == 1
    for wrong in (
        "config.upwards -> streams.topics",
        "agents.upwards -> commands.main",
        "lifestage.upwards -> config.settings",
        "lifestage.clock -> time",
        "lifestage.hidden -> asyncio",
        "config.reader -> redis",
    ):
        assert wrong in done.stdout


def test_every_package_of_ours_is_under_the_contracts() -> None:
    """A new top-level package is a layer from its first file."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        rules = tomllib.load(file)["tool"]["importlinter"]
    layers = [name.strip("()") for name in rules["contracts"][0]["layers"]]
    assert sorted(rules["root_packages"]) == PACKAGES
    assert set(PACKAGES) <= set(layers)


def _impure(tree: ast.Module) -> Iterator[tuple[int, str]]:
    forbidden = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint", "globals"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today", "perf_counter", "monotonic"}:
            yield node.lineno, node.attr
        if isinstance(node, ast.Name) and node.id in forbidden:
            yield node.lineno, node.id
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.Global)):
            yield node.lineno, type(node).__name__


IMPURE = {"lifestage/plan.py": ["eval"]}
"""A plan's conditions are compiled once, from operands, operators and integers that were checked: never from text."""


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.parts[len(ROOT.parts)] == "lifestage"], ids=name_of)
def test_the_core_asks_no_clock_and_touches_nothing(path: Path) -> None:
    """No `now`, no `open`, no `print`, no `async`, no `global` in the core; what is listed is still needed."""
    found = [name for _, name in _impure(ast.parse(path.read_text(encoding="utf-8")))]
    assert found == IMPURE.get(name_of(path), [])


@pytest.mark.parametrize(
    "line", ["datetime.now(UTC)", "date.today()", "open('x')", "print(1)", "async def f(): ...", "eval('1')"]
)
def test_an_impure_line_is_found(line: str) -> None:
    """The search for clocks and I/O finds each kind."""
    assert len(list(_impure(ast.parse(line)))) == 1


def _functions(path: Path) -> Iterator[tuple[Function, int]]:
    """Each function of a file with its length in lines, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)


def _docstring_lines(node: Function | ast.ClassDef | ast.Module) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def _code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    text = path.read_text(encoding="utf-8")
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return len(lines) - sum(_docstring_lines(n) for n in ast.walk(ast.parse(text)) if isinstance(n, documented))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_file_is_short(path: Path) -> None:
    """A file has at most 300 lines of code, so that it is read in one go; a listed exception is still needed."""
    assert (_code_lines(path) > FILE_LINES_MAX) == (name_of(path) in LONG_FILES)


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_function_is_short(path: Path) -> None:
    """A function has at most 50 lines without its docstring."""
    assert [(node.name, lines) for node, lines in _functions(path) if lines > FUNCTION_LINES_MAX] == []


def test_most_functions_are_very_short() -> None:
    """Half of all functions have at most 10 lines."""
    assert statistics.median(lines for path in PRODUCT for _, lines in _functions(path)) <= FUNCTION_LINES_MEDIAN


def test_no_test_leaves_a_folder_behind() -> None:
    """Test files make their files in `tmp_path`, which pytest takes away, and none by `mkdtemp` or `mkstemp`."""
    made = {"mkdtemp", "mkstemp"}
    lasting = [
        name_of(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if any(
            isinstance(node, ast.Attribute | ast.Name) and getattr(node, "attr", getattr(node, "id", "")) in made
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert lasting == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name_of)
def test_a_test_says_what_it_shows(path: Path) -> None:
    """Every test states the behaviour in its docstring, and none is skipped or expected to fail."""
    tests = [node for node, _ in _functions(path) if node.name.startswith("test_")]
    assert tests
    assert [node.name for node in tests if not ast.get_docstring(node)] == []
    marks = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert marks & {"skip", "skipif", "xfail", "importorskip"} == set()
