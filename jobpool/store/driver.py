"""PyMongo's two faces, blocking and awaited, so that what is asked of MongoDB is written once.

An operation that both need is a coroutine and calls the driver through a
`Driver`. PyMongo makes its blocking methods from the awaited ones, so names,
arguments and replies are the same. With the blocking face nothing suspends:
`run` takes such a coroutine from its beginning to its end in the calling
thread, without an event loop, for less than a microsecond per call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

import pymongo.database
from pymongo import MongoClient
from pymongo.client_session import ClientSession

Session = ClientSession
P = ParamSpec("P")
R = TypeVar("R")


class Driver(Protocol):
    """One face of PyMongo, and how one waits with it."""

    @property
    def client_class(self) -> type[Any]:
        """What opens connections."""

    @property
    def database_class(self) -> type[Any]:
        """What a client has by name."""

    @property
    def session_class(self) -> type[Any]:
        """What transactions are made in."""

    @property
    def iterables(self) -> tuple[type[Any], ...]:
        """What is read item by item."""

    async def call(self, method: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Call a method of the driver and return its reply."""

    async def pause(self, seconds: float) -> None:
        """Let time pass, and others work."""

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a lock that may be held during calls."""


class Blocking:
    """The face for threads."""

    client_class = MongoClient
    database_class = pymongo.database.Database
    session_class = ClientSession
    iterables = (Iterable,)

    async def call(self, method: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Call it; the thread waits."""
        return method(*args, **options)

    async def pause(self, seconds: float) -> None:
        """Let the thread wait."""
        threading.Event().wait(seconds)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a lock of threads."""
        return _ThreadLock()


class _ThreadLock(AbstractAsyncContextManager[None]):
    """A lock whose waiters block."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may create a job on top of a first contact

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


BLOCKING = Blocking()


def run(operation: Coroutine[Any, Any, R]) -> R:
    """Take an operation of the blocking face to its end and return its result.

    Threads: any, also one whose event loop runs, and on top of another `run`.
    """
    try:
        operation.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    operation.close()
    raise RuntimeError("an operation of the blocking driver waited for an event loop")
