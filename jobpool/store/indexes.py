"""The indexes, all partial, so that a finished job costs a claim nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection

from ..errors import IndexMismatch, StoreError, StoreRefused
from ..job import State
from ..logs import bounded_logger_of
from .connection import Connection
from .documents import Document

logger = bounded_logger_of(__name__)

#: The claim names it as a hint: a plan cache must never choose another one.
CLAIM_INDEX = "jobpool_claim"
LEASE_INDEX = "jobpool_lease"
FAILED_INDEX = "jobpool_failed"
RESULT_INDEX = "jobpool_result"
KEY_INDEX = "jobpool_key"
HOLDER_INDEX = "jobpool_holder"
#: Jobs that others wait for, jobs that wait by whom they wait for, and all that wait; see `store.resolving`.
FOLLOWED_INDEX = "jobpool_followed"
WAITS_INDEX = "jobpool_waits"
WAITING_INDEX = "jobpool_waiting"

BY_ID = [("_id", ASCENDING)]

#: What the claim's candidates are read from; `state` is a key so that the read is covered.
CLAIM_KEYS = [
    ("state", ASCENDING),
    ("type", ASCENDING),
    ("priority", DESCENDING),
    ("run_at", ASCENDING),
    ("_id", ASCENDING),
]

INDEXES = (
    IndexModel(CLAIM_KEYS, name=CLAIM_INDEX, partialFilterExpression={"state": State.PENDING.value}),
    IndexModel(
        [("lease_until", ASCENDING)],
        name=LEASE_INDEX,
        partialFilterExpression={"lease_until": {"$exists": True}},
    ),
    IndexModel(
        [("expire_at", ASCENDING)],
        name="jobpool_expire",
        partialFilterExpression={"expire_at": {"$exists": True}},
        expireAfterSeconds=0,
    ),
    IndexModel(
        # `state` is a key so that counting is covered.
        [("state", ASCENDING), ("type", ASCENDING), ("finished_at", DESCENDING)],
        name=FAILED_INDEX,
        partialFilterExpression={"state": State.FAILED.value},
    ),
    IndexModel(
        [("result_until", ASCENDING)],
        name=RESULT_INDEX,
        partialFilterExpression={"result_until": {"$exists": True}},
    ),
    IndexModel(
        # All that is asked for is a key, so that the look for ended jobs is covered.
        [("state", ASCENDING), ("followed", ASCENDING), ("_id", ASCENDING)],
        name=FOLLOWED_INDEX,
        partialFilterExpression={"followed": {"$exists": True}},
    ),
    IndexModel(
        [("waits_for", ASCENDING)],
        name=WAITS_INDEX,
        partialFilterExpression={"state": State.WAITING.value},
    ),
    IndexModel(
        [("state", ASCENDING), ("linking", ASCENDING), ("type", ASCENDING), ("_id", ASCENDING)],
        name=WAITING_INDEX,
        partialFilterExpression={"state": State.WAITING.value},
    ),
)

#: Made when they are first needed: even an index that a job is not in costs the server a look per write, and
#: these two together a tenth of what a job costs it.
LIMIT_INDEXES = (
    IndexModel(
        # Of jobs whose type has limits or keys: the server skips through it from key to key.
        [*CLAIM_KEYS[:2], ("key", ASCENDING), *CLAIM_KEYS[2:]],
        name=KEY_INDEX,
        partialFilterExpression={"state": State.PENDING.value, "key": {"$exists": True}},
    ),
    IndexModel(
        # `lease_until` is a key so that counting who holds their places is covered.
        [("type", ASCENDING), ("key", ASCENDING), ("lease_until", ASCENDING)],
        name=HOLDER_INDEX,
        partialFilterExpression={"lease_until": {"$exists": True}, "key": {"$exists": True}},
    ),
)


#: Options that decide what an index holds, or what it does to documents. Others are left to their owner.
_OPTIONS = ("partialFilterExpression", "expireAfterSeconds", "unique", "sparse", "hidden", "collation")
#: Two indexes that agree in these may be one to MongoDB, whatever their names.
_IDENTITY = ("keys", "partialFilterExpression")
#: The same keys under another name, and the same name with other keys or options.
_CONFLICTS = {85, 86}
_UNAUTHORIZED = 13

_Refused = TypeVar("_Refused", bound=StoreError)


async def ensure_indexes(connection: Connection, models: Sequence[IndexModel] = INDEXES) -> list[str]:
    """Create what is missing of `models` and return the names of those created.

    Looks first, so that a process without the right to create indexes can
    start when they are there. MongoDB builds an index without blocking
    readers and writers; this call returns when it is built.

    Raises:
        IndexMismatch: What is there cannot be used or is in the way; the
            message has the command that helps. Nothing is dropped.
        StoreRefused: Some are missing, and this user may not create them.
    """
    present = await _present(connection)
    missing = []
    for model in models:
        if model.document["name"] not in present:
            missing.append(model)
        else:
            _check_same(connection.jobs, model, present)
    if missing:
        await _create(connection, missing)
    return [model.document["name"] for model in missing]


async def await_indexes(connection: Connection, models: Sequence[IndexModel]) -> None:
    """Create `models`; return when they can be used, also if another pool has begun to build them.

    A list of indexes has those as well that are being built, and no hint may name them.

    Raises: as `ensure_indexes`.
    """
    await ensure_indexes(connection, models)
    await _create(connection, list(models))


async def look_at_indexes(connection: Connection) -> tuple[frozenset[str], str | None]:
    """Return the names of the indexes there are, and what keeps pools from claiming by theirs, if anything does.

    Nothing is created. One that is being built counts as there.
    """
    present = await _present(connection)
    trouble: str | None = None
    if CLAIM_INDEX not in present:
        trouble = f"{connection.jobs.full_name} lacks the index {CLAIM_INDEX}"
    else:
        try:
            _check_same(connection.jobs, INDEXES[0], present)
        except IndexMismatch as error:
            trouble = str(error)
    return frozenset(present), trouble


async def _present(connection: Connection) -> dict[str, Document]:
    with connection.call("indexes", what=f"reading the indexes of {connection.jobs.full_name}"):
        cursor = await connection.driver.call(connection.jobs.list_indexes)
        return {index["name"]: described(index) for index in await connection.driver.call(cursor.to_list)}


async def _create(connection: Connection, missing: list[IndexModel]) -> None:
    jobs, names = connection.jobs, ", ".join(model.document["name"] for model in missing)
    try:
        # No limit of time: a large collection takes as long as it takes.
        with connection.call("indexes", what=f"creating indexes on {jobs.full_name}", timeout=math.inf):
            await connection.driver.call(jobs.create_indexes, missing)
    except StoreRefused as error:
        code = getattr(error.__cause__, "code", None)
        if code in _CONFLICTS:
            raise _mismatch(await _what_is_in_the_way(connection, missing, error)) from error
        if code == _UNAUTHORIZED:
            refused = StoreRefused(
                f"{jobs.full_name} lacks the indexes {names}, and this user may not create them (the right "
                f"missing is createIndex); let one who may run JobManager({jobs.database.name!r}, "
                f"collection={jobs.name!r}).ensure_indexes({'limits=True' if _of_limits(missing) else ''}) once"
            )
            raise _of_indexes(refused) from error
        raise
    logger.info("created the indexes %s on %s", names, jobs.full_name)


def _of_limits(models: Sequence[IndexModel]) -> bool:
    return any(model in LIMIT_INDEXES for model in models)


async def _what_is_in_the_way(connection: Connection, missing: list[IndexModel], error: StoreRefused) -> str:
    """Return which index of another name takes the place of one of ours, or else the server's words."""
    jobs = connection.jobs
    for other, there in (await _present(connection)).items():
        for model in missing:
            wanted = described(model.document)
            if all(there.get(what) == wanted.get(what) for what in _IDENTITY):
                return (
                    f"index {other} of {jobs.full_name} takes the place of {model.document['name']}: it has "
                    f"{_short(there)}, jobpool needs {_short(wanted)} under its own name, and MongoDB keeps "
                    f"only one of them; {drop_advice(jobs, other)}"
                )
    return str(error)


