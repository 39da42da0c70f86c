"""The store: MongoDB, and nothing else. The only package that speaks to the driver."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from pymongo import WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from ..errors import StoreUnavailable, UnsupportedServer
from ..hooks import logger_of
from ..names import shown
from ..observer import Observer
from ..trouble import Trouble
from .cancelling import Cancelling
from .census import Census
from .claiming import ClaimStrategy, make_strategy
from .connection import Connection
from .creation import Creation
from .finals import Finals
from .indexes import ensure_indexes
from .presence import Presence
from .purging import Purging
from .queries import Queries
from .reaping import Reaping
from .server import Server, clock_offset
from .transitions import Transitions
from .watching import FinalWatch, Watch

Session = ClientSession

logger = logger_of(__name__)

#: Seconds. Clocks that are kept by NTP differ by milliseconds.
MAX_OFFSET = 5.0


def this_machine() -> datetime:
    """Return what time it is by this machine's clock."""
    return datetime.now(UTC)


class Store:
    """The operations on one collection of jobs, by role.

    Threads: safe from any thread. `_ready_lock` guards the first contact; `_server`
    and `_check_at` are replaced whole and read by anybody.
    """

    #: Seconds between two looks at server and indexes. A hint names an index and nothing else: if somebody puts a
    #: partial one of our name in its place, claims find no job and nobody is told.
    CHECK_AFTER = 60.0

    def __init__(
        self, collection: Collection[Any], *, write_concern: WriteConcern, timeout: float, observer: Observer
    ) -> None:
        self._connection = Connection(collection, write_concern=write_concern, timeout=timeout, observer=observer)
        self.creation = Creation(self._connection)
        self.transitions = Transitions(self._connection)
        self.reaping = Reaping(self._connection)
        self.queries = Queries(self._connection)
        self.cancelling = Cancelling(self._connection)
        self.purging = Purging(self._connection)
        self.finals = Finals(self._connection)
        self.presence = Presence(self._connection)
        self.census = Census(self._connection, self.presence)
        self.clock = self._connection.clock
        self._ready_lock = threading.RLock()  # a signal handler may create a job on top of a first contact
        self._server: Server | None = None
        self._check_at = 0.0
        self._warned: set[str] = set()
        self._connection.forget = self.forget
        #: What everybody who uses this store tells of its troubles.
        self.trouble = Trouble(self.name)

    @property
    def name(self) -> str:
        """Database and collection, for messages."""
        return self._connection.jobs.full_name

    def ready(self) -> Server:
        """Ask the server what it is and see to the indexes, at first and now and then; return its facts.

        Raises:
            StoreUnavailable: Nobody answered in time. Nothing was changed.
            UnsupportedServer: It is too old.
            IndexMismatch: An index of ours is another, or another takes its place.
            ForkedProcess: This process is a fork of the one that connected.
        """
        self._connection.check_process()  # in a fork the lock may be held by nobody
        server = self._server
        if server is None:
            with self._ready_lock:  # held during the calls: others need their result anyway
                server = self._server or self._look()
        elif time.monotonic() >= self._check_at:
            server = self._look()
        return server

    def _look(self) -> Server:
        """Contact the server; while it does not answer, all others go on by what is known of it, if anything."""
        self._check_at = time.monotonic() + self.CHECK_AFTER  # before it: they are not to wait for the same
        try:
            server = self._server = self._contact()
        except BaseException as error:
            self._check_at = 0.0  # the next call tries again
            if not isinstance(error, StoreUnavailable):
                self._server = None
            raise
        return server

    @property
    def in_order(self) -> bool:
        """Whether server and indexes were what they must be when they were last seen."""
        return self._server is not None

    @property
    def timeout(self) -> float:
        """Seconds after which a call is given up."""
        return self._connection.timeout

    @property
    def round_trip(self) -> float:
        """Seconds to the server and back, smoothed, as the driver's monitors see it; 0 if not known yet."""
        return self._connection.round_trip

    def forget(self) -> None:
        """Ask the server again, and see to the indexes again, at the next `ready`."""
        self._server = None

    def _contact(self) -> Server:
        with self._connection.call("hello", what=f"connecting to MongoDB for {self.name}"):
            before = this_machine()
            hello = self._connection.hello()
            offset = clock_offset(hello["localTime"], before, this_machine())
        server = Server.of(hello)
        self._connection.learn(server)
        ensure_indexes(self._connection)
        if not server.replicated:
            self._warn_once(
                "%s is on a standalone server: no push (jobs are found by polling), no transactions, and no "
                "repeated writes after a lost reply; a one-node replica set has all three",
                shown(self.name),
            )
        if abs(offset) > MAX_OFFSET:
            self._warn_once(
                "this machine's clock is %.0f s %s that of MongoDB for %s: jobpool goes by MongoDB's, so a run_at "
                "computed here comes %s by that; use delay=, or set the clocks right",
                *(abs(offset), "ahead of" if offset > 0 else "behind", shown(self.name)),
                "late" if offset > 0 else "early",
            )
        return server

    def _warn_once(self, text: str, *values: object) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text, *values)

    def ensure_indexes(self) -> list[str]:
        """Create what is missing of the indexes; return the names of those created."""
        return ensure_indexes(self._connection)

    def require_replicated(self, what: str) -> None:
        """Raise `UnsupportedServer` on a standalone server."""
        if not self.ready().replicated:
            raise UnsupportedServer(
                f"{what} needs a replica set, and {shown(self.name)} is on a standalone server: nothing was "
                "written; start mongod with --replSet, one node is enough"
            )

    def strategy(self, name: str) -> ClaimStrategy:
        """Return a new claim strategy, for the use of one thread."""
        return make_strategy(name, self._connection)

    def watch(self, max_await: float) -> Watch:
        """Return an open change stream, for the use of one thread."""
        return Watch(self._connection, max_await)

    def watch_finals(self, ids: frozenset[str], max_await: float, after: FinalWatch | None = None) -> FinalWatch:
        """Return an open change stream of the ends of these jobs, for the use of one thread; see `FinalWatch`."""
        return FinalWatch(self._connection, ids, max_await, after)


__all__ = ["Session", "Store"]
