"""What the model has taught, by the shortest way."""

from __future__ import annotations

from jobpool.job import Claim

from ..conftest import Jobs, MakeManager
from . import real
from .rules import RETRY, SNOOZE, SUCCEEDED


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


def test_a_snooze_is_recognised_after_the_next_one(make_manager: MakeManager, jobs: Jobs) -> None:
    """Its reply was lost, and before it is repeated another pool has claimed the job and snoozes as well."""
    manager = make_manager()
    manager.create(real.TYPE, id="x")
    claims = []
    for number in range(3):
        real.make_due(jobs)
        claimed = real.claim(manager.store, "single", 1, begun=True)
        claims.append(Claim("x", claimed.token, number + 1))
        assert real.write(manager.store, "finish", claims[-1], SNOOZE) is True
    for claim in claims:
        assert real.write(manager.store, "finish", claim, SNOOZE) is True
    job = manager.get("x")
    assert (job.attempts, job.snoozes) == (0, 3)
