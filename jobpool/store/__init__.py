"""The store: MongoDB, and nothing else. The only package that speaks to the driver."""

from __future__ import annotations

import logging
import threading
from typing import Any

from pymongo import WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from ..errors import UnsupportedServer
from ..observer import Observer
from .claiming import ClaimStrategy, make_strategy
from .connection import Connection
from .creation import Creation
from .indexes import ensure_indexes
from .queries import Queries
from .reaping import Reaping
from .server import Server
from .transitions import Transitions
from .watching import Watch

Session = ClientSession

logger = logging.getLogger(__name__)


class Store:
    """The operations on one collection of jobs, by role.

    Threads: safe from any thread. `_ready_lock` guards the first contact.
    """

    def __init__(
        self, collection: Collection[Any], *, write_concern: WriteConcern, timeout: float, observer: Observer
    ) -> None:
        self._connection = Connection(collection, write_concern=write_concern, timeout=timeout, observer=observer)
        self.creation = Creation(self._connection)
        self.transitions = Transitions(self._connection)
        self.reaping = Reaping(self._connection)
        self.queries = Queries(self._connection)
        self.clock = self._connection.clock
        self._ready_lock = threading.Lock()
        self._server: Server | None = None

    @property
    def name(self) -> str:
        """Database and collection, for messages."""
        return self._connection.jobs.full_name

    def ready(self) -> Server:
        """Ask the server what it is and see to the indexes, once; return the server's facts.

        Raises:
            StoreUnavailable: Nobody answered in time. Nothing was changed.
            UnsupportedServer: It is too old.
            IndexMismatch: An index of ours has other keys.
        """
        server = self._server
        if server is None:
            with self._ready_lock:  # held during the calls: others need their result anyway
                if self._server is None:
                    self._server = self._first_contact()
                server = self._server
        return server

    def forget(self) -> None:
        """Ask the server again, and see to the indexes again, at the next `ready`."""
        self._server = None

    def _first_contact(self) -> Server:
        with self._connection.call("hello", what=f"connecting to MongoDB for {self.name}"):
            server = Server.of(self._connection.hello())
        self._connection.learn(server)
        ensure_indexes(self._connection)
        if not server.replicated:
            logger.warning(
                "%s is on a standalone server: no push (jobs are found by polling), no transactions, and no "
                "repeated writes after a lost reply; a one-node replica set has all three",
                self.name,
            )
        return server

    def ensure_indexes(self) -> list[str]:
        """Create what is missing of the indexes; return the names of those created."""
        return ensure_indexes(self._connection)

    def require_replicated(self, what: str) -> None:
        """Raise `UnsupportedServer` on a standalone server."""
        if not self.ready().replicated:
            raise UnsupportedServer(f"{what} needs a replica set; {self.name} is on a standalone server")

    def strategy(self, name: str) -> ClaimStrategy:
        """Return a new claim strategy, for the use of one thread."""
        return make_strategy(name, self._connection)

    def watch(self, max_await: float) -> Watch:
        """Return an open change stream, for the use of one thread."""
        return Watch(self._connection, max_await)


__all__ = ["Session", "Store"]
