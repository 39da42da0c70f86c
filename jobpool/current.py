"""The job in hand: what an executor can ask about the attempt it is running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, overload

from .errors import JobpoolError, LeaseLost, PoolStateError
from .names import shown
from .progress import Reporter, check_progress
from .signals import JobCancelled, TimedOut

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.client_session import ClientSession


class SpanIds(Protocol):
    """What logs tell of a span."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""


class HeldJob(Protocol):
    """What `CurrentJob` needs of a claim that is held."""

    @property
    def document(self) -> dict[str, Any]:
        """The job as it was claimed."""

    @property
    def pool(self) -> str:
        """The name of the pool that holds it."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def span(self) -> SpanIds | None:
        """The span of this attempt; None if it is not traced."""

    @property
    def lost(self) -> bool:
        """Whether the claim is known to be lost."""

    @property
    def deadline(self) -> float:
        """Monotonic instant up to which the lease is certain."""

    @property
    def told(self) -> JobpoolError | None:
        """Why the executor is to end, if it is."""

    @property
    def desk(self) -> Desk | None:
        """Who takes its reports; None where nobody does."""

    reporter: Reporter | None
    alarm: Alarm | None


class Alarm(Protocol):
    """What wakes an executor that waits."""

    def set(self) -> None:
        """Wake it."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be woken."""


class Desk(Protocol):
    """Where executors hand in what they have to say about their jobs. Threads: any."""

    def open(self, held: Any) -> Reporter:
        """Return the reporter of a job, a new one if it has none."""

    def alarm(self) -> Alarm:
        """Return a new alarm."""

    def news(self, held: Any) -> None:
        """Hear that there is something to be written of a job."""

    def save_checkpoint(self, held: Any, value: Any) -> None:
        """Store a checkpoint now."""

    def complete(self, held: Any, result: Any, session: Any) -> Coroutine[Any, Any, None] | None:
        """Write the success in a transaction; a coroutine does so if the session is an awaited one."""


#: A lease ends without a word: who waits looks this often whether it is still certain. Seconds.
LOOK_EVERY = 0.5


