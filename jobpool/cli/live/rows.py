"""The tables of a frame: types, pools, what runs longest, what failed last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..terminal import facts
from ..terminal.jobs import short
from ..terminal.screen import Column
from ..terminal.words import count, duration, rate

if TYPE_CHECKING:
    from ...overview import RunningJob, TypeOverview
    from .frame import FailedAlike, Frame, PoolLoad


@dataclass(frozen=True, slots=True)
class Section:
    """A table.

    Attributes:
        columns, rows: Of it; values may be foreign texts.
        share: How much of the room it gets, beside the others.
        left_out: How many rows there are besides.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    share: int
    left_out: int = 0


def _by_due(one: TypeOverview) -> Any:
    return -one.due, -one.running, one.type


def _by_age(one: TypeOverview) -> Any:
    return -one.oldest_due_age, -one.due, one.type


def _by_rate(one: TypeOverview) -> Any:
    return -one.throughput, -one.due, one.type


def _by_started(one: TypeOverview) -> Any:
    return -(one.start_rate or 0.0), -one.due, one.type


def _by_failed(one: TypeOverview) -> Any:
    return -one.failed, -one.due, one.type


def _by_name(one: TypeOverview) -> Any:
    return one.type


#: How types may be sorted, by the name of the column.
ORDERS: dict[str, Callable[[TypeOverview], Any]] = {
    "due": _by_due,
    "oldest": _by_age,
    "rate": _by_rate,
    "started": _by_started,
    "failed": _by_failed,
    "type": _by_name,
}


def sections(frame: Frame, order: str = "due", *, whole: bool = False) -> list[Section]:
    """Return the tables, those without rows left out.

    Args:
        whole: Leave ids as they are.
    """
    types = sorted(frame.types or (), key=ORDERS[order])
    running = [_running(one, one.id if whole else short(one.id)) for one in frame.running]
    made = [
        Section(_TYPES, tuple(map(_type, types)), share=4),
        Section(_POOLS, tuple(map(_pool, frame.pools)), share=2),
        Section(_RUNNING, tuple(running), share=2),
        Section(_FAILED, tuple(_failed(one, frame.at) for one in frame.failures), share=2),
    ]
    return [section for section in made if section.rows]


_TYPES = (
    Column("type", least=10),
    Column("due", right=True),
    Column("oldest", right=True),
    Column("running", right=True),
    Column("rate", right=True),
    Column("started", right=True, optional=True),
    Column("pools", right=True, optional=True),
    Column("note", optional=True),
    Column("failed", right=True, optional=True),
    Column("scheduled", right=True, optional=True),
    Column("waiting", right=True, optional=True),
    Column("claimed", right=True, optional=True),
    Column("mean run", right=True, optional=True),
)


def _type(one: TypeOverview) -> tuple[str, ...]:
    return (
        one.type,
        count(one.due),
        duration(one.oldest_due_age) if one.due else "-",
        count(one.running),
        rate(one.throughput) if one.throughput else "-",
        rate(one.start_rate) if one.start_rate else "-",
        count(one.pools),
        "paused" if one.paused else facts.NOBODY if one.nobody_runs_it else "-",
        count(one.failed),
        count(one.scheduled),
        count(one.waiting),
        count(one.claimed),
        facts.mean(one.run_seconds),
    )


_POOLS = (
    Column("pool", least=12),
    Column("running", right=True),
    Column("threads", right=True),
    Column("state"),
    Column("claimed", right=True, optional=True),
    Column("rate", right=True, optional=True),
    Column("started", right=True, optional=True),
    Column("host", optional=True),
    Column("pid", right=True, optional=True),
)


def _pool(one: PoolLoad) -> tuple[str, ...]:
    return (
        one.name,
        count(one.running),
        count(one.threads),
        facts.pool_state(one.state or "-", silent=one.silent, heard_ago=one.heard_ago),
        count(one.claimed),
        rate(one.ended) if one.ended else "-",
        "-" if one.started is None else rate(one.started),
        one.host,
        str(one.pid),
    )


_RUNNING = (
    Column("runs longest", least=16),
    Column("for", right=True),
    Column("type", least=8),
    Column("progress", right=True, optional=True),
    Column("attempt", right=True, optional=True),
    Column("pool", optional=True),
)


def _running(one: RunningJob, id: str) -> tuple[str, ...]:
    share = one.progress.share if one.progress else None
    done = f"{one.progress.done:g}" if one.progress else "-"
    asked = " (asked to end)" if one.cancel_requested_at else ""
    return (
        id,
        duration(one.seconds),
        one.type,
        (done if share is None else f"{share:.0%}") + asked,
        count(one.attempt),
        one.pool or "-",
    )


_FAILED = (
    Column("failed last", least=10),
    Column("ago", right=True),
    Column("type", least=8),
    Column("jobs", right=True),
    Column("message", optional=True),
)


def _failed(one: FailedAlike, now: datetime) -> tuple[str, ...]:
    ago = max(0.0, (now - one.last_at).total_seconds())
    return (one.error or "-", duration(ago), one.type, count(one.jobs), one.message)
