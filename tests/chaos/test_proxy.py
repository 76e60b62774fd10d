"""The proxy does to real sockets what each kind of fault says, and counts it; a good network lets everything through."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.proxy import DRIP_BYTES, DRIP_S, Kind, Proxy

PATIENCE_S = 30.0


class Echo:
    """A server on loopback that sends back what it gets, in capitals, and remembers what it got."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.got = b""
        self.ended: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end:
            try:
                while piece := end.recv(65_536):
                    self.got += piece
                    end.sendall(piece.upper())
                self.ended.append("closed")
            except ConnectionResetError:
                self.ended.append("reset")

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server behind the proxy."""
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy that leads to it."""
    with Proxy(echo.address, seed=3) as made:
        yield made


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    """Makes connections to the proxy, and closes them after the test."""
    made: list[socket.socket] = []

    def dial() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S))
        return made[-1]

    yield dial
    for end in made:
        end.close()


def ask(end: socket.socket, words: bytes) -> bytes:
    """Send words and read as many bytes as they have."""
    end.sendall(words)
    answer = b""
    while len(answer) < len(words):
        piece = end.recv(65_536)
        if not piece:
            raise EOFError(answer)
        answer += piece
    return answer


def wait(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def silent(end: socket.socket, seconds: float = 0.3) -> bool:
    """Whether nothing comes, and the connection stands all the same."""
    end.settimeout(seconds)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE_S)
    return False


def test_a_good_network_changes_nothing(proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo) -> None:
    """A megabyte comes back whole, an end is passed on, and nothing is counted as done to it."""
    end = connect()
    assert ask(end, b"x" * 1_000_000) == b"X" * 1_000_000
    end.close()
    wait(lambda: echo.ended == ["closed"], "the end was not passed on")
    assert proxy.counts.accepted == 1
    assert proxy.counts.forwarded == 2_000_000
    assert not any(proxy.counts.proves(kind) for kind in Kind)


def test_a_cut_resets_what_is_there_and_what_comes(
    proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo
) -> None:
    """Both ends get a reset, new connections too, and after it new ones work."""
    old = connect()
    assert ask(old, b"a") == b"A"
    proxy.fault(Kind.CUT)
    with pytest.raises(ConnectionResetError):
        old.recv(1)
    wait(lambda: echo.ended == ["reset"], "the server's end was not reset")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask(connect(), b"b")
    assert proxy.counts.reset == 2
    assert proxy.counts.turned_away == 1
    proxy.restore()
    assert ask(connect(), b"c") == b"C"
    assert echo.got == b"ac"


def test_a_refusal_leaves_nobody_to_connect_to(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """What is there is reset, a new connection is refused by the kernel, and the same port works afterwards."""
    old = connect()
    assert ask(old, b"a") == b"A"
    proxy.fault(Kind.REFUSE)
    with pytest.raises(ConnectionResetError):
        old.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.restore()
    assert ask(connect(), b"c") == b"C"


def test_a_black_hole_swallows_and_says_nothing(proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo) -> None:
    """Old and new connections take what is sent and give nothing; after it both are reset, and new ones work."""
    old = connect()
    assert ask(old, b"a") == b"A"
    proxy.fault(Kind.BLACK_HOLE)
    new = connect()
    for end in (old, new):
        end.sendall(b"lost")
        assert silent(end)
    wait(lambda: proxy.counts.swallowed == 8, "swallowed bytes were not counted")
    proxy.restore()
    for end in (old, new):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert ask(connect(), b"c") == b"C"
    assert echo.got == b"ac"


def test_half_open_connections_are_dead_for_one_end_only(
    proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo
) -> None:
    """The server's end is reset, the client's stands and is silent until the network is back."""
    old = connect()
    assert ask(old, b"a") == b"A"
    proxy.fault(Kind.HALF_OPEN)
    wait(lambda: echo.ended == ["reset"], "the server's end was not reset")
    old.sendall(b"lost")
    assert silent(old)
    wait(lambda: proxy.counts.swallowed == 4, "swallowed bytes were not counted")
    assert proxy.counts.proves(Kind.HALF_OPEN)
    proxy.restore()
    with pytest.raises(ConnectionResetError):
        old.recv(1)
    assert ask(connect(), b"c") == b"C"


def test_a_deaf_client_is_heard(proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo) -> None:
    """What is sent arrives, on old and on new connections; the answers do not."""
    old = connect()
    assert ask(old, b"a") == b"A"
    proxy.fault(Kind.DEAF)
    for end in (old, connect()):
        end.sendall(b"b")
        assert silent(end)
    wait(lambda: echo.got == b"abb" and proxy.counts.swallowed == 2, "it was not heard, or answers came through")
    proxy.restore()
    with pytest.raises(ConnectionResetError):
        old.recv(1)
    assert ask(connect(), b"c") == b"C"


def test_a_stall_delivers_late_and_in_order(proxy: Proxy, connect: Callable[[], socket.socket], echo: Echo) -> None:
    """Nothing arrives while it lasts, and everything when it is over, on the same connection."""
    end = connect()
    assert ask(end, b"a") == b"A"
    proxy.fault(Kind.STALL)
    end.sendall(b"bc")
    wait(lambda: proxy.counts.held == 2, "held bytes were not counted")
    end.sendall(b"d")
    assert silent(end)
    assert echo.got == b"a"
    proxy.restore()
    assert ask(end, b"e")[:1] == b"B"
    wait(lambda: echo.got == b"abcde", "what was held did not arrive")
    assert proxy.counts.reset == 0


def test_a_delay_makes_each_piece_late(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """There and back takes two delays of at least 250 ms, and all of it arrives."""
    end = connect()
    assert ask(end, b"a") == b"A"
    proxy.fault(Kind.DELAY)
    before = time.monotonic()
    assert ask(end, b"slow") == b"SLOW"
    assert time.monotonic() - before >= 0.5
    assert proxy.counts.delayed == 8
    proxy.restore()
    assert ask(end, b"b") == b"B"


def test_a_drip_lets_little_through_at_a_time(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Ten drops take nine pauses each way, and the rest comes at once when the network is back."""
    end = connect()
    assert ask(end, b"a") == b"A"
    proxy.fault(Kind.DRIP)
    before = time.monotonic()
    words = b"x" * (10 * DRIP_BYTES)
    assert ask(end, words) == words.upper()
    assert time.monotonic() - before >= 9 * DRIP_S
    assert proxy.counts.dripped >= len(words)
    end.sendall(b"y" * 1_000_000)
    assert end.recv(1) == b"Y"
    proxy.restore()
    left = 999_999
    while left:
        left -= len(end.recv(65_536))
    assert proxy.counts.reset == 0


def test_a_server_that_is_not_there_is_a_reset(connect: Callable[[], socket.socket], echo: Echo) -> None:
    """A broker that is down behind the proxy is no silence: the client learns at once."""
    echo.close()
    echo.close = lambda: None  # type: ignore[method-assign]
    with pytest.raises((ConnectionResetError, EOFError, BrokenPipeError)):
        ask(connect(), b"a")
