"""Why a job does not run: what has to be looked at to tell.

Some ten reads, each by an index and bounded, whatever the backlog: the job by its id;
what is paused, and which schema is required; the pools' words; the names of the indexes; then by its state:

* pending and due: what comes before it (three ranges of the claim index, or of the key index for
  a type with limits, of which at most `MOST_AHEAD` keys are counted), what its limits have in use (the
  holder index, and two gates by their ids), and what pools hold (at most `MOST_HELD` by the lease index);
* waiting: some of those that it waits for, by their ids;
* claimed: what pools hold;
* running and final: nothing more.

There is no snapshot of all of it. The job is read again at the end, and if it has
changed meanwhile everything is looked at anew, so an answer never mixes two states of the job. All else was
true at some instant between the two reads; what pools say of themselves is as old as their last word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..data import relaxed
from ..errors import JobNotFound
from ..installed import version
from ..job import State
from ..names import shown
from ..why import Situation, Why, decide
from ..why.limited import is_limited
from ..why.pending import malformed
from ..why.situation import NUMBER, Ahead, Held, Other
from .claiming.claimed import MAX_TYPES
from .connection import Connection
from .documents import SCHEMA, Document, holder_of
from .indexes import CLAIM_INDEX, HOLDER_INDEX, KEY_INDEX, LEASE_INDEX, look_at_indexes
from .presence import Presence
from .schema import required_schema
from .settings import Settings
from .usages import HOLDING, Usages, holdings, if_indexed, text_of

#: Jobs that are counted before it, held jobs that are read, jobs that it waits for.
MOST_AHEAD, MOST_HELD, MOST_OTHERS = 10_000, 1000, 1000
#: Characters of a result.
RESULT = 200
#: Looks at a job that changes all the time; the last one is the answer.
LOOKS = 4
#: The answer that is not given before pools have had so much time (seconds) to take the job: it may have
#: been resumed, or given back, a moment ago, of which nothing tells.
UNCLEAR, PAUSE = "unclear", 1.5
#: Left out: what its users stored, and what may be large.
_FIELDS = dict.fromkeys(
    (
        *("data", "result", "logs", "checkpoint", "trace"),
        *("stuck.stack", "errors.traceback", "error.traceback"),
    ),
    0,
)
#: What tells whether it is still as it was.
_SEEN = (
    *("state", "type", "priority", "run_at", "attempts", "fence", "claim", "key"),
    *("waits_for", "linking", "cancel_requested_at"),
)
_PENDING = State.PENDING.value


class Explaining:
    """Tells why jobs do not run. Nothing is created or changed. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, presence: Presence, settings: Settings) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading  # somebody else may have written it
        self._usages = Usages(connection)
        self._presence = presence
        self._settings = settings

    async def why(self, id: str, alias_of: Callable[[str], str] = str) -> Why:
        """Return why a job does not run.

        Args:
            id: The job's.
            alias_of: Returns the type of which one is an alias; itself if it is none.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: Nothing is known.
        """
        with self._connection.call("find", what=f"asking why job {shown(id)} does not run"):
            why = await self._asked(id, alias_of)
            if why.code == UNCLEAR:
                await self._connection.driver.pause(PAUSE)
                why = await self._asked(id, alias_of)
            return why

    async def _asked(self, id: str, alias_of: Callable[[str], str]) -> Why:
        for _ in range(LOOKS):
            situation = await self._look(id, alias_of)
            if not await self._changed(situation.job):
                break
        return decide(situation)

    async def _look(self, id: str, alias_of: Callable[[str], str]) -> Situation:
        job = await self._call(self._jobs.find_one, {"_id": {"$eq": id}}, _FIELDS)
        if job is None:
            raise JobNotFound(f"no job {shown(id)} in {self._jobs.full_name}")
        names, trouble = await look_at_indexes(self._connection)
        common: dict[str, Any] = {
            "now": await self._connection.now(),
            "job": job | {"pool_id": holder_of(job.get("claim"))},
            "paused": await self._settings.known(),
            "required": await required_schema(self._connection),
            "pools": await self._presence.all(),
            "alias_of": alias_of,
            "schema": SCHEMA,
            "version": version(),
            "index_trouble": trouble,
        }
        situation = Situation(**common)
        state = job.get("state")
        if state == _PENDING:
            return Situation(**common, **await self._pending(situation, names))
        if state == State.CLAIMED.value:
            return Situation(**common, held=await self._held(names))
        if state == State.WAITING.value:
            return Situation(**common, others=await self._others(situation))
        if state == State.SUCCEEDED.value:
            return Situation(**common, result=await self._result(id))
        return situation

    async def _changed(self, job: Mapping[str, Any]) -> bool:
        """Say whether the job is another than it was; one that is gone is told of by the next look."""
        fields = dict.fromkeys(_SEEN, 1)
        now = await self._call(self._jobs.find_one, {"_id": {"$eq": job["_id"]}}, fields)
        return now is None or any(now.get(name) != job.get(name) for name in _SEEN)

    # --- pending --------------------------------------------------------------------------

    async def _pending(self, situation: Situation, names: frozenset[str]) -> Document:
        """Return what is to be known of a job that pools could take; nothing of one that none would."""
        run_at = situation.instant("run_at")
        if malformed(situation) or run_at is None or run_at > situation.now or not situation.serving:
            return {}
        if situation.pause_of(situation.type) is not None:
            return {}
        limited = is_limited(situation.serving, situation.type)
        found: Document = {"held": await self._held(names)}
        if limited:
            found["limits"] = await self._usages.of(situation, names)
            if lacking := sorted({KEY_INDEX, HOLDER_INDEX} - names):
                found["limits_trouble"] = f"{self._jobs.full_name} lacks the index {' and '.join(lacking)}"
        if (KEY_INDEX if limited else CLAIM_INDEX) in names and situation.index_trouble is None:
            found["ahead"] = await if_indexed(self._connection, self._ahead(situation, run_at, limited=limited))
        return found

    async def _ahead(self, situation: Situation, run_at: datetime, *, limited: bool) -> Ahead | None:
        """Count the due jobs before it, in the order of claims; of its own type and key if that takes turns."""
        job, type = situation.job, situation.type
        key = situation.text("key")
        priority = job.get("priority")
        if (limited and key is None) or not isinstance(priority, NUMBER) or isinstance(priority, bool):
            return None  # nobody finds it yet, or who comes before it is not to be told
        types = [type] if limited else _plain_types(situation)
        same: Document = {"state": _PENDING, "type": {"$in": types}} | ({"key": {"$eq": key}} if limited else {})
        own: Document = {**same, "type": {"$eq": type}}
        index = KEY_INDEX if limited else CLAIM_INDEX
        parts: list[Document] = [
            {**same, "priority": {"$gt": priority}, "run_at": {"$lte": situation.now}},
            {**same, "priority": {"$eq": priority}, "run_at": {"$lt": run_at}},
            {**own, "priority": {"$eq": priority}, "run_at": {"$eq": run_at}, "_id": {"$lt": job["_id"]}},
        ]
        jobs = 0
        for part in parts:
            if jobs <= MOST_AHEAD:
                jobs += await self._count(part, index, MOST_AHEAD + 1 - jobs)
        ahead = min(jobs, MOST_AHEAD)
        return Ahead(ahead, jobs > MOST_AHEAD, tuple(types), key if limited else None)

    async def _count(self, filter: Document, index: str, most: int) -> int:
        return await self._call(self._jobs.count_documents, filter, hint=index, limit=most) if most > 0 else 0

    async def _held(self, names: frozenset[str]) -> Held | None:
        """Return what pools hold: as many jobs as they have threads, and room for; None without its index."""
        if LEASE_INDEX not in names:
            return None
        cursor = self._jobs.find({"lease_until": {"$exists": True}}, HOLDING).hint(LEASE_INDEX)
        found = await self._call(cursor.limit(MOST_HELD + 1).batch_size(MOST_HELD + 2).to_list)
        return Held(holdings(found[:MOST_HELD]), len(found) <= MOST_HELD)

    # --- others ---------------------------------------------------------------------------

    async def _others(self, situation: Situation) -> tuple[Other, ...]:
        """Return the first of the jobs that it waits for."""
        ids = [id for id in situation.items("waits_for") if isinstance(id, str)][:MOST_OTHERS]
        cursor = self._jobs.find({"_id": {"$in": ids}}, {"state": 1, "type": 1})
        there = {item["_id"]: item for item in await self._call(cursor.to_list)}
        return tuple(
            Other(id, text_of(there[id].get("state")), text_of(there[id].get("type")))
            if id in there
            else Other(id, None)
            for id in ids
        )

    async def _result(self, id: str) -> str | None:
        found = await self._call(self._jobs.find_one, {"_id": {"$eq": id}}, {"result": 1})
        if found is None or "result" not in found:
            return None
        text = json.dumps(relaxed(found["result"]), ensure_ascii=False)
        return text if len(text) <= RESULT else f"{text[: RESULT - 3]}..."


def _plain_types(situation: Situation) -> list[str]:
    """Return the types that compete with that of the job: what the same pools claim in the same order."""
    types = {
        type
        for pool in situation.serving
        for type in pool.types
        if pool.limits_of(type) is None and situation.pause_of(type) is None
    }
    return [situation.type, *sorted(types - {situation.type})][:MAX_TYPES]
