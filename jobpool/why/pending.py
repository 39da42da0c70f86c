"""Pending jobs: what is wrong with them, not due yet, paused; what pools do for the others is in `pools`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..names import LISTED, shown
from ..phrases import duration, moment
from .answer import Reason
from .ended import argument, attempt_of, expires
from .limited import gate_locked, limits, unkeyed
from .phrasing import brief, pool_facts
from .pools import behind, busy, nobody, nothing
from .situation import Situation


def pending(situation: Situation) -> Iterator[Reason]:
    """Yield what holds up a job that is pending, what does so first first; at least one."""
    first = malformed(situation)
    if first is not None:
        yield first
        return
    held_up = [
        reason
        for reason in (
            schema(situation),
            no_index(situation),
            not_due(situation),
            paused(situation),
            nobody(situation),
        )
        if reason is not None
    ]
    yield from held_up
    if not held_up:
        yield from _of_its_pools(situation)
    if (end := expires(situation)) is not None:
        yield end


def _of_its_pools(situation: Situation) -> Iterator[Reason]:
    """Yield what holds up a due job that there are pools for."""
    found = [reason for reason in (unkeyed(situation), *limits(situation)) if reason is not None]
    found += [reason for reason in (behind(situation), busy(situation)) if reason is not None]
    yield from found
    if not found:
        yield gate_locked(situation) or no_index_of_limits(situation) or nothing(situation)


def malformed(situation: Situation) -> Reason | None:
    """What pools cannot do without is not there: somebody else wrote it. Much else they do without."""
    wrong = dict(_wrong(situation.job))
    if not wrong:
        return None
    said = ", ".join(f"{name} {what}" for name, what in wrong.items())
    return Reason(
        "malformed",
        f"it is not as jobpool stores jobs, and no pool can run it: {said}",
        f"mend it in MongoDB, or remove it and create it anew: jobpool remove {argument(situation.id)}",
        {"wrong": wrong},
    )


def _wrong(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds: list[tuple[str, Any, str]] = [("type", str, "text"), ("run_at", datetime, "date")]
    for name, kind, what in kinds:  # claims put numbers right that are none
        if name not in job:
            yield name, "is missing"
        elif not isinstance(job[name], kind):
            yield name, f"is no {what}"


def schema(situation: Situation) -> Reason | None:
    """This version is too old for the jobs here, and so are pools of the same."""
    required = situation.required
    if required is None or required <= situation.schema:
        return None
    facts = {
        "required": required,
        "schema": situation.schema,
        "version": situation.version,
        "pools": pool_facts(situation.knowing),
    }
    return Reason(
        "schema",
        f"the jobs here need a jobpool that stores schema {required}; {situation.version}, which this is, stores "
        f"{situation.schema}, and pools of such a version claim nothing",
        "upgrade jobpool where the pools run, and here",
        facts,
    )


def no_index(situation: Situation) -> Reason | None:
    """Pools find nothing without the index of claims."""
    trouble = situation.index_trouble
    if trouble is None:
        return None
    return _cannot_find(trouble, "")


def no_index_of_limits(situation: Situation) -> Reason | None:
    """Pools count and find jobs of types with limits by other indexes."""
    trouble = situation.limits_trouble
    return None if trouble is None else _cannot_find(trouble, "limits=True")


def _cannot_find(trouble: str, argument: str) -> Reason:
    remedy = f"pools make it again within a minute; at once, by hand: JobManager(...).ensure_indexes({argument})"
    return Reason("no_index", f"pools cannot find it: {brief(trouble, 400)}", remedy, {"trouble": trouble})


def not_due(situation: Situation) -> Reason | None:
    """Its time is to come."""
    run_at = situation.instant("run_at")
    if run_at is None or (left := -situation.since(run_at)) <= 0:
        return None
    cause, facts = _put_off(situation)
    return Reason(
        "not_due",
        f"it is not due for another {duration(left)}, until {moment(run_at)}: {cause}",
        f"to have it run now: jobpool retry {argument(situation.id)}" if facts["cause"] == "retry" else "",
        {"run_at": run_at, "seconds": left, **facts},
    )


def _put_off(situation: Situation) -> tuple[str, dict[str, Any]]:
    """Return why a job is due only later, in words and as facts.

    The token of the claim that put it off stays with it, and is among the tokens of its snoozes, or with its
    last error; a reaper takes the token away.
    """
    errors = [item for item in situation.items("errors") if isinstance(item, Mapping)]
    last, token = (errors[-1] if errors else {}), situation.text("claim")
    if token is not None and token in situation.items("snoozed_by"):
        snoozes = situation.number("snoozes")
        pool = situation.text("pool_id")
        times = "once" if snoozes == 1 else f"{snoozes:,} times"
        facts = {"cause": "snooze", "snoozes": snoozes, "pool_id": pool}
        return f"its executor has put it off, {times} so far", facts
    if last and (last.get("claim") == token if token is not None else last.get("type") == "WorkerLost"):
        name = str(last.get("type"))
        facts = {
            "cause": "retry",
            "error": name,
            "message": str(last.get("message", "")),
            "attempts": situation.number("attempts"),
            "max_attempts": situation.whole("max_attempts"),
        }
        return f"{attempt_of(situation)} failed with {shown(name, LISTED)[1:-1]}, and the next follows then", facts
    created = situation.instant("created_at")
    if created is not None and situation.number("attempts") == 0 and not errors:
        return f"it was created {duration(situation.since(created))} ago to run then, or put off since", {
            "cause": "created",
            "created_at": created,
        }
    return "it was put off", {"cause": "unknown"}


def paused(situation: Situation) -> Reason | None:
    """Somebody paused it."""
    pause = situation.pause_of(situation.type)
    if pause is None:
        return None
    for type in (situation.type, *situation.owners):
        if type in situation.paused.types:
            what = f"type {shown(type, LISTED)}"
            if type != situation.type:
                what += f", of which {shown(situation.type, LISTED)} is an alias,"
            scope, resume = type, f"jobpool resume {argument(type)}"
            pause = situation.paused.types[type]
            break
    else:
        what, scope, resume = "everything", None, "jobpool resume --all"
    both = scope is not None and situation.paused.everything is not None
    because = f": {shown(pause.reason)}" if pause.reason else ""
    text = f"{what} has been paused for {duration(situation.since(pause.since))}{because}"
    if both:
        text += "; so is everything"
        resume = "jobpool resume --all"
    return Reason(
        "paused",
        text,
        f"to go on: {resume}",
        {"type": scope, "everything": situation.paused.everything is not None, "since": pause.since}
        | {"reason": pause.reason},
    )