class CurrentJob:
    """The job that this thread or coroutine is running.

    Threads: readable from any thread the executor hands it to.
    """

    __slots__ = ("_held",)

    def __init__(self, held: HeldJob) -> None:
        self._held = held

    @property
    def id(self) -> str:
        """The job's id."""
        id: str = self._held.document["_id"]
        return id

    @property
    def type(self) -> str:
        """The job's type."""
        type: str = self._held.document["type"]
        return type

    @property
    def data(self) -> Any:
        """The job's data, the same object the executor was called with."""
        return self._held.document["data"]

    @property
    def created_at(self) -> datetime:
        """When the job was created (server time)."""
        at: datetime = self._held.document["created_at"]
        return at

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._held.attempt

    @property
    def fence(self) -> int:
        """A number that rises with every claim of this job.

        Store it with your own writes and refuse smaller ones: then a paused
        attempt that wakes up late cannot undo what a later one did.
        """
        fence: int = self._held.document["fence"]
        return fence

    @property
    def lost(self) -> bool:
        """Whether the claim is lost, or its lease not certain any more: stop if you can.

        The outcome is refused if the job was reaped or claimed again.
        """
        return self._held.lost or time.monotonic() >= self._held.deadline

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants the job to end: known within about a second."""
        return isinstance(self._held.told, JobCancelled)

    @property
    def timed_out(self) -> bool:
        """Whether the attempt has run for longer than its timeout."""
        return isinstance(self._held.told, TimedOut)

    def check(self) -> None:
        """Return if the executor may go on; call it now and then, and let what it raises pass.

        Raises:
            JobCancelled: Somebody cancelled the job.
            TimedOut: The attempt has run for too long.
            LeaseLost: The job may run elsewhere by now; the outcome is refused.
        """
        told = self._held.told
        if told is not None:
            raise type(told)(*told.args)  # not the same one: it may be raised on several threads
        if self.lost:
            raise LeaseLost(f"job {shown(self.id)} is not held any more; its outcome would be refused")

    def wait(self, seconds: float) -> None:
        """Wait, as `time.sleep` does, but no longer than the executor may go on.

        In an ``async def`` executor use `asyncio.sleep`: this holds up all others on the loop.

        Raises: As `check`.
        """
        held = self._held
        if held.alarm is None:
            held.alarm = self._desk.alarm()  # before the look: whoever tells sets it, or is seen
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            held.alarm.wait(min(left, LOOK_EVERY))

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the attempt is: `Job.progress` shows it. Cheap; written at most once a second.

        Raises:
            TypeError: `done` or `total` is not a number.
        """
        check_progress(done, total)
        if self._reporter.progress(done, total, str(note)):
            self._desk.news(self._held)

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Log a line, and keep it with the job if its `Executor.log_lines` says so."""
        self.logger.log(level, "%s", text)

    @property
    def checkpoint(self) -> Any:
        """What the last attempt that saved one wants this one to go on from; None if none did."""
        return self._held.document.get("checkpoint")

    def save_checkpoint(self, value: Any) -> None:
        """Store where the next attempt is to go on, should this one not end well. Durable when it returns.

        Args:
            value: As a job's data; see `jobpool.data`. It replaces the one before.

        Raises:
            InvalidJob: It cannot be stored, or is too large. Nothing was written.
            LeaseLost: The job is not held any more. Nothing was written.
            StoreUnavailable: It may or may not be stored. Saving it again is safe.
        """
        self._desk.save_checkpoint(self._held, value)
        self._held.document["checkpoint"] = value

    @overload
    def complete(self, result: Any = None, *, session: ClientSession) -> None: ...

    @overload
    def complete(self, result: Any = None, *, session: AsyncClientSession) -> Coroutine[Any, Any, None]: ...

    def complete(self, result: Any = None, *, session: Any) -> Coroutine[Any, Any, None] | None:
        """Let the job succeed with the transaction of `session`: its writes and the success stand together or not.

        ::

            def transfer(data):
                def move(session):
                    accounts.update_one({"_id": data["from"]}, {"$inc": {"cents": -100}}, session=session)
                    accounts.update_one({"_id": data["to"]}, {"$inc": {"cents": 100}}, session=session)
                    current_job().complete(session=session)

                with client.start_session() as session:
                    session.with_transaction(move)

        So the effects in that transaction are had exactly once, however often
        the job is started. Call it last, and commit at once: from here on
        nobody else can write to the job, a cancel has to wait. Let what it
        raises pass, so that the transaction is aborted. Whether the job has
        succeeded is read from the store when the executor has ended; what that
        returns is not looked at, and what it raises fails the attempt only if the
        transaction was not committed.

        A write to the job since the first operation of the transaction (a
        heartbeat, a report, a cancel) makes a conflict, and `with_transaction`
        begins anew. A transaction that takes longer than a third of the lease
        should therefore call this first.

        Args:
            result: What is stored as the job's result; see `jobpool.data`.
            session: Of pymongo, with an open transaction, of any client of the
                same deployment. With an `AsyncClientSession`: ``await job.complete(session=session)``.

        Raises:
            InvalidJob: The result cannot be stored, or `session` is no session.
            LeaseLost: The job is not held any more.
            JobCancelled: Somebody cancelled the job.
            TimedOut: The attempt has run for too long.
            PoolStateError: The session has no open transaction; or an earlier one of this
                attempt was committed; or the executor runs in a child process.
            UnsupportedServer: A standalone server has no transactions.
            PyMongoError: The driver's own errors, for `with_transaction` to retry.
        """
        if self._held.desk is None:
            raise PoolStateError(
                "an executor that runs in a child process cannot complete its job in a transaction; leave out "
                "isolation='process', or compute in another job"
            )
        return self._held.desk.complete(self._held, result, session)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``job_id``, ``job_type``, ``pool`` and ``attempt``, on any thread.

        Its lines are kept with the job as well if `Executor.log_lines` says so.
        """
        return JobLogger(logging.getLogger("jobpool.job"), log_fields(self._held), self._keep_line)

    def _keep_line(self, level: int, text: str) -> None:
        if self._held.desk is None:
            return
        reporter = self._reporter
        if reporter.line(logging.getLevelName(level), text, self.attempt, datetime.now(UTC)):
            self._desk.news(self._held)

    @property
    def _desk(self) -> Desk:
        desk = self._held.desk
        if desk is None:
            raise PoolStateError(
                "an executor that runs in a child process cannot report, save or wait for its end"
            )
        return desk

    @property
    def _reporter(self) -> Reporter:
        return self._held.reporter or self._desk.open(self._held)

    def __repr__(self) -> str:
        return f"<CurrentJob {shown(self.id)} type={shown(self.type)} attempt={self.attempt} fence={self.fence}>"


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields of a job to those that the caller gives, and hands on what it logs.

    Args:
        keep: Gets the level and the text of every line that the logger lets through.
    """

    def __init__(
        self, logger: logging.Logger, fields: dict[str, object], keep: Callable[[int, str], None] | None = None
    ) -> None:
        super().__init__(logger, fields)
        self._keep = keep

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """As `Logger.log`, of the line that called."""
        super().log(level, msg, *args, **{"stacklevel": 2, **kwargs})
        if self._keep is not None and level >= logging.INFO:
            self._keep(level, _line(msg, args))

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return the arguments of the call to the logger."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def _line(msg: object, args: tuple[Any, ...]) -> str:
    try:
        return str(msg) % args if args else str(msg)
    except Exception:  # noqa: BLE001  (logging itself only prints such an error)
        return str(msg)


def log_fields(held: HeldJob) -> dict[str, object]:
    """Return what a log record about a job carries, the job's data not."""
    fields: dict[str, object] = {
        "job_id": held.document["_id"],
        "job_type": held.document["type"],
        "pool": held.pool,
        "attempt": held.attempt,
    }
    span = held.span
    return fields if span is None else fields | {"trace_id": span.trace_id, "span_id": span.span_id}


in_hand: ContextVar[HeldJob | None] = ContextVar("jobpool_in_hand", default=None)


def current_job() -> CurrentJob:
    """Return the job that the calling executor is running.

    Raises:
        PoolStateError: Not called from within an executor. (A thread that an
            executor started has its own context: hand it the job.)
    """
    held = in_hand.get()
    if held is None:
        raise PoolStateError("current_job() was called outside of an executor")
    return CurrentJob(held)
