"""Hearing of every change of jobs through a change stream, each once, also beyond a broken connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pymongo import DESCENDING

from ..changes import Change
from ..errors import StoreError, StoreUnavailable
from .connection import Connection
from .documents import Document
from .events import About, at_of, change_of, learn, pipeline, snapshot
from .listing import PATIENCE
from .pages import Meaning
from .watching import ENDED, Stream

#: Changes that are read before those of them are looked up of whose jobs nothing is known.
BATCH = 1000
#: From so many on in a reply, more are likely to be there already.
FULL = 100
#: Changes that are taken, and told, before others in an event loop have a turn: some 2 ms each.
TURN = 100
#: Jobs of which something is remembered, some 20 MB of them; who changed longest ago is forgotten first.
KNOWN = 100_000


class EventStream(Stream):
    """A stream of events, from behind `token` on.

    Attributes:
        more: Whether so much came with the last reply that more may be there.
    """

    more = False

    def __init__(
        self, connection: Connection, wanted: list[Document], max_await: float, token: Mapping[str, Any] | None
    ) -> None:
        super().__init__(connection, wanted, max_await, resume_after=token, batch_size=BATCH)

    @property
    def token(self) -> Mapping[str, Any] | None:
        """Behind which another stream goes on: nothing that this one returned comes again."""
        return self._stream.resume_token

    async def read(self) -> list[dict[str, Any]]:
        """Return the events that are there, at most a batch; none if none came in time.

        Raises:
            StoreError: The stream is broken; open another one. It has ended for good only after all that
                happened before was returned.
        """
        events: list[dict[str, Any]] = []
        try:
            event = await self.take()
            while event is not None:
                events.append(event)
                if len(events) % TURN == 0:
                    await self._connection.driver.pause(0)
                event = await self.take() if len(events) < BATCH and self._waiting else None
        except StoreUnavailable as error:
            if error.reason != ENDED or not events:
                raise
        self.more = len(events) >= FULL
        return events

    @property
    def _waiting(self) -> int:
        """How many came with the last reply; 0 of a driver that does not tell, which gives them one at a time."""
        return len(getattr(getattr(self._stream, "_cursor", None), "_data", ()))


class Following:
    """Follows the changes of some jobs, or of all. Its operations are coroutines; see `driver.run`.

    Threads: one; with an awaited driver one task at a time. A task that is cancelled in a call has closed the
    stream; the next call opens another one, behind the last change that was returned.

    Args:
        ids: Of these alone; None for all.
        data: Bring the data of the jobs.
        progress: Tell of reports as well.
    """

    def __init__(
        self, connection: Connection, ids: Iterable[str] | None, *, data: bool, progress: bool, max_await: float
    ) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._pipeline = pipeline(None if ids is None else sorted(ids), data=data, progress=progress)
        self._data = data
        self._max_await = max_await
        self._stream: EventStream | None = None
        self._token: Mapping[str, Any] | None = None
        self._known: dict[str, About] = {}
        self._events: deque[dict[str, Any]] = deque()
        self._changes: list[Change] = []
        self._last_at: datetime | None = None

    @property
    def behind(self) -> float:
        """Seconds since the last event that was read, if more were there when it was; 0 if it was the newest."""
        if self._last_at is None:
            return 0.0
        clock = self._connection.clock
        return max(0.0, ((clock.known() or clock.guess()) - self._last_at).total_seconds())

    async def open(self) -> None:
        """Open the stream, or another one behind the last event that was read.

        Raises:
            StoreUnavailable: Try again: nothing is left out.
            StoreRefused: The server has forgotten where this was, or refuses streams.
        """
        if self._stream is None:
            stream = EventStream(self._connection, self._pipeline, self._max_await, self._token)
            await stream.begin()
            self._stream, self._token = stream, stream.token

    async def read(self) -> list[Change]:
        """Return changes that came, in their order; none if none came within some `max_await` seconds.

        Raises:
            StoreUnavailable: Call again, to go on behind the last change that was returned.
            StoreRefused: See `open`.
        """
        events = await self._read()
        changed = (_id(event) for event in events if event["operationType"] in ("update", "replace"))
        there = {id for id in changed if isinstance(id, str)}
        await self._look_up(there - (set() if self._data else self._known.keys()))
        while self._events:
            change = self._change(self._events.popleft())
            if change is not None:
                self._changes.append(change)
            if self._events and len(self._events) % TURN == 0:  # who is cancelled here goes on with the rest
                await self._connection.driver.pause(0)
        changes, self._changes = self._changes, []
        for id in there if self._data else ():
            if id in self._known:
                self._known[id].data = None  # they may have a megabyte each
        return changes

    async def drop(self) -> int:
        """Read on and forget what came; return how many changes that were. Raises: as `read`."""
        dropped = len(await self._read()) + len(self._changes)
        self._forget()
        return dropped

    async def skip(self) -> None:
        """Go on from now, whatever came before. Raises: as `open`."""
        await self.close()
        self._token = self._last_at = None
        self._forget()
        await self.open()

    def _forget(self) -> None:
        """Forget what came, and what was known of jobs: it is older than what nobody has looked at."""
        self._events.clear()
        self._changes.clear()
        self._known.clear()

    async def close(self) -> None:
        """End the stream."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.end()

    async def _read(self) -> list[dict[str, Any]]:
        """Return the events that are to be told: those kept from a look that failed, else new ones."""
        if not self._events:
            await self.open()
            assert self._stream is not None
            try:
                self._events.extend(await self._stream.read())
                self._last_at = at_of(self._events[-1]) if self._stream.more else None
                self._token = self._stream.token or self._token
            except BaseException:
                await self.close()
                raise
            await self._look_at_the_clock()
        return list(self._events)

    async def _look_at_the_clock(self) -> None:
        """Ask the server's time if `behind` needs it and the last answer is old."""
        if self._last_at is None:
            return
        try:
            await self._connection.now()
        except StoreError:  # the next read says so; until then it is counted on from the last answer
            return

    def _change(self, event: dict[str, Any]) -> Change | None:
        id = _id(event)
        if not isinstance(id, str):
            return None
        about = self._known.pop(id, None) or About()
        try:
            change = change_of(event, about)
        except (KeyError, TypeError, AttributeError, ValueError):  # somebody else's document
            return None
        if event["operationType"] != "delete":
            self._known[id] = about  # last
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return change

    async def _look_up(self, unknown: set[str]) -> None:
        """Learn of jobs that were there before this began: as they are now, which may be later."""
        if not unknown:
            return
        with self._connection.call("find", what="looking jobs up that have changed"):
            fields = dict.fromkeys(
                ("type", "pool", "attempts", "started_at", *(["data"] if self._data else [])), 1
            )
            cursor = self._connection.jobs.find({"_id": {"$in": list(unknown)}}, fields)
            for document in await self._call(cursor.to_list):
                about = self._known.get(document["_id"])
                if about is None:
                    about = self._known[document["_id"]] = About()
                    learn(about, document)
                about.data = document.get("data")


