"""A deployment without a fault, into which the tests of checks plant one; and what is not well there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection

from jobpool import JobManager
from jobpool.checkup import Checkup, Finding
from jobpool.installed import version
from jobpool.store.documents import new_document

from .conftest import MakeManager

Jobs = Collection[dict[str, Any]]
#: What is so of every embedded server: there is one.
ALONE = ("topology.majority", "warning")


def now(seconds: float = 0) -> datetime:
    """Return an instant that many seconds from now. The server is on this machine."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def job(id: str, without: Iterable[str] = (), **fields: Any) -> dict[str, Any]:
    """Return the document of a pending job of type ``a``, changed."""
    made = new_document(
        id=id, type="a", data=1, priority=0, run_at=now(), max_attempts=None, created_at=now(-3600)
    )
    return {name: value for name, value in {**made, **fields}.items() if name not in without}


def held(id: str, **fields: Any) -> dict[str, Any]:
    """Return the document of a running job."""
    running = {
        "state": "running",
        "claim": "p1.x",
        "pool": "p",
        "lease_until": now(30),
        "started_at": now(),
        "attempts": 1,
    }
    return job(id, **{**running, **fields})


def waiting(id: str, *after: str, **fields: Any) -> dict[str, Any]:
    """Return the document of a job that waits for others."""
    return job(id, **{"state": "waiting", "after": list(after), "waits_for": list(after), **fields})


def pool(id: str = "p1", *types: str, **fields: Any) -> dict[str, Any]:
    """Return the word of a living pool that runs `types`, or ``a``."""
    said = {
        "_id": id,
        "name": "web",
        "host": "here",
        "pid": 7,
        "types": list(types or ("a",)),
        "threads": 4,
        "rates": [],
        "version": version(),
        "state": "running",
        "aliases": [],
        "limits": [],
        "lease": 30.0,
        "since": now(-3600),
        "seen_at": now(-1),
        "fresh_until": now(30),
        "speaks_every": 30.0,  # it is not silent however long a test takes
    }
    return {**said, **fields}


def bad(checkup: Checkup) -> list[tuple[str, str]]:
    """Return names and levels of all that is not well, sorted; without what is so of every embedded server."""
    wrong = [(one.check, one.level) for one in checkup.findings if one.level != "ok"]
    return sorted(one for one in wrong if one != ALONE)


def deployment(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """Return a manager of a deployment with indexes, one pool that lives, and no fault."""
    manager = make_manager()
    manager.ensure_indexes()
    jobs.database["jobs.pools"].insert_one(pool())
    return manager


def only(checkup: Checkup, check: str, level: str) -> Finding:
    """Return the one finding that is not well, which has to be this."""
    assert bad(checkup) == [(check, level)], bad(checkup)
    (found,) = (one for one in checkup.of(level) if one.check == check)
    assert found.text
    assert found.remedy
    return found
