"""What the batch path takes for granted of Faust, mode and aiokafka is pinned, and a change of it is found."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from faust.tables.recovery import Recovery
from faust.transport.drivers.aiokafka import Consumer

from config.errors import UserFacingError
from streams import pins
from streams.batches import BatchConsumer, BatchSchema, BatchThread, BatchTransport
from streams.pin_hashes import HASHES
from streams.profiles import ProfilesTable
from streams.recovery import OrderedRecovery, OrderedTables

OURS = (BatchConsumer, BatchSchema, BatchThread, BatchTransport, OrderedRecovery, OrderedTables, ProfilesTable)
STREAMS = Path(pins.__file__).parent
ON_FAUST = [
    STREAMS / f"{name}.py" for name in ("batches", "recovery", "profiles", "engine", "sources", "outbox", "reading")
]


def test_what_is_installed_is_what_the_batch_path_was_written_for() -> None:
    """Versions and the source of every pinned function are as they were."""
    assert list(pins.changes()) == []
    pins.check_pins()


def test_every_pin_has_one_hash() -> None:
    """No function is named without its hash, and no hash is of a function that is not named."""
    assert sorted(pins.places()) == sorted(HASHES)


def test_a_changed_function_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One other line in a function that we replace is found, and the refusal names the function and what to do."""

    async def getmany(self: object) -> None:
        """Not what it was."""

    monkeypatch.setattr(Consumer, "getmany", getmany)
    with pytest.raises(UserFacingError, match=r"Consumer\.getmany has another source .*") as refused:
        pins.check_pins()
    assert "faust-streaming==0.15.3" in str(refused.value)
    assert str(refused.value).count("\n") == 2


def test_a_function_that_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A private function that a library no longer has is named."""
    monkeypatch.delattr(Recovery, "_set_recovery_ended")
    assert list(pins.changes()) == ["faust.tables.recovery:Recovery._set_recovery_ended is gone"]


def test_another_version_is_found() -> None:
    """Another version is named with both numbers, and so is a library that is missing."""
    assert list(pins.changes({"aiokafka": "0.13.0", "no-such-library": "1"})) == [
        "aiokafka is 0.14.0, not 0.13.0",
        "no-such-library is missing, not 1",
    ]


@pytest.mark.parametrize("ours", OURS)
def test_everything_that_we_override_is_pinned(ours: type) -> None:
    """Each function of a class of ours that stands in place of an inherited one is among the pins."""
    pinned = {place.rpartition(".")[2] for place in pins.places()}
    bases = ours.__mro__[1:]
    overridden = {
        name
        for name in vars(ours)
        if any(name in vars(base) for base in bases if base is not object)
        and (inspect.isroutine(vars(ours)[name]) or isinstance(vars(ours)[name], property) or name.startswith("_c"))
        and not name.startswith("__")
    }
    assert overridden <= pinned | {"_abc_impl"}


@pytest.mark.parametrize("file", ON_FAUST, ids=lambda file: str(file.name))
def test_every_private_name_that_we_use_is_in_pinned_source(file: Path) -> None:
    """A private attribute that we reach for is defined by us or stands in the source of some pinned function."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr.startswith("_")}
    functions = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    stored = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n.value) == "self"
    }
    pinned = "\n".join(filter(None, map(pins.source_of, pins.places())))
    assert {name for name in used - functions - stored if name not in pinned and not name.startswith("__")} == set()
