"""Hooks are called in order, left in reverse, and cannot hurt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobpool import CurrentJob, Middleware
from jobpool.errors import InvalidConfiguration
from jobpool.job import JobError
from jobpool.middleware import Chain, NewJob, Settled, chain_of
from jobpool.observer import Observer
from jobpool.outcome import Outcome
from jobpool.request import JobRequest

from .jobs_held import held

HOSTILE = [ValueError("no"), SystemExit(1), GeneratorExit(), BaseException("own"), StopIteration()]


class Counting(Observer):
    def __init__(self) -> None:
        self.errors: list[str] = []

    def internal_error(self, component: str) -> None:
        self.errors.append(component)


class Noting(Middleware):
    """Notes what it is told, under a name."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    @contextmanager
    def creating(self, requests: Sequence[NewJob]) -> Iterator[None]:
        self.notes.append(f"{self.name} creating {[request.id for request in requests]}")
        try:
            yield
        finally:
            self.notes.append(f"{self.name} created")

    def claimed(self, jobs: Sequence[CurrentJob]) -> None:
        self.notes.append(f"{self.name} claimed {[job.id for job in jobs]}")

    @contextmanager
    def executing(self, job: CurrentJob) -> Iterator[None]:
        self.notes.append(f"{self.name} enters {job.id}")
        try:
            yield
        except BaseException as error:
            self.notes.append(f"{self.name} sees {error!r}")
            raise
        finally:
            self.notes.append(f"{self.name} leaves")

    def finished(self, job: CurrentJob, outcome: Settled) -> None:
        self.notes.append(f"{self.name} finished {job.id} {outcome.name}")


class Raising(Middleware):
    """Raises in the places it is told to."""

    def __init__(self, error: BaseException, *places: str) -> None:
        self.error, self.places = error, places

    def _at(self, place: str) -> None:
        if place in self.places:
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


@pytest.fixture
def observer() -> Counting:
    return Counting()


def chain(observer: Observer, *middleware: Middleware) -> Chain:
    made = chain_of(middleware, observer)
    assert made is not None
    return made


def request(**fields: Any) -> JobRequest:
    wanted: dict[str, Any] = {"type": "t", "limit": 1000} | fields
    return JobRequest(**wanted)


def test_hooks_run_in_order_and_are_left_in_reverse(observer: Counting) -> None:
    notes: list[str] = []
    both = chain(observer, Noting("a", notes), Noting("b", notes))
    with both.creating([request(id="x"), request(id="y")]):
        notes.append("store")
    both.claimed([held("x")])
    with both.executing(held("x")):
        notes.append("executor")
    both.finished(held("x"), Outcome(), "succeeded", 0.5)
    assert notes == [
        *("a creating ['x', 'y']", "b creating ['x', 'y']", "store", "b created", "a created"),
        *("a claimed ['x']", "b claimed ['x']"),
        *("a enters x", "b enters x", "executor", "b leaves", "a leaves"),
        *("a finished x succeeded", "b finished x succeeded"),
    ]
    assert observer.errors == []


@pytest.mark.parametrize("error", [*HOSTILE, KeyboardInterrupt()], ids=repr)
def test_a_hook_sees_what_the_executor_raises_and_it_passes(observer: Counting, error: BaseException) -> None:
    notes: list[str] = []
    both = chain(observer, Noting("a", notes), Noting("b", notes))
    with pytest.raises(type(error)) as caught, both.executing(held("x")):
        raise error
    assert caught.value is error
    assert notes[2:] == [f"b sees {error!r}", "b leaves", f"a sees {error!r}", "a leaves"]
    assert observer.errors == []


class Swallowing(Middleware):
    """A hook that wants to swallow, and one of a class that raises again what it is given."""

    def executing(self, job: CurrentJob) -> AbstractContextManager[None]:
        return cast(AbstractContextManager[None], self)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> bool:
        return True


class RaisingAgain(Swallowing):
    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:  # type: ignore[override]
        assert error is not None
        raise error


@pytest.mark.parametrize("kind", [Swallowing, RaisingAgain])
def test_an_error_of_the_executor_cannot_be_swallowed_nor_its_traceback_changed(
    observer: Counting, kind: type[Middleware]
) -> None:
    def work() -> None:
        raise ValueError("from the executor")

    with (
        pytest.raises(ValueError, match="from the executor") as caught,
        chain(observer, kind()).executing(held("x")),
    ):
        work()
    assert [entry.name for entry in caught.traceback][-1] == "work"
    assert observer.errors == []


@pytest.mark.parametrize("error", HOSTILE, ids=repr)
@pytest.mark.parametrize("name", ["creating", "executing"])
@pytest.mark.parametrize("place", ["", " enter", " exit"])
@pytest.mark.parametrize("fails", [False, True], ids=["well", "failing"])
def test_a_context_hook_that_raises_costs_only_itself(
    observer: Counting, error: BaseException, name: str, place: str, fails: bool
) -> None:
    notes: list[str] = []
    several = chain(observer, Noting("a", notes), Raising(error, name + place), Noting("b", notes))
    around = several.creating([request(id="x")]) if name == "creating" else several.executing(held("x"))
    ran = []
    try:
        with around:
            ran.append(1)
            if fails:
                raise LookupError("the executor's own")
    except LookupError:
        assert fails
    assert ran == [1]
    assert [note.split()[0] for note in notes if "sees" not in note] == ["a", "b", "b", "a"]
    assert observer.errors == ["middleware"]


