"""For the tests of those who use jobpool: a server and managers, inline runs, time travel, crashes, replays.

With the extra ``testing`` pytest has the fixtures `jobpool_server`,
`jobpool_database` and `jobpool_manager` (see `jobpool.testing.plugin`). The
functions here work on any manager, and without pytest:

- `run_all` runs what is due in the calling thread, retries too if asked;
- `travel` makes jobs of the future due;
- `kill_between` leaves a job as a process does that is killed between two
  steps, and `expire_leases` takes it back without waiting for its lease;
- `replay_twice` and `assert_idempotent` run a job twice, as after a crash.

They are made for tests on a database of their own, not for production.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .late import (
        Kill,
        Killed,
        Travel,
        assert_idempotent,
        expire_leases,
        kill_between,
        replay_twice,
        run_all,
        travel,
    )
    from .plugin import MakeManager

__all__ = [
    "Kill",
    "Killed",
    "MakeManager",
    "Travel",
    "assert_idempotent",
    "expire_leases",
    "kill_between",
    "replay_twice",
    "run_all",
    "travel",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Import it: pytest imports this package, with the plugin, in every run."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "MakeManager":
            from . import plugin as module  # needs pytest
        else:
            from . import late as module
        value = globals()[name] = getattr(module, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
