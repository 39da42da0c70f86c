"""What `jobpool.testing` exports and imports only at its first use."""

from .crashes import Kill, Killed, expire_leases, kill_between
from .replay import assert_idempotent, replay_twice
from .running import run_all
from .travelling import Travel, travel

__all__ = [
    "Kill",
    "Killed",
    "Travel",
    "assert_idempotent",
    "expire_leases",
    "kill_between",
    "replay_twice",
    "run_all",
    "travel",
]
