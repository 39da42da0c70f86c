"""Carrying jobs over from another collection: it is read page by page, what comes of it is inserted once.

The source is only read, and with nothing of ours: no index, no document is
left there. What is imported carries a mark of where it is from, so that the
next run tells it from what others created.

Lost replies: inserts are as of `creation`, so a page that is sent again meets itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from ..errors import InvalidConfiguration
from ..executors import Executors
from ..importing import MAX_KEY, Carried, id_alone
from ..job import JobError, State
from ..observer import Observer
from .connection import Connection, closing, collection_of
from .creation import KEEP, Creation
from .documents import Document, error_entry, new_document
from .driver import Driver

#: Documents of a page, and the bytes after which it ends: a page is held in memory.
PAGE, PAGE_BYTES = 1000, 8 * 1024 * 1024
_BY_ID = [("_id", 1)]
#: Documents are decoded elsewhere; the driver looks into them when they are its arguments, and must not stumble.
_RAW: CodecOptions[Any] = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
#: The field of the mark: name of the source, its collection, and the id there.
MARK = "imported"


class Origin:
    """The collection that is imported from. Close it, if `owned` says that its client is its own.

    Threads: one.
    """

    def __init__(self, connection: Connection, owned: bool) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._owned = owned
        self._documents = connection.jobs.with_options(codec_options=_RAW)
        self.name = connection.jobs.full_name

    async def close(self) -> None:
        """Close the client, if it was opened for this."""
        if self._owned:
            await closing(self._connection.client, self._connection.driver)

    async def identity(self) -> str | None:
        """Return what no other collection has; the name of what has no such thing, None if it is not there.

        Raises:
            StoreUnavailable: Nobody answered.
        """
        return await identity_of(self._connection)

    async def count(self) -> int:
        """Return how many documents there are, as the server estimates it: none of them is read."""
        with self._connection.call("count", what=f"counting {self.name}"):
            number: int = await self._call(self._documents.estimated_document_count)
        return number

    async def page(self, last: bytes | None) -> list[bytes]:
        """Return the documents that come next in the order of their ids, as BSON.

        Ids of any kind are in that order, unlike with ``$gt``, which sees those of one kind.

        Args:
            last: The last document of the page before; None at first.
        """
        options: dict[str, Any] = {"sort": _BY_ID, "hint": _BY_ID}
        behind = None if last is None else id_alone(last)
        if behind is not None:
            if behind[4] == MAX_KEY:  # nothing is behind it, and the server refuses it as a beginning
                return []
            options["min"] = RawBSONDocument(behind, _RAW)
        taken: list[bytes] = []
        size = 0
        with self._connection.call("find", what=f"reading {self.name}"):
            cursor = self._documents.find({}, limit=PAGE + (behind is not None), **options)
            try:
                while size < PAGE_BYTES and (one := await self._call(cursor.to_list, 1)):
                    document = bytes(one[0].raw)  # of a large reply it is a view
                    if not taken and behind == id_alone(document):
                        continue  # it was the last of the page before, whatever is in it now
                    taken.append(document)
                    size += len(document)
            finally:
                await self._call(cursor.close)
        return taken


async def identity_of(connection: Connection) -> str | None:
    """Return the UUID of a collection, which no other has, on whatever server; see `Origin.identity`.

    Raises:
        InvalidConfiguration: It is a view.
    """
    jobs = connection.jobs
    with connection.call("find", what=f"looking for {jobs.full_name}"):
        cursor = await connection.driver.call(jobs.database.list_collections, filter={"name": jobs.name})
        found = await connection.driver.call(cursor.to_list)
    if not found:
        return None
    if found[0].get("type") == "view":
        raise InvalidConfiguration(f"{jobs.full_name} is a view: name the collection that it shows")
    uuid = found[0].get("info", {}).get("uuid")
    return str(uuid) if isinstance(uuid, UUID) else jobs.full_name if uuid is None else bytes(uuid).hex()


class Importing:
    """Inserts what is carried over. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, creation: Creation) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._creation = creation

    def origin(self, database: str, collection: str, uri: str | None) -> Origin:
        """Return the collection to import from; None as `uri` is the server of the jobs. Nothing is sent.

        Raises:
            InvalidConfiguration: It cannot be named so.
        """
        here = self._connection
        driver: Driver = here.driver
        client = here.client if uri is None else None
        found, owned = collection_of(database, uri, client, collection, driver)
        other = Connection(
            found,
            write_concern=here.jobs.write_concern,
            timeout=here.timeout,
            observer=Observer(),
            driver=driver,
        )
        return Origin(other, owned is not None)

    async def check_other(self, origin: Origin) -> str:
        """Return the identity of a source that is there, and another collection than the jobs.

        Raises:
            InvalidConfiguration: It is not.
        """
        identity = await origin.identity()
        if identity is None:
            raise InvalidConfiguration(f"there is no collection {origin.name} to import from")
        if identity == await identity_of(self._connection):
            raise InvalidConfiguration(
                f"{origin.name} would be imported into itself: name another collection for the jobs"
            )
        return identity

    async def present(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return those of the jobs that are there, by id, with their state and their mark."""
        with self._connection.call("find", what="looking which jobs are there"):
            cursor = self._connection.jobs.find({"_id": {"$in": list(ids)}}, {"state": 1, MARK: 1})
            return {job["_id"]: job for job in await self._call(cursor.to_list)}

    async def insert(self, documents: Sequence[Document]) -> set[str]:
        """Insert the jobs that are not there yet; those that are stay as they are. Return the ids of these.

        Raises:
            StoreUnavailable: Some may be inserted. Repeating goes on from there.
        """
        answer = await self._creation.create_many(documents, KEEP, None)
        return {documents[index]["_id"] for index in answer.duplicates}


def imported_document(
    carried: Carried, source: Mapping[str, Any], now: datetime, executors: Executors | None = None
) -> Document:
    """Return what is stored of a job that is carried over.

    Args:
        source: Its mark.
        now: The server's time, to the millisecond: when it was created, if nobody knows.
        executors: Those known here: whose the job is, if its type has keys.
    """
    request = carried.request
    created = carried.created_at or now
    known = executors if carried.state is State.PENDING else None
    document = new_document(
        id=request.job_id,
        type=request.type,
        data=request.data,
        priority=request.priority,
        run_at=request.run_at or created,
        max_attempts=request.max_attempts,
        created_at=created,
        keep_cancelled=None if known is None else known.keeps_cancelled(request.type),
        key=None if known is None else known.key_of(request.type, request.data),
    )
    document |= {"state": carried.state.value, "attempts": carried.attempts, MARK: dict(source)}
    return document | (_end(carried) if carried.state.final else {})


def _end(carried: Carried) -> Document:
    values = {
        "started_at": carried.started_at,
        "finished_at": carried.finished_at,
        "pool": carried.pool,
        "result_error": carried.result_error,
    }
    end: Document = {name: value for name, value in values.items() if value is not None}
    if carried.state is State.SUCCEEDED:
        end["result"] = carried.result
    if (error := carried.error) is not None:
        entry = _entry(error, carried)
        end |= {"error": entry, "errors": [entry], "error_count": 1}
    return end


def _entry(error: JobError, carried: Carried) -> Document:
    at = error.at or carried.finished_at or carried.request.run_at
    assert at is not None  # what has ended did so at some time
    return error_entry(error, MARK, at)
