"""How what is due is fired once, whoever tries.

A firing moves the schedule's `next_at` on and creates a job; the job's id is
made of name and due time. Both happen in one transaction, so that a pool which
slept between them, for however long, finds the due time moved and creates
nothing: without it, the job of that id may have run and been deleted
meanwhile, and would be created a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from pymongo import ASCENDING, ReadPreference
from pymongo.collection import Collection as Mongo
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from ..errors import JobNotFound
from ..job import Job
from ..names import shown
from ..schedules import QUEUE, SKIP, Firing, Schedule
from .connection import Connection
from .creation import KEEP, Creation
from .documents import Document, state_of
from .driver import Session, run
from .schedules import OLDEST, SUFFIX, Schedules, unchanged

#: No due time is later; as bounds the two keep what is paused, or has an instant of somebody else's that Python
#: has no value for, out of a look.
_NEWEST = datetime(9999, 1, 1, tzinfo=UTC)

INSERTED, DUPLICATE, SKIPPED, MISSED, CONFLICT = "inserted", "duplicate", "skipped", "missed", "conflict"


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of a firing.

    Attributes:
        result: ``inserted``, or ``duplicate`` if the job was there; ``skipped`` because the last one is not
            final; ``missed``: too late to be fired; ``conflict``: somebody else fired or changed the schedule.
        job: The job, if there is one.
    """

    result: str
    job: Job | None = None


#: Makes the document of a firing's job; its argument is the id of the job that it is to wait for, or None.
MakeJob = Callable[[str | None], Document]


def upcoming(schedules: Mongo[Document], most: int, but: Collection[str] = ()) -> Cursor[Document]:
    """Return the read that finds names and due times, the earliest first; see `Due.upcoming`."""
    wanted: Document = {"next_at": {"$gte": OLDEST, "$lt": _NEWEST}, "_id": {"$type": "string"}}
    if but:
        wanted["_id"]["$nin"] = sorted(but)
    return schedules.find(wanted, {"next_at": 1}).sort("next_at", ASCENDING).limit(most)


class Due:
    """The store operations by which pools fire schedules. They block. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, creation: Creation, schedules: Schedules) -> None:
        self._connection = connection
        self._creation = creation
        self._users = schedules
        self._jobs = connection.jobs
        self._schedules = connection.beside(SUFFIX)

    def upcoming(self, most: int, but: Collection[str] = ()) -> list[tuple[str, datetime]]:
        """Return names and due times, the earliest first, of at most so many that are not paused; not those `but`.

        One covered read.
        """
        with self._connection.call("schedules", what="looking for schedules that are due"):
            return [(found["_id"], found["next_at"]) for found in upcoming(self._schedules, most, but)]

    def read(self, name: str) -> Schedule | None:
        """Return a schedule, the state of its last job left out; None if it was removed."""
        with self._connection.call("schedules", what=f"reading schedule {shown(name)}"):
            return run(self._users.find(name))

    def fire(self, firing: Firing, make: MakeJob, now: datetime, *, transaction: bool) -> Fired:
        """Create the job of a due time and move the schedule on, once, whoever else tries.

        Raises:
            StoreUnavailable: It may or may not have happened, in a transaction
                both or nothing. Read the schedule: if its `next_at` has not
                moved, fire again.
            StoreRefused: Nothing was changed.

        Atomicity: one transaction. Without one (on a standalone server) the
        job is created first, and who comes to move the schedule on, after a
        crash, meets it by its id; a pool that stops between its look at the
        schedule and the create, for so long that the job of another is deleted
        again, creates it anew.
        """
        with self._connection.call("fire", what=f"firing schedule {shown(firing.schedule.name)}"):
            if not transaction:
                try:
                    return self._fire_in_steps(firing, make, now)
                except JobNotFound:  # the one to wait for was removed just now
                    return Fired(CONFLICT)
            # No causal consistency: it is for sessions that read what they wrote elsewhere.
            with self._connection.client.start_session(causal_consistency=False) as session:
                try:
                    return self._fire_in(session, firing, make, now)
                except OperationFailure as error:
                    # Somebody else's transaction holds the schedule, perhaps for as long as the server
                    # lets one of a dead client live: others are not to wait for that.
                    if error.has_error_label("TransientTransactionError"):
                        return Fired(CONFLICT)
                    raise

    def _fire_in(self, session: Session, firing: Firing, make: MakeJob, now: datetime) -> Fired:
        """Fire in a transaction, which is committed when this returns."""
        with session.start_transaction(
            read_concern=ReadConcern("snapshot"),
            write_concern=self._schedules.write_concern,
            read_preference=ReadPreference.PRIMARY,
        ):
            last = self._unfinished(firing, session)
            skipped = self._skips(firing, last)
            # First: of several pools that fire at once all but one end here.
            if not self._advance(firing, now, skipped=skipped, session=session):
                session.abort_transaction()
                return Fired(CONFLICT)
            if firing.due is None or skipped:
                return Fired(SKIPPED if skipped else MISSED)
            return self._create(make(last), session)

    def _fire_in_steps(self, firing: Firing, make: MakeJob, now: datetime) -> Fired:
        """Fire without a transaction: one step after the other, each repeatable."""
        stored = run(self._users.find(firing.schedule.name))
        if stored is None or (stored.revision, stored.next_at) != (
            firing.schedule.revision,
            firing.schedule.next_at,
        ):
            return Fired(CONFLICT)
        last = self._unfinished(firing, None)
        skipped = self._skips(firing, last)
        fired = Fired(SKIPPED if skipped else MISSED)
        if firing.due is not None and not skipped:
            fired = self._create(make(last), None)
        self._advance(firing, now, skipped=skipped, session=None)
        return fired

    def _create(self, document: Document, session: Session | None) -> Fired:
        job, result = run(self._creation.create(document, KEEP, session))
        return Fired(result, job)

    def _unfinished(self, firing: Firing, session: Session | None) -> str | None:
        """Return the id of the job made last if the next one depends on that and it is not final, else None."""
        last = firing.schedule.last
        if last is None or firing.due is None or firing.schedule.overlap not in (SKIP, QUEUE):
            return None
        if last.id == firing.id:  # somebody has put `next_at` back
            return None
        found = self._jobs.find_one({"_id": {"$eq": last.id}}, {"state": 1}, session=session)
        return None if found is None or state_of(found["state"]).final else last.id

    def _skips(self, firing: Firing, last: str | None) -> bool:
        return last is not None and firing.schedule.overlap == SKIP

    def _advance(self, firing: Firing, now: datetime, *, skipped: bool, session: Session | None) -> bool:
        """Move the schedule on from the due times that are dealt with; return whether nobody had touched it."""
        changes: Document = {"next_at": firing.next_at}
        if firing.due is not None and not skipped:
            changes["last"] = {"job": firing.id, "due": firing.due, "at": now}
        update: Document = {"$set": changes}
        if skipped:
            update["$inc"] = {"skipped": 1}
        return bool(self._schedules.update_one(unchanged(firing.schedule), update, session=session).matched_count)
