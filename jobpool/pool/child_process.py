"""One child process as its parent sees it: started, asked, killed, buried."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import connection, resource_tracker

from ..child import HEADER, serve
from ..hooks import logger_of

logger = logger_of(__name__)

#: Never fork: the other threads of this process may hold locks that the child would wait for.
_CONTEXT = multiprocessing.get_context("spawn")
#: Seconds after which a wait looks whether it is to go on.
TICK = 0.05
#: Bytes read at once.
CHUNK = 1 << 18
#: Seconds that the kernel may take to end a killed process; longer ones hang in the kernel itself, and are left.
DEATH_TIME = 5.0

Look = Callable[[], None]


class Gone(Exception):
    """The child's end of the line is closed: it has ended, or will."""


class ChildProcess:
    """A child that answers requests, one at a time.

    Its line is a pair of sockets, of which this end never blocks: no child,
    whatever state it is in, keeps its thread from looking whether to go on.

    Fields: `pid`, `_parent`, `_line`, `_number`, `_poller` immutable; `ready` and `answered`
    (how many requests) are written by the one who asks; `_process` turns None, and
    `_code` is final, once it is buried: both guarded by `_lock`, which a signal
    handler may take on top of its holder.

    Threads: one asks at a time; any may kill and bury.
    """

    def __init__(self, name: str) -> None:
        self._lock = threading.RLock()
        self._parent = os.getpid()
        self._code: int | None = None
        self.ready = False
        self.answered = 0
        self._line, theirs = socket.socketpair()
        try:
            with theirs:
                process = _CONTEXT.Process(target=serve, args=(theirs,), name=name, daemon=True)
                _start(process)
        except BaseException:
            self._line.close()
            raise
        self._process: multiprocessing.process.BaseProcess | None = process
        self.pid: int = process.pid or 0
        self._line.setblocking(False)
        self._number = self._line.fileno()  # poll takes it from whoever buries the child meanwhile
        self._poller = select.poll()
        self._poller.register(self._number)

    # --- asking -----------------------------------------------------------------------

    def wait_ready(self, look: Look) -> None:
        """Wait until it has started; `look` is called every `TICK` seconds and may raise.

        Raises:
            Gone: It ended instead.
        """
        if not self.ready:
            self._receive(look)
            self.ready = True

    def ask(self, request: bytes, look: Look) -> bytes:
        """Send a request and return the answer; `look` is called every `TICK` seconds and may raise.

        Whatever is raised, the line is of no use afterwards: end the child.

        Raises:
            Gone: It ended before it had answered.
        """
        self._send(HEADER.pack(len(request)) + request, look)
        answer = self._receive(look)
        self.answered += 1
        return answer

    def _send(self, message: bytes, look: Look) -> None:
        left = memoryview(message)
        while left:
            try:
                left = left[self._line.send(left) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, look)
            except OSError as error:
                raise Gone from error

    def _receive(self, look: Look) -> bytes:
        (size,) = HEADER.unpack(self._exactly(HEADER.size, look))
        return bytes(self._exactly(size, look))

    def _exactly(self, size: int, look: Look) -> bytearray:
        message = bytearray()
        while len(message) < size:
            try:
                part = self._line.recv(min(CHUNK, size - len(message)))
            except BlockingIOError:
                self._wait(select.POLLIN, look)
                continue
            except OSError as error:
                raise Gone from error
            if not part:
                raise Gone
            message += part
        return message

    def _wait(self, event: int, look: Look) -> None:
        self._poller.modify(self._number, event)
        if not self._poller.poll(TICK * 1000):
            look()
            if self.exitcode is not None:  # and a process that it forked holds its end of the line open
                raise Gone

    # --- ending -----------------------------------------------------------------------

    @property
    def exitcode(self) -> int | None:
        """What it ended with, a signal as a negative number; None while it lives."""
        with self._lock:
            if self._process is not None:
                self._code = self._process.exitcode
            return self._code

    def hang_up(self) -> None:
        """Close the line: an idle child ends by itself, as a Python program does."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Send SIGKILL to it and to all processes in its group. Never waits.

        A number is given to no other process or group while a process with it is not
        buried or a group with it has members. Before it is ready the child may have no
        group yet.
        """
        with self._lock:
            if self._process is None or os.getpid() != self._parent:
                return
            alive = self._process.exitcode is None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            if alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, signal.SIGKILL)

    def bury(self, patience: float) -> int | None:
        """Wait `patience` seconds until it has ended, else kill it; either way with what it has started.

        Returns:
            What it ended with by itself; None if it did not.
        """
        code = self._await_end(patience)
        self.kill()
        if code is None and self._await_end(DEATH_TIME) is None:
            logger.warning("child process %d was killed and does not end", self.pid)
        self._line.close()
        with self._lock:
            if self.exitcode is not None and self._process is not None:
                self._process.close()
                self._process = None
        return code

    def _await_end(self, patience: float) -> int | None:
        deadline = time.monotonic() + patience
        while (code := self.exitcode) is None and (left := deadline - time.monotonic()) > 0:
            with self._lock:
                sentinel = [] if self._process is None else [self._process.sentinel]
            # Not for longer: a process that it forked may keep this from being told.
            connection.wait(sentinel, min(left, TICK))
        return code


def _start(process: multiprocessing.process.BaseProcess) -> None:
    """Start a child that no Ctrl-C reaches before it is ready for one: it inherits what this thread blocks."""
    resource_tracker.ensure_running()  # its first start, which `start` would do, unblocks the signals
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
