"""Cancelling jobs from anywhere: those that wait end at once, those that run are asked to.

A claimed job whose executor was not called ends here as well: its holder's
start then meets no job and the executor is not called. One that runs gets a
mark. Its pool looks for the mark and tells the executor, and from then on no
write makes it pending again: not a retry, a snooze, a release or the reaper.

Jobs that wait for a cancelled one fail, or run if they are to run in any case;
pools see to that. In a cascade they are cancelled instead, and before it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import JobNotFound, StoreUnavailable
from ..job import Claim, Job, State
from ..names import listed, shown
from .apart import CONFLICT, apart, in_parts, waited_in_vain
from .cascading import END, NOT_STARTED, ROUND, Cascading
from .connection import Connection
from .documents import Document, to_job
from .driver import Session
from .fields import with_ids
from .queries import Wanted

TO_BE_ASKED: Document = {"state": State.RUNNING.value, "cancel_requested_at": {"$exists": False}}
_ASK: Document = {"$currentDate": {"cancel_requested_at": True}}
#: Between two looks a job may start, or be retried. One that does so for ever is busy, and the caller may repeat.
LOOKS = 20


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What cancelling several jobs did.

    Attributes:
        ended: Jobs that waited, or were claimed and not started: they are cancelled. In a
            cascade also those that waited for one of the jobs meant.
        asked: Jobs that run: their executors are told within about a second.
    """

    ended: int
    asked: int


class Cancelling:
    """Ends jobs that nobody runs, and asks those who run the others. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection, cascading: Cascading) -> None:
        self._connection = connection
        self._cascading = cascading
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._read = connection.reading

    async def cancel(self, id: str, *, cascade: bool = False) -> Job:
        """Cancel one job and return it as it is then: cancelled, asked to end, or final before.

        Args:
            cascade: Also cancel all that wait for it, and for those, and so on.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: It may or may not be cancelled. Repeating is safe. Also if it is being
                completed in a transaction that was open for all of the time.
        """
        if cascade:
            await self._cascading.cancel_followers([id])
        job = await self._cancel(id)
        if cascade:  # those who came to wait before it had ended, or was asked to
            await self._cascading.cancel_followers([id])
        return job

    async def _cancel(self, id: str) -> Job:
        wanted: Document = {"_id": {"$eq": id}}
        with self._connection.call("cancel", what=f"cancelling job {shown(id)}"):
            for _ in range(LOOKS):
                await self._call(self._jobs.update_one, {**wanted, "state": NOT_STARTED}, END)
                await self._call(self._jobs.update_one, {**wanted, **TO_BE_ASKED}, _ASK)
                document = await self._call(self._read.find_one, wanted)
                if document is None:
                    raise JobNotFound(f"no job {shown(id)} in {self._jobs.full_name}")
                job = to_job(document)
                if job.state.final or (job.state is State.RUNNING and job.cancel_requested_at):
                    break
        return job

    async def cancel_many(self, selection: Wanted, *, cascade: bool = False) -> Cancelled:
        """Cancel the jobs meant, a round at a time, those that wait first.

        Args:
            cascade: Also cancel all that wait for one of them, and for those, and so on.

        Raises:
            StoreUnavailable: Some may be cancelled. Repeating goes on from there. Jobs that an open
                transaction has written (see `CurrentJob.complete`) hold up no others.
        """
        wanted = selection.filter()
        ended = await self._cascading.cancel_followers_of(wanted) if cascade else 0
        ended += await self._round(wanted)
        asked, blocked = await self._ask(wanted)
        ended += await self._round(wanted)  # once more: a retry may have come in between
        if blocked:
            error = StoreUnavailable(
                f"{len(blocked)} jobs are not asked to end, as their executors, say, have written them in "
                f"transactions that are open: {listed(blocked)}; all others are cancelled, repeating is safe"
            )
            error.kind, error.operation = CONFLICT, "cancel"
            raise error
        return Cancelled(ended, asked)

    async def _ask(self, wanted: Document) -> tuple[int, list[str]]:
        """Ask those that run to end; return how many were asked, and who could not be."""
        running: Document = {"$and": [wanted, TO_BE_ASKED]}
        what = "asking running jobs to end"
        try:
            with self._connection.call("cancel", what=what):
                return (await self._call(self._jobs.update_many, running, _ASK)).modified_count, []
        except StoreUnavailable as error:
            if not waited_in_vain(self._connection, error):
                raise
        with self._connection.call("cancel", what=what):
            found = await self._call(self._read.find(running, {"_id": 1}).to_list)

        async def ask(ids: Sequence[str]) -> int:
            here: Document = {**with_ids(ids), **TO_BE_ASKED}

            async def update(session: Session | None) -> int:
                return (await self._call(self._jobs.update_many, here, _ASK, session=session)).modified_count

            with self._connection.call("cancel", what=what):
                return await apart(self._connection, update)

        asked, blocked = await in_parts([job["_id"] for job in found], ask)
        return sum(asked), blocked

    async def _round(self, wanted: Document) -> int:
        ended, before = 0, list[Any]()
        while True:
            with self._connection.call("cancel", what="cancelling jobs"):
                waiting: Document = {"$and": [wanted, {"state": NOT_STARTED}]}
                found = await self._call(
                    self._read.find(waiting, {"_id": 1}).limit(ROUND).batch_size(ROUND + 1).to_list
                )
                if not found or found == before:  # what others stored under an id that cannot be asked for stays
                    return ended
                before, here = found, {**with_ids(job["_id"] for job in found), "state": NOT_STARTED}
                ended += (await self._call(self._jobs.update_many, here, END)).modified_count

    async def asked_to_end(self, claims: Collection[Claim], *, timeout: float | None = None) -> set[Claim]:
        """Return those of the running `claims` that somebody wants to end."""
        filter: Document = {
            "_id": {"$in": [claim.id for claim in claims]},
            "state": State.RUNNING.value,
            "cancel_requested_at": {"$exists": True},
        }
        with self._connection.call("look", what="looking for cancelled jobs", timeout=timeout):
            found = await self._call(self._read.find(filter, {"claim": 1}).to_list)
        tokens = {document["_id"]: document.get("claim") for document in found}
        return {claim for claim in claims if tokens.get(claim.id) == claim.token}
