"""A TCP proxy before MongoDB that lets the server execute a command and loses its reply."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

_OP_MSG = 2013


class Proxy:
    """Forwards connections to `target`.

    Attributes:
        lost: The commands whose replies were lost, in order: the proof that the fault struck.
        rewrite: Bytes to replace in replies, by what they are replaced with (of the same length).
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.lost: list[str] = []
        self.rewrite: dict[bytes, bytes] = {}
        self._target = target
        self._lock = threading.Lock()  # guards the next
        self._to_lose: list[str] = []
        self._sockets: list[socket.socket] = []  # of the accepting thread, until it has ended
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def uri(self) -> str:
        """The address to connect to; the driver must not look up the members behind it."""
        return f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/?directConnection=true"

    def lose_reply_of(self, command: str, times: int = 1) -> None:
        """Let the next `times` commands of that name execute, and cut the connection instead of the reply."""
        with self._lock:
            self._to_lose += [command] * times

    def forgive(self) -> None:
        """Lose no more replies."""
        with self._lock:
            self._to_lose.clear()

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener)
        self._threads[0].join()  # from here on no connection is added
        for item in self._sockets:
            _shut(item)
        for thread in self._threads:
            thread.join()
        for item in (*self._sockets, self._listener):
            item.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                far = socket.create_connection(self._target)
                self._sockets.append(far)
            except OSError:
                return
            muted: dict[int, str] = {}
            for run in (self._requests, self._replies):
                thread = threading.Thread(target=run, args=(near, far, muted))
                self._threads.append(thread)
                thread.start()

    def _requests(self, near: socket.socket, far: socket.socket, muted: dict[int, str]) -> None:
        while message := _message(near):
            command = _command(message)
            with self._lock:
                if command in self._to_lose:
                    self._to_lose.remove(command)
                    # Before the request goes on: its reply may be faster than we are.
                    muted[struct.unpack_from("<i", message, 4)[0]] = command
            if not _send(far, message):
                break
        _shut(far)

    def _replies(self, near: socket.socket, far: socket.socket, muted: dict[int, str]) -> None:
        while message := _message(far):
            request = struct.unpack_from("<i", message, 8)[0]
            if request in muted:
                self.lost.append(muted[request])
                break
            for old, new in self.rewrite.items():
                message = message.replace(old, new)
            if not _send(near, message):
                break
        _shut(near)
        _shut(far)


def _message(source: socket.socket) -> bytes:
    """Return one whole wire message; empty at the end of the connection."""
    head = _exactly(source, 16)
    if not head:
        return b""
    return head + _exactly(source, struct.unpack_from("<i", head)[0] - 16)


def _exactly(source: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        try:
            part = source.recv(size - len(parts))
        except OSError:
            return b""
        if not part:
            return b""
        parts += part
    return parts


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


def _shut(item: socket.socket) -> None:
    try:
        item.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
