"""What the server is, and what time it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import UnsupportedServer
from .documents import Document

#: Wire version 13 is MongoDB 5.0: `$$NOW` in `$expr` uses indexes, `$`-keys may be stored.
OLDEST_WIRE_VERSION = 13
OLDEST = "5.0"


@dataclass(frozen=True, slots=True)
class Server:
    """What jobpool needs to know of a deployment.

    Attributes:
        replicated: A replica set or a sharded cluster: it has change streams,
            transactions and retryable writes. False for a standalone server.
    """

    replicated: bool

    @classmethod
    def of(cls, hello: Document) -> Server:
        """Return what a `hello` reply says; raise `UnsupportedServer` if the server is too old."""
        wire = hello.get("maxWireVersion", 0)
        if wire < OLDEST_WIRE_VERSION:
            raise UnsupportedServer(
                f"this MongoDB (wire version {wire}) is too old: jobpool needs {OLDEST} or later"
            )
        return cls(replicated="setName" in hello or hello.get("msg") == "isdbgrid")


class ServerClock:
    """An estimate of the server's time that is never ahead of it.

    `hello` carries the server's time at some instant before its reply was
    received; counting on from the receipt with the monotonic clock stays
    behind the server by at most the reply's way back. So nothing is claimed
    before its time, and no lease is taken for expired that is not. A step of
    the server's clock, or a new primary with another one, is noticed at the
    next refresh.

    Threads: callable from any thread; the lock guards the three fields below it.
    """

    #: Drift of a machine's monotonic clock is at most some 100 ppm: 3 ms in this time.
    REFRESH_AFTER = 30.0

    def __init__(self, ask: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._server_time: datetime | None = None
        self._read_at = 0.0

    def now(self) -> datetime:
        """Return the server's time, asking it again when the last answer is old."""
        with self._lock:
            known, read_at = self._server_time, self._read_at
        if known is None or self._monotonic() - read_at > self.REFRESH_AFTER:
            known = self._ask()  # outside the lock: it is a network call
            read_at = self._monotonic()
            with self._lock:
                self._server_time, self._read_at = known, read_at
        return known + timedelta(seconds=self._monotonic() - read_at)

    def forget(self) -> None:
        """Ask again at the next use: after an error the primary may be another one."""
        with self._lock:
            self._server_time = None
