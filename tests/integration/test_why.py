"""Why a job does not run: real jobs in every situation, and what is said of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from jobpool import AsyncJobManager, Backoff, Executor, JobManager, Limit, Snooze, WorkerPool, current_job
from jobpool.backlog import AlivePool, TypeLimits
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidJob, JobNotFound, StoreUnavailable
from jobpool.store.cards import PoolCard
from jobpool.store.gates import Gates, Want
from jobpool.why import Reason, Why

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..waiting import until
from .conftest import TakeOne
from .test_transitions import expire

Client = MongoClient[dict[str, Any]]


class Hold:
    """An executor whose jobs run until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Semaphore(0)

    def __call__(self, data: Any) -> Any:
        self.began.release()
        self.go.wait(60)
        return data


@pytest.fixture
def hold() -> Iterator[Hold]:
    hold = Hold()
    yield hold
    hold.go.set()


@contextmanager
def held(hold: Hold, pool: WorkerPool, jobs: int = 1) -> Iterator[WorkerPool]:
    """Run a pool until so many of its jobs have begun; they end with the block."""
    with pool:
        try:
            for _ in range(jobs):
                assert hold.began.acquire(timeout=30)
            yield pool
        finally:
            hold.go.set()


def until_code(manager: JobManager, id: str, code: str) -> Why:
    """Ask until that is the first reason."""
    seen: list[Why] = []

    def asked() -> bool:
        seen[:] = [manager.why(id)]
        return seen[0].code == code

    until(asked, code)
    return seen[0]


def reason(manager: JobManager, id: str, code: str) -> Reason:
    found = manager.why(id).of(code)
    assert found is not None, manager.why(id)
    return found


def say(manager: JobManager, id: str, *types: str, **more: Any) -> PoolCard:
    """Let a pool say that it lives that does nothing."""
    card = PoolCard(id, "asleep", "elsewhere", 77, types, 4, version="9", state="running", lease=30.0, **more)
    manager.store.presence.announce(card, 60)
    return card


def fail(data: Any) -> None:
    raise ValueError(data)


def later(data: Any) -> None:
    raise Snooze(600)


# --- pending ------------------------------------------------------------------------------


def test_a_job_that_is_created_for_later(make_manager: MakeManager) -> None:
    manager = make_manager()
    job = manager.create("a", delay=600)
    why = manager.why(job.id)
    assert (why.id, why.type, why.state, why.code) == (job.id, "a", "pending", "not_due")
    assert why.reasons[0].facts["run_at"] == job.run_at
    assert why.reasons[0].facts["cause"] == "created"
    assert [reason.code for reason in why.reasons] == ["not_due", "no_executor"]
    assert why.at.utcoffset() == timedelta(0)


def test_a_job_that_was_put_off_by_a_retry_or_by_its_executor(make_manager: MakeManager) -> None:
    executors = {"f": Executor(fail, max_attempts=3, backoff=Backoff(base=600, jitter=0)), "s": later}
    manager = make_manager(executors=executors)
    failed, snoozed = manager.create("f", "no good"), manager.create("s")
    with WorkerPool(manager) as pool:
        why = until_code(manager, failed.id, "not_due").reasons[0]
        assert (why.facts["cause"], why.facts["error"]) == ("retry", "ValueError")
        assert (why.facts["attempts"], why.facts["max_attempts"], why.facts["message"]) == (1, 3, "no good")
        assert "attempt 1 of 3 failed with ValueError" in why.text
        why = until_code(manager, snoozed.id, "not_due").reasons[0]
        assert (why.facts["cause"], why.facts["snoozes"], why.facts["pool_id"]) == ("snooze", 1, pool.id)


def test_a_retry_after_its_holder_died_is_told_from_other_delays(
    make_manager: MakeManager, take: TakeOne, jobs: Jobs
) -> None:
    manager = make_manager()
    id = manager.create("a", max_attempts=3).id
    take()
    long_ago = datetime.now(UTC) - timedelta(seconds=9)
    backoff = Backoff(base=600, jitter=0).numbers()
    jobs.update_one({}, {"$set": {"state": "running", "attempts": 1, "lease_until": long_ago, "backoff": backoff}})
    assert sum(item.jobs for item in manager.store.reaping.reap()) == 1
    why = reason(manager, id, "not_due")
    assert (why.facts["cause"], why.facts["error"]) == ("retry", "WorkerLost")


