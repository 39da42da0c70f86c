"""What a producer asks for, checked, and the document that is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..executors import Executors
from ..middleware import Chain
from ..observer import Observer
from ..request import JobRequest, request_of
from ..store.core import Core
from ..store.documents import Document, new_document
from ..tracing import StoredContext, Tracing
from .room import Room

JobLike = Mapping[str, Any]


class Producer(Protocol):
    """A manager, as creating sees it."""

    @property
    def data_limit(self) -> int:
        """The most bytes the data may take."""

    @property
    def observer(self) -> Observer:
        """Who hears of it."""

    @property
    def tracing(self) -> Tracing:
        """Where spans go."""

    @property
    def middleware(self) -> Chain | None:
        """The hooks of the user; None if there are none."""

    @property
    def executors(self) -> Executors:
        """What checks the data of their types."""

    @property
    def room(self) -> Room:
        """The bounds of types whose pending jobs are bounded."""

    @property
    def store(self) -> Core:
        """The store; refused once the manager is closed."""

    def told(self, types: set[str]) -> None:
        """Hear that due jobs of these types were created here."""


def document_of(
    request: JobRequest, now: datetime, trace: StoredContext | None = None, executors: Executors | None = None
) -> Document:
    """Return what is stored for a request that is made at `now` (server time, to the millisecond).

    Args:
        executors: Those known here: whoever cancels the job need not know them.
    """
    return new_document(
        id=request.job_id,
        type=request.type,
        data=request.data,
        priority=request.priority,
        run_at=request.due_at(now),
        max_attempts=request.max_attempts,
        created_at=now,
        trace=trace,
        timeout=request.timeout,
        keep_cancelled=None if executors is None else executors.keeps_cancelled(request.type),
        after=request.after,
        on_failure=request.on_failure,
        keep_failed=_keeps_failed(request, executors) if request.after else None,
        key=_key_of(request, executors),
    )


def _key_of(request: JobRequest, executors: Executors | None) -> str | None:
    """Return whose the job is, as far as that is known here."""
    if request.key is not None or executors is None:
        return request.key
    return executors.key_of(request.type, request.data)


def _keeps_failed(request: JobRequest, executors: Executors | None) -> float | None:
    """Return for how many seconds it is kept if it fails before its start, as far as that is known here."""
    if executors is None or request.type not in executors:
        return None
    retention = executors[request.type].retention
    return None if retention is None else retention.failed


def requested(job: JobLike, manager: Producer) -> JobRequest:
    """Return the request that a mapping means, its data checked if their executor is known here."""
    return request_of(manager.executors.stored_job(job), manager.data_limit)


async def now_of(store: Core) -> datetime:
    """Return the server's time to the millisecond, as BSON keeps it."""
    now = await store.now()
    return now - timedelta(microseconds=now.microsecond % 1000)
