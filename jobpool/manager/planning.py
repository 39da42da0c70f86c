"""Schedules, for threads and for event loops: what is checked before one is stored, and what becomes of it."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..executors import Executors
from ..job import Job
from ..names import MAX_ID, MAX_NAME, check_name
from ..request import JobRequest
from ..schedules import LAST, Definition, Schedule, definition_of
from ..store.creation import KEEP
from .asking import HasStore, ready_store
from .creating import Creating

#: Of a name and a token together, with what stands between them.
MAX_TOKEN = MAX_ID - MAX_NAME - len("@now-")


class HasSchedules(HasStore, Protocol):
    """A manager, as its schedules see it."""

    @property
    def data_limit(self) -> int:
        """The most bytes the data may take."""

    @property
    def executors(self) -> Executors:
        """What checks the data of their types."""

    @property
    def creating(self) -> Creating:
        """What creates jobs."""

    def scheduled(self) -> None:
        """Hear that a schedule was stored or changed here."""


class AsyncSchedules:
    """The schedules beside the jobs; the methods of `Schedules` say what may be concluded.

    Its operations are coroutines; see `store.driver.run`. Threads: any; no state of its own.
    """

    def __init__(self, manager: HasSchedules) -> None:
        self._manager = manager

    async def list(self) -> list[Schedule]:
        """Return snapshots of all schedules, by name."""
        store = await ready_store(self._manager)
        return await store.schedules.all()

    async def get(self, name: str) -> Schedule:
        """Return a snapshot of one schedule."""
        name = check_name(name, "name")
        store = await ready_store(self._manager)
        return await store.schedules.get(name)

    async def preview(
        self, name: str, when: str | float | timedelta, type: str, data: Any = None, **options: Any
    ) -> Schedule:
        """Return what `AsyncJobManager.schedule` with these arguments would store; nothing is written."""
        name, definition = _checked(self._manager, name, when, type, data, **options)
        return await self._manager.store.schedules.preview(name, definition)

    async def pause(self, name: str) -> Schedule:
        """Let a schedule fire nothing, until it is resumed."""
        name = check_name(name, "name")
        store = await ready_store(self._manager)
        return await store.schedules.pause(name)

    async def resume(self, name: str) -> Schedule:
        """Let a paused schedule fire again."""
        name = check_name(name, "name")
        store = await ready_store(self._manager)
        resumed = await store.schedules.resume(name)
        self._manager.scheduled()
        return resumed

    async def remove(self, name: str) -> bool:
        """Delete a schedule."""
        name = check_name(name, "name")
        store = await ready_store(self._manager)
        return await store.schedules.remove(name)

    async def run_now(self, name: str, *, token: str | None = None) -> Job:
        """Create a job as the schedule would, due now."""
        name = check_name(name, "name")
        token = secrets.token_hex(8) if token is None else check_name(token, "token", longest=MAX_TOKEN)
        schedule = await self.get(name)
        fields = {
            "id": f"{name}@now-{token}",
            "priority": schedule.priority,
            "max_attempts": schedule.max_attempts,
            "timeout": schedule.timeout,
            "key": schedule.key,
        }
        job = await self._manager.creating.create(
            schedule.type, schedule.data, (), fields, on_duplicate=KEEP, session=None
        )
        assert isinstance(job, Job)
        return job


async def put(
    manager: HasSchedules, name: str, when: str | float | timedelta, type: str, data: Any, **options: Any
) -> Schedule:
    """Store a schedule, or change the one of that name, and return it; see `JobManager.schedule`."""
    name, definition = _checked(manager, name, when, type, data, **options)
    store = await ready_store(manager)
    stored = await store.schedules.put(name, definition)
    manager.scheduled()
    return stored


def _checked(
    manager: HasSchedules,
    name: str,
    when: str | float | timedelta,
    type: str,
    data: Any,
    *,
    tz: str | None = None,
    start_at: datetime | None = None,
    catch_up: str = LAST,
    overlap: str | None = None,
    jitter: float = 0.0,
    priority: int = 0,
    max_attempts: int | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> tuple[str, Definition]:
    """Return the name and the definition, if both can be used."""
    name = check_name(name, "the name of a schedule")
    request = JobRequest(
        type=type,
        data=manager.executors.stored(type, data),
        id=name,
        priority=priority,
        max_attempts=max_attempts,
        timeout=timeout,
        key=key,
        limit=manager.data_limit,
    )
    definition = definition_of(
        when,
        tz=tz,
        start_at=start_at,
        catch_up=catch_up,
        overlap=overlap,
        jitter=jitter,
        type=request.type,
        data=request.data,
        priority=request.priority,
        max_attempts=request.max_attempts,
        timeout=request.timeout,
        key=request.key,
    )
    return name, definition
