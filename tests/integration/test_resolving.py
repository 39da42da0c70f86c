"""Jobs that wait for others: told of their ends once, never too soon, whoever dies on the way.

A death between two statements is an error that nothing catches, from the call of the driver itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from jobpool import Executor, Job, JobManager, State
from jobpool.errors import JobHeld, StoreUnavailable
from jobpool.pool import resolver
from jobpool.signals import Cancel
from jobpool.store import Store, followers, linking, resolving
from jobpool.store.driver import run
from jobpool.testing import run_all

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy

Client = MongoClient[dict[str, Any]]


class Killed(BaseException):
    """What a process does no more."""


@contextmanager
def dying(store: Store, after: int) -> Iterator[list[str]]:
    """Let the caller die as soon as so many calls of the driver have been made; yield their names."""
    parts: list[Any] = [store.creation, store.linking, store.followers, store.resolving, store.cancelling]
    parts += [store.removing, store.cancelling._cascading]
    calls: list[str] = []
    real = store.driver.call

    async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if len(calls) == after:
            raise Killed
        calls.append(getattr(method, "__name__", "?"))
        answer = await real(method, *args, **options)
        if len(calls) == after:
            raise Killed
        return answer

    for part in parts:
        part._call = call
    try:
        yield calls
    finally:
        for part in parts:
            part._call = real


def kills() -> Iterator[int]:
    """Yield after how many calls to die."""
    return iter(range(1, 30))


def dies(store: Store, after: int, do: Callable[[], object]) -> bool:
    """Do it, and return whether that was its death."""
    with dying(store, after):
        try:
            do()
        except Killed:
            return True
    return False


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take creators for dead at once, and look often whether some are."""
    monkeypatch.setattr(linking, "PATIENCE", 0.0)
    monkeypatch.setattr(resolver, "CREATORS", 0.05)


def resolve(manager: JobManager) -> None:
    """Do what pools do, until nothing is left."""
    run(manager.store.resolving.complete_old())
    resolver.resolve_all(manager.store)


def swept(manager: JobManager) -> list[int]:
    """Sweep once, as pools do now and then."""

    async def sweep() -> list[int]:
        return [gone async for gone in manager.store.resolving.sweep()]

    return run(sweep())


@pytest.fixture
def ran() -> list[str]:
    """What was run, in order."""
    return []


@pytest.fixture
def manager(make_manager: MakeManager, ran: list[str]) -> JobManager:
    """A manager whose jobs note their order."""

    def work(data: str) -> str:
        ran.append(data)
        return data

    def fail(data: str) -> None:
        ran.append(data)
        raise ValueError(data)

    def withdraw(data: str) -> None:
        ran.append(data)
        raise Cancel("not wanted")

    executors = {"ok": work, "bad": Executor(fail), "withdrawn": withdraw}
    manager = make_manager(executors=executors)
    manager.ensure_indexes()
    return manager


def create(manager: JobManager, id: str, *after: str, type: str = "ok", **fields: Any) -> Job:
    return manager.create(type, id, id=id, after=after, **fields)


def states(manager: JobManager) -> dict[str, str]:
    return {job.id: job.state.value for job in manager.find(limit=10_000)}


# --- what happens ----------------------------------------------------------------------------------


def test_jobs_run_after_what_they_wait_for(manager: JobManager, ran: list[str]) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    create(manager, "c", "a")
    create(manager, "d", "b", "c", priority=9)
    assert manager.run_all() == 4
    assert ran[0] == "a"
    assert ran[3] == "d"
    done = manager.get("d")
    assert (done.after, done.waits_for) == (("b", "c"), ())


def test_a_failure_is_passed_on_with_its_reason(manager: JobManager) -> None:
    create(manager, "a", type="bad")
    create(manager, "b", "a")
    create(manager, "c", "b")
    create(manager, "d", "c", on_failure="run")
    manager.run_all()
    assert states(manager) == {"a": "failed", "b": "failed", "c": "failed", "d": "succeeded"}
    error = manager.get("b").error
    assert error is not None
    assert (error.type, error.attempt) == ("DependencyFailed", 0)
    assert error.message == "job 'a', after which it was to run, failed; it was not started"
    assert manager.get("b").finished_at is not None


