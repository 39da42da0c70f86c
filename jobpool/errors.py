"""The errors jobpool raises, one small tree.

Everything derives from `JobpoolError`. What a caller may conclude from each
stands in its docstring; the messages name the job, the limit and the value.
"""

from __future__ import annotations


class JobpoolError(Exception):
    """Base of all errors raised by jobpool."""


class InvalidJob(JobpoolError, ValueError):
    """A job's type, id, data or schedule cannot be accepted. Nothing was written."""


class InvalidData(JobpoolError, ValueError):
    """A job's data do not pass what its executor says of them. It was not called; the job fails at once."""


class InvalidConfiguration(JobpoolError, ValueError):
    """A setting is out of its range or contradicts another. Nothing was started."""


class UnknownType(JobpoolError, LookupError):
    """A type was asked for by name that has no executor here. Nothing was claimed."""


class DuplicateJob(JobpoolError):
    """A job with this id exists and ``on_duplicate="raise"`` was asked for.

    The stored job was not changed.

    Attributes:
        id: The id both jobs share.
        state: The state the stored job was seen in.
    """

    def __init__(self, id: str, state: str) -> None:
        super().__init__(f"job {id!r:.120} exists already, in state {state}; nothing was changed")
        self.id = id
        self.state = state


class QueueFull(JobpoolError):
    """As many jobs of a type are pending as may be, its ``max_pending``, and this one was not created.

    Attributes:
        type: The type.
        id: The id that the job would have.
        pending: How many jobs were pending when they were last counted.
        limit: How many may be.
        stored: How many jobs of the same call are stored already, or were before; of `create_many`.
    """

    def __init__(
        self, type: str, id: str, pending: int, limit: int, waited: float | None = None, stored: int | None = None
    ) -> None:
        after = "" if waited is None else f" after {waited:g} s"
        before = "" if stored is None else f" ({stored} jobs before it are stored)"
        super().__init__(
            f"{pending} jobs of type {type!r:.120} are pending{after}, max_pending is {limit}: job {id!r:.120} "
            f"was not created{before}; run more workers, create it later, or say on_full='wait' or 'drop'"
        )
        self.type, self.id, self.pending, self.limit, self.waited = type, id, pending, limit, waited
        self.stored = stored


class JobNotFound(JobpoolError, LookupError):
    """No job has this id: it was never created, or it was removed."""


class ScheduleNotFound(JobpoolError, LookupError):
    """No schedule has this name: it was never stored, or it was removed."""


class JobHeld(JobpoolError):
    """The job is claimed or running, or others wait for it, so it cannot be removed now. Nothing was changed."""


class WaitTimeout(JobpoolError, TimeoutError):
    """The job was not final when the time was over. It goes on regardless."""


class LeaseLost(JobpoolError):
    """The job was reaped or claimed again, so the write was refused.

    Nothing was written; the executor's effects stand, and another attempt
    may follow or may have run already.
    """


class StoreError(JobpoolError):
    """Base of what MongoDB, or the way to it, answered.

    Attributes:
        operation: The operation that failed, as metrics name it; empty if it was none in particular.
        kind: Why, in a word: timeout, network, not_primary, write_conflict; or
            authentication, rights, index, mismatch, disk, unstorable; or other.
        reason: Why, in words that hold nothing of a job: fit for logs; may be empty.
    """

    operation: str = ""
    kind: str = "other"
    reason: str = ""


class StoreUnavailable(StoreError):
    """MongoDB did not answer, or could not confirm, in time.

    A write *may or may not* have been applied. Every operation of jobpool can
    be repeated with the same arguments: what was applied is recognised.
    """


class StoreRefused(StoreError):
    """MongoDB refused the operation (rights, validation, a bad command). It was not applied."""


class OutcomeRefused(StoreRefused):
    """MongoDB refused what was to be stored: too large, or against the collection's own rules."""


class UnsupportedServer(StoreError):
    """The server is older than MongoDB 5.0, or lacks what the call needs. Nothing was written."""

    kind = "version"


class UnsupportedSchema(StoreError):
    """The jobs here need a newer jobpool than this one. Nothing was written, and nothing claimed."""

    kind = "version"


class IndexMismatch(StoreError):
    """An index of ours is not what it has to be, or another one takes its place; the message has the remedy.

    jobpool never drops an index by itself.
    """

    kind = "mismatch"


class NotCommitted(JobpoolError):
    """An executor called ``current_job().complete(session=...)`` and ended without committing that transaction.

    Nothing of the transaction stands, the success neither; the attempt failed.
    """


class PoolStateError(JobpoolError, RuntimeError):
    """The pool or manager is not in a state that allows the call."""


class ForkedProcess(PoolStateError):
    """The object was made in the parent of this forked process. Make a new one here."""


class ProcessDied(JobpoolError):
    """The child process that ran an isolated executor ended before it had answered; the message says by what.

    How far the executor came is not known. Nothing but this attempt is affected.
    """


class EmbeddedMongoError(JobpoolError, RuntimeError):
    """The embedded mongod could not be found, started or kept."""
