"""Hearing of new work through a change stream."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import pymongo
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import PyMongoError

from ..errors import ForkedProcess, StoreError, StoreUnavailable
from ..job import State
from .connection import CLOSE_TIME, Connection
from .documents import Document
from .failures import cause_of, translate

#: Jobs that are due when they are created, and jobs that became pending again.
#: Heartbeats, starts and finishes stay on the server.
_NEWS: list[Document] = [
    {
        "$match": {
            "$or": [
                {
                    "operationType": "insert",
                    "$expr": {"$lte": ["$fullDocument.run_at", "$fullDocument.created_at"]},
                },
                {
                    "operationType": "update",
                    "updateDescription.updatedFields.state": State.PENDING.value,
                },
            ]
        }
    },
    {"$project": {"_id": 1, "type": "$fullDocument.type"}},
]


class Watch:
    """An open change stream that answers which types have new work.

    Threads: one only. `next` blocks for at most about `max_await` seconds.
    """

    def __init__(self, connection: Connection, max_await: float) -> None:
        self._connection = connection
        connection.check_process()
        self._timeout = max_await + connection.timeout
        try:
            with pymongo.timeout(self._timeout):
                self._stream: CollectionChangeStream[dict[str, Any]] = connection.jobs.watch(
                    _NEWS, max_await_time_ms=int(max_await * 1000)
                )
        except (PyMongoError, OSError, OverflowError) as error:
            raise _translated(error, "opening the change stream") from error
        self.opened_at = connection.clock.now()
        self.read_at = time.monotonic()

    def next(self) -> set[str | None]:
        """Return the types of the jobs that came; None for one of unknown type; empty if none came.

        Raises:
            StoreError: The stream is broken; open another one.
        """
        self._connection.check_process()
        try:
            with pymongo.timeout(self._timeout):  # the server holds an empty answer back on purpose
                change = self._stream.try_next()
        except (PyMongoError, OSError, OverflowError) as error:
            raise _translated(error, "reading the change stream") from error
        if not self._stream.alive:  # the collection was dropped or renamed
            ended = StoreUnavailable("the change stream has ended: the collection was dropped or renamed")
            ended.operation, ended.reason = "watch", "the stream has ended"
            raise ended
        self.read_at = time.monotonic()
        return set() if change is None else {change.get("type")}

    def close(self) -> None:
        """End the stream; errors on the way do not matter. In a forked child it is the parent's and goes on."""
        try:
            self._connection.check_process()
            with pymongo.timeout(CLOSE_TIME):
                self._stream.close()
        except (PyMongoError, OSError, OverflowError, ForkedProcess):
            return

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _translated(error: Exception, what: str) -> StoreError:
    return translate(cause_of(error) or error, what, operation="watch", writes=False)
