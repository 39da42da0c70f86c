"""Creating jobs that wait for others: how these come to know that they are followed.

Three steps, after each of which the creator may die:

1. the job is inserted, ``waiting``, with the ids that it waits for, and
   ``linking`` since now;
2. the jobs that it waits for are marked ``followed``, those that have ended
   as well: it is by this mark that pools find those who wait (see `resolving`);
3. ``linking`` is taken away.

The mark comes last, so whoever sees it finds the job. It is a token of its
own each time: whoever takes one away takes none that came later. A job that
is ``linking`` for long has lost its creator; pools take the steps from 2 on
again, and so does whoever creates it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.collection import Collection as Mongo
from pymongo.cursor import Cursor

from ..errors import JobNotFound, OutcomeRefused
from ..job import State
from ..logs import bounded_logger_of
from ..names import listed, shown
from .connection import Connection
from .documents import Document
from .driver import Session
from .fields import with_ids
from .followers import GONE, Followers, chunks, ids_waited_for
from .indexes import WAITING_INDEX

logger = bounded_logger_of(__name__)

#: Ids of one statement.
ROUND = 1000
#: Seconds after which whoever links a job is taken for dead. If he is not, both do the same.
PATIENCE = 10.0
#: Seconds more that jobs which are retried, and so wait again, leave those for which they wait to be retried as
#: well: they are `linking` since a moment that is to come.
LATER = 50
#: Jobs that are completed together.
COMPLETED = 50

WAITING: Document = {"state": State.WAITING.value}
_LINKING: Document = {**WAITING, "linking": {"$exists": True}}


def left_links(jobs: Mongo[Document], before: datetime) -> Cursor[Document]:
    """Return the read that finds jobs whose creator has not come so far since `before`."""
    old: Document = {**WAITING, "linking": {"$lt": before}}
    return jobs.find(old, {"waits_for": 1}).hint(WAITING_INDEX).batch_size(COMPLETED)


class Linking:
    """Joins jobs with those that they wait for. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection, followers: Followers) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._followers = followers

    async def check(
        self, after: Mapping[str, Collection[str]], here: Collection[str] = (), session: Session | None = None
    ) -> None:
        """Raise `JobNotFound` if a job is to wait for one that does not exist.

        A job that exists already may do so: it was checked when it was created.

        Args:
            after: By id, whom the jobs are to wait for.
            here: The ids of jobs that are created with them.
        """
        own = frozenset(here)
        wanted = dict.fromkeys(id for ids in after.values() for id in ids if id not in own)
        lacking = set(await self._missing(wanted, session))
        if not lacking:
            return
        wanting = [id for id, ids in after.items() if not lacking.isdisjoint(ids)]
        if new := await self._missing(wanting, session):
            missing = [id for id in after[new[0]] if id in lacking]
            raise JobNotFound(
                f"job {shown(new[0])} is to run after {listed(missing)}: no such job in {self._jobs.full_name}; "
                "it was not created: create what it waits for first, or both in one list with create_many"
            )

    async def _missing(self, ids: Collection[str], session: Session | None = None) -> list[str]:
        """Return which of the ids no job has."""
        missing: list[str] = []
        for some in chunks(ids, ROUND):
            cursor = self._jobs.find({"_id": {"$in": some}}, {"_id": 1}, session=session)
            found = {job["_id"] for job in await self._call(cursor.to_list)}
            missing += [id for id in some if id not in found]
        return missing

    async def link(self, children: Sequence[Document], session: Session | None = None) -> None:
        """Take the steps 2 and 3 for jobs that are stored.

        Args:
            children: What is stored of them, `_id` and `waits_for` at least.
            session: All is done in its transaction, then.

        Raises:
            StoreUnavailable: Unknown how far it came. Repeating it is safe.
            StoreRefused: Not done, for want of the right to update, say. The
                jobs stand, and pools take these steps after `PATIENCE` seconds.
        """
        what = f"linking {len(children)} jobs, which are stored, and which pools link some seconds later"
        with self._connection.call("resolve", what=what, translated=session is None):
            await self._link(children, session)

    async def _link(self, children: Sequence[Document], session: Session | None) -> None:
        gone: list[str] = []
        parents = dict.fromkeys(id for child in children for id in ids_waited_for(child))
        mark = {"$set": {"followed": ObjectId()}}
        for some in chunks(parents, ROUND):
            update = self._jobs.update_many
            answer = await self._call(update, {"_id": {"$in": some}}, mark, session=session)
            if answer.matched_count < len(some):
                gone += await self._missing(some, session)
        if session is not None:  # nobody has seen them
            return
        if gone:  # removed since they were checked
            await self._followers.settle(dict.fromkeys(gone, GONE))
        for ids in chunks((child["_id"] for child in children), ROUND):
            await self._call(self._jobs.update_many, {**with_ids(ids), **_LINKING}, {"$unset": {"linking": ""}})

    async def complete(self, ids: Collection[str]) -> None:
        """Link those of the jobs whose creator has not come so far, or whose reply was lost."""
        for some in chunks(ids, ROUND):
            cursor = self._connection.reading.find({"_id": {"$in": some}, **_LINKING}, {"waits_for": 1})
            if children := await self._call(cursor.to_list):
                await self.link(children)

    async def complete_old(self) -> int:
        """Link jobs whose creator has died; return how many there were.

        Raises:
            StoreUnavailable: Some may be linked. The next call finds the rest.
        """
        completed, what = 0, "looking for jobs whose creator has died"
        with self._connection.call("resolve", what=what):
            before = await self._connection.now() - timedelta(seconds=PATIENCE)
        cursor = left_links(self._connection.reading, before)
        while True:
            with self._connection.call("resolve", what=what):
                found = await self._call(cursor.to_list, COMPLETED)
            if not found:
                return completed
            completed += await self._go_on(found)

    async def _go_on(self, children: Sequence[Document]) -> int:
        """Link jobs that others have left; one that MongoDB does not let us write to holds up no other."""
        try:
            with self._connection.call("resolve", what=f"going on with {len(children)} jobs"):
                await self.link(children)
        except OutcomeRefused as error:
            if len(children) > 1:
                return sum([await self._go_on([child]) for child in children])
            logger.error("job %s waits, and cannot be linked: %s", shown(children[0]["_id"]), error)
            return 0
        return len(children)
