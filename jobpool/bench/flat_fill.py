"""Filling a collection with jobs that nobody is to run: finished ones, and ones that are due another day."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import WriteConcern
from pymongo.errors import OperationFailure

from ..ids import PREFIX
from ..manager import JobManager
from ..store.documents import new_document
from .bench import Bench, some_jobs
from .proof import expect
from .raw import Jobs

Document = dict[str, Any]
#: Makes the document of a number.
Make = Callable[[int], Document]

#: Documents of one insert.
INSERT = 2_000
#: While the server stores the documents of one thread, another makes its next.
FILLERS = 4
SAY_EVERY = 100 * INSERT
#: From the fill to when the first scheduled job is due: longer than any run.
AHEAD = timedelta(days=1)


def add_finished(bench: Bench, manager: JobManager, count: int) -> None:
    """Add so many finished jobs, each like one that a pool has finished there already."""
    like = bench.raw(manager).find_one({"state": "succeeded"})
    if like is None:
        raise ValueError("no job has been finished there yet")
    _insert(bench, manager, count, lambda _: {**like, "_id": _fresh_id()})


def add_scheduled(bench: Bench, manager: JobManager, count: int, types: list[str], priorities: int) -> None:
    """Add so many jobs that are due in a day or later, spread over types and priorities."""
    now, data = datetime.now(UTC), some_jobs(1)[0]["data"]

    def make(number: int) -> Document:
        return new_document(
            id=_fresh_id(),
            type=types[number % len(types)],
            data=data,
            priority=number // len(types) % priorities,
            run_at=now + AHEAD + timedelta(milliseconds=number),
            max_attempts=None,
            created_at=now,
        )

    _insert(bench, manager, count, make)


def _fresh_id() -> str:
    """Return an id like the hash of a job's data: anywhere in the index, not at its end."""
    return PREFIX + secrets.token_hex(32)


def _insert(bench: Bench, manager: JobManager, count: int, make: Make) -> None:
    """Insert so many documents, fast; return when they are as durable as all that jobpool writes."""
    durable = bench.raw(manager)
    before = durable.estimated_document_count()
    fast = durable.with_options(write_concern=WriteConcern(1))
    with ThreadPoolExecutor(FILLERS) as threads:
        for first, last in threads.map(
            lambda first: _insert_some(fast, first, count, make), range(0, count, INSERT)
        ):
            if first and first % SAY_EVERY == 0:
                bench.progress.say(f"{last:,} of {count:,} jobs added")
    # What comes after all of them is durable only when they are.
    durable.insert_one({"_id": "mark"})
    durable.delete_one({"_id": "mark"})
    with suppress(OperationFailure):  # not every user may; a checkpoint of all this is not to fall into a drain
        bench.client.admin.command("fsync")
    added = durable.estimated_document_count() - before
    expect(added == count, f"{added:,} jobs were added, not {count:,}")


def _insert_some(jobs: Jobs, first: int, count: int, make: Make) -> tuple[int, int]:
    last = min(first + INSERT, count)
    jobs.insert_many([make(number) for number in range(first, last)], ordered=False)
    return first, last
