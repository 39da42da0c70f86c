"""Changing: jobs are cancelled and removed by others than their holders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..job import Job, State
from ..names import MAX_ID, check_name
from ..store.driver import run
from .asking import Selected
from .base import Base


class Changing(Base):
    """Cancels and removes jobs."""

    def cancel(self, id: str) -> Job:
        """Cancel a job that is pending and return it; its state says whether it was."""
        id = check_name(id, "id", longest=MAX_ID)
        self.store.ready()
        return self.store.queries.cancel(id)

    def remove(self, id: str) -> bool:
        """Delete a job and return whether it was there. Its id may be created, and run, again.

        Raises:
            JobHeld: It is claimed or running.
        """
        return run(self._asking.remove(id))

    def remove_many(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        all: bool = False,
    ) -> int:
        """Delete the jobs meant that are neither claimed nor running; return how many.

        Args:
            all: Must be True to delete without any other argument.
        """
        selected: Selected = {"type": type, "state": state, "ids": ids, "since": since, "until": until}
        return run(self._asking.remove_many(all=all, **selected))
