"""Hooks on a real server: they hear of everything, and cost no job its outcome."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from jobpool import (
    AsyncJobManager,
    Backoff,
    CurrentJob,
    Executor,
    JobManager,
    Middleware,
    State,
    WorkerPool,
    current_job,
)
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import DuplicateJob, InvalidConfiguration, LeaseLost
from jobpool.middleware import NewJob, Settled
from jobpool.signals import Cancel, Snooze

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..waiting import until

#: Where a hook can raise; each is called for every job or batch below.
PLACES = [
    *("creating", "creating enter", "creating exit", "claimed"),
    *("executing", "executing enter", "executing exit", "finished"),
]
HOSTILE = [ValueError("hook"), BaseException("hook"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]


class Noting(Middleware):
    """Notes what it is told. Threads: any; appending is atomic."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    @contextmanager
    def creating(self, requests: Sequence[NewJob]) -> Iterator[None]:
        self.notes.append(("creating", *(request.id for request in requests)))
        try:
            yield
        except Exception as error:
            self.notes.append(("not created", type(error).__name__))
            raise
        else:
            self.notes.append(("created",))

    def claimed(self, jobs: Sequence[CurrentJob]) -> None:
        self.notes += [("claimed", job.id) for job in jobs]

    @contextmanager
    def executing(self, job: CurrentJob) -> Iterator[None]:
        assert current_job().id == job.id
        self.notes.append(("enters", job.id, job.attempt, threading.current_thread().name))
        try:
            yield
        except BaseException as error:
            self.notes.append(("sees", job.id, type(error).__name__))
            raise
        finally:
            self.notes.append(("leaves", job.id))

    def finished(self, job: CurrentJob, outcome: Settled) -> None:
        self.notes.append(("finished", job.id, outcome.name))

    def of(self, id: str) -> list[tuple[Any, ...]]:
        """Return what was noted of one job since it was claimed, without ids and threads."""
        return [(note[0], *note[2:3]) for note in self.notes if note[1:2] == (id,) and note[0] != "creating"]

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [note[1:] for note in self.notes if note[0] == name]


class Raising(Middleware):
    """Raises in the places it is told to, and counts how often."""

    def __init__(self, error: BaseException, *places: str) -> None:
        self.error, self.places = error, places
        self.raised: list[str] = []

    def _at(self, place: str) -> None:
        if place in self.places:
            self.raised.append(place)
            raise self.error

    @contextmanager
    def _around(self, name: str) -> Iterator[None]:
        self._at(f"{name} enter")
        try:
            yield
        finally:
            self._at(f"{name} exit")

    def creating(self, requests: Sequence[NewJob]) -> AbstractContextManager[None]:
        self._at("creating")
        return self._around("creating")

    def claimed(self, jobs: Sequence[CurrentJob]) -> None:
        self._at("claimed")

    def executing(self, job: CurrentJob) -> AbstractContextManager[None]:
        self._at("executing")
        return self._around("executing")

    def finished(self, job: CurrentJob, outcome: Settled) -> None:
        self._at("finished")


def counted(manager: JobManager) -> float:
    registry = manager.metrics.registry
    return registry.get_sample_value("jobpool_internal_errors_total", {"component": "middleware"}) or 0.0


def ok(data: Any) -> Any:
    return data


async def ok_async(data: Any) -> Any:
    await asyncio.sleep(0)
    return data


def fail(data: Any) -> None:
    raise LookupError("the executor's own")


def leave(data: Any) -> None:
    raise SystemExit("the executor's own")


EXECUTORS: dict[str, Any] = {
    "ok": ok,
    "async": ok_async,
    "fail": fail,
    "exit": leave,
    "retry": Executor(fail, max_attempts=2, backoff=Backoff(base=0)),
}
#: By type, how its job ends: state, attempts, type of the error.
ENDS = {
    "ok": (State.SUCCEEDED, 1, None),
    "async": (State.SUCCEEDED, 1, None),
    "fail": (State.FAILED, 1, "LookupError"),
    "exit": (State.FAILED, 1, "SystemExit"),
    "retry": (State.FAILED, 2, "LookupError"),
}


def run_here(manager: JobManager) -> None:
    while manager.run() is not None:
        pass


def run_all(manager: JobManager) -> None:
    manager.run_all()


def run_pool(manager: JobManager) -> None:
    with WorkerPool(manager, threads=3):
        until(lambda: manager.count(state="succeeded") + manager.count(state="failed") == len(manager.find()))


