"""Finding out for whom jobs wait no more. Every pool does it; there is no leader.

A job that others wait for carries ``followed``; see `linking`. When it has
ended, that is the word to those who wait, kept until somebody has passed it
on: one look at an index that holds nothing else finds all such jobs. Nobody
asks for a waiting job by itself, however many there are.

The steps, after each of which a pool may die, and which several may take at
once: look for ended jobs that are followed; tell those who wait for them
(see `followers`); look who waits all the same, as one who waits for very many
is not told of each at once; take the marks of all others away that were seen
in the first look. A job that came to wait in between has set another mark,
which stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from collections.abc import Collection as Several
from dataclasses import dataclass
from datetime import timedelta

from bson import ObjectId
from pymongo import UpdateMany
from pymongo.collection import Collection
from pymongo.cursor import Cursor

from ..errors import OutcomeRefused
from ..job import FINAL
from ..logs import bounded_logger_of
from ..names import listed
from .connection import Connection
from .documents import Document
from .fields import TEXT_ID, place_of, with_ids
from .followers import GONE, ROUND, Followers, chunks, ids_waited_for
from .indexes import BY_ID, FOLLOWED_INDEX, WAITING_INDEX
from .linking import LATER, PATIENCE, WAITING, Linking

logger = bounded_logger_of(__name__)

#: `followed` is compared, not asked for its existence, so that the index alone answers.
_ENDED: Document = {"state": {"$in": sorted(FINAL)}, "followed": {"$gt": ObjectId("0" * 24)}, **TEXT_ID}
#: Waiting jobs whose dependencies are looked at together: each may have a megabyte of them.
SWEPT = 50


def ended_and_followed(jobs: Collection[Document], most: int) -> Cursor[Document]:
    """Return the read that finds jobs which have ended and which others may wait for."""
    return jobs.find(_ENDED, {"state": 1, "followed": 1}).hint(FOLLOWED_INDEX).limit(most).batch_size(most + 1)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a look found.

    Attributes:
        ended: How many jobs that others waited for had ended.
        kept: The ids of those for which somebody still waits, or whose mark cannot be taken away: to be
            passed on later.
        changed: How many of these others it changed; some may still wait for others.
    """

    ended: int
    changed: int
    kept: frozenset[str] = frozenset()

    @property
    def more(self) -> bool:
        """Whether there may be more to do at once: of the round, or by what it changed."""
        return self.ended >= ROUND or (self.changed > 0 and not self.kept)


class Resolving:
    """Tells waiting jobs of the ends of others. Threads: any; no state of its own.

    Its operations are coroutines; see `driver.run`.
    Lost replies: every step may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection, followers: Followers, linking: Linking) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._followers = followers
        #: Links what creators have left that died; see there.
        self.complete_old = linking.complete_old

    async def resolve(self, leave: Several[str] = (), *, paced: bool = True) -> Resolved:
        """Pass on the ends of a round of followed jobs; where none has ended that is a look at an empty index.

        Args:
            leave: Ids of jobs to leave out this time.
            paced: Let those who wait for very many others wait for the next time; see `followers.WIDE`.

        Raises:
            StoreUnavailable: Some may be passed on. The next call finds the rest.
        """
        with self._connection.call("resolve", what="looking for ended jobs that others wait for"):
            ended = ended_and_followed(self._connection.reading, ROUND + len(leave))
            found = [job for job in await self._call(ended.to_list) if job["_id"] not in leave][:ROUND]
        if not found:
            return Resolved(0, 0)
        ends = {job["_id"]: job["state"] for job in found}
        changed = await self._followers.settle(ends, paced=paced)
        with self._connection.call("resolve", what="looking who waits for ended jobs"):
            kept = await self._followers.waited_for(list(ends))
        kept |= await self._unmark([job for job in found if job["_id"] not in kept])
        return Resolved(len(found), changed, frozenset(kept))

    async def _unmark(self, found: Sequence[Document]) -> set[str]:
        """Take the marks away that were seen; return the ids of those for which MongoDB refuses that."""
        try:
            await self._write_unmarked(found)
        except OutcomeRefused as error:
            if len(found) == 1:
                logger.error(
                    "the followers of job %s are told again and again: %s", listed([found[0]["_id"]]), error
                )
                return {found[0]["_id"]}
            return {id for job in found for id in await self._unmark([job])}
        return set()

    async def _write_unmarked(self, found: Sequence[Document]) -> None:
        if not found:
            return
        marks: dict[object, list[Document]] = defaultdict(list)
        for job in found:
            marks[place_of(job["followed"])].append(job)
        writes = [
            UpdateMany(
                {"_id": {"$in": [job["_id"] for job in same]}, "followed": {"$eq": same[0]["followed"]}},
                {"$unset": {"followed": ""}},
                hint=BY_ID,
            )
            for same in marks.values()
        ]
        with self._connection.call("resolve", what=f"taking the marks of {len(found)} jobs away"):
            await self._call(self._jobs.bulk_write, writes, ordered=False)

    async def sweep(self) -> AsyncIterator[int]:
        """Tell the jobs that wait for others which are not there any more; yield how many of these, page by page.

        MongoDB deletes a job whose time is over, also while its end is not
        passed on because no pool is there. If it was created anew since then,
        that one is waited for: it gets the mark which it cannot have. All that
        is waited for is read, so this is for now and then.

        Raises:
            StoreUnavailable: Some may be told. The next sweep finds the rest.
        """
        waiting = self._connection.reading.find(WAITING, {"_id": 1}).hint(WAITING_INDEX).batch_size(SWEPT)
        while True:
            with self._connection.call("resolve", what="looking for jobs that wait"):
                some = await self._call(waiting.to_list, SWEPT)
            if not some:
                return
            missing = await self._missing([job["_id"] for job in some])
            await self._followers.settle(dict.fromkeys(missing, GONE))
            yield len(missing)

    async def _missing(self, children: Sequence[str]) -> list[str]:
        """Return the ids of jobs that these wait for and that are not there; see that all others are followed."""
        with self._connection.call("resolve", what="looking for what jobs wait for"):
            now = await self._connection.now()
            # By others, or by `complete_old`: what such a job waits for may be about to be retried.
            soon = {"$gt": now - timedelta(seconds=PATIENCE), "$lte": now + timedelta(seconds=LATER + PATIENCE)}
            those: Document = {**with_ids(children), **WAITING, "linking": {"$not": soon}}
            cursor = self._connection.reading.find(those, {"waits_for": 1})
            waiting = await self._call(cursor.to_list)
        missing = []
        for some in chunks(dict.fromkeys(id for child in waiting for id in ids_waited_for(child)), ROUND):
            with self._connection.call("resolve", what="looking for what jobs wait for"):
                # After the read above: who is waited for was there before whoever waits.
                found = await self._call(
                    self._connection.reading.find({"_id": {"$in": some}}, {"followed": 1}).to_list
                )
            there = {job["_id"]: job.get("followed") for job in found}
            missing += [id for id in some if id not in there]
            await self._mark([id for id, mark in there.items() if not isinstance(mark, ObjectId)])
        return missing

    async def _mark(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        unmarked: Document = {"_id": {"$in": list(ids)}, "followed": {"$not": {"$type": "objectId"}}}
        try:
            with self._connection.call("resolve", what=f"marking {len(ids)} jobs as followed"):
                await self._call(self._jobs.update_many, unmarked, {"$set": {"followed": ObjectId()}}, hint=BY_ID)
        except OutcomeRefused as error:
            logger.error("jobs wait for %s, which cannot be marked as followed: %s", listed([*ids]), error)
