"""What the model has taught, by the shortest way."""

from __future__ import annotations

from jobpool.job import Claim

from ..conftest import Jobs, MakeManager
from . import real
from .rules import RETRY, SUCCEEDED


def test_a_removed_job_does_not_answer_for_its_successor(make_manager: MakeManager, jobs: Jobs) -> None:
    """Its id was created again and its fence began anew: an old finish is not taken for the new claim's."""
    manager = make_manager()

    def started() -> Claim:
        manager.create(real.TYPE, id="x", max_attempts=2)
        claimed = real.claim(manager.store, "single", 1)
        claim = Claim("x", claimed.token, claimed.documents[0]["fence"])
        assert real.write(manager.store, "start", claim)
        return claim

    old = started()
    real.end_leases(jobs, "x")
    manager.store.reaping.reap()
    assert manager.remove("x")
    new = started()
    assert new.fence == old.fence
    assert real.write(manager.store, "finish", new, RETRY) is True
    assert real.write(manager.store, "finish", old, SUCCEEDED) is False
    assert real.write(manager.store, "finish", new, RETRY) is True, "its own is recognised"
