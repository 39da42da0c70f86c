"""The indexes: four, all partial, so that a finished job costs a claim nothing."""

from __future__ import annotations

import logging
import math

from pymongo import ASCENDING, DESCENDING, IndexModel

from ..errors import IndexMismatch
from ..job import State
from .connection import Connection

logger = logging.getLogger(__name__)

#: The claim names it as a hint: a plan cache must never choose another one.
CLAIM_INDEX = "jobpool_claim"
LEASE_INDEX = "jobpool_lease"

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
        [("type", ASCENDING), ("finished_at", DESCENDING)],
        name="jobpool_failed",
        partialFilterExpression={"state": State.FAILED.value},
    ),
)


def ensure_indexes(connection: Connection) -> list[str]:
    """Create what is missing of our indexes and return the names of those created.

    Looks first, so that a process without the right to create indexes can
    start when they are there. MongoDB builds an index without blocking
    readers and writers; this call returns when it is built.

    Raises:
        IndexMismatch: One of our names has other keys. Nothing is dropped.
    """
    with connection.call("indexes", what="reading the indexes"):
        present = {index["name"]: list(index["key"].items()) for index in connection.jobs.list_indexes()}
    missing = []
    for model in INDEXES:
        name, keys = model.document["name"], list(model.document["key"].items())
        if name not in present:
            missing.append(model)
        elif present[name] != keys:
            raise IndexMismatch(
                f"index {name} of {connection.jobs.full_name} has the keys {present[name]} instead of {keys}; "
                "drop it by hand, jobpool makes it again"
            )
    if missing:
        logger.info("creating %d indexes on %s", len(missing), connection.jobs.full_name)
        # No limit of time: a large collection takes as long as it takes.
        with connection.call("indexes", what="creating the indexes", timeout=math.inf):
            connection.jobs.create_indexes(missing)
    return [model.document["name"] for model in missing]
