"""What a schedule would be, before it is stored."""

from __future__ import annotations

import pytest

from jobpool import AsyncJobManager, JobManager
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration, InvalidJob

from ..awaited import drive
from ..conftest import Jobs, MakeManager


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager()


def test_a_new_schedule_is_shown_and_not_stored(manager: JobManager, jobs: Jobs) -> None:
    shown = manager.schedules.preview("n", "30 2 * * *", "report", {"a": 1}, tz="Europe/Berlin", key="eu")
    assert (shown.name, shown.type, shown.data, shown.tz, shown.key) == (
        "n",
        "report",
        {"a": 1},
        "Europe/Berlin",
        "eu",
    )
    assert len(shown.next(3)) == 3
    assert shown.last is None
    assert manager.schedules.list() == []
    assert "jobs.schedules" not in jobs.database.list_collection_names()


def test_what_is_shown_is_what_is_stored_then(manager: JobManager) -> None:
    shown = manager.schedules.preview("n", "*/7 * * * *", "report", jitter=5.0)
    stored = manager.schedule("n", "*/7 * * * *", "report", jitter=5.0)
    assert shown.same(stored)
    assert set(shown.next(5)) & set(stored.next(5)), "a due time may have passed in between"


def test_the_same_again_is_shown_as_it_is(manager: JobManager) -> None:
    stored = manager.schedule("n", 900, "report")
    assert manager.schedules.preview("n", 900, "report") == stored


def test_a_change_is_shown_with_its_new_times_and_changes_nothing(manager: JobManager) -> None:
    stored = manager.schedule("n", 900, "report")
    shown = manager.schedules.preview("n", 60, "report")
    assert shown.next_at is not None
    assert stored.next_at is not None
    assert (shown.every, shown.created_at) == (60, stored.created_at)
    assert shown.next_at < stored.next_at
    assert manager.schedules.get("n") == stored


def test_nonsense_is_refused_as_it_is_when_it_is_stored(manager: JobManager) -> None:
    with pytest.raises(InvalidConfiguration, match="five fields"):
        manager.schedules.preview("n", "* * *", "report")
    with pytest.raises(InvalidJob, match="name of a schedule"):
        manager.schedules.preview("", 60, "report")
    with pytest.raises(TypeError, match="nonsense"):
        manager.schedules.preview("n", 60, "report", nonsense=1)


def test_it_can_be_awaited(server: EmbeddedMongo, database: str) -> None:
    async def preview() -> float | None:
        async with AsyncJobManager(database, uri=server.uri) as manager:
            return (await manager.schedules.preview("n", 60, "report")).every

    assert drive(preview()) == 60
