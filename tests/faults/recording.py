"""Records what the store of a manager is asked and answers.

The store's parts are wrapped, not changed: the pool works with the wrapped
ones as with the real ones, and what is asked is written down before it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from jobpool import JobManager, WorkerPool, current_job
from jobpool.errors import StoreError, StoreUnavailable
from jobpool.job import Claim, Stuck
from jobpool.outcome import Finish
from jobpool.progress import Report
from jobpool.store.claiming import Claimed, ClaimStrategy, Request, Unknown
from jobpool.store.completing import Settled
from jobpool.store.driver import run
from jobpool.store.transitions import Start

from .history import History

Pair = list[str]


def record(manager: JobManager, history: History) -> JobManager:
    """Write down everything that `manager` and its pools ask of the store from now on."""
    store: Any = manager.store
    store.transitions = RecordedTransitions(store.transitions, history)
    store.completing = RecordedCompleting(store.completing, history)
    store.creation = RecordedCreation(store.creation, history)
    store.cancelling = RecordedCancelling(store.cancelling, history)
    make = store.strategy
    store.strategy = lambda name: RecordedStrategy(make(name), history)
    make_gated = store.gated
    store.gated = lambda: _recorded_claims(make_gated(), history)
    return manager


def _recorded_claims(gated: Any, history: History) -> Any:
    """Return the way through the gates with its claims written down; others ask it more than to claim."""
    real: Any = SimpleNamespace(claim=gated.claim)
    gated.claim = RecordedStrategy(real, history).claim
    return gated


def executor(history: History, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `fn` as an executor whose calls are written down."""

    def run(data: Any) -> Any:
        job = current_job()
        held: Any = job._held
        history.say("entered", id=job.id, attempt=job.attempt, fence=job.fence, token=held.claim.token)
        try:
            return fn(data)
        finally:
            history.say("left", id=job.id, attempt=job.attempt)

    return run


def stop(pool: WorkerPool, history: History, timeout: float) -> None:
    """Stop `pool`, and write down what it says and counted."""
    history.say("stop")
    report = pool.stop(timeout)
    history.say("stop-ok", released=report.released, abandoned=report.abandoned, threads=report.threads)


def _pairs(claims: Iterable[Claim]) -> list[Pair]:
    return [[claim.id, claim.token] for claim in claims]


def _asked(history: History, name: str, call: Callable[[], Any], jobs: list[Pair], **fields: Any) -> Any:
    """Write down a request and how it was answered, and return or raise the answer."""
    history.say(name, jobs=jobs, **fields)
    try:
        answer = call()
    except StoreUnavailable:
        history.say(f"{name}-unknown", jobs=jobs)
        raise
    except StoreError:
        history.say(f"{name}-refused", jobs=jobs)
        raise
    except BaseException:
        history.say(f"{name}-raised", jobs=jobs)
        raise
    return answer


def _number(document: dict[str, Any]) -> Any:
    """Return the `n` in the data of a job: what the checker compares with what is stored at the end."""
    data = document["data"]
    return data.get("n") if isinstance(data, dict) else None


class RecordedTransitions:
    """As `jobpool.store.transitions.Transitions`."""

    def __init__(self, real: Any, history: History) -> None:
        self._real = real
        self._history = history

    def start(self, starts: Collection[Start]) -> set[Claim]:
        """Start."""
        return self._conditional("start", [start.claim for start in starts], lambda: self._real.start(starts))

    def finish(self, finishes: Collection[Finish], *, timeout: float | None = None) -> set[Claim]:
        """Finish."""
        names = {finish.claim: finish.outcome.name for finish in finishes}
        stands: set[Claim] = _asked(
            self._history,
            "finish",
            lambda: self._real.finish(finishes, timeout=timeout),
            _pairs(names),
            outcomes=list(names.values()),
        )
        self._answered("finish", names, stands, outcomes=[names[claim] for claim in names if claim in stands])
        return stands

    def extend(self, claims: Collection[Claim], lease: float, *, timeout: float | None = None) -> set[Claim]:
        """Extend."""
        until = time.monotonic() + lease
        return self._conditional(
            "extend", claims, lambda: self._real.extend(claims, lease, timeout=timeout), until=until
        )

    def release(self, claims: Collection[Claim], *, timeout: float | None = None) -> None:
        """Release."""
        pairs = _pairs(claims)
        _asked(self._history, "release", lambda: self._real.release(claims, timeout=timeout), pairs)
        self._history.say("release-ok", jobs=pairs)

    def disown(self, jobs: Collection[Unknown], *, timeout: float | None = None) -> None:
        """Disown."""
        pairs = [[id, unknown.token] for unknown in jobs for id in unknown.ids or ()]
        tokens = [unknown.token for unknown in jobs if unknown.ids is None]
        _asked(self._history, "release", lambda: self._real.disown(jobs, timeout=timeout), pairs, tokens=tokens)
        self._history.say("release-ok", jobs=pairs)

    def report_stuck(self, reports: Mapping[Claim, Stuck], *, timeout: float | None = None) -> None:
        """Report."""
        pairs = _pairs(reports)
        _asked(self._history, "report", lambda: self._real.report_stuck(reports, timeout=timeout), pairs)
        self._history.say("report-ok", jobs=pairs)

    def report(self, reports: Mapping[Claim, Report], *, timeout: float | None = None) -> None:
        """Report progress and log lines."""
        pairs = _pairs(reports)
        _asked(self._history, "report", lambda: self._real.report(reports, timeout=timeout), pairs)
        self._history.say("report-ok", jobs=pairs)

    def save_checkpoint(self, claim: Claim, value: Any) -> bool:
        """Save a checkpoint."""
        pairs = _pairs([claim])
        saved: bool = _asked(
            self._history, "checkpoint", lambda: self._real.save_checkpoint(claim, value), pairs, value=value
        )
        stands, lost = (pairs, []) if saved else ([], pairs)
        self._history.say("checkpoint-ok", jobs=stands, lost=lost, value=value)
        return saved

    def _conditional(
        self, name: str, claims: Collection[Claim], call: Callable[[], set[Claim]], **fields: Any
    ) -> set[Claim]:
        stands: set[Claim] = _asked(self._history, name, call, _pairs(claims), **fields)
        self._answered(name, claims, stands, **fields)
        return stands

    def _answered(self, name: str, claims: Collection[Claim], stands: set[Claim], **fields: Any) -> None:
        """Write down which of `claims` stand, in their order, and which are lost."""
        ours = [claim for claim in claims if claim in stands]
        lost = [claim for claim in claims if claim not in stands]
        self._history.say(f"{name}-ok", jobs=_pairs(ours), lost=_pairs(lost), **fields)


