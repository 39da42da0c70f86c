"""The same work by PyMongo alone, without promises: what the server allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo import UpdateOne, WriteConcern
from pymongo.collection import Collection

from ..store.claiming.claimed import ORDER
from ..store.indexes import CLAIM_INDEX

Jobs = Collection[dict[str, Any]]
BATCH = 500


def durable(jobs: Jobs) -> Jobs:
    """Return the collection with the write concern that jobpool pins."""
    return jobs.with_options(write_concern=WriteConcern("majority", j=True))


def due(type: str) -> dict[str, Any]:
    return {"state": "pending", "type": type, "run_at": {"$lte": datetime.now(UTC)}}


def claim(token: str) -> dict[str, Any]:
    return {
        "$set": {"state": "claimed", "claim": token, "pool": "raw", "lease_until": datetime.now(UTC)},
        "$inc": {"fence": 1},
    }


START = {
    "$set": {"state": "running", "max_attempts": 1},
    "$inc": {"attempts": 1},
    "$currentDate": {"started_at": True},
}


def finish(result: Any) -> dict[str, Any]:
    return {
        "$set": {"state": "succeeded", "result": result},
        "$currentDate": {"finished_at": True},
        "$unset": {"lease_until": ""},
    }


def floor(jobs: Jobs, type: str, result: Any = None) -> float:
    """Find, claim, start and finish everything due in batches, one thread, no execution; return the seconds.

    A result is written job by job in one bulk: each of a real pool would be another.
    """
    began = time.perf_counter()
    for number in range(1_000_000):
        found = jobs.find(due(type), {"_id": 1}).sort(ORDER).limit(BATCH).batch_size(BATCH + 1).hint(CLAIM_INDEX)
        ids = [document["_id"] for document in found]
        if not ids:
            break
        token = f"raw-{number}"
        held = {"_id": {"$in": ids}, "claim": token}
        jobs.update_many({"_id": {"$in": ids}, "state": "pending"}, claim(token))
        jobs.update_many({**held, "state": "claimed"}, START)
        if result is None:
            jobs.update_many({**held, "state": "running"}, finish(None))
        else:
            own = ({"_id": id, "claim": token, "state": "running"} for id in ids)
            jobs.bulk_write([UpdateOne(filter, finish(result)) for filter in own], ordered=False)
    return time.perf_counter() - began


def loop(jobs: Jobs, type: str) -> float:
    """Take jobs one by one with `find_one_and_update`, done with the same write; return the seconds."""
    done = {"$set": {"state": "succeeded", "pool": "raw"}, "$currentDate": {"finished_at": True}}
    began = time.perf_counter()
    while jobs.find_one_and_update(due(type), done, sort=ORDER, hint=CLAIM_INDEX) is not None:
        pass
    return time.perf_counter() - began


def insert(jobs: Jobs, documents: list[dict[str, Any]], batch: int) -> float:
    """Insert `documents` in batches; return the seconds."""
    began = time.perf_counter()
    for start in range(0, len(documents), batch):
        jobs.insert_many(documents[start : start + batch], ordered=False)
    return time.perf_counter() - began


def round_trip(jobs: Jobs, document: dict[str, Any], id: str) -> dict[str, float]:
    """Return the seconds of a durable insert, claim and start of one job with that id."""
    calls: dict[str, Callable[[], object]] = {
        "insert": lambda: jobs.insert_one({**document, "_id": id}),
        "claim": lambda: jobs.find_one_and_update({"_id": id}, claim(id)),
        "start": lambda: jobs.update_one({"_id": id, "claim": id}, START),
    }
    seconds = {}
    for name, call in calls.items():
        began = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - began
    return seconds
