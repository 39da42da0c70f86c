"""The producer's trace context as it is stored in a job, and back.

W3C trace context whatever the global propagator is: both ends are ours, and
baggage, which may hold anything, stays out of the documents.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import StoredContext

#: `traceparent` of version 00 has this length.
PARENT_LENGTH = 55
#: What the standard asks to be passed on at least; what is longer is left out as a whole.
MAX_STATE = 512

_W3C = TraceContextTextMapPropagator()


def packed(span: trace.Span) -> StoredContext | None:
    """Return what is stored of the context of `span`; None if it has none."""
    if not span.get_span_context().is_valid:
        return None
    carrier: StoredContext = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    if len(carrier.get("tracestate", "")) > MAX_STATE:
        del carrier["tracestate"]
    return carrier


def unpacked(stored: object) -> trace.SpanContext | None:
    """Return the context that a job carries; None if it is none: whoever can write the store wrote it."""
    if not isinstance(stored, dict):
        return None
    parent, state = stored.get("traceparent"), stored.get("tracestate")
    if not (isinstance(parent, str) and len(parent) == PARENT_LENGTH):
        return None
    carrier = {"traceparent": parent}
    if isinstance(state, str) and len(state) <= MAX_STATE:
        carrier["tracestate"] = state
    context = trace.get_current_span(_W3C.extract(carrier, Context())).get_span_context()
    return context if context.is_valid else None
