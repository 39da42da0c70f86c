"""What every check has in common: its name, what it may look at, how it says what it found."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from pymongo.errors import OperationFailure

from ...checkup import LEVELS, OK, PROBLEM, SKIPPED, WARNING, Finding
from ...executors import Executors
from ...names import shown
from ...phrases import several
from ..connection import Connection
from ..documents import Document

_T = TypeVar("_T")

UNAUTHORIZED = 13
#: Jobs, keys or names that a finding names; of more it says how many there are.
NAMED = 5
#: Those that a finding has the facts of.
MOST_FACTS = 1000
#: Seconds that something may be over before it counts: pools look every few seconds.
GRACE = 60.0


#: Why what is not there cannot be looked at.
NO_COLLECTION = "there is no such collection", "see collection.exists"


class Skip(Exception):
    """A check cannot be made: why, and what would let it be made."""

    def __init__(self, text: str, remedy: str | None = None) -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        name: The subject and what of it, such as ``topology.lag``. It stays.
        examine: Looks, and returns what it found: at least one finding, without the name. It only reads; all it
            sends is together bounded by the look's time limit, and it is safe on a busy primary: it reads
            by an index, or no more than some hundred thousand documents.
        needs: The right it needs, for those who lack it, in README's words.
        question: What it answers; the first line of what `examine` says of itself if not given.
    """

    name: str
    examine: Callable[[Look], Awaitable[Sequence[Finding]]]
    needs: str = "find and listIndexes on the jobs (jobpoolMonitor)"
    question: str = ""

    def __post_init__(self) -> None:
        if not self.question:
            object.__setattr__(self, "question", (self.examine.__doc__ or "").partition("\n")[0])


@dataclass(slots=True)
class Look:
    """One look at a deployment: what its checks share. One thread, or one task.

    Attributes:
        connection: The way to it; bounded in time by who runs the checks.
        executors: Of the types known here; none where the manager only looks.
        hello: What the primary said of itself.
        at: Server time when the look began.
        offset: By how many seconds this machine's clock is ahead of the server's.
        timeout: Seconds for each check.
    """

    connection: Connection
    executors: Executors
    hello: Document
    at: datetime
    offset: float
    timeout: float
    _began: float = field(default_factory=time.monotonic)
    _known: dict[str, Any] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """Server time, counted on from when the look began: what was written meanwhile is not to come."""
        return self.at + timedelta(seconds=time.monotonic() - self._began)

    @property
    def jobs(self) -> Any:
        """The collection of the jobs."""
        return self.connection.jobs

    @property
    def replicated(self) -> bool:
        """Whether it is a replica set."""
        return "setName" in self.hello

    async def once(self, what: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `ask` returns, or raise what it raises, asking the server only for the first check."""
        if what not in self._known:
            try:
                self._known[what] = await ask()
            except Exception as error:
                self._known[what] = error
                raise
        known = self._known[what]
        if isinstance(known, Exception):
            raise known
        return cast("_T", known)

    async def admin(self, command: str, value: object = 1, **more: Any) -> Document:
        """Return the answer of a command to the server, asked once."""

        async def ask() -> Document:
            run: Any = self.connection.client.admin.command
            return cast("Document", await self.connection.driver.call(run, command, value, **more))

        return await self.once(f"{command} {sorted(more)}", ask)

    async def read(self, cursor: Any) -> list[Document]:
        """Return all of a cursor that `find` made."""
        return cast("list[Document]", await self.connection.driver.call(cursor.to_list))

    async def find(
        self,
        filter: Document,
        fields: Collection[str] = ("_id",),
        *,
        hint: str | None = None,
        limit: int,
        collection: Any = None,
    ) -> list[Document]:
        """Return up to `limit` documents, of the jobs if no other collection is given."""
        where = self.jobs if collection is None else collection
        cursor = where.find(filter, dict.fromkeys(fields, 1) or None).limit(limit).batch_size(limit + 1)
        return await self.read(cursor if hint is None else cursor.hint(hint))

    async def aggregated(self, pipeline: list[Document], hint: str | None = None) -> list[Document]:
        """Return what a pipeline makes of the jobs."""
        options = {} if hint is None else {"hint": hint}
        return await self.read(await self.connection.driver.call(self.jobs.aggregate, pipeline, **options))

    async def beside(self, suffix: str, limit: int = 10_000) -> list[Document]:
        """Return the documents of a collection beside the jobs, asked once."""
        return await self.once(
            suffix, lambda: self.find({}, (), limit=limit, collection=self.connection.beside(suffix))
        )


def ok(text: str, **facts: Any) -> Finding:
    """Return the finding that all is well."""
    return _finding(OK, text, None, facts)


def warning(text: str, remedy: str | None, **facts: Any) -> Finding:
    """Return the finding of what works, and costs or risks something."""
    return _finding(WARNING, text, remedy, facts)


def problem(text: str, remedy: str | None, **facts: Any) -> Finding:
    """Return the finding of what loses jobs, lets them stick or refuses them."""
    return _finding(PROBLEM, text, remedy, facts)


def skipped(text: str, remedy: str | None, **facts: Any) -> Finding:
    """Return the finding that nobody knows."""
    return _finding(SKIPPED, text, remedy, facts)


def few(found: Sequence[Finding], what: str) -> list[Finding]:
    """Return the first of findings that are alike, and in one how many more there are of what they tell of."""
    more = found[NAMED:]
    if not more:
        return list(found)
    level = max((finding.level for finding in more), key=LEVELS.index)
    facts = {"count": len(more), "rest": [finding.facts for finding in more[:MOST_FACTS]]}
    remedy = "the same as for those above; jobpool doctor --json has them all"
    return [*found[:NAMED], _finding(level, f"{many(len(more), what)} more", remedy, facts)]


def _finding(level: str, text: str, remedy: str | None, facts: Mapping[str, Any]) -> Finding:
    return Finding("", level, text, remedy, {name: _plain(value) for name, value in facts.items()})


def _plain(value: Any) -> Any:
    """Return a fact as everybody can show it: ids and the like may be of any of MongoDB's kinds."""
    if value is None or isinstance(value, str | bool | int | float | datetime):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return shown(value)


def many(number: int, what: str, *, or_more: bool = False) -> str:
    """Return ``1 job`` or ``1,234 jobs``, or that many ``or more``."""
    return several(number, what) + (" or more" if or_more else "")


def refused(error: BaseException) -> bool:
    """Say whether this user may not do that."""
    return isinstance(error, OperationFailure) and (
        error.code == UNAUTHORIZED or "requires authentication" in str(error)
    )
