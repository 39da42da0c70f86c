"""An AsyncJobManager that looks like a JobManager, so that one suite of behaviours holds for both."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from jobpool import AsyncJobManager, JobManager

R = TypeVar("R")


def collect() -> None:
    """Collect what the driver leaves open: the socket of a task that is cancelled while it connects.

    Closing a client cancels those of its monitors. Otherwise the warning strikes whatever test comes next.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


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


class Facade:
    """Calls of an `AsyncJobManager`, waited for; what it has not is asked of a `JobManager` beside it."""

    def __init__(self, awaited: AsyncJobManager, beside: JobManager, loop: EventLoop) -> None:
        self.awaited = awaited
        self.beside = beside
        self.calls = 0
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(AsyncJobManager, name, None)
        if not inspect.iscoroutinefunction(method):
            return getattr(self.beside, name)

        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            return self._loop.run(method(self.awaited, *args, **options))

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
