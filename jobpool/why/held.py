"""Jobs that a pool holds: claimed, running, lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..backlog import AlivePool
from ..names import LISTED, shown
from ..phrases import duration, moment, several
from .answer import Reason
from .ended import argument, attempt_of, expires
from .phrasing import past, place, pool_facts
from .pools import longest_running, running_in
from .situation import Situation, finite

#: What `JobManager.run` writes instead of the name of a pool; it says nothing of itself.
BY_HAND = "run"
#: Seconds that a heartbeat may be late.
LATE = 1.0
CLAIMED = "claimed"


def held(situation: Situation) -> Iterator[Reason]:
    """Yield what is to be said of a job that is claimed or running; at least one."""
    until = situation.instant("lease_until")
    if until is None:
        yield Reason(
            "malformed",
            "it is held, and no lease_until says until when: jobpool writes nothing like that, and takes it back "
            "from nobody",
            "mend it in MongoDB: its state is to be pending again",
            {"wrong": {"lease_until": "is missing" if "lease_until" not in situation.job else "is no date"}},
        )
        return
    holder = holder_of(situation)
    facts = {**_facts(situation, holder), "lease_until": until}
    if situation.since(until) > 0:
        yield _lost(situation, holder, until, facts)
    else:
        if (asked := situation.instant("cancel_requested_at")) is not None and situation.state != CLAIMED:
            yield _asked(situation, asked, facts)
        if (silent := _silence(situation, holder, until)) is not None:
            yield _gone(situation, holder, until, silent, facts)
        yield (
            _claimed(situation, holder, facts)
            if situation.state == CLAIMED
            else _running(situation, holder, facts)
        )
    if (end := expires(situation)) is not None:
        yield end


def holder_of(situation: Situation) -> AlivePool | None:
    """Return what is known of the pool that holds the job; None if it is not known which that is."""
    id, name = situation.text("pool_id"), situation.text("pool")
    if id is not None:
        return next((pool for pool in situation.pools if pool.id == id), None)
    named = [pool for pool in situation.pools if pool.name == name and pool.alive]
    return named[0] if len(named) == 1 else None


def _who(situation: Situation, holder: AlivePool | None) -> str:
    if holder is not None:
        return place(holder)
    name, id = situation.text("pool"), situation.text("pool_id")
    if name == BY_HAND and id is None:
        return "a process that calls JobManager.run, and is no pool,"
    named = "a pool" if name is None else f"a pool {shown(name, LISTED)}"
    return f"{named} ({id}) that does not say that it lives" if id is not None else named


def _facts(situation: Situation, holder: AlivePool | None) -> dict[str, Any]:
    return {
        "pool": situation.text("pool"),
        "pool_id": situation.text("pool_id"),
        "holder": next(iter(pool_facts([holder] if holder is not None else [])), None),
        "attempts": situation.number("attempts"),
        "max_attempts": situation.whole("max_attempts"),
        "fence": situation.number("fence"),
    }


def _lost(situation: Situation, holder: AlivePool | None, until: datetime, facts: Mapping[str, Any]) -> Reason:
    over = situation.since(until)
    # Its holder has not extended it for all of the lease: it is no sign of life that it spoke before that.
    reapers = sum(pool is not holder for pool in situation.alive)
    if reapers:
        text = (
            f"its lease has been over for {duration(over)}, and it is about to be taken back: {_fate(situation)}"
        )
        remedy = (
            f"{several(reapers, 'pool')} alive {'looks' if reapers == 1 else 'look'} every half lease, 15s mostly"
            "; if it lasts for more than a minute, an open transaction wrote it, or see the logs of the pools"
        )
    else:
        text = f"its lease has been over for {duration(over)}, and no pool is alive that would take it back: "
        text += _fate(situation)
        remedy = "start a pool, of whatever types: jobpool worker MODULE:MANAGER"
    who = "claimed it and did not start it" if situation.state == CLAIMED else "ran it"
    name = situation.text("pool")
    by = "" if name is None else f"; pool {shown(name, LISTED)} {who}"
    return Reason("lost", text + by, remedy, {**facts, "seconds": over, "reapers": reapers})


def _fate(situation: Situation) -> str:
    """Return what a reaper makes of it."""
    if situation.state == CLAIMED:
        return "it is pending again then, no attempt spent"
    if situation.instant("cancel_requested_at") is not None:
        return "it is cancelled then, as it was asked to end"
    most = situation.whole("max_attempts")
    if most is not None and situation.number("attempts") >= most:
        return f"it fails then with WorkerLost, as {attempt_of(situation)} was its last"
    return f"it is tried again then, after {attempt_of(situation)}"


def _silence(situation: Situation, holder: AlivePool | None, until: datetime) -> float | None:
    """Return for how many seconds nothing has been heard of the holder if that is too long; 0 if not known.

    Who lives extends its leases by half of them at the latest. None: it lives, as far as can be seen.
    """
    if holder is None:
        known = situation.text("pool_id") is not None
        return 0.0 if known else None
    extended = None if holder.lease is None else until - timedelta(seconds=holder.lease)
    if extended is not None and holder.lease is not None:
        if situation.since(extended) > holder.lease / 2 + LATE:
            return situation.since(extended)
        if situation.since(extended) >= 0:  # the word of its heartbeat is newer
            return None
    if holder.alive:
        return None
    return situation.since(holder.seen_at) if holder.seen_at is not None else 0.0


def _gone(
    situation: Situation, holder: AlivePool | None, until: datetime, silent: float, facts: Mapping[str, Any]
) -> Reason:
    heard = f" has not been heard of for {duration(silent)}" if silent else ""
    who = _who(situation, holder)
    left = -situation.since(until)
    does = "holds it and" if situation.state == CLAIMED else "runs it and"
    text = f"{who} {does}{heard}" if silent else f"{who} holds it"
    text += f"; its lease lasts for another {duration(left)}, and {_fate(situation)}"
    return Reason(
        "holder_gone",
        text,
        "see whether that process lives; wait for the end of the lease: until then nobody else may run it",
        {**facts, "silent_seconds": silent or None, "seconds": left},
    )


def _claimed(situation: Situation, holder: AlivePool | None, facts: Mapping[str, Any]) -> Reason:
    text = f"{_who(situation, holder)} has claimed it, and it waits there for a thread"
    more: dict[str, Any] = {}
    if holder is not None:
        running = running_in(situation, (holder,))
        ran_longest, longest = longest_running(situation, (holder,))
        text += f": {running} of {several(holder.threads, 'thread')} are taken{ran_longest}"
        more = {"threads": holder.threads, "running": running, "queued": holder.queued, **longest}
    until = situation.instant("lease_until")
    if until is not None and holder is not None and holder.lease is not None:
        more["extended_at"] = until - timedelta(seconds=holder.lease)
    remedy = "it begins when a thread is free; a pool gives back what waits for longer than a quarter of the lease"
    return Reason("claimed", text, remedy, {**facts, **more})


def _running(situation: Situation, holder: AlivePool | None, facts: Mapping[str, Any]) -> Reason:
    started = situation.instant("started_at")
    ran = None if started is None else situation.since(started)
    timeout = situation.real("timeout")
    progress, stuck = _progress(situation.job.get("progress")), situation.job.get("stuck")
    more: dict[str, Any] = {"started_at": started, "seconds": ran, "timeout": timeout, "progress": progress}
    text = f"it runs{'' if ran is None else f', for {duration(ran)}'}, in {attempt_of(situation)}"
    text += f", in {_who(situation, holder).removesuffix(',')}"
    if progress is not None:
        total = progress["total"]
        text += f"; it says that {progress['done']:g}{'' if total is None else f' of {total:g}'} are done"
    if timeout is not None:
        text += f"; an attempt may take {duration(timeout)}"
    facts = {**facts, **more}
    if isinstance(stuck, Mapping) and stuck.get("attempt") == situation.number("attempts"):
        after = finite(stuck.get("after"))
        facts["stuck"] = {"after": after, "attempt": situation.number("attempts")}
        where = "" if after is None else f"; where it was after {duration(after)} is known"
        cancel = "" if situation.instant("cancel_requested_at") is not None else "; or cancel it"
        remedy = f"see where it is: jobpool show {argument(situation.id)}"
        return Reason("stuck", text + where, remedy + cancel, facts)
    return Reason("running", text, "", facts)


def _progress(said: object) -> dict[str, Any] | None:
    """Return what a job says of itself; None if that is nothing, or not as jobpool stores it."""
    if not isinstance(said, Mapping) or not isinstance(done := said.get("done"), int | float):
        return None
    total, note = said.get("total"), said.get("note")
    return {
        "done": done,
        "total": total if isinstance(total, int | float) else None,
        "note": note if isinstance(note, str) else "",
    }


def _asked(situation: Situation, asked: datetime, facts: Mapping[str, Any]) -> Reason:
    since = situation.since(asked)
    return Reason(
        "cancel_requested",
        f"it was asked to end {duration(since)} ago ({moment(asked)}), and runs still: it started "
        f"{past(situation, 'started_at')}",
        "its executor is told within a second or so; a function has to look at current_job().cancelled, or needs "
        "a timeout=",
        {**facts, "cancel_requested_at": asked, "seconds": since, "started_at": situation.instant("started_at")},
    )
