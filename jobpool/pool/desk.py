"""The desk of a pool: takes what executors say of their jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..data import DOCUMENT_LIMIT, canonical, check_size, encoded_size
from ..errors import LeaseLost
from ..names import shown
from ..progress import Reporter
from .flag import Flag
from .held import Held
from .host import Host


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

    def save_checkpoint(self, held: Held, value: Any) -> None:
        """Store `value` under the claim; see `CurrentJob.save_checkpoint` for the errors."""
        canonical(value, "checkpoint")
        limit = self._host.data_limit
        if 3 * limit > DOCUMENT_LIMIT:  # both and a result might not fit
            limit = min(limit, DOCUMENT_LIMIT - encoded_size(held.document["data"], "data"))
        check_size(value, limit, "checkpoint")
        if not self._host.store.transitions.save_checkpoint(held.claim, value):
            raise LeaseLost(f"job {shown(held.claim.id)} is not held any more; the checkpoint was not saved")
