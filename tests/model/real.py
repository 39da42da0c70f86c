"""The operations of the rules, done by the real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jobpool.backoff import Backoff
from jobpool.errors import StoreUnavailable
from jobpool.job import Claim, JobError
from jobpool.outcome import Finish, Outcome
from jobpool.store import Store
from jobpool.store.claiming import Claimed, Request, Rule, Unknown
from jobpool.store.driver import run
from jobpool.store.transitions import Start

from ..conftest import Jobs
from .rules import FAILED, RETRY, SNOOZE, SUCCEEDED

#: Leases end when a test says so.
LEASE = 3600.0
HOURS = timedelta(hours=2)
TYPE = "a"
FAILURE = JobError("ValueError", "no", "trace", 1)
OUTCOMES = {
    SUCCEEDED: Outcome(),
    RETRY: Outcome(error=FAILURE, retry_after=0.0),
    FAILED: Outcome(error=FAILURE),
    SNOOZE: Outcome(snoozed=True, retry_after=0.0),
}


def write(store: Store, operation: str, claim: Claim, outcome: str = "") -> bool | None:
    """Let the store apply a holder's write; return whether it stands, None for unknown (and of a release)."""
    transitions = store.transitions
    if operation == "release":
        transitions.release([claim])
        return None
    try:
        if operation == "start":
            return claim in transitions.start([Start(claim, None, None)])
        if operation == "extend":
            return claim in transitions.extend([claim], LEASE)
        return claim in transitions.finish([Finish(claim, OUTCOMES[outcome])])
    except StoreUnavailable:
        return None


def claim(store: Store, strategy: str, limit: int, pool: str = "test", *, begun: bool = False) -> Claimed:
    """Claim as a pool does; `begun` starts the jobs as well."""
    rules = {TYPE: Rule(1, Backoff())} if begun else None
    return store.strategy(strategy).claim(Request((TYPE,), limit, pool, LEASE, rules))


def cancel(store: Store, id: str) -> None:
    """Cancel a job as somebody who holds nothing."""
    run(store.cancelling.cancel(id))


def disown(store: Store, claim: Claim) -> None:
    """Give back what a claim may have started."""
    store.transitions.disown([Unknown(claim.token, (claim.id,), 0.0), Unknown(claim.token, None, 0.0)])


def make_due(jobs: Jobs) -> None:
    """Let the time of every job have come, some hours ago."""
    jobs.update_many({}, {"$set": {"run_at": datetime.now(UTC) - HOURS}})


def end_leases(jobs: Jobs, id: str) -> None:
    """Let the lease of a job, if it has one, be over by the server's clock."""
    over = {"$set": {"lease_until": datetime.now(UTC) - HOURS}}
    jobs.update_one({"_id": id, "lease_until": {"$exists": True}}, over)


def is_live(stored: dict[str, Any]) -> bool:
    """Whether the document has a lease that is not over."""
    until = stored.get("lease_until")
    return until is not None and until > datetime.now(UTC)
