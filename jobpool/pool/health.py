"""Whether a pool lives, and whether it can work.

What is judged is consumption: that every thread goes on with its steps, that
claims are answered, that leases are kept, that free threads take what is
there. A pool that waits for work does all of this, many times a minute. One
whose executors take long, or hang, is busy and not dead: that is for the
metrics to show, unless its user has said how long is too long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..names import listed
from .held import Stage
from .parts import Parts
from .service import LONGEST_JITTER, Service

#: Seconds. A step that finds nothing to do waits for about one, and a machine that is busy may take as long again.
STEP = 2.0
#: Services that no job needs: it is told if one has ended, but not if its calls fail.
HELPERS = frozenset({"scheduler", "census", "settings", "watchdog"})
#: Seconds that a service may take at the least, whatever the lease: telling 100,000 jobs of an end takes several
#: calls, each broken off when its time is over and gone on with.
SLOW = {"resolver": 120.0}
#: In these states there are no threads to judge: not yet, or not any more.
RESTING = frozenset({"new", "starting", "stopped"})

Finding = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Health:
    """The answers behind ``/healthz`` and ``/readyz``: the name of each check, and what is wrong if it failed.

    Attributes:
        live: Every thread is there, none has been without success for longer
            than the lease, and no lease ran out for want of a heartbeat.
        ready: The pool claims, the last store call of every thread was answered, and no deadline has passed.
        facts: What is as somebody wanted it, and good to know: what of the pool is ``paused``.
    """

    live: dict[str, str | None] = field(default_factory=dict)
    ready: dict[str, str | None] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Nobody needs to be called."""
        return not any(self.live.values())

    @property
    def is_ready(self) -> bool:
        """It is live and can work right now."""
        return self.is_live and not any(self.ready.values())

    @property
    def all(self) -> dict[str, str | None]:
        """Both together: what it takes to be ready."""
        return {**self.live, **self.ready}


def health_of(state: str, parts: Parts) -> Health:
    """Return the health of a pool in `state` from what its parts show."""
    health = Health()
    health.ready["claiming"] = None if state == "started" else f"the pool is {state}"
    if state in RESTING:
        return health
    now = time.monotonic()
    health.live.update(_threads(parts, now))
    health.live["leases"] = _leases_ran_out(parts, now)
    if state == "started":
        health.live.update(_waker(parts, now))
        health.ready.update(_readiness(parts, now))
        health.facts.update(_facts(parts))
    return health


def _facts(parts: Parts) -> Iterator[tuple[str, str]]:
    served = parts.serving.now
    paused = [type for type in served.types if type not in served.wanted]
    if paused:
        yield "paused", "everything" if served.paused.everything else listed(paused)


def _patience(parts: Parts) -> float:
    """Return for how many seconds a thread may be without success."""
    return parts.config.lease + STEP


def _longest_wait(parts: Parts) -> float:
    """Return how many seconds a fetcher that finds nothing lets pass until it asks again."""
    return parts.config.poll_interval * LONGEST_JITTER


def health_in_fork() -> Health:
    """Return the health of a pool in a child of its process: its threads are not there."""
    why = "this process is a fork of the one that runs the pool: make a JobManager and a pool here"
    return Health(live={"process": why}, ready={"claiming": why})


def _threads(parts: Parts, now: float) -> Iterator[Finding]:
    """Judge the threads; those that were told to end are watched over by the stop, which has a deadline."""
    for service in parts.services:
        if service.begun and not service.stopping:
            yield _role(service), _silence(service, parts, now) or _deafness(service, parts, now)
    yield "workers", _workers(parts, now)
    yield "coroutines", None if parts.coroutines.alive else "the thread of the event loop has ended"


def _silence(service: Service, parts: Parts, now: float) -> str | None:
    if not service.alive:
        return "its thread has ended"
    silent, failed_by = now - service.advanced_at, service.failed_by
    if _role(service) in HELPERS or silent <= max(_patience(parts), SLOW.get(_role(service), 0.0)):
        return None
    if failed_by:
        return f"has failed for {silent:.0f} s, longer than the lease; last by {failed_by}"
    return f"hangs: no step has ended for {silent:.0f} s, longer than the lease"


