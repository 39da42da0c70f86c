"""The first contact with a deployment, and looks now and then: what it is, what it asks of us, what is missing."""

from __future__ import annotations

import time
from copy import copy
from datetime import UTC, datetime

from pymongo.errors import PyMongoError

from ..errors import StoreError, StoreUnavailable, UnsupportedServer
from ..hooks import logger_of
from ..names import shown
from .connection import Connection
from .indexes import CLAIM_INDEX, INDEXES, LIMIT_INDEXES, ensure_indexes
from .schema import check_schema
from .server import Server, clock_offset

logger = logger_of(__package__ or __name__)

#: Seconds. Clocks that are kept by NTP differ by milliseconds.
MAX_OFFSET = 5.0
#: MongoDB's own databases.
_SYSTEM = frozenset(("admin", "config", "local"))


def this_machine() -> datetime:
    """Return what time it is by this machine's clock."""
    return datetime.now(UTC)


class Contact:
    """Knows the deployment behind a connection.

    Threads: any; with an awaited driver, the tasks of one event loop. `_lock` guards
    the first contact; all other fields are replaced whole and read by anybody.
    """

    #: Seconds between two looks at server and indexes. A hint names an index and nothing else: if somebody puts a
    #: partial one of our name in its place, claims find no job and nobody is told.
    CHECK_AFTER = 60.0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = connection.driver.lock()
        self._server: Server | None = None
        self._check_at = 0.0
        self._failure: StoreError | None = None
        self._failures = 0
        self._warned: set[str] = set()
        #: False for those who only look: nothing is created then, and a hint may name what is not there.
        self.creates = True
        self._name = connection.jobs.full_name
        connection.forget = self.forget

    async def ready(self) -> Server:
        """Ask the server what it is and see to the indexes, at first and now and then; return its facts.

        Raises:
            StoreUnavailable: Nobody answered in time. Nothing was changed.
            UnsupportedServer: It is too old.
            UnsupportedSchema: This library is too old for the jobs there.
            IndexMismatch: An index of ours is another, or another takes its place.
            ForkedProcess: This process is a fork of the one that connected.
        """
        self._connection.check_process()  # in a fork the lock may be held by nobody
        server = self._server
        if server is None:
            server = await self._first()
        elif time.monotonic() >= self._check_at:
            server = await self._look()
        return server

    async def _first(self) -> Server:
        """Contact the server, or wait for another's contact and share what comes of it: its error as well.

        Each would wait for a time limit of its own, and all of them in a row.
        """
        failures = self._failures
        async with self._lock:
            if self._server is None and self._failures != failures and self._failure is not None:
                raise copy(self._failure) from self._failure
            return self._server or await self._look()

    async def _look(self) -> Server:
        """Contact the server; while it does not answer, all others go on by what is known of it, if anything."""
        self._check_at = time.monotonic() + self.CHECK_AFTER  # before it: they are not to wait for the same
        try:
            server = self._server = await self._ask()
        except BaseException as error:
            self._check_at = 0.0  # the next call tries again
            if isinstance(error, StoreError):
                self._failure, self._failures = error, self._failures + 1
            if isinstance(error, Exception) and not isinstance(error, StoreUnavailable):
                self._server = None  # not so if the look was only broken off
            raise
        return server

    @property
    def in_order(self) -> bool:
        """Whether server and indexes were what they must be when they were last seen."""
        return self._server is not None

    def forget(self) -> None:
        """Ask the server again, and see to the indexes again, at the next `ready`."""
        self._server = None

    async def _ask(self) -> Server:
        with self._connection.call("hello", what=f"connecting to MongoDB for {self._name}"):
            before = this_machine()
            hello = await self._connection.hello()
            self._connection.clock.learn(hello["localTime"])
            offset = clock_offset(hello["localTime"], before, this_machine())
        server = Server.of(hello)
        self._connection.learn(server)
        await check_schema(self._connection)  # first: who is too old makes no index either
        if self.creates:
            await ensure_indexes(self._connection)
        self._warn_of(server, offset)
        return server

    def _warn_of(self, server: Server, offset: float) -> None:
        if not server.replicated:
            self._warn_once(
                "%s is on a standalone server: no push (jobs are found by polling), no transactions, and no "
                "repeated writes after a lost reply; a one-node replica set has all three",
                shown(self._name),
            )
        if abs(offset) > MAX_OFFSET:
            self._warn_once(
                "this machine's clock is %.0f s %s that of MongoDB for %s: jobpool goes by MongoDB's, so a run_at "
                "computed here comes %s by that; use delay=, or set the clocks right",
                *(abs(offset), "ahead of" if offset > 0 else "behind", shown(self._name)),
                "late" if offset > 0 else "early",
            )

    def _warn_once(self, text: str, *values: object) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text, *values)

    async def exists(self) -> bool:
        """Say whether the collection is there."""
        jobs = self._connection.jobs
        with self._connection.call("find", what=f"looking for {self._name}"):
            names = await self._connection.driver.call(
                jobs.database.list_collection_names,
                filter={"name": jobs.name},
                authorizedCollections=True,  # of these one may know without a right to list them
            )
        return bool(names)

    async def elsewhere(self) -> list[str]:
        """Return the collections of this server that have jobpool's indexes, as far as this user may know."""
        with self._connection.call("find", what="looking for collections of jobs", translated=False):
            return await elsewhere(self._connection)

    async def ensure_indexes(self, *, limits: bool = False) -> list[str]:
        """Create what is missing of the indexes, those for `limits` too or not; return the names of the new."""
        return await ensure_indexes(self._connection, (*INDEXES, *LIMIT_INDEXES) if limits else INDEXES)

    async def require_replicated(self, what: str) -> None:
        """Raise `UnsupportedServer` on a standalone server."""
        if not (await self.ready()).replicated:
            raise UnsupportedServer(
                f"{what} needs a replica set, and {shown(self._name)} is on a standalone server: nothing was "
                "written; start mongod with --replSet, one node is enough"
            )


async def elsewhere(connection: Connection) -> list[str]:
    """Return the collections of this server that have jobpool's indexes; call it within `Connection.call`."""
    call, client, found = connection.driver.call, connection.client, []
    try:
        for database in await call(client.list_database_names):
            if database in _SYSTEM:  # there are views there, which have no indexes to tell of
                continue
            for name in await call(client[database].list_collection_names, filter={"type": "collection"}):
                if CLAIM_INDEX in await call(client[database][name].index_information):
                    found.append(f"{database}.{name}")
    except PyMongoError:
        return found
    return found
