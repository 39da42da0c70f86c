"""Attempts whose executors completed their jobs in transactions of their own, and how they ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..current import log_fields
from ..errors import NotCommitted
from ..logs import bounded_logger_of
from ..names import shown
from ..outcome import Finish, Outcome
from ..progress import merged
from ..store import Store
from ..store.completing import Settled
from .held import Held

logger = bounded_logger_of(__name__)


@dataclass(frozen=True, slots=True)
class Completion:
    """That an executor has called `complete`: whether its job has succeeded is for its transaction to say.

    From now on nobody may write to the job in a statement with others: it
    would wait for that transaction; see `store.apart`.

    Attributes:
        finish: What is recorded when the transaction is committed.
        session: Of pymongo, with that transaction.
        uncommitted: Returns the outcome of an attempt that ended well without having committed.
    """

    finish: Finish
    session: Any
    uncommitted: Callable[[], Outcome]

    @property
    def open(self) -> bool:
        """Whether the transaction of the session is open, as far as this process knows."""
        in_transaction: bool = self.session.in_transaction
        return in_transaction


def being_completed(held: Held) -> bool:
    """Say whether a write to the job would have to wait for a transaction of its executor."""
    return held.completion is not None and held.completion.open


def not_committed(held: Held) -> NotCommitted:
    """Return the error of an attempt that ended well, and whose transaction was not committed."""
    return NotCommitted(
        f"attempt {held.attempt} of job {shown(held.claim.id)} called complete(session=...) and ended without "
        "committing that transaction, so nothing of it stands: commit before the executor returns, as "
        "session.with_transaction(callback) does"
    )


def settle(
    store: Store, held: Held, finish: Finish, completion: Completion, timeout: float | None = None
) -> tuple[Finish, bool]:
    """Find out how an attempt ended that called `complete`; if that was not committed, record `finish`.

    Returns: What stands, and whether that is so; False if the job is lost.

    Raises:
        StoreUnavailable: See `Completing.settle`.
    """
    outcome, said = finish.outcome, merged(completion.finish.report, finish.report)
    if outcome.name == "succeeded":
        outcome = completion.uncommitted()
    otherwise = replace(finish, outcome=outcome, report=said)
    settled = store.completing.settle(otherwise, late=finish.report, timeout=timeout)
    if settled is not Settled.COMPLETED:
        return otherwise, settled is Settled.FINISHED
    return completed(held, finish, completion), True


def completed(held: Held, finish: Finish, completion: Completion) -> Finish:
    """Return what stands when the transaction was committed, whatever its executor did behind that."""
    if finish.outcome.name != "succeeded":
        logger.warning(
            "job %s has succeeded: the transaction of its attempt %d was committed, and what its executor raised "
            "behind that (%s) is not recorded",
            *(shown(held.claim.id), held.attempt, finish.outcome.error.type if finish.outcome.error else "-"),
            extra=log_fields(held),
        )
    return completion.finish
