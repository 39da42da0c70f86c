"""What a source says of one of its documents: the job that it becomes, or why it becomes none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from ..job import JobError, State
from ..request import JobRequest

#: A document of a source.
Fields = dict[str, Any]


class Note(StrEnum):
    """What is worth saying of a job that is carried over."""

    #: Its id was made of its type and data there, and is made so here.
    ID_RECOMPUTED = "id_recomputed"
    #: Its id is the one that it had.
    ID_KEPT = "id_kept"
    #: Its priority was no int within our bounds, and is the nearest one.
    PRIORITY_CHANGED = "priority_changed"
    #: Whole numbers that were stored as floats are ints, as there is one kind of number there.
    NUMBERS_WHOLE = "numbers_whole"
    #: When it was created was not there, and is the earliest instant that was.
    CREATED_GUESSED = "created_guessed"
    #: Its result cannot be held; `Job.result_error` says why.
    RESULT_LEFT = "result_left"


class Unfit(ValueError):
    """A document cannot become a job: nothing of it is written.

    Attributes:
        kind: In a word: type, data, id, run_at, status, created or unreadable.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Left:
    """A document that is left out by the user's wish, or for want of it."""

    status: str


@dataclass(frozen=True, slots=True)
class Carried:
    """A job as it comes into the collection.

    Attributes:
        source_id: Its id in the source.
        status: What its state is called there.
        request: What a producer would ask for; checked, with the id.
        attempts: How many there were.
        created_at: None if nobody knows: it is then created now.
        pool: Who ran it.
    """

    source_id: Any
    status: str
    request: JobRequest
    state: State
    attempts: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Any = field(default=None, repr=False)
    result_error: str | None = None
    error: JobError | None = None
    pool: str | None = None
    notes: frozenset[Note] = frozenset()


class Source(Protocol):
    """Knows the documents of another system.

    Attributes:
        name: For messages and for the mark of what is imported.
    """

    name: str

    def read(self, raw: bytes, *, now: datetime, limit: int) -> Carried | Left:
        """Return what a document means.

        Args:
            raw: The document as BSON.
            now: What time it is.
            limit: The most bytes that data, and a result, may take.

        Raises:
            Unfit: It cannot become a job.
        """

    def status(self, document: Fields) -> str:
        """Return what the state of a document is called there, whatever is in it."""
