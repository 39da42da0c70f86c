"""Schedules as MongoDB documents, in the collection beside the jobs, and how one is fired once.

A schedule has `next_at`, its next due time, unless it is paused. A firing moves
that on and creates a job; the job's id is made of name and due time. Both
happen in one transaction, so that a pool which slept between them, for however
long, finds the due time moved and creates nothing: without it, the job of that
id may have run and been deleted meanwhile, and would be created a second time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, IndexModel, ReadPreference
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from ..errors import JobNotFound, ScheduleNotFound, StoreRefused, StoreUnavailable
from ..job import Job, State
from ..logs import bounded_logger_of
from ..names import shown
from ..schedules import (
    FIELDS,
    QUEUE,
    SKIP,
    Definition,
    Firing,
    LastFiring,
    Schedule,
    anchor_of,
    changed_due,
    first_due,
    next_due,
)
from .connection import Connection
from .creation import KEEP, Creation
from .documents import Document
from .driver import Session, run

logger = bounded_logger_of(__name__)

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".schedules"
#: With `_id`, so that a look for what is due is covered.
NEXT_INDEX = IndexModel([("next_at", ASCENDING), ("_id", ASCENDING)], name="jobpool_next")
#: A change meets firings and other changes; each of them is over in milliseconds.
TRIES = 20
#: No due time is older; as a bound it keeps what is paused out of a look.
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)

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


class Schedules:
    """The store operations on schedules. Threads: any; `_indexed` only turns True.

    What managers need are coroutines; see `driver.run`. What pools alone need blocks.
    """

    def __init__(self, connection: Connection, creation: Creation) -> None:
        self._connection = connection
        self._creation = creation
        self._call = connection.driver.call
        jobs = self._jobs = connection.jobs
        self._schedules = jobs.database[jobs.name + SUFFIX].with_options(
            codec_options=jobs.codec_options,
            read_preference=jobs.read_preference,
            write_concern=jobs.write_concern,
            read_concern=jobs.read_concern,
        )
        self._indexed = False

    # --- what users see and change ------------------------------------------------------------

    async def get(self, name: str) -> Schedule:
        """Return a snapshot of one schedule, or raise `ScheduleNotFound`."""
        with self._connection.call("schedules", what=f"reading schedule {shown(name)}"):
            (schedule,) = await self._with_states([await self._read(name)])
        return schedule

    async def all(self) -> list[Schedule]:
        """Return snapshots of all schedules, by name."""
        with self._connection.call("schedules", what="reading the schedules"):
            cursor = self._schedules.find({}).sort("_id", ASCENDING)
            stored = [to_schedule(document) for document in await self._call(cursor.to_list)]
            return await self._with_states(stored)

    async def put(self, name: str, definition: Definition) -> Schedule:
        """Store a schedule, or change the one of that name; the same definition again changes nothing.

        Raises:
            StoreUnavailable: It may or may not be stored. Calling again is safe.

        Atomicity: one insert, or one update that is conditional on what was read.
        """
        with self._connection.call("schedule", what=f"storing schedule {shown(name)}"):
            await self._ensure_index()
            for _ in range(TRIES):
                stored = await self._find(name)
                if stored is not None and stored.same(definition):
                    return (await self._with_states([stored]))[0]
                if stored is None:
                    await self._insert(name, definition)
                else:
                    await self._change(stored, await self._changes(stored, definition))
        raise _restless(name)

    async def pause(self, name: str) -> Schedule:
        """Let a schedule fire nothing, and return it as it is then.

        When this returns, nothing is fired any more. (On a standalone server a
        firing that has begun may still create its job.)

        Raises:
            ScheduleNotFound: There is none of that name.
            StoreUnavailable: It may or may not be paused. Repeating is safe.
        """
        return await self._until(name, paused=True)

    async def resume(self, name: str) -> Schedule:
        """Let a paused schedule fire again, from its first due time behind now on, and return it.

        Raises:
            ScheduleNotFound: There is none of that name.
            StoreUnavailable: It may or may not be resumed. Repeating is safe.
        """
        return await self._until(name, paused=False)

    async def remove(self, name: str) -> bool:
        """Delete a schedule and return whether it was there. Its jobs stay.

        Raises:
            StoreUnavailable: It may or may not be deleted. Repeating is safe.
        """
        with self._connection.call("schedule", what=f"removing schedule {shown(name)}"):
            return bool((await self._call(self._schedules.delete_one, {"_id": {"$eq": name}})).deleted_count)

    async def _until(self, name: str, *, paused: bool) -> Schedule:
        what = f"{'pausing' if paused else 'resuming'} schedule {shown(name)}"
        with self._connection.call("schedule", what=what):
            for _ in range(TRIES):
                stored = await self._read(name)
                if stored.paused == paused:
                    return (await self._with_states([stored]))[0]
                now = await self._now()
                next_at = None if paused else next_due(stored, stored.anchor, now)
                await self._change(stored, {"paused": paused, "next_at": next_at, "changed_at": now})
        raise _restless(name)

    async def _insert(self, name: str, definition: Definition) -> None:
        """Store a new schedule, unless somebody else has just done so."""
        now = await self._now()
        anchor = anchor_of(definition, None, now)
        document = {
            "_id": name,
            **_stored(definition),
            "anchor": anchor,
            "paused": False,
            "next_at": first_due(definition, anchor, now),
            "skipped": 0,
            "created_at": now,
            "changed_at": now,
            "revision": _revision(),
        }
        try:
            await self._call(self._schedules.insert_one, document)
        except DuplicateKeyError:
            return

    async def _changes(self, stored: Schedule, definition: Definition) -> Document:
        """Return the fields of a new definition; only other due times move `next_at`."""
        now = await self._now()
        changes: Document = {**_stored(definition), "changed_at": now}
        if not stored.same_times(definition):
            anchor = anchor_of(definition, stored, now)
            changes |= {"anchor": anchor, "next_at": changed_due(stored, definition, anchor, now)}
        return changes

    async def _change(self, stored: Schedule, changes: Document) -> None:
        """Write the fields, if nothing has changed since `stored` was read.

        That `next_at` is still the same is asked for as well: another one is
        computed from it, and a firing may move it at any time.
        """
        unchanged = {"_id": {"$eq": stored.name}, "revision": stored.revision, "next_at": stored.next_at}
        await self._call(self._schedules.update_one, unchanged, {"$set": {**changes, "revision": _revision()}})

    async def _read(self, name: str) -> Schedule:
        found = await self._find(name)
        if found is None:
            raise ScheduleNotFound(f"no schedule {shown(name)} in {self._schedules.full_name}")
        return found

    async def _find(self, name: str) -> Schedule | None:
        document = await self._call(self._schedules.find_one, {"_id": {"$eq": name}})
        return None if document is None else to_schedule(document)

    async def _with_states(self, schedules: Sequence[Schedule]) -> list[Schedule]:
        """Return the schedules with the states that their last jobs are in."""
        ids = [schedule.last.id for schedule in schedules if schedule.last]
        states: dict[str, State] = {}
        if ids:
            cursor = self._jobs.find({"_id": {"$in": ids}}, {"state": 1})
            states = {found["_id"]: State(found["state"]) for found in await self._call(cursor.to_list)}
        return [
            replace(schedule, last=replace(schedule.last, state=states.get(schedule.last.id)))
            if schedule.last
            else schedule
            for schedule in schedules
        ]

    async def _now(self) -> datetime:
        """Return the server's time to the millisecond, as BSON keeps it."""
        now = await self._connection.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def _ensure_index(self) -> None:
        """Create the index at the first use; without it looks read the whole collection, which is small."""
        if self._indexed:
            return
        try:
            with self._connection.call("indexes", what=f"indexing {self._schedules.full_name}"):
                await self._call(self._schedules.create_indexes, [NEXT_INDEX])
        except StoreRefused as error:
            logger.debug("%s has no index: %s", self._schedules.full_name, error)
        self._indexed = True

    # --- what pools do ------------------------------------------------------------------------

    def upcoming(self, most: int, but: Collection[str] = ()) -> list[tuple[str, datetime]]:
        """Return names and due times, the earliest first, of at most so many that are not paused; not those `but`.

        One covered read.
        """
        wanted: Document = {"next_at": {"$gte": _OLDEST}}
        if but:
            wanted["_id"] = {"$nin": sorted(but)}
        with self._connection.call("schedules", what="looking for schedules that are due"):
            cursor = self._schedules.find(wanted, {"next_at": 1}).sort("next_at", ASCENDING).limit(most)
            return [(found["_id"], found["next_at"]) for found in cursor]

    def read(self, name: str) -> Schedule | None:
        """Return a schedule, the state of its last job left out; None if it was removed."""
        with self._connection.call("schedules", what=f"reading schedule {shown(name)}"):
            return run(self._find(name))

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
        stored = run(self._find(firing.schedule.name))
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
        return None if found is None or State(found["state"]).final else last.id

    def _skips(self, firing: Firing, last: str | None) -> bool:
        return last is not None and firing.schedule.overlap == SKIP

    def _advance(self, firing: Firing, now: datetime, *, skipped: bool, session: Session | None) -> bool:
        """Move the schedule on from the due times that are dealt with; return whether nobody had touched it."""
        schedule = firing.schedule
        unchanged = {"_id": {"$eq": schedule.name}, "revision": schedule.revision, "next_at": schedule.next_at}
        changes: Document = {"next_at": firing.next_at}
        if firing.due is not None and not skipped:
            changes["last"] = {"job": firing.id, "due": firing.due, "at": now}
        update: Document = {"$set": changes}
        if skipped:
            update["$inc"] = {"skipped": 1}
        return bool(self._schedules.update_one(unchanged, update, session=session).matched_count)


