"""What becomes of the jobs that wait for others when these have ended.

Such jobs follow those that they wait for. All that decides stands in the
follower's own document: the ids that it still waits for. One update takes the
ended ones out and, if none is left, makes the job pending: whoever does that
twice, at the same time as others, or after a reply that was lost, changes
nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from pymongo import UpdateMany

from ..dependencies import RUN
from ..errors import OutcomeRefused
from ..job import State
from ..logs import bounded_logger_of
from ..names import bounded, shown
from .connection import Connection
from .documents import Document, expiry
from .fields import TEXT_ID
from .indexes import BY_ID, WAITS_INDEX

logger = bounded_logger_of(__name__)

#: How a job ended that is not there any more: it was removed, or its time was over.
GONE = "gone"
#: Ended jobs of one command, with the longest ids 10 MB of it: who waits for thousands hears of them together.
ROUND = 10_000
#: A job that waits for more others than this is wide: each word to it rewrites the list, some 80 bytes an id,
#: in the server's log as well. So its words wait for each other: one in so many milliseconds for each id that
#: is left, but never for more than this share of the job's age. The last words find a short list.
WIDE = 200
PACE = 1
SHARE = 0.05

_T = TypeVar("_T")


class Followers:
    """Writes to jobs that wait. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    async def settle(self, ends: Mapping[str, str], *, paced: bool = False) -> int:
        """Tell all who wait for them that these jobs have ended; return how many jobs that changed.

        A job fails with ``DependencyFailed`` as soon as one that it waits for
        ends without success, unless it is to run then as well. One that waits
        for nothing else becomes pending, and due now, or at its later `run_at`.

        Args:
            ends: By id, the final state, or ``gone``.
            paced: Leave out the wide ones that heard of others a moment ago.

        Raises:
            StoreUnavailable: Some may have been told. Repeating goes on from there.

        Atomicity: one conditional update of one follower at a time.
        """
        changed, rest = 0, iter(ends.items())
        while some := dict(islice(rest, ROUND)):
            try:
                changed += await self._write(_writes(some, paced), f"telling those who wait for {len(some)} jobs")
            except OutcomeRefused:
                changed += await self._settle_one_by_one(some, paced)
        return changed

    async def _write(self, writes: Iterable[UpdateMany], what: str) -> int:
        with self._connection.call("resolve", what=what):
            return (await self._call(self._jobs.bulk_write, list(writes), ordered=False)).modified_count

    async def _settle_one_by_one(self, ends: Mapping[str, str], paced: bool) -> int:
        """Tell those who wait one by one: one that cannot be written to must not keep the others waiting.

        What was done before the refusal is done, and is not counted.
        """
        with self._connection.call("resolve", what=f"looking who waits for {len(ends)} jobs"):
            waiting = await self.who_waits([*ends])
        changed = 0
        for id, ended in waiting.items():
            told = _writes({other: ends[other] for other in ended}, paced, only=id)
            try:
                changed += await self._write(told, f"telling job {shown(id)} of ends")
            except OutcomeRefused as error:
                logger.error(
                    "job %s, which waits for others that have ended, cannot be told: %s", shown(id), error
                )
        return changed

    async def waiting_for(self, ids: Collection[str]) -> list[str]:
        """Return the ids of the jobs that wait for any of these; call it within `Connection.call`."""
        found: dict[str, None] = {}
        for some in chunks(ids, ROUND):
            cursor = self._jobs.find({**waits_for_any(some), **TEXT_ID}, {"_id": 1}).hint(WAITS_INDEX)
            found |= dict.fromkeys(job["_id"] for job in await self._call(cursor.to_list))
        return list(found)

    async def who_waits(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Return by id who waits for which of these; call it within `Connection.call`."""
        found: dict[str, list[str]] = {}
        for some in chunks(ids, ROUND):
            those: Document = {"$setIntersection": [_WAITS, {"$literal": some}]}
            cursor = self._jobs.find({**waits_for_any(some), **TEXT_ID}, {"ids": those}).hint(WAITS_INDEX)
            for job in await self._call(cursor.to_list):
                found.setdefault(job["_id"], []).extend(job["ids"])
        return found

    async def waited_for(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids for which somebody waits; call it within `Connection.call`."""
        return {id for ended in (await self.who_waits(ids)).values() for id in ended}


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items so many at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def ids_waited_for(job: Mapping[str, object]) -> list[str]:
    """Return the ids that a stored job waits for: of what is no list, or no id, somebody else wrote it, none."""
    ids = job.get("waits_for")
    return [id for id in ids if isinstance(id, str)] if isinstance(ids, list) else []


def waits_for_any(ids: Sequence[str]) -> Document:
    """Return the filter of jobs that wait for one of these."""
    return {"waits_for": {"$in": list(ids)}, "state": State.WAITING.value}


def _writes(ends: Mapping[str, str], paced: bool, only: str | None = None) -> Iterator[UpdateMany]:
    """Yield the statements, each of which is right by itself and whatever happens between two of them.

    A job that was created a moment ago may be met by the last statement alone:
    that one must not let it run if it was to fail.
    """
    well = [id for id, end in ends.items() if end == State.SUCCEEDED]
    ill = {id: end for id, end in ends.items() if end != State.SUCCEEDED}
    due: Document = {"$expr": _PACED} if paced else {}
    here: Document = {} if only is None else {"_id": only}
    index = WAITS_INDEX if only is None else BY_ID
    for id, end in ill.items():
        fails: Document = {**waits_for_any([id]), **here, "on_failure": {"$ne": RUN}}
        yield UpdateMany(fails, _failure(id, end), hint=index)
    if ill:
        yield UpdateMany({**waits_for_any([*ill]), **here, "on_failure": RUN, **due}, _without([*ill]), hint=index)
    if well:
        yield UpdateMany({**waits_for_any(well), **here, **due}, _without(well), hint=index)


# Somebody else may have written what is no array or no date, and an error would stop all of a statement.
_WAITS: Document = {"$cond": [{"$isArray": ["$waits_for"]}, "$waits_for", []]}
_TOLD_AT: Document = {"$ifNull": ["$told_at", "$created_at"]}
#: True of a follower that may be told, see `WIDE`.
_PACED: Document = {
    "$or": [
        {"$lte": [{"$size": _WAITS}, WIDE]},
        {"$ne": [{"$type": "$created_at"}, "date"]},
        {"$ne": [{"$type": _TOLD_AT}, "date"]},
        {"$gt": [_TOLD_AT, "$$NOW"]},  # another server's clock
        {
            "$gte": [
                {"$subtract": ["$$NOW", _TOLD_AT]},
                {
                    "$min": [
                        {"$multiply": [PACE, {"$size": _WAITS}]},
                        {"$multiply": [SHARE, {"$subtract": ["$$NOW", "$created_at"]}]},
                    ]
                },
            ]
        },
    ]
}
_DONE: Document = {"$eq": ["$waits_for", []]}


def _if_done(then: object, otherwise: object) -> Document:
    return {"$cond": [_DONE, then, otherwise]}


def _without(ids: list[str]) -> list[Document]:
    """Return the update that waits for these no more, and for nothing if they were the last."""
    return [
        {"$set": {"waits_for": {"$setDifference": [_WAITS, {"$literal": ids}]}}},
        {
            "$set": {
                "state": _if_done(State.PENDING.value, "$state"),
                "run_at": _if_done({"$max": ["$run_at", "$$NOW"]}, "$run_at"),
                "linking": _if_done("$$REMOVE", "$linking"),
                "told_at": _if_done("$$REMOVE", "$$NOW"),
            }
        },
        {"$set": {"waits_for": _if_done("$$REMOVE", "$waits_for")}},
    ]


def _failure(id: str, end: str) -> list[Document]:
    """Return the update that fails those who wait for a job that ended without success."""
    how = "is gone: it was removed, or its retention was over" if end == GONE else end
    message = bounded(f"job {shown(id)}, after which it was to run, {how}; it was not started", 2000)
    error = {"type": "DependencyFailed", "message": message, "traceback": "", "attempt": 0}
    return [
        {
            "$set": {
                "state": State.FAILED.value,
                "finished_at": "$$NOW",
                "error": {"$mergeObjects": [{"$literal": error}, {"at": "$$NOW"}]},
                "expire_at": expiry("$keep_failed"),
            }
        },
        {"$unset": "linking"},
    ]
