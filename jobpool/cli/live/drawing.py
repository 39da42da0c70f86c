"""A frame as text: some lines about all of it, and tables of which as much is shown as there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..terminal import facts
from ..terminal.screen import plain_rows
from ..terminal.words import cells, clean, count, duration, rate, several
from .rows import Section, sections

if TYPE_CHECKING:
    from .frame import Frame

GAP = "  "

HELP = """\
jobs      all that are kept, in any state, and how they
          become more per second: created less removed
created   jobs that came per second, by MongoDB's count
started   attempts that began per second, and
ended     attempts that ended per second, by the pools' own
          word, over about the last minute
failed    jobs that failed for good per second
backlog   how the jobs that are due, scheduled or waiting
          become more per second, between two counts
counted   when that was: counting rests for 20 times as
          long as it took, so it costs the server little
busy      threads of the pools alive that have a job
running   jobs that are started; short ones are started a
          moment ahead of their threads
silent    a pool that should have spoken again: killed?
rate      of a type or pool, as "ended"
failed last  of the 20 jobs that failed last for good

q ends it, p freezes it, s sorts the types otherwise;
any key ends this help
"""


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
        several(frame.pools_alive, "pool") + _silent(frame),
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


def _silent(frame: Frame) -> str:
    number = sum(pool.silent for pool in frame.pools)
    return f" ({count(number)} silent)" if number else ""


def _rates(frame: Frame, *, words: bool) -> list[str]:
    rates = frame.rates
    return [
        f"created {_rate(rates.created)}",
        f"started {_rate(rates.started)}",
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
        if lines and cells(lines[-1]) + len(GAP) + cells(part) <= width:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines


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
    for section in sections(frame, order, whole=True):
        rows = [[clean(value) for value in row] for row in section.rows]
        lines += ["", *plain_rows(section.columns, rows)]
    return lines
