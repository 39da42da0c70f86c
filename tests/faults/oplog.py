"""The server's own history: every change of a job, in the order in which it was made.

Read from the oplog, so nothing that a client believes can colour it. After a
rollback it holds what survived.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import ASCENDING, MongoClient

Document = dict[str, Any]


class Change(NamedTuple):
    """One write to one job: the document before (None for an insert) and after (None for a delete)."""

    at: datetime
    id: str
    before: Document | None
    after: Document | None


def changes(client: MongoClient[Document], namespace: str) -> Iterator[Change]:
    """Yield every change to the collection `namespace` that the oplog of the primary holds.

    Raises:
        AssertionError: The oplog begins in the middle; it was too small for the run.
    """
    for _, change in changes_of(client, [namespace]):
        yield change


def changes_of(client: MongoClient[Document], namespaces: Collection[str]) -> Iterator[tuple[str, Change]]:
    """Yield every change to several collections, each with its namespace; see `changes`."""
    among = {"$in": list(namespaces)}
    wanted = {"$or": [{"ns": among}, {"o.applyOps.ns": among}]}
    stored: dict[str, dict[str, Document]] = {namespace: {} for namespace in namespaces}
    for entry in client["local"]["oplog.rs"].find(wanted).sort("$natural", ASCENDING):
        for operation in _operations(entry):
            if operation["ns"] in stored and operation["op"] in "iud":
                yield operation["ns"], _apply(stored[operation["ns"]], operation, entry["wall"])


def _operations(entry: Document) -> list[Document]:
    """Return the single operations of an entry: several inserts or a transaction may share one."""
    return list(entry["o"]["applyOps"]) if "applyOps" in entry["o"] else [entry]


def _apply(jobs: dict[str, Document], operation: Document, at: datetime) -> Change:
    id = operation["o2"]["_id"] if operation["op"] == "u" else operation["o"]["_id"]
    before = jobs.get(id)
    if operation["op"] == "i":
        after: Document | None = dict(operation["o"])
    elif operation["op"] == "d":
        after = None
    else:
        assert before is not None, f"the oplog begins after job {id!r}; make it larger"
        after = _updated(before, operation["o"])
    if after is None:
        jobs.pop(id, None)
    else:
        jobs[id] = after
    return Change(at, id, before, after)


def _updated(before: Document, update: Mapping[str, Any]) -> Document:
    """Apply a delta entry. Changes inside of arrays and sub-documents are passed over: nobody judges them."""
    if "diff" not in update:
        return dict(update)
    diff = update["diff"]
    after = {name: value for name, value in before.items() if name not in diff.get("d", {})}
    return {**after, **diff.get("u", {}), **diff.get("i", {})}
