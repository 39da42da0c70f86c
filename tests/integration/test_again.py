"""Retrying, reviving and snoozing: from every state, one or many, and that what comes of it really runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import Backoff, Executor, Job, JobManager, Limit, Middleware, State, WorkerPool, current_job
from jobpool.current import CurrentJob
from jobpool.errors import InvalidConfiguration, InvalidData, InvalidJob, JobNotFound, StoreUnavailable
from jobpool.job import Claim, JobError, Retried
from jobpool.middleware import Settled
from jobpool.outcome import Finish, Outcome
from jobpool.store.again import Again
from jobpool.store.claiming.claimed import Unknown
from jobpool.store.documents import MAX_ENDS
from jobpool.store.pages import Pages

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import until
from .conftest import begin, claimed_by, claims_of, request

HOUR = 3600.0


def fail(data: Any) -> None:
    raise TimeoutError(f"no answer from {data}")


@dataclass
class Scene:
    """A job in each state: pending ones that are due and that wait for their next attempt, too."""

    manager: JobManager
    ids: dict[str, str]

    def documents(self, jobs: Jobs) -> dict[str, Any]:
        names = {id: name for name, id in self.ids.items()}
        return {names[document["_id"]]: document for document in jobs.find()}


@pytest.fixture
def scene(make_manager: MakeManager) -> Scene:
    again = Executor(fail, max_attempts=3, backoff=Backoff(base=HOUR, jitter=0))
    manager = make_manager(executors={"ok": print, "bad": fail, "again": again})
    ids = {"succeeded": manager.create("ok", 1).id, "failed": manager.create("bad", 1).id}
    ids["retrying"] = manager.create("again", 1).id
    while manager.run():
        pass
    store = manager.store
    for name in ("claimed", "running"):
        ids[name] = manager.create("held", name).id
        (claim,) = claims_of(claimed_by(store.strategy("single"), request(1, types=("held",), lease=HOUR)))
        if name == "running":
            begin(store, claim)
    ids["cancelled"] = manager.cancel(manager.create("ok", 2).id).id
    ids["due"] = manager.create("ok", 3).id
    ids["waiting"] = manager.create("ok", 4, after=[ids["due"]]).id
    states = {name: manager.get(id).state for name, id in ids.items()}
    assert states == {name: {"retrying": "pending", "due": "pending"}.get(name, name) for name in ids}
    return Scene(manager, ids)


ONE: dict[str, Callable[[JobManager, str], Any]] = {
    "retry": lambda manager, id: manager.retry(id),
    "revive": lambda manager, id: manager.revive(id),
    "revive succeeded": lambda manager, id: manager.revive(id, succeeded=True),
    "snooze": lambda manager, id: manager.snooze(id, delay=2 * HOUR),
    "cancel": lambda manager, id: manager.cancel(id),
}
MANY: dict[str, Callable[[JobManager], Any]] = {
    "retry": lambda manager: manager.retry_many(all=True),
    "revive": lambda manager: manager.revive_many(all=True),
    "revive succeeded": lambda manager: manager.revive_many(state=["succeeded", "failed", "cancelled"]),
    "snooze": lambda manager: manager.snooze_many(all=True, delay=2 * HOUR),
    "cancel": lambda manager: manager.cancel_many(all=True),
}
CHANGED = {
    "retry": {"failed", "retrying"},
    "revive": {"failed", "cancelled"},
    "revive succeeded": {"failed", "cancelled", "succeeded"},
    "snooze": {"due", "retrying"},
    "cancel": {"waiting", "due", "retrying", "claimed", "running"},
    "remove": {"waiting", "due", "retrying", "succeeded", "failed", "cancelled"},
    "purge": {"succeeded", "failed", "cancelled"},
}


@pytest.mark.parametrize("operation", ONE)
def test_one_job_is_changed_in_the_states_that_are_meant_and_in_no_other(
    scene: Scene, jobs: Jobs, operation: str
) -> None:
    before = scene.documents(jobs)
    for name, id in scene.ids.items():
        assert ONE[operation](scene.manager, id).id == id, name
    after = scene.documents(jobs)
    assert {name for name in before if before[name] != after[name]} == CHANGED[operation]
    for id in scene.ids.values():
        ONE[operation](scene.manager, id)
    if operation != "snooze":  # so long from now is later the second time
        assert scene.documents(jobs) == after


@pytest.mark.parametrize("operation", MANY)
def test_many_jobs_are_changed_as_one_is_and_once(scene: Scene, jobs: Jobs, operation: str) -> None:
    before = scene.documents(jobs)
    MANY[operation](scene.manager)
    after = scene.documents(jobs)
    assert {name for name in before if before[name] != after[name]} == CHANGED[operation]
    again = MANY[operation](scene.manager)
    if operation != "snooze":
        assert again in (0, Retried(failed=0, waiting=0, due=0), scene.manager.cancel_many(ids=[]))
        assert scene.documents(jobs) == after


@pytest.mark.parametrize("operation", CHANGED)
def test_a_look_before_finds_what_would_be_changed(scene: Scene, operation: str) -> None:
    options: dict[str, Any] = {}
    if operation == "snooze":
        options = {"run_at": datetime.now(UTC) + timedelta(hours=2)}
    elif operation == "purge":
        options = {"older_than": 0}
    elif operation == "revive succeeded":
        options = {"state": ["succeeded", "failed", "cancelled"]}
    pages = list(scene.manager.pages(to=operation.partition(" ")[0], **options))
    names = {id: name for name, id in scene.ids.items()}
    assert {names[brief.id] for page in pages for brief in page} == CHANGED[operation]
    for page in pages:
        for brief in page:
            job = scene.manager.get(brief.id)
            assert (brief.type, brief.state) == (job.type, job.state)


def test_what_is_unknown_is_not_found(make_manager: MakeManager) -> None:
    manager = make_manager()
    for operation in ONE.values():
        with pytest.raises(JobNotFound, match="nowhere"):
            operation(manager, "nowhere")


@pytest.mark.parametrize("name", ["retry_many", "revive_many", "snooze_many"])
def test_every_job_is_meant_only_if_that_is_said(make_manager: MakeManager, name: str) -> None:
    manager = make_manager()
    options = {"delay": 1.0} if name == "snooze_many" else {}
    with pytest.raises(InvalidConfiguration, match="all=True"):
        getattr(manager, name)(**options)
    for nonsense in ({"type": 5}, {"state": "done"}, {"group": "nonsense"}, {"text": ""}, {"ids": 5}, {"key": 5}):
        with pytest.raises((InvalidConfiguration, InvalidJob)):
            getattr(manager, name)(**options, **nonsense)


# Retrying


def retried(make_manager: MakeManager, executor: Any, **options: Any) -> tuple[JobManager, Job]:
    """Return a manager, and a failed job of its executor that was retried."""
    manager = make_manager(executors={"a": Executor(executor, **options)})
    job = manager.create("a", 1)
    while manager.run():
        pass
    assert manager.get(job.id).state is State.FAILED
    return manager, manager.retry(job.id)


def test_a_retried_job_keeps_what_it_has_and_gets_one_attempt_more(make_manager: MakeManager, jobs: Jobs) -> None:
    def work(data: Any) -> None:
        current_job().save_checkpoint({"at": current_job().attempt})
        current_job().progress(1, 2)
        raise TimeoutError("no answer")

    manager, job = retried(make_manager, work, max_attempts=2, backoff=Backoff(base=0), keep_failed=HOUR)
    assert (job.state, job.attempts, job.max_attempts, job.error_count) == (State.PENDING, 2, 3, 2)
    assert (job.error, job.finished_at, job.started_at, job.expire_at) == (None, None, None, None)
    assert [error.type for error in job.errors] == ["TimeoutError"] * 2
    assert job.checkpoint == {"at": 2}
    assert job.progress is not None
    assert job.run_at <= datetime.now(UTC) + timedelta(seconds=5)
    ran = manager.run()
    assert ran is not None
    assert (ran.state, ran.attempts, ran.error_count) == (State.FAILED, 3, 3)
    assert ran.expire_at is not None


def test_attempts_that_are_left_are_not_made_more(make_manager: MakeManager) -> None:
    """It ended early, as its data were wrong, say."""

    def work(data: Any) -> None:
        raise InvalidData("no")

    _, job = retried(make_manager, work, max_attempts=5)
    assert (job.attempts, job.max_attempts) == (1, 5)


def test_a_job_that_was_asked_to_end_before_is_not_asked_any_more(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": fail})
    job = manager.create("a", 1)
    manager.run()
    asked = {"cancel_requested_at": datetime.now(UTC), "cancel_reason": "no"}
    jobs.update_one({"_id": job.id}, {"$set": asked})
    job = manager.retry(job.id)
    assert (job.cancel_requested_at, job.cancel_reason) == (None, None)


def test_a_job_that_waits_for_its_next_attempt_is_due_now(make_manager: MakeManager) -> None:
    executor = Executor(fail, max_attempts=3, backoff=Backoff(base=HOUR))
    manager = make_manager(executors={"a": executor})
    job = manager.create("a", 1)
    never = manager.create("a", 2, delay=HOUR)
    manager.run_all()
    assert manager.run() is None
    assert manager.retry(job.id).run_at <= datetime.now(UTC) + timedelta(seconds=5)
    assert manager.retry(never.id).run_at == never.run_at
    ran = manager.run()
    assert ran is not None
    assert (ran.id, ran.attempts, ran.max_attempts, ran.error_count) == (job.id, 2, 3, 2)


def test_what_is_retried_runs_in_a_pool_that_was_idle(make_manager: MakeManager) -> None:
    """It hears of it: it looks by itself only once in a minute."""
    answers: list[Any] = []

    def work(data: Any) -> None:
        answers.append(data)
        if len(answers) <= 4:
            raise TimeoutError

    executors = {
        "a": Executor(work),
        "b": Executor(work, max_attempts=2, backoff=Backoff(base=HOUR)),
    }
    manager = make_manager(executors=executors)
    other = make_manager()
    with WorkerPool(manager, poll_interval=60, threads=1) as pool:
        until(lambda: pool.wait_drained(0.01), "the first look")
        ids = [manager.create(type, type).id for type in ("a", "b")]
        until(lambda: len(answers) == 2, "the first attempts")
        until(lambda: other.get(ids[0]).state.final and other.get(ids[1]).error_count == 1, "their record")
        assert other.retry_many(ids=ids) == Retried(failed=1, waiting=0, due=1)
        until(lambda: len(answers) == 4, "the second attempts")
        until(lambda: other.count(state="failed") == 2, "their record")
        assert other.revive_many(ids=ids) == 2
        until(lambda: other.count(state="succeeded") == 2, "their new lives")


def test_pools_hear_of_what_is_due_sooner_and_not_of_what_is_due_later(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail, "b": Executor(fail, max_attempts=2, backoff=Backoff(base=HOUR))})
    manager.create("a", 1)
    b = manager.create("b", 1)
    manager.run_all()
    with manager.store.watch(0.2) as watch:
        heard: list[str | None] = []

        def hear() -> int:
            heard.extend(watch.next())
            return len(heard)

        manager.snooze_many(all=True, delay=2 * HOUR)
        manager.retry_many(type="a")
        until(hear, "the failed one")
        manager.retry(b.id)
        until(lambda: hear() == 2, "the one that waited")
        manager.create("c")
        until(lambda: hear() == 3, "what came after")
    assert heard == [None, None, "c"]


def test_limits_hold_for_what_is_retried(make_manager: MakeManager) -> None:
    broken = [True]

    def work(data: Any) -> int:
        if broken[0]:
            raise TimeoutError
        return manager.count(type="a", state="running")

    manager = make_manager(executors={"a": Executor(work, limit=Limit(running=1), key=lambda data: "k")})
    ids = manager.create_many([{"type": "a", "data": n} for n in range(6)]).ids
    with WorkerPool(manager, threads=4):
        until(lambda: manager.count(state="failed") == 6, "failures")
        broken[0] = False
        assert manager.retry_many(key="k").failed == 6
        until(lambda: manager.count(state="succeeded") == 6, "the retries")
    assert {job.result for job in manager.find(ids=ids)} == {1}


# Jobs after others


@pytest.fixture
def family(make_manager: MakeManager) -> JobManager:
    """A chain of four, d b c a, that has failed with its first job, which would not fail any more."""
    broken = [True]

    def work(data: Any) -> None:
        if broken[0]:
            raise TimeoutError
        ran.append(data)

    ran: list[str] = []
    manager = make_manager(executors={"a": work})
    manager.ran = ran  # type: ignore[attr-defined]
    manager.create("a", "d", id="d")
    for id, after in (("b", "d"), ("c", "b"), ("a", "c")):
        manager.create("a", id, id=id, after=[after])
    with WorkerPool(manager):
        until(lambda: manager.count(state="failed") == 4, "all have failed")
    broken[0] = False
    return manager


def resolve(manager: JobManager) -> None:
    """Do what pools do for those who wait."""
    from jobpool.store.driver import run

    while run(manager.store.resolving.resolve()).more:
        pass


@pytest.mark.parametrize("size", [1, 2, 2000])
def test_a_family_is_retried_and_runs_in_its_order(
    family: JobManager, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setitem(Pages.walk.__kwdefaults__ or {}, "size", size)
    with WorkerPool(family):  # which may pass on ends at any time
        assert family.retry_many(state="failed") == Retried(failed=1, waiting=3, due=0)
        until(lambda: family.count(state="succeeded") == 4, "all")
    assert family.ran == ["d", "b", "c", "a"]  # type: ignore[attr-defined]


def test_who_waits_again_is_linked_when_the_last_is_retried(family: JobManager, jobs: Jobs) -> None:
    for id in ("a", "c", "b"):
        job = family.retry(id)
        assert (job.state, job.error) == (State.WAITING, None)
        resolve(family)
    assert jobs.count_documents({"linking": {"$exists": True}}) == 1, "b, whose d has failed still"
    assert family.retry("d").state is State.PENDING
    assert jobs.count_documents({"linking": {"$exists": True}}) == 0
    family.run()
    resolve(family)
    assert family.get("b").state is State.PENDING


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_sweep_leaves_time_to_retry_what_is_waited_for(family: JobManager, many: bool) -> None:
    from jobpool.store.driver import run

    async def sweep() -> None:
        async for _ in family.store.resolving.sweep():
            pass

    family.retry_many(ids=["b"]) if many else family.retry("b")
    run(sweep())
    resolve(family)
    assert family.get("b").state is State.WAITING
    family.retry("d")
    family.run()
    resolve(family)
    assert family.get("b").state is State.PENDING


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_who_waits_again_leaves_a_minute_to_retry_what_it_failed_of(
    family: JobManager, jobs: Jobs, many: bool
) -> None:
    from jobpool.store.driver import run

    def servers_now() -> datetime:
        family.store.clock.forget()
        return family.store.clock.now()

    before = servers_now()
    family.retry_many(ids=["b"]) if many else family.retry("b")
    soon = jobs.find_one({"_id": "b"}) or {}
    later = timedelta(seconds=50)
    assert before + later <= soon["linking"] <= servers_now() + later
    assert run(family.store.linking.complete_old()) == 0
    jobs.update_one({"_id": "b"}, {"$set": {"linking": run(family.store.now()) - timedelta(seconds=5)}})
    assert run(family.store.linking.complete_old()) == 0
    jobs.update_one({"_id": "b"}, {"$set": {"linking": run(family.store.now()) - timedelta(seconds=11)}})
    assert run(family.store.linking.complete_old()) == 1


def test_who_is_retried_alone_fails_again_after_a_while(family: JobManager, jobs: Jobs) -> None:
    from jobpool.store.driver import run

    assert family.retry("b").state is State.WAITING
    jobs.update_one({"_id": "b"}, {"$set": {"linking": datetime.now(UTC) - timedelta(minutes=1)}})
    assert run(family.store.linking.complete_old()) == 1
    resolve(family)
    job = family.get("b")
    assert (job.state, job.error and job.error.type) == (State.FAILED, "DependencyFailed")


def test_what_is_revived_waits_for_nobody(family: JobManager) -> None:
    job = family.revive("c")
    assert (job.state, job.waits_for) == (State.PENDING, ())
    family.run()
    assert family.ran == ["c"]  # type: ignore[attr-defined]


def test_a_job_that_others_wait_for_may_be_retried_before_they_are_told(make_manager: MakeManager) -> None:
    broken = [True]

    def work(data: Any) -> None:
        if broken[0]:
            raise TimeoutError

    manager = make_manager(executors={"a": work})
    first = manager.create("a", 1)
    second = manager.create("a", 2, after=[first.id])
    manager.run()
    broken[0] = False
    manager.retry(first.id)
    with WorkerPool(manager):
        until(lambda: manager.get(second.id).state.final, "the second")
    assert manager.get(second.id).state is State.SUCCEEDED


# Reviving


def test_a_revived_job_begins_anew(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(lambda data: "done", keep_succeeded=HOUR), "b": fail})
    ok, bad = manager.create("a", 1), manager.create("b", 1)
    manager.run_all()
    job = manager.revive(ok.id, succeeded=True)
    assert (job.state, job.attempts, job.result, job.finished_at, job.expire_at) == (
        State.PENDING,
        0,
        None,
        None,
        None,
    )
    job = manager.revive(bad.id)
    assert (job.attempts, job.error, job.error_count) == (0, None, 1)
    manager.run_all()
    assert (manager.get(ok.id).result, manager.get(bad.id).attempts) == ("done", 1)


def test_succeeded_jobs_are_revived_only_by_name(scene: Scene) -> None:
    assert scene.manager.revive_many(ids=[scene.ids["succeeded"]]) == 0
    assert scene.manager.revive_many(ids=[scene.ids["succeeded"]], state="succeeded") == 1


# Snoozing


def test_a_snoozed_job_runs_later(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    job = manager.create("a", 1)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    assert manager.snooze(job.id, run_at=later).run_at == later
    assert manager.snooze(job.id, run_at=later - timedelta(minutes=1)).run_at == later
    assert manager.run() is None
    assert manager.snooze_many(all=True, run_at=later) == 0
    assert manager.snooze_many(all=True, run_at=later + timedelta(seconds=1)) == 1
    assert manager.get(job.id).snoozes == 0


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"delay": 1, "run_at": datetime.now(UTC)},
        {"delay": -1},
        {"delay": "1h"},
        {"run_at": datetime(2026, 1, 1)},
        {"run_at": datetime(9000, 1, 1, tzinfo=UTC)},
    ],
    ids=["none", "both", "negative", "text", "naive", "far"],
)
def test_nonsense_times_are_refused(make_manager: MakeManager, when: dict[str, Any]) -> None:
    manager = make_manager()
    job = manager.create("a", 1)
    for snooze in (lambda: manager.snooze(job.id, **when), lambda: manager.snooze_many(all=True, **when)):
        with pytest.raises((InvalidConfiguration, InvalidJob)):
            snooze()
    assert manager.get(job.id).run_at == job.run_at


# Races and lost replies


@pytest.mark.parametrize("operation", ["retry", "revive", "snooze"])
def test_a_job_that_is_taken_between_look_and_write_is_left_alone(
    scene: Scene, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    update = Again._update
    taken = {"state": "running", "claim": "theirs", "lease_until": datetime.now(UTC) + timedelta(hours=1)}

    async def then(self: Again, *arguments: Any) -> int:
        jobs.update_many({}, {"$set": taken})
        return await update(self, *arguments)

    monkeypatch.setattr(Again, "_update", then)
    assert MANY[operation](scene.manager) in (0, Retried(failed=0, waiting=0, due=0))
    assert jobs.count_documents(taken) == len(scene.ids)


@pytest.mark.parametrize("held", [False, True], ids=["pending", "held anew"])
def test_who_held_a_job_before_its_retry_changes_nothing_of_it(
    make_manager: MakeManager, jobs: Jobs, held: bool
) -> None:
    """Its claim stays on it, so that the repeat of a finish whose reply was lost is recognised."""
    manager = make_manager()
    id, store = manager.create("a", 1).id, manager.store
    transitions, strategy = store.transitions, store.strategy("single")

    def hold() -> Claim:
        (claim,) = claims_of(claimed_by(strategy, request(1, types=("a",), lease=HOUR)))  # due since its retry
        assert begin(store, claim, max_attempts=2) == {claim}
        return claim

    old = hold()
    failure = Finish(old, Outcome(error=JobError("E", "no", "", 1)))
    assert transitions.finish([failure]) == {old}
    assert manager.retry(id).state is State.PENDING
    new = hold() if held else None
    before = jobs.find_one({"_id": id})
    assert before is not None
    assert (before["claim"] == old.token) == (not held)
    assert transitions.finish([failure]) == {old}, "recognised"
    transitions.finish([Finish(old, Outcome())])
    transitions.finish([Finish(old, Outcome(error=failure.outcome.error, retry_after=1.0))])
    assert begin(store, old) == transitions.extend([old], HOUR) == set()
    transitions.release([old])
    transitions.disown([Unknown(old.token, None, 0.0)])
    assert not transitions.save_checkpoint(old, 1)
    assert jobs.find_one({"_id": id}) == before
    if new is not None:
        assert transitions.finish([Finish(new, Outcome())]) == {new}


ENDED: dict[str, Outcome] = {
    "succeeded": Outcome(result=1),
    "failed": Outcome(error=JobError("E", "no", "", 1)),
    "cancelled": Outcome(cancelled="no need"),
    "snoozed": Outcome(snoozed=True, retry_after=HOUR),
}


@pytest.mark.parametrize("lives", [0, 1, 2], ids=["pending", "held anew", "revived twice"])
@pytest.mark.parametrize("name", ENDED)
def test_a_finish_stands_for_who_repeats_it_though_its_job_was_revived(
    make_manager: MakeManager, jobs: Jobs, name: str, lives: int
) -> None:
    """Its reply was lost, and meanwhile the job lives again; who held it changes nothing of that."""
    manager = make_manager()
    id, store = manager.create("a", 1).id, manager.store

    def hold() -> Claim:
        (claim,) = claims_of(store.strategy("single").claim(request(1, types=("a",), lease=HOUR)))
        assert begin(store, claim, max_attempts=1) == {claim}
        return claim

    finish = Finish(hold(), ENDED[name])
    assert store.transitions.finish([finish]) == {finish.claim}
    if name == "snoozed":
        manager.cancel(id)
    assert manager.revive(id, succeeded=True).state is State.PENDING
    for life in range(lives):
        claim = hold()
        if life + 1 < lives:
            assert store.transitions.finish([Finish(claim, Outcome())]) == {claim}
            assert manager.revive_many(state="succeeded") == 1
    before = jobs.find_one({"_id": id})
    assert store.transitions.finish([finish]) == {finish.claim}
    assert begin(store, finish.claim) == store.transitions.extend([finish.claim], HOUR) == set()
    assert jobs.find_one({"_id": id}) == before


def test_what_was_lost_stays_lost_behind_a_revival(make_manager: MakeManager) -> None:
    manager = make_manager()
    id, store = manager.create("a", 1).id, manager.store
    (claim,) = claims_of(store.strategy("single").claim(request(1, types=("a",), lease=HOUR)))
    manager.cancel(id)
    assert manager.revive(id).state is State.PENDING
    assert store.transitions.finish([Finish(claim, Outcome())]) == begin(store, claim) == set()


def test_a_job_remembers_only_its_last_lives(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"ok": print})
    id = manager.create("ok", 1).id
    jobs.update_one({"_id": id}, {"$set": {"ends": "nonsense"}})
    for _ in range(MAX_ENDS + 2):
        assert manager.run() is not None
        assert manager.revive(id, succeeded=True).state is State.PENDING
    ends = (jobs.find_one({"_id": id}) or {})["ends"]
    assert [end["state"] for end in ends] == ["succeeded"] * MAX_ENDS
    assert len({end["claim"] for end in ends}) == MAX_ENDS


def test_a_pool_tells_no_success_as_lost_that_was_revived_before_it_heard_of_it(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the metrics nor to middleware nor in the log."""
    told: list[str] = []

    class Told(Middleware):
        def finished(self, job: CurrentJob, outcome: Settled) -> None:
            told.append(outcome.name)

    ran: list[Any] = []
    manager = make_manager(executors={"a": ran.append}, middleware=[Told()])
    finish = manager.store.transitions.finish
    revived: list[int] = []

    def unanswered(finishes: Any, **options: Any) -> Any:
        applied = finish(finishes, **options)
        if not revived:
            revived.append(manager.revive_many(state=["succeeded", "failed"]))
            raise StoreUnavailable("the reply is lost")
        return applied

    monkeypatch.setattr(manager.store.transitions, "finish", unanswered)
    id = manager.create("a", 1).id
    with WorkerPool(manager, threads=2):
        until(lambda: len(told) == 2, "both lives")
    assert revived == [1]
    assert ran == [1, 1]
    assert told == ["succeeded", "succeeded"]
    assert manager.get(id).state is State.SUCCEEDED
    lost = {"type": "a", "outcome": "lost"}
    assert not manager.metrics.registry.get_sample_value("jobpool_attempts_total", lost)
    assert "lost" not in caplog.text.replace("the reply is lost", "")


