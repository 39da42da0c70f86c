"""What executors raise, and what is stored of it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import bson
import pytest

from jobpool import Executor, JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.outcome import MAX_ERROR_BYTES

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE
from .executors import Own, twice
from .hosts import HostSnapshot, pool_threads
from .report import FaultReport


class BadText(Exception):
    """Its text raises what it was given."""

    def __str__(self) -> str:
        raise self.args[0]


class BadResult(dict[str, Any]):
    """A result that raises what it was given while it is looked at."""

    def items(self) -> Any:
        raise self["error"]


RAISED = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration, MemoryError, Own)


def raising_executors() -> dict[str, Callable[[Any], Any]]:
    """Return an executor for every exception, each way of raising it, plain and as a coroutine."""
    found: dict[str, Callable[[Any], Any]] = {}
    for kind in RAISED:

        def direct(data: object, kind: type[BaseException] = kind) -> None:
            raise kind("x")

        def in_text(data: object, kind: type[BaseException] = kind) -> None:
            raise BadText(kind("x"))

        def in_result(data: object, kind: type[BaseException] = kind) -> Any:
            return BadResult(error=kind("x"))

        async def coroutine(data: object, kind: type[BaseException] = kind) -> None:
            await asyncio.sleep(0)
            raise kind("x")

        async def child(data: object, kind: type[BaseException] = kind) -> None:
            await asyncio.gather(asyncio.create_task(coroutine(data, kind)))

        for way in (direct, in_text, in_result, coroutine, child):
            found[f"{kind.__name__} {way.__name__}"] = way
    return found


@pytest.mark.fault("F16")
def test_f16_whatever_is_raised_wherever_costs_an_attempt_and_nothing_else(
    fault: FaultReport, server: EmbeddedMongo, database: str, jobs: Jobs
) -> None:
    ran: Counter[str] = Counter()
    executors = raising_executors()

    def counted(type: str, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def plain(data: object) -> Any:
            ran[type] += 1
            return fn(data)

        return plain

    with (
        HostSnapshot() as host,
        JobManager(
            database,
            uri=server.uri,
            executors={
                **{type: twice(counted(type, fn)) for type, fn in executors.items()},
                "last": lambda data: data,
            },
        ) as manager,
        WorkerPool(manager, threads=3) as pool,
    ):
        workers = {name for name in pool_threads() if "worker" in name}
        ids = [manager.create(type).id for type in executors]
        ends = [manager.wait(id, PATIENCE) for id in ids]
        assert manager.wait(manager.create("last", 5).id, PATIENCE).result == 5
        assert {name for name in pool_threads() if "worker" in name} == workers
        assert pool.health().is_live
        assert pool.stop().abandoned == ()
    outcomes = Counter(job.state.value for job in ends)
    assert outcomes == {"failed": len(executors)}
    assert dict(ran) == dict.fromkeys(executors, 2)
    assert {(job.attempts, len(job.errors)) for job in ends} == {(2, 2)}
    told = {job.type: job.error.type for job in ends if job.error}
    wrong = {
        type: name
        for type, name in told.items()
        if name not in (type.split()[0], "BadText", "RuntimeError")  # a coroutine must not raise StopIteration
    }
    assert wrong == {}
    fault.struck(sum(ran.values()), "exceptions raised")
    fault.figure("outcomes", f"{outcomes['failed']}/{len(executors)}; host as before in {host.check()} ways")


def _vast(data: object) -> None:
    raise ValueError("x" * 10_000_000)


def _cyclic(data: object) -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__, first.__context__ = second, first, first
    raise first


def _chain_of(length: int) -> BaseException:
    error: BaseException = ValueError("the first")
    for number in range(length):
        another = ValueError(number)
        another.__cause__ = error
        error = another
    return error


def _deep(data: object, depth: int = 0) -> None:
    if depth >= sys.getrecursionlimit() - 200:
        raise ValueError("deep")
    _deep(data, depth + 1)


def _endless(data: object) -> None:
    _endless(data)


def _nested(data: object) -> None:
    error: Exception = ValueError("inner")
    for _ in range(500):
        error = ExceptionGroup("outer", [error, ValueError("sister")])
    raise error


def _noted(data: object) -> None:
    error = ValueError("noted")
    for _ in range(100):
        error.add_note("n" * 100_000)
    raise error


def _foreign(data: object) -> None:
    raise ValueError("\ud800\0\u202e" * 5000)


def _syntax(data: object) -> None:
    raise SyntaxError("bad", ("file", 1, 5, "y" * 10_000_000, 1, 6))


@pytest.mark.fault("F14")
def test_f14_what_is_stored_of_an_error_is_bounded(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    def chained(data: object) -> None:
        raise _chain_of(5000)

    executors: dict[str, Any] = {
        "vast": _vast,
        "cyclic": _cyclic,
        "chained": chained,
        "deep": _deep,
        "endless": _endless,
        "nested": _nested,
        "noted": _noted,
        "foreign": _foreign,
        "syntax": _syntax,
    }
    ran: Counter[str] = Counter()

    def executor(type: str) -> Executor:
        def fn(data: object) -> None:
            ran[type] += 1
            executors[type](data)

        return twice(fn)

    manager = make_manager(executors={type: executor(type) for type in executors})
    with HostSnapshot(), WorkerPool(manager, threads=2) as pool:
        ends = {type: manager.wait(manager.create(type).id, PATIENCE) for type in executors}
        assert pool.stop().abandoned == ()
        manager.close()
    assert {type: job.state for type, job in ends.items()} == dict.fromkeys(executors, State.FAILED)
    assert ran == dict.fromkeys(executors, 2)
    sizes = {}
    for document in jobs.find():
        for error in (document["error"], *document["errors"]):
            assert len(error["message"].encode()) <= MAX_ERROR_BYTES
            assert len(error["traceback"].encode()) <= MAX_ERROR_BYTES
        sizes[document["type"]] = len(bson.encode(document["error"]))
    assert ends["vast"].error is not None
    assert ends["vast"].error.traceback
    fault.struck(sum(ran.values()), "hostile exceptions raised")
    fault.figure("bytes stored of an error, most", max(sizes.values()))
