"""An AsyncJobManager that looks like a JobManager, so that one suite of behaviours holds for both."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack
from types import ModuleType, TracebackType
from typing import Any, TypeVar

import pytest

from jobpool import AsyncJobManager, JobManager
from jobpool.aio import AsyncChanges
from jobpool.embedded import EmbeddedMongo

from .conftest import MakeManager
from .waiting import PATIENCE

R = TypeVar("R")

#: Methods that return an asynchronous iterator, and are no coroutines.
ITERATED = {"as_completed", "changes", "each", "pages"}


def collect() -> None:
    """Collect what the driver leaves open: the socket of a task that is cancelled while it connects.

    Closing a client cancels those of its monitors. Otherwise the warning strikes whatever test comes next.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def drive(work: Coroutine[Any, Any, R]) -> R:
    """Run `work` in an event loop of its own; fail if it hangs. For what has a manager there: see `collect`."""
    try:
        return asyncio.run(asyncio.wait_for(work, PATIENCE))
    finally:
        collect()


class EventLoop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` there and return its result. Threads: any but the loop's."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """End it; a task that is left is an error of the test's."""
        left = self.run(_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        collect()
        assert left == set(), "tasks outlive their manager"


async def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


class Waited:
    """An object of the event loop whose coroutines are waited for; an asynchronous iterator is an iterator."""

    def __init__(self, awaited: Any, loop: EventLoop) -> None:
        self._awaited = awaited
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._awaited, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **options: self._loop.run(found(*args, **options))

    def __iter__(self) -> Waited:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.run(_next(self._awaited))
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Waited:
        self._loop.run(self._awaited.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._awaited.__aexit__(kind, error, trace))


async def _next(items: AsyncIterator[R]) -> R:
    return await anext(items)


class Facade:
    """Calls of an `AsyncJobManager`, waited for; what it has not is asked of a `JobManager` beside it."""

    def __init__(self, awaited: AsyncJobManager, beside: JobManager, loop: EventLoop) -> None:
        self.awaited = awaited
        self.beside = beside
        self.calls = 0
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(AsyncJobManager, name, None)
        if name in ITERATED:
            call = self._iterated(getattr(self.awaited, name))
        elif inspect.iscoroutinefunction(method):
            call = self._waited(getattr(self.awaited, name))
        else:
            return getattr(self.beside, name)
        return call

    def _waited(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            return self._loop.run(method(*args, **options))

        return call

    def _iterated(self, method: Callable[..., Any]) -> Callable[..., Waited]:
        def call(*args: Any, **options: Any) -> Waited:
            self.calls += 1
            found = Waited(method(*args, **options), self._loop)
            if isinstance(found._awaited, AsyncChanges):
                found.__enter__()  # those of the other begin with the call
            return found

        return call

    def close(self) -> None:
        """Close both."""
        self._loop.run(self.awaited.close())
        self.beside.close()

    def __enter__(self) -> Facade:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture
def make_manager(make_manager: MakeManager, server: EmbeddedMongo, database: str) -> Iterator[MakeManager]:
    """Make managers whose creates and looks go through an event loop."""
    facades: list[Facade] = []
    with ExitStack() as stack:
        loop = EventLoop()
        stack.callback(loop.close)

        def make(*args: Any, executors: Any = None, **options: Any) -> Any:
            beside = make_manager(*args, executors=executors, **options)
            options.setdefault("uri", server.uri)
            facades.append(Facade(AsyncJobManager(*(args or (database,)), **options), beside, loop))
            return stack.enter_context(facades[-1])

        yield make
    assert any(facade.calls for facade in facades), "the test asked nothing of it"


def borrowed_tests(module: ModuleType, word: str = "") -> dict[str, Any]:
    """Return the tests of a module whose names have that word."""
    return {name: test for name, test in vars(module).items() if name.startswith("test_") and word in name}


def fixtures_of(module: ModuleType, *names: str) -> dict[str, Any]:
    """Return those of these fixtures that a module has."""
    return {name: vars(module)[name] for name in names if name in vars(module)}