def test_retrying_does_not_disturb_a_pool_that_runs(make_manager: MakeManager) -> None:
    """Each job fails once; whoever retries all the time makes no attempt more than these two of any job."""
    seen: set[int] = set()

    def work(data: int) -> None:
        if data not in seen:
            seen.add(data)
            raise TimeoutError

    manager = make_manager(executors={"a": work})
    other = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(300)])
    changed = 0
    with WorkerPool(manager, threads=4):

        def all_done() -> bool:
            nonlocal changed
            changed += other.retry_many(all=True).changed
            return other.count(state="succeeded") == 300

        until(all_done, "all jobs")
    assert changed == 300
    assert {(job.attempts, job.max_attempts) for job in other.find(limit=1000)} == {(2, 2)}


@pytest.mark.parametrize("operation", ["retry", "revive", "snooze"])
def test_a_lost_reply_is_said_and_repeating_goes_on(
    make_manager: MakeManager, proxy: Proxy, jobs: Jobs, operation: str
) -> None:
    make = make_manager(executors={"a": fail})
    make.create_many([{"type": "a", "data": n} for n in range(50)])
    if operation != "snooze":
        make.run_all()
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false", timeout=2.0)
    manager.ensure_indexes()
    proxy.lose_reply_of("update")
    with pytest.raises(StoreUnavailable, match="may or may not"):
        MANY[operation](manager)
    assert proxy.lost == ["update"]
    until(lambda: jobs.count_documents({"state": "pending"}) == 50, "it was applied")
    if operation == "snooze":
        MANY[operation](manager)
        assert manager.count(until=datetime.now(UTC) + timedelta(hours=3)) == 50
    else:
        assert MANY[operation](manager) in (0, Retried(failed=0, waiting=0, due=0))
    attempts = {"retry": (1, 2), "revive": (0, 1), "snooze": (0, None)}[operation]
    assert {(job.attempts, job.max_attempts) for job in manager.find()} == {attempts}


