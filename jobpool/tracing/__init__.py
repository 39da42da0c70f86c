"""Spans of OpenTelemetry, where its API is installed and a provider is configured; nothing otherwise.

The package that imports opentelemetry, and only once somebody else has. With
no provider a create asks for one in a dict, and an attempt costs one look at
an attribute that is None. What spans, processors and exporters raise is
logged once and changes nothing: it never costs a job.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import InvalidConfiguration
from ..outcome import Outcome
from .guard import harmless

if TYPE_CHECKING:
    from .spans import Spans

#: The W3C trace context of a producer, as it is stored beside the data of a job.
StoredContext = dict[str, str]


class Producing:
    """What a create tells its span, when there is none. Usable as a context manager.

    Attributes:
        context: What is stored with the jobs; None stores nothing.
    """

    context: StoredContext | None = None

    def created(self, result: str) -> None:
        """Say how the one job was met: inserted, duplicate or revived."""

    def sent(self, types: set[str], jobs: int) -> None:
        """Say of which types a batch of `jobs` was."""

    def __enter__(self) -> Producing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span; what the create raises passes."""


NOTHING = Producing()


class Attempt(Protocol):
    """The span of an attempt, as a pool sees it. Nothing of it raises."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    def ended(self, outcome: Outcome | None) -> None:
        """End it."""

    def settled(self, outcome: str) -> None:
        """Say that the outcome is recorded, or was refused: lost."""


class Tracing:
    """Where the spans of one manager go: to its own provider, else to the one of the process.

    Fields: `spans` is what makes them, None without a provider; replaced
    whole by `look`, read by any thread.

    Args:
        provider: A `TracerProvider`; the global one, whenever it is set, if None.
    """

    def __init__(self, provider: Any = None) -> None:
        if not (provider is None or callable(getattr(provider, "get_tracer", None))):
            raise InvalidConfiguration(
                f"tracer_provider must be an OpenTelemetry TracerProvider, not {type(provider).__name__}"
            )
        self.spans: Spans | None = None
        self._given = provider
        self._seen: object = None

    def look(self) -> Spans | None:
        """Look whether there is a provider now, and return what makes its spans."""
        provider = self._given
        if provider is None and "opentelemetry.trace" in sys.modules:  # else nobody can have set one
            with harmless("look for the tracer provider"):
                provider = _configured(sys.modules["opentelemetry.trace"])
        if provider is not self._seen:
            self.spans = None if provider is None else _spans_of(provider)
            self._seen = provider
        return self.spans

    def create(self, type: str, id: str) -> Producing:
        """Return the span of creating one job, to be entered."""
        spans = self.look()
        return NOTHING if spans is None else spans.create(type, id)

    def create_many(self) -> Producing:
        """Return the span of creating many jobs, to be entered."""
        spans = self.look()
        return NOTHING if spans is None else spans.create_many()


def _configured(trace: Any) -> object | None:
    """Return the global provider if it is one that makes spans."""
    provider: object = trace.get_tracer_provider()
    nobody = isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
    return None if nobody else provider


def _spans_of(provider: Any) -> Spans | None:
    with harmless("make a tracer"):
        from .spans import spans_of

        return spans_of(provider)
    return None


__all__ = ["NOTHING", "Attempt", "Producing", "StoredContext", "Tracing", "harmless"]
