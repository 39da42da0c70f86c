"""Steering: what all pools do, wherever they run."""

from __future__ import annotations

from ..pauses import Paused
from ..store.driver import run
from .base import Base


class Steering(Base):
    """Pauses and resumes."""

    def pause(self, *types: str, reason: str | None = None) -> Paused:
        """Have no job started any more of `types`, of any type if none are given; return what is paused then.

        It holds for every pool on this collection, running or started later,
        within a second of this call's return, until `resume`. What runs goes
        on. What a pool has claimed and not started is given back, no attempt
        spent. Jobs are created as always, and wait. A pool that MongoDB does not
        answer to obeys when it does.

        `run` and `run_all`, called by hand, do not look at it.

        Args:
            types: Whether this manager has executors for them or not. The aliases of a
                type are paused with it.
            reason: For those who look: up to 500 characters. It replaces an older one.

        What was paused before has been since then: repeating changes nothing.

        Raises:
            StoreUnavailable: They may or may not be paused. Repeating is safe.
        """
        return run(self._asking.pause(types, reason))

    def resume(self, *types: str) -> Paused:
        """End the pauses of `types`, all pauses if none are given; return what is paused then.

        A type does not run while everything is paused, whether it is besides or not.
        It goes on within a second. What is not paused stays as it is.

        Raises:
            StoreUnavailable: They may or may not be resumed. Repeating is safe.
        """
        return run(self._asking.resume(types))

    def paused(self) -> Paused:
        """Return what is paused, since when and why.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(self._asking.paused())
