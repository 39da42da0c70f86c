"""Middleware: a user's own code around the creation, the claim, the run and the end of jobs.

It looks on. What a hook raises is logged, counted and dropped; what it returns
is ignored. So it can neither lose a job nor change how one ends.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .current import CurrentJob, HeldJob
from .errors import InvalidConfiguration
from .guarding import Around, Hook
from .job import JobError
from .names import shown
from .observer import Observer
from .outcome import Outcome
from .request import JobRequest

#: What a create is in when there is no middleware.
NOTHING: AbstractContextManager[None] = nullcontext()


class NewJob:
    """A job about to be created, to be looked at."""

    __slots__ = ("_request",)

    def __init__(self, request: JobRequest) -> None:
        self._request = request

    @property
    def type(self) -> str:
        """The job's type."""
        return self._request.type

    @property
    def id(self) -> str:
        """The job's id, given or made."""
        return self._request.job_id

    @property
    def data(self) -> Any:
        """A copy of the data: the id was made of what is stored."""
        return copy.deepcopy(self._request.data)

    @property
    def priority(self) -> int:
        """Higher runs first."""
        return self._request.priority

    @property
    def run_at(self) -> datetime | None:
        """Not before this instant; None if none was given."""
        return self._request.run_at

    @property
    def delay(self) -> float | None:
        """Not before so many seconds from now; None if none were given."""
        return self._request.delay

    @property
    def max_attempts(self) -> int | None:
        """The job's own number; None leaves it to the executor."""
        return self._request.max_attempts

    def __repr__(self) -> str:
        return f"<NewJob {shown(self.id)} type={shown(self.type)}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How an attempt ended, and whether that stands in the store.

    Attributes:
        name: What the metrics call it: ``succeeded``, ``retried``, ``failed``
            and so on as recorded, or ``lost``: it was refused, or could not be
            recorded while the lease lasted, and what the other attributes say
            is nowhere but here.
        duration: Seconds that the executor ran.
        result: What it returned.
        error: What it raised, as it is stored; None if nothing.
        retry_after: Seconds until the job is due again; None if it is final.
    """

    name: str
    duration: float
    result: Any = field(default=None, repr=False)
    error: JobError | None = None
    retry_after: float | None = None


class Middleware:
    """Hooks around the life of jobs. Derive from it and override what you need; hooks left alone are not called.

    Given as ``JobManager(..., middleware=[Mine(), ...])``: hooks run in that
    order, context managers are left in the reverse one. A hook should be
    quick: its thread waits for it.

    Threads: any, several at once.
    """

    def creating(self, requests: Sequence[NewJob]) -> AbstractContextManager[Any]:  # noqa: ARG002  (a hook)
        """Return a context manager for a create: `requests` is one job, or a batch of `create_many`.

        It is entered behind all checks and left when the store has answered,
        or with the error that the caller gets. On the thread that creates.
        """
        return nullcontext()

    def claimed(self, jobs: Sequence[CurrentJob]) -> None:
        """Hear of `jobs` that a pool, or `JobManager.run`, has just claimed, before any of them runs.

        They may still be given back unstarted. On the thread that claims,
        which claims no others meanwhile.
        """

    def executing(self, job: CurrentJob) -> AbstractContextManager[Any]:  # noqa: ARG002  (a hook)
        """Return a context manager for the call of the executor; it sees what that raises, and cannot stop it.

        On the executor's thread with `current_job()` set; around the whole run
        of a coroutine, on the thread that waits for it. Context variables set
        here are seen by the executor.
        """
        return nullcontext()

    def finished(self, job: CurrentJob, outcome: Settled) -> None:
        """Hear how an attempt ended, once that is recorded in the store or refused.

        Not called for an attempt that a stop or a Ctrl-C left behind, nor for
        one of a pool that died. One that timed out and does not end is told of
        while it still runs. On the thread that records: outcomes behind this
        one wait, and the pool cannot be stopped from here.
        """


class Chain:
    """The middleware of one manager, run in order, guarded. Threads: any; immutable."""

    def __init__(self, middleware: Sequence[Middleware], observer: Observer) -> None:
        self._creating = _hooks("creating", middleware, observer)
        self._claimed = _hooks("claimed", middleware, observer)
        self._executing = _hooks("executing", middleware, observer)
        self._finished = _hooks("finished", middleware, observer)

    def creating(self, requests: Sequence[JobRequest]) -> AbstractContextManager[None]:
        """Return what is to be entered around the store's create of `requests`."""
        given = tuple(NewJob(request) for request in requests) if self._creating else ()
        return Around(self._creating, given)

    def claimed(self, jobs: Iterable[HeldJob]) -> None:
        """Tell of claimed jobs; none is not told."""
        if not self._claimed:
            return
        given = tuple(CurrentJob(held) for held in jobs)
        for hook in self._claimed if given else ():
            hook.tell(given)

    def executing(self, held: HeldJob) -> AbstractContextManager[None]:
        """Return what is to be entered around the call of the executor."""
        return Around(self._executing, CurrentJob(held))

    def finished(self, held: HeldJob, outcome: Outcome, name: str, duration: float) -> None:
        """Tell that an outcome was recorded, or refused: then its `name` is lost."""
        if not self._finished:
            return
        settled = Settled(
            name=name,
            duration=duration,
            result=outcome.result,
            error=outcome.error,
            retry_after=outcome.retry_after,
        )
        for hook in self._finished:
            hook.tell(CurrentJob(held), settled)


def creating(chain: Chain | None, requests: Sequence[JobRequest]) -> AbstractContextManager[None]:
    """Return what is to be entered around the store's create of `requests`."""
    return NOTHING if chain is None else chain.creating(requests)


def chain_of(middleware: Iterable[Middleware], observer: Observer) -> Chain | None:
    """Return what runs the middleware given by a user; None if it is none.

    Raises:
        InvalidConfiguration: Something in it is no `Middleware`, or a hook of it could not be called.
    """
    if not isinstance(middleware, Iterable):
        raise InvalidConfiguration(f"middleware must be a list of Middleware, not {type(middleware).__name__}")
    several = tuple(middleware)
    for one in several:
        _check_middleware(one)
    return Chain(several, observer) if several else None


def _check_middleware(one: object) -> None:
    if not isinstance(one, Middleware):
        what = f"the class {one.__name__}; make one" if isinstance(one, type) else type(one).__name__
        raise InvalidConfiguration(f"middleware must hold objects of classes of Middleware, not {what}")


def _hooks(name: str, middleware: Sequence[Middleware], observer: Observer) -> tuple[Hook, ...]:
    """Return the hooks called `name`, without those that nobody has overridden."""
    hooks = []
    for one in middleware:
        call = getattr(one, name)
        if getattr(call, "__func__", call) is getattr(Middleware, name):
            continue
        full = f"{type(one).__qualname__}.{name}"
        _check_hook(full, call)
        hooks.append(Hook(shown(full)[1:-1], call, observer))
    return tuple(hooks)


def _check_hook(name: str, call: Any) -> None:
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise InvalidConfiguration(f"{name} must not be async: hooks run on threads without an event loop")
    if inspect.isgeneratorfunction(call):
        raise InvalidConfiguration(f"{name} yields: decorate it with contextlib.contextmanager")
    if not callable(call):
        raise InvalidConfiguration(f"{name} must be a method, not {type(call).__name__}")