def described(index: Mapping[str, Any]) -> Document:
    """Return what matters of an index, by name; what is off or absent is left out."""
    options = {name: index[name] for name in _OPTIONS if index.get(name) not in (None, False)}
    return {"keys": list(index["key"].items()), **options}


def _check_same(jobs: Collection[Document], model: IndexModel, present: Mapping[str, Document]) -> None:
    """Raise `IndexMismatch` if an index that has our name is not ours."""
    name, wanted = model.document["name"], described(model.document)
    if collation := present.get("_id_", {}).get("collation"):  # every index takes the collection's if it has one
        wanted["collation"] = collation
    if difference := difference_of(present[name], wanted):
        raise _mismatch(f"index {name} of {jobs.full_name} has {difference}; {drop_advice(jobs, name)}")


def difference_of(present: Document, wanted: Document) -> str | None:
    """Return what an index has that is not as it must be, of what `described` returns; None if it is ours."""
    for what in sorted(present.keys() | wanted.keys()):
        there, ours = present.get(what, "none"), wanted.get(what, "none")
        if there != ours:
            return f"{what}: {_short(there)}, where jobpool needs {_short(ours)}"
    return None


def _mismatch(text: str) -> IndexMismatch:
    return _of_indexes(IndexMismatch(text))


def _of_indexes(error: _Refused) -> _Refused:
    """Let the log say what the error says: names and keys, nothing of a job."""
    error.operation, error.reason = "indexes", " ".join(str(error).split())
    return error


def drop_advice(jobs: Collection[Document], name: str) -> str:
    """Return how an index of ours that is another is got rid of."""
    command = f"db.getCollection({json.dumps(jobs.name)}).dropIndex({json.dumps(name)})"
    return f"drop it in mongosh with {command}, and jobpool makes its own soon after"


def _short(value: object) -> str:
    return f"{value!r:.200}"
