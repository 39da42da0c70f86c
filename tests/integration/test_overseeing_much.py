"""Overseeing a large collection: what it costs the server is bounded, whatever is in there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo
from jobpool.overview import Finished
from jobpool.store import sizes

MANY = 100_000
TYPES = 5


@pytest.fixture(scope="module")
def large(server: EmbeddedMongo, client: MongoClient[dict[str, Any]]) -> Iterator[JobManager]:
    """A manager of 100,000 due and 100,000 failed jobs."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    now = datetime.now(UTC)
    with JobManager(name, uri=server.uri) as manager:
        manager.create_many({"type": f"t{n % TYPES}", "data": n} for n in range(MANY))
        for first in range(0, MANY, 10_000):
            client[name]["jobs"].insert_many(
                {
                    "_id": f"failed{n}",
                    "type": f"t{n % TYPES}",
                    "state": "failed",
                    "attempts": 1,
                    "finished_at": now - timedelta(seconds=n % 1000),
                    "error": {"type": "ValueError", "message": f"no {n}"},
                }
                for n in range(first, first + 10_000)
            )
        yield manager
    client.drop_database(name)


def test_a_look_at_what_goes_on_reads_a_handful_of_keys(
    large: JobManager, client: MongoClient[dict[str, Any]]
) -> None:
    """A live view looks once a second."""
    database = client[large.store.name.partition(".")[0]]
    now = large.activity().at
    database.command("profile", 2)
    try:
        found = large.activity(limit=20, since=now - timedelta(seconds=1))
    finally:
        database.command("profile", 0)
    assert (found.documents, len(found.failures)) == (2 * MANY, 20)
    seen = list(database["system.profile"].find({"op": {"$in": ["command", "query"]}}))
    database.drop_collection("system.profile")
    names = [next(iter(one["command"])) for one in seen if "profile" not in one["command"]]
    assert sorted(names) == ["aggregate"] * 5 + ["find"] * 2
    assert sum(one.get("docsExamined", 0) for one in seen) <= TYPES * 20
    assert sum(one.get("keysExamined", 0) for one in seen) <= TYPES * 20 + TYPES * 10 + 300
    assert "COLLSCAN" not in {one.get("planSummary") for one in seen}


def test_a_large_collection_is_counted_in_rounds(large: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    at_once = large.stats(finished=True, told=told.append).finished
    assert told == [2 * MANY]
    monkeypatch.setattr(sizes, "WHOLE", 1000)
    monkeypatch.setattr(sizes, "ROUND", 40_000)
    told.clear()
    assert large.stats(finished=True, told=told.append).finished == at_once
    assert told == [40_000] * 5 + [0]
    assert at_once == {f"t{n}": Finished(failed=MANY // TYPES) for n in range(TYPES)}
