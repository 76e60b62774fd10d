"""Clients are quiet only while somebody asks them to be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from streams.reachability import quiet

SILENT = logging.CRITICAL + 1


@pytest.fixture
def client() -> Iterator[logging.Logger]:
    """A client's logger that somebody has set a level of."""
    logger = logging.getLogger("a client of the tests")
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)


def test_it_is_quiet_in_between_alone(client: logging.Logger) -> None:
    """Nothing is heard in the middle, and the level is what it was afterwards, also where it ends with an error."""
    with quiet(client.name):
        assert client.level == SILENT
    assert client.level == logging.INFO
    with pytest.raises(ConnectionError), quiet(client.name):
        raise ConnectionError
    assert client.level == logging.INFO


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_the_last_of_several_brings_the_level_back(client: logging.Logger, *, first_ends_first: bool) -> None:
    """As with two threads that ask two brokers: quiet until both have ended, in whatever order, and not for good."""
    first, second = ExitStack(), ExitStack()
    first.enter_context(quiet(client.name))
    second.enter_context(quiet(client.name))
    one, other = (first, second) if first_ends_first else (second, first)
    one.close()
    assert client.level == SILENT
    other.close()
    assert client.level == logging.INFO
    with quiet(client.name):
        assert client.level == SILENT
    assert client.level == logging.INFO
