"""Bugs on purpose: each must turn the test it names red, or the suite is blind to it.

``$FAULTS_SEED`` names the one to plant, in the tests' own process and in the
workers they start. ``python -m tests.faults seeds`` tries them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

VARIABLE = "FAULTS_SEED"


class Seed(NamedTuple):
    """A bug, the test that finds it, and what that test then says."""

    plant: Callable[[], None]
    test: str
    evidence: str


SEEDS: dict[str, Seed] = {}


def seed(test: str, evidence: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a function that plants a bug, under its own name."""

    def register(plant: Callable[[], None]) -> Callable[[], None]:
        SEEDS[plant.__name__] = Seed(plant, f"tests/{test}", evidence)
        return plant

    return register


def plant() -> None:
    """Plant the bug that the environment names, if any."""
    name = os.environ.get(VARIABLE)
    if name:
        SEEDS[name].plant()


@seed("faults/test_pauses.py::test_a_paused_worker_is_refused_when_it_wakes", "I2|I4|lost")
def finish_without_token() -> None:
    """Whoever finishes first is believed."""
    from jobpool.store import finishing, transitions

    def all_alone(finishes: Any, now: Any) -> list[Any]:
        return [write for item in finishes for write in finishing._writes_of(item, now)]

    finishing.running = lambda claim: {"_id": claim.id, "state": "running"}
    transitions.finishing_writes = all_alone  # type: ignore[attr-defined]


@seed("faults/test_rollback.py::test_a_claim_that_is_rolled_back_is_nobodys", "I5")
def attempt_for_token_unreplicated() -> None:
    """A token that repeats itself, acknowledged by one node."""
    from pymongo import WriteConcern

    from jobpool.manager import common
    from jobpool.store.claiming import batch, single

    for strategy in (batch, single):
        strategy.new_token = lambda holder: "1"  # type: ignore[attr-defined]
    common.write_concern_of = lambda asked: WriteConcern(1)  # type: ignore[attr-defined]


@seed("faults/test_workers.py::test_f06_a_drain_keeps_the_leases_of_what_it_waits_for", "== 3")
def heartbeat_stopped_by_a_drain() -> None:
    """What a drain waits for loses its lease."""
    from jobpool.pool import WorkerPool

    drain = WorkerPool._drain

    def draining(self: Any, deadline: float | None) -> bool:
        self._parts.heartbeat.stop()
        return drain(self, deadline)

    WorkerPool._drain = draining  # type: ignore[method-assign]


@seed("faults/test_workers.py::test_f18_a_job_longer_than_many_leases_runs_once", "I4")
def reap_without_expiry() -> None:
    """Everything with a lease is taken back."""
    from jobpool.store import reaping

    reaping.EXPIRED = {"lease_until": {"$exists": True}}


@seed("faults/test_pauses.py::test_a_finish_that_failed_is_repeated", "state|did not come")
def finish_not_repeated() -> None:
    """An outcome whose write got no answer is forgotten."""
    from jobpool.errors import StoreUnavailable
    from jobpool.pool.recorder import Recorder

    record = Recorder._record_part

    def once(self: Any) -> None:
        try:
            record(self)
        except StoreUnavailable:
            self._held.remove([item.held.claim for item in self._kept])
            self._kept = []

    Recorder._record_part = once  # type: ignore[method-assign]


@seed("faults/test_executors.py -k f16", "did not come|assert|WaitTimeout")
def only_exceptions_are_caught() -> None:
    """A `SystemExit` in a job passes by the finish."""
    from jobpool.pool import attempt, running

    run = attempt.run_attempt

    def passing(held: Any, host: Any, engines: Any, *, ambient: bool = False) -> Any:
        outcome = run(held, host, engines)
        error = outcome.error
        if error is not None and error.type in (
            "SystemExit",
            "KeyboardInterrupt",
            "GeneratorExit",
            "CancelledError",
        ):
            raise SystemExit
        return outcome

    running.run_attempt = passing  # type: ignore[attr-defined]


@seed("unit/test_service.py::test_an_unforeseen_error_is_survived_and_counted", "assert")
def fetcher_dies_of_the_unknown() -> None:
    """An error that nobody foresaw ends the thread."""
    from jobpool.errors import StoreError
    from jobpool.pool.service import Service

    def step(self: Any) -> bool:
        try:
            self.run_once()
        except StoreError as error:
            self._failed(error)
            return False
        except BaseException:
            self._stopping.set()
            return False
        self._recovered()
        return True

    Service.step = step  # type: ignore[method-assign]


