"""Where `jobpool.testing` reaches into the rest: the steps of a job are not copied, only stood in between of."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..executors import Executor, Executors
from ..store.claiming import ClaimStrategy
from ..store.claiming.batch import Batch, Choice

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..outcome import Finish, Outcome
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
        outcome: Of the last one, as it was given to the store to record; None if there was none.
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
    heard, executors = Heard(), manager.executors
    manager.executors = _Listening(executors, heard)
    try:
        with standing_before(manager, lambda real: _Hearing(real, heard)):
            yield heard
    finally:
        manager.executors = executors


@contextmanager
def standing_before(manager: JobManager, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put what `make` returns in place of the store's transitions, which it gets."""
    store = manager.store
    real = store.transitions
    store.transitions = make(real)
    try:
        yield
    finally:
        store.transitions = real


class _Hearing:
    """Passes on to the store's transitions, and notes what is finished on one thread."""

    def __init__(self, real: Any, heard: Heard) -> None:
        self._real = real
        self._heard = heard
        self._thread = threading.get_ident()

    def finish(self, finishes: Collection[Finish], **options: Any) -> Any:
        if threading.get_ident() == self._thread:
            self._heard.outcome = next(iter(finishes)).outcome
        return self._real.finish(finishes, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Listening(Executors):
    """The executors of a manager, each noting what it raises."""

    def __init__(self, executors: Executors, heard: Heard) -> None:
        super().__init__()
        vars(self).update(vars(executors))  # shared, so that registrations go on
        self._heard = heard

    def __getitem__(self, type: str) -> Executor:
        executor = super().__getitem__(type)
        return replace(executor, fn=self._noting(executor.fn))

    def _noting(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fn)
        def noting(*arguments: Any) -> Any:
            with self._noted():
                result = fn(*arguments)
            return awaited(result) if inspect.iscoroutine(result) else result

        async def awaited(coroutine: Any) -> Any:
            with self._noted():
                return await coroutine

        return noting

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._heard.raised = error
            raise
