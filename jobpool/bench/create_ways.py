"""The ways to store jobs that `create` compares: those of jobpool, and those of PyMongo alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from ..manager import MIB, JobManager, document_of
from ..request import request_of
from .bench import Bench
from .proof import expect

Document = dict[str, Any]
#: What one thread does with its share.
Work = Callable[[Bench, JobManager, Sequence[Document]], None]

_DUPLICATE_KEY = 11000


@dataclass(frozen=True)
class Way:
    """A way to store jobs.

    Attributes:
        name: What is called.
        work: What one thread does with its share.
        raw: Whether its share are documents, made before the time is taken; else mappings for `JobManager`.
    """

    name: str
    work: Work
    raw: bool = False


def documents(jobs: Sequence[Document]) -> list[Document]:
    """Return the very documents that jobpool makes of `jobs`."""
    now = datetime.now(UTC)
    return [document_of(request_of(job, MIB), now) for job in jobs]


def create(bench: Bench, manager: JobManager, jobs: Sequence[Document]) -> None:  # noqa: ARG001
    """Create one by one."""
    for job in jobs:
        manager.create(job)


def insert_one(bench: Bench, manager: JobManager, given: Sequence[Document]) -> None:
    """Insert one by one; read what exists, as `create` does to return it."""
    collection = bench.raw(manager)
    for document in given:
        try:
            collection.insert_one(document)
        except DuplicateKeyError:
            collection.find_one({"_id": document["_id"]})


def create_many(batch: int) -> Work:
    """Create in batches."""

    def work(bench: Bench, manager: JobManager, jobs: Sequence[Document]) -> None:  # noqa: ARG001
        manager.create_many(list(jobs), batch_size=batch)

    return work


def insert_many(batch: int) -> Work:
    """Insert in batches; pass over what exists."""

    def work(bench: Bench, manager: JobManager, given: Sequence[Document]) -> None:
        collection = bench.raw(manager)
        for part in _batches(given, batch):
            try:
                collection.insert_many(part, ordered=False)
            except BulkWriteError as error:
                failed = (error.details or {}).get("writeErrors", ())
                expect(all(item["code"] == _DUPLICATE_KEY for item in failed), "an insert was refused")

    return work


def in_transactions(
    store: Callable[[Bench, JobManager, list[Document], ClientSession], object], batch: int
) -> Work:
    """Store in a transaction per batch, as durably as all else."""

    def work(bench: Bench, manager: JobManager, given: Sequence[Document]) -> None:
        with bench.client.start_session() as session:
            for part in _batches(given, batch):
                session.with_transaction(
                    lambda session, part=part: store(bench, manager, part, session),  # type: ignore[misc]
                    write_concern=WriteConcern("majority", j=True),
                )

    return work


def create_in(bench: Bench, manager: JobManager, jobs: list[Document], session: ClientSession) -> None:  # noqa: ARG001
    """Create within the transaction of `session`."""
    if len(jobs) == 1:
        manager.create(jobs[0], session=session)
    else:
        manager.create_many(jobs, session=session, batch_size=len(jobs))


def insert_in(bench: Bench, manager: JobManager, given: list[Document], session: ClientSession) -> None:
    """Insert within the transaction of `session`."""
    if len(given) == 1:
        bench.raw(manager).insert_one(given[0], session=session)
    else:
        bench.raw(manager).insert_many(given, ordered=False, session=session)


def _batches(given: Sequence[Document], size: int) -> Iterator[list[Document]]:
    for start in range(0, len(given), size):
        yield list(given[start : start + size])