def to_schedule(document: Mapping[str, Any]) -> Schedule:
    """Return the snapshot that `document` shows; what somebody broke in it shows when it is used."""
    last = document.get("last")
    return Schedule(
        name=document["_id"],
        **{name: document.get(name, default) for name, default in _DEFAULTS.items()},
        paused=document.get("paused", False),
        next_at=document.get("next_at"),
        anchor=document.get("anchor", _OLDEST),
        last=LastFiring(id=last["job"], due=last["due"], at=last["at"]) if last else None,
        skipped=document.get("skipped", 0),
        created_at=document.get("created_at", _OLDEST),
        changed_at=document.get("changed_at", _OLDEST),
        revision=document.get("revision", ""),
    )


_DEFAULTS: dict[str, Any] = dict.fromkeys(FIELDS) | {
    "tz": "UTC",
    "type": "",
    "priority": 0,
    "catch_up": "last",
    "overlap": "skip",
    "jitter": 0.0,
}


def _stored(definition: Definition) -> Document:
    """Return the fields of a definition: all of them, so that a change leaves none of another."""
    return {name: getattr(definition, name) for name in FIELDS}


def _revision() -> str:
    return secrets.token_hex(8)


def _restless(name: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"schedule {shown(name)} was changed by others {TRIES} times while it was to be changed here; call again"
    )
