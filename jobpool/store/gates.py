"""Gates: through which jobs of limited types go one claim at a time, so that nobody counts while another takes.

How many jobs run is no number that somebody keeps: it is counted from the jobs
themselves, so whatever ends a claim, a finish, a release, a reap, frees its
place, and nothing has to be told of it. A gate, a document in the collection
beside the jobs, is only a lock with an end, and the bucket of a rate.

    lock (a majority has it) --> count holders --> claim what is free --> unlock

Why no more than the limit are ever held:

- Only who has the lock claims, and its claim says until when it may be
  applied: `LOCKED - AFTER` seconds after the lock was taken, by the clock of
  the server that applies it. It is given up there after `SECTION` seconds.
  Nobody else gets the lock before `LOCKED` are over. So a claim that is late,
  its sender paused or its request held up, is refused, and never meets a
  count that missed it.
- Who does not know what became of its claim does not unlock.
- The count is read behind the lock in a session that is causally consistent:
  a primary that was deposed without knowing it cannot answer. A claim that was
  acknowledged, or that a new primary has kept, is in front of the lock.
- Whoever is claimed or running counts, its lease over or not, until it is reaped:
  up to then its holder may still come back and extend it.

Of a rate, what the bucket holds is taken with the lock and what was not used
given back with the unlock. A bucket that nobody unlocked counts as used up to
the end of the lock. So in no window of w seconds more than burst + rate * w are claimed.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from pymongo import UpdateMany, UpdateOne, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from ..limits import Gate, Limit
from .connection import Connection
from .documents import Document
from .indexes import HOLDER_INDEX

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".gates"
#: Seconds: of a lock whose holder died; for all that is done under one; and between the last instant
#: at which a claim is applied and the end of its lock. A claim takes at most `SECTION` on the server.
LOCKED, SECTION, AFTER = 5.0, 2.0, 3.0
#: A gate whose bucket has been full, and which nobody locked, for so long is forgotten.
KEPT = timedelta(days=1)
#: So many gates are known to be there; then it is found out anew.
MOST_KNOWN = 50_000
_COUNTED = {"jobs": {"$sum": 1}, "first": {"$min": "$lease_until"}}
#: So many keys are looked up one by one.
FEW = 2
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
DUPLICATE_KEY = 11000

#: The name of a gate: the type, and the key or None for all of the type.
GateName = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Want:
    """What is to be locked: a gate, its limit, and how many jobs are to go through at most."""

    limit: Limit
    most: int


@dataclass(slots=True)
class Lock:
    """The gates that a claim call has locked. Threads: one.

    Attributes:
        token: Random, of this call.
        until: Server time up to which its claim may be applied.
        taken: By gate, how many tokens were taken of its bucket; infinite if it has none.
        waits: By gate that has a bucket, in how many seconds another token will be there.
        refused: Gates that somebody else has.
    """

    token: str
    until: datetime
    wants: Mapping[GateName, Want]
    taken: dict[GateName, float] = field(default_factory=dict)
    waits: dict[GateName, float] = field(default_factory=dict)
    refused: list[GateName] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Holders:
    """How many jobs are held, by key and in all; and when the first of their leases ends."""

    by_key: Mapping[str, int]
    first_end: datetime | None

    @property
    def total(self) -> int:
        """Of all keys that were asked for."""
        return sum(self.by_key.values())


class Gates:
    """The gates of a collection of jobs. Threads: one (a pool's fetcher); `_known` is its own.

    Lost replies: a lock that was taken unknowingly ends by itself.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = connection.jobs
        self._gates = connection.beside(SUFFIX)
        #: An unlock that is lost with a node costs nothing but time.
        self._unwaited = self._gates.with_options(write_concern=WriteConcern(1))
        self._known: set[GateName] = set()

    def session(self) -> ClientSession:
        """Return a session in which a count comes behind the lock before it, whatever server answers."""
        return self._connection.client.start_session(causal_consistency=True)

    # --- locks ----------------------------------------------------------------------------

    def lock(self, wants: Mapping[GateName, Want], session: ClientSession) -> Lock:
        """Lock what is free of the gates and take tokens of their buckets; nobody is waited for.

        Raises:
            StoreUnavailable: Some may be locked; they are free again after `LOCKED` seconds.
        """
        token = secrets.token_hex(12)
        with self._connection.call("claim", what=f"locking {len(wants)} gates"):
            began = self._connection.clock.now()
            locked = 0
            try:
                answer = self._gates.bulk_write(self._locking(wants, token), ordered=False, session=session)
                locked = answer.matched_count + answer.upserted_count
            except BulkWriteError as error:  # somebody else made the same gate first
                failed = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(item["code"] != DUPLICATE_KEY for item in failed):
                    raise
            if locked == len(wants) and not any(want.limit.rate for want in wants.values()):
                return self._all_locked(wants, token, began)
            found = self._gates.find({"_id": {"$in": [_id(name) for name in wants]}}, session=session)
            return self._locked(wants, token, list(found.batch_size(len(wants) + 1)))

    def _locking(self, wants: Mapping[GateName, Want], token: str) -> list[UpdateOne | UpdateMany]:
        groups: dict[Want, list[GateName]] = defaultdict(list)
        for name, want in wants.items():
            groups[want].append(name)
        writes: list[UpdateOne | UpdateMany] = []
        for want, names in groups.items():
            update = _lock_update(want, token)
            there = [_id(name) for name in names if name in self._known]
            if there:
                free = {"$expr": {"$lt": ["$locked_until", "$$NOW"]}}
                writes.append(UpdateMany({"_id": {"$in": there}, **free}, update))
            writes += [  # an upsert takes no $expr: of those that are there already, the unlocked ones
                UpdateOne({"_id": _id(name), "locked_until": {"$lte": NEVER}}, update, upsert=True)
                for name in names
                if name not in self._known
            ]
        return writes

    def _all_locked(self, wants: Mapping[GateName, Want], token: str, began: datetime) -> Lock:
        """Return a lock without reading it. What we take for the server's time is never ahead of it."""
        self._known.update(wants)
        until = began + timedelta(seconds=LOCKED - AFTER)
        return Lock(token, until, wants, dict.fromkeys(wants, inf))

    def _locked(self, wants: Mapping[GateName, Want], token: str, found: list[Document]) -> Lock:
        there = {(item["_id"]["type"], item["_id"]["key"]): item for item in found}
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._known.update(there)
        self._known.difference_update(wants.keys() - there.keys())  # forgotten, or dropped
        ours = {name: item for name, item in there.items() if item.get("token") == token}
        ends = [item["locked_until"] for item in ours.values()]
        until = min(ends, default=NEVER) - timedelta(seconds=AFTER)
        lock = Lock(token, until, wants, refused=[name for name in wants if name not in ours])
        for name, item in ours.items():
            rated = wants[name].limit.rate is not None
            lock.taken[name] = float(item["reserved"]) if rated else inf
            if rated:
                lock.waits[name] = seconds_to_token(item, wants[name].limit, item["refilled_at"])
        return lock

    def unlock(self, lock: Lock, spent: Mapping[GateName, int]) -> None:
        """Let others go through, and give back the tokens that were not spent.

        Only what still carries the lock's token is written to. What this cannot do, time does.
        """
        if not lock.taken:
            return
        groups: dict[tuple[Limit, int], list[Document]] = defaultdict(list)
        for name in lock.taken:
            limit = lock.wants[name].limit
            groups[limit, spent.get(name, 0) if limit.rate is not None else 0].append(_id(name))
        writes = [
            UpdateMany({"_id": {"$in": ids}, "token": lock.token}, _unlock_update(limit, used))
            for (limit, used), ids in groups.items()
        ]
        with self._connection.call("claim", what=f"unlocking {len(lock.taken)} gates"):
            self._unwaited.bulk_write(writes, ordered=False)

    # --- looking --------------------------------------------------------------------------

    def next_tokens(self, wants: Mapping[GateName, Limit]) -> dict[GateName, float]:
        """Return in how many seconds each of these buckets has a token; 0 for now."""
        with self._connection.call("claim", what="looking at buckets"):
            now = self._connection.clock.now()
            ids = [_id(name) for name in wants]
            found = list(self._gates.find({"_id": {"$in": ids}}).batch_size(len(ids) + 1))
        waits: dict[GateName, float] = dict.fromkeys(wants, 0.0)
        for item in found:
            name = (item["_id"]["type"], item["_id"]["key"])
            waits[name] = seconds_to_token(item, wants[name], now)
        return waits

    def holders(self, gate: Gate, keys: Collection[str] | None, session: ClientSession | None = None) -> Holders:
        """Count the jobs that are held, of these keys or of all.

        Of several keys by one scan through those of the type: a look for a key
        without holders goes on to the next entry that is there, past all that were
        deleted in the last minute. For 100 keys and 12,000 ended jobs that took 200 ms, the scan 8.

        Args:
            session: The one of the lock, for a count that may be relied on.
        """
        few = keys is not None and len(keys) <= FEW
        wanted: Document = {"$in": list(keys)} if few and keys else {"$gte": ""}
        pipeline: list[Document] = [
            {"$match": {"type": {"$in": list(gate.types)}, "key": wanted, "lease_until": {"$gt": NEVER}}},
            {"$group": {"_id": "$key", "key": {"$first": "$key"}, **_COUNTED}},
        ]
        if keys is not None and not few:
            # Not of `_id`: that would become a bound of the scan, and each key be looked for again.
            pipeline.append({"$match": {"key": {"$in": list(keys)}}})
        with self._connection.call("claim", what="counting the holders of gates"):
            found = list(self._jobs.aggregate(pipeline, hint=HOLDER_INDEX, session=session))
        first = min((item["first"] for item in found), default=None)
        return Holders({item["_id"]: item["jobs"] for item in found}, first)

    def forget(self) -> None:
        """Delete the gates that nobody used for a day, and whose buckets are full."""
        with self._connection.call("claim", what="forgetting gates"):
            now = self._connection.clock.now()
            self._unwaited.delete_many({"forget_at": {"$lt": now}, "locked_until": {"$lt": now}})


def _id(name: GateName) -> Document:
    return {"type": name[0], "key": name[1]}


def seconds_to_token(item: Document, limit: Limit, now: datetime) -> float:
    """Return in how many seconds the bucket of a gate has a token; 0 for now, or if it was never used."""
    tokens, since = item.get("tokens"), item.get("refilled_at")
    if tokens is None or since is None:
        return 0.0
    flows = limit.per_millisecond * 1000
    missing: float = 1 - tokens - max(0.0, (now - since).total_seconds()) * flows
    return max(0.0, missing / flows)


def _lock_update(want: Want, token: str) -> list[Document]:
    """Return the update that locks, after it has settled what an earlier lock left, and taken tokens."""
    lock: Document = {
        "token": token,
        "locked_until": {"$add": ["$$NOW", int(LOCKED * 1000)]},
        "forget_at": {"$add": ["$$NOW", int(KEPT.total_seconds() * 1000)]},
    }
    limit = want.limit
    if limit.rate is None:
        return [{"$set": lock}]
    tokens, since = {"$ifNull": ["$tokens", limit.tokens]}, {"$ifNull": ["$refilled_at", "$$NOW"]}
    reserved = {"$ifNull": ["$reserved", 0]}
    left = {"$gt": [reserved, 0]}  # nobody unlocked it: what was taken counts as used up at the end of the lock
    settled = _filled(tokens, since, "$locked_until", limit, {"$subtract": [limit.tokens, reserved]})
    fills = int(min(limit.tokens / limit.per_millisecond, 366 * 86400_000.0))
    return [
        {
            "$set": {
                "tokens": {"$cond": [left, settled, tokens]},
                "refilled_at": {"$cond": [left, "$locked_until", since]},
            }
        },
        {"$set": {"tokens": _filled("$tokens", "$refilled_at", "$$NOW", limit, limit.tokens)}},
        {
            "$set": {
                "reserved": {"$max": [0, {"$min": [{"$floor": "$tokens"}, want.most]}]},
                "refilled_at": "$$NOW",
            }
        },
        {
            "$set": {
                **lock,
                "tokens": {"$subtract": ["$tokens", "$reserved"]},
                "forget_at": {"$add": ["$$NOW", int(KEPT.total_seconds() * 1000) + fills]},
            }
        },
    ]


def _unlock_update(limit: Limit, used: int) -> Document | list[Document]:
    """Return the update that unlocks.

    What flowed in meanwhile fills the bucket no higher than it would have
    been, had the tokens been taken only now: the claim came behind the lock.
    """
    if limit.rate is None:
        return {"$set": {"locked_until": NEVER}, "$unset": {"token": ""}}
    unused = {"$add": ["$tokens", {"$max": [0, {"$subtract": ["$reserved", used]}]}]}
    return [
        {
            "$set": {
                "tokens": _filled(unused, "$refilled_at", "$$NOW", limit, limit.tokens - used),
                "refilled_at": "$$NOW",
                "reserved": 0,
                "locked_until": NEVER,
            }
        },
        {"$unset": ["token"]},
    ]


def _filled(tokens: Any, since: Any, until: Any, limit: Limit, most: Any) -> Document:
    """Return the expression of what a bucket holds that had `tokens` at `since`."""
    passed = {"$max": [0, {"$subtract": [until, since]}]}
    return {"$min": [most, {"$add": [tokens, {"$multiply": [passed, limit.per_millisecond]}]}]}
