"""Spans without a server: the attempt's, the stored context, and what is not there when nobody traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from jobpool import Executor, JobManager
from jobpool.errors import InvalidConfiguration
from jobpool.executors import Executors
from jobpool.outcome import Outcome
from jobpool.pool.attempt import Engines, run_attempt
from jobpool.pool.children import Children
from jobpool.pool.coroutines import Coroutines
from jobpool.pool.held import Held
from jobpool.pool.host import Host
from jobpool.tracing import NOTHING, Tracing
from jobpool.tracing.propagation import MAX_STATE, packed, unpacked

from ..tracing import MARK, Raising, Tracer, attributes, ids, links
from .jobs_held import held

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Manager:
    data_limit = 1000
    middleware = None

    def __init__(self, executor: Executor | Callable[..., Any], tracing: Tracing) -> None:
        self.executors = Executors({"t": executor})
        self.tracing = tracing


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


@pytest.fixture(scope="module")
def coroutines() -> Iterator[Coroutines]:
    coroutines = Coroutines("unit")
    yield coroutines
    assert coroutines.close(30)


Attempt = Callable[..., tuple[Held, Outcome]]


@pytest.fixture
def attempt(tracer: Tracer, coroutines: Coroutines) -> Attempt:
    """Run one attempt with spans that go to `tracer`."""

    def run(
        executor: Executor | Callable[..., Any],
        tracing: Tracing | None = None,
        *,
        ambient: bool = False,
        **fields: Any,
    ) -> tuple[Held, Outcome]:
        tracing = tracing or Tracing(tracer.provider)
        tracing.look()
        job = held("an id", **fields)
        host = cast(Host, Manager(executor, tracing))
        return job, run_attempt(job, host, Engines(coroutines, Children("unit")), ambient=ambient)

    return run


def fail(data: Any) -> None:
    raise LookupError(MARK)


# --- the attempt ------------------------------------------------------------------------


def test_an_attempt_is_a_span_of_a_consumer(tracer: Tracer, attempt: Attempt) -> None:
    attempt(lambda data: MARK, data=[MARK], attempts=2)
    span = tracer.one("process t")
    assert (span.kind, span.parent, span.status.status_code) == (SpanKind.CONSUMER, None, StatusCode.UNSET)
    assert attributes(span) == {
        "messaging.system": "jobpool",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "t",
        "messaging.message.id": "an id",
        "jobpool.pool": "-",
        "jobpool.attempt": 3,
        "jobpool.outcome": "succeeded",
    }


def test_a_failure_is_told_by_its_class_and_by_nothing_it_says(tracer: Tracer, attempt: Attempt) -> None:
    attempt(fail, data=[MARK])
    span = tracer.one("process t")
    assert (span.status.status_code, span.status.description, list(span.events)) == (StatusCode.ERROR, None, [])
    assert attributes(span)["error.type"] == "LookupError"
    assert attributes(span)["jobpool.outcome"] == "failed"
    assert MARK not in span.to_json()


def test_it_is_current_while_the_executor_runs_and_not_afterwards(tracer: Tracer, attempt: Attempt) -> None:
    before = context.get_current()
    job, outcome = attempt(lambda data: str(trace.get_current_span().get_span_context().span_id))
    assert outcome.result == str(ids(tracer.one("process t"))[1])
    assert context.get_current() == before
    assert job.span is not None
    assert int(job.span.span_id, 16) == ids(tracer.one("process t"))[1]


def test_it_is_current_in_coroutines(tracer: Tracer, attempt: Attempt) -> None:
    async def work(data: Any) -> str:
        return str(trace.get_current_span().get_span_context().span_id)

    _, outcome = attempt(work)
    assert outcome.result == str(ids(tracer.one("process t"))[1])


def test_what_an_executor_leaves_current_does_not_reach_the_next(tracer: Tracer, attempt: Attempt) -> None:
    before = context.get_current()
    attempt(lambda data: context.attach(baggage.set_baggage("left", "behind")) and None)
    assert context.get_current() == before
    assert len(tracer.spans("process t")) == 1


def test_on_a_pools_thread_it_has_no_parent_whatever_is_current_there(tracer: Tracer, attempt: Attempt) -> None:
    """An instrumentation of threads may have made the span current in which the pool was started."""
    with tracer.provider.get_tracer("host").start_as_current_span("startup") as startup:
        attempt(lambda data: None)
        attempt(lambda data: None, ambient=True)
    pools, direct = tracer.spans("process t")
    assert pools.parent is None
    assert direct.parent is not None
    assert direct.parent.span_id == startup.get_span_context().span_id


def test_it_is_linked_to_its_producer(tracer: Tracer, attempt: Attempt) -> None:
    attempt(lambda data: None, trace={"traceparent": PARENT, "tracestate": "a=1"})
    span = tracer.one("process t")
    assert links(span) == [(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)]
    assert span.parent is None
    assert ids(span)[0] != links(span)[0][0]


@pytest.mark.parametrize("outcome", ["succeeded", "lost"])
def test_settling_is_a_child_from_the_end_of_the_attempt_on(
    tracer: Tracer, attempt: Attempt, outcome: str
) -> None:
    job, _ = attempt(lambda data: None)
    assert job.span is not None
    job.span.settled(outcome)
    process, settle = tracer.one("process t"), tracer.one("settle t")
    assert settle.kind is SpanKind.CLIENT
    assert settle.parent is not None
    assert settle.parent.span_id == ids(process)[1]
    assert settle.start_time == process.end_time
    assert attributes(settle)["messaging.operation.type"] == "settle"
    assert attributes(settle)["jobpool.outcome"] == outcome
    assert settle.status.is_ok is (outcome != "lost")
    assert attributes(settle).get("error.type") == (None if outcome != "lost" else "LeaseLost")


@pytest.mark.parametrize("at", ["start", "end"])
@pytest.mark.parametrize("error", [ValueError("p"), SystemExit(1), BaseException("own")], ids=repr)
def test_a_processor_that_raises_changes_no_outcome(attempt: Attempt, at: str, error: BaseException) -> None:
    raising = Raising(error, at=at)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(raising)
    before = context.get_current()
    job, outcome = attempt(lambda data: "done", Tracing(provider))
    if job.span is not None:
        job.span.settled("succeeded")
    assert outcome == Outcome(result="done")
    assert raising.raised == (1 if at == "start" else 2)
    assert context.get_current() == before


def test_a_create_passes_what_it_raises_and_ends_its_span(tracer: Tracer) -> None:
    with pytest.raises(LookupError), Tracing(tracer.provider).create("t", "an id"):
        fail(None)
    span = tracer.one("create t")
    assert (span.kind, span.status.status_code) == (SpanKind.PRODUCER, StatusCode.ERROR)
    assert attributes(span)["error.type"] == "LookupError"
    assert MARK not in span.to_json()


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_processor_that_raises_costs_no_create(at: str) -> None:
    raising = Raising(ValueError("p"), at=at)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(raising)
    done = False
    with Tracing(provider).create("t", "an id") as span:
        span.created("inserted")
        done = True
    assert (done, raising.raised) == (True, 1)
    assert (span.context is None) is (at == "start")


# --- when nobody traces -----------------------------------------------------------------


def test_without_a_provider_nothing_is_called(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **named: Any) -> Any:
        raise AssertionError("called")

    tracing = Tracing()
    assert tracing.look() is None
    assert tracing.create("t", "an id") is NOTHING
    assert tracing.create_many() is NOTHING
    monkeypatch.setattr(trace, "get_tracer_provider", forbidden)
    monkeypatch.setattr(context, "attach", forbidden)
    tracing.look = lambda: None  # type: ignore[method-assign]
    job, outcome = attempt(lambda data: 1, tracing)
    assert (job.span, outcome.result) == (None, 1)


def test_a_global_provider_counts_from_when_it_is_set(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = Tracing()
    assert tracing.look() is None
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracer.provider)
    with tracing.create("t", "an id"):
        pass
    assert tracer.one("create t")
    assert tracing.spans is tracing.look(), "found once, kept"
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert tracing.look() is None


def test_a_global_provider_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ImportError("no such provider")

    monkeypatch.setattr(trace, "get_tracer_provider", broken)
    assert Tracing().look() is None


def test_a_disabled_sdk_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert Tracing(TracerProvider(shutdown_on_exit=False)).look() is None


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="tracer_provider"):
        JobManager("x", tracer_provider="console")


# --- the context as it is stored --------------------------------------------------------


def span_with(state: TraceState | None = None, trace_id: int = 1, span_id: int = 2) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(trace_id, span_id, False, TraceFlags(1), state))


def test_a_context_comes_back_as_it_was_stored() -> None:
    span = span_with(TraceState([("a", "1"), ("b", "2")]))
    stored = packed(span)
    assert stored == {"traceparent": "00-" + "1".zfill(32) + "-" + "2".zfill(16) + "-01", "tracestate": "a=1,b=2"}
    back = unpacked(stored)
    assert back is not None
    assert (back.trace_id, back.span_id, back.trace_state) == (1, 2, span.get_span_context().trace_state)


def test_without_a_valid_span_nothing_is_stored() -> None:
    assert packed(trace.INVALID_SPAN) is None
    assert packed(span_with(span_id=0)) is None


def test_what_is_stored_is_bounded_and_no_baggage() -> None:
    long = TraceState([(f"k{n}", "v" * 250) for n in range(30)])
    token = context.attach(baggage.set_baggage("user", "x" * 100_000))
    try:
        stored = packed(span_with(long))
    finally:
        context.detach(token)
    assert stored is not None
    assert list(stored) == ["traceparent"]
    fits = packed(span_with(TraceState([("k", "v" * 200), ("l", "v" * 200)])))
    assert fits is not None
    assert 400 < len(fits["tracestate"]) <= MAX_STATE


@pytest.mark.parametrize(
    "stored",
    [
        None,
        5,
        PARENT,
        [PARENT],
        {},
        {"traceparent": None},
        {"traceparent": [PARENT]},
        {"traceparent": ""},
        {"traceparent": PARENT.encode()},
        {"traceparent": PARENT[:-1]},
        {"traceparent": PARENT + "-" + "x" * 100_000},
        {"traceparent": PARENT.upper()},
        {"traceparent": "ff" + PARENT[2:]},
        {"traceparent": "00-" + "0" * 32 + PARENT[35:]},
        {"traceparent": PARENT[:36] + "0" * 16 + "-01"},
        {"traceparent": "x" * len(PARENT)},
    ],
)
def test_what_is_no_context_is_ignored(tracer: Tracer, attempt: Attempt, stored: Any) -> None:
    _, outcome = attempt(lambda data: "done", trace=stored)
    assert outcome.result == "done"
    assert links(tracer.one("process t")) == []


@pytest.mark.parametrize("state", [7, ["a=1"], {"a": "1"}, "x" * (MAX_STATE + 1), "=,=,\0", ""])
def test_a_strange_state_does_not_spoil_the_rest(state: Any) -> None:
    back = unpacked({"traceparent": PARENT, "tracestate": state})
    assert back is not None
    assert (back.span_id, len(back.trace_state)) == (0xB7AD6B7169203331, 0)


def test_what_tracing_fails_at_is_said_once(
    attempt: Attempt, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobpool.tracing.guard._failed", set())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Raising(ValueError("p"), at="end"))
    tracing = Tracing(provider)
    for _ in range(3):
        attempt(lambda data: "done", tracing)
    assert [record.getMessage() for record in caplog.records] == [
        "tracing fails to end a span: spans are missing from now on"
    ]