def _deafness(service: Service, parts: Parts, now: float) -> str | None:
    """Judge the fetcher's steps as well: one that only waits, fenced for ever say, consumes nothing."""
    unasked = now - parts.fetcher.looked_at
    if service is not parts.fetcher or unasked <= _patience(parts) + _longest_wait(parts):
        return None
    return f"no claim was answered for {unasked:.0f} s, although there is room"


def _waker(parts: Parts, now: float) -> Iterator[Finding]:
    waker = parts.wakeups.waker  # before the next line: when a pool goes, this goes last
    if not parts.wakeups.pushes(parts.listener):
        return
    if waker is None:
        yield "waker", "there is none; jobs are found by polling"
    elif waker.begun and not waker.stopping:
        why = _silence(waker, parts, now)
        yield "waker", why and f"{why}; jobs are found by polling"


def _workers(parts: Parts, now: float) -> str | None:
    workers, limit = parts.workers, parts.config.longest_run
    if workers.ended:
        return f"{workers.ended} of {workers.threads} threads have ended"
    if workers.irreplaceable:
        return (
            f"{workers.irreplaceable} of {workers.threads} threads are stuck in executors that did not end at "
            f"their timeout, {workers.replaced} more are replaced already: restart the process"
        )
    hanging = workers.between_jobs(now - _patience(parts))
    if hanging:
        return f"{hanging} of {workers.threads} threads hang between two jobs, for longer than the lease"
    running = workers.running()
    if limit is not None and len(running) >= workers.threads:
        given_up = [held for held in running if held.lost and now - held.running_since > limit]
        if len(given_up) >= workers.threads:
            return f"all {workers.threads} threads run jobs that were given up after longest_run, {limit:g} s"
    return None


def _leases_ran_out(parts: Parts, now: float) -> str | None:
    late = now - _first_deadline(parts, now)
    if late <= STEP:  # the heartbeat finds it out itself, unless it cannot
        return None
    return f"no heartbeat was confirmed for {late + parts.config.lease:.0f} s; leases have run out"


def _first_deadline(parts: Parts, now: float) -> float:
    """Return when the first lease ends; those whose outcome is being recorded may have ended well."""
    kept = (held.deadline for held in parts.held.all() if held.stage is not Stage.FINISHING)
    return min(kept, default=now + parts.config.lease)


def _readiness(parts: Parts, now: float) -> Iterator[Finding]:
    for service in parts.services:
        if _role(service) not in HELPERS:
            yield f"{_role(service)} store", _last_call(service)
    waker = parts.wakeups.waker
    if waker is not None and parts.wakeups.pushes(parts.listener):
        yield "waker store", _last_call(waker)
    yield "claims", _claims(parts, now)
    yield "indexes", None if parts.store.in_order else "missing, or not seen since a call failed for want of one"
    yield "extensions", _extension_due(parts, now)


def _last_call(service: Service) -> str | None:
    if not service.failing:
        return None
    return f"its last store call failed: {service.failed_by}"


def _claims(parts: Parts, now: float) -> str | None:
    """Judge whether the fetcher asks as often as it says.

    Between two claims that are answered lie one wait and one claim. A call
    that takes longer than the store's time limit fails, so more than both
    together is neither a wait nor a slow answer.
    """
    if not parts.fetcher.answered:
        return "no claim has been answered yet"
    unasked, limit = now - parts.fetcher.looked_at, _longest_wait(parts) + parts.store.timeout
    return f"no claim was answered for {unasked:.1f} s, {limit:.1f} s are in order" if unasked > limit else None


def _extension_due(parts: Parts, now: float) -> str | None:
    """Judge whether leases are extended in time: one interval, and the time limit of a heartbeat."""
    config = parts.config
    age = now - (_first_deadline(parts, now) - config.lease)
    limit = config.heartbeat_interval + config.lease / 3
    return f"none was confirmed for {age:.1f} s, {limit:.1f} s are in order" if age > limit else None


def _role(service: Service) -> str:
    return service.name.rpartition("-")[2]
