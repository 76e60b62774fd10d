"""An asyncio event loop that somebody else steps: no sockets, no threads, no real time, and lives that can end anywhere.

Each callback belongs to the life (one worker process) that asked for it. A callback of a stopped life waits, as behind
SIGSTOP; one of a dead life is never run, as behind `kill -9`: no `finally` of it does anything.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, cast


class Life:
    """One process, from its start to its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.clients = 0
        """Kafka clients that it has made."""
        self.held: list[Callback] = []
        """What would have run while it was stopped."""


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class Callback:
    """A callback that is due at an instant, or now."""

    __slots__ = ("args", "call", "called_off", "context", "life", "when")

    def __init__(self, call: Callable[..., Any], args: Any, context: contextvars.Context | None, when: float) -> None:
        self.call, self.args, self.when = call, args, when
        self.context = contextvars.copy_context() if context is None else context
        self.life = self.context.get(LIFE)
        self.called_off = False

    def cancel(self) -> None:
        """Part of what asyncio asks of a handle."""
        self.called_off = True

    def cancelled(self) -> bool:
        """Part of what asyncio asks of a handle."""
        return self.called_off


_Interface: Any = asyncio.AbstractEventLoop
"""Most of what asyncio's loops have is never asked for here: sockets, signals, processes."""


class SteppedLoop(_Interface):
    """Runs one callback at a time, when told to; its time moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ready: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.troubles: list[str] = []
        """What asyncio would have logged: exceptions that nobody took."""

    # -- what asyncio asks -----------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now

    def get_debug(self) -> bool:
        """No."""
        return False

    def is_running(self) -> bool:
        """Always, as far as asyncio can see."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Run after everything that is ready."""
        made = Callback(callback, args, context, self.now)
        self.ready.append(made)
        return made

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Run when so many seconds have passed."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Run at an instant."""
        made = Callback(callback, args, context, when)
        self._count += 1
        heappush(self._timers, (when, self._count, made))
        return made

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        """A task of this loop; that it may end with its life is no trouble."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        cast("Any", task)._log_destroy_pending = False
        self._tasks.append(task)
        return task

    def run_in_executor(self, _: Any, func: Any, *args: Any) -> Any:
        """Done at once: no thread has a part in this."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember what nobody took, for the judge."""
        error = context.get("exception")
        if error is not None and not isinstance(error, Exception):
            return  # a life that has left
        self.troubles.append(f"{context.get('message')}: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Nothing is run any more. What never began is closed, so that Python does not wonder at it."""
        self.ready.clear()
        self._timers.clear()
        for task in self._tasks:
            work = task.get_coro()
            if inspect.iscoroutine(work) and inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()
        self._tasks.clear()

    # -- what the simulation does ----------------------------------------------------------------

    def begin(self, life: Life, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that belongs to a life, as does all that it starts."""
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        return self.create_task(work, name=name, context=context)

    def step(self) -> bool:
        """Run one callback. False when nothing is ready."""
        while self.ready:
            found = self.ready.popleft()
            life = found.life
            if found.called_off or (life is not None and not life.alive):
                continue
            if life is not None and life.stopped:
                life.held.append(found)
                continue
            found.context.run(found.call, *found.args)
            return True
        return False

    def settle(self, most: int = 100_000) -> None:
        """Run until nothing is ready. Raises `RuntimeError` after `most` callbacks: something spins."""
        for _ in range(most):
            if not self.step():
                return
        raise RuntimeError("tasks go on for ever without waiting for anything")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in one jump; each timer that is due is ready then, in order."""
        self.now += seconds
        while self._timers and self._timers[0][0] <= self.now:
            self.ready.append(heappop(self._timers)[2])

    def resume(self, life: Life) -> None:
        """Let a stopped life go on with what has piled up."""
        life.stopped = False
        held, life.held = life.held, []
        self.ready.extend(held)

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due."""
        while self._timers and (
            self._timers[0][2].called_off or ((life := self._timers[0][2].life) is not None and not life.alive)
        ):
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None
