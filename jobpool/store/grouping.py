"""What failed jobs have in common: groups of errors, counted on the server as far as it can tell them alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING

from ..error_groups import PREFIX, ErrorGroup, pattern_of, sign_of
from ..job import State
from .connection import Connection
from .documents import Document
from .fields import mapping
from .indexes import FAILED_INDEX

#: Failed jobs of one statement: their documents are read, a second for all of these on a slow machine.
ROUND = 50_000

#: Before all others.
FIRST = datetime.min.replace(tzinfo=UTC)
_FAILED: Document = {"state": State.FAILED.value}


def _masked() -> Document:
    """Return the expression of a message's beginning with each digit a 0; see `error_groups.pattern_of`."""
    text: Document = {"$substrCP": ["$error.message", 0, PREFIX]}
    for digit in "123456789":
        text = {"$replaceAll": {"input": text, "find": digit, "replacement": "0"}}
    return {"$cond": [{"$eq": [{"$type": "$error.message"}, "string"]}, text, ""]}


_GROUP: Document = {
    "$group": {
        "_id": {"type": "$type", "error": "$error.type", "message": _masked()},
        "count": {"$sum": 1},
        "first": {"$min": "$finished_at"},
        "last": {"$max": {"at": "$finished_at", "id": "$_id"}},
    }
}


@dataclass(slots=True)
class _Sum:
    """What is known of a group so far."""

    count: int
    first: Any
    last: tuple[Any, Any]

    def add(self, other: _Sum) -> None:
        self.count += other.count
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


class Grouping:
    """Reads failed jobs by their index. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    async def groups(
        self, *, types: Sequence[str] | None, since: datetime | None, until: datetime | None, limit: int
    ) -> list[ErrorGroup]:
        """Return the largest groups of the jobs of these types that failed in that time.

        Raises:
            StoreUnavailable: Nothing was changed.
            StoreRefused: The collection lacks jobpool's index of failed jobs.
        """
        sums: dict[tuple[str, str, str], _Sum] = {}
        async for wanted in self._rounds(types, since, until):
            with self._connection.call("find", what="grouping failed jobs"):
                rows = [{"$match": {**wanted, "_id": {"$type": "string"}}}, _GROUP]
                cursor = await self._call(self._jobs.aggregate, rows, hint=FAILED_INDEX, allowDiskUse=True)
                _add(sums, await self._call(cursor.to_list))
        largest = sorted(sums.items(), key=lambda item: (-item[1].count, item[0]))[:limit]
        messages = await self._messages([found.last[1] for _, found in largest])
        return [_group(*key, found, messages) for key, found in largest]

    async def _rounds(
        self, types: Sequence[str] | None, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[Document]:
        """Yield filters, each of a bounded number of jobs, all of them together of what is meant."""
        wanted = {**_FAILED, **_between(since, until)}
        if types is not None:
            wanted["type"] = {"$in": list(types)}
        together: list[str] = []
        room = ROUND
        for type, count in await self._counts(wanted):
            if count > ROUND:
                async for part in self._parts(type, since, until):
                    yield part
                continue
            if count > room:
                yield {**wanted, "type": {"$in": together}}
                together, room = [], ROUND
            together.append(type)
            room -= count
        if together:
            yield {**wanted, "type": {"$in": together}}

    async def _counts(self, wanted: Document) -> list[tuple[str, int]]:
        """Count failed jobs by type; the index alone answers."""
        by_type = [{"$match": wanted}, {"$group": {"_id": "$type", "count": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
        with self._connection.call("find", what="counting failed jobs"):
            cursor = await self._call(self._jobs.aggregate, by_type, hint=FAILED_INDEX)
            found = await self._call(cursor.to_list)
        return [(row["_id"], row["count"]) for row in found if isinstance(row["_id"], str)]

    async def _parts(self, type: str, since: datetime | None, until: datetime | None) -> AsyncIterator[Document]:
        """Yield the parts of a type, the newest first; a part ends between two instants."""
        while True:
            wanted = {**_FAILED, "type": type, **_between(since, until)}
            cursor = self._jobs.find(wanted, {"_id": 0, "finished_at": 1}).hint(FAILED_INDEX)
            cursor = cursor.sort("finished_at", DESCENDING)
            with self._connection.call("find", what="counting failed jobs"):
                last = await self._call(cursor.skip(ROUND).limit(1).to_list)
            end = last[0].get("finished_at") if last else None
            if not isinstance(end, datetime):
                yield wanted
                return
            yield {**wanted, **_between(end, until)}
            until = end

    async def _messages(self, ids: list[Any]) -> Mapping[Any, Any]:
        with self._connection.call("find", what="reading failed jobs"):
            cursor = self._jobs.find({"_id": {"$in": ids}}, {"error.message": 1})
            found = await self._call(cursor.to_list)
        return {job["_id"]: mapping(job.get("error")).get("message") for job in found}


def _between(since: datetime | None, until: datetime | None) -> Document:
    """Return the condition on when jobs failed; what is no instant, which somebody else wrote, is in no bounds."""
    after: Document = {"$gte": since or FIRST}
    return {"finished_at": after if until is None else {**after, "$lt": until}}


def _add(sums: dict[tuple[str, str, str], _Sum], rows: Iterable[Document]) -> None:
    for row in rows:
        type, error, message = (row["_id"].get(name) for name in ("type", "error", "message"))
        at, id = row["last"].get("at"), row["last"].get("id")
        usable = isinstance(type, str) and isinstance(error, str) and isinstance(id, str)
        if not (usable and isinstance(at, datetime) and isinstance(row["first"], datetime)):
            continue  # somebody else wrote it
        key = type, error, pattern_of(message)
        found = _Sum(row["count"], row["first"], (at, id))
        if key in sums:
            sums[key].add(found)
        else:
            sums[key] = found


def _group(type: str, error: str, pattern: str, found: _Sum, messages: Mapping[Any, Any]) -> ErrorGroup:
    at, id = found.last
    message = messages.get(id)
    return ErrorGroup(
        group=sign_of(type, error, pattern),
        type=type,
        error=error,
        pattern=pattern,
        count=found.count,
        first_at=found.first,
        last_at=at,
        example=id,
        message=message if isinstance(message, str) else pattern,
    )
