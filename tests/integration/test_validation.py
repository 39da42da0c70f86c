"""Data that do not pass: refused before they are stored, final where they are stored already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from jobpool import Executor, JobManager, State, WorkerPool, job_id
from jobpool.errors import InvalidData, InvalidJob
from jobpool.executors import Executors

from ..conftest import Jobs, MakeManager
from ..waiting import until

SECRET = "s3cr3t"


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Order:
    number: int
    lines: list[Line] = field(default_factory=list)


class Mail(BaseModel):
    to: str
    copies: int = 0


def positive(data: Any) -> int:
    if data["n"] <= 0:
        raise ValueError("n must be positive")
    return int(data["n"])


#: By type: what validates, data that pass and what the executor is called with, data that do not.
CASES: dict[str, tuple[Any, Any, Any, Any]] = {
    "order": (Order, {"number": 1, "lines": [{"article": "a"}]}, Order(1, [Line("a")]), {"number": "1"}),
    "mail": (Mail, {"to": "a"}, Mail(to="a"), {"to": "a", "copies": "many"}),
    "function": (positive, {"n": 5}, 5, {"n": -5}),
}
TYPES = pytest.mark.parametrize("type", CASES)


@pytest.fixture
def called() -> list[Any]:
    """What executors were called with."""
    return []


@pytest.fixture
def manager(make_manager: MakeManager, called: list[Any]) -> JobManager:
    """One that knows what the data must be."""
    return make_manager(
        executors={
            type: Executor(called.append, data=spec, max_attempts=5, backoff=0)
            for type, (spec, *_) in CASES.items()
        }
    )


@pytest.fixture
def producer(make_manager: MakeManager) -> JobManager:
    """One that knows nothing of it."""
    return make_manager()


@TYPES
def test_the_executor_is_called_with_the_value_and_the_data_are_stored_as_given(
    manager: JobManager, called: list[Any], type: str
) -> None:
    _, good, value, _ = CASES[type]
    job = manager.create(type, good)
    assert (job.data, job.id) == (good, job_id(type, good))
    done = manager.run()
    assert done is not None
    assert (done.state, called) == (State.SUCCEEDED, [value])


CREATES: dict[str, Callable[[JobManager, str, Any], object]] = {
    "create": lambda manager, type, data: manager.create(type, data),
    "mapping": lambda manager, type, data: manager.create({"type": type, "data": data}),
    "mappings": lambda manager, type, data: manager.create({"type": "free"}, {"type": type, "data": data}),
    "list": lambda manager, type, data: manager.create_many([{"type": "free"}, {"type": type, "data": data}]),
    "iterable": lambda manager, type, data: manager.create_many(iter([{"type": type, "data": data}])),
}


@TYPES
@pytest.mark.parametrize("create", CREATES.values(), ids=CREATES)
def test_nothing_is_stored_that_does_not_pass(
    manager: JobManager, jobs: Jobs, type: str, create: Callable[[JobManager, str, Any], object]
) -> None:
    with pytest.raises(InvalidJob, match=f"type '{type}': the data are not valid for .*this job was not created"):
        create(manager, type, CASES[type][3])
    assert jobs.count_documents({}) == 0


def test_an_iterable_is_refused_at_its_place(manager: JobManager, jobs: Jobs) -> None:
    good, bad = CASES["order"][1], CASES["order"][3]
    batch = [{"type": "order", "data": {**good, "number": n}} for n in range(4)] + [{"type": "order", "data": bad}]
    with pytest.raises(InvalidJob, match=r"^job 4: type 'order'.* \(4 jobs before it are stored\)$"):
        manager.create_many(iter(batch), batch_size=2)
    assert jobs.count_documents({}) == 4


@pytest.mark.parametrize("type", ["order", "mail"])
def test_an_instance_of_the_model_is_the_same_job_as_its_plain_data(manager: JobManager, type: str) -> None:
    instance = CASES[type][2]
    plain = {
        "order": {"number": 1, "lines": [{"article": "a", "count": 1}]},
        "mail": {"to": "a", "copies": 0},
    }[type]
    job = manager.create(type, instance)
    assert (job.data, job.id) == (plain, job_id(type, plain))
    assert not manager.create(type, plain).created
    assert manager.create_many([{"type": type, "data": instance}]).duplicates == 1
    done = manager.run()
    assert done is not None
    assert done.state is State.SUCCEEDED


def test_an_instance_that_does_not_pass_is_refused(manager: JobManager, jobs: Jobs) -> None:
    with pytest.raises(InvalidJob, match=r"data\.number: must be int, not str"):
        manager.create("order", Order("x"))  # type: ignore[arg-type]
    assert jobs.count_documents({}) == 0


def test_an_instance_for_another_type_is_refused_as_ever(manager: JobManager, producer: JobManager) -> None:
    for one, type in ((manager, "free"), (manager, "mail"), (producer, "order")):
        with pytest.raises(InvalidJob):
            one.create(type, Order(1))


def run(manager: JobManager) -> None:
    manager.run_all()


def pool(manager: JobManager) -> None:
    with WorkerPool(manager, threads=2):
        until(lambda: manager.count(state="failed") + manager.count(state="succeeded") == len(manager.find()))


@TYPES
@pytest.mark.parametrize("own", [None, 9])
@pytest.mark.parametrize("how", [run, pool])
def test_what_does_not_pass_where_it_runs_fails_at_once_and_is_not_run(
    manager: JobManager,
    producer: JobManager,
    called: list[Any],
    type: str,
    own: int | None,
    how: Callable[[JobManager], None],
) -> None:
    id = producer.create(type, CASES[type][3], max_attempts=own).id
    how(manager)
    job = manager.get(id)
    assert job.error is not None
    assert (job.state, job.attempts, job.error.type, called) == (State.FAILED, 1, InvalidData.__name__, [])
    assert job.error.message.startswith("the data are not valid for ")


def test_of_a_mixed_batch_in_a_pool_the_valid_run(
    manager: JobManager, producer: JobManager, called: list[Any]
) -> None:
    _, good, _, bad = CASES["order"]
    producer.create_many(
        {"type": "order", "data": {**(good if n % 2 else bad), "number": n if n % 2 else str(n)}}
        for n in range(60)
    )
    pool(manager)
    assert (manager.count(state="succeeded"), manager.count(state="failed")) == (30, 30)
    assert sorted(order.number for order in called) == list(range(1, 60, 2))


def test_an_async_executor_is_called_with_the_value(make_manager: MakeManager) -> None:
    async def work(data: Mail, manager: JobManager) -> str:
        return data.to

    manager = make_manager(executors={"mail": Executor(work, data=Mail)})
    manager.create("mail", Mail(to="a"))
    done = manager.run()
    assert done is not None
    assert done.result == "a"


def test_the_decorator_takes_a_model(make_manager: MakeManager) -> None:
    manager = make_manager()

    @manager.executor("mail", data=Mail)
    def send(mail: Mail) -> str:
        return mail.to

    manager.create("mail", {"to": "b"})
    done = manager.run()
    assert done is not None
    assert done.result == "b"
    with pytest.raises(InvalidJob):
        manager.create("mail", {})


def test_no_value_is_in_what_is_said_of_it(manager: JobManager, producer: JobManager) -> None:
    for type, data in (("order", {"number": SECRET}), ("mail", {"to": [SECRET], "copies": SECRET})):
        with pytest.raises(InvalidJob) as caught:
            manager.create(type, data)
        assert SECRET not in str(caught.value)
        producer.create(type, data)
    manager.run_all()
    for job in manager.find(state="failed"):
        assert job.error is not None
        assert SECRET not in job.error.message


def test_a_manager_without_validators_asks_for_none(producer: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(Executor, "stored", forbidden)
    assert not producer.executors._checking
    assert isinstance(producer.executors, Executors)
    assert producer.create("order", {"number": "x"}).created
