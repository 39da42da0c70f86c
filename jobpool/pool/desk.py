"""The desk of a pool: takes what executors say of their jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..data import canonical, check_size
from ..errors import LeaseLost
from ..names import shown
from ..progress import Reporter
from .flag import Flag
from .held import Held
from .host import Host


class PoolDesk:
    """See `current.Desk`. Threads: any; no state of its own.

    Args:
        news: Gets a job of which there is something to be written.
    """

    def __init__(self, host: Host, news: Callable[[Held], None]) -> None:
        self._host = host
        self.news = news

    def open(self, held: Held) -> Reporter:
        """Return a reporter that keeps as many lines as the executor of `held` asks for."""
        return Reporter(self._host.executors[held.type].log_lines)

    def alarm(self) -> Flag:
        """Return a new alarm."""
        return Flag()

    def save_checkpoint(self, held: Held, value: Any) -> None:
        """Store `value` under the claim; see `CurrentJob.save_checkpoint` for the errors."""
        canonical(value, "checkpoint")
        check_size(value, self._host.data_limit, "checkpoint")
        if not self._host.store.transitions.save_checkpoint(held.claim, value):
            raise LeaseLost(f"job {shown(held.claim.id)} is not held any more; the checkpoint was not saved")
