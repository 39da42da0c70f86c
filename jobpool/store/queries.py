"""Reading jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pymongo import ASCENDING, DESCENDING

from ..data import to_be_found
from ..errors import InvalidConfiguration, InvalidJob, JobNotFound
from ..job import Job, State
from ..limits import MAX_KEY
from ..matching import Matcher
from ..names import MAX_ID, check_instant, check_name, shown
from .connection import Connection
from .documents import Document, to_job
from .pages import Pages

#: Jobs that are matched together here, at first and then.
FIRST_LOOK, LOOK = 200, 1000


class Wanted(Protocol):
    """Which jobs are meant, as far as MongoDB can tell by itself."""

    def filter(self) -> Document:
        """Return the filter."""


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a selection that have been matched here."""

    ids: list[str]
    selection: Selection

    def filter(self) -> Document:
        """Return the filter: what else is meant has to hold still."""
        return {**self.selection.filter(), "_id": {"$in": self.ids}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs are meant. Everything given must hold; nothing given means all.

    Args:
        type: Of this type, or of one of several.
        state: In this state, or in one of several.
        ids: With one of these ids.
        since: Created at or after this aware datetime.
        until: Created before this aware datetime.
        error: Failed with an exception of this class, by its name.
        group: Failed alike: the sign of an `ErrorGroup`.
        text: With this text in their data; see `Matcher`.
        key: Of this key.

    Attributes:
        matcher: What decides of `group` and `text`, which MongoDB cannot; None if neither is given.
    """

    type: str | Iterable[str] | None = None
    state: State | str | Iterable[State | str] | None = None
    ids: Iterable[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    error: str | None = None
    group: str | None = None
    text: str | None = None
    key: str | None = None
    matcher: Matcher | None = field(init=False, repr=False, compare=False)
    _filter: Document = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        matcher = None
        if self.group is not None or self.text is not None:
            matcher = Matcher(text=self.text, group=self.group)
        object.__setattr__(self, "matcher", matcher)
        object.__setattr__(self, "_filter", self._checked())  # once: `ids` may be a generator

    def filter(self) -> Document:
        """Return the filter, every value checked by type and compared as a value; see `matcher`."""
        return dict(self._filter)

    @property
    def all(self) -> bool:
        """Whether every job is meant."""
        return not self._filter and self.matcher is None

    @property
    def types(self) -> tuple[str, ...] | None:
        """The types that are meant; None for all."""
        return _values(self._filter.get("type"))

    @property
    def states(self) -> tuple[str, ...] | None:
        """The states that are meant; None for all."""
        return _values(self._filter.get("state"))

    @property
    def named(self) -> tuple[str, ...] | None:
        """The ids that are meant, each once; None if none are named."""
        found = _values(self._filter.get("_id"))
        return None if found is None else tuple(dict.fromkeys(found))

    def _checked(self) -> Document:
        wanted: Document = {}
        if self.type is not None:
            wanted["type"] = _one_of([check_name(type, "type") for type in _several(self.type, "type")])
        states = self.state
        if states is None and (self.error is not None or self.group is not None):
            states = State.FAILED  # no other has an error, and these have an index
        if states is not None:
            wanted["state"] = _one_of([_state(state) for state in _several(states, "state")])
        if self.ids is not None:
            wanted["_id"] = {"$in": [check_name(id, "id", longest=MAX_ID) for id in _several(self.ids, "ids")]}
        if self.error is not None:
            wanted["error.type"] = {"$eq": check_name(self.error, "error", longest=MAX_ID)}
        if self.key is not None:
            wanted["key"] = {"$eq": self.key if self.key == "" else check_name(self.key, "key", longest=MAX_KEY)}
        created = {
            operator: check_instant(instant, name)
            for operator, instant, name in (("$gte", self.since, "since"), ("$lt", self.until, "until"))
            if instant is not None
        }
        if created:
            wanted["created_at"] = created
        return wanted


def _several(values: object, name: str) -> Iterable[Any]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, Mapping | bytes) or not isinstance(values, Iterable):
        raise InvalidJob(f"{name} must be a name, or several, not {type(values).__name__}")
    return values


def _one_of(values: list[str]) -> Document:
    """Return the condition; that on one value lets MongoDB take the index of a single state."""
    distinct = list(dict.fromkeys(values))
    return {"$eq": distinct[0]} if len(distinct) == 1 else {"$in": distinct}


def _values(condition: Document | None) -> tuple[str, ...] | None:
    """Return what a condition made above allows; None if there is none."""
    if condition is None:
        return None
    return (condition["$eq"],) if "$eq" in condition else tuple(condition["$in"])


def _state(value: State | str) -> str:
    try:
        return State(value).value
    except ValueError:
        raise InvalidConfiguration(f"unknown state {shown(value)}; known: {', '.join(State)}") from None


class Queries:
    """Reads. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, pages: Pages) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._pages = pages

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
            wanted = {"$and": [wanted, await self._beyond(after, beyond)]}
        order = [("created_at", direction), ("_id", direction)]
        if selection.matcher is not None:
            return await self._matching(wanted, selection.matcher, order, limit)
        with self._connection.call("find", what="finding jobs"):
            cursor = self._jobs.find(wanted).sort(order).limit(limit).allow_disk_use(True)
            return [to_job(document) for document in await self._call(cursor.to_list)]

    async def _beyond(self, after: Job, beyond: str) -> Document:
        """Return the filter of what comes behind a job in an order that takes all values, as sorting does.

        A snapshot has an instant in place of what somebody else stored as the time of creation: it is asked for.
        """
        if not isinstance(after.id, str):
            raise InvalidJob(f"after must be a job with an id, not with {type(after.id).__name__}")
        if after.id.encode(errors="replace").decode() != after.id:
            raise InvalidJob(
                f"after must be a job that is stored, and no id has half a character: {after.id[:40]!r}"
            )
        at: Any = check_instant(after.created_at, "after")
        with self._connection.call("find", what="finding jobs"):
            one = {"$max" if beyond == "$lt" else "$min": "$created_at"}  # of several, by which it is sorted
            shown_at = {"created_at": {"$cond": [{"$isArray": ["$created_at"]}, one, "$created_at"]}}
            stored = await self._call(self._jobs.find_one, {"_id": {"$eq": after.id}}, shown_at)
        if stored is not None:
            at = to_be_found(stored.get("created_at"))  # an instant, of jobs
        created, id = {"$ifNull": ["$created_at", None]}, {"$literal": after.id}
        later, same = {beyond: [created, {"$literal": at}]}, {"$eq": [created, {"$literal": at}]}
        behind = {"$or": [later, {"$and": [same, {beyond: ["$_id", id]}]}]}
        # One that has several times is sorted by one of them, which would come again and again.
        return {"$expr": behind, "created_at": {"$not": {"$type": "array"}}}

    async def _matching(
        self, wanted: Document, matcher: Matcher, order: list[tuple[str, int]], limit: int
    ) -> list[Job]:
        """Return the first jobs that match: MongoDB puts ids in order, they are read as far as needed."""
        found: list[str] = []
        ordered: list[Document] = [{"$match": wanted}, {"$project": {"created_at": 1}}, {"$sort": dict(order)}]
        with self._connection.call("find", what="finding jobs"):
            cursor = await self._call(self._jobs.aggregate, ordered, allowDiskUse=True, batchSize=FIRST_LOOK)
        try:
            size = FIRST_LOOK
            while len(found) < limit:
                with self._connection.call("find", what="finding jobs"):
                    some = [job["_id"] for job in await self._call(cursor.to_list, size)]
                if not some:
                    break
                some = [id for id in some if isinstance(id, str)]  # the others are no jobs, see `Pages`
                matched = {brief.id for brief in await self._pages.read({"_id": {"$in": some}}, matcher)}
                found += [id for id in some if id in matched]
                size = LOOK
        finally:
            await self._call(cursor.close)
        return await self._these(found[:limit])

    async def _these(self, ids: list[str]) -> list[Job]:
        """Return the jobs with these ids, in that order; a few at a time, as they may have megabytes."""
        jobs: dict[str, Job] = {}
        for start in range(0, len(ids), LOOK):
            with self._connection.call("find", what="finding jobs"):
                cursor = self._jobs.find({"_id": {"$in": ids[start : start + LOOK]}})
                jobs |= {job["_id"]: to_job(job) for job in await self._call(cursor.to_list)}
        return [jobs[id] for id in ids if id in jobs]

    async def count(self, selection: Selection) -> int:
        """Return how many jobs there are."""
        if selection.matcher is None:
            with self._connection.call("count", what="counting jobs"):
                return await self._call(self._jobs.count_documents, selection.filter())
        counted, walk = 0, self._pages.walk(selection)
        while page := await walk.next():
            counted += len(page)
        return counted

    async def parts(self, selection: Selection) -> AsyncIterator[Wanted]:
        """Yield what is meant in parts that MongoDB can tell by itself: all at once, unless it is matched here."""
        if selection.matcher is None:
            yield selection
            return
        walk = self._pages.walk(selection)
        while page := await walk.next():
            yield Part([brief.id for brief in page], selection)