def test_what_is_paused_by_its_name_as_an_alias_or_with_everything(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": Executor(hold, aliases=("also",))})
    bystander = make_manager()  # without executors: what pools say of aliases is all it knows
    manager.pause("a", reason="deploy")
    with WorkerPool(manager):
        until(manager.pools)
        plain, alias = manager.create("a", 1), manager.create("also", 1)
        why = bystander.why(plain.id)
        assert (why.code, len(why.reasons)) == ("paused", 1)
        assert why.reasons[0].facts["reason"] == "deploy"
        assert why.reasons[0].facts["since"] == manager.paused().types["a"].since
        assert (
            "type 'a', of which 'also' is an alias, has been paused" in reason(bystander, alias.id, "paused").text
        )
        manager.pause()
        manager.resume("a")
        assert reason(bystander, plain.id, "paused").facts["everything"] is True
    assert [one.code for one in manager.why(alias.id).reasons] == ["paused", "no_executor"]


def test_nobody_runs_the_type(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"mail": hold, "sms": hold})
    id = manager.create("mial").id
    assert manager.why(id).text == "no pool is alive, so nobody runs jobs of type 'mial'"
    with WorkerPool(manager, name="others") as pool:
        why = until_code(manager, id, "no_executor").reasons[0]
        until(lambda: "the only pool alive does not run type 'mial'" in manager.why(id).text)
        why = manager.why(id).reasons[0]
        assert why.remedy.startswith("is it a typing error for 'mail'?")
        (seen,) = why.facts["pools"]
        assert (seen["id"], seen["name"], seen["types"]) == (pool.id, "others", ["mail", "sms"])


def test_the_last_pool_that_died_is_remembered(make_manager: MakeManager) -> None:
    manager = make_manager()
    id = manager.create("a").id
    dead = PoolCard("d", "gone", "host", 5, ("a",), 1)
    manager.store.presence.announce(dead, -1)
    why = reason(manager, id, "no_executor")
    assert "the last was heard of" in why.text
    assert [pool["id"] for pool in why.facts["died"]] == ["d"]


