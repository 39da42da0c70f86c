"""Spans from a create in one manager to the recorded outcome in another, through a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from jobpool import Backoff, Executor, JobManager, WorkerPool, current_job, job_id
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import DuplicateJob, LeaseLost

from ..conftest import Jobs, MakeManager
from ..tracing import MARK, Raising, Tracer, attributes, ids, links
from ..waiting import until

MakeTraced = Callable[..., tuple[JobManager, Tracer]]


@pytest.fixture
def traced(make_manager: MakeManager) -> MakeTraced:
    """Make managers, each with spans of its own."""

    def make(**options: Any) -> tuple[JobManager, Tracer]:
        tracer = Tracer()
        return make_manager(tracer_provider=tracer.provider, **options), tracer

    return make


def echo(data: Any) -> Any:
    return data


def stored_context(jobs: Jobs, id: str) -> Any:
    document = jobs.find_one({"_id": id})
    assert document is not None
    return document.get("trace")


def parent_of(stored: Any) -> tuple[int, int]:
    """Return trace and span id of a stored context."""
    _, trace_id, span_id, _ = stored["traceparent"].split("-")
    return int(trace_id, 16), int(span_id, 16)


def test_a_create_is_a_span_of_a_producer_whose_context_is_stored(traced: MakeTraced, jobs: Jobs) -> None:
    manager, tracer = traced()
    job = manager.create("resize", {"image": MARK})
    span = tracer.one("create resize")
    assert span.kind is SpanKind.PRODUCER
    assert attributes(span) == {
        "messaging.system": "jobpool",
        "messaging.operation.name": "create",
        "messaging.operation.type": "send",
        "messaging.destination.name": "resize",
        "messaging.message.id": job.id,
        "jobpool.result": "inserted",
    }
    assert parent_of(stored_context(jobs, job.id)) == ids(span)


def test_tracing_changes_neither_the_id_nor_anything_else_that_is_stored(
    traced: MakeTraced, make_manager: MakeManager, jobs: Jobs
) -> None:
    plain = make_manager().create("a", {"n": 1})
    without = jobs.find_one_and_delete({"_id": plain.id})
    manager, _ = traced()
    assert manager.create("a", {"n": 1}).id == plain.id == job_id("a", {"n": 1})
    document = jobs.find_one({"_id": plain.id})
    assert document is not None
    assert without is not None
    assert list(document.pop("trace")) == ["traceparent"]
    assert "trace" not in without
    varying = {"run_at": 0, "created_at": 0}
    assert document | varying == without | varying
    assert list(document) == list(without)


def test_a_job_is_one_story_from_the_create_to_the_settling(traced: MakeTraced) -> None:
    producer, there = traced()
    consumer, here = traced(executors={"echo": echo})
    job = producer.create("echo", {"password": MARK})
    with WorkerPool(consumer, name="far", threads=2) as pool:
        until(lambda: here.spans("settle"))
    assert pool.state == "stopped"
    create, process, settle = there.one("create"), here.one("process"), here.one("settle")
    assert links(process) == [ids(create)]
    assert process.parent is None
    assert process.kind is SpanKind.CONSUMER
    assert settle.parent is not None
    assert (settle.parent.trace_id, settle.parent.span_id) == ids(process)
    for span in (process, settle):
        assert attributes(span)["messaging.message.id"] == job.id
        assert attributes(span)["jobpool.pool"] == "far"
        assert attributes(span)["jobpool.outcome"] == "succeeded"
    assert producer.get(job.id).result == {"password": MARK}
    assert [span for span in (create, process, settle) if MARK in span.to_json()] == []


def test_every_attempt_is_a_span_of_its_own(traced: MakeTraced) -> None:
    def second_time(data: Any) -> None:
        if current_job().attempt == 1:
            raise LookupError(MARK)

    manager, tracer = traced(executors={"a": Executor(second_time, max_attempts=2, backoff=Backoff(base=0))})
    manager.create("a")
    with WorkerPool(manager, threads=1):
        until(lambda: len(tracer.spans("settle")) == 2)
    first, second = tracer.spans("process")
    assert [attributes(span)["jobpool.attempt"] for span in (first, second)] == [1, 2]
    assert [attributes(span)["jobpool.outcome"] for span in (first, second)] == ["retried", "succeeded"]
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert links(first) == links(second) == [ids(tracer.one("create"))]
    assert ids(first)[0] != ids(second)[0]
    assert MARK not in "".join(span.to_json() for span in tracer.spans())


def test_what_an_executor_creates_is_part_of_its_attempt(traced: MakeTraced) -> None:
    async def more(data: Any, manager: JobManager) -> None:
        manager.create("next")

    manager, tracer = traced(executors={"more": more, "next": echo})
    manager.create("more")
    with WorkerPool(manager, types=["more"], threads=1):
        until(lambda: tracer.spans("settle"))
    inner = tracer.one("create next")
    assert inner.parent is not None
    assert (inner.parent.trace_id, inner.parent.span_id) == ids(tracer.one("process"))


def test_a_direct_run_belongs_to_the_span_it_is_called_in(traced: MakeTraced) -> None:
    manager, tracer = traced(executors={"echo": echo})
    manager.create("echo")
    with tracer.provider.get_tracer("host").start_as_current_span("batch") as batch:
        assert manager.run("echo") is not None
    process, settle = tracer.one("process"), tracer.one("settle")
    assert process.parent is not None
    assert process.parent.span_id == batch.get_span_context().span_id
    assert links(process) == [ids(tracer.one("create"))]
    assert settle.parent is not None
    assert settle.parent.span_id == ids(process)[1]
    assert attributes(process)["jobpool.pool"] == "run"


@pytest.mark.parametrize("direct", [True, False])
def test_an_outcome_that_is_refused_is_settled_as_lost(traced: MakeTraced, jobs: Jobs, direct: bool) -> None:
    def lose(data: Any) -> None:
        jobs.update_one({"_id": current_job().id}, {"$set": {"claim": "another", "state": "failed"}})

    manager, tracer = traced(executors={"lose": lose})
    manager.create("lose")
    if direct:
        with pytest.raises(LeaseLost):
            manager.run("lose")
    else:
        with WorkerPool(manager, threads=1):
            until(lambda: tracer.spans("settle"))
    assert attributes(tracer.one("process"))["jobpool.outcome"] == "succeeded"
    settle = tracer.one("settle")
    assert (attributes(settle)["jobpool.outcome"], settle.status.status_code) == ("lost", StatusCode.ERROR)


def test_many_jobs_of_one_call_share_one_span(traced: MakeTraced, jobs: Jobs) -> None:
    manager, tracer = traced()
    manager.create_many(({"type": "a", "data": n} for n in range(7)), batch_size=3)
    span = tracer.one("create_many a")
    assert (attributes(span)["messaging.batch.message_count"], span.kind) == (7, SpanKind.PRODUCER)
    assert attributes(span)["messaging.destination.name"] == "a"
    assert {parent_of(document["trace"]) for document in jobs.find()} == {ids(span)}
    manager.create_many([{"type": "b"}, {"type": "c"}])
    mixed = tracer.spans("create_many")[-1]
    assert mixed.name == "create_many"
    assert "messaging.destination.name" not in attributes(mixed)


def test_a_duplicate_keeps_the_context_that_is_stored(traced: MakeTraced, jobs: Jobs) -> None:
    manager, tracer = traced()
    id = manager.create("a").id
    before = stored_context(jobs, id)
    manager.create("a")
    manager.create_many([{"type": "a"}])
    with pytest.raises(DuplicateJob):
        manager.create("a", on_duplicate="raise")
    assert stored_context(jobs, id) == before
    first, second, refused = tracer.spans("create a")
    assert parent_of(before) == ids(first)
    assert attributes(second)["jobpool.result"] == "duplicate"
    assert attributes(refused)["error.type"] == "DuplicateJob"


def test_a_revived_job_belongs_to_whoever_revived_it(
    traced: MakeTraced, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager, tracer = traced()
    id = manager.create("a").id
    manager.cancel(id)
    assert manager.create("a", on_duplicate="revive").state == "pending"
    assert parent_of(stored_context(jobs, id)) == ids(tracer.spans("create a")[1])
    manager.cancel(id)
    assert manager.create_many([{"type": "a"}], on_duplicate="revive").revived == 1
    assert parent_of(stored_context(jobs, id)) == ids(tracer.one("create_many a"))
    manager.cancel(id)
    assert make_manager().create("a", on_duplicate="revive").state == "pending"
    assert stored_context(jobs, id) is None


def test_a_job_with_a_strange_context_runs_all_the_same(traced: MakeTraced, jobs: Jobs) -> None:
    manager, tracer = traced(executors={"echo": echo})
    strange: list[Any] = [7, "x" * 1000, {"traceparent": {"$ne": 1}}, {"traceparent": "00-x"}, [None]]
    for n, value in enumerate(strange):
        jobs.update_one({"_id": manager.create("echo", n).id}, {"$set": {"trace": value}})
    with WorkerPool(manager, threads=2):
        until(lambda: manager.count(state="succeeded") == len(strange))
    assert [links(span) for span in tracer.spans("process")] == [[]] * len(strange)


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_processor_that_raises_loses_no_job(make_manager: MakeManager, at: str) -> None:
    raising = Raising(ValueError("p"), at=at)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(raising)
    manager = make_manager(executors={"echo": echo}, tracer_provider=provider)
    ids = [manager.create("echo", n).id for n in range(5)]
    assert manager.run("echo") is not None
    with WorkerPool(manager, threads=2) as pool:
        until(lambda: manager.count(state="succeeded") == len(ids))
        assert pool.health().is_live
    assert raising.raised >= 2 * len(ids)


ALONE = """
import sys
if sys.argv[2] == "missing":
    sys.modules["opentelemetry"] = None  # an import of it fails from now on
from jobpool import JobManager, WorkerPool

with JobManager(sys.argv[1], executors={"a": lambda data: data}) as manager:
    id = manager.create("a", 1).id
    manager.create_many([{"type": "a", "data": n} for n in range(2, 5)])
    assert manager.run("a").state == "succeeded"
    with WorkerPool(manager, threads=2):
        assert manager.wait(id, 60).state == "succeeded"
    print(manager.count(), [name for name in sys.modules if name.startswith("opentelemetry.")])
"""


@pytest.mark.parametrize("opentelemetry", ["missing", "not used"])
def test_without_opentelemetry_all_works_and_nobody_imports_it(
    server: EmbeddedMongo, database: str, jobs: Jobs, opentelemetry: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, database, opentelemetry],
        env={"JOBPOOL_URI": server.uri, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "4 []\n"), done.stderr
    assert jobs.count_documents({"trace": {"$exists": True}}) == 0
