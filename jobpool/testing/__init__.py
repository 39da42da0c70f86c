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

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .crashes import Kill, Killed, expire_leases, kill_between
    from .plugin import MakeManager
    from .replay import assert_idempotent, replay_twice
    from .running import run_all
    from .travelling import Travel, travel

#: In which modules they are, imported at first use: pytest imports this package, with the plugin, in every run.
_LATER = {
    "Kill": "crashes",
    "Killed": "crashes",
    "MakeManager": "plugin",
    "Travel": "travelling",
    "assert_idempotent": "replay",
    "expire_leases": "crashes",
    "kill_between": "crashes",
    "replay_twice": "replay",
    "run_all": "running",
    "travel": "travelling",
}

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
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
