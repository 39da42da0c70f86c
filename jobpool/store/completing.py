"""Success that commits with the executor's own writes, in the executor's transaction.

From the write of `complete` on, MongoDB lets nobody else write to the job
until that transaction ends: not a reaper whose time has come, not a cancel,
not our own heartbeat. Whoever writes first wins, and the other meets a
conflict or finds the job changed. So success and effects stand both or
neither, whatever the lease does meanwhile.

Who wants to know how it ended does not wait for the transaction either; see `apart`.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from ..data import CODEC
from ..errors import InvalidJob, LeaseLost, PoolStateError, StoreUnavailable, UnsupportedServer
from ..job import Claim, State
from ..names import shown
from ..outcome import Finish
from ..progress import Report
from ..signals import JobCancelled
from .apart import apart, in_parts
from .connection import Connection
from .documents import Document, report_update
from .driver import BLOCKING, Driver, Session, run
from .finishing import (
    FINISH_MARKS,
    completing_update,
    ended_before,
    finished_before,
    finishing_writes,
    lease_until,
    running,
)

#: IllegalOperation: of a standalone server, which has none.
NO_TRANSACTIONS = 20
_SEEN = {**FINISH_MARKS, "cancel_requested_at": 1}


class Settled(StrEnum):
    """How an attempt ended that had called `complete`."""

    COMPLETED = "completed"  # its transaction was committed: the job has succeeded
    FINISHED = "finished"  # it was not, and what was to be recorded instead is
    LOST = "lost"  # the job is in other hands; nothing was written


class Completing:
    """Writes successes in transactions of users, and finds out what became of them. Threads: any; no state."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs

    def complete(self, finish: Finish, session: Any) -> Coroutine[Any, Any, None] | None:
        """Write a success in the open transaction of `session`; with an `AsyncClientSession`, return a coroutine.

        It stands when that transaction is committed, with that one's write concern.

        Raises:
            InvalidJob: `session` is none of pymongo's.
            UnsupportedServer: It is a standalone server.
            PoolStateError: It has no open transaction; or this attempt has
                completed the job already, so that this transaction must not be committed.
            JobCancelled: Somebody asked the job to end.
            LeaseLost: It was reaped or claimed again.
            PyMongoError: The driver's own, for the retry of the transaction.
            In all cases nothing stands unless the caller commits all the same.
        """
        driver = _driver_of(session)
        if not session.in_transaction:
            raise PoolStateError(
                f"job {shown(finish.claim.id)}: complete writes in an open transaction, and the session has none; "
                "call session.start_transaction() before, or session.with_transaction(callback)"
            )
        operation = self._complete(finish, session, driver)
        if driver is BLOCKING:
            return run(operation)
        return operation

    async def _complete(self, finish: Finish, session: Any, driver: Driver) -> None:
        claim = finish.claim
        # A session works with its own client alone; its transaction's concerns hold whatever the collection's are.
        theirs = session.client[self._jobs.database.name][self._jobs.name].with_options(codec_options=CODEC)
        wanted = {**running(claim), "cancel_requested_at": {"$exists": False}}
        update = completing_update(finish, self._now)
        what = f"completing job {shown(claim.id)}"
        with self._connection.call("complete", what=what, translated=False):
            try:
                answer: Any = await driver.call(theirs.update_one, wanted, update, session=session)
            except OperationFailure as error:
                if error.code == NO_TRANSACTIONS:
                    raise UnsupportedServer(
                        f"{what} in a transaction needs a replica set, and {shown(self._jobs.full_name)} is on a "
                        "standalone server: nothing was written; start mongod with --replSet, one node is enough"
                    ) from error
                raise
            if answer.matched_count:
                return
            stored: Any = await driver.call(theirs.find_one, {"_id": claim.id}, _SEEN, session=session)
        _refuse(claim, stored)

    def _now(self) -> datetime:
        return self._connection.clock.guess()  # an event loop may be waiting

    def completed(self, claims: Collection[Claim], *, timeout: float | None = None) -> set[Claim]:
        """Return which attempts have succeeded for certain, in one look at all; of others nothing is known.

        Raises:
            StoreUnavailable: Nothing is known; nothing was changed.
        """
        ids = [claim.id for claim in claims]
        with self._connection.call("finish", what=f"finish of {len(ids)} jobs", timeout=timeout):
            found = {doc["_id"]: doc for doc in self._connection.confirmed.find({"_id": {"$in": ids}}, _SEEN)}
        return {claim for claim in claims if _settled(found.get(claim.id), claim) is Settled.COMPLETED}

    def settle(self, finish: Finish, *, late: Report | None = None, timeout: float | None = None) -> Settled:
        """Say how an attempt ended that called `complete`; if its transaction is not committed, record `finish`.

        Args:
            late: What its executor has reported since it called `complete`, to be added to what that stored.

        Raises:
            StoreUnavailable: Not known yet: call again. Its kind is
                ``write_conflict`` while the transaction is open on the server.

        Atomicity: the outcome is written only while nobody has written the
        job since it was seen running under the claim; see `apart`.
        """
        claim = finish.claim
        with self._connection.call("finish", what=f"finish of job {shown(claim.id)}", timeout=timeout):
            settled = _settled(self._connection.confirmed.find_one({"_id": claim.id}, _SEEN), claim)
            if settled is Settled.COMPLETED and late is not None:
                done = {**running(claim), "state": State.SUCCEEDED.value}
                self._jobs.update_one(done, report_update(late, self._connection.clock.now()))
            if settled is not None:
                return settled
            written = run(apart(self._connection, lambda session: self._record(finish, session)))
        if not written:  # it ended between the look and the write
            raise StoreUnavailable(f"finish of job {shown(claim.id)} is not confirmed yet; repeating it is safe")
        return Settled.FINISHED

    async def _record(self, finish: Finish, session: Session | None) -> bool:
        writes = finishing_writes([finish], self._connection.clock.now)
        answer = await self._call(self._jobs.bulk_write, writes, session=session)
        return bool(answer.matched_count)

    def extend(self, claims: Sequence[Claim], lease: float, *, timeout: float | None = None) -> set[Claim]:
        """Extend leases of jobs that `complete` was called for, where no transaction is open; return which.

        Of the others nothing is known: they may be completed, lost, or written by an open transaction.

        Raises:
            StoreUnavailable: Unknown which were extended.
        """
        by_id = {claim.id: claim for claim in claims}

        async def extend(ids: Sequence[str]) -> set[Claim]:
            what = f"extend of {len(ids)} jobs"
            with self._connection.call("extend", what=what, timeout=timeout):
                chosen = [by_id[id] for id in ids]
                return await apart(self._connection, lambda session: self._extend(chosen, lease, session))

        extended, _ = run(in_parts(list(by_id), extend))
        return set().union(*extended)

    async def _extend(self, claims: Sequence[Claim], lease: float, session: Session | None) -> set[Claim]:
        update, extended = lease_until(lease), set()
        for claim in claims:
            answer = await self._call(self._jobs.update_one, running(claim), update, session=session)
            if answer.matched_count:
                extended.add(claim)
        return extended


