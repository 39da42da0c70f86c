"""Jobs that are due again, or at another time than they were: retried, revived, snoozed by who does not hold them.

Every statement is conditional on the state that it leaves, so whoever repeats
it after a lost reply, or meets a job that somebody else has changed meanwhile,
changes nothing more. A job that a pool holds is left alone.

A job that failed because one that it was to run after did so (see `followers`)
is not simply due when it is retried: it waits again. `linking` says so until
those that it waits for know of it, see `linking`; if one of these has still
failed, that is left to the pools, a minute later, so that who retries both,
one by one or many, in whatever order, gets both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from ..errors import JobNotFound
from ..job import REVIVABLE, Brief, Job, Retried, State
from ..names import shown
from .connection import Connection
from .creation import revival
from .documents import Document, to_job
from .followers import ROUND, Followers, chunks, ids_waited_for
from .indexes import BY_ID
from .linking import LATER, Linking
from .pages import Pages
from .queries import Selection

RETRYABLE = (State.FAILED.value, State.PENDING.value)
FAILED: Document = {"state": State.FAILED.value}
#: Pending, not due yet, and not for the first time.
WAITS_FOR_A_RETRY: Document = {
    "state": State.PENDING.value,
    "$or": [{"attempts": {"$gt": 0}}, {"error_count": {"$gt": 0}}],
    "$expr": {"$gt": ["$run_at", "$$NOW"]},
}
#: Failed as a job has that it was to run after.
_DEPENDS: Document = {"waits_for.0": {"$exists": True}}
_DEPENDS_NOT: Document = {"waits_for.0": {"$exists": False}}
#: Of the attempt that failed, or of its end. `claim` stays: whoever repeats the finish recognises it.
_ENDED = (
    *("pool", "lease_until", "due_at", "started_at", "finished_at", "result", "error", "expire_at"),
    *("result_error", "result_until", "cancel_requested_at", "cancel_reason", "told_at"),
)
_ONE_MORE: Document = {
    "$cond": [
        # By its type as well: somebody else may have written it, and an error would stop all of a statement.
        {"$and": [{"$isNumber": "$max_attempts"}, {"$isNumber": "$attempts"}]},
        {"$max": ["$max_attempts", {"$add": ["$attempts", 1]}]},
        "$max_attempts",
    ]
}
_AGAIN: list[Document] = [
    {"$set": {"state": State.PENDING.value, "run_at": "$$NOW", "max_attempts": _ONE_MORE}},
    {"$unset": [*_ENDED, "waits_for", "linking"]},
]
_DUE: list[Document] = [{"$set": {"run_at": "$$NOW"}}]


_WAIT_AGAIN: list[Document] = [
    {
        "$set": {
            "state": State.WAITING.value,
            "max_attempts": _ONE_MORE,
            "linking": {"$add": ["$$NOW", int(LATER * 1000)]},
        }
    },
    {"$unset": list(_ENDED)},
]


class Again:
    """Changes when jobs run that nobody holds. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, pages: Pages, linking: Linking, followers: Followers) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._pages = pages
        self._linking = linking
        self._followers = followers

    async def retry(self, id: str) -> Job:
        """Have a job that failed, or that waits for its next attempt, run now; return it as it is then.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: It may or may not be retried. Repeating is safe.
        """
        retries = [({**FAILED, **_DEPENDS_NOT}, _AGAIN), (WAITS_FOR_A_RETRY, _DUE)]
        with self._connection.call("retry", what=f"retrying job {shown(id)}"):
            job = await self._first_of(id, [*retries, ({**FAILED, **_DEPENDS}, _WAIT_AGAIN)])
        if not job.state.final:
            await self._link([id], themselves=True)
        return job

    async def retry_many(self, selection: Selection) -> Retried:
        """Retry the jobs meant, a page at a time.

        Raises:
            StoreUnavailable: Some may be retried. Repeating goes on from there.
        """
        failed = waiting = due = 0
        walk = self._pages.walk(selection, condition=retryable(), states=RETRYABLE)
        while page := await walk.next():
            ended = [brief.id for brief in page if brief.state is State.FAILED]
            alone = await self._update("retry", ended, {**FAILED, **_DEPENDS_NOT}, _AGAIN)
            rest = ended if alone < len(ended) else []
            dependent = await self._update("retry", rest, {**FAILED, **_DEPENDS}, _WAIT_AGAIN)
            failed, waiting = failed + alone, waiting + dependent
            await self._link(ended, themselves=dependent > 0)
            pending = [brief.id for brief in page if brief.state is State.PENDING]
            due += await self._update("retry", pending, WAITS_FOR_A_RETRY, _DUE)
        return Retried(failed=failed, waiting=waiting, due=due)

    async def revive(self, id: str, *, succeeded: bool) -> Job:
        """Have a job begin its life again; return it as it is then.

        Raises: as `retry`.
        """
        with self._connection.call("revive", what=f"reviving job {shown(id)}"):
            update = revival(await self._connection.now())
            return await self._first_of(id, [(revivable(succeeded=succeeded), update)])

    async def revive_many(self, selection: Selection, *, succeeded: bool) -> int:
        """Revive the jobs meant, a page at a time; return how many.

        Raises: as `retry_many`.
        """
        revived, condition = 0, revivable(succeeded=succeeded)
        walk = self._pages.walk(selection, condition=condition, states=condition["state"]["$in"])
        while page := await walk.next():
            update = revival(await self._connection.now())
            revived += await self._update("revive", _ids(page), condition, update)
        return revived

    async def snooze(self, id: str, run_at: datetime) -> Job:
        """Have a pending job not run before an instant; return it as it is then.

        Raises: as `retry`.
        """
        with self._connection.call("snooze", what=f"snoozing job {shown(id)}"):
            return await self._first_of(id, [(earlier(run_at), {"$set": {"run_at": run_at}})])

    async def snooze_many(self, selection: Selection, run_at: datetime) -> int:
        """Snooze the jobs meant, a page at a time; return how many.

        Raises: as `retry_many`.
        """
        snoozed, condition = 0, earlier(run_at)
        walk = self._pages.walk(selection, condition=condition, states=(State.PENDING.value,))
        while page := await walk.next():
            snoozed += await self._update("snooze", _ids(page), condition, {"$set": {"run_at": run_at}})
        return snoozed

    async def _first_of(self, id: str, updates: Sequence[tuple[Document, Any]]) -> Job:
        """Apply the first of the updates whose filter the job meets, and return it; as it is if it meets none."""
        for filter, update in updates:
            changed = await self._call(
                self._jobs.find_one_and_update,
                {"_id": {"$eq": id}, **filter},
                update,
                return_document=ReturnDocument.AFTER,
            )
            if changed is not None:
                return to_job(changed)
        document = await self._call(self._jobs.find_one, {"_id": {"$eq": id}})
        if document is None:
            raise JobNotFound(f"no job {shown(id)} in {self._jobs.full_name}")
        return to_job(document)

    async def _update(self, operation: str, ids: Sequence[str], filter: Document, update: Any) -> int:
        """Update those of the jobs that meet the filter still; return how many."""
        if not ids:
            return 0
        here: Document = {"_id": {"$in": list(ids)}, **filter}
        with self._connection.call(operation, what=f"{operation} of {len(ids)} jobs"):
            return (await self._call(self._jobs.update_many, here, update, hint=BY_ID)).modified_count

    async def _link(self, retried: Sequence[str], *, themselves: bool) -> None:
        """Link those that wait again for one of the jobs, and `themselves` if they do, as far as it is time.

        One that waits for a job which has not succeeded is left for when that is retried as well.
        """
        if not retried:
            return
        with self._connection.call("retry", what="looking for what retried jobs wait for"):
            ids = [*(retried if themselves else ()), *await self._followers.waiting_for(retried)]
            wait: Document = {"_id": {"$in": ids}, "state": State.WAITING.value, "linking": {"$exists": True}}
            children = await self._call(self._jobs.find(wait, {"waits_for": 1}).hint(BY_ID).to_list) if ids else []
        ended: set[str] = set()
        for parents in chunks({id for child in children for id in ids_waited_for(child)}, ROUND):
            ill: Document = {"_id": {"$in": parents}, "state": {"$in": sorted(REVIVABLE)}}
            with self._connection.call("retry", what="looking for what retried jobs wait for"):
                ended |= {job["_id"] for job in await self._call(self._jobs.find(ill, {"_id": 1}).to_list)}
        if ready := [child for child in children if ended.isdisjoint(ids_waited_for(child))]:
            await self._linking.link(ready)


def retryable() -> Document:
    """Return the filter of jobs that failed, or wait for their next attempt."""
    return {"$or": [FAILED, WAITS_FOR_A_RETRY]}


def revivable(*, succeeded: bool) -> Document:
    """Return the filter of jobs that may begin their lives again."""
    states = {*REVIVABLE, State.SUCCEEDED} if succeeded else REVIVABLE
    return {"state": {"$in": sorted(states)}}


def earlier(run_at: datetime) -> Document:
    """Return the filter of pending jobs that are due before an instant."""
    return {"state": State.PENDING.value, "run_at": {"$lt": run_at}}


def _ids(page: Sequence[Brief]) -> list[str]:
    return [brief.id for brief in page]
