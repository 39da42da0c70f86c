"""The checks of pools and of what holds for all of them: each finds exactly the fault that it is for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobpool import Executor, JobManager, Limit
from jobpool.phrases import silence

from ..checking import bad, deployment, job, now, only, pool, waiting
from ..conftest import Jobs, MakeManager
from ..waiting import until


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    return deployment(make_manager, jobs)


# --- pools ------------------------------------------------------------------------------


def test_jobs_are_due_and_no_pool_is_alive(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].delete_many({})
    jobs.insert_one(job("1", run_at=now(600)))
    assert bad(manager.check()) == []
    jobs.insert_one(job("2", run_at=now(-1)))
    only(manager.check(), "pools.alive", "problem")


def test_a_pool_died(manager: JobManager, jobs: Jobs) -> None:
    pools = jobs.database["jobs.pools"]
    pools.insert_one(pool("p2", seen_at=now(-99), fresh_until=now(-60)))
    pools.insert_one(pool("p3", seen_at=now(-9999), fresh_until=now(-9000)))
    assert only(manager.check(), "pools.dead", "warning").facts["pool"] == "p2"
    pools.insert_many([pool(f"{n}", seen_at=now(-99), fresh_until=now(-50 + n)) for n in range(10)])
    assert bad(manager.check()) == [("pools.dead", "warning")] * 6
    assert manager.check().warnings[-6].facts["pool"] == "9"  # the last one first
    assert "6 pools more" in manager.check().warnings[-1].text


def test_a_pool_is_silent(manager: JobManager, jobs: Jobs) -> None:
    pools = jobs.database["jobs.pools"]
    pools.insert_one(pool("p2", seen_at=now(-900), fresh_until=now(900)))
    found = only(manager.check(), "pools.silent", "warning")
    assert found.facts["pool"] == "p2"
    assert found.facts["silent_for"] >= 900
    assert f"{silence(found.facts['silent_for'])}, and counts as alive all the same" in found.text
    pools.update_one({"_id": "p2"}, {"$set": {"seen_at": now(-20), "fresh_until": now(500), "speaks_every": 10.0}})
    found = only(manager.check(), "pools.silent", "warning")
    assert found.facts["silent_for"] >= 20
    assert f"{silence(found.facts['silent_for'])}, and should have spoken since" in found.text


def test_every_pool_drains(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("p2", state="draining"))
    assert bad(manager.check()) == []
    jobs.database["jobs.pools"].replace_one({"_id": "p1"}, pool(state="draining"))
    only(manager.check(), "pools.draining", "warning")


def test_a_document_is_no_pools(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one({"_id": {"x": 1}, "types": 7, "aliases": {}, "limits": "none"})
    assert only(manager.check(), "pools.words", "warning").facts["count"] == 1


# --- limits, schedules, settings --------------------------------------------------------


def test_pools_heed_different_limits(make_manager: MakeManager, jobs: Jobs) -> None:
    """Real pools, one of which has the type under another name."""
    first = make_manager(executors={"a": Executor(print, limit=Limit(running=2))})
    second = make_manager(executors={"a": Executor(print, limit=Limit(running=3), aliases=("b",))})
    first.ensure_indexes(limits=True)
    first.start_watch()
    until(lambda: len(first.pools()) == 1)
    assert bad(first.check()) == []
    second.start_watch()
    until(lambda: len(first.pools()) == 2)
    found = only(first.check(), "limits.differ", "warning")
    assert sorted(found.facts["limits"]) == ["running=2", "running=3"]


def test_a_gate_is_shut_for_long(manager: JobManager, jobs: Jobs) -> None:
    gate = {"_id": {"type": "a", "key": "k"}, "token": "x", "forget_at": now(86400)}
    jobs.database["jobs.gates"].insert_one({**gate, "locked_until": now(900)})
    assert "type 'a' and key 'k'" in only(manager.check(), "limits.locks", "problem").text
    jobs.database["jobs.gates"].replace_one({}, {**gate, "locked_until": now(5)})
    assert bad(manager.check()) == []


def test_gates_are_left_over(manager: JobManager, jobs: Jobs) -> None:
    old = {"locked_until": now(-9e5), "forget_at": now(-4e5)}
    gates: list[dict[str, Any]] = [{"_id": {"type": "gone", "key": None}, "token": "dead", **old}, {"_id": 7}]
    jobs.database["jobs.gates"].insert_many(gates)
    assert only(manager.check(), "limits.gates", "warning").facts["count"] == 2


@pytest.mark.parametrize(
    ("change", "level"),
    [
        pytest.param({"last": 7}, "problem", id="no schedule"),
        pytest.param({"every": None, "cron": "61 * * * *"}, "problem", id="no expression"),
        pytest.param({"every": None, "cron": "1 * * * *", "tz": "Mars/Olympus"}, "warning", id="no zone"),
        pytest.param({"every": "often"}, "problem", id="no interval"),
        pytest.param({"anchor": "then"}, "problem", id="no anchor"),
    ],
)
def test_a_schedule_is_broken(manager: JobManager, jobs: Jobs, change: dict[str, Any], level: str) -> None:
    manager.schedule("nightly", timedelta(hours=1), "a")
    manager.schedule("good", timedelta(hours=1), "a")
    jobs.database["jobs.schedules"].update_one({"_id": "nightly"}, {"$set": change})
    assert only(manager.check(), "schedules.readable", level).facts["schedule"] == "nightly"


def test_what_is_no_schedule_has_to_be_deleted_by_hand(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.schedules"].insert_one({"_id": {"x": 1}, "next_at": now(9999)})
    found = only(manager.check(), "schedules.readable", "problem")
    assert "delete it from 'jobs.schedules'" in (found.remedy or "")


def test_a_schedule_is_not_fired(manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("nightly", timedelta(hours=1), "a")
    jobs.database["jobs.schedules"].update_one({}, {"$set": {"next_at": now(-900)}})
    assert only(manager.check(), "schedules.overdue", "problem").facts["schedule"] == "nightly"
    manager.schedules.pause("nightly")
    assert bad(manager.check()) == []


def test_nobody_runs_what_a_schedule_makes(manager: JobManager) -> None:
    manager.schedule("nightly", timedelta(hours=1), "b")
    assert only(manager.check(), "schedules.types", "warning").facts == {"schedule": "nightly", "type": "b"}


def test_a_type_is_paused_that_nobody_knows(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many(
        [job("1", type="b"), waiting("2", "1", type="c"), job("3", type="d", state="failed", finished_at=now())]
    )
    manager.pause("a", "b", "c", "d", "Mail", reason="typing error")
    found = only(manager.check(), "settings.pauses", "warning")
    assert (found.facts["type"], found.facts["reason"]) == ("Mail", "typing error")


@pytest.mark.parametrize(
    "document",
    [{"_id": "speed", "limit": 7}, {"_id": "pause", "types": "all"}, {"_id": "pause", "types": [{"type": 7}]}],
    ids=["unknown", "no list", "no type"],
)
def test_settings_that_are_not_known(manager: JobManager, jobs: Jobs, document: dict[str, Any]) -> None:
    jobs.database["jobs.settings"].insert_one(document)
    only(manager.check(), "settings.documents", "warning")
