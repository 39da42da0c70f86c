"""Giving a key to pending jobs of limited types that have none.

Whoever created them did not know the executor, or it had no limit then.
A job without a key is in no index of keys, and so is claimed by nobody who
heeds limits: that is what this is for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Any

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo import UpdateMany
from pymongo.cursor import Cursor

from ...data import to_be_found
from ...job import State
from ...limits import Gate
from ..connection import Connection
from ..documents import Document
from ..fields import with_ids
from ..indexes import CLAIM_INDEX, CLAIM_KEYS
from .claimed import due

#: Jobs that are looked at in one step.
STEP = 1000
#: So many jobs in a row may be foreign to us before a step ends at none of them.
FOREIGN = 20
#: Seconds: between two looks at what has become due, and between two steps of the first round and of later ones.
EVERY, FIRST_ROUND_EVERY, ROUND_EVERY = 0.1, 0.05, 1.0
#: A job is seen so many seconds after it was due: its insert took that long, or the clock was behind.
LATE = timedelta(seconds=1)
_PENDING = {"state": State.PENDING.value}
_NAMES = [name for name, _ in CLAIM_KEYS]
_NO_KEY = {"key": {"$exists": False}}
#: As well as what somebody else wrote there.
_NO_USABLE_KEY = {"$or": [{"key": {"$not": {"$type": "string"}}}, {"key": {"$type": "array"}}]}


class Keying:
    """Finds such jobs and gives them keys. Threads: one (a pool's fetcher); all fields are its own.

    Lost replies: everything may be repeated; a job that has a key keeps it.

    Attributes:
        given: How often keys were given: what was read before does not show them.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs, self._read = connection.jobs, connection.reading
        self.given = 0
        self._looked_at = 0.0
        self._looked_up_to: datetime | None = None
        self._places: dict[str, list[Any]] = {}
        self._walked: set[str] = set()
        self._step_at = 0.0

    def give(self, lacking: Mapping[str, str], gates: Mapping[str, Gate]) -> dict[str, str]:
        """Give keys to these pending jobs (type by id) and return the keys that they have now."""
        with self._connection.call("claim", what=f"giving keys to {len(lacking)} jobs"):
            read = self._read.find({**with_ids(lacking), **_PENDING}, {"type": 1, "key": 1, "data": 1})
            found = list(read.batch_size(len(lacking) + 1))
            found = [item for item in found if isinstance(item["type"], str) and item["type"] in gates]
            keys = {item["_id"]: _key_of(item, gates) for item in found}
            groups: dict[str, list[str]] = defaultdict(list)
            for item in found:
                if not isinstance(item.get("key"), str):
                    groups[keys[item["_id"]]].append(item["_id"])
            writes = [
                UpdateMany({"_id": {"$in": ids}, **_PENDING, **_NO_USABLE_KEY}, {"$set": {"key": key}})
                for key, ids in groups.items()
            ]
            if writes:
                self.given += 1
                self._jobs.bulk_write(writes, ordered=False)
        return keys

    def begin(self) -> None:
        """Look at everything: up to now whoever asked saw all that was due."""
        self._looked_up_to = None
        self._walked.clear()
        self._places.clear()

    def newly_due(self, types: tuple[str, ...], gates: Mapping[str, Gate]) -> None:
        """Give keys to what has become due since the last look, wherever in the order it is."""
        if time.monotonic() - self._looked_at < EVERY:
            return
        self._looked_at = time.monotonic()
        with self._connection.call("claim", what="looking for due jobs without a key"):
            now = self._connection.clock.now()
            if self._looked_up_to is None:  # what was due before is the walk's
                self._looked_up_to = now
            since = self._looked_up_to - LATE
            filter = {**due(self._connection, types), "run_at": {"$gt": since, "$lte": now}, **_NO_KEY}
            read = self._read.find(filter, {"type": 1}).limit(STEP).batch_size(STEP + 1).hint(CLAIM_INDEX)
            lacking = {item["_id"]: item["type"] for item in read if usable(item["_id"])}
        if lacking:
            self.give(lacking, gates)
        if len(lacking) >= STEP:  # more at once than this is for
            self._walked.clear()
            self._places.clear()
        self._looked_up_to = now

    def walk(self, types: tuple[str, ...], gates: Mapping[str, Gate]) -> None:
        """Look at the next of all pending jobs, the first time through them more often than later."""
        type = next((type for type in types if type not in self._walked), None)
        if time.monotonic() - self._step_at < (FIRST_ROUND_EVERY if type else ROUND_EVERY):
            return
        if type is None:
            type = next((type for type in types if type in self._places), types[0])
        self._step_at = time.monotonic()
        place = self._places.get(type) or _first_of(type)
        with self._connection.call("claim", what="looking for jobs without a key"):
            behind = self._between(place, _behind(type), {}).skip(STEP).limit(FOREIGN)
            last = next((values for item in behind if (values := _place_of(item, type)) is not None), None)
            end = _behind(type) if last is None else last
            without = self._between(place, end, _NO_USABLE_KEY, {"type": 1}).batch_size(STEP + 1)
            lacking: dict[str, str] = {item["_id"]: item["type"] for item in without if usable(item["_id"])}
        if lacking:
            self.give(lacking, gates)
        if last is None:
            self._walked.add(type)
            self._places.pop(type, None)
            self._next_after(type, types)
        else:
            self._places[type] = end

    def first_round_goes_on_at(self, types: tuple[str, ...]) -> float:
        """Return the monotonic instant of the next step of the first round; infinity if it is through."""
        return inf if self._walked.issuperset(types) else self._step_at + FIRST_ROUND_EVERY

    def _between(
        self, first: list[Any], end: list[Any], filter: Document, fields: Document | None = None
    ) -> Cursor[Document]:
        """Return the read of what is from one place of the claim index on, and before another."""
        read = self._read.find(filter, fields or dict.fromkeys(_NAMES, 1)).hint(CLAIM_INDEX)
        return read.min(list(zip(_NAMES, first, strict=True))).max(list(zip(_NAMES, end, strict=True)))

    def _next_after(self, type: str, types: tuple[str, ...]) -> None:
        """Have the next round begin with the type behind this one."""
        behind = types[(types.index(type) + 1) % len(types)]
        self._places[behind] = _first_of(behind)


def usable(id: object) -> bool:
    """Say whether an id can be looked up; one that somebody else wrote may be a document."""
    return isinstance(id, Hashable)


def _first_of(type: str) -> list[Any]:
    """Return the place in the claim index before all jobs of a type."""
    return [State.PENDING.value, type, MaxKey(), MinKey(), MinKey()]


def _behind(type: str) -> list[Any]:
    """Return the place behind all of them."""
    return [State.PENDING.value, type, MinKey(), MaxKey(), MaxKey()]


def _place_of(item: Document, type: str) -> list[Any] | None:
    """Return the place of a job in the claim index; None if it has several: somebody wrote lists there."""
    values = [item.get(name) for name in _NAMES]
    return (
        None
        if any(isinstance(value, list) for value in values)
        else [State.PENDING.value, type, *map(to_be_found, values[2:])]
    )


def _key_of(item: Document, gates: Mapping[str, Gate]) -> str:
    key = item.get("key")
    return key if isinstance(key, str) else gates[item["type"]].key_of(item["type"], item.get("data"))