def test_pools_that_drain(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": hold})
    manager.create("a", 1)
    with held(hold, WorkerPool(manager, threads=1)) as pool:
        draining = threading.Thread(target=pool.drain)
        draining.start()
        id = manager.create("a", 2).id
        why = until_code(manager, id, "draining").reasons[0]
        assert [seen["id"] for seen in why.facts["pools"]] == [pool.id]
        with WorkerPool(make_manager(executors={"a": hold})):
            until_code(manager, id, "running")
            hold.go.set()
        draining.join()


def test_all_threads_are_taken_and_others_come_first(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": hold, "b": hold})
    first = manager.create("a", 0)
    with held(hold, WorkerPool(manager, threads=1)) as pool:
        behind = manager.create("a", "late", priority=-1)
        urgent = [manager.create(type, number).id for number in (7, 8) for type in ("a", "b")]
        manager.create("elsewhere", 1, priority=9)
        manager.create("a", 9, priority=9, delay=600)
        why = manager.why(behind.id)
        assert [one.code for one in why.reasons] == ["behind", "busy"]
        assert (why.reasons[0].facts["ahead"], why.reasons[0].facts["more"]) == (4, False)
        assert set(why.reasons[0].facts["types"]) == {"a", "b"}
        busy = why.reasons[1]
        assert (busy.facts["threads"], busy.facts["running"]) == (1, 1)
        assert busy.facts["longest"][0]["id"] == first.id
        assert busy.facts["longest"][0]["pool_id"] == pool.id
        assert [one.code for one in manager.why(urgent[0]).reasons] == ["busy"], "it is the next"
        manager.pause("b")
        assert reason(manager, behind.id, "behind").facts["ahead"] == 2, "what is paused comes before nobody"


def test_nothing_holds_it_up(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    id = manager.create("a").id
    say(manager, "p", "a")
    assert manager.why(id).code == "just_due"
    jobs.update_one({}, {"$set": {"run_at": datetime.now(UTC) - timedelta(seconds=60)}})
    why = manager.why(id)
    assert (why.code, len(why.reasons)) == ("unclear", 1)
    assert why.reasons[0].facts["due_for"] >= 60


def test_what_is_taken_meanwhile_is_not_called_unclear(
    make_manager: MakeManager, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(executors={"a": hold})
    id = manager.create("a", run_at=datetime.now(UTC) - timedelta(seconds=60)).id
    say(manager, "p", "a")
    pools: list[WorkerPool] = []

    async def pause(seconds: float) -> None:
        pools.append(WorkerPool(manager, threads=1).start())
        assert hold.began.acquire(timeout=30)

    monkeypatch.setattr(manager.store.driver, "pause", pause)
    assert manager.why(id).code == "running"
    hold.go.set()
    pools[0].stop()


# --- limits -------------------------------------------------------------------------------


def test_a_limit_is_reached_by_jobs_of_other_pools(make_manager: MakeManager, hold: Hold) -> None:
    executors = {"a": Executor(hold, limit=Limit(running=2), aliases=("also",))}
    manager, other = make_manager(executors=executors), make_manager(executors=executors)
    ids = [manager.create(type, number).id for number in range(2) for type in ("a", "also")]
    with (
        WorkerPool(manager, name="one", threads=1) as one,
        held(hold, WorkerPool(other, name="two", threads=1), 2),
    ):
        until(lambda: len(manager.pools()) == 2)
        late = next(id for id in reversed(ids) if manager.get(id).state == "pending")
        why = manager.why(late)
        limit = why.reasons[0]
        assert (limit.code, limit.facts["kind"], limit.facts["scope"]) == ("limit", "running", "type")
        assert (limit.facts["limit"], limit.facts["held"], limit.facts["type"]) == (2, 2, "a")
        holders = limit.facts["holders"]
        assert {holder["pool"] for holder in holders} == {"one", "two"}
        assert one.id in {holder["pool_id"] for holder in holders}
        assert all(holder["host"] and holder["pid"] for holder in holders)
        assert limit.text.startswith("the limit of type 'a', 2 at once, is reached: jobs '")


def test_the_limit_of_a_key_holds_up_only_that_key(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": Executor(hold, key="c", key_limit=Limit(running=1))})
    taken = manager.create("a", {"c": "x", "n": 0})
    with held(hold, WorkerPool(manager, threads=4)):
        until(manager.pools)
        second, third = (manager.create("a", {"c": "x", "n": number}).id for number in (1, 2))
        why = manager.why(third)
        assert [one.code for one in why.reasons] == ["limit", "behind"]
        assert (why.reasons[0].facts["scope"], why.reasons[0].facts["key"]) == ("key", "x")
        assert [holder["id"] for holder in why.reasons[0].facts["holders"]] == [taken.id]
        assert (why.reasons[1].facts["ahead"], why.reasons[1].facts["key"]) == (1, "x")
        assert [one.code for one in manager.why(second).reasons] == ["limit"]
        assert until_code(manager, manager.create("a", {"c": "y"}).id, "running")


def test_a_rate_is_used_up(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(lambda data: data, limit=Limit(rate=1, per=600))})
    jobs = [manager.create("a", number).id for number in range(2)]
    with WorkerPool(manager):
        until(lambda: manager.count(state="succeeded") == 1)
        left = next(id for id in jobs if manager.get(id).state == "pending")
        why = until_code(manager, left, "limit").reasons[0]
    assert (why.facts["kind"], why.facts["rate"], why.facts["per"]) == ("rate", 1, 600)
    assert 500 < why.facts["seconds"] <= 600
    assert why.facts["next_at"] > manager.why(left).at


def test_a_gate_that_a_pool_left_locked(make_manager: MakeManager) -> None:
    limit = Limit(running=1)
    manager = make_manager(executors={"a": Executor(fail, limit=limit)})
    manager.ensure_indexes()
    say(manager, "p", "a", limits={"a": TypeLimits(limit=limit)})
    id = manager.create("a").id
    gates = Gates(manager.store._connection)
    with gates.session() as session:
        assert gates.lock({("a", None): Want(limit, 1)}, session).taken
    why = reason(manager, id, "gate_locked")
    assert why.facts["until"] > manager.why(id).at


def test_a_job_without_a_key_is_to_be_given_one(make_manager: MakeManager, hold: Hold) -> None:
    producer = make_manager()
    id = producer.create("a").id
    asleep = say(producer, "p", "a", limits={"a": TypeLimits(limit=Limit(running=1))})
    assert producer.why(id).code == "unkeyed"
    producer.store.presence.withdraw(asleep, timeout=5)
    with WorkerPool(make_manager(executors={"a": Executor(hold, limit=Limit(running=1))})):
        until_code(producer, id, "running")
        hold.go.set()


# --- held ---------------------------------------------------------------------------------


def test_a_job_that_waits_in_its_pool_for_a_thread(make_manager: MakeManager, store: Any, jobs: Jobs) -> None:
    from jobpool.store.claiming import Request

    manager = make_manager()
    id = manager.create("a").id
    say(manager, "p7", "a", busy=4, queued=1)
    until(lambda: store.strategy("batch").claim(Request(("a",), 1, "asleep", 30.0, holder="p7")).documents)
    why = manager.why(id)
    assert [one.code for one in why.reasons] == ["claimed"]
    assert why.text.startswith("pool 'asleep' on elsewhere, process 77 has claimed it")
    assert (why.reasons[0].facts["pool_id"], why.reasons[0].facts["holder"]["pid"]) == ("p7", 77)
    assert (why.reasons[0].facts["threads"], why.reasons[0].facts["running"]) == (4, 0), "not what it said then"
    jobs.update_one({}, {"$set": {"claim": "p8.0"}})
    why = manager.why(id)
    assert [one.code for one in why.reasons] == ["holder_gone", "claimed"]
    assert "a pool 'asleep' (p8) that does not say that it lives" in why.text


def test_a_job_that_runs_and_what_it_says(make_manager: MakeManager, hold: Hold) -> None:
    def slow(data: Any) -> None:
        current_job().progress(3, 10)
        hold(data)

    manager = make_manager(executors={"a": Executor(slow, timeout=600)})
    id = manager.create("a").id
    with held(hold, WorkerPool(manager, name="one")) as pool:
        until(lambda: manager.get(id).progress)
        until(manager.pools)
        why = manager.why(id)
        assert [one.code for one in why.reasons] == ["running"]
        facts = why.reasons[0].facts
        assert (facts["pool"], facts["pool_id"], facts["attempts"]) == ("one", pool.id, 1)
        assert (facts["progress"]["done"], facts["progress"]["total"]) == (3, 10)
        assert facts["holder"]["id"] == pool.id


def test_a_job_that_is_stuck_and_one_that_was_asked_to_end(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": hold})
    id = manager.create("a").id
    with held(hold, WorkerPool(manager, stuck_after=0.1)):
        why = until_code(manager, id, "stuck").reasons[0]
        assert why.facts["stuck"]["attempt"] == 1
        manager.cancel(id)
        why_asked = manager.why(id)
        assert [one.code for one in why_asked.reasons] == ["cancel_requested", "stuck"]
        assert why_asked.reasons[0].facts["cancel_requested_at"] == manager.get(id).cancel_requested_at


def test_a_job_that_runs_by_hand(make_manager: MakeManager, hold: Hold) -> None:
    manager = make_manager(executors={"a": hold})
    id = manager.create("a").id
    thread = threading.Thread(target=manager.run)
    thread.start()
    assert hold.began.acquire(timeout=30)
    why = manager.why(id)
    hold.go.set()
    thread.join()
    assert why.code == "running"
    assert "a process that calls JobManager.run" in why.text


def test_a_lease_that_is_over(make_manager: MakeManager, take: TakeOne, jobs: Jobs) -> None:
    manager = make_manager()
    id = manager.create("a").id
    take()
    expire(jobs)
    why = manager.why(id)
    assert (why.code, why.reasons[0].facts["reapers"]) == ("lost", 0)
    assert "no pool is alive that would take it back: it is pending again then" in why.text
    say(manager, "p", "b")
    assert reason(manager, id, "lost").facts["reapers"] == 1


# --- waiting ------------------------------------------------------------------------------


def test_a_job_that_waits_for_others(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    first, second = manager.create("a", 1), manager.create("other", 2)
    child = manager.create("b", after=[first.id, second.id])
    why = manager.why(child.id)
    assert [one.code for one in why.reasons] == ["waits_for", "no_executor"]
    assert why.reasons[0].facts["states"] == {"pending": 2}
    assert {job["id"] for job in why.reasons[0].facts["jobs"]} == {first.id, second.id}
    assert manager.run("a") is not None
    why = manager.why(child.id)
    assert why.text == f"it waits for job '{second.id[:15]}...' to end, which is pending"
    assert second.id in why.reasons[0].remedy


def test_ends_that_nobody_has_told(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    first = manager.create("a", 1)
    child = manager.create("b", after=[first.id])
    assert manager.run() is not None
    why = reason(manager, child.id, "to_be_told")
    assert "no pool is alive to tell it" in why.text
    jobs.delete_one({"_id": first.id})
    assert reason(manager, child.id, "to_be_told").facts["missing"] == [first.id]
    jobs.update_one({"_id": child.id}, {"$set": {"linking": datetime.now(UTC)}})
    assert reason(manager, child.id, "linking").facts["seconds"] < 30
    with WorkerPool(manager):
        until_code(manager, child.id, "failed")
    assert "without having been started" in manager.why(child.id).text


# --- ended, and what is not as it should be -----------------------------------------------


def test_jobs_that_have_ended(make_manager: MakeManager) -> None:
    executors = {"a": lambda data: {"n": data}, "f": Executor(fail, keep_failed=3600)}
    manager = make_manager(executors=executors)
    well, ill, off = manager.create("a", 7), manager.create("f", "no good"), manager.create("x", 1)
    manager.run_all()
    manager.cancel(off.id)
    assert manager.why(well.id).text.endswith('in attempt 1 of 1, with the result {"n": 7}')
    why = manager.why(ill.id)
    assert [one.code for one in why.reasons] == ["failed", "expires"]
    assert why.text.endswith("in attempt 1 of 1: ValueError: no good")
    assert why.reasons[1].facts["expire_at"] == manager.get(ill.id).expire_at
    assert manager.why(off.id).code == "cancelled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"$set": {"type": ["a"]}}, "malformed"),
        ({"$set": {"run_at": "now"}}, "malformed"),
        ({"$set": {"state": "frozen"}}, "unknown_state"),
        ({"$set": {"state": 7}}, "unknown_state"),
        ({"$set": {"state": "running"}}, "malformed"),
        ({"$set": {"state": "waiting"}}, "malformed"),
    ],
    ids=["type", "run_at", "newer", "number", "no_lease", "waits_for_none"],
)
def test_what_somebody_else_wrote(make_manager: MakeManager, jobs: Jobs, change: Any, code: str) -> None:
    manager = make_manager()
    id = manager.create("a").id
    say(manager, "p", "a")
    jobs.update_one({}, change)
    assert manager.why(id).code == code


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"priority": 1, "created_at": 1, "fence": 1, "attempts": 1, "max_attempts": 1}},
        {"$set": {"priority": "x", "created_at": "x", "fence": "x", "attempts": "x", "max_attempts": "x"}},
        {"$set": {"attempts": 0.0, "max_attempts": 3.0, "fence": 1.0, "priority": 2.5}},
    ],
    ids=["missing", "nonsense", "doubles"],
)
def test_what_pools_run_regardless_is_not_called_malformed(
    make_manager: MakeManager, jobs: Jobs, change: Any
) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    id = manager.create("a", 1).id
    jobs.update_one({}, change)
    assert manager.why(id).code == "no_executor"
    asleep = say(manager, "p", "a")
    assert manager.why(id).code == "just_due"
    manager.store.presence.withdraw(asleep, timeout=5)
    with WorkerPool(manager):
        why = until_code(manager, id, "succeeded")
    assert "in attempt 1" in why.text


def test_indexes_of_limits_that_are_not_there(make_manager: MakeManager, jobs: Jobs) -> None:
    limit = Limit(running=1)
    manager = make_manager(executors={"a": Executor(fail, limit=limit)})
    id = manager.create("a").id
    manager.ensure_indexes(limits=True)
    say(manager, "p", "a", limits={"a": TypeLimits(limit=limit)})
    assert manager.why(id).code == "just_due"
    jobs.drop_index("jobpool_holder")
    why = reason(manager, id, "no_index")
    assert "lacks the index jobpool_holder" in why.text
    assert why.remedy.endswith("ensure_indexes(limits=True)")


def test_a_schema_that_is_required_and_an_index_that_is_not_there(
    make_manager: MakeManager, jobs: Jobs, hold: Hold
) -> None:
    manager = make_manager()
    id = manager.create("a").id
    say(manager, "p", "a")
    jobs.drop_index("jobpool_claim")
    assert "lacks the index jobpool_claim" in reason(manager, id, "no_index").text
    jobs.create_index("state", name="jobpool_claim")
    assert "jobpool needs" in reason(manager, id, "no_index").text
    jobs.database[f"{jobs.name}.settings"].insert_one({"_id": "schema", "required": 9})
    why = manager.why(id)
    assert [one.code for one in why.reasons] == ["schema", "no_index"]


def test_nothing_is_created_and_a_job_that_is_not_there_is_said(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    with pytest.raises(JobNotFound, match="no job 'x'"):
        manager.why("x")
    assert jobs.database.list_collection_names() == []
    with pytest.raises(InvalidJob, match="id must be a str"):
        manager.why(7)  # type: ignore[arg-type]


def test_a_server_that_is_gone_is_no_answer(make_manager: MakeManager) -> None:
    manager = make_manager(uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", timeout=1)
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        manager.why("x")


async def _asked(server: EmbeddedMongo, database: str, id: str) -> tuple[Why, tuple[AlivePool, ...]]:
    async with AsyncJobManager(database, uri=server.uri) as manager:
        return await manager.why(id), await manager.pools(dead=True)


def test_an_event_loop_gets_the_same_answer(
    make_manager: MakeManager, server: EmbeddedMongo, database: str
) -> None:
    manager = make_manager()
    id = manager.create("a", delay=600).id
    say(manager, "p", "a")
    why, pools = drive(_asked(server, database, id))
    assert (why.code, why.reasons[0].facts["run_at"]) == ("not_due", manager.get(id).run_at)
    assert [pool.id for pool in pools] == ["p"]


# --- while things move, and with many jobs ------------------------------------------------


def test_a_job_that_changes_meanwhile_is_looked_at_anew(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    id = manager.create("a").id
    presence = manager.store.presence
    looks: list[Callable[[], Any]] = [manager.run, lambda: None]
    read = presence.all

    async def moving() -> Any:
        looks.pop(0)()
        return await read()

    monkeypatch.setattr(presence, "all", moving)
    assert manager.why(id).code == "succeeded", "and not that no pool runs it"
    assert looks == []


class Commands(CommandListener):
    """Counts what is asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def test_with_a_hundred_thousand_due_jobs_it_is_some_ten_reads_of_a_bounded_number_of_keys(
    server: EmbeddedMongo, database: str, jobs: Jobs, make_manager: MakeManager
) -> None:
    """The last one, and one among them of a type whose limit a thousand others have reached."""
    commands = Commands()
    with MongoClient[dict[str, Any]](server.uri, event_listeners=[commands]) as client:
        limit = Limit(running=1000)
        manager = JobManager(database, client=client, executors={"lim": Executor(fail, limit=limit)})
        manager.ensure_indexes(limits=True)
        manager.create_many({"type": "a", "data": number} for number in range(100_000))
        manager.create_many({"type": "lim", "data": number} for number in range(2000))
        holders = [item["_id"] for item in jobs.find({"type": "lim"}, {"_id": 1}).limit(1000)]
        until_lease = datetime.now(UTC) + timedelta(seconds=600)
        jobs.update_many(
            {"_id": {"$in": holders}},
            {"$set": {"state": "running", "lease_until": until_lease, "claim": "p.1", "pool": "asleep"}},
        )
        say(manager, "p", "a", "lim", limits={"lim": TypeLimits(limit=limit)})
        last = manager.create("a", "last", priority=-1).id
        kept = jobs.find_one({"type": "lim", "state": "pending"}, {"_id": 1})
        assert kept is not None
        commands.names.clear()
        why = manager.why(last)
        assert (why.code, why.reasons[0].facts["ahead"], why.reasons[0].facts["more"]) == ("behind", 10_000, True)
        assert len(commands.names) <= 14, commands.names
        commands.names.clear()
        why = manager.why(kept["_id"])
        assert (why.code, why.reasons[0].facts["held"], len(why.reasons[0].facts["holders"])) == (
            "limit",
            1000,
            10,
        )
        assert len(commands.names) <= 16, commands.names
    _few_keys(jobs, {"state": "pending", "type": {"$in": ["a"]}, "priority": {"$gt": -1}}, "jobpool_claim")
    held_places = {"type": {"$in": ["lim"]}, "key": {"$gte": ""}, "lease_until": {"$gt": datetime(1970, 1, 1)}}
    _few_keys(jobs, held_places, "jobpool_holder")


def _few_keys(jobs: Jobs, filter: dict[str, Any], index: str) -> None:
    due = {"run_at": {"$lte": datetime.now(UTC)}} if index == "jobpool_claim" else {}
    command = {"count": jobs.name, "query": filter | due, "limit": 10_001, "hint": index}
    plan = jobs.database.command("explain", command, verbosity="executionStats")["executionStats"]
    assert plan["totalDocsExamined"] == 0
    assert plan["totalKeysExamined"] <= 10_010
