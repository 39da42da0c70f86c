"""Many jobs a page at a time, by their ids: each once, whatever happens to jobs meanwhile.

The order is that of the ids, which never change: a job that moves in any other
order (its state, its time) would be met twice, or not at all. Each trip to the
server reads a bounded number of jobs, however few of them are meant. Where all
that is meant has an index that holds little else, that is asked first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pymongo import ASCENDING

from ..errors import InvalidJob, StoreRefused, StoreUnavailable
from ..job import Brief, State
from ..matching import Matcher
from ..names import MAX_ID, check_name
from .connection import Connection
from .documents import Document, state_of
from .indexes import BY_ID, CLAIM_INDEX, FAILED_INDEX, LEASE_INDEX, WAITING_INDEX

#: Jobs of one page: a lost reply to a write leaves this many in doubt.
SIZE = 2000
#: Jobs of one look: of those whose data are read, and of others.
SLOW_LOOK, LOOK = 1000, 20_000
#: Documents of one reply where data are read, which may have a megabyte each.
HEAVY = 100
#: So many ids of an index are kept in memory, some 15 MB, to read no other jobs; what has more is walked through.
FEW = 100_000
#: Seconds for that: an index may hold millions of jobs of which few are meant. It is given up then, too.
PATIENCE = 2.0

_HELD: Document = {"lease_until": {"$exists": True}}
#: States whose jobs have an index that holds no others, and what it holds only.
_INDEXES: dict[str, tuple[str, Document]] = {
    State.PENDING.value: (CLAIM_INDEX, {}),
    State.FAILED.value: (FAILED_INDEX, {}),
    State.WAITING.value: (WAITING_INDEX, {}),
    State.CLAIMED.value: (LEASE_INDEX, _HELD),
    State.RUNNING.value: (LEASE_INDEX, _HELD),
}


class Meaning(Protocol):
    """Which jobs are meant; see `Selection`."""

    @property
    def matcher(self) -> Matcher | None:
        """What is decided here."""

    @property
    def states(self) -> tuple[str, ...] | None:
        """The states that are meant; None for all."""

    @property
    def named(self) -> tuple[str, ...] | None:
        """The ids that are meant; None if none are named."""

    def filter(self) -> Document:
        """Return what MongoDB decides."""


class Pages:
    """Reads jobs in brief. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    def walk(
        self,
        meaning: Meaning,
        *,
        condition: Document | None = None,
        states: Sequence[str] | None = None,
        size: int = SIZE,
        after: str = "",
    ) -> Walk:
        """Return a walk through the jobs meant, from behind the id `after` on.

        Args:
            condition: What must hold as well.
            states: The states that it allows at the most, if it allows not all.
        """
        return Walk(self, meaning, condition or {}, states, size, after)

    async def read(self, filter: Document, matcher: Matcher | None) -> list[Brief]:
        """Return those of some jobs that match."""
        fields = dict.fromkeys(("type", "state", *(() if matcher is None else matcher.fields)), 1)
        cursor = self._jobs.find(filter, fields).hint(BY_ID)
        if matcher is None:
            with self._connection.call("find", what="reading jobs"):
                return list(_briefs(await self._call(cursor.batch_size(LOOK).to_list)))
        found: list[Brief] = []
        cursor = cursor.batch_size(HEAVY if "data" in matcher.fields else SLOW_LOOK)
        while True:
            with self._connection.call("find", what="reading jobs"):
                some = await self._call(cursor.to_list, SLOW_LOOK)
            if not some:
                return found
            found += _briefs(document for document in some if matcher.matches(document))

    async def few(self, filter: Document, states: Sequence[str]) -> list[Brief] | None:
        """Return the jobs in these states by their indexes; None if one has no index, or these are too many."""
        if not all(state in _INDEXES for state in states):
            return None
        found: dict[str, Brief] = {}
        for state in states:
            index, holds = _INDEXES[state]
            wanted: Document = {"$and": [filter, holds, {"state": {"$eq": state}}]}
            cursor = (
                self._jobs.find(wanted, {"type": 1, "state": 1}).hint(index).limit(FEW + 1).batch_size(FEW + 2)
            )
            limit = min(PATIENCE, self._connection.timeout)
            try:
                with self._connection.call("find", what="reading jobs", timeout=limit):
                    found |= {brief.id: brief for brief in _briefs(await self._call(cursor.to_list))}
            except (StoreRefused, StoreUnavailable) as error:
                if error.kind not in ("index", "timeout"):
                    raise
                return None
            if len(found) > FEW:
                return None
        return sorted(found.values(), key=lambda brief: brief.id)

    async def bound(self, after: str, jobs: int) -> str | None:
        """Return the id of the last of so many jobs behind an id; None if there are not so many."""
        cursor = self._jobs.find({"_id": {"$gt": after}}, {"_id": 1}).hint(BY_ID).sort("_id", ASCENDING)
        with self._connection.call("find", what="reading jobs"):
            last = await self._call(cursor.skip(jobs - 1).limit(1).to_list)
        return last[0]["_id"] if last else None


