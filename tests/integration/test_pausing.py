"""Pools obey: nothing of what is paused begins, all else goes on, and nothing is lost by it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, State, WorkerPool
from jobpool.errors import StoreUnavailable
from jobpool.pauses import Paused
from jobpool.pool import settings
from jobpool.store.claiming import Claimed, Request

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.proxy import FAIR, Proxy, Weather
from ..waiting import PATIENCE, until
from .test_accounting import Gate, taking_ahead, ways_out

Client = MongoClient[dict[str, Any]]


class Count:
    """An executor that counts how often each job ran."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ran: dict[Any, int] = {}

    def __call__(self, data: Any) -> None:
        with self._lock:
            self.ran[data] = self.ran.get(data, 0) + 1


@pytest.fixture
def count() -> Count:
    return Count()


@pytest.fixture
def manager(make_manager: MakeManager, count: Count) -> JobManager:
    return make_manager(executors={"a": count, "b": count})


def know(*pools: WorkerPool, paused: Any) -> None:
    """Wait until pools know what is paused."""
    until(lambda: all(pool.paused == paused for pool in pools), "the word of the pause")


def look_again(*pools: WorkerPool) -> None:
    """Wait until each has looked twice more at what is paused, and once for jobs."""
    for pool in pools:
        seen = pool._parts.settings.advanced_at, pool._parts.fetcher.looked_at
        until(lambda pool=pool, seen=seen: pool._parts.settings.advanced_at > seen[0])  # type: ignore[misc]
        until(lambda pool=pool, seen=seen: pool._parts.fetcher.looked_at > seen[1])  # type: ignore[misc]


def jobs_of(type: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"type": type, "data": f"{type}{n}"} for n in range(first, first + count)]


def test_nothing_of_a_paused_type_begins_until_it_is_resumed(manager: JobManager, count: Count) -> None:
    """Three pools; another type goes on all the while."""
    with WorkerPool(manager) as one, WorkerPool(manager) as two, WorkerPool(manager, push=False) as three:
        know(one, two, three, paused=manager.pause("a"))
        paused = manager.create_many(jobs_of("a", 50)).ids
        others = manager.create_many(jobs_of("b", 50)).ids
        manager.wait_many(others, PATIENCE)
        look_again(one, two, three)
        assert {(job.state, job.attempts, job.fence) for job in manager.find(ids=paused)} == {("pending", 0, 0)}
        for pool in (one, two, three):
            assert pool.health().is_ready
            assert pool.health().facts == {"paused": "'a'"}
        manager.resume("a")
        manager.wait_many(paused, PATIENCE)
        know(one, paused=Paused())
        assert one.health().facts == {}
    assert count.ran == dict.fromkeys((job["data"] for job in (*jobs_of("a", 50), *jobs_of("b", 50))), 1)


