"""Where a command writes its results: never over what it reads, and never two results into one file."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.errors import OptionError

STDOUT = Path("-")


def or_stdout(path: Path | None) -> Path | None:
    """The file to write; None, which is stdout, for `-` as well."""
    return None if path == STDOUT else path


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse an output, by its option, that is a file among `inputs` (`-`: stdin) or another output, under whatever name.

    Raises `OptionError`. Devices and pipes may be written twice.
    """
    taken = {
        _identity(str(name)): f"{'stdin' if name == '-' else name}, which is read"
        for name in inputs
        if name is not None
    }
    taken.pop(None, None)
    for option, path in outputs.items():
        if path is None:
            continue
        if path == STDOUT:
            raise OptionError(f"{option} -: stdout is for the result; name a file")
        found = _identity(str(path))
        if found in taken:
            raise OptionError(f"{option} {path}: the same file as {taken[found]}; name another one")
        if found is not None:
            taken[found] = f"that of {option}"


def _identity(name: str) -> tuple[int, int] | str | None:
    """What is the same for all names of a file, also of one that is not there yet; None for what is no file."""
    try:
        found = os.fstat(sys.stdin.fileno()) if name == str(STDOUT) else Path(name).stat()
    except FileNotFoundError:
        return os.path.realpath(name)
    except (OSError, ValueError):  # to open it will say what is wrong with it
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