def on_a_thread(run: Callable[[], None]) -> None:
    """Run where a KeyboardInterrupt is nobody's Ctrl-C."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


RUNS = pytest.mark.parametrize("run", [run_here, run_all, run_pool])


def ends(manager: JobManager) -> dict[str, Any]:
    return {
        job.type: (job.state, job.attempts, job.error.type if job.error else None)
        for job in manager.find(limit=100)
    }


@RUNS
@pytest.mark.parametrize("error", HOSTILE, ids=repr)
def test_hooks_that_raise_everywhere_cost_no_job_its_outcome(
    make_manager: MakeManager, run: Callable[[JobManager], None], error: BaseException
) -> None:
    first, bad, last = Noting(), Raising(error, *PLACES), Noting()
    manager = make_manager(executors=EXECUTORS, middleware=[first, bad, last])

    def work() -> None:
        for type in EXECUTORS:
            assert manager.create(type, {"n": 1}).created
        run(manager)

    on_a_thread(work)
    assert ends(manager) == ENDS
    assert manager.get(manager.find(type="ok")[0].id).result == {"n": 1}
    assert first.named("finished") == last.named("finished")
    assert len(first.named("finished")) == 6
    assert {*bad.raised} == {"creating", "claimed", "executing", "finished"}
    assert counted(manager) == len(bad.raised)


@RUNS
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [ValueError("hook"), SystemExit(3)], ids=repr)
def test_a_hook_that_raises_in_one_place_costs_no_job_its_outcome(
    make_manager: MakeManager, run: Callable[[JobManager], None], place: str, error: BaseException
) -> None:
    bad = Raising(error, place)
    manager = make_manager(executors=EXECUTORS, middleware=[bad])
    assert manager.create_many([{"type": type, "data": 1} for type in EXECUTORS]).inserted == len(EXECUTORS)
    run(manager)
    assert ends(manager) == ENDS
    assert bad.raised
    assert {*bad.raised} == {place}
    assert counted(manager) == len(bad.raised)


@RUNS
def test_each_attempt_is_heard_of_in_order(make_manager: MakeManager, run: Callable[[JobManager], None]) -> None:
    mine = Noting()
    manager = make_manager(executors=EXECUTORS, middleware=[mine])
    ids = {type: manager.create(type, 1).id for type in EXECUTORS}
    run(manager)
    assert counted(manager) == 0  # assertions in hooks, too
    for type in ("ok", "async"):
        assert mine.of(ids[type]) == [("claimed",), ("enters", 1), ("leaves",), ("finished", "succeeded")]
    for type, error in (("fail", "LookupError"), ("exit", "SystemExit")):
        assert mine.of(ids[type]) == [
            *(("claimed",), ("enters", 1), ("sees", error), ("leaves",), ("finished", "failed")),
        ]
    # A pool may claim it again before those who recorded the first attempt have come to tell of it.
    notes = mine.of(ids["retry"])
    assert [note for note in notes if note[0] != "finished"] == [
        *(("claimed",), ("enters", 1), ("sees", "LookupError"), ("leaves",)),
        *(("claimed",), ("enters", 2), ("sees", "LookupError"), ("leaves",)),
    ]
    assert [note for note in notes if note[0] == "finished"] == [("finished", "retried"), ("finished", "failed")]


def test_executing_is_on_the_thread_of_the_executor(make_manager: MakeManager) -> None:
    seen: list[str] = []
    mine = Noting()
    manager = make_manager(
        executors={"a": lambda data: seen.append(threading.current_thread().name)}, middleware=[mine]
    )
    manager.create("a")
    with WorkerPool(manager, threads=1, name="p"):
        until(lambda: mine.named("finished"))
    assert [note[2] for note in mine.named("enters")] == seen
    assert "worker" in seen[0]


MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


class Marking(Middleware):
    @contextmanager
    def executing(self, job: CurrentJob) -> Iterator[None]:
        token = MARK.set(f"of {job.type}")
        try:
            yield
        finally:
            MARK.reset(token)


@RUNS
def test_context_variables_of_a_hook_reach_executors_and_coroutines(
    make_manager: MakeManager, run: Callable[[JobManager], None]
) -> None:
    async def mark(data: Any) -> str:
        await asyncio.sleep(0)
        return MARK.get()

    manager = make_manager(executors={"a": lambda data: MARK.get(), "b": mark}, middleware=[Marking()])
    manager.create("a")
    manager.create("b")
    run(manager)
    assert {job.type: job.result for job in manager.find()} == {"a": "of a", "b": "of b"}
    assert MARK.get() == "none"


class Swallowing(Middleware):
    def executing(self, job: CurrentJob) -> Any:
        return self

    creating = executing  # type: ignore[assignment]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> bool:
        return True


@RUNS
def test_a_hook_cannot_swallow(make_manager: MakeManager, run: Callable[[JobManager], None]) -> None:
    manager = make_manager(executors=EXECUTORS, middleware=[Swallowing()])
    for type in EXECUTORS:
        manager.create(type, 1)
    with pytest.raises(DuplicateJob):
        manager.create("ok", 1, on_duplicate="raise")
    run(manager)
    assert ends(manager) == ENDS
    failed = manager.find(type="fail")[0]
    assert failed.error is not None
    assert failed.error.traceback.splitlines()[1].endswith("in fail")


# --- creating -------------------------------------------------------------------------------


def test_creating_is_around_each_create_and_each_batch(make_manager: MakeManager) -> None:
    mine = Noting()
    manager = make_manager(middleware=[mine])
    manager.create("a", id="one")
    manager.create({"type": "a", "id": "two"}, {"type": "a", "id": "three"})
    manager.create_many(({"type": "a", "id": str(n)} for n in range(5)), batch_size=2)
    assert mine.notes == [
        *(
            ("creating", "one"),
            ("created",),
            ("creating", "two"),
            ("created",),
            ("creating", "three"),
            ("created",),
        ),
        *(
            ("creating", "0", "1"),
            ("created",),
            ("creating", "2", "3"),
            ("created",),
            ("creating", "4"),
            ("created",),
        ),
    ]


def test_creating_sees_what_the_caller_gets(make_manager: MakeManager) -> None:
    mine = Noting()
    manager = make_manager(middleware=[mine])
    manager.create("a", id="one")
    with pytest.raises(DuplicateJob):
        manager.create("a", id="one", on_duplicate="raise")
    assert mine.notes[2:] == [("creating", "one"), ("not created", "DuplicateJob")]


class Meddling(Middleware):
    def creating(self, requests: Sequence[NewJob]) -> AbstractContextManager[None]:
        requests[0].data["n"] = "changed"
        raise RuntimeError("so that it is counted")


def test_a_hook_cannot_change_what_is_stored(make_manager: MakeManager) -> None:
    manager = make_manager(middleware=[Meddling()])
    job = manager.create("a", {"n": 1})
    assert manager.get(job.id).data == {"n": 1}
    assert counted(manager) == 1


def test_hooks_are_around_the_creates_of_an_async_manager(server: EmbeddedMongo, database: str) -> None:
    mine, bad = Noting(), Raising(SystemExit(3), "creating enter")

    async def work() -> tuple[Any, float]:
        async with AsyncJobManager(database, uri=server.uri, middleware=[bad, mine]) as manager:
            await manager.create("a", id="one")
            await manager.create_many([{"type": "a", "id": "two"}, {"type": "a", "id": "three"}])
            with pytest.raises(DuplicateJob):
                await manager.create("a", id="one", on_duplicate="raise")
            registry = manager.metrics.registry
            errors = registry.get_sample_value("jobpool_internal_errors_total", {"component": "middleware"})
            return await manager.count(), errors or 0.0

    assert drive(work()) == (3, 3.0)
    assert mine.notes == [
        *(("creating", "one"), ("created",), ("creating", "two", "three"), ("created",)),
        *(("creating", "one"), ("not created", "DuplicateJob")),
    ]


# --- signals and timeouts -------------------------------------------------------------------


def snooze(data: Any) -> None:
    raise Snooze(3600)


def give_up(data: Any) -> None:
    raise Cancel("no use")


@RUNS
@pytest.mark.parametrize(
    ("executor", "seen", "name", "state"),
    [(snooze, "Snooze", "snoozed", State.PENDING), (give_up, "Cancel", "cancelled", State.CANCELLED)],
)
def test_hooks_hear_how_an_executor_ends_its_attempt(
    make_manager: MakeManager,
    run: Callable[[JobManager], None],
    executor: Any,
    seen: str,
    name: str,
    state: State,
) -> None:
    mine, bad = Noting(), Raising(BaseException("hook"), *PLACES)
    manager = make_manager(executors={"a": executor}, middleware=[bad, mine])
    id = manager.create("a").id
    if run is run_pool:
        with WorkerPool(manager, threads=1):
            until(lambda: mine.named("finished"))
    else:
        run(manager)
    assert mine.of(id) == [("claimed",), ("enters", 1), ("sees", seen), ("leaves",), ("finished", name)]
    assert manager.get(id).state is state


def test_an_attempt_that_timed_out_is_told_of_while_it_runs_and_is_left_when_it_ends(
    make_manager: MakeManager,
) -> None:
    over = threading.Event()
    mine = Noting()
    manager = make_manager(
        executors={"a": Executor(lambda data: over.wait(60), timeout=0.1, grace=0.1)}, middleware=[mine]
    )
    id = manager.create("a").id
    try:
        with WorkerPool(manager, threads=1):
            until(lambda: mine.named("finished"))
            assert mine.of(id) == [("claimed",), ("enters", 1), ("finished", "timed_out")]
            over.set()
            until(lambda: mine.named("leaves"))
    finally:
        over.set()
    assert len(mine.named("finished")) == 1


# --- lost outcomes --------------------------------------------------------------------------


def test_of_a_refused_outcome_finished_hears_lost(make_manager: MakeManager, jobs: Jobs) -> None:
    """In the calling thread: somebody takes the job away while it runs."""

    def steal(data: Any) -> str:
        jobs.update_one({"_id": current_job().id}, {"$set": {"claim": "another's"}})
        return "mine"

    seen: list[Settled] = []
    mine = Noting()
    mine.finished = lambda job, outcome: seen.append(outcome)  # type: ignore[method-assign]
    manager = make_manager(executors={"a": steal}, middleware=[mine])
    manager.create("a")
    with pytest.raises(LeaseLost):
        manager.run()
    (outcome,) = seen
    assert (outcome.name, outcome.result, outcome.error) == ("lost", "mine", None)
    assert outcome.duration > 0


def test_of_an_outcome_refused_in_a_pool_finished_hears_lost(make_manager: MakeManager, jobs: Jobs) -> None:
    def steal(data: Any) -> None:
        jobs.update_one({"_id": current_job().id}, {"$set": {"claim": "another's"}})

    mine = Noting()
    manager = make_manager(executors={"a": steal, "ok": ok}, middleware=[mine])
    id = manager.create("a").id
    other = manager.create("ok").id
    with WorkerPool(manager, threads=2):
        until(lambda: len(mine.named("finished")) == 2)
    assert sorted(mine.named("finished")) == sorted([(id, "lost"), (other, "succeeded")])


# --- Ctrl-C ---------------------------------------------------------------------------------


def test_ctrl_c_in_a_hook_before_the_start_gives_the_job_back(make_manager: MakeManager) -> None:
    bad = Raising(KeyboardInterrupt(), "claimed")
    manager = make_manager(executors=EXECUTORS, middleware=[bad])
    id = manager.create("ok").id
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    job = manager.get(id)
    assert (job.state, job.attempts) == (State.PENDING, 0)


@pytest.mark.parametrize("place", ["executing", "executing enter", "executing exit"])
def test_ctrl_c_in_a_hook_around_the_executor_ends_the_attempt_as_one_in_it(
    make_manager: MakeManager, place: str
) -> None:
    bad = Raising(KeyboardInterrupt(), place)
    manager = make_manager(executors=EXECUTORS, middleware=[bad])
    id = manager.create("ok").id
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    job = manager.get(id)
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILED, "KeyboardInterrupt")


def test_ctrl_c_in_a_hook_behind_the_end_leaves_the_outcome(make_manager: MakeManager) -> None:
    bad = Raising(KeyboardInterrupt(), "finished")
    manager = make_manager(executors=EXECUTORS, middleware=[bad])
    id = manager.create("ok").id
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    assert manager.get(id).state is State.SUCCEEDED


# --- counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["single", "batch", "window"])
def test_many_jobs_are_heard_of_once_each(make_manager: MakeManager, strategy: str) -> None:
    mine, bad = Noting(), Raising(BaseException("hook"), "claimed", "executing exit", "finished")
    manager = make_manager(executors={"a": ok}, middleware=[bad, mine])
    created = manager.create_many({"type": "a", "data": n} for n in range(500))
    with WorkerPool(manager, threads=8, strategy=strategy) as pool:
        until(lambda: manager.count(state="succeeded") == 500)
        assert pool.stop().abandoned == ()
    for name in ("claimed", "enters", "leaves", "finished"):
        assert sorted(note[0] for note in mine.named(name)) == sorted(created.ids)
    assert counted(manager) == len(bad.raised)


def test_the_manager_refuses_what_is_no_middleware(make_manager: MakeManager) -> None:
    with pytest.raises(InvalidConfiguration, match="the class Noting; make one"):
        make_manager(middleware=[Noting])