def test_a_job_that_may_be_tried_again_has_not_failed(make_manager: MakeManager) -> None:
    tries = count(1)

    def second(data: Any) -> int:
        if next(tries) == 1:
            raise ValueError("not yet")
        return 1

    manager = make_manager(executors={"t": Executor(second, max_attempts=2, backoff=0), "u": lambda data: 2})
    first = manager.create("t")
    manager.create("u", after=[first.id], id="u")
    manager.run("t")
    resolve(manager)
    assert manager.get("u").state is State.WAITING
    manager.run_all()
    assert manager.get("u").state is State.SUCCEEDED


def test_what_ended_long_ago_is_passed_on_as_well(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "x", type="bad")
    manager.run_all()
    create(manager, "b", "a")
    create(manager, "y", "x", "a")
    manager.run_all()
    assert states(manager) == {"a": "succeeded", "b": "succeeded", "x": "failed", "y": "failed"}


def test_a_later_run_at_is_kept_and_an_earlier_one_moves(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "now", "a")
    late = create(manager, "late", "a", delay=3600)
    manager.run("ok")
    ended = manager.get("a").finished_at
    resolve(manager)
    assert manager.get("late").state is State.PENDING
    assert manager.get("late").run_at == late.run_at
    assert ended is not None
    assert manager.get("now").run_at >= ended


