"""Checking a whole deployment, for threads."""

from __future__ import annotations

from collections.abc import Collection

from ..checkup import Checkup
from ..store.driver import run
from .base import Base


class Checking(Base):
    """Looks at everything that may be wrong."""

    def check(
        self, *, only: Collection[str] = (), skip: Collection[str] = (), timeout: float | None = None
    ) -> Checkup:
        """Look at server, collection, indexes, jobs and pools for all that loses jobs, or lets them stick.

        Nothing is created or changed, not even an index. Some fifty checks, each by an
        index or on a bounded part of the jobs, are made one after the other: a second or so
        in all. What this user may not see is skipped, with the right it takes. What
        executors are registered here counts as known; what runs is asked of the pools.

        Args:
            only: Names of checks (``topology.lag``) or of their subjects (``topology``); all if empty.
            skip: The same, to be left out.
            timeout: Seconds for each check; that of the manager if None.

        Raises:
            InvalidConfiguration: There is no check of such a name, or none is left.
            StoreUnavailable: MongoDB does not answer, or did so no more in the middle. That members of a replica
                set answer and none is primary is a finding instead.
        """
        return run(self.store.examining.examine(self.executors, only=only, skip=skip, timeout=timeout))
