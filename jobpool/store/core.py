"""What producers and readers need of the store, with either face of the driver."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo import WriteConcern
from pymongo.collection import Collection

from ..observer import Observer
from .activity import Overseeing
from .again import Again
from .cancelling import Cancelling
from .cascading import Cascading
from .census import Census
from .conditions import Condition, condition_of
from .connection import Connection
from .contact import Contact
from .creation import Creation
from .driver import BLOCKING, Driver
from .explaining import Explaining
from .filling import Filling
from .finals import Finals
from .followers import Followers
from .following import Following, Recent
from .grouping import Grouping
from .importing import Importing
from .linking import Linking
from .listing import Listing
from .pages import Pages
from .presence import Presence
from .purging import Purging
from .queries import Queries
from .relating import Relating
from .removing import Removing
from .schedules import Schedules
from .settings import Settings
from .sizes import Sizes

if TYPE_CHECKING:
    from .checks.examining import Examining


class Core:
    """The operations on one collection of jobs that run no job, by role. They are coroutines; see `driver.run`.

    Threads: safe from any thread; with an awaited driver, for the tasks of one event loop.
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
        self.driver = driver
        self._connection = Connection(
            collection, write_concern=write_concern, timeout=timeout, observer=observer, driver=driver
        )
        self.contact = Contact(self._connection)
        self.followers = Followers(self._connection)
        self.linking = Linking(self._connection, self.followers)
        self.creation = Creation(self._connection, self.linking)
        self.pages = Pages(self._connection)
        self.importing = Importing(self._connection, self.creation)
        self.listing = Listing(self._connection, self.pages)
        self.queries = Queries(self._connection, self.pages)
        self.cancelling = Cancelling(self._connection, Cascading(self._connection, self.followers))
        self.again = Again(self._connection, self.pages, self.linking, self.followers)
        self.removing = Removing(self._connection, self.followers)
        self.purging = Purging(self._connection)
        self.finals = Finals(self._connection)
        self.filling = Filling(self._connection)
        self.grouping = Grouping(self._connection)
        self.presence = Presence(self._connection)
        self.settings = Settings(self._connection)
        self.census = Census(self._connection, self.presence, self.settings)
        self.overseeing = Overseeing(self._connection, self.presence, self.settings)
        self.sizes = Sizes(self._connection)
        self.recent = Recent(self._connection)
        self.relating = Relating(self._connection, self.presence)
        self.schedules = Schedules(self._connection)
        self.explaining = Explaining(self._connection, self.presence, self.settings)
        self.now = self._connection.now

    async def condition_of(
        self, to: str, *, succeeded: bool, run_at: datetime | None, older_than: float | None
    ) -> Condition:
        """Return when a job would be changed by an operation; see `condition_of`."""
        return await condition_of(self._connection, to, succeeded=succeeded, run_at=run_at, older_than=older_than)

    def follow(self, ids: tuple[str, ...] | None, *, data: bool, progress: bool, max_await: float) -> Following:
        """Return what follows the changes of these jobs, or of all, for the use of one thread or task."""
        return Following(self._connection, ids, data=data, progress=progress, max_await=max_await)

    @property
    def examining(self) -> Examining:
        """What looks for all that may be wrong here."""
        from .checks.examining import Examining  # its modules are many, and few processes ever look

        return Examining(self._connection)

    @property
    def name(self) -> str:
        """Database and collection, for messages."""
        return self._connection.jobs.full_name

    @property
    def timeout(self) -> float:
        """Seconds after which a call is given up."""
        return self._connection.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._connection.timeout = seconds