def test_while_everything_is_paused_nothing_is_claimed_and_pools_are_well(
    manager: JobManager, count: Count, jobs: Jobs
) -> None:
    with WorkerPool(manager) as one, WorkerPool(manager) as two:
        paused = manager.pause(reason="the night")
        know(one, two, paused=paused)
        ids = manager.create_many([*jobs_of("a", 20), *jobs_of("b", 20)]).ids
        look_again(one, two)
        assert not count.ran
        assert jobs.count_documents({"fence": {"$ne": 0}}) == 0, "not even claimed"
        assert one.health().is_ready
        assert one.health().facts == {"paused": "everything"}
        assert one.wait_drained(0), "there is nothing it may run"
        asked = "jobpool_fetcher_last_poll_timestamp_seconds", {"pool": "default"}
        before = manager.metrics.registry.get_sample_value(*asked)
        until(lambda: manager.metrics.registry.get_sample_value(*asked) != before, "a sign that it is not deaf")
        manager.resume()
        manager.wait_many(ids, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_a_type_paused_by_itself_stays_so_when_everything_else_goes_on(manager: JobManager, count: Count) -> None:
    with WorkerPool(manager) as pool:
        manager.pause("a")
        know(pool, paused=manager.pause())
        until(lambda: pool.paused.everything)
        assert manager.resume("b").everything is not None, "it was not paused by itself"
        manager.resume()
        know(pool, paused=manager.pause("a"))
        ids = manager.create_many([*jobs_of("a", 5), *jobs_of("b", 5)]).ids
        manager.wait_many(ids[5:], PATIENCE)
        look_again(pool)
        assert set(count.ran) == {job["data"] for job in jobs_of("b", 5)}


def test_what_runs_goes_on_and_is_recorded(make_manager: MakeManager) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    with WorkerPool(manager, threads=2, lease=1.5) as pool:
        ids = manager.create_many(jobs_of("a", 2)).ids
        until(lambda: len(gate.entered) == 2)
        know(pool, paused=manager.pause())
        until(lambda: manager.get(ids[0]).lease_until)
        look_again(pool)
        before = manager.get(ids[0]).fence
        gate.opened.set()
        done = manager.wait_many(ids, PATIENCE)
        assert {(job.state, job.attempts) for job in done} == {("succeeded", 1)}
        assert (done[0].fence, before) == (1, 1), "its lease was kept"


@pytest.mark.parametrize("starting", [False, True], ids=["queued", "started"])
def test_what_waits_for_a_thread_is_given_back_unspent(
    make_manager: MakeManager, jobs: Jobs, starting: bool
) -> None:
    """The job in hand ends; those that were claimed ahead, started or not, wait elsewhere until the resume."""
    gate = Gate()
    manager = make_manager(executors={"a": gate, "another": print})
    ids = manager.create_many(jobs_of("a", 30)).ids
    with taking_ahead(manager, starting=starting) as pool:
        until(lambda: gate.entered and len(pool._parts.held) > 5, "jobs taken ahead")
        know(pool, paused=manager.pause("a"))
        until(lambda: jobs.count_documents({"state": "pending", "attempts": 0}) == 29, "the release of all others")
        assert len(pool._parts.held) == 1
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 1)
        look_again(pool)
        assert len(gate.entered) == 1
        manager.resume("a")
        manager.wait_many(ids, PATIENCE)
        report = pool.stop()
    assert ways_out(manager, report).keys() == {"succeeded", "released"}
    assert {job.attempts for job in manager.find()} == {1}


class Intercepted:
    """A claim strategy whose next answer waits until it is let through."""

    def __init__(self, pool: WorkerPool) -> None:
        self.answered, self.let = threading.Event(), threading.Event()
        self._strategies = pool._parts.fetcher._strategy, pool._parts.fetcher._for_news
        for strategy in self._strategies:
            strategy.claim = self._later(strategy.claim)  # type: ignore[method-assign, assignment]

    def _later(self, claim: Callable[[Request], Claimed]) -> Callable[[Request], Claimed]:
        def claim_and_wait(request: Request) -> Claimed:
            claimed = claim(request)
            if claimed.documents and not self.answered.is_set():
                self.answered.set()
                assert self.let.wait(PATIENCE)
            return claimed

        return claim_and_wait


@pytest.mark.parametrize("starting", [False, True], ids=["claiming", "starting"])
def test_a_claim_that_is_on_its_way_is_given_back_as_well(
    manager: JobManager, count: Count, jobs: Jobs, starting: bool
) -> None:
    pool = WorkerPool(manager, threads=4)
    if not starting:
        pool._parts.pace.observe("another", 0.01)  # so that some are claimed ahead
    intercepted = Intercepted(pool)
    manager.create_many([*({**job, "priority": 1} for job in jobs_of("a", 2)), *jobs_of("b", 14)])
    with pool:
        assert intercepted.answered.wait(PATIENCE)
        assert jobs.count_documents({"type": "a", "state": "running" if starting else "claimed"}) == 2
        know(pool, paused=manager.pause("a"))
        assert not count.ran
        intercepted.let.set()
        until(lambda: manager.count(type="b", state="succeeded") == 14, "the other type")
        look_again(pool)
        assert {data[0] for data in count.ran} == {"b"}
        assert {(job.state, job.attempts) for job in manager.find(type="a")} == {("pending", 0)}
        manager.resume()
        until(lambda: manager.count(state="succeeded") == 16)
    assert set(count.ran.values()) == {1}


