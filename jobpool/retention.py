"""How long final jobs are kept: for ever unless somebody says otherwise, as ids keep their meaning only so."""

from __future__ import annotations

from dataclasses import dataclass

from .job import State
from .names import check_seconds

#: Seconds; what is kept for longer is kept for ever.
LONGEST = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds, by how a job of a type ended; None is for ever.

    Attributes:
        result: Of the result alone.
    """

    succeeded: float | None = None
    failed: float | None = None
    cancelled: float | None = None
    result: float | None = None

    def of(self, state: State) -> float | None:
        """Return for how many seconds a job in that state is kept."""
        kept: float | None = getattr(self, state.value)
        return kept


def retention_of(
    succeeded: float | None, failed: float | None, cancelled: float | None, result: float | None
) -> Retention | None:
    """Return the retention that an executor asks for; None if it keeps everything, which costs nothing.

    Raises:
        InvalidConfiguration: A number is out of range.
    """
    named = {
        "keep_succeeded": succeeded,
        "keep_failed": failed,
        "keep_cancelled": cancelled,
        "keep_result": result,
    }
    for name, seconds in named.items():
        if seconds is not None:
            check_seconds(seconds, name, 0, LONGEST)
    if all(seconds is None for seconds in named.values()):
        return None
    return Retention(succeeded, failed, cancelled, result)
