"""Everything about one job, for a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .jobs import progress, ran
from .prose import paragraph
from .screen import fields, table, width, write
from .words import ago, clean, clean_lines, count, duration, jobs, moment, one_line, past

if TYPE_CHECKING:
    from ...backlog import AlivePool
    from ...job import Job, JobError
    from ...relations import Neighbour, Relations

#: Lines of a value, characters of one of its lines and of a traceback's, that a terminal shows.
LINES, LONGEST = 40, 400
#: Log lines that a terminal shows: the last ones.
LOG_LINES = 20


def portray(job: Job, relations: Relations, *, errors: bool, full: bool) -> None:
    """Write all that is known of a job to stdout.

    Args:
        errors: Each error whole, and not the last alone.
        full: Data and logs whole, however long; where no terminal reads them, they are in any case.
    """
    full = full or width() is None
    fields([("job", job.id), *_facts(job, relations), *_times(job, relations.at)])
    _neighbours(job, relations)
    _errors(job, relations.at, whole=errors)
    if job.stuck is not None:
        _text(f"stuck in attempt {job.stuck.attempt} after {duration(job.stuck.after)}", job.stuck.stack)
    _logs(job, whole=full)
    _value("data", job.data, full=full)
    if job.checkpoint is not None:
        _value("checkpoint", job.checkpoint, full=full)
    if job.result is not None or job.state == "succeeded":
        _value("result", job.result, full=full)


def _facts(job: Job, relations: Relations) -> Iterator[tuple[str, object]]:
    yield "type", job.type
    yield "state", job.state
    if job.cancel_requested_at is not None:
        yield "asked to end", _was(job.cancel_requested_at, relations.at)
    yield "cancelled because", job.cancel_reason
    tries = "" if job.max_attempts is None else f" of {job.max_attempts}"
    failed = f", {count(job.error_count)} failed" if job.error_count else ""
    yield "attempts", f"{job.attempts}{tries}{failed}"
    yield "snoozes", job.snoozes or None
    yield "priority", job.priority or None
    yield "key", job.key or None
    yield "timeout", None if job.timeout is None else duration(job.timeout)
    yield "progress", None if job.progress is None else f"{progress(job.progress)}{_since(job, relations.at)}"
    yield "held by" if job.state in ("claimed", "running") else "ran in", _holder(job, relations)
    yield "schedule", relations.schedule
    yield "trace", relations.trace_id
    yield "no result", job.result_error


def _since(job: Job, now: datetime) -> str:
    at = None if job.progress is None else job.progress.at
    return "" if at is None else f" ({past(at, now)})"


def _holder(job: Job, relations: Relations) -> str | None:
    if job.pool is None:
        return None
    pools = [_pool(pool) for pool in relations.pools]
    if not pools:
        return f"pool {job.pool}"
    return f"pool {job.pool}, {pools[0]}" if len(pools) == 1 else f"pool {job.pool}: one of {'; '.join(pools)}"


def _pool(pool: AlivePool) -> str:
    dead = "" if pool.alive else ", which is not alive"
    return f"pid {pool.pid} on {pool.host}{dead}"


def _times(job: Job, now: datetime) -> Iterator[tuple[str, object]]:
    yield "created", _was(job.created_at, now)
    if job.state == "pending" or job.run_at != job.created_at:
        yield "due", _at(job.run_at, now)
    if job.started_at is not None:
        waited = (job.started_at - job.run_at).total_seconds()
        late = f", {duration(waited)} after it was due" if waited >= 0 else ""
        yield "started", f"{_was(job.started_at, now)}{late}"
    if job.lease_until is not None:
        over = job.lease_until <= now
        yield "lease", f"over since {ago(job.lease_until, now)}" if over else f"ends {_at(job.lease_until, now)}"
    if job.finished_at is not None:
        took = "" if job.started_at is None else f", ran {duration(ran(job.started_at, job.finished_at))}"
        yield "ended", f"{_was(job.finished_at, now)}{took}"
    elif job.state == "running" and job.started_at is not None:
        yield "running for", ago(job.started_at, now)
    yield "deleted", None if job.expire_at is None else _at(job.expire_at, now)
    yield "result deleted", None if job.result_until is None else _at(job.result_until, now)


def _at(instant: datetime, now: datetime) -> str:
    far = ago(instant, now)
    return f"{moment(instant)} ({far if far.startswith('in ') else f'{far} ago'})"


def _was(instant: datetime, now: datetime) -> str:
    return f"{moment(instant)} ({past(instant, now)})"


def _neighbours(job: Job, relations: Relations) -> None:
    if job.after:
        ends = "and runs also if they fail" if job.on_failure == "run" else "and fails if one of them does"
        left = f", {count(len(job.waits_for))} of them not yet ended" if job.state == "waiting" else ""
        _heading(f"created to run after {jobs(len(job.after))}{left}, {ends}")
        _list(relations.after, len(job.after))
    if relations.followers:
        _heading(f"{jobs(relations.follower_count)} wait{'s' if relations.follower_count == 1 else ''} for it")
        _list(relations.followers, relations.follower_count)


def _list(neighbours: Sequence[Neighbour], number: int) -> None:
    table(("id", "type", "state"), [(one.id, one.type or "-", one.state or "not there") for one in neighbours])
    if number > len(neighbours):
        write(f"... and {count(number - len(neighbours))} more")


def _errors(job: Job, now: datetime, *, whole: bool) -> None:
    last = job.error or (job.errors[-1] if job.errors else None)
    if last is None:
        return
    earlier = [error for error in job.errors if error != last]
    if earlier:
        kept = (
            f" (the last {len(job.errors)} of {count(job.error_count)})"
            if job.error_count > len(job.errors)
            else ""
        )
        _heading(f"earlier errors{kept}")
        for error in earlier:
            if whole:
                _error(error, now)
            else:
                line = f"attempt {error.attempt}{_when(error, now)}: {error.type}: {one_line(error.message)}"
                _write_cut([clean(line)], full=width() is None)
    _heading("the error" if job.error is not None else "the last error")
    _error(last, now)


def _error(error: JobError, now: datetime) -> None:
    attempt = f"attempt {error.attempt}{_when(error, now)}: " if error.attempt else ""
    write(clean(f"{attempt}{error.type}"))
    _write_cut(clean_lines(error.traceback or error.message), full=width() is None)


def _when(error: JobError, now: datetime) -> str:
    return "" if error.at is None else f", {past(error.at, now)}"


def _logs(job: Job, *, whole: bool) -> None:
    if not job.logs:
        return
    shown = job.logs if whole else job.logs[-LOG_LINES:]
    left = len(job.logs) - len(shown)
    _heading(f"log lines{f' ({left} earlier ones: --full)' if left else ''}")
    lines = (f"{moment(line.at)} {line.attempt} {line.level:<7} {clean(line.text)}" for line in shown)
    _write_cut(lines, full=whole)


def _value(name: str, value: Any, *, full: bool) -> None:
    from ...data import relaxed

    _heading(name)
    lines = [clean(line) for line in json.dumps(relaxed(value), ensure_ascii=False, indent=2).split("\n")]
    _write_cut(lines if full else lines[:LINES], full=full)
    if not full and len(lines) > LINES:
        write(f"... {count(len(lines) - LINES)} more lines: --full")


def _text(heading: str, text: str) -> None:
    _heading(heading)
    _write_cut(clean_lines(text), full=width() is None)


def _write_cut(lines: Iterable[str], *, full: bool) -> None:
    for line in lines:
        write(line if full or len(line) <= LONGEST else f"{line[:LONGEST]}... {count(len(line) - LONGEST)} more")


def _heading(text: str) -> None:
    write()
    paragraph(f"{text}:", bold=True)
