"""The core in machine code, where there is a C compiler: the same sources, with less work for each event.

`make setup` runs `python -m commands.compiled`: mypyc translates `MODULES` into C, and what comes of it is kept beside
.venv's packages, in a folder whose name is the digest of what it was made of. `lifestage worker` alone uses it, and only
if it was made of the sources as they are now; so an edited source runs as it is written. Nothing depends on it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config.errors import SettingsError, UserFacingError

ROOT = Path(__file__).parents[1]
HOME = Path(sys.prefix) / "compiled"
PACKAGE = "lifestage"
VARIABLE = "LIFESTAGE_COMPILED"
MODULES = (
    # the door: 5.3 → 4.8 µs an event; the rest of it is msgspec's parser
    "decode", "keys", "moments", "amounts", "money",
    # the fold: 17.8 → 12.3 µs an event
    "due", "partition", "reported", "newcomers", "packed", "restored", "state", "step", "seen", "fold", "ledger", "signals", "look", "operands", "plan", "announce", "evidence", "document",
    # what happens to ids
    "identity", "members", "stays", "loads",
    # live KPIs, where they are kept: two thirds of what they take
    "kpi_days", "kpi_entries", "kpi_intervals", "kpi_live_another", "kpi_live_messages", "kpi_live_orders", "kpi_live_path", "kpi_live_placed", "kpi_live_visits", "kpi_live_worth", "kpi_note", "kpi_spread", "kpi_step", "kpi_visit",
)  # fmt: skip
"""What is compiled: modules that run for every event and define no msgspec Struct.

mypyc drops the keywords of a class (`frozen`, `array_like`, `tag`), so a module with Structs runs as it is. Those that
run once a start, once a batch or for refusals only would gain nothing. mypyc believes what mypy concludes: an attribute
that was compared with an integer must not be None after a call that may set it (compare a copy of it).
"""


class CompileError(UserFacingError):
    """The core could not be compiled; says why, what that means, and what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}: the core runs uncompiled, about 6 µs more an event; {remedy}")


def digest(sources: Path) -> str:
    """The name of what is compiled from a package's folder: of its files, of `MODULES`, of Python and of mypyc."""
    try:
        compiler = version("mypy")
    except PackageNotFoundError:
        compiler = "none"
    found = hashlib.sha256(f"{sys.version} {sysconfig.get_config_var('SOABI')} {compiler} {MODULES}".encode())
    for path in sorted(sources.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"\0{path.relative_to(sources).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:32]


def use(environment: Mapping[str, str], root: Path = ROOT, home: Path | None = None) -> str:
    """Let `lifestage` be imported from what was compiled of it, if that is there; says which one runs, and why.

    Call it before anything of `lifestage` is imported. Raises `SettingsError` for a value of LIFESTAGE_COMPILED that is
    neither on nor off.
    """
    wanted = environment.get(VARIABLE, "1").lower()
    if wanted in ("0", "false", "no"):
        return f"the core runs uncompiled: {VARIABLE} = {wanted}"
    if wanted not in ("1", "true", "yes"):
        raise SettingsError(f"environment {VARIABLE} = {wanted!r}: expected 0 or 1; 0 runs the core uncompiled")
    home = home or HOME
    place = home / digest(root / PACKAGE) if home.is_dir() else None
    if place is None or not place.is_dir():
        return "the core runs uncompiled: it was not compiled from these sources (`make setup` does, with a C compiler)"
    if PACKAGE in sys.modules:
        # half of each would be two of every class
        return "the core runs uncompiled: it was imported before it could be chosen"
    sys.path.insert(0, str(place))
    return "the core runs compiled"


def build(root: Path = ROOT, home: Path | None = None) -> Path:
    """Compile the core into its folder below `home` and return the folder; one that is there is left as it is.

    A minute or two. Nothing is written beside the sources. Raises `CompileError`.
    """
    home = home or HOME
    place = home / digest(root / PACKAGE)
    if place.is_dir():
        return place
    _check_tools()
    print("compiling the core (a minute or two, once for each version of it)", flush=True)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".") as folder:
        made = Path(folder) / "made"
        shutil.copytree(root / PACKAGE, made / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        # mypy's own defaults: a pyproject.toml in a folder above would be found otherwise
        (made / "mypy.ini").write_text("[mypy]\n")
        _run([sys.executable, "-m", "mypyc", *(f"{PACKAGE}/{name}.py" for name in MODULES)], made)
        shutil.rmtree(made / "build")
        names = ", ".join(f"{PACKAGE}.{name}" for name in MODULES)
        _run([sys.executable, "-c", f"import {names}"], made)
        try:
            made.rename(place)
        except OSError:
            # another one was quicker
            if not place.is_dir():
                raise
    return place


def _check_tools() -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CompileError("no C compiler", "to compile it type  sudo apt-get install gcc")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        raise CompileError("no Python headers", "to compile it type  sudo apt-get install python3-dev")


def _run(command: list[str], folder: Path) -> None:
    # debug information would make it five times as large
    environment = {**os.environ, "MYPYC_DEBUG_LEVEL": "0", "MYPYC_OPT_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        printed = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        wrong = [line for line in printed if "error" in line.lower()] or printed[-1:]
        raise CompileError("mypyc failed", f"it said: {wrong[0] if wrong else f'exit code {done.returncode}'}")


def main() -> None:
    """Compile the core if it is not yet, and remove what was compiled from other sources; one line, never an error."""
    try:
        place = build()
    except CompileError as error:
        print(error)
        return
    for other in HOME.iterdir():
        if other != place and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)


if __name__ == "__main__":
    main()
