"""What of its limits is used, for who asks why a job does not run: places, who holds them, and tokens.

Places are counted by the holder index; gates are found by their ids, and only read: nobody is locked out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from datetime import datetime
from typing import TypeVar

from ..errors import StoreRefused
from ..why import Situation
from ..why.limited import bounds
from ..why.situation import Bound, Holding, Usage
from .connection import Connection
from .documents import Document, holder_of
from .gates import NEVER, seconds_to_token
from .gates import SUFFIX as GATES
from .indexes import HOLDER_INDEX

#: Holders of a limit that are counted, and shown.
MOST_PLACES, SHOWN = 10_000, 10
HOLDING = dict.fromkeys(("type", "state", "pool", "claim", "key", "started_at", "lease_until"), 1)

_T = TypeVar("_T")


class Usages:
    """Looks how far limits are used up. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._gates = connection.beside(GATES)

    async def of(self, situation: Situation, names: frozenset[str]) -> tuple[Usage, ...]:
        """Return what is used of the limits that hold the job; to be called within a call of the connection.

        Args:
            names: Of the indexes there are.
        """
        found = bounds(situation.serving, situation.type, situation.text("key"))
        if not found:
            return ()
        gates = await self._gates_of(found)
        return tuple(
            [
                await self._usage(situation, bound, None if gates is None else gates.get(bound.key, {}), names)
                for bound in found
            ]
        )

    async def _gates_of(self, found: tuple[Bound, ...]) -> dict[str | None, Document] | None:
        """Return the gates of these limits by their keys; None if this user may not read them."""
        wanted = [{"type": bound.owner, "key": bound.key} for bound in found]
        try:
            with self._connection.call("find", what="looking at gates"):
                gates = await self._call(self._gates.find({"_id": {"$in": wanted}}).to_list)
        except StoreRefused as error:
            if error.kind != "rights":
                raise
            return None
        return {item["_id"].get("key"): item for item in gates}

    async def _usage(
        self, situation: Situation, bound: Bound, gate: Document | None, names: frozenset[str]
    ) -> Usage:
        locked_until = None if gate is None else gate.get("locked_until")
        held, holders = None, None
        if bound.running is not None and HOLDER_INDEX in names:
            held = await if_indexed(self._connection, self._places(bound))
        if held is not None and bound.running is not None and held >= bound.running:
            holders = await if_indexed(self._connection, self._holders(bound))
        return Usage(
            bound=bound,
            held=held,
            holders=holders or (),
            next_in=None if bound.rate is None or gate is None else _next_token(gate, bound, situation.now),
            locked_until=locked_until if isinstance(locked_until, datetime) else None,
        )

    async def _places(self, bound: Bound) -> int:
        assert bound.running is not None
        most = max(MOST_PLACES, bound.running + 1)
        return await self._call(self._jobs.count_documents, _held_of(bound), hint=HOLDER_INDEX, limit=most)

    async def _holders(self, bound: Bound) -> tuple[Holding, ...]:
        cursor = self._jobs.find(_held_of(bound), HOLDING).hint(HOLDER_INDEX).limit(SHOWN)
        return holdings(await self._call(cursor.to_list))


async def if_indexed(connection: Connection, read: Awaitable[_T]) -> _T | None:
    """Return what a read finds; None if its index is only being built: a list of them has it already."""
    try:
        with connection.call("find", what="looking what holds a job up"):
            return await read
    except StoreRefused as error:
        if error.kind != "index":
            raise
        return None


def holdings(found: Iterable[Document]) -> tuple[Holding, ...]:
    """Return jobs that were read as `HOLDING` has them."""
    return tuple(
        Holding(
            id=str(item["_id"]),
            type=str(item.get("type")),
            state=str(item.get("state")),
            pool=text_of(item.get("pool")),
            pool_id=holder_of(item.get("claim")),
            key=text_of(item.get("key")),
            started_at=_instant(item.get("started_at")),
            lease_until=_instant(item.get("lease_until")),
        )
        for item in found
    )


def _next_token(gate: Document, bound: Bound, now: datetime) -> float:
    assert bound.rate is not None
    try:
        return seconds_to_token(gate, bound.rate, now)
    except TypeError:  # what somebody else wrote there
        return 0.0


def _held_of(bound: Bound) -> Document:
    key: Document = {"$gte": ""} if bound.key is None else {"$eq": bound.key}
    return {"type": {"$in": list(bound.types)}, "key": key, "lease_until": {"$gt": NEVER}}


def text_of(value: object) -> str | None:
    """Return a value if it is a text."""
    return value if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
