"""The two faces of the driver: coroutines that need no event loop, and those that do."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, get_origin, get_overloads, get_type_hints

import pymongo
import pytest

from jobpool import AsyncJobManager, JobManager
from jobpool.aio import AsyncChanges
from jobpool.errors import InvalidConfiguration
from jobpool.manager import Changes
from jobpool.manager.planning import AsyncSchedules
from jobpool.manager.scheduling import Schedules
from jobpool.store.awaited import AWAITED
from jobpool.store.driver import BLOCKING, run


async def add(first: int, second: int) -> int:
    return await BLOCKING.call(int.__add__, first, second)


def test_an_operation_of_the_blocking_driver_needs_no_event_loop() -> None:
    assert run(add(1, 2)) == 3


def test_it_runs_where_an_event_loop_runs_and_within_another() -> None:
    async def on_loop() -> int:
        return await BLOCKING.call(run, add(1, 2)) + run(add(3, 4))

    assert asyncio.run(on_loop()) == 10


def test_what_a_call_raises_comes_out() -> None:
    async def divide() -> float:
        return await BLOCKING.call(float.__truediv__, 1.0, 0.0)

    with pytest.raises(ZeroDivisionError):
        run(divide())


def test_a_cancellation_that_the_driver_ignores_is_not_lost() -> None:
    async def deaf() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 2

    async def cancel() -> None:
        calling: asyncio.Task[Any] = asyncio.create_task(AWAITED.call(deaf))
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    asyncio.run(cancel())


def test_an_operation_that_waits_for_an_event_loop_is_ended_and_said() -> None:
    steps: list[str] = []

    @contextmanager
    def step() -> Iterator[None]:
        try:
            yield
        finally:
            steps.append("left")

    async def wait() -> None:
        with step():
            await AWAITED.pause(0)

    with pytest.raises(RuntimeError, match="event loop"):
        run(wait())
    assert steps == ["left"]


def test_a_lock_of_threads_lets_its_own_thread_in_again() -> None:
    """A signal handler may create a job on top of a first contact."""
    lock = BLOCKING.lock()

    async def twice() -> str:
        async with lock, lock:
            return "in"

    assert run(twice()) == "in"


@pytest.mark.parametrize("version", [(4, 8, 0), (4, 9, 2), (4, 10, 1)])
def test_a_driver_that_is_too_old_is_said(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    installed = ".".join(map(str, version))
    monkeypatch.setattr(pymongo, "version_tuple", version)
    monkeypatch.setattr(pymongo, "version", installed)
    if version < (4, 9):
        monkeypatch.delattr(pymongo, "AsyncMongoClient")
    monkeypatch.delitem(sys.modules, "jobpool.store.awaited")
    with pytest.raises(InvalidConfiguration, match=rf"PyMongo 4\.11 or later, and {installed} is installed"):
        AsyncJobManager("x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"database": 5}, "pymongo AsyncDatabase, not int"),
        ({"database": "x", "client": "y"}, "pymongo AsyncMongoClient, not str"),
        ({"database": "x", "uri": "http://y"}, "begins with mongodb://"),
        ({"database": "a b"}, "cannot name a collection"),
        ({"database": "x", "timeout": 0}, "timeout"),
        ({"database": "x", "data_limit": 1}, "data_limit"),
        ({"database": "x", "write_concern": 0}, "write_concern"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        AsyncJobManager(**arguments)  # type: ignore[arg-type]


def test_a_client_of_the_other_kind_is_refused() -> None:
    with pymongo.MongoClient[dict[str, object]](connect=False) as client:
        with pytest.raises(InvalidConfiguration, match="AsyncMongoClient, not MongoClient"):
            AsyncJobManager("x", client=client)  # type: ignore[arg-type]
        with pytest.raises(InvalidConfiguration, match="AsyncDatabase, not Database"):
            AsyncJobManager(client["x"])  # type: ignore[arg-type]
    other = pymongo.AsyncMongoClient[dict[str, object]]()
    with pytest.raises(InvalidConfiguration, match="pymongo MongoClient, not AsyncMongoClient"):
        JobManager("x", client=other)  # type: ignore[arg-type]


def methods(kind: type[object]) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]


#: What only a `JobManager` has, and why.
FOR_THREADS = {
    "executor": "executors run on threads: who has none registers none",
    "run": "a job is run in the calling thread, which would be that of the event loop",
    "run_all": "as run",
    "start_watch": "a pool is made of threads; it takes a JobManager",
    "stop_watch": "as start_watch",
}
#: Arguments that only a `JobManager` takes, and why.
ARGUMENTS_FOR_THREADS = {
    "close": {"timeout": "for the pools of start_watch to stop"},
    "__init__": {"executors": "of types that are run here"},
}
#: What an `AsyncJobManager` has that waits for nothing.
AT_ONCE = {"document_of", "exposition", "scheduled", "told"}
#: What returns an asynchronous iterator where that of a `JobManager` returns an iterator.
ITERATORS = {"as_completed", "changes", "each", "pages"}


def public(kind: type[object]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_a_job_manager_can_do_nothing_more_that_makes_sense_in_an_event_loop() -> None:
    """Whoever adds a method adds its twin, or says here why there is none."""
    assert public(JobManager) - public(AsyncJobManager) == FOR_THREADS.keys()
    assert public(AsyncJobManager) <= public(JobManager)


@pytest.mark.parametrize("name", ["__init__", *methods(AsyncJobManager)])
def test_names_and_arguments_are_those_of_a_job_manager(name: str) -> None:
    awaited, blocking = (
        inspect.signature(getattr(kind, name)).parameters for kind in (AsyncJobManager, JobManager)
    )
    assert awaited.keys() == blocking.keys() - ARGUMENTS_FOR_THREADS.get(name, {}).keys()
    for argument in awaited:
        assert awaited[argument].default == blocking[argument].default, argument
        assert awaited[argument].kind == blocking[argument].kind, argument


@pytest.mark.parametrize("name", methods(AsyncJobManager))
def test_no_method_holds_an_event_loop_up(name: str) -> None:
    """What asks MongoDB is a coroutine, or begins to ask when it is iterated over."""
    method = getattr(AsyncJobManager, name)
    assert inspect.iscoroutinefunction(method) == (name not in AT_ONCE | ITERATORS)
    if name in ITERATORS:
        returned = get_type_hints(method)["return"]
        assert issubclass(get_origin(returned) or returned, AsyncIterator)


def test_changes_of_both_have_the_same_methods() -> None:
    assert public(AsyncChanges) == public(Changes)
    for name in methods(AsyncChanges):
        assert inspect.iscoroutinefunction(getattr(AsyncChanges, name)), name
        assert inspect.signature(getattr(AsyncChanges, name)).parameters.keys() == {"self"}, name


def test_the_schedules_of_both_have_the_same_methods() -> None:
    assert set(methods(Schedules)) - set(methods(AsyncSchedules)) == {"fire_due"}  # which is what pools do
    for name in methods(AsyncSchedules):
        awaited, blocking = (inspect.signature(getattr(kind, name)) for kind in (AsyncSchedules, Schedules))
        assert awaited == blocking, name


def test_a_job_that_is_spelled_out_has_the_arguments_of_create() -> None:
    """The overload for type checkers is written twice."""
    spelled = [get_overloads(kind.create)[0] for kind in (AsyncJobManager, JobManager)]
    awaited, blocking = (inspect.signature(overload).parameters for overload in spelled)
    assert list(awaited) == list(blocking)
