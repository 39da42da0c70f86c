"""The store: MongoDB, and nothing else. The only package that speaks to the driver."""

from __future__ import annotations

from typing import Any

from pymongo import WriteConcern
from pymongo.collection import Collection

from ..observer import Observer
from ..trouble import Trouble
from .claiming import ClaimStrategy, Gated, make_strategy
from .completing import Completing
from .core import Core
from .driver import Session, run
from .firing import Due
from .reaping import Reaping
from .resolving import Resolving
from .server import Server
from .transitions import Transitions
from .watching import FinalWatch, Watch


class Store(Core):
    """All operations on one collection of jobs, by role.

    Threads: safe from any thread.
    """

    def __init__(
        self, collection: Collection[Any], *, write_concern: WriteConcern, timeout: float, observer: Observer
    ) -> None:
        super().__init__(collection, write_concern=write_concern, timeout=timeout, observer=observer)
        self.transitions = Transitions(self._connection)
        self.completing = Completing(self._connection)
        self.reaping = Reaping(self._connection)
        self.resolving = Resolving(self._connection, self.followers, self.linking)
        self.due = Due(self._connection, self.creation, self.schedules)
        self.clock = self._connection.clock
        #: What everybody who uses this store tells of its troubles.
        self.trouble = Trouble(self.name)

    def ready(self) -> Server:
        """Ask the server what it is and see to the indexes, at first and now and then; see `Contact.ready`."""
        return run(self.contact.ready())

    @property
    def in_order(self) -> bool:
        """Whether server and indexes were what they must be when they were last seen."""
        return self.contact.in_order

    @property
    def round_trip(self) -> float:
        """Seconds to the server and back, smoothed, as the driver's monitors see it; 0 if not known yet."""
        return self._connection.round_trip

    def forget(self) -> None:
        """Ask the server again, and see to the indexes again, at the next `ready`."""
        self.contact.forget()

    def ensure_indexes(self) -> list[str]:
        """Create what is missing of the indexes; return the names of those created."""
        return run(self.contact.ensure_indexes())

    def require_replicated(self, what: str) -> None:
        """Raise `UnsupportedServer` on a standalone server."""
        run(self.contact.require_replicated(what))

    def strategy(self, name: str) -> ClaimStrategy:
        """Return a new claim strategy, for the use of one thread."""
        return make_strategy(name, self._connection)

    def gated(self) -> Gated:
        """Return a new strategy for jobs of types with keys or limits, for the use of one thread."""
        return Gated(self._connection)

    def watch(self, max_await: float) -> Watch:
        """Return an open change stream, for the use of one thread."""
        return Watch(self._connection, max_await)

    def watch_finals(self, ids: frozenset[str], max_await: float, after: FinalWatch | None = None) -> FinalWatch:
        """Return an open change stream of the ends of these jobs, for the use of one thread; see `FinalWatch`."""
        return FinalWatch(self._connection, ids, max_await, after)


__all__ = ["Session", "Store"]
