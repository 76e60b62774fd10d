"""A TCP proxy on loopback that treats its connections as a bad network does, and counts what it did to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from streams.embedded.process import free_ports

CHUNK = 65_536
DRIP_BYTES, DRIP_S = 256, 0.05
"""A slow drip: 5 KB a second each way."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: what is closed so sends RST, not FIN."""


class Kind(StrEnum):
    """What the network does."""

    CUT = "cut"
    """Every connection is reset, and so is each new one as soon as it is accepted."""
    REFUSE = "refuse"
    """Every connection is reset, and nothing listens any more."""
    BLACK_HOLE = "black_hole"
    """Connections stay and new ones are accepted; what is sent over them, either way, is gone."""
    HALF_OPEN = "half_open"
    """The broker's ends are reset and the clients' ends know nothing of it; new ones are accepted and lead nowhere."""
    DEAF = "deaf"
    """Requests reach the broker, and their answers are gone: what was written looks as if it was not."""
    STALL = "stall"
    """Nothing gets through, and all of it does once the network is back, late and in order."""
    DELAY = "delay"
    """Each piece takes 250 ms to 2 s longer."""
    DRIP = "drip"
    """All that is sent comes at 5 KB a second."""


@dataclass
class Counts:
    """What a proxy has done since it was started."""

    accepted: int = 0
    forwarded: int = 0
    """Bytes handed on, either way."""
    reset: int = 0
    """Connections that a fault has reset, either end."""
    turned_away: int = 0
    """New connections that were reset at once."""
    swallowed: int = 0
    """Bytes that never arrived."""
    held: int = 0
    """Bytes that came late: after a stall."""
    delayed: int = 0
    dripped: int = 0

    def since(self, before: Counts) -> Counts:
        """The difference to an earlier copy."""
        return Counts(**{name: count - getattr(before, name) for name, count in vars(self).items()})

    def proves(self, kind: Kind) -> bool:
        """Whether these counts can only come from a fault of this kind."""
        match kind:
            case Kind.CUT | Kind.REFUSE:
                return self.reset > 0
            case Kind.BLACK_HOLE | Kind.DEAF:
                return self.swallowed > 0
            case Kind.HALF_OPEN:
                return self.reset > 0 and self.swallowed > 0
            case Kind.STALL:
                return self.held > 0
            case Kind.DELAY:
                return self.delayed > 0
            case Kind.DRIP:
                return self.dripped > 0


class Link:
    """One connection: the client's end, and the broker's where there is one."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.broker: asyncio.StreamWriter | None = None
        self.spoiled = False
        """Whether bytes of it are lost: it can only be reset once the network is back."""

    def ends(self) -> list[asyncio.StreamWriter]:
        """The ends that are there."""
        return [end for end in (self.client, self.broker) if end is not None]


class Proxy:
    """Listens on 127.0.0.1 and leads to `target` (`host:port`). Runs in a thread of its own, from `with` to its end."""

    def __init__(self, target: str, seed: int = 0) -> None:
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        (self.port,) = free_ports(1)
        self.counts = Counts()
        self._chance = random.Random(seed)
        self._kind: Kind | None = None
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self._call(self._listen())

    @property
    def address(self) -> str:
        """Where it listens, `127.0.0.1:PORT`, whether or not it does just now."""
        return f"127.0.0.1:{self.port}"

    def snapshot(self) -> Counts:
        """A copy of the counts as they are now."""
        return replace(self.counts)

    def fault(self, kind: Kind) -> None:
        """From now on be a network with this fault; returns when it is in force."""
        self._call(self._become(kind))

    def restore(self) -> None:
        """Be a good network again. Connections that have lost bytes are reset: no endpoint could go on with them."""
        self._call(self._become(None))

    def close(self) -> None:
        """End every connection and the listener; does nothing the second time."""
        if self._loop.is_closed():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # -- in the loop -----------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, backlog=128, limit=CHUNK)

    async def _become(self, kind: Kind | None) -> None:
        self._kind = kind
        for link in list(self._links):
            if kind in {Kind.CUT, Kind.REFUSE} or (kind is None and link.spoiled):
                self._reset(link)
            elif kind is Kind.HALF_OPEN and link.broker is not None:
                link.spoiled = True
                self._abort(link.broker)
                link.broker = None
        if kind is Kind.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        elif kind is not Kind.REFUSE and self._server is None:
            await self._listen()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the turn after the one that aborts them

    def _reset(self, link: Link) -> None:
        for end in link.ends():
            self._abort(end)

    def _abort(self, end: asyncio.StreamWriter) -> None:
        if end.transport.is_closing():
            return
        self.counts.reset += 1
        linger(end)
        end.transport.abort()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not as asyncio's own task for a connection: that logs a traceback when it is cancelled at the end.
        task = self._loop.create_task(self._connected(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.accepted += 1
        if self._kind in {Kind.CUT, Kind.REFUSE}:
            self.counts.turned_away += 1
            linger(writer)
            writer.transport.abort()
            return
        link = Link(writer)
        self._links.add(link)
        try:
            await self._serve(link, reader)
        except OSError:
            for end in link.ends():  # one end was reset, by a fault or by its owner, or the broker is not there
                linger(end)
        finally:
            self._links.discard(link)
            for end in link.ends():
                end.close()

    async def _serve(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self._kind in {Kind.BLACK_HOLE, Kind.HALF_OPEN}:
            link.spoiled = True
            await self._pump(link, reader, up=True)
            return
        answers, link.broker = await asyncio.open_connection(*self._target, limit=CHUNK)
        up = asyncio.create_task(self._pump(link, reader, up=True))
        down = asyncio.create_task(self._pump(link, answers, up=False))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if link.spoiled and not up.done():
                await up  # the client does not learn that the broker's end is gone
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, link: Link, reader: asyncio.StreamReader, *, up: bool) -> None:
        while piece := await reader.read(CHUNK):
            await self._treat(link, piece, up=up)

    async def _treat(self, link: Link, piece: bytes, *, up: bool) -> None:
        """Let a piece through, or do to it what the network does now."""
        held = False
        while self._kind is Kind.STALL:
            self.counts.held += 0 if held else len(piece)
            held = True
            await self._changed.wait()
        if self._kind in {Kind.BLACK_HOLE, Kind.HALF_OPEN} or (self._kind is Kind.DEAF and not up):
            link.spoiled = True
        if link.spoiled and not (self._kind is Kind.DEAF and up):
            self.counts.swallowed += len(piece)
            return
        if self._kind is Kind.DELAY:
            self.counts.delayed += len(piece)
            await asyncio.sleep(self._chance.uniform(0.25, 2.0))
        while self._kind is Kind.DRIP and piece:
            part, piece = piece[:DRIP_BYTES], piece[DRIP_BYTES:]
            self.counts.dripped += len(part)
            await self._hand_on(link, part, up=up)
            await asyncio.sleep(DRIP_S)
        await self._hand_on(link, piece, up=up)

    async def _hand_on(self, link: Link, piece: bytes, *, up: bool) -> None:
        end = link.broker if up else link.client
        if end is None or not piece:
            return
        self.counts.forwarded += len(piece)
        end.write(piece)
        await end.drain()


def linger(end: asyncio.StreamWriter) -> None:
    """Make the close of this end a reset."""
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
