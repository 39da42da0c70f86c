"""What holds for all pools on a collection, as long as nobody changes it: what is paused.

One small document in the collection beside the jobs. Every pool reads it a
few times a second; no claim does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from ..pauses import Pause, Paused
from .connection import Connection
from .documents import Document

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".settings"
UNAUTHORIZED = 13
#: The document of what is paused: `all` is there while everything is, `types` has an item for each by itself.
PAUSE = {"_id": "pause"}


async def setting_of(connection: Connection, which: Document) -> Document | None:
    """Return a document of the settings; call it within `connection.call`.

    None if there is none, or if this user may not read it: a role from before
    there were settings is not bound by them, and that is no trouble to count.
    """
    try:
        found: Document | None = await connection.driver.call(connection.beside(SUFFIX).find_one, which)
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        return None
    return found


class Settings:
    """Reads and changes what is paused. Threads: any; no state of its own.

    Each change is one statement on one document, so that of several at once
    none is lost. Lost replies: every statement may be repeated and then
    changes nothing more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.beside(SUFFIX)

    async def pause(self, types: Sequence[str], reason: str | None) -> Paused:
        """Pause `types`, everything if there are none; return what is paused then.

        What was paused before has been since then; a reason replaces an older one.

        Raises:
            StoreUnavailable: They may or may not be paused. Repeating is safe.
        """
        update = _pausing_types(types, reason) if types else _pausing_all(reason)
        return await self._change(update, "pausing jobs", upsert=True)

    async def resume(self, types: Sequence[str]) -> Paused:
        """End the pauses of `types`, every pause if there are none; return what is paused then.

        Raises:
            StoreUnavailable: They may or may not be resumed. Repeating is safe.
        """
        if types:
            kept = {"$filter": {"input": _ITEMS, "cond": {"$not": _in("$$this.type", types)}}}
            return await self._change([{"$set": {"types": kept}}], "resuming jobs")
        return await self._change([{"$set": {"types": []}}, {"$unset": "all"}], "resuming jobs")

    async def paused(self, timeout: float | None = None) -> Paused:
        """Return what is paused. Nothing is created, and nothing is changed.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        with self._connection.call("find", what="reading what is paused", timeout=timeout):
            return paused_of(await self._connection.driver.call(self._settings.find_one, PAUSE))

    async def known(self) -> Paused:
        """Return what is paused, as far as this user may know; to be called within a call of the connection."""
        return paused_of(await setting_of(self._connection, PAUSE))

    async def _change(self, update: list[Document], what: str, *, upsert: bool = False) -> Paused:
        with self._connection.call("pause", what=what):
            try:
                return await self._changed(update, upsert=upsert)
            except DuplicateKeyError:  # another one made the document at the same time: it is there now
                return await self._changed(update)

    async def _changed(self, update: list[Document], *, upsert: bool = False) -> Paused:
        change, after = self._settings.find_one_and_update, ReturnDocument.AFTER
        call = self._connection.driver.call
        return paused_of(await call(change, PAUSE, update, upsert=upsert, return_document=after))


#: In a pipeline: the items there are. Somebody else may have written something that is none.
_ITEMS = {"$cond": [{"$isArray": "$types"}, "$types", []]}


def _in(value: str, names: Sequence[str]) -> Document:
    return {"$in": [value, {"$literal": list(names)}]}


def _pausing_all(reason: str | None) -> list[Document]:
    there = {"$eq": [{"$type": "$all"}, "object"]}
    known: Document = {"$cond": [there, "$all", {"since": "$$NOW", "reason": None}]}
    return [{"$set": {"all": known if reason is None else {"$mergeObjects": [known, _said(reason)]}}}]


def _pausing_types(types: Sequence[str], reason: str | None) -> list[Document]:
    named: list[Document] = [
        {"type": {"$literal": type}, "since": "$$NOW", "reason": {"$literal": reason}} for type in types
    ]
    more = {"$filter": {"input": named, "cond": {"$not": {"$in": ["$$this.type", "$types.type"]}}}}
    pipeline: list[Document] = [{"$set": {"types": _ITEMS}}]
    if reason is not None:
        said = {"$mergeObjects": ["$$this", _said(reason)]}
        item = {"$cond": [_in("$$this.type", types), said, "$$this"]}
        pipeline.append({"$set": {"types": {"$map": {"input": "$types", "as": "this", "in": item}}}})
    return [*pipeline, {"$set": {"types": {"$concatArrays": ["$types", more]}}}]


def _said(reason: str) -> Document:
    return {"reason": {"$literal": reason}}


def paused_of(found: Mapping[str, Any] | None) -> Paused:
    """Return what the document says. Of what somebody else wrote into it, what names something to pause counts."""
    if found is None:
        return Paused()
    everything, types = found.get("all"), found.get("types")
    items = [item for item in types if isinstance(item, Mapping)] if isinstance(types, list) else []
    return Paused(
        everything=_pause(everything) if isinstance(everything, Mapping) else None,
        types={type: _pause(item) for item in items if isinstance(type := item.get("type"), str)},
    )


def _pause(item: Mapping[str, Any]) -> Pause:
    since, reason = item.get("since"), item.get("reason")
    return Pause(
        since=since if isinstance(since, datetime) else datetime.fromtimestamp(0, UTC),
        reason=reason if isinstance(reason, str) else None,
    )
