"""Spans kept in memory, for tests to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

MARK = "s3cr3t-m4rk3r"


class Tracer:
    """A provider of its own, not the global one, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self, name: str | None = None) -> Sequence[ReadableSpan]:
        """Return what has ended, in that order; only spans of that name or operation if it is given."""
        ended = self._exporter.get_finished_spans()
        return [span for span in ended if name is None or name in (span.name, span.name.partition(" ")[0])]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of that name."""
        (span,) = self.spans(name)
        return span


class Raising(SpanProcessor):
    """A processor of a host that went wrong."""

    def __init__(self, error: BaseException, *, at: str) -> None:
        self.error, self.at = error, at
        self.raised = 0

    def _raise(self, at: str) -> None:
        if at == self.at:
            self.raised += 1
            raise self.error

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._raise("start")

    def on_end(self, span: ReadableSpan) -> None:
        self._raise("end")


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Return trace and span id."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]