class Walk:
    """Where one is on the way through many jobs. Threads: one; all fields are its own."""

    def __init__(
        self,
        pages: Pages,
        meaning: Meaning,
        condition: Document,
        states: Sequence[str] | None,
        size: int,
        after: str,
    ) -> None:
        self._pages = pages
        self._matcher = meaning.matcher
        wanted = meaning.filter()
        self._named = None if meaning.named is None else sorted(id for id in meaning.named if id > after)
        if self._named is not None:
            wanted.pop("_id")
        self._filter: Document = {"$and": [wanted, condition]} if condition else wanted
        self._states = _fewest(meaning.states, states)
        self._size = size
        self._last: str | None = after
        self._few: list[Brief] | None = None
        self._ready: list[Brief] = []
        self._begun = False

    async def next(self) -> list[Brief]:
        """Return the next page, in the order of the ids; an empty one at the end.

        Raises:
            StoreUnavailable: Nothing was changed; what was returned before is the whole of what is
                meant up to its last id.
        """
        if not self._begun:
            await self._begin()
            self._begun = True
        while len(self._ready) < self._size and (more := await self._look()) is not None:
            self._ready += more
        page, self._ready = self._ready[: self._size], self._ready[self._size :]
        return page

    async def _begin(self) -> None:
        if self._named is None and self._states is not None:
            found = await self._pages.few(self._filter, self._states)
            if found is None:
                return
            after = self._last or ""
            found = [brief for brief in found if brief.id > after]
            if self._matcher is None:
                self._ready, self._last = found, None
            else:
                self._named = [brief.id for brief in found]

    async def _look(self) -> list[Brief] | None:
        """Read on; return what was found, None at the end."""
        if self._named is not None:
            jobs = SIZE if self._matcher is None else SLOW_LOOK
            some, self._named = self._named[:jobs], self._named[jobs:]
            return await self._read({"$in": some}) if some else None
        if self._last is None:
            return None
        jobs = LOOK if self._matcher is None else SLOW_LOOK
        bound = await self._pages.bound(self._last, jobs)
        ids = {"$gt": self._last} if bound is None else {"$gt": self._last, "$lte": bound}
        found = await self._read(ids)
        self._last = bound
        return found

    async def _read(self, ids: Document) -> list[Brief]:
        found = await self._pages.read({"$and": [{"_id": ids}, self._filter]}, self._matcher)
        return sorted(found, key=lambda brief: brief.id)


def _fewest(one: Sequence[str] | None, other: Sequence[str] | None) -> Sequence[str] | None:
    """Return the states that both allow; None is all."""
    if one is None or other is None:
        return other if one is None else one
    return [state for state in one if state in other]


def _briefs(documents: Iterator[Mapping[str, Any]] | list[Document]) -> Iterator[Brief]:
    """Yield jobs in brief; what others stored under an id that none can have, or without a type, is no job."""
    for document in documents:
        id, type, state = document["_id"], document.get("type"), document.get("state")
        if _is_id(id) and isinstance(type, str) and isinstance(state, str):
            yield Brief(id, type, state_of(state))


def _is_id(value: object) -> bool:
    """Say whether calls take it: one that is shown and then refused would stop all that are meant with it."""
    try:
        check_name(value, "id", longest=MAX_ID)
    except InvalidJob:
        return False
    return True
