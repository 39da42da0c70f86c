"""Reading jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pymongo import ASCENDING, DESCENDING

from ..errors import InvalidConfiguration, InvalidJob, JobNotFound
from ..job import Job, State
from ..names import MAX_ID, check_instant, check_name, shown
from .connection import Connection
from .documents import Document, to_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs are meant. Everything given must hold; nothing given means all.

    Args:
        type: Of this type.
        state: In this state.
        ids: With one of these ids.
        since: Created at or after this aware datetime.
        until: Created before this aware datetime.
    """

    type: str | None = None
    state: State | str | None = None
    ids: Iterable[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    _filter: Document = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_filter", self._checked())  # once: `ids` may be a generator

    def filter(self) -> Document:
        """Return the filter, every value checked by type and compared as a value."""
        return dict(self._filter)

    def _checked(self) -> Document:
        wanted: Document = {}
        if self.type is not None:
            wanted["type"] = {"$eq": check_name(self.type, "type")}
        if self.state is not None:
            wanted["state"] = {"$eq": _state(self.state)}
        if self.ids is not None:
            wanted["_id"] = {"$in": [check_name(id, "id", longest=MAX_ID) for id in _several(self.ids)]}
        created = {
            operator: check_instant(instant, name)
            for operator, instant, name in (("$gte", self.since, "since"), ("$lt", self.until, "until"))
            if instant is not None
        }
        if created:
            wanted["created_at"] = created
        return wanted


def _several(ids: Iterable[str]) -> Iterable[str]:
    if isinstance(ids, str):
        return [ids]
    if isinstance(ids, Mapping | bytes) or not isinstance(ids, Iterable):
        raise InvalidJob(f"ids must be several names, not {type(ids).__name__}")
    return ids


def _state(value: State | str) -> str:
    try:
        return State(value).value
    except ValueError:
        raise InvalidConfiguration(f"unknown state {shown(value)}; known: {', '.join(State)}") from None


class Queries:
    """Reads. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs

    async def get(self, id: str) -> Job:
        """Return a snapshot of the job, or raise `JobNotFound`."""
        with self._connection.call("get", what=f"reading job {shown(id)}"):
            document = await self._call(self._jobs.find_one, {"_id": {"$eq": id}})
        if document is None:
            raise JobNotFound(f"no job {shown(id)} in {self._jobs.full_name}")
        return to_job(document)

    async def find(self, selection: Selection, *, limit: int, after: Job | None, oldest_first: bool) -> list[Job]:
        """Return up to `limit` jobs in the order they were created, from behind `after` on."""
        wanted = selection.filter()
        direction = ASCENDING if oldest_first else DESCENDING
        if after is not None:
            beyond = "$gt" if oldest_first else "$lt"
            at, id = check_instant(after.created_at, "after"), check_name(after.id, "after", longest=MAX_ID)
            same_instant = {"created_at": {"$eq": at}, "_id": {beyond: id}}
            wanted = {"$and": [wanted, {"$or": [{"created_at": {beyond: at}}, same_instant]}]}
        with self._connection.call("find", what="finding jobs"):
            cursor = self._jobs.find(wanted).sort([("created_at", direction), ("_id", direction)]).limit(limit)
            return [to_job(document) for document in await self._call(cursor.to_list)]

    async def count(self, selection: Selection) -> int:
        """Return how many jobs there are."""
        with self._connection.call("count", what="counting jobs"):
            return await self._call(self._jobs.count_documents, selection.filter())