def _driver_of(session: object) -> Driver:
    if isinstance(session, ClientSession):
        return BLOCKING
    if type(session).__name__ == "AsyncClientSession":
        from .awaited import AWAITED  # only who has such a session has a driver that knows it

        return AWAITED
    kinds = "ClientSession or AsyncClientSession"
    raise InvalidJob(f"session must be a pymongo {kinds}, not {type(session).__name__}")


def _refuse(claim: Claim, stored: Document | None) -> NoReturn:
    """Raise why a job cannot be completed."""
    job = f"job {shown(claim.id)}"
    if stored is None or stored.get("claim") != claim.token:
        raise LeaseLost(f"{job} is not held any more; it was not completed: its transaction must not be committed")
    if stored["state"] == State.SUCCEEDED:
        raise PoolStateError(
            f"{job} is completed already, in this transaction or in one before it that was committed; complete is "
            "called once, and a transaction whose commit may have been applied is not repeated"
        )
    if "cancel_requested_at" in stored:
        raise JobCancelled(f"{job} was cancelled while it ran; it was not completed")
    raise LeaseLost(f"{job} is {stored['state']} already; it was not completed")


def _settled(stored: Document | None, claim: Claim) -> Settled | None:
    """Return how an attempt ended, by the newest state of its job; None if it runs on."""
    if stored is None:
        return Settled.LOST
    if finished_before(stored, claim):
        return Settled.FINISHED
    if (state := ended_before(stored, claim)) is not None:  # and was revived since
        return Settled.COMPLETED if state == State.SUCCEEDED else Settled.FINISHED
    if stored.get("claim") != claim.token:
        return Settled.LOST
    if stored["state"] == State.SUCCEEDED:
        return Settled.COMPLETED
    return None if stored["state"] == State.RUNNING else Settled.FINISHED
