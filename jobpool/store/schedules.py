"""Schedules as MongoDB documents, in the collection beside the jobs; `firing` has what pools do with them.

A schedule has `next_at`, its next due time, unless it is paused. Each change
gives it another `revision`, and is conditional on the one that was read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from ..data import CODEC
from ..errors import ScheduleNotFound, StoreRefused, StoreUnavailable
from ..job import State
from ..logs import bounded_logger_of
from ..names import shown
from ..schedules import (
    FIELDS,
    Definition,
    LastFiring,
    Schedule,
    anchor_of,
    changed_due,
    first_due,
    next_due,
)
from .connection import Connection
from .documents import Document, state_of

logger = bounded_logger_of(__name__)

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".schedules"
#: With `_id`, so that a look for what is due is covered.
NEXT_INDEX = IndexModel([("next_at", ASCENDING), ("_id", ASCENDING)], name="jobpool_next")
#: A change meets firings and other changes; each of them is over in milliseconds.
TRIES = 20
#: No instant of a schedule is older.
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)


class Schedules:
    """The store operations on schedules that users see and change. Threads: any; `_indexed` only turns True.

    They are coroutines; see `driver.run`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._schedules = connection.beside(SUFFIX)
        self._written = self._schedules.with_options(codec_options=CODEC)  # the data of jobs may have UUIDs
        self._indexed = False

    async def get(self, name: str) -> Schedule:
        """Return a snapshot of one schedule, or raise `ScheduleNotFound`."""
        with self._connection.call("schedules", what=f"reading schedule {shown(name)}"):
            (schedule,) = await self._with_states([await self._read(name)])
        return schedule

    async def all(self) -> list[Schedule]:
        """Return snapshots of all schedules, by name, without those that somebody broke: the log says which."""
        with self._connection.call("schedules", what="reading the schedules"):
            cursor = self._schedules.find({"_id": {"$type": "string"}}).sort("_id", ASCENDING)
            return await self._with_states(list(_readable(await self._call(cursor.to_list))))

    async def put(self, name: str, definition: Definition) -> Schedule:
        """Store a schedule, or change the one of that name; the same definition again changes nothing.

        Raises:
            StoreUnavailable: It may or may not be stored. Calling again is safe.

        Atomicity: one insert, or one update that is conditional on what was read.
        """
        with self._connection.call("schedule", what=f"storing schedule {shown(name)}"):
            await self._ensure_index()
            for _ in range(TRIES):
                stored = await self.find(name)
                if stored is not None and stored.same(definition):
                    return (await self._with_states([stored]))[0]
                if stored is None:
                    await self._insert(name, definition)
                else:
                    await self._change(stored, await self._changes(stored, definition))
        raise _restless(name)

    async def preview(self, name: str, definition: Definition) -> Schedule:
        """Return what `put` would store and return now; nothing is written."""
        with self._connection.call("schedules", what=f"reading schedule {shown(name)}"):
            stored = await self.find(name)
            if stored is None:
                return to_schedule(self._new(name, definition, await self._now()))
            if stored.same(definition):
                return (await self._with_states([stored]))[0]
            changed = replace(stored, **await self._changes(stored, definition))
            return (await self._with_states([changed]))[0]

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
        document = self._new(name, definition, await self._now())
        try:
            await self._call(self._written.insert_one, document)
        except DuplicateKeyError:
            return

    @staticmethod
    def _new(name: str, definition: Definition, now: datetime) -> Document:
        """Return the document of a schedule that is stored first at `now`."""
        anchor = anchor_of(definition, None, now)
        return {
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
        update = {"$set": {**changes, "revision": _revision()}}
        await self._call(self._written.update_one, unchanged(stored), update)

    async def _read(self, name: str) -> Schedule:
        found = await self.find(name)
        if found is None:
            raise ScheduleNotFound(f"no schedule {shown(name)} in {self._schedules.full_name}")
        return found

    async def find(self, name: str) -> Schedule | None:
        """Return a schedule, the state of its last job left out, or None; call it within `Connection.call`.

        Raises:
            StoreRefused: Somebody broke it.
        """
        document = await self._call(self._schedules.find_one, {"_id": {"$eq": name}})
        try:
            return None if document is None else to_schedule(document)
        except (TypeError, KeyError) as error:
            what = f"schedule {shown(name)} in {self._schedules.full_name} was broken by somebody"
            raise StoreRefused(f"{what} ({error!r}): remove it, and store it again") from None

    async def _with_states(self, schedules: Sequence[Schedule]) -> list[Schedule]:
        """Return the schedules with the states that their last jobs are in."""
        ids = [schedule.last.id for schedule in schedules if schedule.last]
        states: dict[str, State] = {}
        if ids:
            cursor = self._jobs.find({"_id": {"$in": ids}}, {"state": 1})
            states = {found["_id"]: state_of(found["state"]) for found in await self._call(cursor.to_list)}
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


def unchanged(schedule: Schedule) -> Document:
    """Return the filter that finds a schedule if nobody has changed or fired it since it was read."""
    revision = schedule.revision or None  # of one without, which somebody else stored
    return {"_id": {"$eq": schedule.name}, "revision": revision, "next_at": schedule.next_at}


def to_schedule(document: Mapping[str, Any]) -> Schedule:
    """Return the snapshot that `document` shows; what somebody broke in it shows when it is used."""
    last = document.get("last")
    return Schedule(
        name=document["_id"],
        **{name: document.get(name, default) for name, default in _DEFAULTS.items()},
        paused=document.get("paused", False),
        next_at=document.get("next_at"),
        anchor=document.get("anchor", OLDEST),
        last=LastFiring(id=last["job"], due=last["due"], at=last["at"]) if last else None,
        skipped=document.get("skipped", 0),
        created_at=document.get("created_at", OLDEST),
        changed_at=document.get("changed_at", OLDEST),
        revision=document.get("revision", ""),
    )


def _readable(documents: Sequence[Document]) -> Iterator[Schedule]:
    """Yield the snapshots; what is no schedule keeps nobody from seeing the others."""
    for document in documents:
        try:
            yield to_schedule(document)
        except (TypeError, KeyError) as error:
            logger.warning("%s is no schedule that can be read: %r", shown(document["_id"]), error)


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
