"""Worker processes for offline commands: each is a `Hand` of its own, given one task at a time over a pipe."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from config.errors import UserFacingError
from streams.offline_read import Tell
from streams.offline_work import Hand, Job

STOP_S = 5.0
"""A worker that is told to end and has not after this long is killed."""


class Task(NamedTuple):
    """One call of a method of `Hand`."""

    method: str
    arguments: tuple[Any, ...] = ()


class Hands(Protocol):
    """One process or several that do tasks. Use it in a `with`."""

    def each(self, tasks: Iterable[Task], tell: Tell) -> Iterator[Any]:
        """Each task is done by whoever is free, and taken from `tasks` only then; results as they come."""

    def all(self, task: Task) -> list[Any]:
        """Every process does the task."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Alone:
    """This process does everything."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._hand = Hand(job, folder, "0")

    def each(self, tasks: Iterable[Task], tell: Tell) -> Iterator[Any]:
        """See `Hands`."""
        for task in tasks:
            yield getattr(self._hand, task.method)(tell, *task.arguments)

    def all(self, task: Task) -> list[Any]:
        """See `Hands`."""
        return list(self.each([task], lambda _, __: None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class WorkerError(RuntimeError):
    """A worker met a defect of ours; the message is its traceback."""


class Crew:
    """Several processes, started anew so that nothing of this one's threads or memory is in them."""

    def __init__(self, job: Job, folder: Path, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers: dict[Connection, Any] = {}
        try:
            for number in range(count):
                ours, theirs = context.Pipe()
                worker = context.Process(target=_serve, args=(theirs, job, folder, str(number)), daemon=True)
                self._workers[ours] = worker
                worker.start()
                theirs.close()
        except BaseException:
            self._end(now=True)
            raise

    def each(self, tasks: Iterable[Task], tell: Tell) -> Iterator[Any]:
        """See `Hands`. Raises `UserFacingError` for what a person can mend, and when a worker was killed."""
        waiting = iter(tasks)
        busy = {pipe for pipe in self._workers if self._give(pipe, waiting)}
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                kind, value = self._answer(pipe)
                if kind == "told":
                    tell(*value)
                elif kind == "done":
                    if not self._give(pipe, waiting):
                        busy.discard(pipe)
                    yield value
                else:
                    raise UserFacingError(value) if kind == "refused" else WorkerError(value)

    def all(self, task: Task) -> list[Any]:
        """See `Hands`."""
        for pipe in self._workers:
            pipe.send(task)
        return [self._answered(pipe) for pipe in self._workers]

    def _answered(self, pipe: Connection) -> Any:
        while True:
            kind, value = self._answer(pipe)
            if kind == "done":
                return value
            if kind != "told":
                raise UserFacingError(value) if kind == "refused" else WorkerError(value)

    def _give(self, pipe: Connection, waiting: Iterator[Task]) -> bool:
        task = next(waiting, None)
        if task is not None:
            try:
                pipe.send(task)
            except OSError:
                self._answer(pipe)
        return task is not None

    def _answer(self, pipe: Connection) -> tuple[str, Any]:
        try:
            answer: tuple[str, Any] = pipe.recv()
        except (EOFError, OSError):
            worker = self._workers[pipe]
            worker.join(STOP_S)
            raise UserFacingError(
                f"a worker process ended with status {worker.exitcode}; if memory ran out, give --memory less"
            ) from None
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(now=kind is not None)

    def _end(self, now: bool) -> None:
        for pipe, worker in self._workers.items():
            if now and worker.pid is not None:
                worker.terminate()
            pipe.close()
        for worker in self._workers.values():
            if worker.pid is not None:
                worker.join(STOP_S)
                if worker.is_alive():
                    worker.kill()
                    worker.join()
                worker.close()


def _serve(pipe: Connection, job: Job, folder: Path, name: str) -> None:
    """A worker's life: tasks until the pipe is closed, also by the end of the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the one that started us ends us
    hand = Hand(job, folder, name)
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(_answer(hand, pipe.recv(), lambda *said: pipe.send(("told", said))))


def _answer(hand: Hand, task: Task, tell: Tell) -> tuple[str, Any]:
    try:
        return "done", getattr(hand, task.method)(tell, *task.arguments)
    except UserFacingError as error:
        return "refused", str(error)
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - a defect is shown where the person is, not here
        return "failed", traceback.format_exc()
