"""Where `jobpool.testing` reaches into the rest: the steps of a job are not copied, only stood in between of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..middleware import Chain
from ..store.claiming import ClaimStrategy
from ..store.claiming.batch import Batch, Choice

if TYPE_CHECKING:
    from ..current import HeldJob
    from ..manager import JobManager
    from ..outcome import Outcome
    from ..store.claiming import Request


def drop_database(manager: JobManager) -> None:
    """Drop the database of a manager, with everything in it."""
    connection = manager.store._connection
    with connection.call("drop", what="dropping the database of a test"):
        connection.client.drop_database(connection.jobs.database.name)


def end_leases(manager: JobManager, ids: Collection[str]) -> None:
    """Let the leases of these jobs be over by the server's clock. As time does it, under whatever claim."""
    connection = manager.store._connection
    filter = {"_id": {"$in": list(ids)}, "lease_until": {"$exists": True}}
    with connection.call("reap", what=f"ending {len(ids)} leases"):
        connection.jobs.update_many(filter, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1]}}}])


class _Chosen(Batch):
    """The batch strategy with its candidates given: claims one job, if it is due."""

    def __init__(self, other: ClaimStrategy, id: str) -> None:
        super().__init__(other._connection)
        self._id = id

    def _look(self, request: Request) -> Choice:  # noqa: ARG002  (there is nothing to look for)
        return Choice([{"_id": self._id}], drained=True)


@contextmanager
def only(manager: JobManager, id: str) -> Iterator[None]:
    """Let `manager` claim this job and no other, whatever is due before it."""
    store = manager.store
    chosen = _Chosen(store.strategy("batch"), id)
    vars(store)["strategy"] = lambda _name: chosen
    try:
        yield
    finally:
        del vars(store)["strategy"]


class Heard:
    """What `hearing` hears of the attempts that the calling thread runs.

    Attributes:
        outcome: Of the last one that was recorded or refused; None if there was none.
        raised: What its executor raised, if it did.
    """

    outcome: Outcome | None = None
    raised: BaseException | None = None

    def forget(self) -> None:
        """Be ready for the next attempt."""
        self.outcome = self.raised = None


@contextmanager
def hearing(manager: JobManager) -> Iterator[Heard]:
    """Hear how attempts end: the outcome, and the very exception, of which the store keeps texts only."""
    heard, chain = Heard(), manager.middleware
    hearer: Any = _Hearing(chain or Chain((), manager.observer), heard)
    manager.middleware = hearer
    try:
        yield heard
    finally:
        manager.middleware = chain


class _Hearing:
    """Stands before the middleware of a manager, and notes what ends on one thread."""

    def __init__(self, chain: Chain, heard: Heard) -> None:
        self._chain = chain
        self._heard = heard
        self._thread = threading.get_ident()

    @contextmanager
    def executing(self, held: HeldJob) -> Iterator[None]:
        try:
            with self._chain.executing(held):
                yield
        except BaseException as error:
            if threading.get_ident() == self._thread:
                self._heard.raised = error
            raise

    def finished(self, held: HeldJob, outcome: Outcome, *rest: Any) -> None:
        if threading.get_ident() == self._thread:
            self._heard.outcome = outcome
        self._chain.finished(held, outcome, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


@contextmanager
def standing_before(manager: JobManager, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put what `make` returns in place of the store's transitions, and of what completes jobs; it gets each."""
    store = manager.store
    transitions, completing = store.transitions, store.completing
    store.transitions, store.completing = make(transitions), make(completing)
    try:
        yield
    finally:
        store.transitions, store.completing = transitions, completing
