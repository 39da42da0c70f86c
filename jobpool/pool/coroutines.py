"""The event loop on which ``async def`` executors run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any


class Coroutines:
    """One event loop on a thread of its own, started when the first coroutine comes.

    The worker thread that called the executor waits for its coroutine, so as
    many run at once as the pool has threads.

    Threads: any; `_lock` guards `_loop`, `_thread` and `_closed`. `_awaited` has the
    coroutine that each thread waits for: a key is its thread's own, others only read.
    `_tasks` has the tasks of those that have begun, and belongs to the loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()  # a signal handler may close it on top of the thread that submits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._awaited: dict[int, Coroutine[Any, Any, Any]] = {}
        self._tasks: dict[Coroutine[Any, Any, Any], asyncio.Task[Any]] = {}

    def run(self, coroutine: Coroutine[Any, Any, Any], told: Callable[[], object] = bool) -> Any:
        """Run `coroutine` to its end, in the calling context, and return or raise what it does.

        Args:
            told: Whether it was to be cancelled before it came here.
        """
        me = threading.get_ident()
        self._awaited[me] = coroutine
        try:
            answer = self._submit(coroutine)
            if told():
                self.cancel(coroutine)
            result, error = answer.result()
        finally:
            del self._awaited[me]
        if error is not None:
            raise error
        return result

    def cancel(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Cancel a coroutine that was submitted, once and if it has not ended; it may take its time to end."""
        with self._lock:
            loop = self._loop
            if loop is not None and not loop.is_closed():
                # Its task may be made in the same turn of the loop, and begin in the next.
                loop.call_soon_threadsafe(loop.call_soon, self._cancel, coroutine)

    def _cancel(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self._tasks.pop(coroutine, None)  # a second time would disturb its cleaning up
        if task is not None:
            task.cancel()

    def close(self, timeout: float | None = None) -> bool:
        """Cancel what still runs, end the loop and its thread; return whether it ended in time."""
        with self._lock:
            first, self._closed = not self._closed, True
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return True
            if first and not loop.is_closed():  # as by an executor that stopped it
                loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(timeout)
        return not thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the loop runs, or will as soon as a coroutine comes."""
        thread = self._thread
        return thread is None or self._closed or thread.is_alive()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread of the loop; None before the first coroutine."""
        return self._thread

    def awaited_by(self, thread: threading.Thread) -> Coroutine[Any, Any, Any] | None:
        """Return the coroutine that `thread` waits for, if it does."""
        return self._awaited.get(thread.ident or 0)

    def owns_current_thread(self) -> bool:
        """Whether the caller is a coroutine on this loop."""
        return self._thread is threading.current_thread()

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[tuple[Any, BaseException | None]]:
        """Hand `coroutine` to the loop: under the lock, so that none comes behind the word to stop."""
        with self._lock:
            try:
                if self._closed:
                    raise CancelledError("the event loop of the executors is closed")
                loop = self._loop or self._start()
            except BaseException:
                coroutine.close()
                raise
            return asyncio.run_coroutine_threadsafe(self._contained(coroutine), loop)

    async def _contained(self, coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
        """Hand an exception over as a value: a `SystemExit` would end the loop for all."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[coroutine] = task
        try:
            return await coroutine, None
        except BaseException as error:  # noqa: BLE001
            return None, error
        finally:
            self._tasks.pop(coroutine, None)

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(loop,), name=f"jobpool-{self._name}-coroutines")
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        _run_until_stopped(loop)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop; a task that raised `SystemExit` on it, say a child in a gather, does not end it for all."""
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue  # whoever awaits that task gets it as well
        return