def claims_set(value_of: Callable[[Any], dict[str, Any]]) -> None:
    """Let the update of every claim set other values, made from the request."""
    from jobpool.store.claiming import batch, claimed, single

    update = claimed.claiming_update

    def other(request: Any, token: str) -> list[dict[str, Any]]:
        stages = update(request, token)
        stages[0]["$set"] |= value_of(request)
        return stages

    for strategy in (batch, single):
        strategy.claiming_update = other  # type: ignore[attr-defined]


@seed("faults/test_clocks.py -k claimers_clock", "the lease does not go by the server's clock")
def leases_by_the_clients_clock() -> None:
    """A machine whose clock is off makes leases that are over, or never are."""
    claims_set(lambda request: {"lease_until": datetime.now(UTC) + timedelta(seconds=request.lease)})


@seed("security/test_data.py -k live_name", "pool|assert .*name, name|secret|datetime")
def a_users_value_in_a_pipeline() -> None:
    """The name of a pool is evaluated by the server."""
    claims_set(lambda request: {"pool": request.pool})


@seed("faults/test_workers.py::test_f03_a_worker_killed_before_the_finish_repeats_only_what_may_be_repeated", "I5")
def attempts_counted_when_they_fail() -> None:
    """A crash costs no attempt, so it may crash for ever."""
    from jobpool.store import transitions
    from jobpool.store.claiming import claimed

    starting, beginning = transitions._starting_update, claimed._starting

    def uncounted(*rules: Any) -> dict[str, Any]:
        return {name: part for name, part in starting(*rules).items() if name != "$inc"}

    def begun_uncounted(rules: Any) -> dict[str, Any]:
        return {name: part for name, part in beginning(rules).items() if name != "attempts"}

    transitions._starting_update = uncounted  # type: ignore[assignment]
    claimed._starting = begun_uncounted


@seed(
    "faults/test_workers.py::test_f07_sigterm_releases_the_queue_and_abandons_long_jobs", "I7|F07 is broken|assert"
)
def queue_not_released_by_a_stop() -> None:
    """What waited in the queue is left to its lease, and nobody says so."""
    from jobpool.pool.queue import ClaimedQueue

    close = ClaimedQueue.close

    def forgetting(self: Any) -> list[Any]:
        close(self)
        return []

    ClaimedQueue.close = forgetting  # type: ignore[method-assign]


@seed("security/test_forks.py::test_a_child_is_refused_by_managers_and_pools", "DID NOT RAISE|fine")
def no_guard_after_a_fork() -> None:
    """A child uses its parent's sockets."""
    from jobpool.pool import WorkerPool
    from jobpool.store.connection import Connection

    Connection.check_process = lambda self: None  # type: ignore[method-assign]
    WorkerPool._check_process = lambda self: None  # type: ignore[method-assign]


@seed("faults/test_harness.py::test_no_metric_is_labelled_with_a_job", "label")
def job_id_for_a_label() -> None:
    """The time series grow with the jobs."""
    from jobpool.metrics import Metrics
    from jobpool.pool.recorder import Recorder

    record = Recorder._record

    def labelled(self: Any, group: Any) -> None:
        record(self, group)
        observer = getattr(self.observer, "_observer", self.observer)
        metrics = observer if isinstance(observer, Metrics) else self.observer
        for item in group:
            metrics.finished(item.held.claim.id, "succeeded", 0.0, None)

    Recorder._record = labelled  # type: ignore[method-assign]


@seed(
    "integration/test_lost_replies.py::test_create_after_many_lost_replies_says_that_it_may_have_happened",
    "assert|RAISE",
)
def a_new_id_for_every_repeat() -> None:
    """A create that is repeated under another id meets nobody."""
    from jobpool.errors import StoreUnavailable
    from jobpool.store.creation import Creation

    create = Creation.create

    async def again(self: Any, document: Any, on_duplicate: str, session: Any) -> Any:
        try:
            return await create(self, document, on_duplicate, session)
        except StoreUnavailable:
            return await create(self, {**document, "_id": os.urandom(8).hex()}, on_duplicate, session)

    Creation.create = again  # type: ignore[method-assign]


