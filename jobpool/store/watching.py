"""Change streams: hearing of new work, and of jobs that became final."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, TypeVar

import pymongo
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import PyMongoError

from ..errors import ForkedProcess, StoreError, StoreUnavailable
from ..job import FINAL, State
from .connection import CLOSE_TIME, Connection
from .documents import Document
from .driver import run
from .failures import cause_of, translate

#: Jobs that are due when they are created, that became pending again, or that are due sooner than they were.
#: Heartbeats, starts and finishes stay on the server.
_NEWS: list[Document] = [
    {
        "$match": {
            "$or": [
                {
                    "operationType": "insert",
                    "fullDocument.state": State.PENDING.value,
                    "$expr": {"$lte": ["$fullDocument.run_at", "$fullDocument.created_at"]},
                },
                {
                    "operationType": "update",
                    "updateDescription.updatedFields.state": State.PENDING.value,
                },
                {
                    "operationType": "update",
                    "updateDescription.updatedFields.run_at": {"$exists": True},
                    "updateDescription.updatedFields.state": {"$exists": False},
                    # The time of the change is in whole seconds, cut.
                    "$expr": {
                        "$lte": [
                            "$updateDescription.updatedFields.run_at",
                            {"$add": [{"$toDate": "$clusterTime"}, 1000]},
                        ]
                    },
                },
            ]
        }
    },
    {"$project": {"_id": 1, "type": "$fullDocument.type"}},
]


#: Why a stream is no more: no other one goes on behind it.
ENDED = "the stream has ended"
#: Seconds over which writes are counted.
WINDOW = 0.05

_S = TypeVar("_S", bound="OpenStream")


class Stream:
    """A change stream on the jobs. Its operations are coroutines; see `driver.run`.

    Threads: one only; with an awaited driver one task at a time. A read takes at most about `max_await` seconds.
    """

    def __init__(
        self,
        connection: Connection,
        pipeline: list[Document],
        max_await: float,
        **options: Any,
    ) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._timeout = max_await + connection.timeout
        self._asked = pipeline, {"max_await_time_ms": int(max_await * 1000), **options}

    async def begin(self) -> None:
        """Open it.

        Raises:
            StoreError: It cannot be opened now.
        """
        self._connection.check_process()
        pipeline, options = self._asked
        try:
            with pymongo.timeout(self._timeout):
                self._stream: CollectionChangeStream[dict[str, Any]] = await self._call(
                    self._connection.reading.watch, pipeline, **options
                )
        except (PyMongoError, OSError, OverflowError) as error:
            raise _translated(error, "opening the change stream") from error
        self.read_at = time.monotonic()

    async def take(self) -> dict[str, Any] | None:
        """Return the next change; None if none came.

        Raises:
            StoreError: The stream is broken; open another one.
        """
        self._connection.check_process()
        try:
            with pymongo.timeout(self._timeout):  # the server holds an empty answer back on purpose
                change = await self._call(self._stream.try_next)
        except (PyMongoError, OSError, OverflowError) as error:
            raise _translated(error, "reading the change stream") from error
        if change is None and not self._stream.alive:  # the collection was dropped or renamed
            ended = StoreUnavailable("the change stream has ended: the collection was dropped or renamed")
            ended.operation, ended.reason = "watch", ENDED
            raise ended
        self.read_at = time.monotonic()
        return change

    async def end(self) -> None:
        """End it; errors on the way do not matter. In a forked child it is the parent's and goes on."""
        try:
            self._connection.check_process()
            with pymongo.timeout(CLOSE_TIME):
                await self._end()
        except (PyMongoError, OSError, OverflowError, ForkedProcess):
            return

    async def _end(self) -> None:
        await self._call(self._stream.close)


class OpenStream(Stream):
    """A stream for a thread, open from the beginning; usable as a context manager, which closes it."""

    def __init__(self, connection: Connection, pipeline: list[Document], max_await: float, **options: Any) -> None:
        super().__init__(connection, pipeline, max_await, **options)
        run(self.begin())

    def _read(self) -> dict[str, Any] | None:
        """Return the next change; see `take`."""
        return run(self.take())

    def close(self) -> None:
        """End it; see `end`."""
        run(self.end())

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Watch(OpenStream):
    """A stream that answers which types have new work."""

    def __init__(self, connection: Connection, max_await: float) -> None:
        super().__init__(connection, _NEWS, max_await)
        self.opened_at = connection.clock.now()

    def next(self) -> set[str | None]:
        """Return the types of the jobs that came; None for one of unknown type; empty if none came.

        Raises:
            StoreError: The stream is broken; open another one.
        """
        change = self._read()
        return set() if change is None else {change.get("type")}


class FinalWatch(OpenStream):
    """A stream that answers which of some jobs became final, or were removed.

    The server looks at the ids: of 12,000 jobs that finish in a second, a
    client that waits for one of them reads one change.

    Args:
        ids: The jobs meant.
        after: The stream to go on from: nothing that came since its last
            answer is left out. It is closed. None begins now.

    Fields: all belong to the thread. `writes` is how many writes a second the
    server had in the last window, of whatever collection.
    """

    def __init__(
        self, connection: Connection, ids: frozenset[str], max_await: float, after: FinalWatch | None = None
    ) -> None:
        token = None
        if after is not None:
            token = after._stream.resume_token
            after.close()
        self.ids = ids
        self.writes = 0.0
        self._session = connection.client.start_session(causal_consistency=False)
        try:
            super().__init__(connection, _ends(ids), max_await, resume_after=token, session=self._session)
        except BaseException:
            self._session.end_session()
            raise
        self.opened_at = self.read_at
        self._window = (self.opened_at, self._session.operation_time)

    def next(self) -> str | None:
        """Return the id of a job that became final or was removed; None if none did.

        Raises:
            StoreError: The stream is broken; open another one, which knows nothing of this one.
        """
        change = self._read()
        self._measure()
        return None if change is None else change["documentKey"]["_id"]

    def _measure(self) -> None:
        """Count the server's writes by the times of its replies: those of one second are numbered."""
        (began, first), last = self._window, self._session.operation_time
        if self.read_at - began < WINDOW:
            return
        if first is not None and last is not None and first.time == last.time:
            self.writes = (last.inc - first.inc) / (self.read_at - began)
        self._window = (self.read_at, last)

    async def _end(self) -> None:
        try:
            await super()._end()
        finally:
            self._session.end_session()


def _ends(ids: frozenset[str]) -> list[Document]:
    """Return the pipeline for the ends of these jobs. `_id`, which goes on in any case, is the token."""
    ended = {"operationType": "update", "updateDescription.updatedFields.state": {"$in": sorted(FINAL)}}
    kinds = [ended, {"operationType": {"$in": ["delete", "replace"]}}]  # the server may log an update as a replace
    return [
        {"$match": {"documentKey._id": {"$in": sorted(ids)}, "$or": kinds}},
        {"$project": {"documentKey._id": 1}},
    ]


def _translated(error: Exception, what: str) -> StoreError:
    return translate(cause_of(error) or error, what, operation="watch", writes=False)
