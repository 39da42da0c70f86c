"""What a job's snapshot knows of the manager it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from .errors import PoolStateError

if TYPE_CHECKING:
    from .job import Job

_T = TypeVar("_T", bound="Waitable")


class Manager(Protocol):
    """A `JobManager`, as a snapshot sees it."""

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it."""


class Waitable:
    """The base of `Job`: it remembers its manager beside the fields of the dataclass.

    As it is no field, a job is compared, shown, pickled and turned into a dict without it.
    """

    __slots__ = ("_manager",)
    _manager: Manager
    id: str

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until the job is final and return it as it is then; see `JobManager.wait`.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Raises:
            WaitTimeout: It is not final yet; it goes on regardless.
            JobNotFound: It was removed.
            PoolStateError: This snapshot came from no manager, or from one that is closed.
        """
        manager: Manager | None = getattr(self, "_manager", None)
        if manager is None:
            raise PoolStateError(
                "this Job came from no JobManager (it was made by hand, copied or unpickled): "
                "use JobManager.wait(job.id)"
            )
        return manager.wait(self.id, timeout)


def remember(job: _T, manager: Manager) -> _T:
    """Return `job` after it was told its manager: the one thing that changes in a frozen snapshot."""
    object.__setattr__(job, "_manager", manager)
    return job
