"""Importing: jobs of another system are carried over, each once, however often it is tried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ..importing import Carried, Imported, Left, Note, Skipped, Source, Unfit, as_far_as_readable
from ..job import State
from ..names import shown
from ..store.driver import run
from ..store.importing import MARK, Origin, imported_document
from .base import Base
from .common import Common

#: So many states of the source are told apart; the rest is `OTHER`.
STATES, OTHER = 20, "other"
#: Documents that are read before others in an event loop have a turn: some 2 ms, if they are small.
TURN = 100

OnRound = Callable[[Imported], None]
OnSkipped = Callable[[Skipped], None]


class Importing(Base):
    """Imports jobs."""

    def import_jobs(
        self,
        source: Source,
        *,
        database: str,
        collection: str = "jobs",
        uri: str | None = None,
        dry_run: bool = False,
        on_round: OnRound | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> Imported:
        """Carry the jobs of another system over into this collection; return what came of it.

        Each becomes one job here. It may be repeated as often as one likes: what
        is there already is recognised and left as it is, whatever became of it
        since; an import that broke off goes on. (What was imported and then
        deleted here, by retention too, is imported again: delete after the last
        import.) The source is only read, and hears of nothing: stop its workers
        before jobs are run here, or what is queued runs on both sides. It is
        read whole, in the order of its ids; a document that is written there
        meanwhile may be missed, the next import finds it.

        Args:
            source: What knows its documents, such as `jobpool.importing.Togedo`.
            database: Where they are.
            collection: Where they are.
            uri: The MongoDB where they are; None is this manager's.
            dry_run: Write nothing, not even an index, and say what would be written.
                Two documents whose ids are the same as text are not told apart then.
            on_round: Called after each page, of some 1,000, with how far it is.
            on_skipped: Called with each document that becomes no job, or loses its result.

        Raises:
            InvalidConfiguration: There is no such collection, or it is this one. Nothing was written.
            StoreUnavailable: Some jobs are carried over. Repeating goes on from there.

        Threads: any; the callbacks are called in the caller's.
        """
        return run(
            carried_over(
                self,
                source,
                database=database,
                collection=collection,
                uri=uri,
                dry_run=dry_run,
                on_round=on_round,
                on_skipped=on_skipped,
            )
        )


async def carried_over(
    manager: Common[Any],
    source: Source,
    *,
    database: str,
    collection: str,
    uri: str | None,
    dry_run: bool,
    on_round: OnRound | None,
    on_skipped: OnSkipped | None,
) -> Imported:
    """Carry jobs over; see `Importing.import_jobs`. A coroutine; see `store.driver.run`."""
    contact = manager.store.contact
    origin, creates = manager.store.importing.origin(database, collection, uri), contact.creates
    try:
        return await _Course(manager, source, origin, dry_run, on_round, on_skipped).run()
    finally:
        contact.creates = creates
        contact.forget()
        await origin.close()


@dataclass
class _Tally:
    """What was counted so far. Threads: one."""

    numbers: Counter[str] = field(default_factory=Counter)
    source_states: Counter[str] = field(default_factory=Counter)
    target_states: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


class _Course:
    """One import from beginning to end. Threads: one."""

    def __init__(
        self,
        manager: Common[Any],
        source: Source,
        origin: Origin,
        dry_run: bool,
        on_round: OnRound | None,
        on_skipped: OnSkipped | None,
    ) -> None:
        self._manager, self._store = manager, manager.store
        self._source, self._origin = source, origin
        self._on_round, self._on_skipped = on_round, on_skipped
        self._tally = _Tally()
        self._began = time.monotonic()
        self._identity = ""
        self._report = Imported(origin.name, self._store.name, dry_run)

    async def run(self) -> Imported:
        """Go through all pages."""
        await self._begin()
        last: bytes | None = None
        while page := await self._origin.page(last):
            await self._carry(page)
            last = page[-1]
            self._tell(self._state())
        self._report = replace(self._state(), source_jobs=await self._origin.count(), finished=True)
        return self._report

    async def _begin(self) -> None:
        if self._report.dry_run:
            self._store.contact.creates = False
        self._identity = await self._store.importing.check_other(self._origin)
        await self._store.contact.ready()
        self._report = replace(self._report, source_jobs=await self._origin.count())
        self._tell(self._report)

    async def _carry(self, page: list[bytes]) -> None:
        """Carry a page over."""
        now = await self._store.now()
        now -= timedelta(microseconds=now.microsecond % 1000)
        pairs = await self._pairs(page, now)
        if not pairs:
            return
        marks = [self._mark(one) for _, one in pairs]
        ids = [one.request.job_id for _, one in pairs]
        before = await self._store.importing.present(ids)
        new = {
            id: imported_document(one, mark, now, self._manager.executors)
            for id, mark, (_, one) in zip(reversed(ids), reversed(marks), reversed(pairs), strict=True)
            if id not in before
        }
        was = set(before)
        if self._report.dry_run:
            after = {id: {"state": document["state"], MARK: document[MARK]} for id, document in new.items()}
            after |= before
        else:
            if new:
                was |= await self._store.importing.insert(list(new.values()))
                self._manager.told({document["type"] for document in new.values()})
            after = await self._store.importing.present(ids)
        for (raw, one), mark, id in zip(pairs, marks, ids, strict=True):
            self._count(raw, one, mark, id in was, after.get(id))

    async def _pairs(self, page: list[bytes], now: datetime) -> list[tuple[bytes, Carried]]:
        """Return the documents that become jobs, and what they mean."""
        pairs = []
        for place, raw in enumerate(page, 1):
            if (one := self._read(raw, now)) is not None:
                pairs.append((raw, one))
            if place % TURN == 0:
                await self._store.driver.pause(0)
        return pairs

    def _read(self, raw: bytes, now: datetime) -> Carried | None:
        """Return what a document means, None if it becomes no job, which is counted then."""
        tally = self._tally
        tally.numbers["read"] += 1
        try:
            one = self._source.read(raw, now=now, limit=self._manager.data_limit)
        except Unfit as error:
            document = as_far_as_readable(raw)
            status = self._source.status(document or {})
            self._tell_apart(status)
            self._skip(document, status, error.kind, str(error))
            return None
        self._tell_apart(one.status)
        if isinstance(one, Left):
            tally.numbers["left_out"] += 1
            return None
        return one

    def _tell_apart(self, status: str) -> None:
        """Count a status of the source; of what is no collection of jobs each document may have another."""
        states = self._tally.source_states
        states[status if status in states or len(states) < STATES else OTHER] += 1

    def _count(
        self, raw: bytes, one: Carried, mark: dict[str, Any], was: bool, now: dict[str, Any] | None
    ) -> None:
        """Count a job that was carried over, by how it is there now."""
        tally = self._tally
        if now is None:
            tally.numbers["missing"] += 1
            return
        same = now.get(MARK) == mark
        if not same and Note.ID_KEPT in one.notes:
            why = f"_id: another job here has the id {shown(one.request.job_id)}; it stays as it is"
            self._skip(as_far_as_readable(raw), one.status, "id", why)
            return
        tally.numbers["inserted" if same and not was else "already" if same else "existing"] += 1
        tally.target_states[str(now["state"])] += 1
        tally.notes.update(note.value for note in one.notes)
        if one.result_error is not None:
            tally.numbers["results_left"] += 1
            self._skip(as_far_as_readable(raw), one.status, "result", one.result_error, carried=True)

    def _skip(
        self, document: dict[str, Any] | None, status: str, problem: str, why: str, *, carried: bool = False
    ) -> None:
        self._tally.problems[problem] += 1
        self._tally.numbers["skipped"] += not carried
        if self._on_skipped is not None:
            id = shown((document or {}).get("_id"))
            self._on_skipped(Skipped(id, status, problem, why, carried, document))

    def _mark(self, one: Carried) -> dict[str, Any]:
        """Return the mark of a job that is imported: by it the next import knows it."""
        return {"from": self._source.name, "source": self._identity, "id": one.source_id}

    def _state(self) -> Imported:
        """Return how far it is."""
        tally = self._tally
        numbers: dict[str, Any] = dict(tally.numbers)
        return replace(
            self._report,
            **numbers,
            source_states=dict(sorted(tally.source_states.items())),
            target_states={state: tally.target_states[state] for state in State if tally.target_states[state]},
            problems=dict(sorted(tally.problems.items())),
            notes=dict(sorted(tally.notes.items())),
            seconds=round(time.monotonic() - self._began, 3),
        )

    def _tell(self, report: Imported) -> None:
        if self._on_round is not None:
            self._on_round(report)
