"""A frame as text: some lines about all of it, and tables of which as much is shown as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..terminal import facts
from ..terminal.screen import Column, plain_rows
from ..terminal.words import clean, count, duration, rate

if TYPE_CHECKING:
    from ...overview import RunningJob, TypeOverview
    from .frame import FailedAlike, Frame, PoolLoad

GAP = "  "

HELP = """\
jobs      all that are kept, in any state, and how they
          become more per second: created less removed
ended     attempts that ended per second, by the pools' own
          word, over about the last minute
failed    jobs that failed for good per second
backlog   how the jobs that are due, scheduled or waiting
          become more per second, between two counts
counted   when that was: counting rests for 20 times as
          long as it took, so it costs the server little
busy      jobs that run, of all threads of the pools alive
rate      of a type or pool, as "ended"
failed last  of the 20 jobs that failed last for good

q ends it, p freezes it, s sorts the types otherwise;
any key ends this help
"""


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


def _by_failed(one: TypeOverview) -> Any:
    return -one.failed, -one.due, one.type


def _by_name(one: TypeOverview) -> Any:
    return one.type


#: How types may be sorted, by the name of the column.
ORDERS: dict[str, Callable[[TypeOverview], Any]] = {
    "due": _by_due,
    "oldest": _by_age,
    "rate": _by_rate,
    "failed": _by_failed,
    "type": _by_name,
}


def header(frame: Frame, width: int, *, words: bool = False, now: datetime | None = None) -> list[str]:
    """Return the lines about all of it.

    Args:
        width: What a line may take.
        words: Say as well what each rate is.
        now: By this machine's clock; now if None.
    """
    where = f"{frame.replica_set or 'standalone'} {frame.server}".strip()
    parts = [f"{frame.at.astimezone(UTC):%H:%M:%SZ}", clean(frame.collection), clean(where)]
    if frame.members > 1:
        parts.append(f"{frame.members} members")
    lines = flowed(parts, width)
    load = [
        f"{count(frame.pools_alive)} pool{'' if frame.pools_alive == 1 else 's'}",
        f"{count(frame.busy)} of {count(frame.threads)} threads busy",
        f"{count(frame.documents)} jobs {_signed(frame.rates.growth)}".removesuffix(" -"),
    ]
    if frame.counted_at is not None and (frame.at - frame.counted_at).total_seconds() >= 1.5:
        load.append(f"counted {duration((frame.at - frame.counted_at).total_seconds())} ago")
    lines += flowed(load, width)
    lines += flowed(_rates(frame, words=words), width)
    lines += [
        line for line in (_unreachable(frame), _paused(frame), _uncounted(frame), _trouble(frame, now)) if line
    ]
    return lines


def _rates(frame: Frame, *, words: bool) -> list[str]:
    rates = frame.rates
    return [
        f"ended {rate(rates.ended)}" + (" (attempts, by the pools' word, over the last minute)" if words else ""),
        f"failed {_rate(rates.failed)}" + (" (for good)" if words else ""),
        f"backlog {_signed(rates.backlog)}",
    ]


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return "-"
    return f"-{rate(-per_second)}" if per_second < 0 else rate(per_second)


def _signed(per_second: float | None) -> str:
    return f"+{rate(per_second)}" if per_second and per_second > 0 else _rate(per_second)


def _unreachable(frame: Frame) -> str:
    return f"UNREACHABLE: {clean(', '.join(frame.unreachable))}" if frame.unreachable else ""


def _paused(frame: Frame) -> str:
    rows = facts.paused_rows(frame.paused, frame.at)
    some = ", ".join(f"{clean(name)} ({since})" for name, since, _ in rows[:3])
    return f"PAUSED: {some}{f' and {len(rows) - 3} more' if len(rows) > 3 else ''}" if rows else ""


def _uncounted(frame: Frame) -> str:
    return f"NOT COUNTED: {clean(frame.uncounted, 200)}" if frame.uncounted else ""


def _trouble(frame: Frame, now: datetime | None) -> str:
    if frame.trouble is None or frame.trouble_since is None:
        return ""
    since = frame.trouble_since
    passed = duration(max(0, round(((now or datetime.now(UTC)) - since).total_seconds())))
    return f"NO ANSWER for {passed}, since {since:%H:%M:%SZ}: {clean(frame.trouble, 200)}"


def flowed(parts: Iterable[str], width: int) -> list[str]:
    """Return the parts in lines, as many in each as it has room for."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(GAP) + len(part) <= width:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines


def sections(frame: Frame, order: str = "due") -> list[Section]:
    """Return the tables, those without rows left out."""
    types = sorted(frame.types or (), key=ORDERS[order])
    made = [
        Section(_TYPES, tuple(map(_type, types)), share=4),
        Section(_POOLS, tuple(map(_pool, frame.pools)), share=2),
        Section(_RUNNING, tuple(map(_running, frame.running)), share=2),
        Section(_FAILED, tuple(_failed(one, frame.at) for one in frame.failures), share=2),
    ]
    return [section for section in made if section.rows]


def fitted(all: Sequence[Section], height: int) -> list[Section]:
    """Return what fits into `height` lines: each has a heading, and a line before it; the last ones go first."""
    kept = list(all)
    while kept and 3 * len(kept) - 1 > height:
        kept.pop()
    if not kept:
        return []
    room = height - (2 * len(kept) - 1)
    rows = _shares([len(section.rows) for section in kept], [section.share for section in kept], room)
    return [
        replace(section, rows=section.rows[:number], left_out=len(section.rows) - number)
        for section, number in zip(kept, rows, strict=True)
    ]


def _shares(wanted: Sequence[int], shares: Sequence[int], room: int) -> list[int]:
    """Return how many rows each gets: one at the least, and by their shares as long as there is room."""
    given = [min(1, number) for number in wanted]
    while sum(given) < room and any(got < number for got, number in zip(given, wanted, strict=True)):
        needy = [n for n, number in enumerate(wanted) if given[n] < number]
        given[min(needy, key=lambda n: given[n] / shares[n])] += 1
    return given


def plain(frame: Frame, order: str = "due") -> list[str]:
    """Return a frame as lines of text, nothing left out."""
    lines = header(frame, 10_000, words=True)
    for section in sections(frame, order):
        cells = [[clean(value) for value in row] for row in section.rows]
        lines += ["", *plain_rows(section.columns, cells)]
    return lines


_TYPES = (
    Column("type", least=10),
    Column("due", right=True),
    Column("oldest", right=True),
    Column("running", right=True),
    Column("rate", right=True),
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
    Column("claimed", right=True),
    Column("rate", right=True, optional=True),
    Column("state", optional=True),
    Column("host", optional=True),
    Column("pid", right=True, optional=True),
)


def _pool(one: PoolLoad) -> tuple[str, ...]:
    return (
        one.name,
        count(one.running),
        count(one.threads),
        count(one.claimed),
        rate(one.ended) if one.ended else "-",
        one.state or "-",
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


def _running(one: RunningJob) -> tuple[str, ...]:
    share = one.progress.share if one.progress else None
    done = f"{one.progress.done:g}" if one.progress else "-"
    asked = " (cancelled)" if one.cancel_requested_at else ""
    return (
        one.id,
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
