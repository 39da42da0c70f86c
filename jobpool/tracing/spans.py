"""The spans themselves: create, process, settle, named by the conventions for messaging systems.

A job is the message, its type the destination, its id the message's id. Data,
results and what an executor's exception says are in none of them.
"""

from __future__ import annotations

import time
from contextvars import Token
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer

from ..current import HeldJob
from ..outcome import Outcome
from . import Producing
from .guard import harmless
from .propagation import packed, unpacked

SYSTEM = "jobpool"


def spans_of(provider: Any) -> Spans | None:
    """Return what makes spans for `provider`; None if that makes none, as a disabled SDK."""
    tracer = provider.get_tracer("jobpool", _version())
    return None if isinstance(tracer, NoOpTracer) else Spans(tracer)


def _version() -> str | None:
    try:
        return version("jobpool")
    except PackageNotFoundError:
        return None


def _operation(name: str, type: str) -> dict[str, Any]:
    """Return what a span of the operation `name` has from its beginning, for samplers to see."""
    return {"messaging.system": SYSTEM, "messaging.operation.name": name, "messaging.operation.type": type}


def _of_job(type: str, id: str) -> dict[str, Any]:
    return {"messaging.destination.name": type, "messaging.message.id": id}


def _fail(span: Span, error: str) -> None:
    """Mark `span` as failed with an exception class; what the exception says may be anything."""
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))


class Spans:
    """Makes the spans of one tracer. Threads: any."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def create(self, type: str, id: str) -> Producing:
        """Return the span of creating one job: its context is the one stored."""
        return ProducerSpan(self._tracer, f"create {type}", _operation("create", "send") | _of_job(type, id))

    def create_many(self) -> Producing:
        """Return the span of one `create_many`: all its jobs store its context."""
        return ProducerSpan(self._tracer, "create_many", _operation("create_many", "send"))

    def process(self, held: HeldJob, *, ambient: bool = False) -> ProcessSpan | None:
        """Begin the span of an attempt and make it current; None if that fails.

        It is linked to the producer's and not its child: a job may run days
        later and several times, and its producer's trace is long complete.

        Args:
            ambient: Whether it is a child of the span that is current here. On
                threads of a pool such a one would be of whoever started the pool.
        """
        with harmless("begin a span"):
            return ProcessSpan(self._tracer, held, contexts.get_current() if ambient else Context())
        return None


class ProducerSpan(Producing):
    """The span around a create, current meanwhile."""

    def __init__(self, tracer: Tracer, name: str, attributes: dict[str, Any]) -> None:
        self._tracer, self._name, self._attributes = tracer, name, attributes
        self._span: Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None
        self._types: set[str] = set()
        self._jobs = 0

    def created(self, result: str) -> None:
        with harmless("describe a span"):
            self._span.set_attribute("jobpool.result", result)

    def sent(self, types: set[str], jobs: int) -> None:
        self._types |= types
        self._jobs += jobs

    def __enter__(self) -> Producing:
        with harmless("begin a span"):
            self._span = self._tracer.start_span(self._name, kind=SpanKind.PRODUCER, attributes=self._attributes)
            self.context = packed(self._span)
            self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with harmless("end a span"):
            if self._token is not None:
                contexts.detach(self._token)
            self._describe_batch()
            if kind is not None:
                _fail(self._span, kind.__name__)
            self._span.end()

    def _describe_batch(self) -> None:
        if not self._types:
            return
        self._span.set_attribute("messaging.batch.message_count", self._jobs)
        if len(self._types) == 1:
            (type,) = self._types
            self._span.set_attribute("messaging.destination.name", type)
            self._span.update_name(f"{self._name} {type}")


class ProcessSpan:
    """The span of one attempt, and the one of settling it.

    Attributes:
        trace_id, span_id: As logs show them.

    Threads: the worker until `ended`, then the recorder.
    """

    def __init__(self, tracer: Tracer, held: HeldJob, context: Context) -> None:
        document = held.document
        self._tracer = tracer
        self._type: str = document["type"]
        self._job = _of_job(self._type, document["_id"]) | {
            "jobpool.pool": held.pool,
            "jobpool.attempt": held.attempt,
        }
        link = unpacked(document.get("trace"))
        self._span = tracer.start_span(
            f"process {self._type}",
            context,
            SpanKind.CONSUMER,
            _operation("process", "process") | self._job,
            [Link(link)] if link else None,
        )
        self._ended_at: int | None = None
        own = self._span.get_span_context()
        self.trace_id = trace.format_trace_id(own.trace_id)
        self.span_id = trace.format_span_id(own.span_id)
        self._context = trace.set_span_in_context(self._span, context)
        self._token = contexts.attach(self._context)

    def ended(self, outcome: Outcome | None) -> None:
        """End the attempt's span; None if its outcome was lost on the way."""
        with harmless("end a span"):
            contexts.detach(self._token)
            self._ended_at = time.time_ns()
            self._span.set_attribute("jobpool.outcome", outcome.name if outcome else "lost")
            if outcome is None or outcome.error:
                _fail(self._span, outcome.error.type if outcome and outcome.error else "_OTHER")
            self._span.end(self._ended_at)

    def settled(self, outcome: str) -> None:
        """Leave a span from the end of the attempt until now, when its outcome has been recorded or refused."""
        with harmless("settle a span"):
            attributes = _operation("settle", "settle") | self._job | {"jobpool.outcome": outcome}
            span = self._tracer.start_span(
                f"settle {self._type}", self._context, SpanKind.CLIENT, attributes, start_time=self._ended_at
            )
            if outcome == "lost":
                _fail(span, "LeaseLost")
            span.end()
