"""``jobpool stats``: one look at all of it: what waits, what runs, what failed, who works, what it takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import OK
from .options import place
from .terminal import facts, jsons
from .terminal.counting import counting
from .terminal.progress import Progress
from .terminal.screen import Column, fields, say, table, write
from .terminal.words import count, duration, moment, rate, several

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..overview import Size, Stats

EXAMPLES = """\
examples:
  jobpool stats                                  what waits, what runs, what failed, who works on it
  jobpool stats --finished                       with those that succeeded and were cancelled: reads every job
  jobpool stats --json | jq .suggested_pools     how many pools would work off what is due within a minute
"""

#: States of jobs that are not done with, in the order they are told.
_STATES = ("due", "scheduled", "waiting", "claimed", "running", "failed")
_SHOWN = (
    Column("type", least=10),
    Column("due", right=True),
    Column("oldest", right=True),
    Column("running", right=True),
    Column("failed", right=True),
    Column("succeeded", right=True, optional=True),
    Column("cancelled", right=True, optional=True),
    Column("scheduled", right=True, optional=True),
    Column("waiting", right=True, optional=True),
    Column("claimed", right=True, optional=True),
    Column("rate", right=True, optional=True),
    Column("mean run", right=True, optional=True),
    Column("paused", optional=True),
)
_FINAL = ("succeeded", "cancelled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--finished",
        action="store_true",
        help="count those that succeeded or were cancelled: reads all jobs",
    )
    parser.add_argument("--json", action="store_true", help="print one object")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Count once, and show it."""
    with place.reader_of(args) as manager, counting():
        stats = _counted(manager, finished=args.finished)
        name = manager.store.name
    if args.json:
        write(jsons.whole(stats))
        return OK
    fields(_facts(name, stats))
    if stats.types or stats.finished:
        write()
        _table(stats)
    if stats.size is None:
        say("jobpool: what the collection takes is not known: this user lacks the right collStats on it")
    return OK


def _counted(manager: JobManager, *, finished: bool) -> Stats:
    if not finished:
        return manager.stats()
    from ..store.driver import run

    with Progress("counting", run(manager.store.overseeing.documents())) as progress:
        return manager.stats(finished=True, told=progress.advance)


def _facts(name: str, stats: Stats) -> list[tuple[str, object]]:
    total = stats.total
    number = {state: getattr(total, state) for state in _STATES}
    final = max(0, stats.documents - sum(number.values()))
    told = ", ".join(f"{count(value)} {state}" for state, value in number.items() if value or state == "due")
    paused = facts.paused_rows(stats.paused, stats.at)
    return [
        ("collection", name),
        ("counted", f"{moment(stats.at)}, in {duration(stats.seconds)}"),
        ("jobs", f"{count(stats.documents)}: {told}, {count(final)} succeeded or cancelled"),
        ("oldest due", duration(total.oldest_due_age) if total.due else None),
        ("throughput", f"{rate(total.throughput)} attempts ended, over the last minute"),
        ("pools", f"{count(stats.pools_alive)} alive with {count(stats.threads_alive)} threads"),
        ("suggested", _suggested(stats)),
        *(
            ("paused", f"{what}, {since} ({why})" if why != "-" else f"{what}, {since}")
            for what, since, why in paused
        ),
        ("size", None if stats.size is None else _size(stats.size)),
    ]


def _suggested(stats: Stats) -> str:
    number = stats.suggested_pools
    unknown = any(part.due and part.run_seconds is None and not part.paused for part in stats.types.values())
    guess = "; types that nobody alive has run count a thread per job" if unknown else ""
    return f"{several(number, 'pool')} to work off what is due within a minute{guess}"


def _size(size: Size) -> str:
    largest = sorted(size.index_bytes.items(), key=lambda item: -item[1])[:3]
    indexes = ", ".join(f"{name} {facts.size(number)}" for name, number in largest)
    return (
        f"{facts.size(size.data_bytes)} of data in {facts.size(size.storage_bytes)} on disk, "
        f"indexes {facts.size(size.total_index_bytes)} ({indexes})"
    )


def _table(stats: Stats) -> None:
    """Write the jobs by type."""
    left_out = set(_FINAL if stats.finished is None else ()) | set(() if stats.paused else ("paused",))
    columns = [column for column in _SHOWN if column.name not in left_out]
    names = sorted({*stats.types, *(stats.finished or {})})
    rows = [_row(stats, type) for type in names]
    table(columns, [[row[column.name] for column in columns] for row in rows])


def _row(stats: Stats, type: str) -> dict[str, str]:
    from ..backlog import TypeBacklog
    from ..overview import Finished

    part, final = stats.types.get(type, TypeBacklog()), (stats.finished or {}).get(type, Finished())
    pause = stats.paused.why(type)
    return {
        "type": type,
        **{state: count(getattr(part, state)) for state in _STATES},
        **{state: count(getattr(final, state)) for state in _FINAL},
        "oldest": duration(part.oldest_due_age) if part.due else "-",
        "rate": rate(part.throughput) if part.throughput else "-",
        "mean run": facts.mean(part.run_seconds),
        "paused": "paused" if pause or part.paused else "-",
    }
