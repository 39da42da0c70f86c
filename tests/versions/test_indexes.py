"""Indexes that a newer version adds are built while older ones work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import NEW, OLD, Start
from .test_side_by_side import NEW_INDEXES, OLD_INDEXES, ran

#: In the collection while indexes are built on it.
MANY = 100_000
Client = MongoClient[dict[str, Any]]


@contextmanager
def builds_that_take_long(client: Client) -> Iterator[None]:
    """Hold up every build of an index as long as the context lasts."""
    point = "hangAfterStartingIndexBuild"
    client.admin.command({"configureFailPoint": point, "mode": "alwaysOn"})
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": point, "mode": "off"})


def building(jobs: Jobs) -> bool:
    """Say whether an index of the collection is being built."""
    command = {"command.createIndexes": jobs.name, "command.$db": jobs.database.name}
    found = jobs.database.client.admin.aggregate([{"$currentOp": {}}, {"$match": command}])
    return any(True for _ in found)


def fill(jobs: Jobs) -> None:
    """Store many jobs of a type that nobody runs here."""
    now = datetime.now(UTC)
    job = {"type": "other", "data": None, "state": "pending", "priority": 0, "run_at": now, "attempts": 0}
    job |= {"max_attempts": None, "fence": 0, "created_at": now}
    jobs.insert_many(({"_id": f"many {n}", **job} for n in range(MANY)), ordered=False)


def test_claims_go_on_while_newer_indexes_are_built_on_a_large_collection(
    start: Start, make_manager: MakeManager, jobs: Jobs, client: Client
) -> None:
    old = start(OLD, "worker")
    assert set(jobs.index_information()) == OLD_INDEXES
    fill(jobs)
    newer, another = make_manager(), make_manager()
    with builds_that_take_long(client):
        build = threading.Thread(target=newer.ensure_indexes)
        build.start()
        until(lambda: building(jobs))
        assert int(start(OLD, "produce", "0", "50").line()) == 50
        assert another.create_many({"type": "quick", "data": n} for n in range(100)).inserted == 50, (
            "nor do others"
        )
        until(lambda: jobs.count_documents({"state": "succeeded"}) == 100)
        assert build.is_alive(), "all that while they were built"
    # And in the very build: as many as it takes.
    created = 100
    while build.is_alive():
        another.create_many({"type": "quick", "data": n} for n in range(created, created + 20))
        created += 20
    build.join(PATIENCE)
    assert set(jobs.index_information()) == NEW_INDEXES
    until(lambda: jobs.count_documents({"state": "succeeded"}) == created)
    old.end()
    workers = start(OLD, "worker"), start(NEW, "worker")  # an older one starts beside them as well
    ids = newer.create_many({"type": "quick", "data": -n} for n in range(1, 51)).ids
    newer.wait_many(ids, PATIENCE)
    for worker in workers:
        worker.end()
    assert len(ran(jobs)) == len({attempt["job"] for attempt in ran(jobs)}) == created + 50
