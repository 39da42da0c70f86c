"""Creating jobs: at most once per id."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from ..errors import DuplicateJob, StoreUnavailable
from ..job import REVIVABLE, Job, State
from ..names import shown
from .connection import Connection
from .documents import LIFE_MARKS, MAX_ENDS, Document, to_job
from .driver import Session
from .linking import Linking

DUPLICATE_KEY = 11000
KEEP, REVIVE, RAISE = "keep", "revive", "raise"
ON_DUPLICATE = (KEEP, REVIVE, RAISE)

_REVIVABLE = {"$in": sorted(REVIVABLE)}
#: How the lives before ended. Whoever recorded the last one may not know yet that this stands: its reply was
#: lost, or it was a commit of the executor's own. Its token alone, on a job that has ended, says so; the next
#: claim would take that away.
_ENDS: Document = {
    "$let": {
        # By its type as well: somebody else may have written it, and an error would stop all of a statement.
        "vars": {"ends": {"$cond": [{"$isArray": "$ends"}, "$ends", []]}},
        "in": {
            "$cond": [
                {"$eq": [{"$type": "$claim"}, "string"]},
                {"$slice": [{"$concatArrays": ["$$ends", [{"claim": "$claim", "state": "$state"}]]}, -MAX_ENDS]},
                "$ends",
            ]
        },
    }
}


@dataclass(frozen=True, slots=True)
class BatchCreated:
    """How one batch of creates ended, by the index in the batch."""

    duplicates: frozenset[int]
    revived: int


class Creation:
    """The store operations that make jobs.

    Lost replies: ids are made before the first send, so a create that is sent
    again meets itself. The driver repeats each of these statements once by
    itself where the server keeps transaction numbers (not on a standalone).
    """

    def __init__(self, connection: Connection, linking: Linking) -> None:
        self._connection = connection
        self._linking = linking
        self._call = connection.driver.call
        self._jobs = connection.jobs

    async def create(self, document: Document, on_duplicate: str, session: Session | None) -> tuple[Job, str]:
        """Store one job and return it with the result: inserted, duplicate or revived.

        Raises:
            DuplicateJob: It exists and `on_duplicate` is ``raise``.
            StoreUnavailable: It may or may not be stored. Creating it again is safe.
            PyMongoError: With a session, the driver's error as it is, for the
                retry of the transaction.
        """
        what = f"creating job {shown(document['_id'])}"
        with self._connection.call("create", what=what, translated=session is None):
            if "after" in document:
                return await self._create_waiting(document, on_duplicate, session)
            if await self._insert(document, session):
                return to_job(document, created=True), "inserted"
            return await self._meet(document, on_duplicate, session)

    async def _create_waiting(
        self, document: Document, on_duplicate: str, session: Session | None
    ) -> tuple[Job, str]:
        """Create a job that waits for others; see `Linking`."""
        id = document["_id"]
        await self._linking.check({id: document["after"]}, session=session)
        if session is not None:
            document.pop("linking", None)
        if await self._insert(document, session):
            await self._linking.link([document], session)
            return to_job(document, created=True), "inserted"
        met = await self._meet(document, on_duplicate, session)
        if session is None:
            await self._linking.complete([id])
        return met

    async def _insert(self, document: Document, session: Session | None) -> bool:
        """Insert `document` and say whether it is new.

        Inside a transaction a duplicate-key error would end the transaction,
        so there the look comes first; whoever inserts between look and insert
        makes a write conflict, which the caller's transaction retries.
        """
        if session is not None and await self._exists(document["_id"], session):
            return False
        try:
            await self._call(self._jobs.insert_one, document, session=session)
        except DuplicateKeyError as error:
            if not _is_id(error.details):
                raise
            return False
        return True

    async def _exists(self, id: str, session: Session) -> bool:
        found = await self._call(self._jobs.find_one, {"_id": id}, {"_id": 1}, session=session)
        return found is not None

    async def _meet(self, document: Document, on_duplicate: str, session: Session | None) -> tuple[Job, str]:
        """Return the job that `document` met, after what `on_duplicate` asks for."""
        id = document["_id"]
        if on_duplicate == REVIVE:
            revived = await self._call(
                self._jobs.find_one_and_update,
                {"_id": id, "state": _REVIVABLE},
                revival(document["run_at"], document.get("trace")),
                session=session,
                return_document=ReturnDocument.AFTER,
            )
            if revived is not None:
                return to_job(revived), "revived"
        stored = await self._call(self._jobs.find_one, {"_id": id}, session=session)
        if stored is None:  # removed between our two looks
            raise StoreUnavailable(f"job {shown(id)} was removed while it was created; create it again")
        if on_duplicate == RAISE:
            raise DuplicateJob(id, stored["state"])
        return to_job(stored), "duplicate"

    async def create_many(
        self, documents: Sequence[Document], on_duplicate: str, session: Session | None
    ) -> BatchCreated:
        """Store a batch of jobs whose ids differ; see `create`.

        With ``raise`` nothing of the batch is inserted when one of it exists
        already, unless another producer comes in between.
        """
        what = f"creating {len(documents)} jobs from {shown(documents[0]['_id'])}"
        with self._connection.call("create", what=what, translated=session is None):
            waiting = {job["_id"]: job["after"] for job in documents if "after" in job}
            if waiting:
                await self._linking.check(waiting, [job["_id"] for job in documents], session)
            known: frozenset[int] = frozenset()
            if session is not None or on_duplicate == RAISE:
                known = await self._existing(documents, session)
                await self._refuse_duplicates(documents, known, on_duplicate, session)
            known |= await self._insert_many(documents, known, session)
            if waiting:
                await self._link_many(documents, known, session)
            await self._refuse_duplicates(documents, known, on_duplicate, session)
            revived = 0
            if on_duplicate == REVIVE and known:
                revived = await self._revive_many(documents, known, session)
        return BatchCreated(known, revived)

    async def check_after(
        self, after: Mapping[str, Collection[str]], here: Collection[str], session: Session | None
    ) -> None:
        """Raise `JobNotFound` if a job is to wait for one that neither exists nor is created with it.

        Args:
            after: By id, whom the jobs are to wait for.
            here: The ids of all jobs that are created with them.
        """
        with self._connection.call("create", what="looking for jobs to wait for", translated=session is None):
            await self._linking.check(after, here, session)

    async def _link_many(
        self, documents: Sequence[Document], known: frozenset[int], session: Session | None
    ) -> None:
        """Link what is new, and of the `known` what was left by a create that did not come to its end."""
        new = [job for index, job in enumerate(documents) if index not in known and "after" in job]
        await self._linking.link(new, session)
        if session is None:
            await self._linking.complete(
                [documents[index]["_id"] for index in known if "after" in documents[index]]
            )

    async def _existing(self, documents: Sequence[Document], session: Session | None) -> frozenset[int]:
        ids = [document["_id"] for document in documents]
        cursor = self._jobs.find({"_id": {"$in": ids}}, {"_id": 1}, session=session)
        found = {document["_id"] for document in await self._call(cursor.to_list)}
        return frozenset(index for index, id in enumerate(ids) if id in found)

    async def _insert_many(
        self, documents: Sequence[Document], known: frozenset[int], session: Session | None
    ) -> frozenset[int]:
        """Insert all but the `known`; return the indexes of those that exist already."""
        places = [index for index in range(len(documents)) if index not in known]
        if not places:
            return frozenset()
        try:
            new = [documents[index] for index in places]
            if session is not None:
                for document in new:
                    document.pop("linking", None)
            await self._call(self._jobs.insert_many, new, ordered=False, session=session)
        except BulkWriteError as error:
            failed = error.details["writeErrors"] if error.details else []
            if error.details.get("writeConcernErrors") or not all(map(_is_id, failed)):
                raise
            return frozenset(places[item["index"]] for item in failed)
        return frozenset()

    async def _refuse_duplicates(
        self,
        documents: Sequence[Document],
        known: frozenset[int],
        on_duplicate: str,
        session: Session | None,
    ) -> None:
        if on_duplicate != RAISE or not known:
            return
        id = documents[min(known)]["_id"]
        stored = await self._call(self._jobs.find_one, {"_id": id}, {"state": 1}, session=session)
        raise DuplicateJob(id, stored["state"] if stored else "removed")

    async def _revive_many(
        self, documents: Sequence[Document], known: frozenset[int], session: Session | None
    ) -> int:
        """Revive what is revivable of the duplicates; each may have another `run_at`."""
        by_run_at: dict[Any, list[str]] = {}
        for index in known:
            by_run_at.setdefault(documents[index]["run_at"], []).append(documents[index]["_id"])
        revived = 0
        for run_at, ids in by_run_at.items():
            update = revival(run_at, documents[0].get("trace"))  # of all the same
            filter: Document = {"_id": {"$in": ids}, "state": _REVIVABLE}
            answer = await self._call(self._jobs.update_many, filter, update, session=session)
            revived += answer.modified_count
        return revived


def revival(run_at: datetime, trace: Document | None = None) -> list[Document]:
    """Return the update that makes a job pending again, in the trace of who asks for it."""
    begin: Document = {"state": State.PENDING.value, "run_at": run_at, "attempts": 0, "ends": _ENDS}
    if trace:
        return [{"$set": {**begin, "trace": {"$literal": trace}}}, {"$unset": [*LIFE_MARKS]}]
    return [{"$set": begin}, {"$unset": [*LIFE_MARKS, "trace"]}]


def _is_id(details: Any) -> bool:
    """Say whether a write error is a duplicate `_id`, and not of a unique index that a user added."""
    return (
        bool(details) and details.get("code") == DUPLICATE_KEY and list(details.get("keyPattern", ())) == ["_id"]
    )
