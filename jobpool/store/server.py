"""What the server is, and what time it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
                f"this MongoDB (wire version {wire}) is too old: jobpool needs {OLDEST} or later; nothing was "
                "written; upgrade the server"
            )
        return cls(replicated="setName" in hello or hello.get("msg") == "isdbgrid")


def clock_offset(server_time: datetime, before: datetime, after: datetime) -> float:
    """Return by how many seconds this machine's clock is ahead of the server's, at the least; negative if behind.

    Args:
        server_time: From a reply that this machine waited for from `before` to `after`.
    """
    ahead = max(0.0, (before - server_time).total_seconds())
    return ahead or min(0.0, (after - server_time).total_seconds())


class ServerClock:
    """An estimate of the server's time that is never ahead of it.

    `hello` carries the server's time at some instant before its reply was
    received; counting on from the receipt with the monotonic clock stays
    behind the server by at most the reply's way back. So nothing is claimed
    before its time, and no lease is taken for expired that is not. A step of
    the server's clock, or a new primary with another one, is noticed at the
    next refresh.

    Threads: any. What is known is one tuple, replaced whole: a lock could be
    held by a frame that a signal handler interrupts.
    """

    #: Drift of a machine's monotonic clock is at most some 100 ppm: 3 ms in this time.
    REFRESH_AFTER = 30.0

    def __init__(self, ask: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None
        self._last: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the server's time, asking it again when the last answer is old; the thread waits meanwhile."""
        known = self.known()
        return self.learn(self._ask()) if known is None else known

    def known(self) -> datetime | None:
        """Return the server's time by its last answer; None if that is old."""
        known = self._known
        if known is None:
            return None
        server_time, read_at = known
        passed = self._monotonic() - read_at
        return None if passed > self.REFRESH_AFTER else server_time + timedelta(seconds=passed)

    def learn(self, server_time: datetime) -> datetime:
        """Count on from an answer that was received just now, and return it."""
        self._known = self._last = (server_time, self._monotonic())
        return server_time

    def since(self, instant: datetime) -> float:
        """Return the seconds since a server time, at least 0, by the last answer: nothing is asked."""
        last = self._last
        if last is None:
            return 0.0
        server_time, read_at = last
        return max(0.0, (server_time - instant).total_seconds() + self._monotonic() - read_at)

    def guess(self) -> datetime:
        """Return the server's time by its last answer, however old; by our clock without one. Nothing is asked."""
        last = self._last
        if last is None:
            return datetime.now(UTC)
        server_time, read_at = last
        return server_time + timedelta(seconds=self._monotonic() - read_at)

    def forget(self) -> None:
        """Ask again at the next use: after an error the primary may be another one."""
        self._known = None
