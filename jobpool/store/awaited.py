"""The face of PyMongo for event loops. Imported only by who asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypeVar

import pymongo

from ..errors import InvalidConfiguration

#: Before 4.9 there is no `AsyncMongoClient`; that of 4.9 and 4.10 stops the event loop while it waits for a reply.
OLDEST = (4, 11)
if pymongo.version_tuple[:2] < OLDEST:
    raise InvalidConfiguration(
        f"AsyncJobManager needs PyMongo {'.'.join(map(str, OLDEST))} or later, and {pymongo.version} is installed"
    )

from pymongo import AsyncMongoClient  # noqa: E402
from pymongo.asynchronous.client_session import AsyncClientSession  # noqa: E402
from pymongo.asynchronous.database import AsyncDatabase  # noqa: E402

P = ParamSpec("P")
R = TypeVar("R")

AsyncClient = AsyncMongoClient[Any]
Database = AsyncDatabase[Any]
Session = AsyncClientSession


class Awaited:
    """The face for event loops. A task that is cancelled gives up its call, and the driver its connection."""

    client_class = AsyncMongoClient
    database_class = AsyncDatabase
    session_class = AsyncClientSession
    iterables = (Iterable, AsyncIterable)

    async def call(self, method: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Call it; the task waits.

        `method` is declared as its blocking twin, which returns what this one lets wait for.

        Until Python 3.12, the `asyncio.wait_for` within the driver ignores a cancellation that comes between
        the end of what it waits for and its own. Whoever waits for a job would then never hear of it.
        """
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        reply: Any = method(*args, **options)
        result: R = await reply
        if task and task.cancelling() > asked:
            raise asyncio.CancelledError
        return result

    async def pause(self, seconds: float) -> None:
        """Let the task wait."""
        await asyncio.sleep(seconds)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a lock of tasks."""
        return asyncio.Lock()


AWAITED = Awaited()