def test_a_start_that_was_not_answered_is_undone(
    make_manager: MakeManager, jobs: Jobs, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has marked jobs running and does not know it finds them paused when the store answers again."""
    manager = make_manager(executors={"a": count, "b": count}, timeout=2)
    pool = taking_ahead(manager, starting=False)
    start = pool._parts.store.transitions.start
    known = threading.Event()

    def mark(starts: Any) -> Any:
        started = start(starts)
        if not known.is_set() and jobs.count_documents({"state": "running"}) == len(started) > 0:
            know(pool, paused=manager.pause("a"))
            known.set()
            raise StoreUnavailable("the reply was lost")
        return started

    release, failed = manager.store.transitions.release, threading.Event()

    def fail_once(claims: Any, **options: Any) -> None:
        begun = {"_id": {"$in": [claim.id for claim in claims]}, "state": "running"}
        if not failed.is_set() and jobs.count_documents(begun):
            failed.set()
            raise StoreUnavailable("nobody answered")
        release(claims, **options)

    monkeypatch.setattr(manager.store.transitions, "start", mark)
    monkeypatch.setattr(manager.store.transitions, "release", fail_once)
    manager.create_many(jobs_of("a", 20))
    with pool:
        assert known.wait(PATIENCE)
        until(lambda: jobs.count_documents({"state": "running"}) == 0, "the release of what was started")
        assert failed.is_set()
        assert {job.attempts for job in manager.find()} == {0}
        assert not count.ran
        manager.resume()
        until(lambda: manager.count(state="succeeded") == 20)
    assert set(count.ran.values()) == {1}


def test_a_start_on_its_way_when_all_learn_of_the_pause_is_undone(
    make_manager: MakeManager, jobs: Jobs, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer may come seconds later, when everything else has been gone through."""
    manager = make_manager(executors={"a": count})
    pool = taking_ahead(manager, starting=False)
    start, known = manager.store.transitions.start, threading.Event()

    def start_slowly(starts: Any) -> Any:
        started = start(starts)
        if not known.is_set():
            know(pool, paused=manager.pause("a"))
            look_again(pool)
            known.set()
        return started

    monkeypatch.setattr(manager.store.transitions, "start", start_slowly)
    ids = manager.create_many(jobs_of("a", 20)).ids
    with pool:
        assert known.wait(PATIENCE)
        until(lambda: not len(pool._parts.held), "the return of all jobs")
        assert {(job.state, job.attempts) for job in manager.find()} == {("pending", 0)}
        assert not count.ran
        manager.resume()
        manager.wait_many(ids, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_jobs_handed_over_behind_the_back_of_a_pause_are_found(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the starter's last look and its hand-over all are told, and find nothing to give back."""
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    pool = WorkerPool(manager, threads=1)
    pool._parts.pace.observe("a", 0.001)  # some are claimed ahead, and some of these are started ahead
    hand, known = pool._parts.workers.hand, threading.Event()

    def hand_late(started: list[Any]) -> None:
        if len(started) > 1 and threading.current_thread().name.endswith("-starter") and not known.is_set():
            know(pool, paused=manager.pause("a"))
            look_again(pool)
            known.set()
        hand(started)

    monkeypatch.setattr(pool._parts.workers, "hand", hand_late)
    manager.create_many(jobs_of("a", 30))
    with pool:
        assert known.wait(PATIENCE)
        until(lambda: jobs.count_documents({"state": "pending", "attempts": 0}) >= 29, "the release of all others")
        gate.opened.set()
        until(lambda: not len(pool._parts.held))
        look_again(pool)
        assert manager.count(state="succeeded") == len(gate.entered) <= 1, "the thread may have been faster"


def test_a_pool_that_starts_while_all_is_paused_claims_nothing(
    manager: JobManager, count: Count, jobs: Jobs
) -> None:
    """It looks before its first claim; so does the next one, and the one after the resume runs everything."""
    ids = manager.create_many(jobs_of("a", 10)).ids
    paused = manager.pause()
    for _ in range(2):
        with WorkerPool(manager) as pool:
            assert pool.paused == paused, "it knew when it was up"
            look_again(pool)
            assert pool.health().is_ready
    assert jobs.count_documents({"fence": {"$ne": 0}}) == 0
    manager.resume()
    with WorkerPool(manager) as pool:
        manager.wait_many(ids, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_a_pool_that_starts_is_as_patient_as_with_its_other_calls(
    manager: JobManager, client: Client, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later look is given up soon, because another one follows."""
    monkeypatch.setattr(settings, "STORE_TIME", 0.2)
    paused = manager.pause()
    slow: dict[str, Any] = {"block_ms": 1000, "times": 1, "collection": f"{database}.jobs.settings"}
    with fail_command(client, ["find"], **slow) as point, WorkerPool(manager) as pool:
        assert point.struck >= 1
        assert pool.paused == paused


def test_a_pool_keeps_what_it_knows_while_the_server_is_away(
    proxy: Proxy, make_manager: MakeManager, manager: JobManager, count: Count
) -> None:
    """Paused before: it stays so without a server, and when it is back. Resumed meanwhile: it hears of it then."""
    far = make_manager(uri=proxy.uri, executors={"a": count}, timeout=1)
    with WorkerPool(far, lease=30) as pool:
        know(pool, paused=manager.pause("a"))
        ids = manager.create_many(jobs_of("a", 5)).ids
        proxy.weather = Weather(hole=True)
        until(lambda: pool._parts.settings.failing, "a look that failed")
        assert "a" in pool.paused
        proxy.weather = FAIR
        until(lambda: not pool._parts.settings.failing, "the server")
        look_again(pool)
        assert not count.ran
        proxy.weather = Weather(hole=True)
        until(lambda: pool._parts.settings.failing, "a look that failed")
        manager.resume()
        assert "a" in pool.paused
        proxy.weather = FAIR
        manager.wait_many(ids, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_a_pool_that_cannot_look_runs_on_and_obeys_when_it_can(
    manager: JobManager, count: Count, client: Client, database: str
) -> None:
    """Only this collection does not answer, so it goes on with what it knows."""
    with WorkerPool(manager) as pool:
        with fail_command(client, ["find"], close=True, collection=f"{database}.jobs.settings") as point:
            until(lambda: point.struck >= 2)
            manager.pause("a")
            manager.wait_many(manager.create_many(jobs_of("a", 5)).ids, PATIENCE)
            assert pool.health().is_ready
            assert not pool.paused
        until(lambda: "a" in pool.paused)
        manager.create_many(jobs_of("a", 5, first=5))
        look_again(pool)
        assert len(count.ran) == 5


def test_a_pool_without_the_right_to_look_says_so_once_and_runs(
    manager: JobManager,
    client: Client,
    database: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "REFUSED_EVERY", 0.1)
    manager.pause()
    with (
        caplog.at_level(logging.INFO, "jobpool"),
        fail_command(client, ["find"], code=13, collection=f"{database}.jobs.settings") as point,
        WorkerPool(manager) as pool,
    ):
        manager.wait_many(manager.create_many(jobs_of("a", 5)).ids, PATIENCE)
        until(lambda: point.struck >= 4)
        assert pool.health().is_ready
        point.off()
        until(lambda: pool.paused, "the right to look")
    said = [line for line in caplog.messages if "may not read what is paused" in line]
    assert len(said) == 1
    assert any("paused" in line and "'a', 'b'" in line for line in caplog.messages)


def test_a_look_that_is_refused_for_another_reason_is_soon_repeated(
    manager: JobManager, client: Client, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is being changed, say: it is no want of a right that stays so."""
    monkeypatch.setattr(settings, "REFUSED_EVERY", 3600.0)
    with WorkerPool(manager) as pool:
        with fail_command(client, ["find"], code=18, collection=f"{database}.jobs.settings"):
            until(lambda: pool._parts.settings.failing)
            assert pool.health().is_ready
        know(pool, paused=manager.pause("a"))


def test_a_pool_that_loses_the_right_to_look_keeps_and_says_what_it_read_last(
    manager: JobManager, count: Count, client: Client, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(manager) as pool, caplog.at_level(logging.INFO, "jobpool"):
        know(pool, paused=manager.pause("a"))
        with fail_command(client, ["find"], code=13, collection=f"{database}.jobs.settings"):
            until(lambda: pool._parts.settings.refused)
        manager.create("a", "a0")
        manager.wait(manager.create("b", "b0").id, PATIENCE)
        assert "a0" not in count.ran
        assert pool.health().facts == {"paused": "'a'"}
    assert any("may not read" in line and "which is 'a': " in line for line in caplog.messages)


def test_an_alias_is_paused_with_its_type(make_manager: MakeManager, count: Count) -> None:
    producer = make_manager()
    manager = make_manager(executors={"mail": Executor(count, aliases=["post"]), "b": count})
    with WorkerPool(manager) as pool:
        know(pool, paused=producer.pause("mail"))
        old, new, other = (producer.create(type, type).id for type in ("post", "mail", "b"))
        manager.wait(other, PATIENCE)
        look_again(pool)
        assert set(count.ran) == {"b"}
        know(pool, paused=producer.pause("post"))
        know(pool, paused=producer.resume("mail"))
        manager.wait(new, PATIENCE)
        look_again(pool)
        assert set(count.ran) == {"b", "mail"}, "who names an alias means jobs that are stored under it"
        producer.resume()
        manager.wait(old, PATIENCE)


def test_who_runs_jobs_by_hand_decides_himself(manager: JobManager, count: Count) -> None:
    manager.pause()
    manager.create_many(jobs_of("a", 3))
    job = manager.run("a")
    assert job is not None
    assert job.state is State.SUCCEEDED
    assert manager.run_all() == 2


def test_pausing_and_resuming_all_the_time_loses_nothing(manager: JobManager, count: Count, jobs: Jobs) -> None:
    """Two who steer, against each other, and two pools with jobs to run."""
    manager.create_many([*jobs_of("a", 1500), *jobs_of("b", 1500)])
    over = threading.Event()

    def steer(type: str) -> None:
        while not over.is_set():
            manager.pause(type)
            manager.pause() if type == "a" else manager.resume()
            over.wait(0.02)
            manager.resume(type)

    steering = [threading.Thread(target=steer, args=(type,)) for type in ("a", "b")]
    with WorkerPool(manager, threads=4) as one, WorkerPool(manager, threads=4) as two:
        for thread in steering:
            thread.start()
        turns = {id(pool): pool._parts.serving.now for pool in (one, two)}
        until(lambda: all(turns[id(pool)] is not pool._parts.serving.now for pool in (one, two)), "a change")
        over.set()
        for thread in steering:
            thread.join()
        manager.resume()
        until(lambda: manager.count(state="succeeded") == 3000, "all jobs", patience=90)
        reports = [one.stop(), two.stop()]
    assert set(count.ran.values()) == {1}
    assert ways_out(manager, *reports)["succeeded"] == 3000
    assert jobs.count_documents({"attempts": {"$ne": 1}}) == 0


def test_jobs_that_waited_for_a_resume_are_not_taken_for_missed_by_push(manager: JobManager) -> None:
    with WorkerPool(manager) as pool:
        until(lambda: manager.wakeups.pushing_since(), "the stream")
        know(pool, paused=manager.pause("a"))
        ids = manager.create_many(jobs_of("a", 3)).ids
        look_again(pool)
        manager.resume()
        manager.wait_many(ids, PATIENCE)
    missed = manager.metrics.registry.get_sample_value(
        "jobpool_wakeups_total", {"pool": "default", "source": "missed"}
    )
    assert missed == 0


def test_looks_are_no_more_than_half_a_second_apart() -> None:
    """And so a pause takes less than a second; see `Periodic`."""
    assert settings.LOOK_EVERY <= 0.5