@seed("faults/test_life.py::test_l05_a_cancelled_job_whose_worker_dies_untold_ends_as_cancelled", "executions")
def reaped_though_it_was_cancelled() -> None:
    """The reaper gives a job that was asked to end another attempt."""
    from jobpool.store import reaping

    reaping._RUNNING = {"state": "running"}


@seed("faults/test_life.py -k a_snooze_whose_reply_is_lost", "I5|changed while it was pending")
def snooze_refunds_at_every_repeat() -> None:
    """A snooze whose reply was lost gives its attempt back a second time."""
    from jobpool.store import finishing

    writes_of = finishing._writes_of

    def any_state(finish: Any, now: Any) -> list[Any]:
        writes = writes_of(finish, now)
        if finish.outcome.snoozed:
            for write in writes:
                write._filter = {**write._filter, "state": {"$in": ["running", "pending"]}}
        return writes

    finishing._writes_of = any_state


@seed("faults/test_life.py::test_l04_what_a_hung_executor_returns_late_changes_nothing", "did not come|assert")
def stuck_threads_not_replaced() -> None:
    """A thread that hangs keeps its seat, and the jobs behind it wait for it."""
    from jobpool.pool.workers import Workers

    Workers.replace = lambda self, held: False  # type: ignore[method-assign]


@seed("integration/test_resolving.py -k a_mark_that_came_after_the_look_stays", "waiting|assert")
def marks_taken_away_unseen() -> None:
    """Who came to wait between look and end of a round is forgotten."""
    from jobpool.store.resolving import Resolving

    async def write_unmarked(self: Any, found: Any) -> None:
        here = {"_id": {"$in": [job["_id"] for job in found]}}
        await self._call(self._jobs.update_many, here, {"$unset": {"followed": ""}})

    Resolving._write_unmarked = write_unmarked  # type: ignore[method-assign]


@seed("faults/test_dependencies.py -k workers_killed", "I9")
def whatever_happened_lets_them_run() -> None:
    """A job runs although one that it waited for has failed."""
    from jobpool.store import followers

    real = followers._writes
    followers._writes = lambda ends, *args, **options: real(dict.fromkeys(ends, "succeeded"), *args, **options)


@seed("integration/test_pausing.py -k a_claim_that_is_on_its_way", "assert")
def claims_on_their_way_in_a_pause_are_run() -> None:
    """What was claimed before its pause was known begins after it."""
    from jobpool.pool.fetcher import Fetcher
    from jobpool.pool.sifting import Sifting

    Fetcher._wanted = lambda self, jobs: jobs  # type: ignore[method-assign]
    Sifting.__call__ = lambda self: None  # type: ignore[method-assign]


@seed("integration/test_pausing.py -k a_start_that_was_not_answered", "assert|did not come")
def starts_in_doubt_go_on_in_a_pause() -> None:
    """The starter asks again for what was paused since."""
    from jobpool.pool.starter import Starter

    Starter._drop_unwanted = lambda self: None  # type: ignore[method-assign]


@seed("integration/test_resizing.py -k idle_threads_end", "did not come|assert")
def nobody_tells_idle_threads() -> None:
    """Threads that are too many end only after one more job."""
    from jobpool.pool.workers import Workers

    def resize(self: Any, threads: int, max_stuck: int) -> None:
        self._seating.resize(threads, max_stuck)

    Workers.resize = resize  # type: ignore[method-assign]


@seed("faults/test_operator.py::test_what_is_held_is_left_alone", "was deleted while running")
def held_jobs_are_removed() -> None:
    """Who removes many removes what runs as well."""
    from jobpool.store import removing

    removing._NOT_FOLLOWED = {"followed": {"$exists": False}}


@seed("faults/test_operator.py::test_what_is_held_is_left_alone", "was taken from its holder|went from running")
def held_jobs_are_revived() -> None:
    """Who revives many revives what runs as well."""
    from jobpool.store import again

    everything = {"$in": ["cancelled", "claimed", "failed", "pending", "running"]}
    again.revivable = lambda *, succeeded: {"state": everything}


@seed("integration/test_again.py -k revived_before_it_heard", "lost|assert")
def lives_before_are_forgotten() -> None:
    """Whoever finished what was revived since is told that it was lost."""
    from jobpool.store import completing, transitions

    for part in (completing, transitions):
        part.ended_before = lambda stored, claim: None  # type: ignore[attr-defined]
