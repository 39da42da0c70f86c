"""What producers and readers need of the store, with either face of the driver."""

from __future__ import annotations

from typing import Any

from pymongo import WriteConcern
from pymongo.collection import Collection

from ..observer import Observer
from .activity import Overseeing
from .cancelling import Cancelling
from .cascading import Cascading
from .census import Census
from .connection import Connection
from .contact import Contact
from .creation import Creation
from .driver import BLOCKING, Driver
from .filling import Filling
from .finals import Finals
from .followers import Followers
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
        self.removing = Removing(self._connection, self.followers)
        self.purging = Purging(self._connection)
        self.finals = Finals(self._connection)
        self.filling = Filling(self._connection)
        self.presence = Presence(self._connection)
        self.settings = Settings(self._connection)
        self.census = Census(self._connection, self.presence, self.settings)
        self.overseeing = Overseeing(self._connection, self.presence, self.settings)
        self.sizes = Sizes(self._connection)
        self.relating = Relating(self._connection, self.presence)
        self.schedules = Schedules(self._connection)
        self.now = self._connection.now

    @property
    def name(self) -> str:
        """Database and collection, for messages."""
        return self._connection.jobs.full_name

    @property
    def timeout(self) -> float:
        """Seconds after which a call is given up."""
        return self._connection.timeout
