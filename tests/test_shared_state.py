"""A test that leaves its process changed fails, whoever comes after it."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shared_state import changed, shared_state

ROOT = Path(__file__).parents[1]


def loud() -> None:
    """As a command does that silences the clients for good."""
    logging.getLogger("a client's").setLevel(logging.CRITICAL)


def told() -> None:
    """As a command does that sets up its own log."""
    logging.getLogger().addHandler(logging.StreamHandler())


def quick() -> None:
    """As a worker does."""
    gc.set_threshold(*(value + 1 for value in gc.get_threshold()))


def caught() -> None:
    """As a command does that ends on a signal."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def given() -> None:
    """As a command does that passes something on to its children."""
    os.environ["LIFESTAGE_LEFT"] = "1"


def moved() -> None:
    """As a command does that works in a folder."""
    os.chdir("/")


LEFT = {loud: "logger a client's", told: "logger root", quick: "garbage", caught: "<Signals.SIGUSR1", given: "variable LIF", moved: "working"}  # fmt: skip


@pytest.mark.parametrize("leave", LEFT)
def test_what_is_left_is_named(leave: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A level, a handler, the garbage collector, a signal, a variable, the folder: each by its name, and nothing else."""
    monkeypatch.chdir(Path.cwd())
    thresholds, signalled, handlers = gc.get_threshold(), signal.getsignal(signal.SIGUSR1), logging.root.handlers[:]
    before = shared_state()
    assert changed(before, shared_state()) == []
    try:
        leave()
        (found,) = changed(before, shared_state())
    finally:
        gc.set_threshold(*thresholds)
        signal.signal(signal.SIGUSR1, signalled)
        logging.root.handlers[:] = handlers
        logging.getLogger("a client's").setLevel(logging.NOTSET)
        os.environ.pop("LIFESTAGE_LEFT", None)
    assert found.startswith(LEFT[leave])


def test_a_test_that_leaves_something_fails(tmp_path: Path) -> None:
    """Every test is looked at, without asking for it; the one that put back what it changed is well."""
    (tmp_path / "test_two.py").write_text(
        "import os\n"
        "def test_leaves(): os.environ['LEFT'] = '1'\n"
        "def test_puts_back(monkeypatch): monkeypatch.setenv('OTHER', '1')\n"
    )
    words = ["-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "tests.conftest", "-q", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "left behind in this process: variable LEFT: None became '1'" in done.stdout