@pytest.mark.parametrize("error", HOSTILE, ids=repr)
def test_a_plain_hook_that_raises_costs_only_itself(observer: Counting, error: BaseException) -> None:
    notes: list[str] = []
    several = chain(observer, Noting("a", notes), Raising(error, "claimed", "finished"), Noting("b", notes))
    several.claimed([held("x")])
    several.finished(held("x"), Outcome(), "lost", 0.5)
    assert notes == ["a claimed ['x']", "b claimed ['x']", "a finished x lost", "b finished x lost"]
    assert observer.errors == ["middleware", "middleware"]


@pytest.mark.parametrize("place", ["executing", "executing enter", "executing exit"])
def test_ctrl_c_in_the_main_thread_passes_behind_the_last_exit(observer: Counting, place: str) -> None:
    notes: list[str] = []
    several = chain(observer, Noting("a", notes), Raising(KeyboardInterrupt(), place), Noting("b", notes))
    with pytest.raises(KeyboardInterrupt), several.executing(held("x")):
        pass
    assert notes[-1] == "a leaves"
    assert observer.errors == []


def test_ctrl_c_on_another_thread_is_an_error_like_any(observer: Counting) -> None:
    done = []

    def run() -> None:
        chain(observer, Raising(KeyboardInterrupt(), "claimed")).claimed([held("x")])
        done.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert (done, observer.errors) == ([1], ["middleware"])


class Foreign(Middleware):
    def executing(self, job: CurrentJob) -> Any:
        return "no context manager"


def test_a_hook_that_returns_no_context_manager_is_an_error_of_its_own(
    observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with chain(observer, Foreign()).executing(held("x")):
        pass
    assert observer.errors == ["middleware"]
    assert "Foreign.executing failed" in caplog.text


def test_a_hook_that_fails_is_told_of_once_a_minute_and_counted_always(
    observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    several = chain(observer, Raising(ValueError("no"), "claimed", "finished"))
    for _ in range(5):
        several.claimed([held("x")])
        several.finished(held("x"), Outcome(), "succeeded", 0.5)
    assert len(observer.errors) == 10
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert [line.split(" failed")[0] for line in told] == [
        "middleware: Raising.claimed",
        "middleware: Raising.finished",
    ]
    assert told[0].endswith("ValueError: no")


class Wrapping(Middleware):
    @contextmanager
    def executing(self, job: CurrentJob) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise RuntimeError("the hook's own") from error


def test_the_log_has_the_error_of_the_hook_and_not_the_one_of_the_executor(
    observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="secret"), chain(observer, Wrapping()).executing(held("x")):
        raise ValueError("secret")
    assert "RuntimeError: the hook's own" in caplog.text
    assert "secret" not in caplog.text


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


def test_an_error_that_cannot_be_told_is_still_survived(
    observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    chain(observer, Raising(Hostile(), "claimed")).claimed([held("x")])
    assert observer.errors == ["middleware"]
    assert "Raising.claimed failed" in caplog.text


class OnlyFinished(Middleware):
    def __init__(self) -> None:
        self.seen: list[Settled] = []

    def finished(self, job: CurrentJob, outcome: Settled) -> None:
        self.seen.append(outcome)


def test_what_is_finished_is_told_with_everything_of_its_outcome(observer: Counting) -> None:
    error = JobError("ValueError", "no", "", 1)
    mine = OnlyFinished()
    chain(observer, mine).finished(held("x"), Outcome(error=error, retry_after=2.0), "lost", 0.5)
    assert mine.seen == [Settled(name="lost", duration=0.5, error=error, retry_after=2.0)]


def test_hooks_left_alone_are_not_called(observer: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    only = chain(observer, OnlyFinished())

    def forbidden(*_: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr("jobpool.middleware.NewJob", forbidden)
    for name in ("creating", "claimed", "executing"):
        monkeypatch.setattr(Middleware, name, forbidden)
    only.claimed([held("x")])
    with only.creating([request()]), only.executing(held("x")):
        pass
    assert observer.errors == []


def test_a_claim_that_won_nothing_is_not_told(observer: Counting) -> None:
    notes: list[str] = []
    chain(observer, Noting("a", notes)).claimed([])
    assert notes == []


def test_a_new_job_is_read_only_and_its_data_are_a_copy() -> None:
    asked = request(type="mail", data={"to": ["a"]}, priority=3, delay=2.0, max_attempts=4)
    new = NewJob(asked)
    assert (new.type, new.priority, new.delay, new.max_attempts, new.run_at) == ("mail", 3, 2.0, 4, None)
    new.data["to"].append("b")
    assert asked.data == {"to": ["a"]}
    with pytest.raises(AttributeError):
        new.priority = 5  # type: ignore[misc]
    assert repr(new) == f"<NewJob {asked.job_id!r} type='mail'>"


def test_no_middleware_is_no_chain(observer: Counting) -> None:
    assert chain_of((), observer) is None


class Async(Middleware):
    async def finished(self, job: CurrentJob, outcome: Settled) -> None:  # type: ignore[override]
        pass


class Undecorated(Middleware):
    def executing(self, job: CurrentJob) -> Iterator[None]:  # type: ignore[override]
        yield


class Value(Middleware):
    claimed = 5  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("middleware", "said"),
    [
        (5, "must be a list of Middleware, not int"),
        (OnlyFinished(), "must be a list of Middleware, not OnlyFinished"),
        ([SimpleNamespace()], "not SimpleNamespace"),
        ([OnlyFinished], "the class OnlyFinished; make one"),
        ([Async()], "Async.finished must not be async"),
        ([Undecorated()], "Undecorated.executing yields: decorate it"),
        ([Value()], "Value.claimed must be a method, not int"),
    ],
)
def test_what_is_no_middleware_is_refused(observer: Counting, middleware: Any, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        chain_of(middleware, observer)