@pytest.mark.parametrize("operation", ["retry", "revive"])
def test_of_one_job_a_lost_reply_is_found_by_the_repeat(
    make_manager: MakeManager, proxy: Proxy, operation: str
) -> None:
    make = make_manager(executors={"a": fail})
    id = make.create("a", 1).id
    make.run()
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false", timeout=2.0)
    manager.ensure_indexes()
    proxy.lose_reply_of("findAndModify")
    with pytest.raises(StoreUnavailable, match="may or may not"):
        ONE[operation](manager, id)
    assert proxy.lost == ["findAndModify"]
    until(lambda: make.get(id).state is State.PENDING, "it was applied")
    job = ONE[operation](manager, id)
    assert (job.state, job.attempts) == (State.PENDING, 1 if operation == "retry" else 0)


def test_a_lost_reply_of_one_job_is_repeated_by_the_driver(make_manager: MakeManager, proxy: Proxy) -> None:
    make = make_manager(executors={"a": fail})
    id = make.create("a", 1).id
    make.run()
    manager = make_manager(uri=proxy.uri)
    manager.ensure_indexes()
    proxy.lose_reply_of("findAndModify")
    assert manager.retry(id).max_attempts == 2
    assert proxy.lost == ["findAndModify"]


def test_what_others_wrote_stops_nobody(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": fail})
    job = manager.create("a", 1)
    manager.run()
    odd: list[dict[str, Any]] = [
        {"attempts": "x", "max_attempts": None},
        {"attempts": 1, "max_attempts": "x", "waits_for": "x"},
        {"waits_for": [5], "error": "text"},
    ]
    for number, fields in enumerate(odd):
        jobs.insert_one({"_id": f"odd {number}", "type": "z", "state": "failed", "run_at": "never", **fields})
    for id in ({"a": 1}, "a\nb", ""):  # no call takes these
        jobs.insert_one({"_id": id, "type": "z", "state": "failed"})
    found = [brief.id for page in manager.pages(to="retry") for brief in page]
    assert sorted(found) == sorted([job.id, "odd 0", "odd 1", "odd 2"])
    assert manager.retry_many(ids=found, type="none").changed == 0
    assert manager.retry_many(state="failed").failed >= 1
    assert manager.get(job.id).state is State.PENDING
