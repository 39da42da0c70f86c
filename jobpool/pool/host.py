"""What a pool needs of the manager it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..executors import Executors
from ..middleware import Chain
from ..observer import Observer
from ..request import JobRequest
from ..store import Store
from ..store.documents import Document
from ..tracing import Tracing
from .wakeups import Wakeups


class Host(Protocol):
    """The manager, as its pools see it; executors that ask for a manager get it."""

    @property
    def store(self) -> Store:
        """The store, refused in a forked child."""

    @property
    def executors(self) -> Executors:
        """What can be run here."""

    @property
    def observer(self) -> Observer:
        """Who hears of it."""

    @property
    def middleware(self) -> Chain | None:
        """The hooks of the user; None if there are none."""

    @property
    def tracing(self) -> Tracing:
        """Where spans go."""

    @property
    def data_limit(self) -> int:
        """The most bytes a result may take."""

    @property
    def wakeups(self) -> Wakeups:
        """Who is woken by whom."""

    def document_of(self, request: JobRequest, now: datetime) -> Document:
        """Return what is stored for a job that is created here at `now`, to the millisecond."""

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and body of a scrape."""
