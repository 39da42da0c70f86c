"""Which jobs an operation would change: what its own statements ask for, and a look before them as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ..errors import InvalidConfiguration
from ..job import FINAL, HELD, State
from .again import RETRYABLE, earlier, retryable, revivable
from .cancelling import TO_BE_ASKED
from .cascading import NOT_STARTED
from .connection import Connection
from .documents import Document
from .purging import ended_before

#: What may be done to many jobs.
OPERATIONS = ("retry", "revive", "cancel", "snooze", "remove", "purge")
_CANCELLABLE = (*NOT_STARTED["$in"], State.RUNNING.value)


class Condition(NamedTuple):
    """What must hold of a job, and the states in which it may; None for all."""

    filter: Document
    states: Sequence[str] | None = None


async def condition_of(
    connection: Connection, to: str, *, succeeded: bool, run_at: datetime | None, older_than: float | None
) -> Condition:
    """Return when a job would be changed; see `JobManager.pages` for what is given.

    Raises:
        InvalidConfiguration: There is no such operation, or it needs what is not given.
    """
    if to == "retry":
        return Condition(retryable(), RETRYABLE)
    if to == "revive":
        found = revivable(succeeded=succeeded)
        return Condition(found, found["state"]["$in"])
    if to == "cancel":
        return Condition({"$or": [{"state": NOT_STARTED}, TO_BE_ASKED]}, _CANCELLABLE)
    if to == "remove":
        return Condition({"state": {"$nin": sorted(HELD)}})
    if to == "snooze" and run_at is not None:
        return Condition(earlier(run_at), (State.PENDING.value,))
    if to == "purge" and older_than is not None:
        latest = await connection.now_by_its_answer() - timedelta(seconds=older_than)
        return Condition(ended_before(latest), sorted(FINAL))
    if to in OPERATIONS:
        raise InvalidConfiguration("to='snooze' needs run_at=, to='purge' needs older_than=")
    raise InvalidConfiguration(f"to must be one of {', '.join(OPERATIONS)}, not {to!r:.60}")
