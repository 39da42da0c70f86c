"""The way to MongoDB: a client, and a collection whose settings are pinned."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pymongo
import pymongo.database
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, PyMongoError
from pymongo.read_concern import ReadConcern

from ..data import CODEC, LENIENT
from ..errors import ForkedProcess, InvalidConfiguration
from ..observer import Observer
from .documents import Document
from .driver import BLOCKING, Driver, run
from .failures import cause_of, kind_of, translate
from .server import Server, ServerClock
from .uris import redact_uri, scrub

Client = MongoClient[Any]
Database = pymongo.database.Database[Any]

URI_VARIABLE = "JOBPOOL_URI"
DEFAULT_URI = "mongodb://localhost:27017"
SCHEMES = ("mongodb://", "mongodb+srv://")
CLOSE_TIME = 1.0
HELLO_TRIES = 3
#: Operations after whose failure nothing can have been changed.
READ_ONLY = frozenset(("hello", "get", "find", "count", "stats", "schedules"))


def open_client(uri: str | None, driver: Driver = BLOCKING) -> Client:
    """Return a client for `uri`, or `$JOBPOOL_URI`, or the local server.

    It connects in the background, or with the first operation, which says if nobody answers.

    Raises:
        InvalidConfiguration: The URI cannot be used; the message hides its password.
    """
    address = uri or os.environ.get(URI_VARIABLE) or DEFAULT_URI
    if not isinstance(address, str) or not address.startswith(SCHEMES):
        shown = redact_uri(str(address))
        raise InvalidConfiguration(f"a MongoDB URI begins with {' or '.join(SCHEMES)}, not {shown!r}")
    # What the URI says wins: an option given here would not let it, and None is one.
    named: dict[str, Any] = {} if "appname=" in address.lower() else {"appname": "jobpool"}
    try:
        client: Client = driver.client_class(address, **named)
        return client
    except (PyMongoError, ValueError, TypeError, OSError) as error:  # OSError: a certificate that cannot be read
        text = scrub(str(error), address)
        raise InvalidConfiguration(f"cannot use the MongoDB URI {redact_uri(address)}: {text}") from None


def collection_of(
    database: str | Database,
    uri: str | None,
    client: Client | None,
    collection: str,
    driver: Driver = BLOCKING,
) -> tuple[Collection[Any], Client | None]:
    """Return the collection that a user named, and the client if it was made for it.

    With an awaited driver, clients, databases and collections are its own, here
    and below; their types are written as those of their blocking twins.

    Raises:
        InvalidConfiguration: The arguments contradict each other, or a name is not one of MongoDB's.
    """
    kinds = driver.database_class.__name__, driver.client_class.__name__
    if isinstance(database, driver.database_class):
        if uri is not None or client is not None:
            raise InvalidConfiguration(f"a pymongo {kinds[0]} brings its client: give neither uri nor client")
        return _named(database.client, database.name, collection), None
    if not isinstance(database, str):
        given = type(database).__name__
        raise InvalidConfiguration(f"database must be a name or a pymongo {kinds[0]}, not {given}")
    if client is not None and uri is not None:
        raise InvalidConfiguration("give either uri or client, not both")
    if client is not None and not isinstance(client, driver.client_class):
        raise InvalidConfiguration(f"client must be a pymongo {kinds[1]}, not {type(client).__name__}")
    if client is not None:
        return _named(client, database, collection), None
    opened = open_client(uri, driver)
    try:
        return _named(opened, database, collection), opened
    except InvalidConfiguration:
        if driver is BLOCKING:  # an awaited client has no connection and no task before its first call
            close_client(opened)
        raise


def _named(client: Client, database: str, collection: str) -> Collection[Any]:
    try:
        return client[database][collection]
    except (PyMongoError, TypeError) as error:
        names = f"{redact_uri(str(database))!r} and {redact_uri(str(collection))!r}"
        text = scrub(scrub(str(error), str(database)), str(collection))
        raise InvalidConfiguration(f"{names} cannot name a collection: {text}") from None


def close_client(client: Client) -> None:
    """Close a client; see `closing`."""
    run(closing(client, BLOCKING))


async def closing(client: Client, driver: Driver) -> None:
    """Close a client, without waiting for a server that is gone: it only wants to hear of the end of sessions."""
    with pymongo.timeout(CLOSE_TIME):
        await driver.call(client.close)


class Connection:
    """The jobs collection with its settings pinned, and the frame every call runs in.

    Whatever the user's client is set to, writes are acknowledged by a majority
    and journaled, reads come from the primary and see only what a majority
    has, and documents decode to plain dicts with aware datetimes in UTC. With
    ``w: 1`` a claim could be rolled back at a failover and two pools would
    hold the same job, so less has to be asked for by name.

    Operations that producers need are coroutines that call the driver through
    `driver`; all others use its blocking face, and work with no other.

    Threads: safe from any thread of the process that made it, refused in a fork.
    With an awaited driver: the tasks of one event loop.
    """

    def __init__(
        self,
        collection: Collection[Any],
        *,
        write_concern: WriteConcern,
        timeout: float,
        observer: Observer,
        driver: Driver = BLOCKING,
    ) -> None:
        majority = write_concern.document.get("w") == "majority"
        self.jobs: Collection[Document] = collection.with_options(
            codec_options=CODEC,
            read_preference=ReadPreference.PRIMARY,
            write_concern=write_concern,
            read_concern=ReadConcern("majority" if majority else "local"),
        )
        #: For reading what others may have written too, whatever it is. It takes no UUID to look for.
        self.reading = self.jobs.with_options(codec_options=LENIENT)
        #: For reads after a write whose reply was lost; see `learn`.
        self.confirmed = self.reading
        self.client: MongoClient[Any] = collection.database.client
        self.driver = driver
        self.timeout = timeout
        self.observer = observer
        self.clock = ServerClock(lambda: run(self._server_time()))
        #: Called when an index turns out to be missing: it was dropped, perhaps with the collection.
        self.forget: Callable[[], None] = lambda: None
        self._pid = os.getpid()

    def learn(self, server: Server) -> None:
        """Adapt to what the server is.

        A majority read may show a state from before a write that was applied
        a moment ago. A linearizable one shows the newest state and returns
        when a majority has it: the answer after which no doubt is left.
        """
        if self.jobs.read_concern.level == "majority":
            level = "linearizable" if server.replicated else "local"
            self.confirmed = self.reading.with_options(read_concern=ReadConcern(level))

    @contextmanager
    def call(
        self, operation: str, *, what: str = "", timeout: float | None = None, translated: bool = True
    ) -> Iterator[None]:
        """Run one store operation: bounded in time, measured, its errors translated.

        Args:
            operation: The metric label.
            what: Names the operation in the error, `operation` if empty.
            timeout: Seconds; the connection's own if None, unlimited if infinite.
            translated: False inside a caller's transaction, whose retry looks
                for the labels on the driver's own errors.

        Raises:
            StoreUnavailable: It may or may not have been applied.
            StoreRefused: It was not applied.
            ForkedProcess: This process is a fork of the one that connected.
        """
        self.check_process()
        began = time.monotonic()
        kind: str | None = None
        limit = self.timeout if timeout is None else timeout
        try:
            with pymongo.timeout(None if math.isinf(limit) else limit):
                yield
        except (PyMongoError, OSError, OverflowError) as raised:
            error = cause_of(raised)
            if error is None:
                raise
            kind = kind_of(error)
            self.clock.forget()
            if not translated:
                raise
            writes = operation not in READ_ONLY
            translated_error = translate(error, what or operation, operation=operation, writes=writes)
            if translated_error.kind == "index":
                self.forget()
            raise translated_error from raised
        finally:
            self.observer.store_operation(operation, time.monotonic() - began, kind)

    def beside(self, suffix: str) -> Collection[Document]:
        """Return the collection of that suffix beside the jobs, pinned as theirs; it takes no UUID to write."""
        return self.jobs.database[self.jobs.name + suffix].with_options(
            codec_options=LENIENT,
            read_preference=self.jobs.read_preference,
            write_concern=self.jobs.write_concern,
            read_concern=self.jobs.read_concern,
        )

    @property
    def round_trip(self) -> float:
        """Seconds to the server that takes the writes and back; 0 if the driver has not measured it yet."""
        servers = self.client.topology_description.server_descriptions().values()
        return max((server.round_trip_time or 0.0 for server in servers if server.is_writable), default=0.0)

    async def hello(self) -> Document:
        """Return what the server says of itself; call it within `call`.

        The driver repeats a read whose connection broke, but not a command,
        and after one broken connection it drops all others to that server.
        """
        for _ in range(HELLO_TRIES - 1):
            try:
                return await self.driver.call(self.client.admin.command, "hello", codec_options=CODEC)
            except AutoReconnect:
                continue
        return await self.driver.call(self.client.admin.command, "hello", codec_options=CODEC)

    def check_process(self) -> None:
        """Raise `ForkedProcess` if this process did not make the connection: sockets are not shared."""
        if os.getpid() != self._pid:
            raise ForkedProcess("MongoDB connections do not survive a fork: make a JobManager in this process")

    async def now(self) -> datetime:
        """Return the server's time, as `clock` does, for operations that may not block."""
        known = self.clock.known()
        return self.clock.learn(await self._server_time()) if known is None else known

    async def now_by_its_answer(self) -> datetime:
        """Return the server's time, asked for it now: not before anything that has happened there by now."""
        return self.clock.learn(await self._server_time())

    async def _server_time(self) -> datetime:
        with self.call("hello", what="asking the server's time"):
            moment: datetime = (await self.hello())["localTime"]
        return moment


def write_concern_of(asked: str | int) -> WriteConcern:
    """Return the write concern a user asked for by name; raise `InvalidConfiguration` for one that is none."""
    if asked == "majority":
        return WriteConcern("majority", j=True)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise InvalidConfiguration(
            f"write_concern must be 'majority' or a number of nodes from 1, not {asked!r}: "
            "an unacknowledged claim is no claim"
        )
    return WriteConcern(asked)