def test_nothing_is_left_of_it(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    manager.run_all()
    assert set(jobs.find_one({"_id": "b"}) or ()).isdisjoint({"waits_for", "linking", "told_at"})
    assert jobs.count_documents({"followed": {"$exists": True}}) == 0


def test_a_revived_job_waits_for_nothing(manager: JobManager) -> None:
    create(manager, "a", type="bad")
    create(manager, "b", "a")
    manager.run_all()
    revived = create(manager, "b", "a", on_duplicate="revive")
    assert (revived.state, revived.waits_for) == (State.PENDING, ())
    manager.run_all()
    assert manager.get("b").state is State.SUCCEEDED


def test_the_look_and_the_marks_use_their_indexes(manager: JobManager, jobs: Jobs) -> None:
    for n in range(50):
        create(manager, f"done {n}")
    manager.run_all()
    create(manager, "a")
    create(manager, "b", "a")
    manager.run("ok")
    look = jobs.find(
        {"state": {"$in": ["cancelled", "failed", "succeeded"]}, "followed": {"$gt": ObjectId("0" * 24)}},
        {"state": 1, "followed": 1},
    ).hint("jobpool_followed")
    seen = look.explain()["executionStats"]
    assert (seen["totalDocsExamined"], seen["nReturned"]) == (0, 1)
    assert seen["totalKeysExamined"] <= 4
    waits = jobs.find({"waits_for": {"$in": ["a"]}, "state": "waiting"}).hint("jobpool_waits").explain()
    assert waits["executionStats"]["totalDocsExamined"] == 1


def test_a_pool_is_not_drained_before_those_who_wait_have_run(manager: JobManager) -> None:
    create(manager, "0")
    for n in range(1, 15):
        create(manager, str(n), str(n - 1))
    pool = manager.start_watch(threads=1)
    assert pool.wait_drained(timeout=60)
    assert set(states(manager).values()) == {"succeeded"}


def test_run_all_of_the_testing_package_runs_those_who_wait(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    assert [job.id for job in run_all(manager)] == ["a", "b"]


# --- removing, cancelling --------------------------------------------------------------------------


def test_what_others_wait_for_is_not_removed(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    with pytest.raises(JobHeld, match="job 'a' is pending; others wait for it"):
        manager.remove("a")
    manager.run("ok")
    with pytest.raises(JobHeld, match="job 'a' is succeeded; others wait for it"):
        manager.remove("a")
    assert (manager.purge(0), manager.remove_many(ids=["a"])) == (0, 0)
    resolve(manager)
    assert manager.remove("a")


def test_what_nobody_waits_for_any_more_is_removed(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    assert manager.remove("b")
    assert manager.remove("a")
    for id, after in ("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ("a",)):
        create(manager, id, *after)
    assert manager.remove_many(all=True) == 4
    assert manager.count() == 0


def test_those_who_wait_for_what_is_gone_are_told(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    create(manager, "c", "a", on_failure="run")
    jobs.delete_one({"_id": "a"})
    resolve(manager)
    assert states(manager) == {"b": "waiting", "c": "waiting"}
    assert swept(manager) == [1]
    assert states(manager) == {"b": "failed", "c": "pending"}
    error = manager.get("b").error
    assert error is not None
    assert "'a', after which it was to run, is gone" in error.message


def test_a_pool_sweeps_when_it_starts(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "a")
    create(manager, "b", "a", on_failure="run")
    jobs.delete_one({"_id": "a"})
    manager.start_watch()
    assert manager.wait("b", timeout=30).state is State.SUCCEEDED


def test_a_cancel_fails_those_who_wait_or_lets_them_run(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    create(manager, "c", "a", on_failure="run")
    assert manager.cancel("a").state is State.CANCELLED
    manager.run_all()
    assert states(manager) == {"a": "cancelled", "b": "failed", "c": "succeeded"}


def test_a_cascade_cancels_all_who_wait(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "other")
    create(manager, "a")
    create(manager, "b", "a", on_failure="run")
    create(manager, "c", "b", "other")
    create(manager, "d", "c", "a")
    create(manager, "e", "other")
    manager.cancel("a", cascade=True)
    manager.run_all()
    ends = {"a": "cancelled", "b": "cancelled", "c": "cancelled", "d": "cancelled"}
    assert states(manager) == {**ends, "e": "succeeded", "other": "succeeded"}
    assert jobs.count_documents({"error": {"$exists": True}}) == 0


def test_many_are_cancelled_in_a_cascade(manager: JobManager) -> None:
    for n in range(3):
        create(manager, f"a{n}")
        create(manager, f"b{n}", f"a{n}")
        create(manager, f"c{n}", f"b{n}")
    answer = manager.cancel_many(ids=["a0", "a2"], cascade=True)
    assert (answer.ended, answer.asked) == (6, 0)
    manager.run_all()
    assert {id for id, state in states(manager).items() if state == "succeeded"} == {"a1", "b1", "c1"}


def test_a_waiting_job_is_cancelled_and_counted(manager: JobManager) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    assert manager.count(state="waiting") == 1
    assert manager.cancel("b").waits_for == ("a",)
    assert states(manager) == {"a": "pending", "b": "cancelled"}


def test_a_cascade_that_dies_is_gone_on_with(manager: JobManager) -> None:
    for after in kills():
        ids = [f"{after}-{n}" for n in range(3)]
        create(manager, ids[0])
        create(manager, ids[1], ids[0], on_failure="run")
        create(manager, ids[2], ids[1], on_failure="run")
        died = dies(manager.store, after, partial(manager.cancel, ids[0], cascade=True))
        resolve(manager)
        manager.cancel(ids[0], cascade=True)
        resolve(manager)
        assert {manager.get(id).state for id in ids} == {State.CANCELLED}
        if not died:
            return
    raise AssertionError("it never came to its end")


# --- batches ---------------------------------------------------------------------------------------


def test_a_callback_runs_when_its_batch_is_done(manager: JobManager, ran: list[str]) -> None:
    batch = [{"type": "bad" if n == 3 else "ok", "data": str(n)} for n in range(10)]
    created = manager.create_batch(batch, then={"type": "ok", "data": "all"})
    assert (created.jobs.inserted, created.callback.state, created.callback.created) == (10, State.WAITING, True)
    manager.run_all()
    assert ran[-1] == "all"
    callback = created.callback.wait(timeout=30)
    assert callback.after == tuple(created.ids)
    results = {job.result for job in manager.find(ids=callback.after)}
    assert results == {None, *(str(n) for n in range(10) if n != 3)}


def test_a_batch_may_fail_its_callback(manager: JobManager) -> None:
    created = manager.create_batch([{"type": "bad"}], then={"type": "ok"}, on_failure="fail")
    manager.run_all()
    assert created.callback.wait(timeout=30).state is State.FAILED


def test_a_batch_that_is_created_again_is_the_same(manager: JobManager) -> None:
    batch: list[dict[str, Any]] = [{"type": "ok", "data": str(n)} for n in range(10)]
    first = manager.create_batch(batch, then={"type": "ok", "data": "all"})
    again = manager.create_batch(iter(batch), then={"type": "ok", "data": "all"})
    other = manager.create_batch(batch[:5], then={"type": "ok", "data": "all"})
    assert again.callback.id == first.callback.id != other.callback.id
    assert (again.jobs.inserted, again.callback.created, other.callback.created) == (0, False, True)


def test_the_callback_of_an_empty_batch_is_due(manager: JobManager) -> None:
    assert manager.create_batch([], then={"type": "ok"}).callback.state is State.PENDING


# --- deaths ----------------------------------------------------------------------------------------


def test_a_creator_that_dies_leaves_all_or_nothing(manager: JobManager, ran: list[str]) -> None:
    for after in kills():
        a, b, c = (f"{after}{name}" for name in "abc")
        create(manager, a)
        create(manager, b, type="bad")
        died = dies(manager.store, after, partial(create, manager, c, a, b, on_failure="run"))
        manager.run_all()  # takes nobody for dead yet
        assert states(manager).get(c) in (None, "waiting", "succeeded")
        linking_since = datetime.now(UTC) - timedelta(days=1)
        manager.store._connection.jobs.update_many(
            {"linking": {"$exists": True}}, {"$set": {"linking": linking_since}}
        )
        resolve(manager)
        manager.run_all()
        assert states(manager).get(c) in (None, "succeeded")
        create(manager, c, a, b, on_failure="run")
        manager.run_all()
        assert states(manager)[c] == "succeeded"
        assert ran.count(c) == 1
        if not died:
            return
    raise AssertionError("it never came to its end")


def test_a_creator_of_many_that_dies_leaves_each_all_or_nothing(
    manager: JobManager, ran: list[str], at_once: None
) -> None:
    for after in kills():
        ids = [f"{after}-{n}" for n in range(6)]
        jobs = [
            {"type": "ok", "data": id, "id": id, "after": ids[:n] if n % 2 else ids[max(0, n - 1) : n]}
            for n, id in enumerate(ids)
        ]
        died = dies(manager.store, after, partial(manager.create_many, jobs[::-1], batch_size=4))
        resolve(manager)
        manager.run_all()
        resolve(manager)
        manager.run_all()
        found = {id: state for id, state in states(manager).items() if id in ids}
        assert set(found.values()) <= {"succeeded"}
        manager.create_many(jobs)
        resolve(manager)
        manager.run_all()
        order = [id for id in ran if id in ids]
        assert order == ids
        if not died:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("parent", ["ok", "bad"])
def test_a_resolver_that_dies_has_let_nobody_go_too_soon_and_nobody_is_left(
    manager: JobManager, parent: str
) -> None:
    for after in kills():
        a, b, c, d, e = (f"{after}{name}" for name in "abcde")
        create(manager, a, type=parent, priority=9)
        create(manager, b, delay=3600)
        create(manager, c, a)
        create(manager, d, a, on_failure="run")
        create(manager, e, a, b, on_failure="run")
        manager.run(parent)
        died = dies(manager.store, after, lambda: run(manager.store.resolving.resolve()))
        assert manager.get(e).state is State.WAITING
        resolve(manager)
        assert manager.get(c).state is (State.PENDING if parent == "ok" else State.FAILED)
        assert manager.get(d).state is State.PENDING
        assert manager.get(e).waits_for == (b,)
        manager.cancel(b)
        resolve(manager)
        assert manager.get(e).state is State.PENDING
        if not died:
            return
    raise AssertionError("it never came to its end")


def test_a_mark_that_came_after_the_look_stays(manager: JobManager, jobs: Jobs) -> None:
    """Else whoever came to wait between look and end of a round would wait for ever."""
    create(manager, "a")
    create(manager, "b", "a")
    manager.run("ok")
    real = manager.store.followers.waited_for

    async def waited_for(ids: Sequence[str]) -> set[str]:
        found = await real(ids)
        manager.store.followers.waited_for = real  # type: ignore[method-assign]
        create(manager, "late", "a")
        return found

    manager.store.followers.waited_for = waited_for  # type: ignore[method-assign]
    run(manager.store.resolving.resolve())
    assert jobs.count_documents({"_id": "a", "followed": {"$exists": True}}) == 1
    manager.run_all()
    assert states(manager) == {"a": "succeeded", "b": "succeeded", "late": "succeeded"}


def test_resolvers_at_once_change_each_job_once(manager: JobManager, make_manager: MakeManager) -> None:
    create(manager, "a")
    manager.create_many({"type": "ok", "data": str(n), "after": ["a"]} for n in range(300))
    manager.run("ok")
    changed: list[int] = []
    together = threading.Barrier(4)

    def look(other: JobManager) -> None:
        together.wait()
        changed.append(run(other.store.resolving.resolve()).changed)

    threads = [threading.Thread(target=look, args=(make_manager(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(changed) == 300
    assert manager.count(state="pending") == 300


@pytest.mark.parametrize("retry", ["", "&retryWrites=false"], ids=["retried", "not-retried"])
@pytest.mark.parametrize(("command", "number"), [("find", 1), ("insert", 1), ("update", 1), ("update", 2)])
def test_a_create_survives_each_lost_reply(
    proxy: Proxy, make_manager: MakeManager, jobs: Jobs, command: str, number: int, retry: str
) -> None:
    """The driver repeats some by itself; of all others the caller hears, and repeats."""
    manager = make_manager(uri=f"{proxy.uri}{retry}", executors={"ok": lambda data: data})
    manager.create("ok", 1, id="a")
    with losing(proxy, manager, command, number):
        try:
            manager.create("ok", 2, id="b", after=["a"])
        except StoreUnavailable:
            proxy.forgive()
            manager.create("ok", 2, id="b", after=["a"])
    assert proxy.lost == [command]
    assert jobs.count_documents({"linking": {"$exists": True}}) == 0
    manager.run_all()
    assert manager.get("b").state is State.SUCCEEDED


@contextmanager
def losing(proxy: Proxy, manager: JobManager, command: str, number: int) -> Iterator[None]:
    """Lose the reply of the so-manieth such command from now on, if there is one."""
    seen = 0
    real = manager.store.driver.call
    names = {"find": "to_list", "insert": "insert_one", "update": "update_many", "bulk": "bulk_write"}
    parts: list[Any] = [manager.store.creation, manager.store.linking, manager.store.followers]
    parts.append(manager.store.resolving)

    async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal seen
        if getattr(method, "__name__", "") == names[command]:
            seen += 1
            if seen == number:
                proxy.lose_reply_of("update" if command == "bulk" else command)
        return await real(method, *args, **options)

    for part in parts:
        part._call = call
    try:
        yield
    finally:
        proxy.forgive()
        for part in parts:
            part._call = real


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("command", ["find", "bulk"])
def test_a_resolver_survives_each_lost_reply(
    proxy: Proxy, make_manager: MakeManager, jobs: Jobs, command: str, number: int
) -> None:
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false", executors={"ok": lambda data: data})
    manager.create("ok", id="a")
    manager.create("ok", 2, id="b", after=["a"])
    manager.run("ok")
    with losing(proxy, manager, command, number):
        try:
            run(manager.store.resolving.resolve())
        except StoreUnavailable:
            proxy.forgive()
            run(manager.store.resolving.resolve())
    assert proxy.lost == ["find" if command == "find" else "update"]
    assert manager.get("b").state is State.PENDING
    assert jobs.count_documents({"followed": {"$exists": True}}) == 0


@pytest.mark.parametrize("parent", ["ok", "bad"])
def test_one_that_cannot_be_told_keeps_nobody_else_waiting(
    manager: JobManager, jobs: Jobs, parent: str, caplog: pytest.LogCaptureFixture
) -> None:
    create(manager, "a", type=parent)
    manager.create("ok", "poison", id="b", after=["a"], on_failure="run")
    create(manager, "c", "a", on_failure="run")
    create(manager, "d", "a", on_failure="run")
    manager.run(parent)
    rule = {"$or": [{"data": {"$ne": "poison"}}, {"state": {"$ne": "pending"}}]}
    jobs.database.command("collMod", jobs.name, validator=rule)
    assert run(manager.store.resolving.resolve()).kept == {"a"}
    assert not resolver.resolve_all(manager.store), "and comes to its end"
    assert states(manager) | {"a": ""} == {"a": "", "b": "waiting", "c": "pending", "d": "pending"}
    assert "job 'b', which waits for others that have ended, cannot be told" in caplog.text
    jobs.database.command("collMod", jobs.name, validator={})
    resolve(manager)
    assert manager.get("b").state is State.PENDING


def test_all_who_wait_are_swept_page_by_page(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "SWEPT", 3)
    manager.create_many({"type": "ok", "id": f"a{n}"} for n in range(10))
    manager.create_many({"type": "ok", "id": f"b{n}", "after": [f"a{n}"], "on_failure": "run"} for n in range(10))
    jobs.delete_many({"_id": {"$in": ["a1", "a5", "a9"]}})
    assert sum(swept(manager)) == 3
    assert {job.id for job in manager.find(state="pending") if job.after} == {"b1", "b5", "b9"}


def test_who_waits_for_one_that_went_and_was_made_anew_waits_for_that(manager: JobManager, jobs: Jobs) -> None:
    """Its retention was over while no pool told of its end, and the new one knows of nobody."""
    create(manager, "a")
    create(manager, "b", "a")
    manager.run("ok")
    jobs.delete_one({"_id": "a"})
    create(manager, "a")
    manager.run_all()
    assert manager.get("b").state is State.WAITING
    assert swept(manager) == [0]
    manager.run_all()
    assert manager.get("b").state is State.SUCCEEDED


@pytest.mark.parametrize("foreign", [5, "x", None, [[1]], {"a": 1}], ids=str)
def test_a_foreign_document_keeps_no_pool_from_going_on_for_dead_creators(
    manager: JobManager, jobs: Jobs, at_once: None, foreign: object
) -> None:
    create(manager, "a")
    create(manager, "b", "a")
    long_ago = datetime.now(UTC) - timedelta(days=1)
    jobs.update_one({"_id": "a"}, {"$unset": {"followed": ""}})
    jobs.update_one({"_id": "b"}, {"$set": {"linking": long_ago}})
    jobs.insert_one(
        {
            "_id": "x",
            "state": "waiting",
            "linking": long_ago - timedelta(days=1),
            "waits_for": foreign,
            "type": "x",
        }
    )
    resolve(manager)
    swept(manager)
    manager.run_all()
    assert manager.get("b").state is State.SUCCEEDED


def test_one_that_cannot_be_linked_keeps_no_other_unlinked(
    manager: JobManager,
    jobs: Jobs,
    at_once: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(linking, "COMPLETED", 1)
    create(manager, "a")
    long_ago = datetime.now(UTC) - timedelta(days=1)
    for day, id in enumerate(["poison", "b"]):
        create(manager, id, "a")
        jobs.update_one({"_id": id}, {"$set": {"linking": long_ago + timedelta(minutes=day)}})
    jobs.update_one({"_id": "a"}, {"$unset": {"followed": ""}})
    rule = {"$or": [{"data": {"$ne": "poison"}}, {"linking": {"$exists": True}}]}
    jobs.database.command("collMod", jobs.name, validator=rule)
    assert run(manager.store.resolving.complete_old()) == 1
    assert "job 'poison' waits, and cannot be linked" in caplog.text
    manager.run("ok")
    resolver.resolve_all(manager.store)
    assert states(manager) == {"a": "succeeded", "b": "pending", "poison": "waiting"}


def test_one_whose_mark_cannot_be_taken_away_ends_no_look(manager: JobManager, jobs: Jobs) -> None:
    manager.create_many([{"type": "ok", "id": id, "data": id} for id in "ab"])
    create(manager, "c", "a", "b")
    manager.run_all()
    create(manager, "d", "a", "b")
    jobs.database.command("collMod", jobs.name, validator={"data": {"$ne": "a"}})
    look = run(manager.store.resolving.resolve())
    assert (look.ended, look.changed, look.kept) == (2, 1, frozenset("a"))
    manager.run_all()
    assert manager.get("d").state is State.SUCCEEDED
    assert [job["_id"] for job in jobs.find({"followed": {"$exists": True}})] == ["a"]


def test_a_failure_is_passed_on_whatever_else_stands_in_place_of_run(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "a", type="bad")
    for id, value in ("b", "fail"), ("c", None), ("d", 5):
        create(manager, id, "a")
        jobs.update_one({"_id": id}, {"$set": {"on_failure": value}})
    manager.run_all()
    assert {job["state"] for job in jobs.find({})} == {"failed"}


def test_one_that_ends_while_it_is_removed_is_removed(manager: JobManager, jobs: Jobs) -> None:
    create(manager, "a")
    jobs.update_one({"_id": "a"}, {"$set": {"state": "running"}})
    removing, real = manager.store.removing, manager.store.driver.call

    async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        answer = await real(method, *args, **options)
        if method.__name__ == "delete_one":
            jobs.update_one({"_id": "a"}, {"$set": {"state": "succeeded"}})
        return answer

    removing._call = call
    assert manager.remove("a")


def test_a_long_chain_is_removed_in_few_looks(manager: JobManager, jobs: Jobs) -> None:
    manager.create_many({"type": "ok", "id": f"{n:03}", "after": [f"{n - 1:03}"] if n else []} for n in range(200))
    looks = 0
    removing, real = manager.store.removing._followers, manager.store.driver.call

    async def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += method.__name__ == "to_list"
        return await real(method, *args, **options)

    removing._call = call
    create(manager, "x", "100")
    assert manager.remove_many(until=manager.get("x").created_at) == 99, "those behind the one that is waited for"
    assert manager.remove_many(all=True) == 102
    assert looks <= 4
    assert jobs.count_documents({}) == 0


def test_who_waits_no_more_is_due_also_by_a_clock_that_is_behind(manager: JobManager) -> None:
    create(manager, "a")
    manager.run("ok")
    clock = manager.store.clock
    clock.learn(clock.now() - timedelta(seconds=20))
    create(manager, "b", "a")
    assert manager.run_all() == 1, "an estimate of the server's time may be behind by as long as a reply took"


# --- many ------------------------------------------------------------------------------------------


def test_who_waits_for_very_many_is_told_of_many_together(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "WIDE", 5)
    batch = manager.create_batch(
        ({"type": "ok", "data": str(n)} for n in range(300)), then={"type": "ok", "data": "all"}
    )
    ids = batch.ids
    long_ago = datetime.now(UTC) - timedelta(days=1)
    jobs.update_one({"_id": batch.callback.id}, {"$set": {"created_at": long_ago, "told_at": datetime.now(UTC)}})
    ended = {"state": "succeeded", "finished_at": datetime.now(UTC)}
    jobs.update_many({"_id": {"$in": ids[:100]}}, {"$set": ended})
    first = run(manager.store.resolving.resolve())
    assert (first.ended, first.changed, len(first.kept)) == (100, 0, 100), "it was told a moment ago"
    assert run(manager.store.resolving.resolve(first.kept)).ended == 0
    jobs.update_one({"_id": batch.callback.id}, {"$set": {"told_at": long_ago}})
    second = run(manager.store.resolving.resolve())
    assert (second.ended, second.changed, second.kept) == (100, 1, frozenset())
    assert len(manager.get(batch.callback.id).waits_for) == 200
    jobs.update_many({"_id": {"$in": ids}}, {"$set": ended})
    resolve(manager)
    assert manager.get(batch.callback.id).state is State.PENDING


def test_ten_thousand_fan_out_and_in_under_several_pools(make_manager: MakeManager, jobs: Jobs) -> None:
    ran: list[str] = []
    executors = {"fan": lambda data: None, "all": ran.append}
    managers = [make_manager(executors=executors) for _ in range(3)]
    began = time.monotonic()
    one = managers[0].create("fan", delay=3600, id="one")
    batch = managers[0].create_batch(
        [{"type": "fan", "data": n, "after": [one.id]} for n in range(10_000)], then={"type": "all", "data": "all"}
    )
    created = time.monotonic() - began
    assert managers[0].count(state="waiting") == 10_001
    for manager in managers:
        manager.start_watch(threads=4)
    jobs.update_one({"_id": one.id}, {"$currentDate": {"run_at": True}})
    done = managers[1].wait(batch.callback.id, timeout=300)
    assert (done.state, ran, len(done.after)) == (State.SUCCEEDED, ["all"], 10_000)
    assert jobs.count_documents({"type": "fan", "state": "succeeded", "attempts": 1}) == 10_001
    first, last = managers[0].get(one.id).finished_at, max(jobs.distinct("finished_at", {"type": "fan"}))
    assert first is not None
    assert done.started_at is not None
    assert last <= done.started_at
    print(
        f"one, 10,000 after it and one after these: created in {created:.2f} s, by 3 pools run in "
        f"{(done.started_at - first).total_seconds():.2f} s from the one's end, the last one started "
        f"{(done.started_at - last).total_seconds() * 1000:.0f} ms after the last of the many"
    )
    assert jobs.count_documents({"type": "fan", "started_at": {"$lt": first}}) == 1, "the one itself"


# --- graphs ----------------------------------------------------------------------------------------

graphs = st.lists(
    st.tuples(
        st.sampled_from(["ok", "ok", "ok", "bad", "withdrawn"]),
        st.sets(st.integers(1, 8), max_size=4),
        st.sampled_from(["fail", "run"]),
    ),
    min_size=1,
    max_size=9,
)
numbers = count()


def expected(graph: list[tuple[str, set[int], str]]) -> list[str]:
    """Return how each job ends: a model of the whole in five lines."""
    ends: list[str] = []
    for type, after, on_failure in graph:
        good = all(ends[n] == "succeeded" for n in after)
        runs = good or on_failure == "run"
        ends.append({"ok": "succeeded", "bad": "failed", "withdrawn": "cancelled"}[type] if runs else "failed")
    return ends


def run_graph(manager: JobManager, ran: list[str], data: st.DataObject, *, here: bool) -> None:
    """Create a graph in any order, let it run, here or by pools, and compare with the model."""
    drawn = data.draw(graphs)
    graph = [
        (type, {index - back for back in after if back <= index}, on_failure)
        for index, (type, after, on_failure) in enumerate(drawn)
    ]
    prefix = f"{next(numbers)}/"
    ids = [f"{prefix}{index}" for index in range(len(graph))]
    requests: list[dict[str, Any]] = [
        {"type": type, "data": id, "id": id, "after": [ids[n] for n in after], "on_failure": on_failure}
        for id, (type, after, on_failure) in zip(ids, graph, strict=True)
    ]
    manager.create_many(data.draw(st.permutations(requests)))
    if here:
        manager.run_all()
    done = manager.wait_many(ids, timeout=60)
    assert [job.state.value for job in done] == expected(graph)
    never = {job.id for job in done if job.error is not None and job.error.type == "DependencyFailed"}
    assert sorted(id for id in ran if id.startswith(prefix)) == [id for id in ids if id not in never]
    for job, (_, after, _) in zip(done, graph, strict=True):
        ends = [done[n].finished_at for n in after]
        assert job.started_at is None or all(end is not None and end <= job.started_at for end in ends)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_any_graph_runs_once_and_in_order(manager: JobManager, ran: list[str], data: st.DataObject) -> None:
    run_graph(manager, ran, data, here=True)


def test_any_graph_runs_once_and_in_order_under_pools(
    manager: JobManager, ran: list[str], make_manager: MakeManager
) -> None:
    other = make_manager()
    for type in manager.executors:
        other.executors.register(type, manager.executors[type])
    manager.start_watch(threads=2)
    other.start_watch(threads=2)

    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def any_graph(data: st.DataObject) -> None:
        run_graph(manager, ran, data, here=False)

    any_graph()
