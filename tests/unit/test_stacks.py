"""Where an executor is: its own frames, the innermost last, and nothing of who called it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, cast

import pytest

from jobpool.executors import Executors
from jobpool.outcome import MAX_ERROR_BYTES, Outcome
from jobpool.pool.attempt import Engines, run_attempt
from jobpool.pool.children import Children
from jobpool.pool.coroutines import Coroutines
from jobpool.pool.host import Host
from jobpool.pool.stacks import stack_of
from jobpool.tracing import Tracing

from ..waiting import PATIENCE, until
from .jobs_held import held

SECRET = "a-value-of-a-variable"


class Manager:
    data_limit = 1000
    middleware = None
    tracing = Tracing()

    def __init__(self, executor: Callable[..., Any]) -> None:
        self.executors = Executors({"t": executor})


class Stage:
    """Executors that wait for the test, each on a thread as a pool would run it."""

    def __init__(self) -> None:
        self.coroutines = Coroutines("unit")
        self.inside = threading.Event()
        self.release = threading.Event()
        self.outcomes: list[Outcome] = []
        self.threads: list[threading.Thread] = []

    def run(self, executor: Callable[..., Any]) -> threading.Thread:
        def attempt() -> None:
            manager = cast(Host, Manager(executor))
            engines = Engines(self.coroutines, Children("unit"))
            self.outcomes.append(run_attempt(held("a", data=SECRET), manager, engines))

        self.threads.append(threading.Thread(target=attempt))
        self.threads[-1].start()
        return self.threads[-1]

    def wait(self, data: Any) -> None:
        self.inside.set()
        assert self.release.wait(PATIENCE)

    async def waits(self, data: Any) -> None:
        self.inside.set()
        while not self.release.is_set():
            await asyncio.sleep(0.01)

    def stack(self, thread: threading.Thread) -> str:
        assert self.inside.wait(PATIENCE)
        stack = stack_of(thread, self.coroutines, lambda: True)
        assert stack is not None
        print(stack)
        return stack


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.release.set()
    for thread in stage.threads:
        thread.join(PATIENCE)
    assert stage.coroutines.close(PATIENCE)
    assert [outcome.name for outcome in stage.outcomes] == ["succeeded"] * len(stage.threads)


def functions(stack: str) -> list[str]:
    return [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File ")]


def test_the_stack_of_a_thread_begins_with_the_executor_and_ends_where_it_waits(stage: Stage) -> None:
    def outer(data: Any) -> None:
        inner(data)

    def inner(password: Any) -> None:
        stage.wait(password)

    stack = stage.stack(stage.run(outer))
    assert functions(stack)[:3] == ["outer", "inner", "wait"]
    assert "assert self.release.wait(PATIENCE)" in stack
    assert stack.index("inner(data)") < stack.index("stage.wait(password)")
    assert SECRET not in stack


def test_of_a_builtin_which_has_no_frames_it_is_who_called_it(stage: Stage) -> None:
    queue: SimpleQueue[None] = SimpleQueue()
    thread = stage.run(queue.get)
    stage.inside.set()
    until(lambda: functions(stage.stack(thread))[-1:] == ["__call__"], "the call of the builtin")
    queue.put(None)
    thread.join(PATIENCE)
    assert stage.stack(thread) == "", "a thread that has ended is nowhere"


def test_the_stack_of_a_coroutine_is_where_it_waits_and_not_its_thread(stage: Stage) -> None:
    async def outer(data: Any) -> None:
        await inner(data)

    async def inner(data: Any) -> None:
        await stage.waits(data)

    thread = stage.run(outer)
    assert stage.inside.wait(PATIENCE)
    until(lambda: functions(stage.stack(thread))[:4] == ["outer", "inner", "waits", "sleep"], "its next sleep")


def test_a_coroutine_that_holds_the_loop_up_shows_where(stage: Stage) -> None:
    async def blocks(data: Any) -> None:
        stage.wait(data)

    async def never_begins(data: Any) -> None:
        return

    first = stage.run(blocks)
    assert functions(stage.stack(first))[:2] == ["blocks", "wait"]
    second = stage.run(never_begins)
    until(lambda: stage.coroutines.awaited_by(second), "its turn")
    assert functions(stage.stack(second))[:2] == ["blocks", "wait"], "what it waits for"


def test_a_deep_stack_keeps_its_innermost_frames_within_the_bound(stage: Stage) -> None:
    def deep(data: Any) -> None:
        even(200)

    def even(left: int) -> None:
        return odd(left - 1) if left else stage.wait(f"so long that 60 frames of it do not fit {left:>40} {left}")

    def odd(left: int) -> None:  # the other one, so that they are not told as repetitions
        return even(left - 1) if left else stage.wait(f"so long that 60 frames of it do not fit {left:>40} {left}")

    stack = stage.stack(stage.run(deep))
    assert MAX_ERROR_BYTES * 0.9 < len(stack.encode()) <= MAX_ERROR_BYTES
    assert stack.startswith("...")
    assert "assert self.release.wait(PATIENCE)" in stack


def test_of_an_executor_that_ended_meanwhile_there_is_none(stage: Stage) -> None:
    thread = stage.run(stage.wait)
    assert stage.inside.wait(PATIENCE)
    assert stack_of(thread, stage.coroutines, lambda: False) is None


def test_a_look_that_raises_is_said_in_its_place(stage: Stage) -> None:
    def broken() -> bool:
        raise SystemExit("a loader of source lines, say")

    assert stack_of(threading.current_thread(), stage.coroutines, broken) == (
        "<no stack: looking raised SystemExit>"
    )


def test_looks_at_moving_threads_never_fail(stage: Stage) -> None:
    """Frames change and end while they are looked at."""

    def recurse(depth: int) -> int:
        return recurse(depth - 1) if depth else 0

    def moves(data: Any) -> None:
        while not stage.release.is_set():
            recurse(30)

    async def awaits(data: Any, depth: int = 5) -> None:
        while not stage.release.is_set():
            await (asyncio.sleep(0) if not depth else below(depth))

    def below(depth: int) -> Coroutine[Any, Any, None]:
        async def step() -> None:
            await asyncio.sleep(0)

        return step()

    stage.inside.set()
    threads = [stage.run(moves), stage.run(awaits)]
    deadline = time.monotonic() + 0.5
    seen = set()
    while time.monotonic() < deadline:
        for thread in threads:
            stack = stack_of(thread, stage.coroutines, lambda: True)
            assert stack is not None
            assert not stack.startswith("<no stack"), stack
            seen.add(stack)
    assert len(seen) > 3, "they moved"