class Recent:
    """Finds the jobs that changed last. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    async def last(self, meaning: Meaning, limit: int, *, data: bool) -> list[Change]:
        """Return the last change of each of the jobs that changed last, as far as they tell, the oldest first.

        There is no index on that: all that is meant is read, some 2 s for a million jobs. Claims,
        progress, removed jobs and what somebody changed without starting them are not among them.
        """
        times = {"$max": ["$created_at", "$started_at", "$finished_at", {"$max": "$errors.at"}]}
        ordered: list[Document] = [
            {"$match": meaning.filter()},
            {"$project": {"at": times}},
            {"$sort": {"at": DESCENDING, "_id": DESCENDING}},
            {"$limit": limit},
        ]
        limit_of_time = max(self._connection.timeout, PATIENCE)
        with self._connection.call("find", what="looking for the jobs that changed last", timeout=limit_of_time):
            cursor = await self._call(self._jobs.aggregate, ordered, allowDiskUse=True)
            ids = [id for found in await self._call(cursor.to_list) if isinstance(id := found["_id"], str)]
            left_out = dict.fromkeys(("result", "checkpoint", "logs", *([] if data else ["data"])), 0)
            jobs = await self._call(self._jobs.find({"_id": {"$in": ids}}, left_out).to_list)
            found = {job["_id"]: job for job in jobs}
        changes = [snapshot(found[id]) for id in reversed(ids) if id in found]
        return [change for change in changes if change is not None]


def _id(event: Mapping[str, Any]) -> Any:
    return event["documentKey"]["_id"]
