"""A TCP proxy before MongoDB that does to connections what networks do.

It forwards whole wire messages, so it can lose the reply to a command that
the server executes. Everything may be changed while connections are open.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType

_OP_MSG = 2013
_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: the end of the connection is a reset


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network is. What a black hole swallows arrives when it closes, as by TCP's repeats.

    Attributes:
        latency: Seconds that every message takes, each way.
        jitter: Up to so much more or less of it, at random.
        chunk: Bytes in a segment; 0 for a message at once.
        rate: Bytes per second in chunks; 0 for no limit.
        hole: Nothing passes, and nobody is told.
    """

    latency: float = 0.0
    jitter: float = 0.0
    chunk: int = 0
    rate: float = 0.0
    hole: bool = False


FAIR = Weather()


class _Link:
    """One connection through the proxy. Its two threads carry a direction each; the last to end closes it."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.muted: dict[int, tuple[str, bool]] = {}
        self._lock = threading.Lock()  # guards the next two
        self._ends = 0
        self._reset = False

    @property
    def open(self) -> bool:
        """Whether anything may still pass."""
        return self._ends == 0

    def end(self) -> None:
        """End both sides in order."""
        with self._lock:
            if not self._reset and self._ends < 2:
                _shut(self.near)
                _shut(self.far)

    def reset(self) -> None:
        """End the client's side by a reset: sent when the last thread closes the socket."""
        with self._lock:
            if self._ends < 2:
                self._reset = True
                self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                _shut(self.near, socket.SHUT_RD)  # wakes the reader and says nothing to the other side
                _shut(self.far)

    def half_close(self) -> None:
        """End what the server sends, and nothing else."""
        with self._lock:
            if self._ends < 2:
                _shut(self.near, socket.SHUT_WR)

    def leave(self) -> None:
        """A direction has ended."""
        self.end()
        with self._lock:
            self._ends += 1
            if self._ends == 2:
                self.near.close()
                self.far.close()


class Proxy:
    """Forwards connections to `target`, on a port of its own.

    Attributes:
        weather: How the network is now; replace it at any time.
        lost: The commands whose replies were lost, in order: the proof that the fault struck.
        delayed: How many messages the weather delayed.
        rewrite: Bytes to replace in replies, by what they are replaced with (of the same length).
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.lost: list[str] = []
        self.delayed = 0
        self.rewrite: dict[bytes, bytes] = {}
        self._target = target
        self._weather = FAIR
        self._changed = threading.Condition()  # guards the weather, what is lost, and the links
        self._to_lose: list[tuple[str, bool]] = []
        self._closed = False
        self._links: list[_Link] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def uri(self) -> str:
        """The address to connect to; the driver must not look up the members behind it."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @property
    def weather(self) -> Weather:
        """How the network is now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        with self._changed:
            self._weather = weather
            self._changed.notify_all()

    def lose_reply_of(self, command: str, times: int = 1, *, reset: bool = False) -> None:
        """Let the next `times` commands of that name execute, and cut the connection instead of the reply.

        Args:
            reset: Cut it by a reset instead of an orderly end.
        """
        with self._changed:
            self._to_lose += [(command, reset)] * times

    def forgive(self) -> None:
        """Lose no more replies, and let the weather be fair."""
        with self._changed:
            self._to_lose.clear()
        self.weather = FAIR

    def cut(self, *, half: bool = False) -> int:
        """End all connections by a reset and return how many; if `half`, end only what the server sends."""
        with self._changed:
            links = [link for link in self._links if link.open]
        for link in links:
            if half:
                link.half_close()
            else:
                link.reset()
        return len(links)

    def start(self) -> Proxy:
        """Begin to listen."""
        self._acceptor.start()
        return self

    def close(self) -> None:
        """End all connections and threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        _shut(self._listener)
        self._acceptor.join()  # from here on no connection is added
        for link in self._links:
            link.end()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def __enter__(self) -> Proxy:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:  # the server is away: so is the proxy
                near.close()
                continue
            for item in (near, far):
                item.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._carry_on(_Link(near, far))

    def _carry_on(self, link: _Link) -> None:
        threads = [
            threading.Thread(target=run, args=(link,), daemon=True) for run in (self._requests, self._replies)
        ]
        with self._changed:
            self._links = [old for old in self._links if old.open] + [link]
        self._threads = [thread for thread in self._threads if thread.is_alive()] + threads
        for thread in threads:
            thread.start()

    def _requests(self, link: _Link) -> None:
        while message := _message(link.near):
            command = _command(message)
            with self._changed:
                loss = next((item for item in self._to_lose if item[0] == command), None)
                if loss is not None:
                    self._to_lose.remove(loss)
                    # Before the request goes on: its reply may be faster than we are.
                    link.muted[struct.unpack_from("<i", message, 4)[0]] = loss
            if not self._carry(link.far, message):
                break
        link.leave()

    def _replies(self, link: _Link) -> None:
        while message := _message(link.far):
            request = struct.unpack_from("<i", message, 8)[0]
            if request in link.muted:
                command, reset = link.muted[request]
                self.lost.append(command)
                if reset:
                    link.reset()
                break
            for old, new in self.rewrite.items():
                message = message.replace(old, new)
            if not self._carry(link.near, message):
                break
        link.leave()

    def _carry(self, target: socket.socket, message: bytes) -> bool:
        """Send one message through the weather; return whether that was possible."""
        weather = self._weather
        if weather is FAIR:
            return _send(target, message)
        self.delayed += 1
        self._pass(max(0.0, weather.latency + weather.jitter * random.uniform(-1, 1)))
        size = weather.chunk or len(message)
        for start in range(0, len(message), size):
            if not (self._wait_out_of_hole() and _send(target, message[start : start + size])):
                return False
            if self._weather.rate:
                self._pass(size / self._weather.rate)
        return True

    def _pass(self, seconds: float) -> None:
        """Let time pass, unless the weather changes."""
        if seconds:
            with self._changed:
                weather = self._weather
                self._changed.wait_for(lambda: self._closed or self._weather is not weather, seconds)

    def _wait_out_of_hole(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._weather.hole)
            return not self._closed


def _message(source: socket.socket) -> bytes:
    """Return one whole wire message; empty at the end of the connection."""
    head = _exactly(source, 16)
    if not head:
        return b""
    return head + _exactly(source, struct.unpack_from("<i", head)[0] - 16)


def _exactly(source: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = source.recv(size - len(parts))
        except OSError:
            return b""
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _command(message: bytes) -> str:
    """Return the name of the command in a request: the first key of its first section."""
    if struct.unpack_from("<i", message, 12)[0] != _OP_MSG or message[20] != 0:
        return ""
    return message[26 : message.index(b"\0", 26)].decode()


def _send(target: socket.socket, message: bytes) -> bool:
    try:
        target.sendall(message)
    except OSError:
        return False
    return True


def _shut(item: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    try:
        item.shutdown(how)
    except OSError:
        return
