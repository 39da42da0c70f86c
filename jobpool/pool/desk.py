"""The desk of a pool: takes what executors say of their jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ..data import DOCUMENT_LIMIT, canonical, check_size, encoded_size
from ..errors import LeaseLost, PoolStateError
from ..names import shown
from ..progress import Reporter
from .completion import Completion, being_completed, not_committed
from .ending import failure
from .flag import Flag
from .held import Held, Stage, finish_of
from .host import Host
from .results import outcome_with, room_for_result


class PoolDesk:
    """See `current.Desk`. Threads: any; `_lock` guards who makes the reporter of a job.

    Args:
        news: Gets a job of which there is something to be written.
    """

    def __init__(self, host: Host, news: Callable[[Held], None]) -> None:
        self._host = host
        self._lock = threading.Lock()
        self.news = news

    def open(self, held: Held) -> Reporter:
        """Return the reporter of `held`, which keeps as many lines as its executor asks for."""
        with self._lock:  # an executor may have threads of its own
            if held.reporter is None:
                held.reporter = Reporter(self._host.executors[held.type].log_lines)
            return held.reporter

    def alarm(self) -> Flag:
        """Return a new alarm."""
        return Flag()

    def complete(self, held: Held, result: Any, session: Any) -> Coroutine[Any, Any, None] | None:
        """Write the success of `held` in the transaction of `session`; see `CurrentJob.complete`."""
        host = self._host
        executor = host.executors[held.type]
        outcome = outcome_with(result, room_for_result(held, host.data_limit), held)
        last = held.completion
        if last is not None and last.finish.report is not None and held.reporter is not None:
            held.reporter.put_back(last.finish.report)  # the transaction is tried again
        finish = finish_of(held, outcome, executor)
        held.completion = Completion(finish, session, lambda: failure(not_committed(held), held, executor, host))
        # Only now: whoever gives the attempt up tells it first, so either we see that or its recorder sees us.
        check_held(held)
        return host.store.completing.complete(finish, session)

    def save_checkpoint(self, held: Held, value: Any) -> None:
        """Store `value` under the claim; see `CurrentJob.save_checkpoint` for the errors."""
        if being_completed(held):
            raise PoolStateError(
                f"job {shown(held.claim.id)}: a checkpoint would wait for the transaction that completes the job; "
                "save it before, or in another attempt"
            )
        canonical(value, "checkpoint")
        limit = self._host.data_limit
        if 3 * limit > DOCUMENT_LIMIT:  # both and a result might not fit
            limit = min(limit, DOCUMENT_LIMIT - encoded_size(held.document["data"], "data"))
        check_size(value, limit, "checkpoint")
        if not self._host.store.transitions.save_checkpoint(held.claim, value):
            raise LeaseLost(f"job {shown(held.claim.id)} is not held any more; the checkpoint was not saved")


def check_held(held: Held) -> None:
    """Raise what the executor of `held` was told; `LeaseLost` if its attempt is over for the pool."""
    told = held.told
    if told is not None:
        raise type(told)(*told.args)
    if held.lost or held.stage is not Stage.RUNNING:
        raise LeaseLost(f"job {shown(held.claim.id)} is not held any more; it was not completed")
