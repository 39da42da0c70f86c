"""Jobs in words: what a column says of one, and the short form of its id."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from .screen import Column, width
from .words import ago, clean, duration, moment, one_line, past

if TYPE_CHECKING:
    from ...job import Job
    from ...progress import Progress

#: Characters of an id that is cut: of a hash eight digits, enough for millions of jobs.
SHORT = 11
#: Of one that a user gave: they often differ at their ends, so that much of it stays.
SHORT_NAMED = 36
#: What shows that it is cut; `options.ids.resolve` takes it so.
CUT = "…"
#: Of data, and of errors, on a terminal: more has no room beside the rest.
EXCERPT = 200

#: What a column says of a job, by name; `age` and `when` are relative to the server's now.
Cell = Callable[["Job", datetime], object]


def short(id: str) -> str:
    """Return an id for a narrow place: cut at its end, and marked so, if it is long."""
    longest = SHORT if id.startswith("v1:") and len(id) == 67 else SHORT_NAMED
    return id if len(id) <= longest + 1 else id[:longest] + CUT


def an_id(id: str) -> str:
    """Return an id for a line of its own: clean on a terminal, as it is for whoever reads it from a pipe."""
    return id if width() is None else clean(id)


def when(job: Job, now: datetime) -> str:
    """Return what a job's times say in its state: ``due 3s ago``, ``in 5m``, ``for 12s``, ``took 2s``."""
    if job.state == "pending":
        return f"due {past(job.run_at, now)}" if job.run_at <= now else ago(job.run_at, now)
    if job.state == "running" and job.started_at is not None:
        return f"for {ago(job.started_at, now)}"
    if job.finished_at is None:
        return "-"
    if job.started_at is None or job.state == "cancelled":
        return past(job.finished_at, now)
    return f"took {duration(ran(job.started_at, job.finished_at))}"


def ran(began: datetime, ended: datetime) -> float:
    """Return for how many seconds something ran; another primary may have told when it ended, by another clock."""
    return max(0.0, (ended - began).total_seconds())


def detail(job: Job) -> str:
    """Return what is special about a job: its error, how far it is, what it waits for."""
    if job.error is not None:
        return f"{job.error.type}: {one_line(job.error.message)}"
    if job.state == "running" and job.progress is not None:
        return progress(job.progress)
    if job.state == "waiting":
        return f"waits for {len(job.waits_for)}"
    if job.state in ("claimed", "running"):
        return f"by {job.pool}"
    if job.state == "cancelled":
        return job.cancel_reason or ""
    if job.state == "pending" and job.errors:
        last = job.errors[-1]
        return f"after {last.type}: {one_line(last.message)}"
    return ""


def progress(found: Progress) -> str:
    """Return how far something is: ``40% (4 of 10) reading``."""
    if found.share is not None:
        far = f"{found.share:.0%} ({found.done:g} of {found.total:g})"
    else:
        far = f"{found.done:g}"
    return f"{far} {one_line(found.note)}".rstrip()


def attempts(job: Job) -> str:
    """Return how many attempts were started, and how many may be: ``1/3``."""
    return f"{job.attempts}/{job.max_attempts}" if job.max_attempts is not None else str(job.attempts)


def data(value: object) -> str:
    """Return a stored value as JSON in one line."""
    from ...data import relaxed

    return json.dumps(relaxed(value), ensure_ascii=False)


#: Every column there is.
COLUMNS: dict[str, tuple[Column, Cell]] = {
    "id": (Column("id", least=SHORT), lambda job, _: job.id),
    "type": (Column("type"), lambda job, _: job.type),
    "state": (Column("state", least=9), lambda job, _: job.state),
    "age": (Column("age", right=True), lambda job, now: ago(job.created_at, now)),
    "when": (Column("when", optional=True), when),
    "attempts": (Column("attempts", right=True), lambda job, _: attempts(job)),
    "detail": (Column("detail", optional=True), lambda job, _: detail(job) or "-"),
    "data": (Column("data", optional=True, room=14), lambda job, _: data(job.data)),
    "priority": (Column("priority", right=True), lambda job, _: job.priority),
    "key": (Column("key"), lambda job, _: job.key or "-"),
    "pool": (Column("pool"), lambda job, _: job.pool or "-"),
    "error": (Column("error"), lambda job, _: "-" if job.error is None else job.error.type),
    "progress": (Column("progress"), lambda job, _: "-" if job.progress is None else progress(job.progress)),
    "created": (Column("created"), lambda job, _: moment(job.created_at)),
    "run_at": (Column("run_at"), lambda job, _: moment(job.run_at)),
    "started": (Column("started"), lambda job, _: moment(job.started_at)),
    "finished": (Column("finished"), lambda job, _: moment(job.finished_at)),
    "result": (Column("result"), lambda job, _: data(job.result)),
}
#: Those that are shown if nobody says which, and where a line is short.
USUAL = ("id", "type", "state", "age", "when", "attempts", "detail", "data")
FEW = tuple(name for name in USUAL if name != "attempts")


def row(job: Job, names: Sequence[str], now: datetime, *, whole: bool) -> list[str]:
    """Return the cells of a job; foreign texts in them are clean, and cut unless `whole`."""
    return [clean(COLUMNS[name][1](job, now), None if whole else EXCERPT) for name in names]