class RecordedCompleting:
    """As `jobpool.store.completing.Completing`. In a transaction nobody is told what stands."""

    def __init__(self, real: Any, history: History) -> None:
        self._real = real
        self._history = history

    def complete(self, finish: Finish, session: Any) -> Any:
        """Complete, in a transaction of an executor."""
        pairs = _pairs([finish.claim])
        self._history.say("finish", jobs=pairs, outcomes=[finish.outcome.name])
        try:
            return self._real.complete(finish, session)
        finally:
            self._history.say("finish-raised", jobs=pairs)

    def completed(self, claims: Collection[Claim], **options: Any) -> set[Claim]:
        """Look which have succeeded."""
        done: set[Claim] = self._real.completed(claims, **options)
        if done:
            self._history.say("finish-ok", jobs=_pairs(done), lost=[], outcomes=["succeeded"] * len(done))
        return done

    def settle(self, finish: Finish, **options: Any) -> Settled:
        """Find out what stands, or finish."""
        pairs, outcome = _pairs([finish.claim]), finish.outcome.name
        settled: Settled = _asked(
            self._history, "finish", lambda: self._real.settle(finish, **options), pairs, outcomes=[outcome]
        )
        stands, lost = ([], pairs) if settled is Settled.LOST else (pairs, [])
        name = "succeeded" if settled is Settled.COMPLETED else outcome
        self._history.say("finish-ok", jobs=stands, lost=lost, outcomes=[name] * len(stands))
        return settled

    def extend(self, claims: Collection[Claim], lease: float, *, timeout: float | None = None) -> set[Claim]:
        """Extend, apart from others."""
        until = time.monotonic() + lease
        extended: set[Claim] = _asked(
            self._history,
            "extend",
            lambda: self._real.extend(claims, lease, timeout=timeout),
            _pairs(claims),
            until=until,
        )
        self._history.say("extend-ok", jobs=_pairs(extended), lost=[], until=until)
        return extended


class RecordedStrategy:
    """As a claim strategy."""

    def __init__(self, real: ClaimStrategy, history: History) -> None:
        self._real = real
        self._history = history

    @property
    def factor(self) -> int:
        """The strategy's own."""
        return self._real.factor

    @property
    def unknown(self) -> list[Unknown]:
        """The strategy's own."""
        return self._real.unknown

    @unknown.setter
    def unknown(self, notes: list[Unknown]) -> None:
        self._real.unknown = notes

    def claim(self, request: Request) -> Claimed:
        """Claim, and start if that is asked for."""
        claimed: Claimed = _asked(self._history, "claim", lambda: self._real.claim(request), [])
        pairs = [[document["_id"], claimed.token] for document in claimed.documents]
        self._history.say("claim-ok" if pairs else "claim-nothing", jobs=pairs, until=claimed.deadline)
        if claimed.started:
            self._history.say("start", jobs=pairs)
            self._history.say("start-ok", jobs=pairs, lost=[])
        return claimed


class RecordedCreation:
    """As `jobpool.store.creation.Creation`; creates are written down, questions are not."""

    def __init__(self, real: Any, history: History) -> None:
        self._real = real
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def create(self, document: dict[str, Any], on_duplicate: str, session: Any) -> Any:
        """Create one job."""
        pairs = [[document["_id"], ""]]
        answer = _asked(
            self._history,
            "create",
            lambda: run(self._real.create(document, on_duplicate, session)),
            pairs,
            numbers=[_number(document)],
        )
        self._history.say("create-ok", jobs=pairs, result=answer[1])
        return answer

    async def create_many(self, documents: list[dict[str, Any]], on_duplicate: str, session: Any) -> Any:
        """Create a batch."""
        pairs = [[document["_id"], ""] for document in documents]
        answer = _asked(
            self._history,
            "create",
            lambda: run(self._real.create_many(documents, on_duplicate, session)),
            pairs,
            numbers=[_number(document) for document in documents],
        )
        self._history.say("create-ok", jobs=pairs, result="many")
        return answer


class RecordedCancelling:
    """As `jobpool.store.cancelling.Cancelling`; cancels of one job are written down, questions are not."""

    def __init__(self, real: Any, history: History) -> None:
        self._real = real
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def cancel(self, id: str, *, cascade: bool = False) -> Any:
        """Cancel."""
        job = _asked(self._history, "cancel", lambda: run(self._real.cancel(id, cascade=cascade)), [[id, ""]])
        marked = job.cancel_requested_at is not None
        self._history.say("cancel-ok", jobs=[[id, ""]], state=job.state.value, fence=job.fence, marked=marked)
        return job
